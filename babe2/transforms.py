"""Tensor in, tensor out: short-time spectra, decibels, long-term average spectra and sample rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Window = Callable[[int], Tensor]
QUIETEST = 1e-30  # power below which there is no signal to speak of


def decibels(power: Tensor) -> Tensor:
    return 10 * torch.log10(power.clamp(min=QUIETEST))


def amplitude(gain_db: Tensor) -> Tensor:
    return 10 ** (gain_db / 20)


def bin_frequencies(sample_rate: float, fft: int) -> Tensor:
    """The frequencies (fft / 2 + 1,) of a real FFT's bins, Hz."""
    return torch.fft.rfftfreq(fft, 1 / sample_rate)


def framed_spectrum(x: Tensor, fft: int) -> Tensor:
    """x (B, T) -> the complex frames (B, F, N) in which the equalizer works: half-overlapping periodic Hamming windows.

    The end is padded by one window, so that every sample but the first few lies under two of them.
    """
    window = torch.hamming_window(fft, device=x.device, dtype=x.dtype)
    return torch.stft(F.pad(x, (0, fft)), fft, fft // 2, window=window, center=False, return_complex=True)


def unframed(frames: Tensor, fft: int, length: int) -> Tensor:
    """Back from `framed_spectrum`, least-squares: (B, F, N) -> (B, length)."""
    window = torch.hamming_window(fft, device=frames.device, dtype=frames.real.dtype)
    return torch.istft(frames, fft, fft // 2, window=window, center=False)[..., :length]


def ltas(x: Tensor, fft: int, window: int, hop: int) -> Tensor:
    """Long-term average spectrum (fft / 2 + 1,) of x (B, T): power, per sum of the periodic Hann window."""
    frames = _centred_frames(x, fft, window, hop) / torch.hann_window(window, device=x.device).sum().sqrt()
    return frames.abs().square().mean(dim=(0, 2))


def smooth_octaves(power: Tensor, sample_rate: float, fraction: float = 3) -> Tensor:
    """A one-sided power spectrum (F,) averaged by a Gaussian as wide as 1/`fraction` octave at each bin; DC is kept."""
    frequencies = torch.linspace(0, sample_rate / 2, len(power), dtype=torch.float64)
    centres = frequencies[1:, None]
    weights = torch.exp(-((frequencies - centres) ** 2) / (2 * (centres / fraction / math.pi) ** 2))
    smoothed = (weights / weights.sum(dim=1, keepdim=True)) @ power.cpu().double()
    return torch.cat([power[:1], smoothed.to(power)])


def equalise(x: Tensor, gain: Tensor, fft: int, window: int, hop: int) -> Tensor:
    """x (B, T) with each bin of its short-time spectrum multiplied by `gain` (fft / 2 + 1,)."""
    frames = _centred_frames(x, fft, window, hop) * gain[:, None]
    padded = max(x.shape[-1], fft // 2 + 1)
    hann = torch.hann_window(window, device=x.device)
    return torch.istft(frames, fft, hop, window, hann, length=padded)[..., : x.shape[-1]]


def _centred_frames(x: Tensor, fft: int, window: int, hop: int) -> Tensor:
    if x.shape[-1] <= fft // 2:  # too short to mirror at its ends
        x = F.pad(x, (0, fft // 2 + 1 - x.shape[-1]))
    hann = torch.hann_window(window, device=x.device)
    return torch.stft(x, fft, hop, window, hann, center=True, return_complex=True)


def resample(x: Tensor, rate: int, new_rate: int) -> Tensor:
    """x (B, T) at `rate` -> (B, ceil(T * new_rate / rate)) at `new_rate`, linear phase, alias-free to the last bit."""
    if rate == new_rate:
        return x
    import soxr

    length = -(-x.shape[-1] * new_rate // rate)
    out = soxr.resample(x.T.cpu().numpy().astype(np.float32), rate, new_rate, quality="VHQ").T
    out = np.pad(out, ((0, 0), (0, max(0, length - out.shape[1]))))[:, :length]
    return torch.from_numpy(np.ascontiguousarray(out)).to(x.device)
