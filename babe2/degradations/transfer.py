"""What happens to an old recording on its way to a file: gates, denoisers, lossy coding, coarse steps, a tilted head.

Each of these multiplies music and noise alike by gains that the two together call for, so both can be followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.distance import inside
from babe2.dsp.spectra import decibels, frames

FFT, HOP = 1024, 256  # the frames of denoisers and coders
SMEAR = 2 ** (1 / 3)  # a coder's bands are so wide

Same = Callable[[Tensor], Tensor]  # (..., T) -> (..., T), linear once its gains are fixed


@dataclass(frozen=True)
class Gate:
    """What is soft is made softer: an expander, as of a compander out of step or a gate against the hiss."""

    below_db: float = -25.0  # relative to the RMS of all: where it begins
    ratio: float = 1.0  # dB taken off for each dB below
    most_db: float = 20.0  # taken off at most
    release: float = 0.15  # seconds

    def for_sound(self, mixed: Tensor, noise: Tensor, sample_rate: int) -> Same:
        """The gains that a gate has for this sound, the same for all channels."""
        power = mixed.square().reshape(-1, mixed.shape[-1]).mean(dim=0)
        hop = max(1, round(0.01 * sample_rate))
        blocks = F.pad(power, (0, -len(power) % hop)).unflatten(0, (-1, hop)).mean(dim=1)
        smooth = max(1, round(self.release / 0.01))
        window = torch.exp(-torch.arange(4 * smooth, device=power.device) / smooth).to(power)
        held = F.conv1d(F.pad(blocks, (len(window) - 1, 0))[None, None], window.flip(0)[None, None] / window.sum())[
            0, 0
        ]
        level = decibels(held) - decibels(power.mean())
        gain_db = -(self.ratio * (self.below_db - level).clamp(min=0)).clamp(max=self.most_db)
        gain = F.interpolate(gain_db[None, None], size=len(blocks) * hop, mode="linear")[0, 0, : len(power)]
        return lambda x: x * 10 ** (gain / 20)


@dataclass(frozen=True)
class Denoiser:
    """Spectral subtraction, as of the nineties: what is near the noise is taken down, and chirps remain."""

    most_db: float = 15.0  # taken off at most
    above: float = 2.0  # times the noise's power: what is kept whole begins there

    def for_sound(self, mixed: Tensor, noise: Tensor, sample_rate: int) -> Same:
        """The gains of a denoiser for this sound, which knows the noise's average spectrum."""
        power = _frames(mixed).abs().square()
        known = _frames(noise).abs().square().mean(dim=-1, keepdim=True).clamp(min=1e-20)
        floor = 10 ** (-self.most_db / 20)
        gain = (1 - self.above * known / power.clamp(min=1e-20)).clamp(min=0).sqrt().clamp(min=floor)
        return lambda x: _unframed(_frames(x) * gain, x.shape[-1])


@dataclass(frozen=True)
class Coding:
    """Lossy coding: nothing above a wall, and holes where little sounds beside much."""

    wall_hz: float = 7000.0
    hole_db: float = 30.0  # what lies so far below its neighbourhood goes

    def for_sound(self, mixed: Tensor, noise: Tensor, sample_rate: int) -> Same:
        """The gains of a coder for this sound: one or nothing."""
        spectrum = _frames(mixed)
        power, hertz = spectrum.abs().square(), torch.fft.rfftfreq(FFT, 1 / sample_rate, device=mixed.device)
        sums = F.pad(power.cumsum(dim=-2), (0, 0, 1, 0))
        places = torch.arange(len(hertz), device=mixed.device)
        low = (places / SMEAR).floor().long()
        high = (places * SMEAR).ceil().long().clamp(max=len(hertz) - 1) + 1
        around = (sums[..., high, :] - sums[..., low, :]) / (high - low)[:, None]
        kept = (power > around * 10 ** (-self.hole_db / 10)) & (hertz < self.wall_hz)[:, None]
        wall = inside(torch.fft.rfftfreq(mixed.shape[-1], 1 / sample_rate, device=mixed.device), (0.0, self.wall_hz))

        def through(x: Tensor) -> Tensor:
            length = x.shape[-1]
            return torch.fft.irfft(torch.fft.rfft(_unframed(_frames(x) * kept, length)) * wall, length)

        return through


def tilted(x: Tensor, sample_rate: int, seconds: float) -> Tensor:
    """x (C, T) of which each further channel comes so much later: a head or needle that stands askew."""
    if x.ndim < 2 or not seconds:
        return x
    length = x.shape[-1]
    hertz = torch.fft.rfftfreq(2 * length, 1 / sample_rate, device=x.device, dtype=x.dtype)
    late = seconds * torch.arange(len(x), device=x.device, dtype=x.dtype)[:, None]
    turned = torch.fft.rfft(x, 2 * length) * torch.exp(-2j * math.pi * hertz * late)
    return torch.fft.irfft(turned, 2 * length)[..., :length]


def stepped(x: Tensor, bits: int) -> Tensor:
    """x (..., T) in so many bits, its loudest sample at full scale."""
    step = 2 * x.abs().amax().clamp(min=1e-20) / 2**bits
    return (x / step).round() * step


def saturated(x: Tensor, drive: float) -> Tensor:
    """x (..., T) bent a little at its peaks: tanh, with peaks of so many times where it begins to bend."""
    peak = x.abs().amax().clamp(min=1e-20)
    return torch.tanh(drive * x / peak) * peak / drive


def _frames(x: Tensor) -> Tensor:
    return frames(F.pad(x, (FFT, FFT)), FFT, HOP)


def _unframed(spectrum: Tensor, length: int) -> Tensor:
    """The sound (..., length) of frames (..., F, N)."""
    window = torch.hann_window(FFT, device=spectrum.device, dtype=spectrum.real.dtype)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    parts = torch.fft.irfft(flat, FFT, dim=1) * window[:, None]
    total = (flat.shape[-1] - 1) * HOP + FFT
    sums = F.fold(parts, (1, total), (1, FFT), stride=(1, HOP))[:, 0, 0] / (1.5 * FFT / HOP / 4)
    sums = F.pad(sums, (0, max(0, 2 * FFT + length - total)))
    return sums[:, FFT : FFT + length].reshape(*spectrum.shape[:-2], length)
