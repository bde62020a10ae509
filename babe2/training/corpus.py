"""The data to learn from: files that are found and checked, and excerpts that are drawn from them.

A file is decoded only where an excerpt lies. Bad files do not end a run: they are skipped, and listed with the reason.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from babe2.errors import RestorationError
from babe2.training.augmentation import Augmentation, Excerpt, Signal, draw_change
from babe2.wording import clock

log = logging.getLogger(__name__)

RECORDINGS = (".wav", ".w64", ".rf64", ".aif", ".aiff", ".flac", ".ogg", ".oga", ".opus", ".mp3")
UNREADABLE = (".m4a", ".aac", ".wma", ".ape", ".wv", ".mpc", ".mp4")  # music that cannot be read: listed as skipped
SHARD, LISTS = ".npy", (".txt", ".m3u", ".m3u8")
FULL_SCALE = np.float32(2**15)  # of the integers in arrays
PROBE_SECONDS = 1.0  # of a file, at its beginning, middle and end
DIGITAL_SILENCE = 1e-5  # standard deviation below which no crop of a file would be music
TRIES = 20  # places tried for an excerpt that is neither silent nor unreadable

Levels = Literal["none", "corpus", "crop", "context"]


class Source(ABC):
    """One file of music."""

    def __init__(self, path: Path, name: str, channels: int, samples: int, sample_rate: int) -> None:
        self.path, self.name = path, name
        self.channels, self.samples, self.sample_rate = channels, samples, sample_rate

    @abstractmethod
    def read(self, start: int, count: int) -> Signal:
        """Returns `count` samples from `start` on (channels, count), or raises RestorationError."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples / self.sample_rate


class Shard(Source):
    """An array of 16-bit integers at the model's rate, left on the disk until it is read."""

    def __init__(self, path: Path, name: str, sample_rate: int) -> None:
        try:
            self._row = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise RestorationError(f"{name} cannot be read as an array ({error}).") from None
        if self._row.ndim != 1 or self._row.dtype != np.int16:
            raise RestorationError(f"{name} is not a row of 16-bit integers but {self._row.dtype} {self._row.shape}.")
        super().__init__(path, name, 1, len(self._row), sample_rate)

    def read(self, start: int, count: int) -> Signal:
        return (self._row[start : start + count].astype(np.float32) / FULL_SCALE)[None]


class AudioFile(Source):
    """A recording, decoded only where it is read."""

    def __init__(self, path: Path, name: str) -> None:
        from babe2 import audio  # decoders are not needed where all data are arrays

        channels, samples, sample_rate = audio.measure(path)
        super().__init__(path, name, channels, samples, sample_rate)

    def read(self, start: int, count: int) -> Signal:
        from babe2 import audio

        rate = self.sample_rate
        read = audio.read(self.path, start=start / rate, duration=count / rate).audio
        if read.shape[1] < count:
            raise RestorationError(f"{self.name} ends before {clock((start + count) / rate)}, sooner than it promises.")
        return read[:, :count]


@dataclass(frozen=True)
class Levelling:
    """To which level excerpts are brought, and which are too quiet to learn from."""

    # `none`: as it is, as the published piano; `corpus`: by one number for all files, as published for fine-tuning;
    # `crop`: each excerpt to the same, as the published voices; `context`: by what surrounds it, so that a quiet
    # passage stays quiet.
    by: Levels = "none"
    corpus_level: float | None = None  # standard deviation that stands for the corpus; None: measured on 300 excerpts
    context_seconds: float = 10.0
    quietest: float = 2e-5  # standard deviation, of full scale, below which another excerpt is drawn (published)
    quietest_share: float = 0.0  # and the same as a share of the context's


@dataclass(frozen=True)
class Skipped:
    """A file, or a place in one, that was not used."""

    name: str
    reason: str


@dataclass(eq=False)
class Corpus:
    """Files to draw excerpts from. Only the list of what was skipped changes."""

    sources: Sequence[Source]
    chances: Sequence[float]  # of each file to be drawn from
    sample_rate: int  # Hz, of the model
    skipped: list[Skipped] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._upper = np.cumsum(self.chances) / np.sum(self.chances)
        self._lock = threading.Lock()

    @property
    def hours(self) -> float:
        """How long all files last together."""
        return sum(source.seconds for source in self.sources) / 3600

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Describes the data, so that other data are noticed: number of files, hours, and a hash of both."""
        known = [(source.name, source.samples, source.sample_rate, source.channels) for source in self.sources]
        chances = [round(float(chance), 9) for chance in np.diff(self._upper, prepend=0)]
        digest = hashlib.sha256(json.dumps([known, chances]).encode()).hexdigest()
        return {"files": len(known), "hours": round(self.hours, 4), "sha256": digest}

    def part(self, name: str) -> Corpus:
        """Returns the files whose names begin so, or that are in a folder called so."""
        kept = [i for i, source in enumerate(self.sources) if is_part(source, name)]
        if not kept:
            raise RestorationError(
                f"No data are called {name!r:.80}. Give the beginning of files' names, or their folder."
            )
        return Corpus([self.sources[i] for i in kept], [self.chances[i] for i in kept], self.sample_rate)

    def excerpt(
        self,
        rng: np.random.Generator,
        length: int,
        augmentation: Augmentation,
        levelling: Levelling,
        level: float,
        corpus_level: float = 1.0,
    ) -> Signal:
        """Draws an excerpt (length,) at the model's rate, brought to `level` as `levelling` says.

        `corpus_level` is the level of all data together, for `levelling.by == "corpus"`.
        """
        for _ in range(TRIES):
            source = self.sources[int(np.searchsorted(self._upper, rng.random(), side="right"))]
            change = draw_change(augmentation, rng)
            excerpt = Excerpt(length, self.sample_rate, source.sample_rate, change)
            try:
                around, place = self._crop(source, rng, excerpt.source_length, levelling)
            except RestorationError as error:
                self._note(source, str(error))
                continue
            crop = around[place : place + excerpt.source_length]
            spread, wide = float(crop.std()), float(around.std())
            if spread <= levelling.quietest or spread <= levelling.quietest_share * wide:
                continue
            present = {"none": level, "corpus": corpus_level, "crop": spread, "context": wide}[levelling.by]
            return excerpt.made_from(crop) * np.float32(level / present)
        raise RestorationError(
            f"{TRIES} places in the data were tried, one after the other, and all were silent or unreadable. "
            "See what was skipped, and leave silent files out."
        )

    def _crop(self, source: Source, rng: np.random.Generator, count: int, levelling: Levelling) -> tuple[Signal, int]:
        """Reads the `count` wanted samples and what surrounds them (T,), channels mixed; and where the wanted begin."""
        shares = rng.dirichlet(np.ones(source.channels)).astype(np.float32)  # of two channels a and 1 - a, as published
        wanted = count
        if levelling.by == "context":
            wanted = max(count, round(levelling.context_seconds * source.sample_rate))
        if source.samples < count:  # as published for the voices: repeated, and begun anywhere
            whole = shares @ source.read(0, source.samples)
            return np.roll(np.resize(whole, count), int(rng.integers(count))), 0
        wanted = min(wanted, source.samples)
        start = int(rng.integers(source.samples - wanted + 1))
        return shares @ source.read(start, wanted), int(rng.integers(wanted - count + 1))

    def _note(self, source: Source, reason: str) -> None:
        """Lists a file that failed, once. It can be drawn again and fails again: nothing depends on what was before."""
        with self._lock:
            if not any(skip.name == source.name for skip in self.skipped):
                self.skipped.append(Skipped(source.name, f"in places: {reason}"))
                log.warning("%s cannot be read in places: %s", source.name, reason)


def is_part(source: Source, name: str) -> bool:
    """Whether a file's name begins so, or a folder above it is called so."""
    return source.path.name.startswith(name) or name in source.path.parts[:-1]


# Finding


def gather(
    places: Sequence[Path], sample_rate: int, shortest_seconds: float, mix: Mapping[str, float] | None = None
) -> Corpus:
    """Collects the data in folders, files and text lists of files; what cannot be used is skipped and listed.

    `mix` names parts of it and how often each is drawn from; within a part, and without a mix, files are drawn from in
    proportion to their length.
    """
    sources: list[Source] = []
    skipped: list[Skipped] = []
    for path, name in find_files(places, skipped):
        try:
            source: Source = Shard(path, name, sample_rate) if path.suffix == SHARD else AudioFile(path, name)
            check_source(source, shortest_seconds)
            sources.append(source)
        except RestorationError as error:
            skipped.append(Skipped(name, str(error)))
    chances = [source.seconds for source in sources]
    if mix:
        sources, chances, left_out = mix_parts(sources, mix)
        skipped += left_out
    for skip in skipped:
        log.warning("skipped %s: %s", skip.name, skip.reason)
    if not sources:
        reason = f" The first of {len(skipped)} skipped: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise RestorationError(f"There are no data to learn from in {', '.join(map(str, places))}.{reason}")
    return Corpus(sources, chances, sample_rate, skipped)


def find_files(places: Sequence[Path], skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    """Yields every file once, with its name: its path below the place that was given."""
    seen: set[Path] = set()
    for place in places:
        for path, name in _below(place, skipped):
            where = path.resolve()
            if where not in seen:
                seen.add(where)
                yield path, name


def _below(place: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    if place.is_dir():
        others = 0
        for path in sorted(place.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
            if hidden or not path.is_file():
                continue
            if path.suffix.lower() in (*RECORDINGS, *UNREADABLE, SHARD):
                yield path, path.relative_to(place).as_posix()
            else:
                others += 1
        if others:
            log.info("%d other files in %s are no recordings", others, place)
    elif place.suffix.lower() in LISTS and place.is_file():
        for line in place.read_text("utf-8", errors="replace").splitlines():
            if (line := line.strip()) and not line.startswith("#"):
                path = place.parent / line
                if path.is_dir():
                    yield from _below(path, skipped)
                else:
                    yield path, line
    elif place.exists():
        yield place, place.name
    else:
        skipped.append(Skipped(str(place), "there is no such file or folder."))


def check_source(source: Source, shortest_seconds: float) -> None:
    """Raises RestorationError where a file is too short, silent or unreadable."""
    if source.seconds < shortest_seconds:
        raise RestorationError(f"it lasts {source.seconds:.1f} s, and {shortest_seconds:.1f} s are needed.")
    probe = min(source.samples, round(PROBE_SECONDS * source.sample_rate))
    starts = (0, (source.samples - probe) // 2, source.samples - probe)
    if max(float(source.read(start, probe).std()) for start in starts) > DIGITAL_SILENCE:
        return
    if not any(float(source.read(start, probe).std()) > DIGITAL_SILENCE for start in range(0, starts[-1], probe)):
        raise RestorationError("it is silent.")


def mix_parts(sources: Sequence[Source], mix: Mapping[str, float]) -> tuple[list[Source], list[float], list[Skipped]]:
    """Returns the files of all parts of a mix, the chance of each to be drawn from, and the files of no part."""
    parts: dict[str, list[Source]] = {name: [] for name in mix}
    left_out = []
    for source in sources:
        part = next((name for name in mix if is_part(source, name)), None)
        if part is None:
            left_out.append(Skipped(source.name, f"it is of no part of the mix ({', '.join(mix)})."))
        else:
            parts[part].append(source)
    if empty := [name for name, files in parts.items() if not files and mix[name] > 0]:
        raise RestorationError(
            f"The mix asks for {', '.join(empty)}, but no usable file's name begins so, nor is a folder called so."
        )
    kept, chances = [], []
    for name, files in parts.items():
        total = sum(source.seconds for source in files)
        kept += files
        chances += [mix[name] * source.seconds / total for source in files]
    return kept, chances, left_out


def credits_of(corpus: Corpus) -> list[str]:
    """Lists whom to credit for the files, where an index.json beside or above them says so."""
    owed: set[str] = set()
    for folder in {parent for source in corpus.sources for parent in source.path.parents[:2]}:
        try:
            index = json.loads((folder / "index.json").read_text("utf-8"))
            used = {source.path for source in corpus.sources}
            for name, entry in index.items():
                if folder / name in used:
                    owed |= {one.strip() for one in str(entry["credit"]).split(";")}
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            continue
    return sorted(owed)
