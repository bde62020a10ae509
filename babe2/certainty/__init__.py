"""Which part of a restoration was measured, which inferred and which imagined, cell by cell of time and frequency."""

from babe2.certainty.map import KINDS, CertaintyMap

__all__ = ["KINDS", "CertaintyMap"]
