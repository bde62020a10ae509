"""Clicks, crackle and short drop-outs: found by what linear prediction cannot explain, and filled from both sides.

How clicks are found and filled is told in analysis/damage/clicks.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from babe2.analysis.damage.bursts import bursts
from babe2.analysis.damage.clicks import FILLING_ORDER, Mender, threshold_of
from babe2.analysis.damage.dropouts import Dropouts, Place, dropouts
from babe2.config import STAGE, setting
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces

LISTED = 500  # places
GRID = 2.0**23  # samples of 24 bits are whole multiples of one part in so many


@dataclass(frozen=True)
class Declick(Stage):
    """Takes out clicks and crackle, and fills their places."""

    name: ClassVar[str] = "declick"
    does: ClassVar[str] = "Takes out clicks and crackle, and fills the gaps from what lies on both sides of each."

    strength: float = setting(
        0.5,
        STAGE,
        "Strength",
        "More finds fainter clicks, and takes more of the music for them",
        "",
        lambda v: 0 <= v <= 1,
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if not sounds(recording):
            return Untouched(recording, sample_rate)
        threshold = threshold_of(self.strength)
        declicked = _Declicked(recording, sample_rate, threshold, _on_grid(recording), dropouts(recording, sample_rate))
        declicked.found["bursts_seconds"] = _seconds(bursts(recording, sample_rate), sample_rate)
        return declicked


def _on_grid(recording: Tape) -> bool:
    """Whether every sample is a whole number of 24 bits."""
    return all(
        bool(((block * GRID).round() == block * GRID).all()) and float(block.abs().max()) <= 1
        for block in recording.blocks()
    )


class _Declicked(InPieces):
    """A recording without its clicks.

    The samples that are changed lie on the grid of 24 bits where all of the recording does: then the difference of the
    two is exact in float32. Otherwise it is exact in float64.
    """

    def __init__(self, recording: Tape, sample_rate: int, threshold: float, on_grid: bool, dropouts: Dropouts) -> None:
        super().__init__(recording, sample_rate)
        self._mender, self._on_grid = Mender(sample_rate, threshold), on_grid
        self._dropouts = dropouts
        self.found = {
            "dropouts": len(dropouts.short) + len(dropouts.long),
            "left_seconds": _seconds(dropouts.long, sample_rate),  # as missing samples, for something that knows music
        }

    def _read(self, start: int, stop: int) -> Tensor:
        made = super()._read(start, stop)
        changed = made != self.recording.read(start, stop)
        before = super()._read(start - 1, start) != self.recording.read(start - 1, start) if start else changed[:, :0]
        runs = torch.cat([before, changed], dim=1)
        self.counts["clicks"] += int((runs[:, 1:] & ~runs[:, :-1]).sum()) + (0 if start else int(runs[:, 0].sum()))
        self.counts["samples_changed"] += int(changed.sum())
        self.counts["samples"] += changed.numel()
        return made

    def _piece(self, start: int, stop: int) -> Tensor:
        reach = self._mender.reach
        x = self.recording.mirrored(start - reach, stop + reach)
        lost = _mask(x, self._dropouts.short, reach - start)
        kept = _mask(x, self._dropouts.long, reach - start, self._mender.block)
        # At either end of the recording there is nothing to fill from.
        kept[:, : max(0, reach - start + FILLING_ORDER)] = True
        kept[:, max(0, reach - start + self.samples - FILLING_ORDER) :] = True
        mended = self._mender.mend(x, lost & ~kept, kept)
        y = mended.sound.float()
        if self._on_grid:
            y = (y * GRID).round().clamp(-GRID, GRID - 1) / GRID
        return torch.where(mended.marked, y, x)[:, reach : reach + stop - start]


def _seconds(places: list[Place], sample_rate: int) -> list[list[float]]:
    """The first places of all channels: [start, stop], seconds."""
    spans = sorted({(place.start, place.stop) for place in places})[:LISTED]
    return [[round(place / sample_rate, 4) for place in span] for span in spans]


def _mask(x: Tensor, places: list[Place], shift: int, margin: int = 0) -> Tensor:
    """Which samples of x (C, T) lie in some places, shifted, or near them: (C, T)."""
    mask = torch.zeros_like(x, dtype=torch.bool)
    for place in places:
        mask[place.channel, max(0, place.start + shift - margin) : max(0, place.stop + shift + margin)] = True
    return mask
