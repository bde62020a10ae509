"""Recordings that are read in ranges: only what is being worked on is in memory, the rest may lie in a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


class Spread:
    """Adds up the standard deviation of each channel of audio that comes block by block."""

    def __init__(self, channels: int) -> None:
        self.samples = 0
        self._sum, self._squares = torch.zeros(2, channels, dtype=torch.float64)

    def add(self, block: Tensor) -> None:
        x = block.cpu().double()  # Apple's cards know no float64
        self.samples += block.shape[1]
        self._sum += x.sum(dim=-1)
        self._squares += x.square().sum(dim=-1)

    def deviation(self, together: bool = False) -> Tensor:
        """The standard deviation of each channel (C,), or of all channels `together` ()."""
        count = self.samples * (len(self._sum) if together else 1)
        total, squares = (part.sum() if together else part for part in (self._sum, self._squares))
        return ((squares - total**2 / count).clamp(min=0) / max(count - 1, 1)).sqrt().float()


def deviation(tape: Tape, together: bool = False) -> Tensor:
    """The standard deviation of each channel (C,), or of all channels `together` ()."""
    spread = Spread(tape.channels)
    for block in tape.blocks():
        spread.add(block)
    return spread.deviation(together)


BLOCK = 2**18  # samples, in all channels together, that are worked on at once


class Tape(ABC):
    """Audio of several channels (C, T) that is read in ranges."""

    channels: int
    samples: int

    @abstractmethod
    def _read(self, start: int, stop: int) -> Tensor:
        """Reads a range that lies within the tape: (C, stop - start), a copy."""

    def read(self, start: int, stop: int) -> Tensor:
        """Reads any range: (C, stop - start), with zeros before the tape's beginning and behind its end."""
        first, last = (min(max(place, 0), self.samples) for place in (start, stop))
        return F.pad(self._read(first, last), (first - start, stop - last) if first < last else (0, stop - start))

    def mirrored(self, start: int, stop: int) -> Tensor:
        """Reads any range, continued beyond either end by the mirror image, as far as that reaches."""
        x, reach = self.read(start, stop), self.samples - 1
        if start < 0 < stop:
            image = self.read(1, 1 + min(-start, reach)).flip(-1)
            x[:, -start - image.shape[1] : -start] = image
        if start < self.samples < stop:
            image = self.read(reach - min(stop - self.samples, reach), reach).flip(-1)
            x[:, self.samples - start : self.samples - start + image.shape[1]] = image
        return x

    def blocks(self) -> Iterator[Tensor]:
        """Reads all of it, (C, n) at a time."""
        size = max(1, BLOCK // self.channels)
        for start in range(0, self.samples, size):
            yield self._read(start, min(start + size, self.samples))


class Streamed(Tape):
    """A sound that comes in blocks (C, n), from its beginning as often as it is asked for, as a tape.

    Ranges are to be read in their order. One may lie a little before the last; for one further back all is read anew.
    """

    def __init__(self, blocks: Callable[[], Iterator[npt.NDArray[np.float32]]], channels: int, samples: int) -> None:
        self.channels, self.samples = channels, samples
        self._blocks = blocks
        self._begin()

    def _begin(self) -> None:
        self._coming = self.blocks()
        self._held: deque[tuple[int, Tensor]] = deque()  # where each begins
        self._first = self._end = 0  # what is held, or was

    def blocks(self) -> Iterator[Tensor]:
        """Reads all of it, as it comes."""
        return map(torch.from_numpy, self._blocks())

    def _read(self, start: int, stop: int) -> Tensor:
        if start < self._first:
            self._begin()
        found = torch.empty(self.channels, stop - start)
        while self._end < stop:
            block = next(self._coming)
            self._held.append((self._end, block))
            self._end += block.shape[1]
            while self._held[0][0] + self._held[0][1].shape[1] <= start - BLOCK:
                place, gone = self._held.popleft()
                self._first = place + gone.shape[1]
        for place, block in self._held:
            first, last = max(start, place), min(stop, place + block.shape[1])
            if first < last:
                found[:, first - start : last - start] = block[:, first - place : last - place]
        return found


class Blank(Tape):
    """A tape that can be written; `samples` counts up to the last one written, what was left out before it is zero."""

    @abstractmethod
    def write(self, start: int, x: Tensor) -> None:
        """Writes x (C, n) from sample `start` on."""


class MemoryTape(Blank):
    """A tape in memory."""

    def __init__(self, x: Tensor) -> None:
        self._held = x
        self.channels, self.samples = x.shape

    @staticmethod
    def blank(channels: int, samples: int = 0) -> MemoryTape:
        """An empty tape with room for so many samples; more cost a copy of all."""
        tape = MemoryTape(torch.zeros(channels, samples))
        tape.samples = 0
        return tape

    def _read(self, start: int, stop: int) -> Tensor:
        return self._held[:, start:stop].clone()

    def write(self, start: int, x: Tensor) -> None:
        stop = start + x.shape[1]
        if stop > self._held.shape[1]:
            self._held = F.pad(self._held, (0, stop - self._held.shape[1]))
        self._held[:, start:stop] = x
        self.samples = max(self.samples, stop)


class ScaledChannels(Tape):
    """Some channels of a tape, each times its gain (C,), on the device where they are worked on."""

    def __init__(self, tape: Tape, which: Tensor, gain: Tensor, device: torch.device) -> None:
        self._tape, self._device = tape, device
        self._which, self._gain = which.cpu().nonzero().flatten().to(device), gain.to(device)[:, None]
        self.channels, self.samples = len(gain), tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        return self._tape.read(start, stop).to(self._device)[self._which] * self._gain
