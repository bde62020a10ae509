"""The true peak of sound: how loud it gets between its samples, too, and gains that keep it below a ceiling.

ITU-R BS.1770 (Annex 2) asks for four times as many samples or more; here they are eight times as many, so that a
sine at three quarters of the band is read at most 0.1 dB too low.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.tape import Tape

TIMES, TAPS, BETA = 8, 32, 8.0  # points to a sample, and the windowed sinc between them
BLOCK = 2**16


def true_peak(tape: Tape) -> float:
    """The highest point of all channels, full scale 1."""
    starts = range(0, tape.samples, BLOCK)
    return max((float(peaks(tape, start, min(start + BLOCK, tape.samples)).max()) for start in starts), default=0.0)


def peaks(tape: Tape, start: int, stop: int) -> Tensor:
    """How loud each sample of a range is (stop - start,), or any point up to its neighbours; of all channels.

    >>> from babe2.dsp.tape import MemoryTape
    >>> quarter = torch.sin(torch.pi / 2 * torch.arange(400) + torch.pi / 4)[None]  # no sample meets its peak of 1
    >>> peaks(MemoryTape(quarter), 200, 201)
    tensor([1.0000])
    """
    x = tape.read(start - TAPS // 2, stop + TAPS // 2)
    between = F.conv1d(x[:, None], _interpolator().to(x)).abs_().amax(dim=(0, 1))  # from each sample to the next
    return between[:-1].maximum(between[1:])


@lru_cache(maxsize=1)
def _interpolator() -> Tensor:
    """The weights (TIMES, 1, TAPS) of the samples around each point from a sample up to the next."""
    behind = torch.arange(TIMES, dtype=torch.float64)[:, None] / TIMES
    away = torch.arange(TAPS, dtype=torch.float64) - (TAPS // 2 - 1) - behind
    window = torch.special.i0(BETA * (1 - (2 * away / TAPS).square()).clamp(min=0).sqrt())
    weights = torch.sinc(away) * window
    return (weights / weights.sum(dim=1, keepdim=True))[:, None]


def limiting_gain(over_db: Tensor, look_ahead: int, release_db: float) -> Tensor:
    """The gain in dB (T - 2 * look_ahead,) that is never above -over_db (T,) and moves without a jolt.

    `over_db` is by how much each sample is too loud, 0 or more. The gain begins to fall `look_ahead` samples before a
    peak; behind it, it rises by `release_db` a sample.
    """
    place = torch.arange(len(over_db), dtype=torch.float64) * release_db
    falling = (over_db.double() + place).cummax(dim=0).values - place
    # A mean of values of which none is too small.
    return -_mean(_mean(_highest(falling, look_ahead + 1), look_ahead // 2 + 1), look_ahead - look_ahead // 2 + 1)


def _highest(x: Tensor, size: int) -> Tensor:
    """The highest of every `size` neighbours of x (T,): (T - size + 1,)."""
    reached = 1
    while reached < size:
        step = min(reached, size - reached)
        x, reached = x[:-step].maximum(x[step:]), reached + step
    return x


def _mean(x: Tensor, size: int) -> Tensor:
    """The mean of every `size` neighbours of x (T,): (T - size + 1,)."""
    sums = F.pad(x.cumsum(dim=0), (1, 0))
    return (sums[size:] - sums[:-size]) / size


def release_reach(over_db: float, release_db: float) -> int:
    """For how many samples a peak so far over the ceiling is heard in the gain."""
    return math.ceil(over_db / release_db)
