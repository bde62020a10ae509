"""From a name to a file one may trust: what comes along, what was fetched before, and what can be fetched."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babe2 import fetching, manifest
from babe2.cache import Cache
from babe2.checkpoints import CONFIG, WEIGHTS, sha256_of
from babe2.errors import RestorationError
from babe2.manifest import Entry, Manifest, Source
from babe2.transfer import OnTransfer

log = logging.getLogger(__name__)

ORIGIN = "origin.json"  # beside converted weights: where they are from, and what their hash was then
State = Literal["bundled", "cached", "remote"]


@dataclass(frozen=True)
class Found:
    """A checkpoint's file on this machine."""

    path: Path  # .safetensors with its config.json beside it, or a published .pt
    name: str
    sha256: str | None = None  # what the file must have; None: nobody has said
    verified: bool = False  # whether that was said by somebody else than our own first download


def find(
    spec: str | Path,
    *,
    cache_dir: str | Path | None = None,
    extra_manifest: str | Path | None = None,
    offline: bool = False,
    on_transfer: OnTransfer | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Found:
    """The file that is meant by `spec`, fetched where it is not on this machine."""
    if not manifest.ID.fullmatch(str(spec)) and (local := _local(spec)) is not None:
        return local  # without a look at any manifest, as training machines may lack what reads it
    shelf = Shelf.at(cache_dir, extra_manifest)
    return shelf.find(spec, offline=offline, on_transfer=on_transfer, cancelled=cancelled)


@dataclass(frozen=True)
class Shelf:
    """The checkpoints that a manifest names, as far as they are on this machine, and the way to the others."""

    manifest: Manifest
    cache: Cache

    @classmethod
    def at(cls, cache_dir: str | Path | None = None, extra_manifest: str | Path | None = None) -> Shelf:
        return cls(manifest.collection(extra_manifest), Cache.at(cache_dir))

    def entry(self, name: str) -> Entry:
        if name not in self.manifest:
            raise RestorationError(f"There is no checkpoint called {name!r:.80}.{self._nearest(name)} {self._names()}")
        return self.manifest[name]

    def find(
        self,
        spec: str | Path,
        *,
        offline: bool = False,
        on_transfer: OnTransfer | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Found:
        """`spec`: a manifest's id, a local file or folder, or a Hub repository `owner/name[@revision]`.

        What is not on this machine is fetched.
        """
        if str(spec) in self.manifest:
            entry = self.manifest[str(spec)]
            return self.at_hand(entry) or self._fetched(entry, offline, on_transfer, cancelled)
        local = _local(spec)
        if local is not None:
            return local
        repo, _, revision = str(spec).partition("@")
        if manifest.REPO.fullmatch(repo):
            files = (CONFIG, WEIGHTS)
            folder = fetching.fetch_from_hub(
                repo, revision or None, files, self.cache, offline=offline, on_transfer=on_transfer, cancelled=cancelled
            )
            return _from_snapshot(folder / WEIGHTS, repo)
        raise RestorationError(f"There is no checkpoint at {spec!s:.200}.{self._nearest(str(spec))} {self._names()}")

    def at_hand(self, entry: Entry) -> Found | None:
        """A manifest's checkpoint where it is on this machine; asks no network."""
        for source, first in _ranked(entry):
            sha256 = entry.sha256 if first else None
            if source.bundled is not None and (folder := entry.bundled()) is not None:
                return Found(folder / WEIGHTS, entry.id, sha256, sha256 is not None)
            if source.repo is not None and source.file is not None:
                folder = fetching.cached_from_hub(source.repo, source.revision, _files(source), self.cache)
                if folder is not None:
                    return _from_snapshot(folder / source.file, entry.id, sha256)
            if source.url is not None and (found := self._converted(source.url, entry, sha256)) is not None:
                return found
        return None

    def state(self, entry: Entry) -> tuple[State, Found | None]:
        found = self.at_hand(entry)
        if found is None:
            return "remote", None
        return ("bundled" if entry.bundled() == found.path.parent else "cached"), found

    def verify(self, entry: Entry) -> tuple[bool, str]:
        """Whether a checkpoint on this machine is what it should be, and how that was told."""
        found = self.at_hand(entry)
        if found is None:
            return True, "not on this machine"
        if found.sha256 is None:
            return True, "nobody has said what its hash should be"
        if sha256_of(found.path) != found.sha256:
            return False, f"changed: {found.path} should have sha256 {found.sha256}"
        return True, "verified" if found.verified else "as first fetched, from an unverified source"

    def remove(self, entry: Entry) -> int:
        """Takes a fetched checkpoint off this machine; how many bytes that frees."""
        freed = 0
        for source in entry.sources:
            if source.url is not None:
                folders = [self._home(source.url), fetching.forget_url(source.url, self.cache)]
            elif source.repo is not None:
                folders = [self.cache.hub / ("models--" + source.repo.replace("/", "--"))]
            else:
                folders = []
            for folder in folders:
                freed += _size(folder)
                shutil.rmtree(folder, ignore_errors=True)
        return freed

    def size(self, entry: Entry) -> int:
        """Bytes of a checkpoint's weights on this machine."""
        found = self.at_hand(entry)
        return found.path.stat().st_size if found else 0

    def _fetched(
        self,
        entry: Entry,
        offline: bool,
        on_transfer: OnTransfer | None,
        cancelled: Callable[[], bool] | None,
    ) -> Found:
        """From the first source that works."""
        reasons = []
        for source, first in _ranked(entry):
            sha256, size = (entry.sha256, entry.bytes) if first else (None, None)
            try:
                if source.repo is not None and source.file is not None:
                    folder = fetching.fetch_from_hub(
                        source.repo,
                        source.revision,
                        _files(source),
                        self.cache,
                        offline=offline,
                        on_transfer=on_transfer,
                        cancelled=cancelled,
                    )
                    return _from_snapshot(folder / source.file, entry.id, sha256)
                if source.url is not None:
                    path = fetching.fetch_url(
                        source.url,
                        self.cache,
                        bytes=size,
                        sha256=sha256,
                        offline=offline,
                        on_transfer=on_transfer,
                        cancelled=cancelled,
                    )
                    self._convert(source.url, path)
                    if (found := self._converted(source.url, entry, sha256)) is not None:
                        return found
            except RestorationError as error:
                log.info("%s: %s", entry.id, error)
                reasons.append(str(error))
        raise RestorationError(f"The checkpoint {entry.id} cannot be had. {' '.join(reasons)}")

    # What the authors offer is converted on arrival: weights alone, a quarter of the download, and safe to load.

    def _home(self, url: str) -> Path:
        return self.cache.own / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:16]

    def _convert(self, url: str, path: Path) -> None:
        from babe2.published import convert

        home = self._home(url)
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".part-") as scratch:
            made = Path(scratch) / "checkpoint"
            try:
                convert(path, made)
            except RestorationError:  # then its hash is not worth remembering
                fetching.forget_url(url, self.cache)
                raise
            origin = {"url": url, "source": sha256_of(path), "sha256": sha256_of(made / WEIGHTS)}
            (made / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", "utf-8")
            with suppress(OSError):  # another process was first
                os.rename(made, home)
        path.unlink(missing_ok=True)

    def _converted(self, url: str, entry: Entry, source_sha256: str | None) -> Found | None:
        """Given what the fetched file's hash had to be, where that is known."""
        home = self._home(url)
        try:
            origin = json.loads((home / ORIGIN).read_text("utf-8"))
            source, sha256 = str(origin["source"]), str(origin["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if source_sha256 not in (None, source):
            return None
        return Found(home / WEIGHTS, entry.id, sha256, source_sha256 is not None)

    def _names(self) -> str:
        return (
            f"Give {', '.join(self.manifest)}, a .safetensors file with its {CONFIG} beside it, the folder that holds "
            "both, a published .pt file, or a Hub repository as owner/name."
        )

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.manifest, n=1)
        return f" Did you mean {close[0]}?" if close else ""


def _ranked(entry: Entry) -> list[tuple[Source, bool]]:
    """Its sources in order; the manifest's hash and size are those of the first one's file."""
    return [(source, i == 0) for i, source in enumerate(entry.sources)]


def _files(source: Source) -> tuple[str, str]:
    """The weights and the configuration beside them."""
    weights = str(source.file)
    return weights, str(Path(weights).with_name(CONFIG).as_posix())


def _from_snapshot(weights: Path, name: str, sha256: str | None = None) -> Found:
    """A file in the Hub's cache, which calls large files by their hash."""
    blob = weights.resolve().name
    known = sha256 or (blob if manifest.SHA256.fullmatch(blob) else None)
    return Found(weights, name, known, known is not None)


def _local(spec: str | Path) -> Found | None:
    """A file or folder of this name, if there is one; what is there but no checkpoint is told."""
    if not str(spec).strip():
        raise RestorationError("The checkpoint's name is empty. Give one of `babe2 checkpoints list`.")
    path = Path(spec)
    with suppress(RuntimeError):  # a person without a home; a file may still be called so
        path = path.expanduser()
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise RestorationError(
                f"The folder {spec} holds no {WEIGHTS}. Give a checkpoint's folder, or a name of `babe2 checkpoints list`."
            )
        path = path / WEIGHTS
    if path.exists() and not path.is_file():
        raise RestorationError(f"{spec} is no ordinary file, so it cannot be a checkpoint.")
    if not path.is_file():
        return None
    return Found(path, path.parent.resolve().name if path.suffix == ".safetensors" else path.stem)


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
