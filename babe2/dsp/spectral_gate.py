"""A stationary spectral gate: whatever does not stand out of the noise of its frequency is lowered.

As published it is what noisereduce 3.0.3 does, to 8e-9 in float64: frames of 1024, thresholds of mean and 1.5 standard
deviations of the level in dB, and a mask smoothed over neighbouring frequencies and moments.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.spectra import decibels

FFT, HOP = 1024, 256
ABOVE = 1.5  # standard deviations above the mean level of noise
SMOOTH_HZ, SMOOTH_SECONDS = 500, 0.05
EAGER, MOST_BINS = 4.0, 8  # where it is not as published
RANGE_DB = 80.0  # below the loudest moment of a frequency, all is the same
LONGEST = 600_000  # samples that are gated at once, and by which thresholds are told
MARGIN = 30_000  # samples on either side that are heard with them
EPSILON = torch.finfo(torch.float64).eps


def spectrogram(x: Tensor) -> Tensor:
    """x (C, T) -> complex frames (C, F, N), the first centred on its beginning; zeros lie around it."""
    window = torch.hann_window(FFT, dtype=x.dtype)
    return torch.stft(F.pad(x, (FFT // 2, FFT // 2)), FFT, HOP, FFT, window, False, return_complex=True) / window.sum()


def sound(spectrum: Tensor, length: int) -> Tensor:
    """Back from `spectrogram`, least-squares: (C, F, N) -> (C, length); zeros behind the last frame's centre."""
    window = torch.hann_window(FFT, dtype=spectrum.real.dtype)
    made = torch.istft(spectrum * window.sum(), FFT, HOP, FFT, window)[:, :length]
    return F.pad(made, (0, length - made.shape[1]))


def levels(amplitude: Tensor) -> Tensor:
    """The levels (F, N) of amplitudes (F, N), dB, each frequency's at most 80 dB below its loudest."""
    level = 20 * torch.log10(amplitude + EPSILON)
    return level.maximum(level.amax(dim=1, keepdim=True) - RANGE_DB)


def thresholds(level: Tensor) -> Tensor:
    """What noise of these levels (F, N) seldom passes at each frequency (F,)."""
    return level.mean(dim=1) + ABOVE * level.std(dim=1, correction=0)


def mask(open_: Tensor, amount: float, reach: tuple[int, int], eager: float = 1.0) -> Tensor:
    """By what each place (F, N) is to be multiplied: 1 where all around is `open_`, 1 - amount where nothing is.

    Around is a triangle that has a `reach` of so many bins and frames. A place is open in full where only one part in
    `eager` of it is: at 1, as published, a lone partial would be lowered like the noise beside it.
    """
    bins, frames = reach
    smooth = _triangle(_triangle(open_, frames).T.contiguous(), bins).T
    return 1 - amount + amount * (eager * smooth).clamp(max=1)


def mask_as_published(open_: Tensor, amount: float, reach: tuple[int, int]) -> Tensor:
    """The same, but smoothed after the noise was lowered: beyond its ends there is nothing, which is less than that."""
    bins, frames = reach
    return _triangle(_triangle(open_ * amount + (1 - amount), frames).T.contiguous(), bins).T


def widths(sample_rate: int) -> tuple[int, int]:
    """Over how many neighbouring frequencies and moments, on either side, the mask is smoothed.

    >>> widths(32000)
    (8, 6)
    """
    bins = int(SMOOTH_HZ / (sample_rate / (FFT / 2)))
    return bins, int(1000 * SMOOTH_SECONDS / (HOP / sample_rate * 1000))


def _triangle(x: Tensor, reach: int) -> Tensor:
    """x (N, M) smoothed along M by a triangle that reaches so far to either side and has a sum of one; zeros around.

    A triangle is a box after a box.

    >>> _triangle(torch.tensor([[0.0, 0, 4, 0, 0]]), 1)
    tensor([[0., 1., 2., 1., 0.]])
    """
    return _box(_box(F.pad(x, (reach, reach)), reach + 1), reach + 1)


def _box(x: Tensor, size: int) -> Tensor:
    """The mean of every `size` neighbours of x (N, M): (N, M - size + 1). Faster than `avg_pool1d` for so few."""
    count = x.shape[1] - size + 1
    total = x[:, :count].clone()
    for shift in range(1, size):
        total += x[:, shift : shift + count]
    return total / size


def gated(x: Tensor, threshold: Tensor, amount: float, sample_rate: int) -> Tensor:
    """x (C, T) under one mask for all channels, made of their mean power."""
    spectrum = spectrogram(x)
    level = decibels(spectrum.abs().square_().mean(dim=0))
    bins, frames = widths(sample_rate)
    made = mask((level > threshold[:, None]).to(x), amount, (min(bins, MOST_BINS), frames), EAGER)
    return sound(spectrum * made, x.shape[1])


def gated_as_published(x: Tensor, threshold: Tensor, amount: float, sample_rate: int) -> Tensor:
    """One channel x (1, T)."""
    spectrum = spectrogram(x)
    open_ = levels(spectrum[0].abs()) > threshold[:, None]
    return sound(spectrum * mask_as_published(open_.to(x), amount, widths(sample_rate)), x.shape[1])
