"""CQTdiff's constant-Q transform: all rows have the same number of frames, so that it is one matrix.

A non-stationary Gabor frame after Velasco et al. 2011: every row is a window on the spectrum, and the inverse FFT of
what it sees is the row. Nothing is left out, as the first row is DC's and the last one Nyquist's. The grid is said in
DFT bins, so it does not depend on the sample rate.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from babe2.errors import RestorationError

SHORTEST_WINDOW = 4  # DFT bins

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Where the rows' windows lie, in DFT bins: DC, the constant-Q rows, Nyquist; (K + 2,)."""

    centres: Whole
    widths: Whole

    @property
    def frames(self) -> int:
        """How many frames all rows have: as many as the widest window needs."""
        return int(self.widths.max())


def rows_of(length: int, octaves: int, bins_per_octave: int) -> Rows:
    """Returns the windows for segments of `length` samples."""
    bins = octaves * bins_per_octave
    # `bins` frequencies span the octaves from end to end, up to Nyquist, where DC's mirror image has its own row.
    rising = length / 2 * 2.0 ** (octaves * np.linspace(-1, 0, bins))
    place = np.concatenate([[0.0], rising, [length / 2, length - rising[-1]]])
    widths = np.concatenate([[2 * place[1]], place[2:] - place[:-2]])
    place[bins] = place[[bins - 1, bins + 1]].mean()  # the top row is moved away from Nyquist
    return Rows(np.rint(place[:-1]).astype(np.int64), np.maximum(np.rint(widths), SHORTEST_WINDOW).astype(np.int64))


def legal(length: int, octaves: int, bins_per_octave: int, halvings: int) -> bool:
    """Whether a segment fits: it is even, and its frames can be halved so often and still be mirrored at their ends."""
    enough = length >= 2 ** (octaves + 3)  # for the lowest windows not to be one
    return length % 2 == 0 and enough and rows_of(length, octaves, bins_per_octave).frames > 2**halvings


def next_length(length: int, octaves: int, bins_per_octave: int, halvings: int) -> int:
    """Returns the shortest segment of at least `length` samples that fits: most often the next even one."""
    shortest = longest = max(length + length % 2, 2 ** (octaves + 3))
    while not legal(longest, octaves, bins_per_octave, halvings):
        longest *= 2
    even = range(shortest, longest + 1, 2)
    return even[bisect_left(even, True, key=lambda each: legal(each, octaves, bins_per_octave, halvings))]


class MatrixConstantQ(nn.Module):
    """The transform of segments (B, L), L even, into complex rows (B, K + 2, frames), lowest first, and back."""

    bin_of: Tensor  # (K + 2, frames) which DFT bin each coefficient sees
    window: Tensor  # and through how much of its window
    dual: Tensor  # the weight with which it is laid back

    def __init__(self, length: int, octaves: int, bins_per_octave: int, halvings: int) -> None:
        super().__init__()
        if not legal(length, octaves, bins_per_octave, halvings):
            raise RestorationError(
                f"A segment of {length} samples does not fit this transform, which takes even numbers. "
                f"The next length that does is {next_length(length, octaves, bins_per_octave, halvings)}."
            )
        self.length = length
        rows = rows_of(length, octaves, bins_per_octave)
        bin_of = np.zeros((len(rows.widths), rows.frames), np.int64)  # unfilled places look at DC through no window
        window = np.zeros(bin_of.shape)
        for row, (centre, width) in enumerate(zip(*rows, strict=True)):
            offset = np.arange(width) - width // 2
            # The centre comes first, so that a row's phase does not turn with its frequency.
            bin_of[row, offset] = (centre + offset) % length
            window[row, offset] = 0.5 + 0.5 * np.cos(2 * math.pi * offset / width)
        energy = np.bincount(bin_of.ravel(), (window**2).ravel(), length)
        # Of a real sound half the spectrum says all, and only that is laid.
        dual = np.where(bin_of <= length // 2, window / energy[bin_of].clip(min=1e-30), 0)
        self.register_buffer("bin_of", torch.from_numpy(bin_of.ravel()), persistent=False)
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        self.register_buffer("dual", torch.from_numpy(dual).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the rows of x (B, L)."""
        seen = torch.fft.fft(x).index_select(-1, self.bin_of).unflatten(-1, self.window.shape)
        return torch.fft.ifft(seen * self.window)

    def inverse(self, rows: Tensor) -> Tensor:
        """Returns the segments (B, L) of rows; after `forward` they are the same to rounding."""
        laid = (torch.fft.fft(rows) * self.dual).flatten(-2)
        spectrum = laid.new_zeros(*laid.shape[:-1], self.length).index_add(-1, self.bin_of, laid)
        return torch.fft.irfft(spectrum[..., : self.length // 2 + 1], n=self.length)

    def highpass(self, x: Tensor) -> Tensor:
        """Returns x: this transform carries everything."""
        return x
