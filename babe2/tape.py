"""Samples by the stretch: what is being worked on is in memory, the rest of a long recording may lie in a file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2**18  # samples, in all channels together, that are worked on at once


class Tape(ABC):
    """Samples of several channels, read by the stretch."""

    channels: int
    samples: int

    @abstractmethod
    def _read(self, start: int, stop: int) -> Tensor:
        """(C, stop - start), all of it on the tape."""

    def stretch(self, start: int, stop: int) -> Tensor:
        """(C, stop - start), zeros before the beginning and behind the end."""
        first, last = (min(max(place, 0), self.samples) for place in (start, stop))
        return F.pad(self._read(first, last), (first - start, stop - last) if first < last else (0, stop - start))

    def mirrored(self, start: int, stop: int) -> Tensor:
        """The same, going on as its mirror image beyond either end, as far as that reaches."""
        x, reach = self.stretch(start, stop), self.samples - 1
        if start < 0 < stop:
            image = self.stretch(1, 1 + min(-start, reach)).flip(-1)
            x[:, -start - image.shape[1] : -start] = image
        if start < self.samples < stop:
            image = self.stretch(reach - min(stop - self.samples, reach), reach).flip(-1)
            x[:, self.samples - start : self.samples - start + image.shape[1]] = image
        return x

    def blocks(self) -> Iterator[Tensor]:
        """All of it, (C, n) at a time."""
        size = max(1, BLOCK // self.channels)
        for start in range(0, self.samples, size):
            yield self._read(start, min(start + size, self.samples))


class MemoryTape(Tape):
    """In memory; it grows as it is written."""

    def __init__(self, x: Tensor) -> None:
        self._held = x
        self.channels, self.samples = x.shape

    @staticmethod
    def blank(channels: int) -> MemoryTape:
        return MemoryTape(torch.zeros(channels, 0))

    def _read(self, start: int, stop: int) -> Tensor:
        return self._held[:, start:stop].clone()

    def write(self, start: int, x: Tensor) -> None:
        stop = start + x.shape[1]
        if stop > self._held.shape[1]:
            self._held = F.pad(self._held, (0, max(stop, 2 * self.samples) - self._held.shape[1]))
        self._held[:, start:stop] = x
        self.samples = max(self.samples, stop)


class FileTape(Tape):
    """In a file of raw float32, sample by sample."""

    def __init__(self, path: Path, channels: int) -> None:
        # Unbuffered: what a full disk refused is not tried again when the file is closed.
        self._file = open(path, "r+b" if path.exists() else "w+b", buffering=0)  # noqa: SIM115 (as long as the tape)
        self.channels = channels
        self.samples = path.stat().st_size // (4 * channels)

    def _read(self, start: int, stop: int) -> Tensor:
        self._file.seek(4 * self.channels * start)
        x = np.fromfile(self._file, np.float32, (stop - start) * self.channels)
        return torch.from_numpy(np.ascontiguousarray(x.reshape(-1, self.channels).T))

    def write(self, start: int, x: Tensor) -> None:
        self._file.seek(4 * self.channels * start)
        left = np.ascontiguousarray(x.cpu().float().numpy().T).reshape(-1).view(np.uint8).data
        while len(left):  # the system may take less than all at once
            left = left[self._file.write(left) :]
        self.samples = max(self.samples, start + x.shape[1])

    def secure(self) -> None:
        """Returns when what was written outlasts a loss of power."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Part(Tape):
    """Some channels of a tape, each times its gain (C,), where they are worked on."""

    def __init__(self, tape: Tape, which: Tensor, gain: Tensor, device: torch.device) -> None:
        self._tape, self._device = tape, device
        self._which, self._gain = which.cpu().nonzero().flatten().to(device), gain.to(device)[:, None]
        self.channels, self.samples = len(gain), tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        return self._tape.stretch(start, stop).to(self._device)[self._which] * self._gain


Blank = MemoryTape | FileTape  # a tape to write on
