"""The low-passes of BEHM-GAN: the bank it was trained with, and the one it was tried out with.

The bank's filters are short and have gentle slopes, each of its own cut-off, so that the network does not learn to
expect one: 25 taps in a rectangular window, N(3500 Hz, 300 Hz). What it was tried out with is a Butterworth filter of
the sixth order at 3 kHz, run forwards only, so that it also delays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from babe2.degradations.base import Degradation
from babe2.errors import RestorationError

TAPS = 25
FILTERS, MEAN_HZ, SPREAD_HZ = 300, 3500.0, 300.0
BANK_SEED = 43
ORDER, TEST_HZ = 6, 3000.0
FADED = 1e-12  # of the loudest sample of an impulse response, below which it has ended


@dataclass(frozen=True, eq=False)
class FirLowpass(Degradation):
    """A symmetric filter, which delays nothing."""

    taps: Tensor  # (N,) of odd number, summing to one

    def __call__(self, clean: Tensor) -> Tensor:
        return _convolved(clean, self.taps, ahead=len(self.taps) // 2)


@dataclass(frozen=True)
class ButterworthLowpass(Degradation):
    """A causal filter without a ripple; `clamped`, it cuts off what goes beyond 1, as the published program did."""

    sample_rate: int
    cutoff_hz: float = TEST_HZ
    order: int = ORDER
    clamped: bool = False

    def __call__(self, clean: Tensor) -> Tensor:
        heard = _convolved(clean, self.impulse_response)
        return heard.clamp(-1, 1) if self.clamped else heard

    @cached_property
    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Of the recursion y[t] = sum b[k] x[t - k] - sum a[k] y[t - k]: b and a (order + 1,), a[0] being 1."""
        _check_cutoff(self.cutoff_hz, self.sample_rate)
        # The analog filter's poles lie on a circle; the bilinear transform brings them inside that of the digital one,
        # and the cut-off, warped before, to where it belongs.
        radius = math.tan(math.pi * self.cutoff_hz / self.sample_rate)
        angles = np.pi * (2 * np.arange(self.order) + self.order + 1) / (2 * self.order)
        poles = radius * np.exp(1j * angles)
        a = np.poly((1 + poles) / (1 - poles)).real
        b = np.poly(-np.ones(self.order))
        return torch.from_numpy(b * (a.sum() / b.sum())), torch.from_numpy(a)  # of gain one at 0 Hz

    @cached_property
    def impulse_response(self) -> Tensor:
        """(N,), as long as it is anything beside float32's rounding."""
        b, a = (part.tolist() for part in self.coefficients)
        response: list[float] = []
        longest = 64 * math.ceil(self.sample_rate / self.cutoff_hz) * self.order
        for t in range(longest):
            fed = b[t] if t < len(b) else 0.0
            response.append(fed - sum(a[k] * response[t - k] for k in range(1, min(t, self.order) + 1)))
        found = torch.tensor(response, dtype=torch.float64)
        loud = (found.abs() > FADED * found.abs().max()).nonzero()
        return found[: int(loud[-1]) + 1]


def bank(sample_rate: int = 22050, count: int = FILTERS, seed: int = BANK_SEED) -> list[FirLowpass]:
    """The published bank, from which each batch of a training draws one."""
    return [fir_lowpass(hertz, sample_rate) for hertz in cutoffs(count, seed)]


def cutoffs(count: int = FILTERS, seed: int = BANK_SEED) -> list[float]:
    """The published bank's cut-offs in Hz."""
    drawn = np.random.RandomState(seed)  # as published; the newer generators draw other numbers
    return [float(hertz) for hertz in drawn.normal(MEAN_HZ, SPREAD_HZ, count)]


def fir_lowpass(cutoff_hz: float, sample_rate: int, taps: int = TAPS) -> FirLowpass:
    """The ideal low-pass, cut to so many taps, of gain one at 0 Hz.

    The published program asks for a Kaiser window with a slope of 1 Hz, which is a rectangular one.
    """
    _check_cutoff(cutoff_hz, sample_rate)
    place = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    ideal = torch.sinc(2 * cutoff_hz / sample_rate * place)
    return FirLowpass(ideal / ideal.sum())


def _check_cutoff(cutoff_hz: float, sample_rate: int) -> None:
    if not 0 < cutoff_hz < sample_rate / 2:
        raise RestorationError(
            f"At {sample_rate} Hz a low-pass cuts off between 0 and {sample_rate / 2:g} Hz, not at {cutoff_hz:g} Hz. "
            "Choose a frequency in between."
        )


def _convolved(x: Tensor, taps: Tensor, ahead: int = 0) -> Tensor:
    """x (B, T) through a filter that begins `ahead` samples before what it is heard of, with silence around."""
    length = x.shape[-1]
    size = length + len(taps) - 1
    spectrum = torch.fft.rfft(x, n=size) * torch.fft.rfft(taps.to(x), n=size)
    return torch.fft.irfft(spectrum, n=size)[..., ahead : ahead + length]
