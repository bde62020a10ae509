"""Results that are made in pieces which lie fast: whoever reads them, and from wherever, gets the same samples."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from babe2.dsp.spectra import quick_length
from babe2.dsp.tape import Tape
from babe2.stages.base import Staged

PIECE = 2**16  # samples per channel


class InPieces(Staged):
    """What a stage makes of a recording, piece by piece; a piece hears what lies around it, too."""

    piece: int = PIECE

    def __init__(self, recording: Tape, sample_rate: int) -> None:
        super().__init__(recording, sample_rate)
        self._held: dict[int, Tensor] = {}  # the last two pieces: ranges may share them

    @abstractmethod
    def _piece(self, start: int, stop: int) -> Tensor:
        """The samples (C, stop - start) of one piece."""

    def _read(self, start: int, stop: int) -> Tensor:
        parts = []
        for first in range(start - start % self.piece, stop, self.piece):
            if first not in self._held:
                if len(self._held) > 1:
                    del self._held[next(iter(self._held))]
                self._held[first] = self._piece(first, min(first + self.piece, self.samples))
            parts.append(self._held[first][:, max(start - first, 0) : stop - first])
        return torch.cat(parts, dim=1)


def filtered(recording: Tape, kernel: Tensor, start: int, stop: int) -> Tensor:
    """A range of a recording (C, T) through a filter (2 R + 1,) that is the same to both sides: in float64."""
    reach = len(kernel) // 2
    x = recording.read(start - reach, stop + reach).double()
    fft = quick_length(x.shape[1])  # what wraps around falls outside the range
    spectrum = torch.fft.rfft(x, fft) * torch.fft.rfft(kernel.double(), fft)
    return torch.fft.irfft(spectrum, fft)[:, 2 * reach : x.shape[1]]
