"""Where fetched checkpoints are kept on this machine: the folders, file hashes, and locks between processes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from babe2.errors import RestorationError


@dataclass(frozen=True)
class Cache:
    """The two folders in which fetched files are kept."""

    hub: Path  # in the Hub's standard layout, written by the Hub's own client
    own: Path  # what comes from elsewhere, partial files, and the hashes that were seen first

    @classmethod
    def at(cls, cache_dir: str | Path | None) -> Cache:
        """The folders below `cache_dir`; where it is None, those of the Hub's client (HF_HOME)."""
        if cache_dir is not None:
            folder = Path(cache_dir).expanduser()
            return cls(folder, folder / "babe2")
        try:
            from huggingface_hub import constants
        except ModuleNotFoundError:  # without the extra `hub` nothing is fetched; what was, is found where it lies
            home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
            return cls(home / "hub", home / "assets" / "babe2")
        return cls(Path(constants.HF_HUB_CACHE), Path(constants.HF_ASSETS_CACHE) / "babe2")


def file_hash(path: Path, like: str = "") -> str:
    """The sha256 of a file; where `like` has 40 digits, git's sha1 of it, which the Hub gives for texts."""
    with path.open("rb") as file:
        if len(like) != 40:
            return hashlib.file_digest(file, "sha256").hexdigest()
        named = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: named).hexdigest()


@contextmanager
def lock(cache: Cache, name: str, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one process at a time work on `name`. The system frees the lock of a process that ends, however it ends.
    `while_waiting` is called several times a second until the lock is free, and may raise."""
    from filelock import FileLock, Timeout

    folder = cache.own / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    held = FileLock(folder / f"{short_hash(name)}.lock", mode=0o664)  # a cache may be shared by a group of users
    while True:
        while_waiting()
        try:
            held.acquire(timeout=0.2)
            break
        except Timeout:
            continue
    try:
        yield
    finally:
        held.release()


@contextmanager
def disk_errors(cache: Cache) -> Iterator[None]:
    """Turns what goes wrong on disk into a sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or cache.own
        raise RestorationError(
            f"The cache cannot be used at {where}: {error.strerror or error}. "
            "Make room there or allow writing, or name another folder in HF_HOME."
        ) from None


def inside(root: Path, path: Path) -> Path:
    """`path`, after a check that it stays below `root` when every link in it is followed."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise RestorationError(f"{path} is a link that leads out of the cache at {root}. Remove it and fetch again.")
    return path


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; links count for nothing."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def remove_folder(folder: Path) -> None:
    """Deletes a folder with all that is in it, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def short_hash(text: str) -> str:
    """Sixteen digits that name a file after any text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
