"""The invertible constant-Q transform the network lives in.

A non-stationary Gabor frame: every constant-Q bin is a window on the spectrum, and the inverse FFT of what it sees is
that bin's row of coefficients. All bins of an octave share one row length, a power of two that doubles from octave to
octave, so an octave is a picture of (bins, frames). The checkpoints were trained inside the published tables, so
their off-by-ones are kept to the letter and named where they stand. What is not kept is their density: a window
touches a few hundred bins of a spectrum of ninety thousand, and only those are read and written here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from babe2.errors import RestorationError

SHORTEST_WINDOW = 4  # DFT bins


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the windows of a constant-Q transform lie, in DFT bins; index 0 is DC, 1..K the bins, K + 1 Nyquist."""

    centres: npt.NDArray[np.int64]  # (2K + 2,)
    widths: npt.NDArray[np.int64]  # (2K + 2,)
    frames: tuple[int, ...]  # row length of each octave, lowest first


def grid(sample_rate: int, length: int, octaves: int, bins_per_octave: int) -> Grid:
    """Returns the window grid for segments of `length` samples; `legal` tells whether a transform can use it."""
    bins = octaves * bins_per_octave
    highest = sample_rate / 2 - 1e-6
    lowest = highest / 2**octaves
    # `bins` frequencies span the octaves from end to end, so a step is a hair more than 1 / bins_per_octave.
    step = 2 ** (octaves / (bins - 1))
    quality = math.sqrt(step) / (step - 1) / 2
    positive = lowest * step ** np.arange(bins)
    hertz = np.concatenate([[0.0], positive, [sample_rate / 2], sample_rate - positive[::-1]])
    place = hertz * length / sample_rate

    widths = np.empty(2 * bins + 2)
    widths[0] = 2 * place[1]
    widths[1] = place[1] / quality
    widths[2 : bins + 1] = place[3 : bins + 2] - place[1:bins]
    widths[bins + 1] = widths[bins]  # published: Nyquist inherits the last bin's width
    widths[bins + 2 :] = widths[1 : bins + 1][::-1]
    widths = np.maximum(np.rint(widths), SHORTEST_WINDOW)

    place[bins] = (place[bins - 1] + place[bins + 1]) / 2  # the top bin is moved away from Nyquist
    place[bins + 2] = length - place[bins]
    frames = tuple(2 ** math.ceil(math.log2(width)) for width in _widest(widths, octaves, bins_per_octave))
    return Grid(np.rint(place).astype(np.int64), widths.astype(np.int64), frames)


def legal(sample_rate: int, length: int, octaves: int, bins_per_octave: int) -> bool:
    """Whether a segment fits: each octave's row is twice the one below, and longer than its widest window."""
    if not _conceivable(sample_rate, octaves, bins_per_octave) or length < SHORTEST_WINDOW * octaves * bins_per_octave:
        return False
    found = grid(sample_rate, length, octaves, bins_per_octave)
    widest = _widest(found.widths, octaves, bins_per_octave)
    doubles = all(high == 2 * low for low, high in zip(found.frames, found.frames[1:], strict=False))
    return doubles and all(width < frames for width, frames in zip(widest, found.frames, strict=True))


def next_legal_length(sample_rate: int, length: int, octaves: int, bins_per_octave: int) -> int:
    """Returns the shortest legal segment of at least `length` samples."""
    if _conceivable(sample_rate, octaves, bins_per_octave):
        # Windows grow in proportion to the segment, so whatever is legal comes again with every doubling.
        growth = _widest(grid(sample_rate, 2**48, octaves, bins_per_octave).widths, octaves, bins_per_octave) / 2**48
        doubling = 2 ** np.arange(octaves)
        length = max(length, SHORTEST_WINDOW * octaves * bins_per_octave, int(SHORTEST_WINDOW / growth[0]))
        longest = 8 * length
        while length <= longest:
            if legal(sample_rate, length, octaves, bins_per_octave):
                return length
            # No segment is legal before the narrow octaves have caught up with the widest one.
            found = grid(sample_rate, length, octaves, bins_per_octave)
            widest, frames = _widest(found.widths, octaves, bins_per_octave), np.array(found.frames)
            row = np.max(frames / doubling)
            wanted = np.maximum(row * doubling / 2, np.where(widest == frames, frames, 0)) + 1
            length = max(length + 1, int(np.max((wanted - 0.5) / growth)))
    raise RestorationError(
        f"No segment fits a transform of {octaves} octaves with {bins_per_octave} bins each at {sample_rate} Hz. "
        "More bins per octave or fewer octaves would."
    )


def _conceivable(sample_rate: int, octaves: int, bins_per_octave: int) -> bool:
    """Whether such a grid has meaning, and a size that a computer can hold."""
    return sample_rate >= 1 and 1 <= octaves <= 32 and bins_per_octave >= 1 and 2 <= octaves * bins_per_octave <= 2**16


def _widest(widths: npt.NDArray[Any], octaves: int, bins_per_octave: int) -> npt.NDArray[Any]:
    """The width of each octave's widest window (octaves,), lowest first."""
    return widths[1 : octaves * bins_per_octave + 1].reshape(octaves, bins_per_octave).max(axis=1)


def kaiser(width: int, beta: float) -> npt.NDArray[np.float32]:
    """Returns the published Kaiser window with its centre at index 0: nearly rectangular at beta 1.

    For odd widths it is half a bin off centre, as published.
    """
    n = torch.arange(width, dtype=torch.float64)
    cosine_squared = 0.5 * (1 + torch.cos(2 * math.pi * n / width))
    window = torch.i0(beta * torch.sqrt(1 - cosine_squared)) / (2 * torch.i0(torch.tensor(beta, dtype=torch.float64)))
    return np.roll(window.numpy(), width // 2).astype(np.float32)


class ConstantQ(nn.Module):
    """The transform of segments (B, L) into octaves and back.

    An octave is complex (B, bins_per_octave, frames); the lowest comes first.
    """

    frames: tuple[int, ...]
    bin_of: Tensor  # (N,) which DFT bin each coefficient of the flattened octaves sees
    window: Tensor  # (N,) and through how much of its window
    dual: Tensor  # (N,) the weight with which it is laid back
    pass_band: Tensor  # (L // 2 + 1,) what the transform carries: everything but DC's and Nyquist's windows

    def __init__(self, sample_rate: int, length: int, octaves: int, bins_per_octave: int, beta: float = 1.0) -> None:
        super().__init__()
        if not legal(sample_rate, length, octaves, bins_per_octave):
            longer = next_legal_length(sample_rate, length, octaves, bins_per_octave)
            raise RestorationError(
                f"A segment of {length} samples at {sample_rate} Hz does not fit the transform's {octaves} octaves. "
                f"The next length that does is {longer}."
            )
        self.length = length
        self.bins_per_octave = bins_per_octave
        layout = grid(sample_rate, length, octaves, bins_per_octave)
        self.frames = layout.frames
        bins = octaves * bins_per_octave

        by_width = {width: kaiser(width, beta) for width in set(layout.widths.tolist())}
        windows = [by_width[width] for width in layout.widths.tolist()]
        rows = row_lengths(layout, octaves, bins_per_octave)
        starts = layout.centres - layout.widths // 2
        supports = [
            (start + np.arange(width)) % length for start, width in zip(starts, layout.widths, strict=True)
        ]  # of each window, ascending; its middle entry is the centre bin
        energy = np.zeros(length, np.float32)
        for support, window, row in zip(supports, windows, rows, strict=True):
            energy[support] += row * np.fft.fftshift(window) ** 2
        duals = [windows[k] / np.fft.ifftshift(energy[supports[k]]) for k in range(bins + 2)]

        offsets = np.concatenate([[0], np.cumsum(np.repeat(layout.frames, bins_per_octave))])
        bin_of = np.zeros(offsets[-1], np.int64)  # unfilled places look at DC through a window of zero
        laid_window, laid_dual = np.zeros((2, offsets[-1]), np.float32)
        for k in range(1, bins + 1):
            width, half = int(layout.widths[k]), int(layout.widths[k]) // 2
            # The centre bin comes first, so that a row's phase does not turn with the bin's frequency.
            places = offsets[k - 1] + (np.arange(width) - half) % int(rows[k])
            bin_of[places] = supports[k]
            laid_window[places] = np.fft.fftshift(windows[k])
            laid_dual[places] = np.fft.fftshift(duals[k]) * rows[k]
        low_pass = stop_band(supports, windows, duals, rows, bins, length)
        mirrored = np.roll(low_pass[::-1], 1)
        pass_band = 1 - (low_pass + mirrored) / 2  # the published one is lopsided; a real part keeps its even half

        self.register_buffer("bin_of", torch.from_numpy(bin_of), persistent=False)
        self.register_buffer("window", torch.from_numpy(laid_window), persistent=False)
        self.register_buffer("dual", torch.from_numpy(laid_dual), persistent=False)
        self.register_buffer("pass_band", torch.from_numpy(pass_band[: length // 2 + 1]), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns the octaves of x (B, L), lowest first."""
        seen = torch.fft.rfft(x).index_select(-1, self.bin_of) * self.window
        return [torch.fft.ifft(octave) for octave in self._octaves(seen)]

    def inverse(self, octaves: list[Tensor]) -> Tensor:
        """Returns the segments (B, L) of octaves; after `forward` nearly `highpass`, to within a few percent."""
        laid = torch.cat([torch.fft.fft(octave).flatten(-2) for octave in octaves], dim=-1) * self.dual
        spectrum = laid.new_zeros(*laid.shape[:-1], self.length // 2 + 1)
        return torch.fft.irfft(spectrum.index_add(-1, self.bin_of, laid), n=self.length)

    def highpass(self, x: Tensor) -> Tensor:
        """Returns what of x (B, up to L) lies in the transform's band: above about 86 Hz, below Nyquist."""
        padded = torch.fft.rfft(x, n=self.length) * self.pass_band
        return torch.fft.irfft(padded, n=self.length)[..., : x.shape[-1]]

    def _octaves(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([self.bins_per_octave * frames for frames in self.frames], dim=-1)
        return [
            part.unflatten(-1, (self.bins_per_octave, frames)) for part, frames in zip(parts, self.frames, strict=True)
        ]


def row_lengths(layout: Grid, octaves: int, bins_per_octave: int) -> npt.NDArray[np.float32]:
    """Returns how many coefficients each window gives (2K + 2,): its width, or for the bins their octave's frames."""
    rows = layout.widths.astype(np.float32)
    for octave, frames in enumerate(layout.frames):
        first = 1 + octave * bins_per_octave
        rows[first : first + bins_per_octave] = frames
        # The mirrored half lands one place early in the published tables: Nyquist's row becomes the top octave's
        # and the last entry stays as it was. It is heard only in the duals next to Nyquist.
        rows[-first - bins_per_octave : -first] = frames
    return rows


def stop_band(
    supports: list[npt.NDArray[np.int64]],
    windows: list[npt.NDArray[np.float32]],
    duals: list[npt.NDArray[np.float32]],
    rows: npt.NDArray[np.float32],
    bins: int,
    length: int,
) -> npt.NDArray[np.float32]:
    """Returns the DC and Nyquist windows as a gain over the full spectrum (L,), placed as published."""
    gain = np.zeros(length, np.float32)
    dc, nyquist = (windows[k] * duals[k] * rows[k] for k in (0, bins + 1))
    half = len(dc) // 2
    gain[:half] = dc[:half]
    gain[length - (len(dc) - half) :] = dc[half:]  # one bin off for odd widths
    half, support = len(nyquist) // 2, supports[bins + 1]
    gain[support[: len(nyquist) - half]] += nyquist[half:]
    gain[support[len(support) - half :]] += nyquist[:half]
    return gain
