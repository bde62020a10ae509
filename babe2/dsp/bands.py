"""Bands of a fraction of an octave: in which levels are told, and over which spectra are averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BANDS_PER_OCTAVE = 6
LOWEST_HZ = 25.0
_TO_EDGE = 2 ** (0.5 / BANDS_PER_OCTAVE)  # from a band's centre to its edges, as a factor


@dataclass(frozen=True, eq=False)
class Bands:
    """Bands of a sixth of an octave, side by side: the power in them adds up to the whole."""

    centres: Tensor  # (K,) Hz, ascending

    @staticmethod
    def below_nyquist(sample_rate: int) -> Bands:
        """All bands from 25 Hz to half the sample rate; one is centred on 1 kHz.

        >>> Bands.below_nyquist(8000).centres[-6:].round().int()
        tensor([2000, 2245, 2520, 2828, 3175, 3564], dtype=torch.int32)
        """
        first = math.ceil(BANDS_PER_OCTAVE * math.log2(LOWEST_HZ / 1000))
        last = math.floor(BANDS_PER_OCTAVE * math.log2(sample_rate / 2000 / _TO_EDGE))
        return Bands(1000 * 2 ** (torch.arange(first, last + 1, dtype=torch.float64) / BANDS_PER_OCTAVE))

    def between(self, low_hz: float, high_hz: float) -> Bands:
        """Those centred from one frequency up to, but not on, another."""
        return Bands(self.centres[(self.centres >= low_hz) & (self.centres < high_hz)])

    @property
    def low(self) -> Tensor:
        """The lower edges (K,), Hz."""
        return self.centres / _TO_EDGE

    @property
    def high(self) -> Tensor:
        """The upper edges (K,), Hz."""
        return self.centres * _TO_EDGE

    def shares(self, sample_rate: int, bins: int) -> Tensor:
        """How much of each bin of a one-sided spectrum lies in each band (bins, K): power @ shares is theirs."""
        spacing = sample_rate / 2 / (bins - 1)
        shares = torch.zeros(bins, len(self.centres), dtype=torch.float64)
        for band, (low, high) in enumerate(zip(self.low.tolist(), self.high.tolist(), strict=True)):
            first, stop = math.floor(low / spacing), math.ceil(high / spacing) + 1  # all bins that reach it
            first, stop = min(first, bins), min(stop, bins)  # a band may lie above them all
            hertz = spacing * torch.arange(first, stop, dtype=torch.float64)
            inside = (hertz + spacing / 2).clamp(max=high) - (hertz - spacing / 2).clamp(min=low)
            shares[first:stop, band] = (inside / spacing).clamp(min=0)
        return shares

    def holding(self, hertz: Tensor) -> Tensor:
        """Which of the bands holds each of some frequencies (N,): (N, K), true or false."""
        return (hertz[:, None] > self.low) & (hertz[:, None] < self.high)


def run_around(true: Tensor, place: int) -> tuple[int, int]:
    """The first and the last of the places beside one another, around a given one, at which `true` (K,) holds.

    >>> run_around(torch.tensor([True, False, True, True]), 2)
    (2, 3)
    """
    first = last = place
    while first > 0 and true[first - 1]:
        first -= 1
    while last + 1 < len(true) and true[last + 1]:
        last += 1
    return first, last


def octave_means(hertz: Tensor, sample_rate: float, fft: int) -> Tensor:
    """The weights (K, F) that average a one-sided spectrum around each of `hertz` (K,); every octave counts alike.

    Each row is a Gaussian a third of an octave wide with a sum of one, or zero where it meets no bin; DC is left out.
    """
    bins = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64)[1:]
    away = bins.log2()[None] - hertz.log2()[:, None]
    weights = torch.exp(-0.5 * (away * 8) ** 2) / bins
    return torch.nn.functional.pad(weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-300), (1, 0))
