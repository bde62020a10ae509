"""What a restored file says of itself: by what it was made, and which of its sound is generated.

The sentences stand in the file (its mark), in reports, in the evidence pack and on the page; nothing here reads or
writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from babe2.recordings.chunks import Tags
from babe2.version import __version__
from babe2.wording import plain_name

SOFTWARE = f"babe2 {__version__}"
_DIGITS = 12  # of a checkpoint's SHA-256: enough to tell it from all others; reports have all
_LONGEST = 200  # letters of a checkpoint's name
_MARK = re.compile(r"\b(Restored|Generated) with babe2 (\d[0-9A-Za-z.+]{0,30})")  # a version alone is repeated
_NOISY = "what noise had covered is generated"


@dataclass(frozen=True)
class Provenance:
    """By what a file was made, and which of its sound is generated."""

    version: str  # of babe2
    checkpoint: str
    sha256: str  # of the checkpoint; "" where it is unknown
    method: str
    generates: bool  # whether the method generates sound at all
    band_known: bool  # whether it was looked where the recorded band ends
    end_hz: float | None  # where it ends; None where no end was found
    limit_hz: float | None  # above it nothing was restored; None where there is nothing above
    highest_hz: float  # of the file
    amount: float = 1.0  # of the restoration; the rest is the recording
    changes: bool = True  # whether the method changes anything but the sample rate
    resampled: bool = False  # whether the file has another sample rate than the recording
    gain_db: float = 0.0  # by how much it was then made louder
    stopped_seconds: float | None = None  # what was finished of a run that was stopped
    cleaned: str = ""  # by which stages the recording was cleaned before
    imagined: float = 1.0  # how much is left of what was imagined
    keeps_above: bool = True  # whether the recording was left as it was above `limit_hz`

    @classmethod
    def of(
        cls,
        report: Mapping[str, Any],
        *,
        model_rate: int,
        recorded_rate: int,
        sample_rate: int,
        seconds: float | None = None,
    ) -> Provenance:
        """The provenance of a file of `sample_rate` Hz, from the report of a restoration; `seconds` are finished of one
        that was stopped."""
        band = report.get("band") or {"ends": None, "high_hz": None}
        return cls(
            version=report["versions"]["babe2"],
            checkpoint=checkpoint_name(report["checkpoint"]),
            sha256=report["sha256"],
            method=report["solver"],
            generates=report["generates"],
            band_known=band["ends"] is not None,
            end_hz=band["high_hz"] if band["ends"] else None,
            limit_hz=model_rate / 2 if min(recorded_rate, sample_rate) > model_rate else None,
            highest_hz=sample_rate / 2,
            amount=report.get("amount", 1.0),
            changes=report["changes"],
            resampled=sample_rate != recorded_rate,
            gain_db=report.get("gain_db", 0.0),
            stopped_seconds=seconds,
            cleaned=report.get("cleaned", ""),
            imagined=report.get("imagined", 1.0),
            keeps_above=report.get("keeps_above", True),
        )

    @property
    def is_generated(self) -> bool:
        """Whether some of its sound is generated."""
        return self.generates and self.amount > 0

    @property
    def is_unchanged(self) -> bool:
        """Whether it sounds as the recording does."""
        return self.amount == 0 or not self.changes

    @property
    def statement(self) -> str:
        """What was done, in one sentence or a few."""
        made_by = _made_by("Restored", self.version, self.checkpoint, self.sha256)
        before = [f"The recording was cleaned before: {self.cleaned}."] if self.cleaned else []
        told = [f"{made_by}, method {self.method}: {self._what}{self._beyond}."]
        if not self.changes:
            but = " but the sample rate" if self.resampled else ""
            told = [f"Copied with babe2 {self.version}, method {self.method}: nothing was changed{but}."]
        told += before
        if 0 < self.amount < 1:
            told.append(f"This was mixed with the recording as it was: {self.amount:.0%} and {1 - self.amount:.0%}.")
        if self.imagined < 1:
            told.append(f"Where sound was imagined, {self.imagined:.0%} of it was left.")
        if self.gain_db:
            louder = "louder" if self.gain_db > 0 else "softer"
            told.append(f"It was then made {abs(self.gain_db):.1f} dB {louder}, to be as loud as the recording.")
        if self.stopped_seconds is not None:
            told.append(f"The run was stopped: these are the {self.stopped_seconds:.1f} s that were finished.")
        return " ".join(told)

    @property
    def _what(self) -> str:
        """What was done below `limit_hz`; whether the recording itself is one throughout, nobody knows here."""
        if self.is_unchanged:
            return "at amount 0 this is the recording as it was, nothing was equalised or generated"
        if not self.generates:
            return "the recording was re-equalised, nothing was generated"
        if not self.band_known:
            return "where the recorded band ends is not known, so what sounds may be generated at any frequency"
        if self.end_hz is None:
            return f"no end of the recorded band was found: the recording was re-equalised, and {_NOISY}"
        if self.end_hz >= self.highest_hz:
            return (
                f"the recorded band ends at {self.end_hz:.0f} Hz, beyond what this file holds: the recording was "
                f"re-equalised, and {_NOISY}"
            )
        where = f"above {self.end_hz:.0f} Hz"
        if self.limit_hz is not None:
            where = f"from {self.end_hz:.0f} Hz to {self.limit_hz:.0f} Hz"
        return f"sound {where} is generated, below it was re-equalised, and {_NOISY} there, too"

    @property
    def _beyond(self) -> str:
        if self.limit_hz is None or self.is_unchanged:
            return ""
        left = (
            "it is the recording as it was" if self.keeps_above else "there was noise alone, of which nothing is left"
        )
        return f"; above {self.limit_hz:.0f} Hz {left}"


def sample_tags(checkpoint: str, sha256: str) -> Tags:
    """The tags of a file whose music came out of nothing."""
    made_by = _made_by("Generated", __version__, checkpoint_name(checkpoint), sha256)
    return Tags().marked(f"{made_by}: all of its sound is generated.", SOFTWARE)


def clip_tags(prompt: str, model: str | None) -> Tags:
    """The tags of a clip that was made to try things on: by a model's name, or by synthesis."""
    made_by = f"Generated by {model}, called by babe2 {__version__}" if model else f"Synthesised by babe2 {__version__}"
    return Tags().marked(f"{made_by}: {prompt}. All of its sound is made by a program.", SOFTWARE)


def _made_by(done: str, version: str, checkpoint: str, sha256: str) -> str:
    revision = f" (sha256 {sha256[:_DIGITS]})" if sha256 else ""
    return f"{done} with babe2 {version} from the checkpoint {checkpoint}{revision}"


def checkpoint_name(checkpoint: str) -> str:
    """The name of a checkpoint, without the place where this machine keeps it."""
    if PurePosixPath(checkpoint).is_absolute() or PureWindowsPath(checkpoint).is_absolute():
        return plain_name(checkpoint)
    return "".join(letter for letter in checkpoint if letter.isprintable())[:_LONGEST]


def already_made(tags: Tags) -> list[str]:
    """A sentence about a file whose tags say that it was made with babe2 already; none about any other."""
    notes = [content.decode("latin-1") for name, content in tags.chunks if name in (b"bext", b"iXML")]
    for text in [*tags.text.values(), *notes]:
        if found := list(_MARK.finditer(text)):
            done, version = found[-1].groups()
            return [
                f"This file was already {done.lower()} with babe2 {version}, as it says of itself: what was done or "
                "generated then counts as recorded now, so better begin with the untouched recording."
            ]
    return []
