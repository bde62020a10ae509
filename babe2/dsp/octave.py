"""Sound an octave higher: partials of twice the frequency, as loud as those that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

EDGE = 0.03  # of its frequency: how wide the border between two bands is
SETTLED = 4096  # samples, after which nothing is left of what lies beyond the ends of a piece
SLOWER = 4  # a band alone needs only every so many samples
SMALLEST = 1e-24  # power


def octave_higher(x: Tensor, sample_rate: int, edges: Sequence[float], gains: Sequence[float]) -> Tensor:
    """All between the first and the last of `edges` (Hz) in x (C, T), an octave higher: (C, T).

    Each band between two neighbouring edges has its gain. A band as an analytic signal is r e^(j phase); what is given
    is the real part of r e^(2j phase). A delay between two channels stays the delay that it was. T is a multiple of 4.
    """
    spectrum = torch.zeros(len(x), x.shape[1] // 2 + 1, dtype=torch.complex64)
    for gain, (first, part) in zip(gains, _bands(x, sample_rate, edges), strict=True):
        spectrum[:, first : first + part.shape[1]] += gain * part
    hertz = torch.fft.rfftfreq(x.shape[1], 1 / sample_rate)
    return torch.fft.irfft(spectrum * above(hertz, 2 * edges[0] * (1 + EDGE / 2)), x.shape[1])


def octave_powers(x: Tensor, sample_rate: int, edges: Sequence[float]) -> Tensor:
    """How loud each band of that is: the mean square over all channels (B,)."""
    parts = (part.abs().square().sum() for _, part in _bands(x, sample_rate, edges))
    return 2 * torch.stack(list(parts)) / (len(x) * float(x.shape[1]) ** 2)


def _bands(x: Tensor, sample_rate: int, edges: Sequence[float]) -> Iterator[tuple[int, Tensor]]:
    """Each band an octave higher, as a part (C, n) of a real FFT and the bin at which it begins.

    The band is shifted down to zero first, where few samples tell all of it.
    """
    length = x.shape[1]
    slow = length // SLOWER
    heard = torch.fft.rfft(x)
    for window in _windows(length, sample_rate, tuple(edges)):
        last = window.first + len(window.gain)
        centre = (window.first + last) // 2
        shifted = torch.zeros(len(x), slow, dtype=torch.complex64)
        shifted[:, : last - window.first] = heard[:, window.first : last] * (window.gain / SLOWER)
        band = torch.fft.ifft(shifted.roll(window.first - centre, dims=1))
        power = torch.view_as_real(band).square().sum(dim=-1)
        doubled = torch.fft.fft(band * band * (power + SMALLEST).rsqrt()) * (SLOWER / 2)
        first = 2 * centre - slow // 2
        part = doubled.roll(slow // 2, dims=1)
        low, high = max(0, -first), min(slow, length // 2 + 1 - first)
        yield first + low, part[:, low:high]


class _Window(NamedTuple):
    """What a band takes of a spectrum."""

    first: int  # bin
    gain: Tensor  # (n,) twice what it is, as an analytic signal has no other half


@lru_cache(maxsize=4)
def _windows(length: int, sample_rate: int, edges: tuple[float, ...]) -> list[_Window]:
    hertz = torch.fft.rfftfreq(length, 1 / sample_rate)
    windows = []
    for lower, upper in pairwise(edges):
        gain = 2 * (above(hertz, lower) - above(hertz, upper))
        inside = gain.nonzero().flatten()
        first, last = int(inside[0]), int(inside[-1]) + 1
        windows.append(_Window(first, gain[first:last]))
    return windows


def above(hertz: Tensor, edge: float) -> Tensor:
    """A gain (F,) that rises from 0 to 1 around an edge (Hz).

    >>> above(torch.tensor([900.0, 1000.0, 1100.0]), 1000.0)
    tensor([0.0000, 0.5000, 1.0000])
    """
    place = ((hertz / edge - 1) / EDGE + 0.5).clamp(0, 1)
    return (1 - torch.cos(torch.pi * place)) / 2
