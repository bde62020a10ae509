"""Speed: a disc or a tape played as fast as it was made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.resampling import at_places
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.stages.base import Bench, Stage, Staged, Untouched
from babe2.stages.pieces import InPieces

INTERVALS = {"semitone": 12, "semitones": 12, "cent": 1200, "cents": 1200}  # to an octave
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_INTERVAL, _RATIO = (
    re.compile(rf"({_NUMBER})\s*({'|'.join(INTERVALS)})"),
    re.compile(rf"({_NUMBER})(?:\s*/\s*({_NUMBER}))?"),
)
SLOWEST, FASTEST = Fraction(1, 4), 4


def factor_of(text: str) -> Fraction:
    """How many times as fast: of a number, a ratio or an interval.

    >>> factor_of("80/78.26"), float(factor_of("-12 semitones"))
    (Fraction(4000, 3913), 0.5)
    """
    factor = Fraction(0)
    if interval := _INTERVAL.fullmatch(text.strip()):
        octaves = float(interval[1]) / INTERVALS[interval[2]]
        factor = Fraction(2**octaves) if abs(octaves) <= 3 else factor
    elif (ratio := _RATIO.fullmatch(text.strip())) and Fraction(ratio[2] or 1):
        factor = Fraction(ratio[1]) / Fraction(ratio[2] or 1)
    if SLOWEST <= factor <= FASTEST:
        return factor
    raise RestorationError(
        f"The speed cannot be {text!r:.80}. Give a factor between a quarter and 4, such as 1.02, a ratio such as "
        "80/78.26, or an interval such as '-35 cents' or '2 semitones'."
    )


def _is_speed(text: str) -> bool:
    return bool(factor_of(text))


@dataclass(frozen=True)
class Speed(Stage):
    """Plays a recording faster or slower, and higher or lower with it."""

    name: ClassVar[str] = "speed"
    does: ClassVar[str] = "Plays the recording at another speed: faster is higher and shorter."
    keeps_length: ClassVar[bool] = False

    factor: str = setting(
        "1", STAGE, "Speed", "Above 1 is faster: 1.02, 80/78.26, '-35 cents' or '2 semitones'", "", _is_speed
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        factor = factor_of(self.factor)
        if factor == 1:
            return Untouched(recording, sample_rate)
        return _Sped(recording, sample_rate, factor)


class _Sped(InPieces):
    def __init__(self, recording: Tape, sample_rate: int, factor: Fraction) -> None:
        super().__init__(recording, sample_rate)
        self.samples = max(1, round(recording.samples / factor))
        self._factor = float(factor)
        self.found = {"factor": self._factor}

    def _piece(self, start: int, stop: int) -> Tensor:
        places = torch.arange(start, stop, dtype=torch.float64) * self._factor
        return at_places(self.recording, places, self._factor).float()
