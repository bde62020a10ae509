"""A stage of one's own, as small as can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.tape import Tape
from babe2.stages import Bench, Stage, Staged


@dataclass(frozen=True)
class Soften(Stage):
    """A stage of one's own."""

    name: ClassVar[str] = "soften"
    does: ClassVar[str] = "Makes everything softer."

    factor: float = setting(0.5, STAGE, "Factor", "Less is softer")

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        return Softened(recording, sample_rate, self.factor)


class Softened(Staged):
    def __init__(self, recording: Tape, sample_rate: int, factor: float) -> None:
        super().__init__(recording, sample_rate)
        self.factor, self.found = factor, {"loudest": 1.0}

    def _read(self, start: int, stop: int) -> Tensor:
        self.counts["samples"] += stop - start
        return self.factor * self.recording.read(start, stop)
