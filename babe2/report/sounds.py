"""Sounds as reports look at them, without drawing anything."""

from __future__ import annotations

import numpy.typing as npt
from torch import Tensor

from babe2.dsp.excerpts import excerpts
from babe2.dsp.spectra import average_power
from babe2.dsp.waveform import as_channels

Sound = tuple[npt.ArrayLike | Tensor, int]  # (channels, samples) or (samples,), and its sample rate in Hz

OCTAVES_HZ = (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)


def average_spectrum(sound: Sound) -> Tensor:
    """The average power spectrum (F,) of a sound in frames of a fifth of a second."""
    fft = 2 * (sound[1] // 10)
    return average_power(excerpts(as_channels(*sound), sound[1]).audio, fft, fft // 2)
