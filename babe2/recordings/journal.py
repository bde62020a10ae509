"""What a restoration needs to go on after a crash: everything that is finished, in a folder beside its result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from babe2.dsp.tape import Blank, MemoryTape
from babe2.errors import RestorationError


class FileTape(Blank):
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


Record = dict[str, Any]  # what is known of one finished run of the sampler
Unfinished = Literal["refuse", "resume", "discard"]  # what becomes of what an earlier run left

JOURNAL, TAPES, DRAFT, LOCK = "journal.jsonl", ("recording.f32", "segments.f32"), "result", "lock"


class Storage:
    """Where a run keeps what it works on: in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def blank(self, name: str, channels: int) -> Blank:
        return MemoryTape.blank(channels)

    def note(self, record: Record) -> None:
        """A run of the sampler is finished, and its segments are on tape."""
        self.records.append(record)

    def draft(self, target: Path) -> Path | None:
        """Where a target is written until it is whole, so that nothing else is left of it when all ends before."""
        return None

    def close(self) -> None:
        """Whatever is here is left for another time."""

    def discard(self) -> None:
        """The result is where it belongs, or there is none."""


class Journal(Storage):
    """The same on a disk: a line for each finished run of the sampler, written once its segments are safe.

    `about` is everything that decides the numbers; what was begun otherwise is not gone on with.
    """

    def __init__(self, folder: Path, about: dict[str, Any], unfinished: Unfinished = "refuse") -> None:
        super().__init__()
        self.folder = folder
        self._tapes: list[FileTape] = []
        with self.kept():
            self._lock = _locked(folder, unfinished)
            try:
                self._begin(json.loads(json.dumps(about)), unfinished)
            except BaseException:
                self._lock.release()
                raise

    def _begin(self, about: dict[str, Any], unfinished: Unfinished) -> None:
        path = self.folder / JOURNAL
        lines, size = _lines(path) if unfinished == "resume" else ([], 0)
        begun, *self.records = lines or [about]
        self.threads: int = begun.get("threads", about["threads"])
        if other := differences(begun, about | {"threads": self.threads}):
            raise RestorationError(
                f"The unfinished restoration in {self.folder} was begun otherwise ({', '.join(other)}). "
                "Finish it as it was begun, or begin anew with --overwrite."
            )
        if lines:
            os.truncate(path, size)  # without a line that was begun when everything ended
        self._file = open(path, "a" if lines else "w", encoding="utf-8")  # noqa: SIM115 (as long as there is a journal)
        if not lines:
            self._begin_anew(about)

    def _begin_anew(self, about: dict[str, Any]) -> None:
        try:
            self._note(about)
            _unlink(self.folder, TAPES)
        except OSError:
            self.discard()
            raise

    def blank(self, name: str, channels: int) -> FileTape:
        self._tapes.append(FileTape(self.folder / f"{name}.f32", channels))
        return self._tapes[-1]

    def note(self, record: Record) -> None:
        for tape in self._tapes:
            tape.secure()
        self._note(record)
        super().note(record)

    def draft(self, target: Path) -> Path | None:
        here = self.folder.is_dir() and self.folder.absolute().parent == target.absolute().parent
        return self.folder / DRAFT if here else None

    def close(self) -> None:
        self._close_files()
        self._lock.release()

    def discard(self) -> None:
        self._close_files()
        _unlink(self.folder, (JOURNAL, *TAPES, DRAFT))  # before somebody else may work here
        self._lock.release()
        remove(self.folder)

    def _close_files(self) -> None:
        for tape in self._tapes:
            tape.close()
        with suppress(OSError):  # a full disk complains once more; what was noted is safe
            self._file.close()

    def _note(self, record: Record) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Says in a sentence when the disk can take no more, and that nothing that was finished is lost."""
        try:
            yield
        except OSError as error:
            way_out = "Make room there, or choose another place for the result."
            if self.records:
                way_out = "What is finished is kept there: mend that, then go on with --resume."
            raise RestorationError(
                f"What is being worked on cannot be written to {self.folder} ({error.strerror or error}). {way_out}"
            ) from error


def remove(folder: Path) -> None:
    """A journal, and nothing else that somebody may have put into its folder."""
    _unlink(folder, (JOURNAL, *TAPES, DRAFT, LOCK))
    with suppress(OSError):
        folder.rmdir()


def _unlink(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def differences(begun: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """What two restorations were told differently, by name."""
    found = []
    for name in sorted({*begun, *about}):
        before, now = begun.get(name), about.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now)
        elif before != now:
            found.append(name)
    return found


def _locked(folder: Path, unfinished: Unfinished) -> Any:
    """Makes the folder, or takes over what an earlier run left in it; nobody else may."""
    from filelock import FileLock, Timeout

    with suppress(FileExistsError):
        folder.mkdir()
    if unfinished == "refuse" and (folder / JOURNAL).exists():
        raise RestorationError(
            f"An unfinished restoration lies in {folder}. Go on with it with --resume, or begin anew with --overwrite."
        )
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RestorationError(f"Somebody is at work in {folder}. Wait for them to finish.") from None
    return lock


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """What was noted, as far as it was noted whole, and how many bytes that takes."""
    found: list[dict[str, Any]] = []
    size = 0
    with suppress(FileNotFoundError, ValueError), open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not isinstance(record := json.loads(line.decode()), dict):
                break
            found.append(record)
            size += len(line)
    return found, size
