"""How far one sound is from another: levels brought together, powers of bands, log-spectral distance."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from babe2.dsp.spectra import FRAMES, bin_frequencies, decibels, power_spectrogram

Band = tuple[float, float]  # Hz

# Power of a bin below which spectra count as equal: just above noise 58 dB below a sound whose deviation is 0.08.
_EQUAL = 2e-5
FFT, HOP = 2048, 512  # of the log-spectral distance


def at_level(x: Tensor, level: float) -> Tensor:
    """x at a root mean square of `level`; silence stays as it is.

    >>> at_level(torch.tensor([3.0, -3.0]), 0.5)
    tensor([ 0.5000, -0.5000])
    """
    return x * (level / x.square().mean().sqrt().clamp(min=1e-12))


def inside(hertz: Tensor, band: Band) -> Tensor:
    """Which of some frequencies lie in a band, its ends included."""
    return (hertz >= band[0]) & (hertz <= band[1])


def band_power(x: Tensor, sample_rate: int, band: Band, fft: int, hop: int) -> Tensor:
    """The power |X|^2 (..., bins of the band, N) of x (..., T) in frames that do not reach beyond it."""
    return power_spectrogram(x, fft, hop)[..., inside(bin_frequencies(sample_rate, fft).to(x.device), band), :]


def log_spectral_distance(x: Tensor, truth: Tensor, sample_rate: int, band: Band) -> float:
    """RMS difference of two spectra in dB over a band's bins, on average over frames; both at a level near 0.08."""
    return float(_frame_distances(x, truth, sample_rate, band).mean())


def distance_of_blocks(
    blocks: Iterable[Tensor], others: Iterable[Tensor], sample_rate: int, band: Band
) -> float | None:
    """The same of two sounds of any length that come in blocks (C, n), cut anyhow, as far as both go.

    None where they are shorter than a frame.
    """
    held, beside, total, count = torch.zeros(1, 0), torch.zeros(1, 0), 0.0, 0
    rest = iter(others)
    for block in blocks:
        held = torch.cat([held, block], dim=1) if held.shape[1] else block
        while beside.shape[1] < held.shape[1] and (other := next(rest, None)) is not None:
            beside = torch.cat([beside, other], dim=1) if beside.shape[1] else other
        length = min(held.shape[1], beside.shape[1])
        frames = max(0, (length - FFT) // HOP + 1)
        for some in range(0, frames, FRAMES):
            part = slice(some * HOP, (min(some + FRAMES, frames) - 1) * HOP + FFT)
            found = _frame_distances(held[:, part], beside[:, part], sample_rate, band)
            total, count = total + float(found.sum(dtype=torch.float64)), count + found.numel()
        held, beside = held[:, frames * HOP :], beside[:, frames * HOP :]
    return total / count if count else None


def _frame_distances(x: Tensor, truth: Tensor, sample_rate: int, band: Band) -> Tensor:
    """The distance (..., N) in each frame."""
    return distance_of_powers(*(band_power(y, sample_rate, band, fft=FFT, hop=HOP) for y in (x, truth)))


def distance_of_powers(power: Tensor, true: Tensor) -> Tensor:
    """The same (..., N) of two powers (..., bins, N)."""
    difference = decibels(power + _EQUAL) - decibels(true + _EQUAL)
    return difference.square().mean(dim=-2).sqrt()
