"""How far one sound is from another: levels brought together, powers of bands, log-spectral distance."""

from __future__ import annotations

from torch import Tensor

from babe2.dsp.spectra import bin_frequencies, decibels, power_spectrogram

Band = tuple[float, float]  # Hz

# Power of a bin below which spectra count as equal: just above noise 58 dB below a sound whose deviation is 0.08.
_EQUAL = 2e-5


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
    levels = (decibels(band_power(y, sample_rate, band, fft=2048, hop=512) + _EQUAL) for y in (x, truth))
    difference = next(levels) - next(levels)
    return float(difference.square().mean(dim=-2).sqrt().mean())
