"""A restoration with its imagined part faded out: a smooth gain over time and frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from babe2.certainty.map import KINDS, CertaintyMap
from babe2.certainty.spread import around
from babe2.dsp.spectra import Equalised, bin_frequencies
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError


class Faded(Equalised):
    """A tape (C, T) of whose imagined cells only so much is `left`, from 0 to 1."""

    def __init__(self, tape: Tape, certainty: CertaintyMap, left: float) -> None:
        grid = certainty.grid
        fft = grid.length // 2  # finer in time than the cells are
        super().__init__(tape, torch.ones(fft // 2 + 1), fft, fft, fft // 4, beyond=1)
        self._kept = 1 - (1 - left) * around((certainty.kind == KINDS.index("imagined")).float())  # (N, K)
        self._cells_each = fft / 4 / grid.length  # frame
        octaves = bin_frequencies(grid.sample_rate, fft).double().clamp(min=1.0).log2() - grid.hertz[0].log2()
        self._places = octaves / (grid.hertz[1] / grid.hertz[0]).log2()  # (F,) in bands

    def gains(self, first: int, last: int) -> Tensor:
        """What is left of some frames (F, last - first), straight between the middles of cells."""
        places = torch.arange(first, last, dtype=torch.float64) * self._cells_each - 0.5
        return between(between(self._kept, places).T, self._places)


def between(rows: Tensor, places: Tensor) -> Tensor:
    """Rows (N, ...) at places (P,) that may lie between two of them, and beyond either end as at it: (P, ...).

    >>> between(torch.tensor([[0.0], [10.0]]), torch.tensor([-1.0, 0.25, 2.0])).flatten()
    tensor([ 0.0000,  2.5000, 10.0000])
    """
    places = places.clamp(0, len(rows) - 1)
    below = places.long()
    above = (below + 1).clamp(max=len(rows) - 1)
    return torch.lerp(rows[below], rows[above], (places - below).to(rows)[:, None])


def check_imagined(left: float) -> None:
    """Refuses a share of the imagined part that cannot be left."""
    if not 0 <= left <= 1:
        raise RestorationError(f"Of the imagined part between 0 and 1 can be left, not {left}.")
