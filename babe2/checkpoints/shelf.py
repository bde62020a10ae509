"""From a name to a file that can be trusted: one that comes with babe2, was fetched before, or is fetched now."""

from __future__ import annotations

import difflib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from babe2.checkpoints import manifest
from babe2.checkpoints.cache import Cache, disk_errors, file_hash, inside, lock, remove_folder, short_hash, size_of
from babe2.checkpoints.checkpoint import CONFIG, WEIGHTS
from babe2.checkpoints.hub import cached_from_hub, fetch_from_hub, remove_from_hub_cache
from babe2.checkpoints.manifest import Entry, Manifest, Source
from babe2.checkpoints.published import Unwritten, convert
from babe2.checkpoints.transfer import Caller, OnTransfer, Polled
from babe2.checkpoints.web import fetch_url, remove_url
from babe2.errors import RestorationError

log = logging.getLogger(__name__)

ORIGIN = "origin.json"  # beside converted weights: where they are from, and what their hash was then
FILES = (CONFIG, WEIGHTS)
PATHS = f"a .safetensors file with its {CONFIG} beside it, the folder that holds both, or a published .pt file"
State = Literal["bundled", "cached", "remote"]


@dataclass(frozen=True)
class Found:
    """A checkpoint's file on this machine."""

    path: Path  # .safetensors with its config.json beside it, or a published .pt
    name: str
    sha256: str | None = None  # what the file must have; None: nobody has said
    verified: bool = False  # whether that was said by somebody else than our own first download
    way_out: str = "Put the file that came along back in its place, or install babe2 again."  # when it is another
    stated: Mapping[str, Any] = field(default_factory=dict)  # what a manifest says of a published file, see Entry
    spectrum: Path | None = None  # the weights with whose average spectrum a file is used that has none


def find(
    spec: str | Path,
    *,
    cache_dir: str | Path | None = None,
    extra_manifest: str | Path | None = None,
    offline: bool = False,
    on_transfer: OnTransfer | None = None,
    cancelled: Polled | None = None,
) -> Found:
    """The checkpoint's file that is meant by `spec`, fetched where it is not on this machine. A Path means a path and
    nothing else; a text that is both a manifest's id and a folder's name means the first.
    """
    if isinstance(spec, Path) or not manifest.ID.fullmatch(spec):
        if (local := _local(spec)) is not None:
            return local  # without a look at any manifest, as training machines may lack what reads it
        if isinstance(spec, Path):
            raise RestorationError(f"There is no checkpoint at {spec!s:.200}. Give {PATHS}.")
    try:
        shelf = Shelf.at(cache_dir, extra_manifest)
    except ModuleNotFoundError as error:
        if (local := _local(spec)) is not None:
            return local
        raise RestorationError(
            f"To know what {spec!r:.80} means, {error.name} is needed and not installed. Install it, or give the path "
            "of the checkpoint's folder."
        ) from None
    return shelf.find(spec, offline=offline, on_transfer=on_transfer, cancelled=cancelled)


@dataclass(frozen=True)
class Shelf:
    """The checkpoints that a manifest names, as far as they are on this machine, and the way to the others."""

    manifest: Manifest
    cache: Cache

    @classmethod
    def at(cls, cache_dir: str | Path | None = None, extra_manifest: str | Path | None = None) -> Shelf:
        """The shelf of babe2's manifest and a further one, with what is kept below `cache_dir`."""
        return cls(manifest.collection(extra_manifest), Cache.at(cache_dir))

    def entry(self, name: str) -> Entry:
        """The manifest's entry of this id."""
        if name not in self.manifest:
            raise RestorationError(f"There is no checkpoint called {name!r:.80}.{self._nearest(name)} {self._names()}")
        return self.manifest[name]

    def find(
        self,
        spec: str,
        *,
        offline: bool = False,
        on_transfer: OnTransfer | None = None,
        cancelled: Polled | None = None,
    ) -> Found:
        """The checkpoint's file that is meant by `spec`, fetched where it is not on this machine: a manifest's id, a
        local file or folder, or a Hub repository `owner/name[@revision]`.
        """
        caller = Caller(on_transfer, cancelled)
        if spec in self.manifest:
            entry = self.manifest[spec]
            found = self.at_hand(entry) or self._fetch(entry, offline, caller)
            return replace(found, stated=entry.stated(), spectrum=self._spectrum(entry))
        if (local := _local(spec)) is not None:
            return local
        if (named := _repository(spec)) is not None:
            repo, revision = named
            folder = fetch_from_hub(repo, revision, FILES, self.cache, caller, offline=offline)
            # The commit is what was used; a branch is something else tomorrow.
            return _in_hub_cache(folder / WEIGHTS, f"{repo}@{folder.name}", spec)
        raise RestorationError(f"There is no checkpoint at {spec:.200}.{self._nearest(spec)} {self._names()}")

    def _spectrum(self, entry: Entry) -> Path | None:
        other = self.manifest.get(entry.spectrum or "")
        folder = None if other is None else other.bundled()
        return None if folder is None else folder / WEIGHTS

    def at_hand(self, entry: Entry) -> Found | None:
        """A manifest's checkpoint where it is on this machine; asks no network."""
        for source, sha256, _ in _with_hashes(entry):
            if source.bundled is not None and (folder := entry.bundled()) is not None:
                return Found(folder / WEIGHTS, entry.id, sha256, sha256 is not None)
            if source.repo is not None and source.file is not None:
                cached = cached_from_hub(source.repo, source.revision, _files(source), self.cache)
                if cached is not None:
                    return _in_hub_cache(cached / source.file, entry.id, entry.id, sha256)
            if source.url is not None and (found := self._converted(source.url, entry, sha256)) is not None:
                return found
        return None

    def state(self, entry: Entry) -> tuple[State, Found | None]:
        """Where a manifest's checkpoint is, and its file if that is on this machine."""
        found = self.at_hand(entry)
        if found is None:
            return "remote", None
        return ("bundled" if entry.bundled() == found.path.parent else "cached"), found

    def verify(self, entry: Entry) -> tuple[bool, str]:
        """Whether a checkpoint on this machine is what it should be, and a few words on it."""
        found = self.at_hand(entry)
        if found is None:
            return True, "not on this machine"
        if found.sha256 is None:
            return True, "nobody has said what its hash should be"
        with disk_errors(self.cache):
            if file_hash(found.path) != found.sha256:
                return False, f"changed: {found.path} should have sha256 {found.sha256}"
        return True, "verified" if found.verified else "as first fetched, from an unverified source"

    def remove(self, spec: str) -> int:
        """Deletes what was fetched of a manifest's id or a Hub repository, without what another commit shares with it.
        Returns how many bytes that frees.
        """
        if spec not in self.manifest and (named := _repository(spec)) is not None:
            return remove_from_hub_cache(*named, FILES, self.cache)
        freed = 0
        for source in self.entry(spec).sources:
            if source.url is not None:
                freed += self._remove_converted(source.url)
            elif source.repo is not None:
                freed += remove_from_hub_cache(source.repo, source.revision, _files(source), self.cache)
        return freed

    def size(self) -> int:
        """Bytes of what is kept of the manifest's checkpoints, converted ones and broken transfers included."""
        found = [self.at_hand(entry) for entry in self.manifest.values()]
        on_the_hub = {one.path.resolve() for one in found if one and one.path.is_relative_to(self.cache.hub)}
        elsewhere = [path for path in on_the_hub if not path.is_relative_to(self.cache.own.resolve())]
        return size_of(self.cache.own) + sum(path.stat().st_size for path in elsewhere)

    def size_of(self, entry: Entry) -> int:
        """Bytes of a checkpoint's weights on this machine."""
        found = self.at_hand(entry)
        return found.path.stat().st_size if found else 0

    def _fetch(self, entry: Entry, offline: bool, caller: Caller) -> Found:
        """The checkpoint from the first source that works."""
        reasons = []
        for source, sha256, size in _with_hashes(entry):
            try:
                if source.repo is not None and source.file is not None:
                    files = _files(source)
                    folder = fetch_from_hub(source.repo, source.revision, files, self.cache, caller, offline=offline)
                    return _in_hub_cache(folder / source.file, entry.id, entry.id, sha256)
                if source.url is not None:
                    return self._fetch_and_convert(source.url, entry, sha256, size, offline, caller)
                reasons.append(f"{entry.base / str(source.bundled)} is missing. Install babe2 again.")
            except RestorationError as error:
                log.info("%s: %s", entry.id, error)
                reasons.append(str(error))
        raise RestorationError(f"{entry.id} cannot be had: {' '.join(reasons)}")

    # What the authors offer is converted on arrival: weights alone, a quarter of the download, and safe to load.

    def _fetch_and_convert(
        self, url: str, entry: Entry, sha256: str | None, size: int | None, offline: bool, caller: Caller
    ) -> Found:
        with disk_errors(self.cache), lock(self.cache, f"converting {url}", caller.stop_if_cancelled):
            if (found := self._converted(url, entry, sha256)) is not None:
                return found  # another process was first
            path = fetch_url(url, self.cache, caller, size=size, sha256=sha256, offline=offline)
            return self._convert(url, path, entry, sha256)

    def _home(self, url: str) -> Path:
        return inside(self.cache.own, self.cache.own / "checkpoints" / short_hash(url))

    def _convert(self, url: str, path: Path, entry: Entry, source_sha256: str | None) -> Found:
        home = self._home(url)
        scratch = home.with_name(f".{home.name}")
        remove_folder(scratch)  # of a process that was killed
        scratch.mkdir(parents=True)
        try:
            made = convert(path, scratch / entry.id, stated=entry.stated())
            origin = {"url": url, "source": made.sha256, "sha256": file_hash(scratch / entry.id / WEIGHTS)}
            (scratch / entry.id / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", "utf-8")
            remove_folder(home)  # what is no longer whole, or of another file
            os.rename(scratch / entry.id, home)
        except Unwritten:  # there will be room another time, and the download is kept till then
            raise
        except RestorationError:  # then its hash is not worth remembering
            remove_url(url, self.cache)
            raise
        finally:
            remove_folder(scratch)
        path.unlink()
        return Found(home / WEIGHTS, entry.id, origin["sha256"], source_sha256 is not None, _again(entry.id))

    def _remove_converted(self, url: str) -> int:
        with disk_errors(self.cache), lock(self.cache, f"converting {url}", lambda: None):
            freed = size_of(self._home(url))
            remove_folder(self._home(url))
            return freed + remove_url(url, self.cache)

    def _converted(self, url: str, entry: Entry, source_sha256: str | None) -> Found | None:
        """What was made of the file from `url`, if it is whole and of a file with this hash."""
        home = self._home(url)
        if not all((home / name).is_file() for name in FILES):
            return None
        try:
            origin = json.loads((home / ORIGIN).read_text("utf-8"))
            source, sha256 = str(origin["source"]), str(origin["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if source_sha256 not in (None, source):
            return None
        return Found(home / WEIGHTS, entry.id, sha256, source_sha256 is not None, _again(entry.id))

    def _names(self) -> str:
        return f"Give {', '.join(self.manifest)}, a Hub repository as owner/name, {PATHS}."

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.manifest, n=1)
        return f" Did you mean {close[0]}?" if close else ""


def _with_hashes(entry: Entry) -> list[tuple[Source, str | None, int | None]]:
    """An entry's sources in order, with sha256 and size, which the manifest gives for the first source's file."""
    first, *others = entry.sources
    return [(first, entry.sha256, entry.bytes), *((source, None, None) for source in others)]


def _files(source: Source) -> tuple[str, ...]:
    """The weights and the configuration beside them, which a published file has within it or not at all."""
    weights = str(source.file)
    if weights.endswith(".pt"):
        return (weights,)
    return weights, str(Path(weights).with_name(CONFIG).as_posix())


def _in_hub_cache(weights: Path, name: str, spec: str, sha256: str | None = None) -> Found:
    """A file in the Hub's cache, where large files are called by their hash."""
    blob = weights.resolve().name
    known = sha256 or (blob if manifest.SHA256.fullmatch(blob) else None)
    return Found(weights, name, known, known is not None, _again(spec))


def _again(spec: str) -> str:
    return f"Remove it (babe2 checkpoints remove {spec}) and fetch it again."


def _repository(spec: str) -> tuple[str, str | None] | None:
    """Name and revision, where `spec` can mean a repository on the Hub and not just a file that is not there."""
    repo, _, revision = spec.partition("@")
    if not manifest.REPO.fullmatch(repo) or spec.endswith((".pt", ".safetensors")):
        return None
    return repo, revision or None


def _local(spec: str | Path) -> Found | None:
    """A file or folder of this name, if there is one. Raises RestorationError where it is no checkpoint."""
    if not str(spec).strip():
        raise RestorationError("The checkpoint's name is empty. Give one of `babe2 checkpoints list`.")
    path = Path(spec)
    with suppress(RuntimeError):  # a person without a home; a file may still be called so
        path = path.expanduser()
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise RestorationError(
                f"The folder {spec} holds no {WEIGHTS}. Give a checkpoint's folder, or a name of "
                "`babe2 checkpoints list`."
            )
        path = path / WEIGHTS
    if path.exists() and not path.is_file():
        raise RestorationError(f"{spec} is no ordinary file, so it cannot be a checkpoint.")
    if not path.is_file():
        return None
    return Found(path, path.parent.resolve().name if path.suffix == ".safetensors" else path.stem)
