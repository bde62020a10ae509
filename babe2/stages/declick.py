"""Clicks, crackle and short drop-outs: found by what linear prediction cannot explain, and filled from both sides.

Each frame is modelled as an autoregressive process. A sample where a click begins cannot be told from those before it,
and one where it ends cannot be told from those behind: what lies between the two is marked where it stands out of all
that is usual both before and behind it. The onset of a note stands out of what was before only, and is left alone. The
marked samples are replaced by those that make the prediction error least (Janssen et al. 1986; Godsill and Rayner
1998), which improves the model, so all is heard again with the better one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.bursts import bursts
from babe2.analysis.dropouts import Dropouts, Place, dropouts, runs_of
from babe2.config import STAGE, setting
from babe2.dsp.prediction import interpolated, predictors
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces

ORDER, FILLING_ORDER = 32, 48  # of the model that clicks stand out of, and of the one that fills their places
FRAME_SECONDS = 0.046
BLOCK_SECONDS = 0.002  # the loudest sample of so much prediction error is its level there
USUAL, BLOCKS = 0.5, 12  # the level that so many of the blocks on one side keep below
POOL = 1  # blocks: a voice's pulses, some milliseconds apart, are usual
NEXT = 3  # blocks: a knock of some milliseconds is a note that begins
NEAR_SECONDS = 3e-4  # forwards and backwards, a click is found at its two ends
JOIN = 1e-4
LEAVING = 1.3  # of the usual level: where a click begins and ends
CALM, KEEN = 7.0, 2.0  # by so much a click stands out of the usual, at strength 0 and 1
MENDED_SECONDS = 0.02  # nothing longer is filled: a model has forgotten the note by then
EAGER = (0.5, 0.7, 1.0)
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
        threshold = CALM * (KEEN / CALM) ** self.strength
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


class Mended(NamedTuple):
    sound: Tensor  # (C, T)
    marked: Tensor  # (C, T) where it was changed


class Mender:
    """Finds clicks in sound at one rate, and fills their places."""

    def __init__(self, sample_rate: int, threshold: float) -> None:
        self.threshold = threshold
        self.frame = 2 ** max(9, round(FRAME_SECONDS * sample_rate).bit_length() - 1)
        self.block = max(8, round(BLOCK_SECONDS * sample_rate))
        self.near = max(2, round(NEAR_SECONDS * sample_rate))
        self.join = max(2, round(JOIN * sample_rate))
        self.longest = round(MENDED_SECONDS * sample_rate)
        self.reach = 4 * self.frame

    def mend(self, x: Tensor, lost: Tensor, kept: Tensor) -> Mended:
        """x (C, T) without its clicks, and without what is known to be `lost`; what is to be `kept` is no click."""
        parts = [self._mend(*channel) for channel in zip(x.double(), lost, kept, strict=True)]
        return Mended(*(torch.stack(each) for each in zip(*parts, strict=True)))

    def _mend(self, x: Tensor, lost: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        y, marked = self._filled(x, runs_of(lost)), lost
        for eager in EAGER:
            spans = runs_of(self._marked(x, y, eager * self.threshold) & ~kept | lost)
            spans = spans[spans[:, 1] - spans[:, 0] <= self.longest]
            y, marked = self._filled(x, spans), torch.zeros_like(lost)
            for start, stop in spans.tolist():
                marked[start:stop] = True
            if not len(spans):
                break
        return y, marked

    def _errors(self, x: Tensor, filters: Tensor) -> list[Tensor]:
        """How far x (T,) is from what is predicted of it forwards and backwards: twice (T,)."""
        hop = self.frame // 2
        spectrum, response = torch.fft.rfft(self._frames(x)), torch.fft.rfft(filters, self.frame)
        errors = (torch.fft.irfft(spectrum * way)[:, hop // 2 : -hop // 2] for way in (response, response.conj()))
        return [error.reshape(-1)[: len(x)].abs() for error in errors]

    def _frames(self, x: Tensor) -> Tensor:
        hop = self.frame // 2
        count = -(-len(x) // hop)
        return F.pad(x, (hop // 2, (count + 1) * hop - len(x))).unfold(0, self.frame, hop)[:count]

    def _marked(self, x: Tensor, model: Tensor, threshold: float) -> Tensor:
        """Where x (T,) holds clicks, going by a model of sound without any, or with fewer of them."""
        filters = predictors(self._frames(model), ORDER)
        forwards, backwards = self._errors(x, filters)
        near = [_nearby(error, self.near, self.near) for error in (forwards, backwards)]
        standing_out = torch.minimum(*near)
        usual = self._usual(standing_out)
        # Between the first sample that those before do not tell, and the last that those behind do not tell.
        begun = _nearby((forwards > LEAVING * usual).double(), self.join, 0)
        ending = _nearby((backwards > LEAVING * usual).double(), 0, self.join)
        inside = (begun > 0) & (ending > 0)
        sure = inside & (standing_out > threshold * usual)
        run = (inside[1:] != inside[:-1]).long().cumsum(0)
        run = F.pad(run, (1, 0))
        standing = torch.zeros(int(run[-1]) + 1, dtype=torch.bool).index_put_((run[sure],), torch.tensor(True))
        marked = inside & standing[run]
        return _nearby(marked.double(), 1, 1) > 0

    def _usual(self, error: Tensor) -> Tensor:
        """What the error (T,) usually reaches around each sample, on the side where that is more: (T,)."""
        count = -(-len(error) // self.block)
        peaks = F.pad(error, (0, count * self.block - len(error))).reshape(count, self.block).amax(dim=1)
        middle = BLOCKS + 1
        around, wider = (
            F.pad(each, (middle, middle)).unfold(0, 2 * middle + 1, 1) for each in (peaks, _nearby(peaks, POOL, POOL))
        )
        far = [side.kthvalue(round(USUAL * BLOCKS), dim=1).values for side in (wider[:, :BLOCKS], wider[:, -BLOCKS:])]
        near = [
            side.median(dim=1).values
            for side in (around[:, middle - NEXT : middle], around[:, middle + 1 : middle + 1 + NEXT])
        ]
        usual = torch.stack([*far, *near]).amax(dim=0)
        return usual.clamp(min=1e-9).repeat_interleave(self.block)[: len(error)]

    def _filled(self, x: Tensor, spans: Tensor) -> Tensor:
        """x (T,) with `spans` (N, 2) of it filled; each first by a straight line, then as its surroundings ask for."""
        if not len(spans):
            return x
        margin = 2 * max(self.frame, self.longest)
        y, missing = F.pad(x, (margin, margin)), torch.zeros(len(x) + 2 * margin, dtype=torch.bool)
        spans = spans + margin
        for start, stop in spans.tolist():
            y[start:stop] = y[start - 1] + (y[stop] - y[start - 1]) * torch.arange(1, stop - start + 1) / (
                stop - start + 1
            )
            missing[start:stop] = True
        lengths = spans[:, 1] - spans[:, 0]
        sizes = (2 ** lengths.double().log2().ceil().clamp(min=3)).long()
        for _ in range(2):
            before = y.clone()
            for size in sizes.unique().tolist():
                for some in spans[sizes == size].split(max(1, 2**21 // size**2 // 2)):
                    centres = some.sum(dim=1) // 2
                    context = self._around(before, centres, max(self.frame, 2 * size))
                    filters = predictors(context, FILLING_ORDER)
                    length = size + 2 * FILLING_ORDER
                    inside = torch.arange(length) - length // 2 + centres[:, None]
                    lost = (inside >= some[:, :1]) & (inside < some[:, 1:])
                    filled = interpolated(before[inside], lost, filters)
                    y[inside[lost]] = filled[lost]
        return y[margin:-margin]

    def _around(self, x: Tensor, centres: Tensor, length: int) -> Tensor:
        return x[torch.arange(length) - length // 2 + centres[:, None]]


def _nearby(x: Tensor, before: int, behind: int) -> Tensor:
    """The most of x (T,) from so many samples before each up to so many behind it: (T,)."""
    return F.max_pool1d(F.pad(x, (before, behind))[None], before + behind + 1, 1)[0]
