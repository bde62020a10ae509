"""A recording made block by block, as the published 78-rpm denoiser cuts it: neighbours overlap and add up to one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from babe2.dsp.tape import Tape


class OverlapAdd(Tape):
    """A tape (C, T) of blocks, of each of which `make` makes as many samples (C, length); it is told their numbers."""

    def __init__(
        self, tape: Tape, length: int, overlap: int, make: Callable[[Tensor, int], Tensor], kept: int = 1
    ) -> None:
        """The last `kept` blocks are remembered."""
        assert 2 * overlap < length
        self._tape, self._length, self._overlap, self._make, self._kept = tape, length, overlap, make, kept
        self.channels, self.samples = tape.channels, tape.samples
        self._hop = length - overlap
        padded = tape.samples + 2 * overlap
        # As published: where the blocks would fit, there is one more.
        further = self._hop - (padded - length) % self._hop
        self.count = (padded + further - length) // self._hop + 1
        self._before = overlap + further // 2  # samples of the first block before the recording begins
        self._made: dict[int, Tensor] = {}

    @cached_property
    def window(self) -> Tensor:
        """By what a block (length,) is multiplied: rises, stays and falls."""
        rise = torch.hann_window(self._overlap, dtype=torch.float64).cumsum(dim=0)
        rise = rise / rise[-1]
        whole = torch.cat([rise, rise.new_ones(self._length - 2 * self._overlap), rise.flip(0)])
        return whole.float()

    def block(self, number: int) -> Tensor:
        """What a block (C, length) hears: beyond either end there is silence."""
        first = number * self._hop - self._before
        return self._tape.read(first, first + self._length)

    def _read(self, start: int, stop: int) -> Tensor:
        x = torch.zeros(self.channels, stop - start)
        first_block = max(0, (start + self._before - self._length) // self._hop + 1)
        for number in range(first_block, min(self.count - 1, (stop - 1 + self._before) // self._hop) + 1):
            begin = number * self._hop - self._before
            first, last = max(start, begin), min(stop, begin + self._length)
            x[:, first - start : last - start] += self._windowed(number)[:, first - begin : last - begin]
        return x

    def _windowed(self, number: int) -> Tensor:
        if number not in self._made:
            self._made[number] = self._make(self.block(number), number).cpu() * self.window
            for oldest in list(self._made)[: -self._kept]:
                del self._made[oldest]
        return self._made[number]
