"""The filters of the published 78-rpm denoiser that make the upper half of the band louder before, and softer after.

Both are least-squares filters (as scipy's firls) of a magnitude that is one below a quarter of the sample rate, changes
there, linearly in power, and is ten decibels more or less above. They are run forwards and backwards, which doubles
that and delays nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TAPS = 225
EDGES = (0.45, 0.55)  # of half the sample rate: between them the magnitude changes
RISE = 10.0  # in power
POINTS = 100  # at which the magnitude is given below, between and above the edges

Doubles = npt.NDArray[np.float64]


@cache
def emphasis(inverse: bool = False) -> Tensor:
    """The taps (225,) of the filter that emphasises, or of its `inverse`: in float64, symmetric."""
    low, high = EDGES
    places = np.concatenate([np.linspace(*pair, POINTS) for pair in ((0.0, low), (low, high), (high, 1.0))])
    magnitude = np.sqrt(np.interp(places, EDGES, (1.0, RISE)))
    return torch.from_numpy(least_squares(TAPS, places, 1 / magnitude if inverse else magnitude))


@cache
def both_ways(inverse: bool = False) -> Tensor:
    """The same run forwards and then backwards, as one symmetric filter (449,)."""
    taps = emphasis(inverse).numpy()
    return torch.from_numpy(np.convolve(taps, taps))


def least_squares(taps: int, places: Doubles, magnitude: Doubles) -> Doubles:
    """The symmetric filter of an odd number of taps whose magnitude is nearest to a wish, in the mean square.

    The wish is a straight line from the first place to the second, from the third to the fourth, and so on; 1 is half
    the sample rate. What lies between the second and the third counts for nothing.
    """
    half = taps // 2
    (first, last), (left, right) = places.reshape(-1, 2).T, magnitude.reshape(-1, 2).T
    slope = (right - left) / (last - first)
    orders = np.arange(taps)[:, None]
    # Integrals over all bands of cos(pi k f), and of the wish times that.
    cosines = (last * np.sinc(orders * last) - first * np.sinc(orders * first)).sum(axis=1)
    k = orders[1 : half + 1]

    def integral(wish: Doubles, place: Doubles) -> Doubles:
        return wish * np.sin(np.pi * k * place) / (np.pi * k) + slope * np.cos(np.pi * k * place) / (np.pi * k) ** 2

    wished = (integral(right, last) - integral(left, first)).sum(axis=1)
    mean = ((left + right) / 2 * (last - first)).sum()
    m = np.arange(half + 1)
    matrix = cosines[np.abs(m[:, None] - m)] + cosines[m[:, None] + m]
    found = np.linalg.solve(matrix, np.concatenate([[mean], wished]))
    return np.concatenate([found[:0:-1], [2 * found[0]], found[1:]])
