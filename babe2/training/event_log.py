"""A run's numbers in the file that TensorBoard reads, written by hand: one format, a page long, and no dependency.

An event file is a row of records, each framed by its length and two checksums (TFRecord); a record is a protobuf
message `Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }`, a summary a row
of `Value { string tag = 1; float simple_value = 2 }` in its field 1.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protobuf's wire types
MASK_DELTA = 0xA282EAD8  # TFRecord's, so that a checksum of a checksum is none


class EventLog:
    """Appends scalars to a new file in `folder`."""

    def __init__(self, folder: Path, began: float) -> None:
        """`began` is the time of its opening, seconds since 1970, and part of the file's name."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{int(began)}.{os.getpid()}.babe2"
        self._file = self.path.open("ab")
        self._append(field(1, FIXED64, struct.pack("<d", began)) + field(3, BYTES, b"brain.Event:2"))

    def write(self, step: int, scalars: Mapping[str, float], now: float) -> None:
        values = b"".join(
            field(1, BYTES, field(1, BYTES, tag.encode()) + field(2, FIXED32, struct.pack("<f", value)))
            for tag, value in scalars.items()
        )
        event = field(1, FIXED64, struct.pack("<d", now)) + field(2, VARINT, varint(step))
        self._append(event + field(5, BYTES, values))

    def _append(self, event: bytes) -> None:
        self._file.write(framed(event))
        self._file.flush()  # a run that is killed has told all it knew

    def close(self) -> None:
        self._file.close()


def field(number: int, wire: int, content: bytes) -> bytes:
    length = varint(len(content)) if wire == BYTES else b""
    return varint(number << 3 | wire) + length + content


def varint(value: int) -> bytes:
    """A whole number, seven bits to a byte, lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def framed(record: bytes) -> bytes:
    """A TFRecord: length, its checksum, the record, its checksum."""
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", masked(length)) + record + struct.pack("<I", masked(record))


def records(content: bytes) -> Iterator[bytes]:
    """The records of a file, up to where it was cut off; a wrong checksum is a ValueError."""
    place = 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        record = content[place + 12 : place + 12 + length]
        if len(content) < place + 16 + length:
            return
        if framed(record) != content[place : place + 16 + length]:
            raise ValueError(f"the record at byte {place} is damaged")
        yield record
        place += 16 + length


def masked(content: bytes) -> int:
    checksum = crc32c(content)
    return ((checksum >> 15 | checksum << 17) + MASK_DELTA) & 0xFFFFFFFF


def crc32c(content: bytes) -> int:
    """Castagnoli's checksum; zlib's is another polynomial."""
    table, checksum = _table(), 0xFFFFFFFF
    for byte in content:
        checksum = table[(checksum ^ byte) & 255] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    def entry(index: int) -> int:
        for _ in range(8):
            index = index >> 1 ^ (0x82F63B78 if index & 1 else 0)
        return index

    return tuple(entry(index) for index in range(256))
