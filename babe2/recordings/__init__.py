"""Recordings of any length: cut into segments, kept while they are worked on, gone on with after a crash."""
