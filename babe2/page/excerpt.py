"""Which part of a recording is meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from babe2 import audio
from babe2.errors import RestorationError
from babe2.wording import clock

EXCERPT_SECONDS = 10.0  # unless somebody wishes otherwise


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a recording."""

    start: float = 0.0
    duration: float | None = None  # None: to the recording's end

    @classmethod
    def chosen(cls, start: float | None, duration: float | None) -> Excerpt:
        """As a person filled in two fields; an emptied one means its default."""
        return cls(max(0.0, start or 0.0), EXCERPT_SECONDS if duration is None else duration)

    def seconds_of(self, whole: float) -> float:
        """How many seconds it is of a recording that has `whole`."""
        rest = max(0.0, whole - self.start)
        return rest if self.duration is None else min(self.duration, rest)

    def read(self, recording: str | Path, longest: float) -> audio.Recording:
        """Its sound, where it is no more than `longest` seconds."""
        _, samples, rate = audio.measure(recording)
        wanted = self.seconds_of(samples / rate)
        if wanted > longest:
            raise RestorationError(
                f"That is {clock(wanted)} of sound; here at most {clock(longest)} are restored at once. Choose an "
                "excerpt, or run babe2 on your own computer."
            )
        return audio.read(recording, start=self.start, duration=self.duration)


def given(recording: str | None) -> str:
    """A recording that has to be there."""
    if not recording:
        raise RestorationError("There is no recording yet. Drop one on the page, or take the example.")
    return recording
