"""Keeps what is finished of a restoration in a folder beside its result, so that it can go on after a crash.

The folder holds the recording at the model's rate, the finished segments, and `journal.jsonl`: a line that says how the
restoration was begun, and one for each finished run of the sampler. Every line carries a digest of itself and all lines
before it, and digests of the samples that it vouches for. So a restoration goes on from what is whole, up to the first
line or sample that is not; what it comes to is the same to the last bit, or it is refused.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from babe2.dsp.tape import Blank, MemoryTape
from babe2.errors import Cancelled, RestorationError
from babe2.recordings.file_tape import FileTape, read_at, write_at
from babe2.recordings.lines import RUN_FIELDS, Entry, Fields, Record, Written, line_of, whole_lines
from babe2.recordings.own_folder import Draft, OwnFolder

log = logging.getLogger(__name__)

Unfinished = Literal["refuse", "resume", "discard"]  # what becomes of what an earlier run left

JOURNAL, NEW_JOURNAL = "journal.jsonl", "journal.new"
RECORDING, SEGMENTS = "recording.f32", "segments.f32"  # the first is made again by every run
DRAFT = "result"
# The journal goes last: as long as it is there, it tells what the rest is.
OURS = (NEW_JOURNAL, DRAFT, RECORDING, SEGMENTS, JOURNAL)
KEPT = ("threads",)  # what a run goes on with as it was begun, whatever it would be now

_LONGEST_LINE = 2**26  # bytes
_DIGESTED_AT_ONCE = 2**20  # bytes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Storage:
    """Where a run keeps what it works on: in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.warnings: list[str] = []  # what could not be gone on with, in sentences for people
        self._beside: list[Storage] = []

    def beside(self, number: int) -> Storage:
        """A storage for another run of the same, by its number; it is closed and discarded together with this one."""
        self._beside.append(Storage())
        return self._beside[-1]

    def blank(self, name: str, channels: int, samples: int = 0) -> Blank:
        """An empty tape, or "segments" as an earlier run left them; with room for so many samples."""
        return MemoryTape.blank(channels, samples)

    def note(self, record: Record) -> None:
        """Notes that a run of the sampler is finished, whose segments are on tape."""
        self.records.append(record)

    def draft(self, target: Path) -> Draft | None:
        """Where a target is written until it is whole, so that nothing else is left of it when all ends before."""
        return None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Closes the storage when the run inside fails; what is finished is kept for another time."""
        yield

    def close(self) -> None:
        """Leaves what is here for another time."""

    def discard(self) -> None:
        """Removes everything: the result is where it belongs, or there is none."""


class Journal(Storage):
    """Where a run keeps what it works on: on a disk, so that another one can go on with what this one finished.

    `about` is everything that decides the numbers; what was begun otherwise is not gone on with, but for what is `kept`
    of it: nobody asks for that in particular, and `begun` tells how it was. `unfinished` says what becomes of finished
    segments that lie in the folder.
    """

    begun: dict[str, Any]  # `about` as it is in force

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        unfinished: Unfinished = "refuse",
        kept: Sequence[str] = KEPT,
        fields: Fields = RUN_FIELDS,
    ) -> None:
        """`fields` are those that every record has."""
        super().__init__()
        self.folder, self._fields, self._unfinished, self._kept_names = folder, fields, unfinished, kept
        self._tapes: list[FileTape] = []
        self._written: dict[int, Written] = {}  # since the last line, by offset
        self._own: OwnFolder | None = None
        self._journal: int | None = None
        try:
            with self._own_files():
                self._own = OwnFolder(folder)
                self._begin(self._own, json.loads(json.dumps(about)), unfinished, kept)
        except BaseException:
            if self._own is not None:
                with suppress(OSError):
                    self._own.unlink(OURS if self._own.made else [NEW_JOURNAL])
                if self._own.made:
                    self._own.remove()
            self.close()
            raise

    def beside(self, number: int) -> Storage:
        folder = self.folder.with_name(f"{self.folder.name}-{number}")
        another = Journal(folder, self.begun | {"run": number}, self._unfinished, self._kept_names, self._fields)
        self._beside.append(another)
        return another

    def _begin(self, own: OwnFolder, about: dict[str, Any], unfinished: Unfinished, kept: Sequence[str]) -> None:
        left = Left(about, []) if unfinished == "discard" else _left_in(own, about, self._fields)
        if unfinished == "refuse":
            if left.entries or left.damage:
                damage = f" {left.damage}" if left.damage else ""
                raise RestorationError(
                    f"An unfinished restoration lies in {self.folder}, with {_segments(left.entries)}.{damage} "
                    "Go on with it with --resume, or remove that folder to begin anew."
                )
            left = Left(about, [])
        self.begun = about | {
            name: left.begun[name] for name in kept if type(left.begun.get(name)) is type(about[name])
        }
        if other := differences(left.begun, self.begun):
            raise RestorationError(
                f"The unfinished restoration in {self.folder} was begun otherwise ({', '.join(other):.200}). "
                "Finish it as it was begun, or remove that folder to begin anew."
            )
        if left.damage:
            self.warnings.append(f"{left.damage} {_segments(left.entries)} could be kept; the rest is made again.")
            log.warning(self.warnings[-1])
        self.records = [entry.record for entry in left.entries]
        self._write_anew(own, left)
        own.unlink([DRAFT, RECORDING, *([] if self.records else [SEGMENTS])])

    def _write_anew(self, own: OwnFolder, left: Left) -> None:
        """Writes the journal with the lines that are whole; it takes the place of the old one at once."""
        own.unlink([NEW_JOURNAL])
        self._journal = own.open(NEW_JOURNAL, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._size, self._lines, self._digest = 0, 0, ""
        self._append({"about": left.begun})
        for entry in left.entries:
            self._append(entry._asdict())
        os.fsync(self._journal)
        os.close(self._journal)  # Windows renames no open file
        own.replace(JOURNAL, by=NEW_JOURNAL)
        self._journal = own.open(JOURNAL, os.O_RDWR)

    def _append(self, fields: dict[str, Any]) -> None:
        assert self._journal is not None
        line, digest = line_of(fields, self._lines, self._digest)
        write_at(self._journal, self._size, memoryview(line))
        self._size, self._lines, self._digest = self._size + len(line), self._lines + 1, digest

    def blank(self, name: str, channels: int, samples: int = 0) -> FileTape:
        """An empty tape, or "segments" as an earlier run left them."""
        assert self._own is not None
        kept = f"{name}.f32" == SEGMENTS
        with self._own_files():
            file = self._own.open(f"{name}.f32", os.O_RDWR | os.O_CREAT)
            tape = FileTape(file, channels, self._digested if kept else _ignored, self._own_files)
        self._tapes.append(tape)
        return tape

    def _digested(self, offset: int, data: memoryview) -> None:
        self._written[offset] = Written(offset, len(data), hashlib.sha256(data).hexdigest())

    def note(self, record: Record) -> None:
        """Notes that a run of the sampler is finished, once its segments are safe on the disk."""
        assert self._journal is not None
        with self._own_files():
            for tape in self._tapes:
                tape.secure()
            self._append(Entry(record, list(self._written.values()))._asdict())
            os.fsync(self._journal)
        self._written.clear()
        super().note(record)

    def draft(self, target: Path) -> Draft | None:
        """Where a target is written until it is whole: in the journal's folder, if the target lies beside that."""
        return self._own.draft(DRAFT) if self._own is not None and self._own.holds(target) else None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Closes the journal when the run inside fails, or removes it if nothing is finished yet.

        A run that was stopped may hand its finished part over, which still lies here: then the journal stays open.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Cancelled) or error.partial is None:
                self._close_or_discard()
            raise

    def _close_or_discard(self) -> None:
        if self.records:
            self.close()
        else:
            self.discard()

    def close(self) -> None:
        """Leaves what is here for another time."""
        for another in self._beside:
            another.close()
        self._close_files()
        if self._own is not None:
            self._own.close()
            self._own = None

    def discard(self) -> None:
        """Removes the journal, and nothing else that somebody may have put into its folder."""
        for another in self._beside:
            another.discard()
        self._close_files()
        if self._own is not None:
            with self._own_files():
                self._own.unlink(OURS)  # before somebody else may work here
                self._own.remove()
            self._own = None

    def _close_files(self) -> None:
        for tape in self._tapes:
            tape.close()
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    @contextmanager
    def _own_files(self) -> Iterator[None]:
        """Says in a sentence what the disk refused, and that nothing that was finished is lost."""
        try:
            yield
        except OSError as error:
            full = error.errno in _FULL
            if self.records:
                way_out = "What is finished is kept there: mend that, then go on with --resume."
            else:
                way_out = f"{'Make room there, or choose' if full else 'Choose'} another place for the result."
            raise RestorationError(
                f"What is being worked on cannot be kept in {self.folder} ({error.strerror or error}). {way_out}"
            ) from error


def _ignored(offset: int, data: memoryview) -> None:
    pass


def differences(begun: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """Lists the names of the options in which two restorations differ."""
    found = []
    for name in sorted({*begun, *about}):
        before, now = begun.get(name), about.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now)
        elif before != now:
            found.append(name)
    return found


# What an earlier run left


class Left(NamedTuple):
    """What an earlier run left that is whole, and how it was begun."""

    begun: dict[str, Any]
    entries: list[Entry]
    damage: str = ""  # a sentence


def _left_in(own: OwnFolder, about: dict[str, Any], fields: Fields) -> Left:
    """Reads what is whole in a folder, up to the first line or sample that is not: what follows depends on it."""
    size = own.size(JOURNAL)
    if size is None:
        if own.size(SEGMENTS):
            raise _lost(own, f"The folder {own.path} holds segments, but its {JOURNAL} is gone")
        return Left(about, [])
    with os.fdopen(own.open(JOURNAL, os.O_RDONLY), "rb") as file:
        lines = list(iter(lambda: file.readline(_LONGEST_LINE), b""))
    begun, entries, damaged = whole_lines(lines, about, fields)
    if begun is None:
        raise _lost(own, f"The first line of {own.path / JOURNAL} is damaged, or not one of ours")
    sound = _first_sound(own, entries)
    if sound < len(entries):
        return Left(begun, entries[:sound], f"A finished segment in {own.path / SEGMENTS} is damaged.")
    if damaged:
        return Left(begun, entries, f"Line {damaged} of {own.path / JOURNAL} is damaged.")
    known = max((written.offset + written.length for entry in entries for written in entry.written), default=0)
    # Silence is laid before the first segment is finished, and no line tells of it until then.
    if entries and (own.size(SEGMENTS) or 0) > known:
        return Left(begun, entries, f"{own.path / SEGMENTS} holds more than {JOURNAL} tells of.")
    return Left(begun, entries)


def _lost(own: OwnFolder, fact: str) -> RestorationError:
    return RestorationError(
        f"{fact}, so what was finished cannot be told. Give the very options that it was begun with, put the folder "
        "back from a copy, or remove it to begin anew."
    )


def _first_sound(own: OwnFolder, entries: list[Entry]) -> int:
    """Counts the entries, from the first on, whose samples are on the disk as they were written."""
    latest = {written.offset: written for entry in entries for written in entry.written}
    if own.size(SEGMENTS) is None:
        return next((number for number, entry in enumerate(entries) if entry.written), len(entries))
    file = own.open(SEGMENTS, os.O_RDONLY)
    try:
        for number, entry in enumerate(entries):
            if not all(_is_there(file, latest[written.offset]) for written in entry.written):
                return number
    finally:
        os.close(file)
    return len(entries)


def _is_there(file: int, written: Written) -> bool:
    digest, left, offset = hashlib.sha256(), written.length, written.offset
    while left > 0 and (piece := read_at(file, offset, min(left, _DIGESTED_AT_ONCE))):
        digest.update(piece)
        left, offset = left - len(piece), offset + len(piece)
    return left == 0 and digest.hexdigest() == written.sha256


def _segments(entries: list[Entry]) -> str:
    count = sum(len(entry.record["segments"]) for entry in entries)
    return f"{count} finished segment{'' if count == 1 else 's'}"
