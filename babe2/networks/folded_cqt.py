"""The constant-Q transform of the compact network: tight (its inverse is exact) and folded (all bins share one grid).

Cosine windows in log-frequency whose squares sum to one, so that the inverse is the adjoint and nothing is lost. All
bins share one grid of frames; where a bin's band is wider than the frame rate, it has several sub-frames in each frame,
folded into channels. Coefficients are scaled so that white noise keeps its standard deviation in every one of them: a
noise level means the same in every bin.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from babe2.errors import RestorationError

HOP = 512  # samples between frames
PATCH = 4  # neighbouring bins that make one row of the network's picture
LOWEST_HZ, FADE_HZ = 20.0, 5.0  # nothing is carried below; the lowest bin reaches down to here
GRAIN = 2048  # samples, of which a segment must be a multiple: the network halves its frames twice

Array = npt.NDArray[np.float64]


def centre_frequencies(sample_rate: int, octaves: int, bins_per_octave: int) -> Array:
    """Returns the bins' centres (K,) in Hz, ascending; the next one above the last would be Nyquist."""
    bins = octaves * bins_per_octave
    centres: Array = sample_rate / 2 * 2.0 ** ((np.arange(bins) - bins) / bins_per_octave)
    return centres


def folds(sample_rate: int, octaves: int, bins_per_octave: int) -> list[int]:
    """Returns how many sub-frames each bin needs in a frame (K,): a power of two, the same over an octave."""
    tops = sample_rate / 2 * 2.0 ** (np.arange(octaves) - octaves + 1)
    frames = tops * (1 - 2 ** (-2 / bins_per_octave)) * HOP / sample_rate  # the top bin's band over the frame rate
    per_octave = 2 ** np.maximum(np.ceil(np.log2(frames * 1.0001)), 0).astype(int)
    return [int(fold) for fold in np.repeat(per_octave, bins_per_octave)]


def groups_of(sample_rate: int, octaves: int, bins_per_octave: int) -> list[tuple[int, int]]:
    """Returns runs of neighbouring bins with the same number of sub-frames, lowest first: (bins, sub-frames)."""
    return [(len(list(run)), fold) for fold, run in groupby(folds(sample_rate, octaves, bins_per_octave))]


def windows(hertz: Array, centres: Array, bins_per_octave: int) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Returns for each frequency the bin at or below it, and its gains in that bin and in the one above it (F,)."""
    carried = np.sin(np.pi / 2 * np.clip((hertz - LOWEST_HZ) / FADE_HZ, 0, 1))
    with np.errstate(divide="ignore"):
        place = np.clip(np.log2(hertz / centres[0]) * bins_per_octave, 0, len(centres) - 1)
    below = np.floor(place).astype(np.int64)
    return below, np.cos(np.pi / 2 * (place - below)) * carried, np.sin(np.pi / 2 * (place - below)) * carried


def reaches_down(sample_rate: int, octaves: int, bins_per_octave: int) -> bool:
    """Whether the lowest bin, which holds everything below it, is narrow enough for one number in each frame."""
    return float(centre_frequencies(sample_rate, octaves, bins_per_octave)[1]) - LOWEST_HZ < sample_rate / HOP


def next_length(length: int) -> int:
    """Returns the shortest segment of at least `length` samples that the transform accepts."""
    return -(-max(length, GRAIN) // GRAIN) * GRAIN


class FoldedConstantQ(nn.Module):
    """The transform of segments (B, L) into groups of rows (B, rows, frames, 2 fold PATCH), lowest first, and back."""

    bin_of: Tensor  # (N,) which DFT bin each coefficient of the flattened bins sees
    window: Tensor  # (N,) and through how much of its window
    dual: Tensor  # (N,) the weight with which it is laid back
    pass_band: Tensor  # (L // 2 + 1,) what the transform carries
    centre_bins: Tensor  # (K,) the DFT bin nearest to each centre

    def __init__(self, sample_rate: int, length: int, octaves: int, bins_per_octave: int) -> None:
        super().__init__()
        if length < GRAIN or length % GRAIN:
            raise RestorationError(
                f"A segment of {length} samples does not fit this transform, which takes multiples of {GRAIN}. "
                f"The next length that does is {next_length(length)}."
            )
        if not reaches_down(sample_rate, octaves, bins_per_octave):
            raise RestorationError(
                f"At {sample_rate} Hz {octaves} octaves leave too much to the lowest bin. Take more octaves."
            )
        self.length, self.frames = length, length // HOP
        self.groups = groups_of(sample_rate, octaves, bins_per_octave)
        self.centres = centre_frequencies(sample_rate, octaves, bins_per_octave)
        below, here, above = windows(np.arange(length // 2 + 1) * sample_rate / length, self.centres, bins_per_octave)

        laid: list[tuple[npt.NDArray[np.int64], Array, Array]] = []
        for k, fold in enumerate(folds(sample_rate, octaves, bins_per_octave)):
            first, last = np.searchsorted(below, [k - 1, k + 1])
            support = np.arange(first, last)
            gain = np.where(below[support] == k, here[support], above[support])
            support, gain = support[gain > 1e-9], gain[gain > 1e-9]
            rows, centre = self.frames * fold, round(self.centres[k] * length / sample_rate)
            # The centre comes first, so that a row's phase does not turn with the bin's frequency.
            places = (support - centre) % rows
            energy = np.sqrt(max((gain**2).sum() * length / 2, 1e-12)) / rows  # white noise's, in each part
            bin_of, window, dual = np.zeros(rows, np.int64), np.zeros(rows), np.zeros(rows)
            bin_of[places], window[places] = support, gain / energy
            dual[places] = gain * energy
            laid.append((bin_of, window, dual))
        bin_of, window, dual = (np.concatenate(parts) for parts in zip(*laid, strict=True))
        carried = here**2 + above**2
        centre_bins = np.rint(self.centres * length / sample_rate).astype(np.int64)
        self.register_buffer("centre_bins", torch.from_numpy(centre_bins), persistent=False)
        self.register_buffer("bin_of", torch.from_numpy(bin_of), persistent=False)
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        self.register_buffer("dual", torch.from_numpy(dual).float(), persistent=False)
        self.register_buffer("pass_band", torch.from_numpy(carried).float(), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns the groups of x (B, L), lowest first."""
        seen = torch.fft.rfft(x).index_select(-1, self.bin_of) * self.window
        parts = seen.split([bins * fold * self.frames for bins, fold in self.groups], dim=-1)
        groups = []
        for part, (bins, fold) in zip(parts, self.groups, strict=True):
            rows = torch.view_as_real(torch.fft.ifft(part.unflatten(-1, (bins, fold * self.frames))))
            rows = rows.reshape(len(x), bins // PATCH, PATCH, self.frames, 2 * fold).transpose(2, 3)
            groups.append(rows.flatten(-2))
        return groups

    def inverse(self, groups: list[Tensor]) -> Tensor:
        """Returns the segments (B, L) of groups; after `forward` it is `highpass`, to rounding."""
        laid = []
        for group, (bins, fold) in zip(groups, self.groups, strict=True):
            rows = group.float().unflatten(-1, (PATCH, 2 * fold)).transpose(2, 3)
            rows = rows.reshape(len(group), bins, self.frames * fold, 2)
            laid.append(torch.fft.fft(torch.view_as_complex(rows)).flatten(-2))
        weighted = torch.cat(laid, dim=-1) * self.dual
        spectrum = weighted.new_zeros(*weighted.shape[:-1], self.length // 2 + 1)
        return torch.fft.irfft(spectrum.index_add(-1, self.bin_of, weighted), n=self.length)

    def power(self, x: Tensor) -> Tensor:
        """Returns the mean square (B, K, frames) of x's (B, L) coefficients in each bin and frame."""
        parts = [group.unflatten(-1, (PATCH, -1)).square().mean(dim=-1) for group in self(x)]
        return torch.cat([part.transpose(2, 3).flatten(1, 2) for part in parts], dim=1)

    @property
    def numbers(self) -> Tensor:
        """How many numbers each bin holds in a frame (K,)."""
        parts = [torch.full((bins,), 2.0 * fold) for bins, fold in self.groups]
        return torch.cat(parts).to(self.window.device)

    def highpass(self, x: Tensor) -> Tensor:
        """Returns what of x (B, up to L) lies above 20 Hz."""
        padded = torch.fft.rfft(x, n=self.length) * self.pass_band
        return torch.fft.irfft(padded, n=self.length)[..., : x.shape[-1]]
