"""From a name to a file one may trust: what comes along, what was fetched before, and what can be fetched."""

from __future__ import annotations

import difflib
import json
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babe2.checkpoints import hub, manifest
from babe2.checkpoints.cache import Cache, digest, disk, key, lock, size_of, within
from babe2.checkpoints.checkpoint import CONFIG, WEIGHTS
from babe2.checkpoints.manifest import Entry, Manifest, Source
from babe2.checkpoints.published import Unwritten, convert
from babe2.checkpoints.transfer import STALL, Caller, OnTransfer
from babe2.errors import RestorationError

log = logging.getLogger(__name__)

ORIGIN = "origin.json"  # beside converted weights: where they are from, and what their hash was then
FILES = (CONFIG, WEIGHTS)
State = Literal["bundled", "cached", "remote"]


@dataclass(frozen=True)
class Found:
    """A checkpoint's file on this machine."""

    path: Path  # .safetensors with its config.json beside it, or a published .pt
    name: str
    sha256: str | None = None  # what the file must have; None: nobody has said
    verified: bool = False  # whether that was said by somebody else than our own first download
    way_out: str = "Put the file that came along back in its place, or install babe2 again."  # when it is another


def find(
    spec: str | Path,
    *,
    cache_dir: str | Path | None = None,
    extra_manifest: str | Path | None = None,
    offline: bool = False,
    on_transfer: OnTransfer | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Found:
    """The file that is meant by `spec`, fetched where it is not on this machine. A Path means a path and nothing else;
    a text that is both a manifest's id and a folder's name means the first.
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


PATHS = f"a .safetensors file with its {CONFIG} beside it, the folder that holds both, or a published .pt file"


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
        spec: str,
        *,
        offline: bool = False,
        on_transfer: OnTransfer | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Found:
        """`spec`: a manifest's id, a local file or folder, or a Hub repository `owner/name[@revision]`.

        What is not on this machine is fetched.
        """
        if spec in self.manifest:
            entry = self.manifest[spec]
            return self.at_hand(entry) or self._fetched(entry, offline, on_transfer, cancelled)
        local = _local(spec)
        if local is not None:
            return local
        if (named := _repository(spec)) is not None:
            repo, revision = named
            folder = hub.fetch_from_hub(
                repo, revision, FILES, self.cache, offline=offline, on_transfer=on_transfer, cancelled=cancelled
            )
            return _from_snapshot(folder / WEIGHTS, repo, spec)
        raise RestorationError(f"There is no checkpoint at {spec:.200}.{self._nearest(spec)} {self._names()}")

    def at_hand(self, entry: Entry) -> Found | None:
        """A manifest's checkpoint where it is on this machine; asks no network."""
        for source, first in _ranked(entry):
            sha256 = entry.sha256 if first else None
            if source.bundled is not None and (folder := entry.bundled()) is not None:
                return Found(folder / WEIGHTS, entry.id, sha256, sha256 is not None)
            if source.repo is not None and source.file is not None:
                folder = hub.cached_from_hub(source.repo, source.revision, _files(source), self.cache)
                if folder is not None:
                    return _from_snapshot(folder / source.file, entry.id, entry.id, sha256)
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
        with disk(self.cache):
            if digest(found.path) != found.sha256:
                return False, f"changed: {found.path} should have sha256 {found.sha256}"
        return True, "verified" if found.verified else "as first fetched, from an unverified source"

    def remove(self, spec: str) -> int:
        """Takes off this machine what was fetched of a manifest's id or a Hub repository, without what another commit
        shares with it; how many bytes that frees.
        """
        if spec not in self.manifest and (named := _repository(spec)) is not None:
            return hub.forget_from_hub(*named, FILES, self.cache)
        freed = 0
        for source in self.entry(spec).sources:
            if source.url is not None:
                freed += self._forget(source.url)
            elif source.repo is not None:
                freed += hub.forget_from_hub(source.repo, source.revision, _files(source), self.cache)
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

    def _fetched(
        self,
        entry: Entry,
        offline: bool,
        on_transfer: OnTransfer | None,
        cancelled: Callable[[], bool] | None,
    ) -> Found:
        """From the first source that works."""
        reasons, caller = [], Caller(on_transfer, cancelled, STALL)
        for source, first in _ranked(entry):
            sha256, size = (entry.sha256, entry.bytes) if first else (None, None)
            try:
                if source.repo is not None and source.file is not None:
                    folder = hub.fetch_from_hub(
                        source.repo,
                        source.revision,
                        _files(source),
                        self.cache,
                        offline=offline,
                        on_transfer=on_transfer,
                        cancelled=cancelled,
                    )
                    return _from_snapshot(folder / source.file, entry.id, entry.id, sha256)
                if source.url is not None:
                    with disk(self.cache), lock(self.cache, f"converting {source.url}", caller.stop_if_cancelled):
                        if (found := self._converted(source.url, entry, sha256)) is not None:
                            return found  # another process was first
                        path = hub.fetch_url(
                            source.url,
                            self.cache,
                            bytes=size,
                            sha256=sha256,
                            offline=offline,
                            on_transfer=on_transfer,
                            cancelled=cancelled,
                        )
                        return self._convert(source.url, path, entry, sha256)
                reasons.append(f"{entry.base / str(source.bundled)} is missing. Install babe2 again.")
            except RestorationError as error:
                log.info("%s: %s", entry.id, error)
                reasons.append(str(error))
        raise RestorationError(f"{entry.id} cannot be had: {' '.join(reasons)}")

    # What the authors offer is converted on arrival: weights alone, a quarter of the download, and safe to load.

    def _home(self, url: str) -> Path:
        return within(self.cache.own, self.cache.own / "checkpoints" / key(url))

    def _convert(self, url: str, path: Path, entry: Entry, source_sha256: str | None) -> Found:

        home = self._home(url)
        scratch = home.with_name(f".{home.name}")
        _clear(scratch)  # of a process that was killed
        scratch.mkdir(parents=True)
        try:
            made = convert(path, scratch / entry.id)
            origin = {"url": url, "source": made.sha256, "sha256": digest(scratch / entry.id / WEIGHTS)}
            (scratch / entry.id / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", "utf-8")
            _clear(home)  # what is no longer whole, or of another file
            os.rename(scratch / entry.id, home)
        except Unwritten:  # there will be room another time, and the download is kept till then
            raise
        except RestorationError:  # then its hash is not worth remembering
            hub.forget_url(url, self.cache)
            raise
        finally:
            _clear(scratch)
        path.unlink()
        return Found(home / WEIGHTS, entry.id, origin["sha256"], source_sha256 is not None, _again(entry.id))

    def _forget(self, url: str) -> int:
        with disk(self.cache), lock(self.cache, f"converting {url}", lambda: None):
            freed = size_of(self._home(url))
            _clear(self._home(url))
            return freed + hub.forget_url(url, self.cache)

    def _converted(self, url: str, entry: Entry, source_sha256: str | None) -> Found | None:
        """Given what the fetched file's hash had to be, where that is known."""
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


def _ranked(entry: Entry) -> list[tuple[Source, bool]]:
    """Its sources in order; the manifest's hash and size are those of the first one's file."""
    return [(source, i == 0) for i, source in enumerate(entry.sources)]


def _files(source: Source) -> tuple[str, str]:
    """The weights and the configuration beside them."""
    weights = str(source.file)
    return weights, str(Path(weights).with_name(CONFIG).as_posix())


def _from_snapshot(weights: Path, name: str, spec: str, sha256: str | None = None) -> Found:
    """A file in the Hub's cache, which calls large files by their hash."""
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
    """A file or folder of this name, if there is one; what is there but no checkpoint is told."""
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


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
