"""Clicks, crackle and short drop-outs: found by what linear prediction cannot explain, and filled from both sides.

How clicks are found and filled is told in analysis/clicks.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from babe2.analysis.clicks import FILLING_ORDER, Mender, spans_of, threshold_of
from babe2.config import STAGE, setting
from babe2.dsp.spectra import decibels
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces

SHARP_DB, LEVEL_SECONDS = 30.0, 0.001  # a drop-out falls by so much within two steps of its level, and comes back so
LONGEST_DROPOUT_SECONDS = 0.5  # a longer one is a pause
AUDIBLE = 1e-3  # of full scale: what is fainter on both sides drops out unheard
FILLED_SECONDS = 0.005  # of a drop-out; a longer one is listed, to be filled by something that knows music
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
        return _Declicked(
            recording, sample_rate, threshold_of(self.strength), _on_grid(recording), dropouts(recording, sample_rate)
        )


class Place(NamedTuple):
    """A part of one channel, in samples."""

    channel: int
    start: int
    stop: int


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

    def __init__(
        self, recording: Tape, sample_rate: int, threshold: float, on_grid: bool, dropouts: list[Place]
    ) -> None:
        super().__init__(recording, sample_rate)
        self._mender, self._on_grid = Mender(sample_rate, threshold), on_grid
        short = FILLED_SECONDS * sample_rate
        self._short = [place for place in dropouts if place.stop - place.start <= short]
        self._left = [place for place in dropouts if place.stop - place.start > short]
        # As missing samples, for something that knows music: [start, stop], seconds.
        spans = sorted({(place.start, place.stop) for place in self._left})
        self.found = {
            "dropouts": len(dropouts),
            "left_seconds": [[round(place / sample_rate, 4) for place in span] for span in spans[:LISTED]],
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
        lost = _mask(x, self._short, reach - start)
        kept = _mask(x, self._left, reach - start, self._mender.block)
        # At either end of the recording there is nothing to fill from.
        kept[:, : max(0, reach - start + FILLING_ORDER)] = True
        kept[:, max(0, reach - start + self.samples - FILLING_ORDER) :] = True
        mended = self._mender.mend(x, lost & ~kept, kept)
        y = mended.sound.float()
        if self._on_grid:
            y = (y * GRID).round().clamp(-GRID, GRID - 1) / GRID
        return torch.where(mended.marked, y, x)[:, reach : reach + stop - start]


def dropouts(recording: Tape, sample_rate: int) -> list[Place]:
    """Where a channel falls silent at once, and comes back at once."""
    step = max(2, round(LEVEL_SECONDS * sample_rate))
    longest = round(LONGEST_DROPOUT_SECONDS * sample_rate / step)
    size, found = 64 * longest, []
    for first in range(0, -(-recording.samples // step), size):
        x = recording.read((first - 3) * step, (first + size + longest + 3) * step)
        level = decibels(x.square().unflatten(1, (-1, step)).mean(dim=2))
        fallen = (level[:, 2:] < level[:, :-2] - SHARP_DB) & (level[:, :-2] > 20 * math.log10(AUDIBLE))
        for channel, place in fallen.nonzero().tolist():
            low = place + 2
            before = float(level[channel, place])
            if not 3 <= low < size + 3 or fallen[channel, place - 1]:
                continue
            if length := _until_back(level[channel, low : low + longest + 2], before):
                begin, faint = (low - 2) * step, 10 ** ((before - SHARP_DB) / 20)
                runs = spans_of(x[channel, begin : begin + (length + 3) * step].abs() < faint)
                start, stop = runs[(runs[:, 1] - runs[:, 0]).argmax()].tolist()
                found.append(Place(channel, *(at + begin + (first - 3) * step for at in (start, stop))))
    return found


def _until_back(level: Tensor, before: float) -> int:
    """After how many steps a level (N,) that has fallen is back, if all lies as low until then and it comes at once."""
    back = (level > before - SHARP_DB / 2).nonzero().flatten()
    if not len(back):
        return 0
    length = int(back[0])
    lowest = bool((level[: max(1, length - 1)] < before - SHARP_DB + 5).all())
    return length if lowest else 0


def _mask(x: Tensor, places: list[Place], shift: int, margin: int = 0) -> Tensor:
    """Which samples of x (C, T) lie in some places, shifted, or near them: (C, T)."""
    mask = torch.zeros_like(x, dtype=torch.bool)
    for place in places:
        mask[place.channel, max(0, place.start + shift - margin) : max(0, place.stop + shift + margin)] = True
    return mask
