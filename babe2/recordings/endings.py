"""Finds what is missing in a file and where its sound really ends, where libsndfile keeps quiet about it."""

from __future__ import annotations

import io
import re
import zlib
from typing import BinaryIO

_OGG_HEADER = 27  # bytes of a page's header, before the lengths of its parts
_OGG_LONGEST = _OGG_HEADER + 255 + 255 * 255  # bytes of a page
_OGG_LAST = 4  # the flag of a stream's last page

_FLAC_TOTAL = slice(18, 26)  # rate, channels, bits, and in the lowest 36 bits how many samples there are
_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_FLAC_BLOCKS = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}
_FLAC_HEADER = 16  # bytes of a frame's header, at most
_FLAC_LONGEST = 2**21  # bytes of a frame; its header states it where it is known


def ogg_is_cut_off(file: BinaryIO, size: int) -> bool:
    """Whether an OGG of `size` bytes ends inside a page, or with a page that is not its last."""
    file.seek(max(0, size - _OGG_LONGEST))
    tail = file.read(_OGG_LONGEST)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < _OGG_HEADER or not page.startswith(b"OggS"):
        return True
    lengths = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    return len(page) < _OGG_HEADER + page[26] + sum(lengths) or not page[5] & _OGG_LAST


def ogg_is_damaged(file: BinaryIO, size: int) -> bool:
    """Whether a page of an OGG is damaged or missing; decoders pass over it without a word."""
    place = 0
    while place < size:
        file.seek(place)
        page = file.read(_OGG_LONGEST)
        if not page.startswith(b"OggS"):
            return _holds(file, b"OggS", place)  # else somebody has added notes to the end
        lengths = page[_OGG_HEADER : _OGG_HEADER + page[26]] if len(page) > 26 else b""
        whole = page[: _OGG_HEADER + len(lengths) + sum(lengths)]
        if _ogg_crc(whole[:22] + bytes(4) + whole[26:]) != int.from_bytes(whole[22:26], "little"):
            return True
        place += len(whole)
    return False


def _holds(file: BinaryIO, what: bytes, place: int) -> bool:
    """Whether some bytes occur behind a place."""
    file.seek(place)
    before = b""
    while piece := file.read(2**20):
        if what in before + piece:
            return True
        before = piece[1 - len(what) :]
    return False


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_crc(data: bytes) -> int:
    """The CRC-32 of OGG: zlib's with the bits of every byte, and of the result, in the other order."""
    crc = zlib.crc32(data.translate(_MIRRORED), 2**32 - 1) ^ (2**32 - 1)
    return int(f"{crc:032b}"[::-1], 2)


def flac_stated(head: bytes) -> int:
    """Returns how many samples per channel a FLAC states in its first bytes; 0 where it does not."""
    return int.from_bytes(head[_FLAC_TOTAL], "big") & (2**36 - 1)


def flac_restated(head: bytes, samples: int) -> tuple[int, bytes]:
    """Returns a place and the bytes to put there, for a FLAC with this beginning to state so many samples."""
    fields = int.from_bytes(head[_FLAC_TOTAL], "big") >> 36 << 36 | min(samples, 2**36 - 1)
    return _FLAC_TOTAL.start, fields.to_bytes(8, "big")


def flac_samples(file: BinaryIO, size: int) -> int:
    """Returns how many samples per channel a FLAC holds, by the number in its last frame; 0 where there is none."""
    file.seek(0)
    head = file.read(_FLAC_TOTAL.stop)
    block, longest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[15:18], "big") or _FLAC_LONGEST
    reach = min(max(2 * longest, 2**16), _FLAC_LONGEST)
    file.seek(max(0, size - reach))
    tail = file.read(reach)
    ends = (_flac_frame_end(tail[sync.start() : sync.start() + _FLAC_HEADER], head, block) for sync in _syncs(tail))
    return next((end for end in ends if end), 0)


def _syncs(tail: bytes) -> list[re.Match[bytes]]:
    return list(_FLAC_SYNC.finditer(tail))[::-1]


def _flac_frame_end(frame: bytes, head: bytes, block: int) -> int:
    """Returns how many samples a FLAC holds up to the end of the frame with this header; 0 where it is no header.

    `block` is the usual length of a frame, in samples.
    """
    if len(frame) < 6 or frame[3] & 1:
        return 0
    code, rate_code, layout = frame[2] >> 4, frame[2] & 15, frame[3] >> 4
    if (layout + 1 if layout < 8 else 2) != (head[20] >> 1 & 7) + 1:
        return 0
    number, place = _utf8_number(frame, 4)
    wide = {6: 1, 7: 2}.get(code, 0)
    length = _FLAC_BLOCKS.get(code, 0) if not wide else int.from_bytes(frame[place : place + wide], "big") + 1
    place += wide + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if number < 0 or not length or place >= len(frame) or _crc8(frame[:place]) != frame[place]:
        return 0
    return (number if frame[1] & 1 else number * block) + length


def _utf8_number(frame: bytes, place: int) -> tuple[int, int]:
    """Reads a number that is coded like a letter in UTF-8, and where it ends; -1 where there is none."""
    first = frame[place]
    count = 8 - (first ^ 255).bit_length()  # ones that it begins with
    if count == 0:
        return first, place + 1
    rest = frame[place + 1 : place + count]
    if not 2 <= count <= 7 or len(rest) < count - 1 or any(byte >> 6 != 2 for byte in rest):
        return -1, place
    number = first & (127 >> count)
    for byte in rest:
        number = number << 6 | byte & 63
    return number, place + count


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (7 if crc & 128 else 0)) & 255
    return crc


class Corrected(io.RawIOBase):
    """An open file with some bytes replaced, read in pieces like the file itself."""

    def __init__(self, file: BinaryIO, offset: int, content: bytes) -> None:
        self._file, self._offset, self._content = file, offset, content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        start = self._file.tell()
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        first, stop = max(start, self._offset), min(start + len(piece), self._offset + len(self._content))
        if first < stop:
            buffer[first - start : stop - start] = self._content[first - self._offset : stop - self._offset]
        return len(piece)
