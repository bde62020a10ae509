"""How far samples of one restoration differ in each cell: in level, and as sound."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from babe2.certainty.cells import Held
from babe2.dsp.spectra import decibels

FLOOR_DB = -80.0  # below the loudest cell: what is weaker counts as that much
NEAR = 3  # cells and bands, around each, whose spread counts for its own: three samples alone say little of it


def levels(power: Tensor) -> Tensor:
    """The level of each cell of samples (S, N, K), dB, none of them lower than the floor."""
    return decibels(power).clamp(min=float(decibels(power[0].max())) + FLOOR_DB)


def spread(found: Tensor) -> Tensor:
    """How far levels (S, N, K) of samples differ: the standard deviation of one (N, K), dB, near cells together."""
    return around(found.var(dim=0)).sqrt()


def agreement_db(held: Held) -> Tensor:
    """By how much a sample is stronger, as sound, than what it departs from the mean of all (N, K), dB.

    A prior alone never makes the same waveform twice: where samples are one sound, the recording has fixed it.
    """
    return decibels(around(held.power.mean(dim=0))) - decibels(around(held.apart))


def around(cells: Tensor) -> Tensor:
    """The mean of each cell (N, K) and those near it."""
    return F.avg_pool2d(cells[None], NEAR, stride=1, padding=NEAR // 2, count_include_pad=False)[0]
