"""Compression: what is loud is made softer, so that all of it can be made louder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.envelope import peak_envelope, settling, smoothing
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces


@dataclass(frozen=True)
class Compress(Stage):
    """Makes softer what is above a threshold."""

    name: ClassVar[str] = "compress"
    does: ClassVar[str] = "Makes the loudest moments softer, all channels alike, and leaves the quiet ones as they are."

    threshold_db: float = setting(
        -20.0, STAGE, "Threshold (dBFS)", "What is louder is made softer", "", lambda v: -80 <= v <= 0
    )
    ratio: float = setting(
        4.0,
        STAGE,
        "Ratio",
        "Of so many dB above the threshold one is left; 1 changes nothing",
        "",
        lambda v: 1 <= v <= 100,
    )
    attack_ms: float = setting(
        10.0, STAGE, "Attack (ms)", "More lets the beginning of a loud moment pass", "", lambda v: 0.1 <= v <= 1000
    )
    release_ms: float = setting(
        100.0, STAGE, "Release (ms)", "More keeps it soft for longer afterwards", "", lambda v: 0.1 <= v <= 1000
    )
    makeup_db: float = setting(
        0.0, STAGE, "Make-up (dB)", "By so much all of it is made louder afterwards", "", lambda v: -24 <= v <= 24
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if not sounds(recording) or (self.ratio == 1 and not self.makeup_db):
            return Untouched(recording, sample_rate)
        return _Compressed(recording, sample_rate, self)


class _Compressed(InPieces):
    """A recording times a gain. The envelope before a piece is followed for as long as any of it is remembered."""

    def __init__(self, recording: Tape, sample_rate: int, wished: Compress) -> None:
        super().__init__(recording, sample_rate)
        self._attack, self._release = (smoothing(ms, sample_rate) for ms in (wished.attack_ms, wished.release_ms))
        self._before = settling(max(self._attack, self._release))
        self._threshold, self._power = 10 ** (wished.threshold_db / 20), 1 / wished.ratio - 1
        self._makeup = 10 ** (wished.makeup_db / 20)

    def _piece(self, start: int, stop: int) -> Tensor:
        before = min(start, self._before)
        x = self.recording.read(start - before, stop).double()
        envelope = peak_envelope(x.abs().amax(dim=0), self._attack, self._release)[before:]
        gain = (envelope / self._threshold).clamp(min=1) ** self._power
        return (x[:, before:] * (self._makeup * gain)).float()
