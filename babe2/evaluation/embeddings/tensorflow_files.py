"""Reads the weights of a TensorFlow checkpoint (V2: `.index` and `.data-00000-of-00001`) without TensorFlow.

The index is a table of LevelDB, not compressed: blocks of entries whose keys share beginnings. An entry is a protocol
buffer that says type, shape, place and size of a tensor in the other file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

INDEX, DATA = ".index", ".data-00000-of-00001"  # how the files of a checkpoint without a name are called
MAGIC = 0xDB4775248B80FB57  # at the end of the table
FLOAT = 1  # the only type that is read


def tensors(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All float tensors by name; ValueError, IndexError, KeyError or struct.error where the files are not as they
    should be."""
    index, values = folder / INDEX, (folder / DATA).read_bytes()
    found = {}
    for name, entry in _entries(index.read_bytes()):
        about = dict(_fields(entry))
        if not name or about.get(1) != FLOAT:
            continue
        shape = [int(dict(_fields(size))[1]) for _, size in _fields(about.get(2, b""))]
        place, count = int(about.get(4, 0)), math.prod(shape)
        found[name.decode()] = np.frombuffer(values, np.float32, count, place).reshape(shape)
    return found


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = table[-48:]
    if struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("it is no table")
    place = 0
    for _ in range(2):  # where the block of blocks' properties is
        _, place = _number(footer, place)
    for _, handle in _block(table, *_handle(footer[place:])):
        yield from _block(table, *_handle(handle))


def _handle(data: bytes) -> tuple[int, int]:
    """Where a block begins, and its size."""
    place, rest = _number(data, 0)
    size, _ = _number(data, rest)
    return place, size


def _block(table: bytes, place: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = table[place : place + size]
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]  # behind it lie the places where keys are whole
    i, key = 0, b""
    while i < end:
        shared, i = _number(block, i)
        own, i = _number(block, i)
        length, i = _number(block, i)
        key = key[:shared] + block[i : i + own]
        yield key, block[i + own : i + own + length]
        i += own + length


def _fields(message: bytes | int) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number and value."""
    assert isinstance(message, bytes)
    i = 0
    while i < len(message):
        key, i = _number(message, i)
        kind = key & 7
        if kind == 0:
            value, i = _number(message, i)
            yield key >> 3, value
            continue
        size, i = _number(message, i) if kind == 2 else ({1: 8, 5: 4}[kind], i)
        yield key >> 3, message[i : i + size]
        i += size


def _number(data: bytes, i: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[i] & 127) << shift
        shift, i = shift + 7, i + 1
        if data[i - 1] < 128:
            return value, i
