"""Clicks and crackle: found by what linear prediction cannot explain, and filled from both sides.

Each frame is modelled as an autoregressive process. A sample where a click begins cannot be told from those before it,
and one where it ends cannot be told from those behind: what lies between the two is marked where it stands out of all
that is usual both before and behind it. The onset of a note stands out of what was before only, and is left alone. The
marked samples are replaced by those that make the prediction error least (Janssen et al. 1986; Godsill and Rayner
1998), which improves the model, so all is heard again with the better one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.damage.dropouts import runs_of
from babe2.dsp.prediction import interpolated, predictors
from babe2.dsp.tape import Tape

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


def threshold_of(strength: float) -> float:
    """By how much a click stands out of the usual: at strength 0 only loud ones are found, at 1 faint ones, too."""
    return CALM * (KEEN / CALM) ** strength


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

    def without_clicks(self, x: Tensor) -> Mended:
        """x (C, T) without its clicks; at either end there is nothing to fill from."""
        kept = torch.zeros_like(x, dtype=torch.bool)
        kept[:, :FILLING_ORDER] = kept[:, -FILLING_ORDER:] = True
        return self.mend(x, torch.zeros_like(kept), kept)

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
        near = [nearby(error, self.near, self.near) for error in (forwards, backwards)]
        standing_out = torch.minimum(*near)
        usual = self._usual(standing_out)
        # Between the first sample that those before do not tell, and the last that those behind do not tell.
        begun = nearby((forwards > LEAVING * usual).double(), self.join, 0)
        ending = nearby((backwards > LEAVING * usual).double(), 0, self.join)
        inside = (begun > 0) & (ending > 0)
        sure = inside & (standing_out > threshold * usual)
        run = (inside[1:] != inside[:-1]).long().cumsum(0)
        run = F.pad(run, (1, 0))
        standing = torch.zeros(int(run[-1]) + 1, dtype=torch.bool).index_put_((run[sure],), torch.tensor(True))
        marked = inside & standing[run]
        return nearby(marked.double(), 1, 1) > 0

    def _usual(self, error: Tensor) -> Tensor:
        """What the error (T,) usually reaches around each sample, on the side where that is more: (T,)."""
        count = -(-len(error) // self.block)
        peaks = F.pad(error, (0, count * self.block - len(error))).reshape(count, self.block).amax(dim=1)
        middle = BLOCKS + 1
        around, wider = (
            F.pad(each, (middle, middle)).unfold(0, 2 * middle + 1, 1) for each in (peaks, nearby(peaks, POOL, POOL))
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


class Unclicked(Tape):
    """A tape without its clicks, for whoever measures it."""

    def __init__(self, tape: Tape, mender: Mender) -> None:
        self._tape, self._mender = tape, mender
        self.channels, self.samples = tape.channels, tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        reach = self._mender.reach
        x = self._tape.mirrored(start - reach, stop + reach)
        return self._mender.without_clicks(x).sound[:, reach : reach + stop - start].to(x)


def nearby(x: Tensor, before: int, behind: int) -> Tensor:
    """The most of x (T,) from so many samples before each up to so many behind it: (T,)."""
    return F.max_pool1d(F.pad(x, (before, behind))[None], before + behind + 1, 1)[0]
