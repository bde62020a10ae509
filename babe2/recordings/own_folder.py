"""A folder of our own on a disk, in which no name leads to somebody else's file.

Others may be able to write where a result goes: into a shared folder, or a world-writable one. So what is kept there is
reached through the folder's descriptor rather than by its path, no link is followed, and no file is touched that has a
second name elsewhere.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from babe2.errors import RestorationError

_BY_DESCRIPTOR = os.open in os.supports_dir_fd  # Windows has no such thing: there the path is asked every time
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
LOCK = "lock"
_LOCK_TRIES = 10


class Draft(NamedTuple):
    """The name of a file that is being written, in a folder that is open (`None`: in the current one)."""

    name: str
    folder: int | None = None

    def create(self) -> int:
        """Makes the file anew and returns its descriptor; what bore the name before, be it a link, is gone."""
        self.unlink()
        return os.open(self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, 0o666, dir_fd=self.folder)

    def is_file(self, written: os.stat_result) -> bool:
        """Whether the name still means the file that was written."""
        with suppress(OSError):
            return os.path.samestat(written, os.stat(self.name, dir_fd=self.folder, follow_symlinks=False))
        return False

    def link(self, target: Path) -> None:
        """Gives the file a second name; unlike a rename this never replaces a file that has just appeared."""
        os.link(self.name, target, src_dir_fd=self.folder)

    def rename(self, target: Path) -> None:
        """Moves the file to another name, in the place of what is there."""
        os.replace(self.name, target, src_dir_fd=self.folder)

    def unlink(self) -> None:
        """Removes the name, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self.folder)


class OwnFolder:
    """A folder of ours, made where there was none, and locked: nobody else works in it until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = False
        with suppress(FileExistsError):
            path.mkdir()
            self.made = True
        _check(path)
        self._descriptor = _opened(path) if _BY_DESCRIPTOR else None
        self._lock: int | None = None
        try:
            self._lock = self._locked()
        except BaseException:
            if self.made:
                self.remove()
            self.close()
            raise

    def draft(self, name: str) -> Draft:
        """Where a file of that name is written."""
        return Draft(self._place(name), self._descriptor)

    def open(self, name: str, flags: int) -> int:
        """Opens a regular file of this folder and returns its descriptor; a link, or a file known elsewhere, never."""
        try:
            descriptor = os.open(self._place(name), flags | _SAFE, 0o666, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO):
                raise self._not_ours(name) from None
            raise
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(descriptor)
            raise self._not_ours(name)
        return descriptor

    def size(self, name: str) -> int | None:
        """The size of a file, in bytes; None where there is nothing of that name."""
        try:
            return os.stat(self._place(name), dir_fd=self._descriptor, follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def replace(self, name: str, by: str) -> None:
        """Moves the file `by` to another name of this folder, which outlasts a loss of power."""
        os.replace(self._place(by), self._place(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        if self._descriptor is not None:
            with suppress(OSError):  # some disks cannot, and do not need to
                os.fsync(self._descriptor)

    def unlink(self, names: Iterable[str]) -> None:
        """Removes files; of a link, the link."""
        for name in names:
            self.draft(name).unlink()

    def holds(self, target: Path) -> bool:
        """Whether `target` lies beside this folder, and so on the same disk."""
        return self._still_there() and self.path.absolute().parent == target.absolute().parent

    def remove(self) -> None:
        """Removes the folder, unless somebody has put something into it."""
        self._unlock()
        if self._still_there():
            with suppress(OSError):
                self.path.rmdir()
        self.close()

    def close(self) -> None:
        """Lets others work here."""
        self._unlock()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _place(self, name: str) -> str:
        if self._descriptor is not None:
            return name
        place = self.path / name
        _check(self.path)
        if place.is_symlink():
            raise self._not_ours(name)
        return str(place)

    def _still_there(self) -> bool:
        """Whether the path still leads to this folder."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return self._descriptor is None or os.path.samestat(found, os.fstat(self._descriptor))

    def _not_ours(self, name: str) -> RestorationError:
        return RestorationError(
            f"{self.path / name} is a link, or no file of its own, and nothing is written through it. "
            "Put a copy in its place, or remove it."
        )

    def _locked(self) -> int:
        for _ in range(_LOCK_TRIES):
            lock = self.open(LOCK, os.O_RDWR | os.O_CREAT)
            try:
                if not _lock_at_once(lock):
                    raise RestorationError(f"Somebody is at work in {self.path}. Wait for them to finish.")
                if self.draft(LOCK).is_file(os.fstat(lock)):
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # whoever had locked it has just removed it
        raise RestorationError(f"Somebody is at work in {self.path}. Wait for them to finish.")

    def _unlock(self) -> None:
        if self._lock is None:
            return
        with suppress(OSError, RestorationError):  # Windows keeps a file that is open
            self.unlink([LOCK])
        os.close(self._lock)
        self._lock = None


def _check(path: Path) -> None:
    """Refuses what is no folder, or only leads to one, or is somebody else's."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", None)):
        raise RestorationError(
            f"{path} is a link, and what is being worked on is kept in a real folder of that name only. "
            "Remove the link, or choose another name for the result."
        )
    if not stat.S_ISDIR(found.st_mode):
        raise RestorationError(
            f"{path} is a file, where a folder of that name is needed for what is being worked on. "
            "Move it away, or choose another name for the result."
        )


def _opened(path: Path) -> int:
    """The descriptor of a folder that is ours."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    owner = os.fstat(descriptor).st_uid
    if owner == os.geteuid() or owner == _owner_given_to(path.parent):
        return descriptor
    os.close(descriptor)
    raise RestorationError(
        f"The folder {path} belongs to somebody else. Remove it, or choose another name for the result."
    )


def _owner_given_to(folder: Path) -> int | None:
    """Whose a new folder becomes there: some disks, of networks above all, make everything one person's."""
    probe = folder / f".{secrets.token_hex(8)}"
    try:
        probe.mkdir()
        owner = os.lstat(probe).st_uid
        probe.rmdir()
    except OSError:
        return None
    return owner


def _lock_at_once(file: int) -> bool:
    """Locks an open file, if nobody has; the lock ends with the descriptor, and with the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True
