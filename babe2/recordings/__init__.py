"""Recordings of any length: reads them, cuts them into segments, stores what is finished, resumes after a crash."""
