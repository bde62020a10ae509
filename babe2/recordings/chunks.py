"""Reads and writes the chunks of RIFF-like files: tags, broadcast notes, cues, and the mark of a restored file.

WAV, RF64, W64 and AIFF files are lists of chunks. Here they are found, chosen, kept true and written again, as bytes;
the samples themselves are left to audio.py.
"""

from __future__ import annotations

import io
import os
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO, NamedTuple

Chunks = tuple[tuple[bytes, bytes], ...]  # (name, content)


@dataclass(frozen=True)
class Tags:
    """The tags and notes of a file, to be carried over to another one.

    `text` has the last word: in a WAV it replaces the INFO fields of the same meaning among the `chunks`. The `mark`
    is what the new file is to say of itself, in each place that its format has; `marked` also puts it into the text.
    """

    text: Mapping[str, str] = field(default_factory=dict)  # title, artist, album, date, ... as soundfile names them
    chunks: Chunks = ()  # of a WAV: bext, iXML, LIST, cue, ...
    sample_rate: int | None = None  # Hz, in which the chunks count samples
    mark: str = ""  # how the sound was made, in sentences
    software: str = ""  # by what: a name and a version

    def marked(self, mark: str, software: str) -> Tags:
        """Returns these tags with a mark added: behind the comment and the software that are there already."""
        comment = "\n".join(filter(None, [self.text.get("comment", ""), mark]))
        before = self.text.get("software", "")
        both = before if software in before.split("; ") else "; ".join(filter(None, [before, software]))
        return replace(self, text={**self.text, "comment": comment, "software": both}, mark=mark, software=software)


class Layout(NamedTuple):
    """How one family of files lists its chunks."""

    header: str  # struct format of a chunk's name and length
    start: int  # where the first chunk begins, bytes
    align: int  # chunks begin at multiples of this, bytes
    overhead: int  # bytes of the header that the length includes


LAYOUTS = {  # by the first four bytes of a file
    b"RIFF": Layout("<4sI", 12, 2, 0),
    b"RF64": Layout("<4sI", 12, 2, 0),
    b"RIFX": Layout(">4sI", 12, 2, 0),
    b"FORM": Layout(">4sI", 12, 2, 0),  # AIFF
    b"riff": Layout("<4s12xQ", 40, 8, 24),  # W64, which names its chunks by GUIDs
}
CARRIES_CHUNKS = (b"RIFF", b"RF64")
MAX_CARRIED = 2**24  # bytes of chunks carried from file to file
_MAX_CHUNKS = 10_000  # no honest file has more

_INFO_LAYOUT = Layout("<4sI", 4, 2, 0)  # the fields inside a LIST chunk of type INFO
INFO_FIELDS = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "tracknumber": b"ITRK",
    "genre": b"IGNR",
    "comment": b"ICMT",
    "copyright": b"ICOP",
    "software": b"ISFT",
}
# What describes the stored samples, or is signed for them, belongs to one file only.
_OWN_CHUNKS = (b"fmt ", b"data", b"fact", b"ds64", b"PEAK", b"levl", b"C2PA", b"JUNK", b"junk", b"PAD ", b"FLLR")
_POSITION_CHUNKS = (b"cue ", b"plst", b"smpl", b"r64m")  # they point at samples by number
_BEXT_TIME = 338  # bytes into a bext chunk: samples since midnight, 64 bits
_BEXT_FIXED = 602  # bytes of a bext chunk; what follows is its coding history


# Finding them


class Chunk(NamedTuple):
    """Where a file keeps one of its chunks."""

    name: bytes
    offset: int  # of the content, bytes
    length: int  # as promised, bytes; the file may hold less


def list_chunks(file: BinaryIO, magic: bytes, size: int) -> list[Chunk]:
    """Lists the chunks of a file of `size` bytes that begins with `magic`; none where it is no RIFF-like file."""
    layout = LAYOUTS.get(magic)
    return list(islice(_walk(file, layout, size), _MAX_CHUNKS)) if layout else []


def _walk(file: BinaryIO, layout: Layout, size: int) -> Iterator[Chunk]:
    """Yields the chunks of a file of `size` bytes, up to the first thing that is none."""
    header, position, long_data = struct.Struct(layout.header), layout.start, 2**32 - 1
    while position + header.size <= size:
        file.seek(position)
        name, length = header.unpack(file.read(header.size))
        if not all(32 <= letter < 127 for letter in name):
            return
        if name == b"ds64":  # RF64 keeps lengths past 4 GB here: of the file, then of the data
            long_data = int.from_bytes(file.read(16)[8:], "little")
        if name == b"data" and length == 2**32 - 1:
            length = long_data
        chunk = Chunk(name, position + header.size, max(length - layout.overhead, 0))
        yield chunk
        position = chunk.offset + chunk.length
        position += -position % layout.align


# Taking them along


def carried_chunks(file: BinaryIO, chunks: Iterable[Chunk], size: int) -> Chunks:
    """Reads those of the `chunks` that are worth carrying to another WAV, whole ones only."""
    taken, room = [], MAX_CARRIED
    for name, offset, length in chunks:
        if name not in _OWN_CHUNKS and length <= min(room, size - offset):
            file.seek(offset)
            taken.append((name, file.read(length)))
            room -= length
    return tuple(taken)


def info_text(chunks: Chunks) -> dict[str, str]:
    """Returns the texts in the INFO fields of a WAV, by the names that `Tags.text` has."""
    fields = _info(chunks)
    return {word: _decoded(fields[name]) for word, name in INFO_FIELDS.items() if name in fields}


def _info(chunks: Chunks) -> dict[bytes, bytes]:
    """Returns the INFO fields of a WAV, by their four letters."""
    lists = [content for name, content in chunks if name == b"LIST" and content[:4] == b"INFO"]
    return {
        name: content[offset : offset + length]
        for content in lists
        for name, offset, length in _walk(io.BytesIO(content), _INFO_LAYOUT, len(content))
    }


def _decoded(raw: bytes) -> str:
    """Decodes an INFO field, which states no encoding: as UTF-8 where that fits, else as Windows wrote for decades."""
    raw = raw.split(b"\0")[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def retimed(chunks: Chunks, shift: int, rate: int, new_rate: int) -> Chunks:
    """Corrects the chunks for audio that begins `shift` samples later and then changes its rate (Hz)."""
    if shift == 0 and rate == new_rate:
        return chunks
    kept = []
    for name, content in chunks:
        if name in _POSITION_CHUNKS or (name == b"LIST" and content[:4] == b"adtl"):
            continue
        if name == b"bext" and len(content) >= _BEXT_TIME + 8:
            (since_midnight,) = struct.unpack_from("<Q", content, _BEXT_TIME)
            moved = ((since_midnight + shift) * new_rate + rate // 2) // rate % 2**64
            content = content[:_BEXT_TIME] + struct.pack("<Q", moved) + content[_BEXT_TIME + 8 :]
        kept.append((name, content))
    return tuple(kept)


# Writing them


def append_tags(file: BinaryIO, container: str, tags: Tags, sample_rate: int, coding: str = "") -> None:
    """Add the tags to the end of a WAV or RF64 with samples at this rate (Hz), and to the length that it states.

    `coding` is how the samples are stored, as a coding history begins: "A=PCM,F=44100,W=24".
    """
    outgoing = _outgoing(tags, sample_rate)
    if tags.mark:
        outgoing = _with_mark(outgoing, tags.mark, tags.software, coding)
    chunks = b"".join(_packed(name, content) for name, content in outgoing)
    size = file.seek(0, os.SEEK_END)
    file.write(b"\0" * (size % 2) + chunks)
    length = file.tell() - 8
    file.seek(20 if container == "RF64" else 4)
    file.write(struct.pack("<Q" if container == "RF64" else "<I", length))
    file.flush()


def _outgoing(tags: Tags, sample_rate: int) -> Chunks:
    """Returns the chunks to write beside samples at this rate (Hz), with the text among them."""
    fields = _info(tags.chunks)
    for word, name in INFO_FIELDS.items():
        if tags.text.get(word, "") != _decoded(fields.get(name, b"")):
            fields[name] = tags.text.get(word, "").encode() + b"\0"
    info = b"".join(_packed(name, raw) for name, raw in fields.items() if raw.strip(b"\0"))
    chunks = retimed(tags.chunks, 0, tags.sample_rate or sample_rate, sample_rate)
    kept = tuple((name, content) for name, content in chunks if name != b"LIST" or content[:4] != b"INFO")
    return (*kept, (b"LIST", b"INFO" + info)) if info else kept


def _packed(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


# The mark of a restored file


def _with_mark(chunks: Chunks, mark: str, software: str, coding: str) -> Chunks:
    """Returns the chunks with a mark in the broadcast notes: all that they said before stays as it was."""
    if all(name != b"bext" for name, _ in chunks):
        chunks = ((b"bext", _new_bext(software)), *chunks)
    line = _history_line(mark, coding)
    added, noted = [], False
    for name, content in chunks:
        if name == b"bext" and not noted and len(content) >= _BEXT_FIXED:
            content, noted = content[:_BEXT_FIXED] + _lengthened(content[_BEXT_FIXED:], line), True
        elif name == b"iXML":
            content = _with_note(content, mark)
        added.append((name, content))
    return tuple(added)


def _new_bext(software: str) -> bytes:
    """Returns a bext chunk (EBU Tech 3285, version 1) without a history; it has no date, as the sound has none."""
    described = f"Made with {software}: see the coding history.".encode("ascii", "replace")
    fields = struct.pack("<256s32s", described, software.encode("ascii", "replace"))
    return fields.ljust(346, b"\0") + struct.pack("<H", 1) + bytes(_BEXT_FIXED - 348)


def _history_line(mark: str, coding: str) -> bytes:
    """Returns a line of a coding history (EBU R 98), in whose text no comma may be."""
    plain = unicodedata.normalize("NFKD", mark).encode("ascii", "ignore").decode()
    words = " ".join(plain.replace(",", ";").split())
    return f"{coding},T={words}\r\n".encode()


def _lengthened(history: bytes, line: bytes) -> bytes:
    history = history.rstrip(b"\0")
    return history + (b"\r\n" if history and not history.endswith(b"\n") else b"") + line


def _with_note(ixml: bytes, mark: str) -> bytes:
    """Returns an iXML chunk with a mark in its note; one that is written in an unusual way stays as it was."""
    end, notes, closings = ixml.rfind(b"</BWFXML>"), ixml.count(b"<NOTE"), ixml.count(b"</NOTE>")
    if end < 0 or notes != closings or notes > 1:
        return ixml
    escaped = mark.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = escaped.encode("ascii", "xmlcharrefreplace")  # so it is right in whichever encoding the rest is
    if notes:
        place = ixml.index(b"</NOTE>")
        return ixml[:place] + (b"" if ixml[:place].endswith(b">") else b"\n") + words + ixml[place:]
    return ixml[:end] + b"<NOTE>" + words + b"</NOTE>" + ixml[end:]
