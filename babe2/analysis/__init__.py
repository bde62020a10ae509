"""Measures a recording, and estimates the recording chain that made it; nothing is restored here."""

from babe2.analysis.description import analyse

__all__ = ["analyse"]
