"""The cells of time and frequency in which a restoration's certainty is told, and what samples of it hold in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.dsp.bands import octave_means
from babe2.dsp.spectra import frames
from babe2.dsp.tape import Tape

CELL_SECONDS = 2048 / 22050
FRAMES_EACH = 4  # of a cell's length, side by side a quarter of it: what falls between two counts for both
LOWEST_HZ, PER_OCTAVE = 50.0, 3
HIGHEST = 0.95  # of half the sample rate
AT_ONCE = 64  # cells that are looked at together


@dataclass(frozen=True)
class Grid:
    """Cells about 93 ms long and a third of an octave high."""

    samples: int  # of the sound
    sample_rate: int

    @property
    def length(self) -> int:
        """How many samples a cell has: a power of two."""
        return int(2 ** round(math.log2(CELL_SECONDS * self.sample_rate)))

    @property
    def count(self) -> int:
        """How many cells follow one another; the last may reach beyond the end."""
        return max(1, -(-self.samples // self.length))

    @property
    def seconds(self) -> Tensor:
        """The middle of each cell (N,)."""
        return (torch.arange(self.count, dtype=torch.float64) + 0.5) * self.length / self.sample_rate

    @property
    def hertz(self) -> Tensor:
        """The middle of each band (K,)."""
        octaves = math.log2(HIGHEST * self.sample_rate / 2 / LOWEST_HZ)
        return LOWEST_HZ * 2.0 ** (torch.arange(int(PER_OCTAVE * octaves) + 1, dtype=torch.float64) / PER_OCTAVE)

    @property
    def weights(self) -> Tensor:
        """What sums the power |X|^2 of a cell's frame (F,) up to the mean square in each band (K, F)."""
        hertz, spacing = self.hertz, self.sample_rate / self.length
        bins = hertz * (2 ** (0.5 / PER_OCTAVE) - 2 ** (-0.5 / PER_OCTAVE)) / spacing
        scale = bins * 2 / (self.length * self._window)
        return (octave_means(hertz, self.sample_rate, self.length) * scale[:, None]).float()

    @property
    def white(self) -> Tensor:
        """How much white noise of unit power has in each band (K,)."""
        return self.weights.double().sum(dim=1) * self._window

    @property
    def _window(self) -> float:
        return float(torch.hann_window(self.length, dtype=torch.float64).square().sum())


@dataclass(frozen=True, eq=False)
class Held:
    """What several samples of one restoration hold in each cell."""

    grid: Grid
    power: Tensor  # (S, N, K) the mean square of each sample, averaged over channels
    apart: Tensor  # (N, K) that of what a sample departs from the mean of all, as sound: the variance of one


def held(tapes: Sequence[Tape], sample_rate: int) -> Held:
    """What samples (C, T) of a restoration hold, read together stretch by stretch; the first one is the one heard."""
    grid = Grid(tapes[0].samples, sample_rate)
    weights = grid.weights
    power = torch.empty(len(tapes), grid.count, len(weights))
    apart = torch.empty(grid.count, len(weights))
    for first in range(0, grid.count, AT_ONCE):
        last = min(first + AT_ONCE, grid.count)
        spectra = torch.stack([_frames(tape, grid, first, last) for tape in tapes])  # (S, C, F, frames)
        power[:, first:last] = _in_cells(spectra, weights)
        mean = spectra.mean(dim=0, keepdim=True)
        apart[first:last] = _in_cells(spectra - mean, weights).sum(dim=0) / max(len(tapes) - 1, 1)
    return Held(grid, power, apart)


def _frames(tape: Tape, grid: Grid, first: int, last: int) -> Tensor:
    """The frames (C, F, FRAMES_EACH * (last - first)) of some cells; beyond either end the sound is mirrored."""
    length, hop = grid.length, grid.length // FRAMES_EACH
    begin = first * length + hop // 2 - length // 2  # the frames' middles lie evenly within their cells
    count = FRAMES_EACH * (last - first)
    return frames(tape.mirrored(begin, begin + (count - 1) * hop + length).cpu(), length, hop)


def _in_cells(spectra: Tensor, weights: Tensor) -> Tensor:
    """The power in cells (S, N, K) of frames (S, C, F, FRAMES_EACH * N), averaged over channels."""
    power = torch.view_as_real(spectra).square().sum(dim=-1).mean(dim=1)
    cells = power.unflatten(-1, (-1, FRAMES_EACH)).mean(dim=-1)  # (S, F, N)
    return (weights @ cells).transpose(-1, -2)
