"""Another sample rate, or one channel of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.resampled_tape import ResampledTape
from babe2.dsp.tape import Tape
from babe2.dsp.waveform import SAMPLE_RATES
from babe2.stages.base import Bench, Stage, Staged, Untouched
from babe2.stages.pieces import InPieces

Precision = Literal["very-high", "high"]
HIGH: Precision = "high"


@dataclass(frozen=True)
class Convert(Stage):
    """Brings a recording to another sample rate, and its channels together."""

    name: ClassVar[str] = "convert"
    does: ClassVar[str] = "Brings the recording to another sample rate, or its channels together to one."
    keeps_length: ClassVar[bool] = False

    rate: int = setting(
        0,
        STAGE,
        "Sample rate (Hz)",
        "Of the result; 0 keeps the recording's",
        "",
        lambda v: v == 0 or SAMPLE_RATES[0] <= v <= SAMPLE_RATES[1],
    )
    mono: bool = setting(False, STAGE, "Mono", "One channel, the mean of all")
    precision: Precision = setting(  # noqa: RUF009
        "very-high", STAGE, "Precision", "Of the resampling: very-high, or high, which is exact to 20 bits"
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        folded = Folded(recording) if self.mono and recording.channels > 1 else recording
        rate = self.rate or sample_rate
        if folded is recording and rate == sample_rate:
            return Untouched(recording, sample_rate)
        return Converted(folded, sample_rate, rate, self.precision)


class Folded(Tape):
    """The mean of a tape's channels."""

    channels = 1

    def __init__(self, tape: Tape) -> None:
        self._tape, self.samples = tape, tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        return self._tape.read(start, stop).mean(dim=0, keepdim=True)


class Converted(InPieces):
    """A recording at another rate."""

    def __init__(self, recording: Tape, sample_rate: int, rate: int, precision: Precision = "very-high") -> None:
        super().__init__(ResampledTape(recording, sample_rate, rate, "HQ" if precision == HIGH else "VHQ"), rate)
        self.found = {"from_hz": sample_rate, "to_hz": rate}

    def _piece(self, start: int, stop: int) -> Tensor:
        return self.recording.read(start, stop)
