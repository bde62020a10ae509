"""Mel bands: the ways in which published networks have them, and an embedding made of nothing else."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from babe2.dsp.spectra import bin_frequencies, frames

LINEAR_HZ, LINEAR_STEP = 1000.0, 200 / 3  # Slaney's scale is straight up to there, so many Hz for each mel
LOG_STEP = math.log(6.4) / 27  # and beyond, so much of a logarithm


def htk_bands(sample_rate: int, fft: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Weights (fft / 2 + 1, bands) of triangles over HTK's mel scale, straight in mel; DC has none."""
    mel = 1127 * torch.log1p(bin_frequencies(sample_rate, fft).double() / 700)
    low, high = (1127 * math.log1p(hertz / 700) for hertz in (low_hz, high_hz))
    weights = _triangles(mel, torch.linspace(low, high, bands + 2, dtype=torch.float64))
    weights[0] = 0
    return weights.float()


def slaney_bands(sample_rate: int, fft: int, bands: int) -> Tensor:
    """Weights (fft / 2 + 1, bands) of triangles of equal area over Slaney's mel scale up to Nyquist, librosa's."""
    top = LINEAR_HZ / LINEAR_STEP + math.log(max(sample_rate / 2, LINEAR_HZ) / LINEAR_HZ) / LOG_STEP
    mel = torch.linspace(0, top, bands + 2, dtype=torch.float64)
    beyond = LINEAR_HZ * torch.exp(LOG_STEP * (mel - LINEAR_HZ / LINEAR_STEP))
    hertz = torch.where(mel * LINEAR_STEP < LINEAR_HZ, mel * LINEAR_STEP, beyond)
    return (_triangles(bin_frequencies(sample_rate, fft).double(), hertz) * 2 / (hertz[2:] - hertz[:-2])).float()


def _triangles(places: Tensor, corners: Tensor) -> Tensor:
    """(F, K) from corners (K + 2,): rising from one to the next, and falling to the one after."""
    rising = (places[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - places[:, None]) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


class LogMel:
    """The mean level of each mel band in a second of sound, and how it moves: no weights, so it is always there.

    It was trained on nothing and hears colour, band and liveliness; what is music and what is noise, it does not know.
    """

    name: ClassVar[str] = "log-mel"
    identity: ClassVar[str] = "log-mel 1"
    sample_rate: ClassVar[int] = 22050
    window: ClassVar[int] = 22050
    hop: ClassVar[int] = 11025
    _fft, _bands, _floor = 1024, 40, 1e-7  # 70 dB below a full scale whose power is one

    def __init__(self) -> None:
        self._weights = slaney_bands(self.sample_rate, self._fft, self._bands)

    def __call__(self, windows: Tensor) -> Tensor:
        power = frames(windows.cpu(), self._fft, self._fft // 2).abs().square() / self._fft
        level = torch.log10(power.mT @ self._weights + self._floor)  # (B, N, bands)
        return torch.cat([level.mean(dim=1), level.std(dim=1)], dim=1)


def at_sixteen_bits(power: Tensor) -> Tensor:
    """As features were stored for training: half precision."""
    return power.clamp(max=float(np.finfo(np.float16).max)).half().float()
