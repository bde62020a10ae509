"""Filling in samples: those that are known stay, and what is missing between them is sampled.

At every noise level the prior's estimate is given the known samples back, and fresh noise is stirred in: with the same
noise kept, what is filled in never comes to agree with what is around it (by measurement, docs/degradations.md). What
linear prediction says of a gap is better than any first guess of the prior. So a predicted sample counts as known until
the noise has come down to what is uncertain of it, and sampling begins no higher than some sample needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.degradations.base import Samplewise, shaped
from babe2.degradations.response import QUIETEST
from babe2.dsp.curves import Curve
from babe2.dsp.prediction import interpolated_run
from babe2.sampler import Constrain, Denoiser, Noise, OnStep, Progress, Sampled

CLIPPED = 1.5  # of the music's level: how uncertain a clipped sample is that cannot be predicted
SURE = 1.0  # standard deviations of a prediction, by its own account, below which it is sampled
LOWEST = 0.002  # of the music's level; no step goes to less noise than this, but for the last
LONGEST_PREDICTED = 4096  # samples; longer gaps are beyond prediction
SHORT = 64  # samples; for such a run a smaller predictor does, and a damaged recording may hold thousands of them
DENSITY = 0.75  # of the samples on either side that it is predicted from, so many have to be there
ROUNDS = 2  # of prediction; in the second one, neighbours have been filled in
AT_ONCE = 2**19  # samples that are predicted from together


class Run(NamedTuple):
    """Samples of one row that are missing, one after the other."""

    row: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def order(self) -> int:
        """Of the prediction."""
        return 160 if self.length <= SHORT else 320

    @property
    def around(self) -> int:
        """Samples on either side from which the predictor is learned."""
        return 1536 if self.length <= SHORT else 4096


class Beginning(NamedTuple):
    """What is known of the music before anything is sampled."""

    first: Tensor  # (B, T) the recording, with what was predicted in its gaps
    free: Tensor  # (B, T) noise level below which a sample is sampled: zero where it is known


def beginning(degradation: Samplewise, recording: Tensor, level: float, highest: float) -> Beginning:
    """Where to begin with a recording (B, T) of music of this level; what nothing is known of is free at `highest`."""
    known, sounds = degradation.known(recording), degradation.sounds(recording)
    usable = known | sounds
    first = recording.masked_fill(~usable, 0.0)
    places = predictable(~known, usable)
    uncertain = torch.zeros_like(first)
    for _ in range(ROUNDS):
        first, uncertain = predicted(first, places)
        first = degradation.faithful(first, recording)
    free = torch.where(known, 0.0, torch.where(sounds, CLIPPED * level, highest)).to(recording)
    for row, start, stop in places:
        free[row, start:stop] = SURE * uncertain[row, start:stop]
    return Beginning(first, free.clamp(max=highest))


def predictable(missing: Tensor, usable: Tensor) -> list[Run]:
    """Runs of missing samples (B, T) that are short enough, with enough that is usable (B, T) on either side."""
    counts = F.pad(usable.cpu().int().cumsum(dim=-1), (1, 0))
    last, found = missing.shape[1], []
    for row, count in enumerate(counts):
        steps = torch.diff(F.pad(missing[row].cpu().int(), (1, 1)))
        for start, stop in zip(
            (steps == 1).nonzero()[:, 0].tolist(), (steps == -1).nonzero()[:, 0].tolist(), strict=True
        ):
            run = Run(row, start, stop)
            before, after = max(0, start - run.order), min(last, stop + run.order)
            fewest = min(int(count[start] - count[before]), int(count[after] - count[stop]))
            if run.length <= LONGEST_PREDICTED and fewest >= DENSITY * run.order:
                found.append(run)
    return found


def predicted(x: Tensor, places: Sequence[Run]) -> tuple[Tensor, Tensor]:
    """x (B, T) with runs of samples as linear prediction from both sides finds them, and how uncertain it is of each.

    The least-squares solution: no other samples make the prediction error smaller (Janssen et al. 1986).
    """
    reach = max((run.around for run in places), default=0)
    wide = F.pad(x.cpu().double(), (reach, reach))  # Apple's cards know no float64
    found, uncertain = x.clone(), torch.zeros_like(x)
    for length in sorted({run.length for run in places}):
        alike = [run for run in places if run.length == length]
        order, around = alike[0].order, alike[0].around
        size = max(1, AT_ONCE // (length + 2 * around))
        for runs in (alike[i : i + size] for i in range(0, len(alike), size)):
            pieces = torch.stack(
                [wide[run.row, reach + run.start - around : reach + run.stop + around] for run in runs]
            )
            for run, piece, deviation in zip(runs, *interpolated_run(pieces, length, order), strict=True):
                if piece.isfinite().all() and deviation.isfinite().all():
                    found[run.row, run.start : run.stop] = piece.to(x)
                    uncertain[run.row, run.start : run.stop] = deviation.to(x)
    return found, uncertain


@torch.no_grad()
def fill(
    prior: Denoiser,
    degradation: Samplewise,
    recording: Tensor,
    begun: Beginning,
    sigmas: Tensor,
    noise: Noise,
    *,
    magnitude: Tensor | None = None,
    response: Curve,
    constrain: Constrain = lambda clean: clean,
    on_step: OnStep | None = None,
) -> Sampled:
    """Music (B, T) the prior believes in of which the recording would have been made.

    `magnitude` (T // 2 + 1,) is what the machine had multiplied each frequency by before; None: nothing. `constrain`
    keeps what neighbours have settled; what is known of the recording has the last word.
    """

    def heard(clean: Tensor) -> Tensor:
        return clean if magnitude is None else shaped(clean, magnitude)

    def faithful(clean: Tensor, sigma: float) -> Tensor:
        clean = constrain(clean)
        coloured = heard(clean)
        whole = degradation.faithful(torch.where(begun.free < sigma, begun.first, coloured), recording)
        if magnitude is None:
            return whole
        # Where the machine let little through, the recording's last bits would become noise.
        weight = magnitude / (magnitude**2 + (QUIETEST / min(max(sigma, QUIETEST), 1.0)) ** 2)
        return clean + shaped(whole - coloured, weight)

    clean = faithful(begun.first if magnitude is None else torch.zeros_like(recording), float("inf"))
    x = clean + float(sigmas[0]) * noise(clean.shape)
    misfit: Callable[[Tensor], float] = partial(_misfit, degradation, heard, recording)
    for step, (sigma, lower) in enumerate(pairwise(sigmas.tolist()), start=1):
        clean = faithful(prior(x, x.new_tensor(sigma)), sigma)
        x = clean + lower * noise(clean.shape) if lower > 0 else clean
        if on_step is not None:
            on_step(Progress(step, sigma, response, clean, partial(misfit, clean)))
    return Sampled(x, response, misfit(x))


def _misfit(degradation: Samplewise, heard: Constrain, recording: Tensor, clean: Tensor) -> float:
    sounds = degradation.known(recording) | degradation.sounds(recording)
    distance = ((degradation(heard(clean)) - recording) * sounds).norm()
    return float(distance / (recording * sounds).norm().clamp(min=1e-12))
