"""What a method is."""

from __future__ import annotations

from typing import NamedTuple

from babe2.config import Settings
from babe2.methods.undone import MARGIN, inner_length, segment_length
from babe2.recordings.segments import segment_starts


class Span(NamedTuple):
    """How much of a recording is restored at once, and how much on either side with it to be dropped; in samples."""

    length: int
    margin: int

    @staticmethod
    def of(samples: int, settings: Settings) -> Span:
        """For a recording of so many samples at the model's rate."""
        if settings.solver == "guided":
            return Span(settings.segment_length, 0)
        if settings.solver == "closed-form":  # the network hears as much at once as it was trained on
            return Span(inner_length(settings.segment_length), MARGIN)
        return Span(segment_length(samples, settings.segment_length), MARGIN)

    @property
    def whole(self) -> int:
        return self.length + 2 * self.margin

    def starts(self, samples: int, settings: Settings) -> list[int]:
        """Where the segments of a recording of so many samples begin."""
        overlap = int(settings.overlap * self.length)
        return segment_starts(samples, self.length, overlap, last_fits=not settings.as_published)
