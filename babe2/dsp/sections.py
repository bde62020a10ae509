"""Filters as what they do to each frequency, and sound through them: causal ones, that ring for a while."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from babe2.dsp.tape import Tape

RINGING_SECONDS = 0.25  # after which a high-pass at 20 Hz is 270 dB down


def through(recording: Tape, response: Tensor, ringing: int, start: int, stop: int) -> Tensor:
    """A range of a recording (C, T) through a causal filter, in float64; before its beginning there was silence.

    `response` (F,) is that at each bin of a real FFT of twice F - 1 samples or more than the range and its ringing.
    """
    length = 2 * (len(response) - 1)
    x = recording.read(start - ringing, start - ringing + length).double()
    return torch.fft.irfft(torch.fft.rfft(x) * response, length)[:, ringing : ringing + stop - start]


def first_order(hertz: Tensor, sample_rate: int, corner: float, *, high_pass: bool) -> Tensor:
    """A first-order low-pass or high-pass (F,), complex: the bilinear transform of the analogue one."""
    delay = _delay(hertz, sample_rate)
    n = math.tan(math.pi * corner / sample_rate)
    above = (1 - delay) if high_pass else n * (1 + delay)
    return above / (n + 1 + (n - 1) * delay)


def band_pass(hertz: Tensor, sample_rate: int, low: float, high: float, order: int) -> Tensor:
    """A Butterworth band-pass (F,), complex, of twice the order: the bilinear transform, exact at both edges."""
    delay = _delay(hertz, sample_rate)
    first, last = (math.tan(math.pi * edge / sample_rate) for edge in (low, high))
    # s = (1 - z^-1) / (1 + z^-1), and the low-pass behind it at (s^2 + first last) / (s (last - first)); both times
    # (1 + z^-1)^2, which is zero at half the rate.
    square, level, part = (1 - delay) ** 2, (1 + delay) ** 2, (1 - delay**2) * (last - first)
    made = torch.ones_like(delay)
    for k in range(order):
        pole = complex(
            torch.exp(torch.tensor(1j * math.pi * (2 * k + order + 1) / (2 * order), dtype=torch.complex128))
        )
        made = made * part / (square + first * last * level - pole * part)
    return made


def _delay(hertz: Tensor, sample_rate: int) -> Tensor:
    """What a delay of one sample does to each frequency (F,)."""
    return torch.exp(-2j * math.pi * hertz.double() / sample_rate)
