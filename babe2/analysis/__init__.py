"""What a recording tells of itself and of the recording chain that made it; nothing is restored here."""

from babe2.analysis.description import analyse

__all__ = ["analyse"]
