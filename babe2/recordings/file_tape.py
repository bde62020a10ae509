"""Audio in a file: written and read in ranges, by several threads at once."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from babe2.dsp.tape import Blank


class FileTape(Blank):
    """A tape in a file of raw float32, sample by sample.

    Reading and writing say where, and share no file position. Nothing is buffered, so what a full disk refused is not
    tried again later; and nothing is mapped into memory, where a full disk would end the process.
    """

    def __init__(
        self,
        file: int,
        channels: int,
        on_write: Callable[[int, memoryview], None] = lambda offset, data: None,
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`file` is an open descriptor, which the tape closes. `on_write` hears what is written where, in bytes;
        `guard` is around all that the disk may refuse."""
        self.channels = channels
        self.samples = os.fstat(file).st_size // (4 * channels)
        self._file, self._on_write, self._guard = file, on_write, guard

    def _read(self, start: int, stop: int) -> Tensor:
        size = 4 * self.channels
        with self._guard():
            raw = read_at(self._file, start * size, (stop - start) * size)
            if len(raw) < (stop - start) * size:
                raise OSError(errno.EIO, "a file that is worked on was cut off")
        x = np.frombuffer(raw, np.float32).reshape(-1, self.channels)
        return torch.from_numpy(np.array(x.T, order="C"))

    def write(self, start: int, x: Tensor) -> None:
        data = np.ascontiguousarray(x.cpu().float().numpy().T).reshape(-1).view(np.uint8).data
        offset = 4 * self.channels * start
        with self._guard():
            write_at(self._file, offset, data)
        self._on_write(offset, data)
        self.samples = max(self.samples, start + x.shape[1])

    def secure(self) -> None:
        """Returns when what was written outlasts a loss of power."""
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file; the tape cannot be read any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_POSITION = threading.Lock()  # where a file has but one position for all


def read_at(file: int, offset: int, size: int) -> bytes:
    """Reads up to `size` bytes; fewer where the file ends."""
    read = bytearray()
    while len(read) < size and (piece := _read_once(file, offset + len(read), size - len(read))):
        read += piece
    return bytes(read)


def write_at(file: int, offset: int, data: memoryview) -> None:
    """Writes all of the bytes."""
    while len(data):  # the system may take less than all at once
        taken = _write_once(file, offset, data)
        offset, data = offset + taken, data[taken:]


def _read_once(file: int, offset: int, size: int) -> bytes:
    if sys.platform != "win32":
        return os.pread(file, size, offset)
    with _POSITION:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, size)


def _write_once(file: int, offset: int, data: memoryview) -> int:
    if sys.platform != "win32":
        return os.pwrite(file, data, offset)
    with _POSITION:
        os.lseek(file, offset, os.SEEK_SET)
        return os.write(file, data)
