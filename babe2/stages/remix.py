"""Brings the tracks of a parted recording together again, to the sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.stages.base import Bench, Stage, Staged

LOUDEST_DB = 40.0
MUTE = "mute"  # instead of a level


@dataclass(frozen=True)
class Remix(Stage):
    """The sum of all tracks; `levels` says how much louder (dB) one is to be than it was, or "mute"."""

    name: ClassVar[str] = "remix"
    does: ClassVar[str] = "Adds the tracks up again, each as loud as it was or as you wish."
    merges: ClassVar[bool] = True

    levels: dict[str, float | str] = field(default_factory=dict)
    tracks: tuple[str, ...] = ()  # that it is given, in their order

    def changed(self, **overrides: Any) -> Self:
        levels = dict(self.levels)
        for track, level in overrides.items():
            try:
                levels[track] = MUTE if level == MUTE else float(level)
                if level != MUTE and not abs(float(level)) <= LOUDEST_DB:
                    raise ValueError
            except (TypeError, ValueError):
                raise RestorationError(
                    f"The level of {track:.80} is a number of dB between -{LOUDEST_DB:g} and {LOUDEST_DB:g}, "
                    f"or {MUTE}, not {level!r:.80}."
                ) from None
        return replace(self, levels=levels)

    def as_dict(self) -> dict[str, Any]:
        return dict(self.levels)

    def among(self, tracks: tuple[str, ...]) -> Self:
        if unknown := sorted(set(self.levels) - set(tracks)):
            raise RestorationError(f"There is no track {', '.join(unknown):.80} to remix, only {', '.join(tracks)}.")
        return replace(self, tracks=tracks)

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        gains = [self.levels.get(track, 0.0) for track in self.tracks]
        return _Remixed(recording, sample_rate, [0.0 if gain == MUTE else 10 ** (float(gain) / 20) for gain in gains])


class _Remixed(Staged):
    def __init__(self, recording: Tape, sample_rate: int, gains: list[float]) -> None:
        super().__init__(recording, sample_rate)
        self.channels = recording.channels // len(gains)
        self._gains = gains

    def _read(self, start: int, stop: int) -> Tensor:
        parts = self.recording.read(start, stop).double().split(self.channels)
        total = torch.stack([gain * part for gain, part in zip(self._gains, parts, strict=True)]).sum(dim=0)
        return total.float()
