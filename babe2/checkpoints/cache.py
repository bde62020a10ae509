"""Where fetched files live on this machine, and how they get there: whole, locked, and never outside."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from babe2.errors import RestorationError
from babe2.extras import require
from babe2.replacing import replacing, write_text


@dataclass(frozen=True)
class Cache:
    """Where fetched files live."""

    hub: Path  # in the Hub's standard layout
    own: Path  # what comes from elsewhere, partial files, and the hashes that were seen first

    @classmethod
    def at(cls, cache_dir: str | Path | None) -> Cache:
        """Everything below `cache_dir`, or where the Hub's client keeps its things."""
        if cache_dir is not None:
            folder = Path(cache_dir).expanduser()
            return cls(folder, folder / "babe2")
        try:
            from huggingface_hub import constants
        except ModuleNotFoundError:  # without the extra `hub` nothing is fetched; what was, is found where it lies
            home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
            return cls(home / "hub", home / "assets" / "babe2")
        return cls(Path(constants.HF_HUB_CACHE), Path(constants.HF_ASSETS_CACHE) / "babe2")


def digest(path: Path, like: str = "") -> str:
    """The sha256 of a file, or where `like` has 40 digits the name that git gives to it."""
    with path.open("rb") as file:
        if len(like) != 40:
            return hashlib.file_digest(file, "sha256").hexdigest()
        named = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: named).hexdigest()


def land(whole: Path, target: Path) -> None:
    """Moves a checked file to its place at once, on another disk too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        whole.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(whole, target)
        whole.unlink()


def copy(source: Path, target: Path) -> None:
    with replacing(target) as new:
        shutil.copyfile(source, new)
        with new.open("rb+") as file:
            os.fsync(file.fileno())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def point(pointer: Path, blob: Path) -> None:
    """Makes the snapshot's file a link to the blob, or a copy where there are no links."""
    from huggingface_hub import constants

    pointer.parent.mkdir(parents=True, exist_ok=True)
    if constants.HF_HUB_DISABLE_SYMLINKS:
        return copy(blob, pointer)
    try:
        with replacing(pointer) as new:
            new.symlink_to(os.path.relpath(blob, pointer.parent))
    except (OSError, NotImplementedError):
        copy(blob, pointer)


@contextmanager
def lock(cache: Cache, name: str, wait: Callable[[], None]) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of a process that ends, however it ends. `wait` is called
    while another has it, and may raise."""
    require("hub")
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    folder = cache.own / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while True:
            wait()
            with suppress(Timeout):
                held.enter_context(WeakFileLock(folder / f"{key(name)}.lock", timeout=0.2))
                break
        yield


@contextmanager
def disk(cache: Cache) -> Iterator[None]:
    """What goes wrong on disk, in a sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or cache.own
        raise RestorationError(
            f"The cache cannot be used at {where}: {error.strerror or error}. "
            "Make room there or allow writing, or name another folder in HF_HOME."
        ) from None


def within(root: Path, path: Path) -> Path:
    """`path`, which must stay below `root` when every link in it is followed."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise RestorationError(f"{path} is a link that leads out of the cache at {root}. Remove it and fetch again.")
    return path


def size_of(folder: Path) -> int:
    """Bytes of the files below; links count for nothing."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
