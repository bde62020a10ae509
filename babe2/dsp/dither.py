"""Rounding to whole steps so that what is lost is a steady hiss, and not a distortion of quiet sound."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Dither = Literal["none", "triangular", "shaped"]
STEPS = 2.0**23  # of 24 bits, to full scale


def rounded(x: Tensor, kind: Dither, seed: tuple[int, ...]) -> Tensor:
    """x (C, T), full scale 1, on the grid of 24 bits.

    none: to the nearest step. triangular: with noise of two uniform draws first, so that the error's mean and power do
    not follow the sound: a hiss of -144.5 dB. shaped: the same, and the error is fed back twice, so that it falls by
    12 dB per octave towards the low frequencies and is 12 dB more at the highest.

    >>> rounded(torch.tensor([[0.3, 2.7, -2.7]]) / STEPS, "none", (0,)) * STEPS
    tensor([[ 0.,  3., -3.]])
    """
    steps = x.double() * STEPS
    if kind != "none":
        first, second = np.random.default_rng(seed).random((2, *x.shape))
        noise = torch.from_numpy(first - second)
        steps = _shaped(steps, noise) if kind == "shaped" else (steps + noise).round()
    else:
        steps = steps.round()
    return (steps.clamp(-STEPS, STEPS - 1) / STEPS).float()


def _shaped(steps: Tensor, noise: Tensor) -> Tensor:
    """Rounded so that the error is e_n - 2 e_{n-1} + e_{n-2}, where e is that of a single rounding.

    What was rounded before is whole, so that y_n = round(...) is a difference of sums: with X the sum of the sums of x,
    y is the second difference of round(X + noise).
    """
    whole = steps.round()
    sums = (steps - whole).cumsum(dim=1).cumsum(dim=1)
    made = (sums + noise).round()
    before = torch.nn.functional.pad(made, (2, 0))
    return whole + made - 2 * before[:, 1:-1] + before[:, :-2]
