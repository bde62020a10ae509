"""Real recordings, whose truth nobody has: what several methods made of them, beside good recordings (section 4).

Each method is a set of restorations of the same recordings. A set is nearer to the reference the smaller its distances
are; what is played must be what the recording plays. What was measured of a file is kept, so that a run that was
stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.audio import SoundFile
from babe2.dsp.resampling import resampled
from babe2.dsp.spectra import ReferenceLtas, at_unit_level, ltas
from babe2.dsp.tape import Streamed
from babe2.errors import RestorationError
from babe2.evaluation.embeddings.base import FAINTEST, Embedding, embedded
from babe2.evaluation.embeddings.basic_pitch import Heard, Transcriber
from babe2.evaluation.frechet import Distances, Estimate, Reference, distances
from babe2.evaluation.measures import colour_distance
from babe2.evaluation.melody import Melody, Sung, melody, sings, sung
from babe2.evaluation.notes import (
    LEVEL,
    SAMPLE_RATE,
    Agreement,
    Played,
    added_up,
    note_agreement,
    onset_agreement,
    pitch_agreement,
    played,
)
from babe2.evaluation.table import confidence
from babe2.replacing import replacing

ORIGINAL = "Original"  # the set of the recordings themselves
LTAS_SECONDS = 0.0929  # of a frame: 2048 samples at 22.05 kHz and 4096 at 44.1, as in section 3.4
HIGHEST_RATE = 44100  # Hz, of an average spectrum
SHORTEST = 0.1  # seconds, of which nothing can be said

Arrays = dict[str, npt.NDArray[Any]]
Measured = Mapping[str, Path]  # by the recording's name: a set
OnFile = Callable[[str], None]  # told which file is measured, and by what


# One file


class Source:
    """A file as it is measured: the mean of its channels, at LEVEL or as it is."""

    def __init__(self, path: Path, *, duration: float | None = None, as_it_is: bool = False) -> None:
        self.path, self._sound = path, SoundFile(path, duration=duration)
        self.sample_rate = self._sound.sample_rate
        self._as_it_is, self._about = as_it_is, f"{duration} {as_it_is}"

    @cached_property
    def identity(self) -> str:
        """What is heard: a digest of the file and of how it is taken."""
        return f"{self._sound.sha256()} {self._about}"

    @cached_property
    def _size(self) -> tuple[int, float]:
        """How many samples there are, and their root mean square."""
        samples, squares = 0, 0.0
        for block in self._mono():
            samples, squares = samples + len(block), squares + float(block.double().square().sum())
        return samples, math.sqrt(squares / samples)

    @property
    def seconds(self) -> float:
        return self._size[0] / self.sample_rate

    @property
    def silent(self) -> bool:
        return self._size[1] < FAINTEST

    def _mono(self) -> Iterator[Tensor]:
        for block in self._sound.blocks():
            yield torch.from_numpy(block).mean(dim=0)

    def blocks(self, rate: int) -> Iterator[Tensor]:
        """Its sound in blocks (n,) at another rate."""
        gain = 1.0 if self._as_it_is else LEVEL / self._size[1]
        for block in resampled((gain * part[None] for part in self._mono()), self.sample_rate, rate):
            yield block[0]

    def ltas(self, rate: int) -> Tensor:
        """Its average spectrum (F,) at a rate."""
        fft = 2 ** round(math.log2(LTAS_SECONDS * rate))
        samples = -(-self._size[0] * rate // self.sample_rate)
        tape = Streamed(lambda: (block[None].numpy() for block in self.blocks(rate)), 1, samples)
        return ltas(tape, fft, fft, fft // 4)


class Kept:
    """What was measured of files, in a folder, so that nothing is measured twice."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nothing is kept."""
        self._folder = folder

    def once(self, source: Source, what: str, make: Callable[[], Arrays]) -> Arrays:
        """What was measured of a file by that name before, else what `make` measures now."""
        if self._folder is None:
            return make()
        digest = hashlib.sha256(f"{source.identity} {what}".encode()).hexdigest()[:32]
        path = self._folder / f"{digest}.npz"
        try:
            with np.load(path, allow_pickle=False) as held:
                return dict(held)
        except (OSError, ValueError, EOFError, KeyError):  # not there yet, or damaged: it is made anew
            found = make()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as new:
                np.savez(new, **found)  # type: ignore[arg-type]
        except OSError as error:
            raise RestorationError(f"{path} cannot be written ({error.strerror}). Choose another --out.") from None
        return found


# Sets


@dataclass(frozen=True)
class Wishes:
    """How recordings are measured."""

    rate: int | None = None  # Hz, of average spectra; None: the lowest of all files, at most HIGHEST_RATE
    duration: float | None = None  # seconds of each file
    as_they_are: bool = False  # not brought to equal level
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Method:
    """What was measured of one set."""

    name: str
    recordings: int
    seconds: float
    distances: Mapping[str, Distances]  # by the embedding's name
    ltas_distance: Estimate  # dB, on average over its recordings
    ltas_distance_of_set: float  # dB, of the average spectrum of all
    onsets: Agreement | None  # None of the recordings themselves
    notes: Agreement | None
    pitch: Estimate | None
    spectra: Mapping[str, Tensor]  # (F,) by recording, at unit level
    melody_kept: Estimate | None = None  # %; None where no recording sounds sung
    melody_off: Estimate | None = None  # cents


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that was found out."""

    methods: tuple[Method, ...]  # the recordings themselves are the first
    reference: ReferenceLtas
    reference_seconds: float
    reference_recordings: int
    rows: Mapping[str, int]  # of the reference, by embedding
    notes: tuple[str, ...] = field(default=())  # sentences


class _Ready(NamedTuple):
    """The sources that can be measured, by set and recording."""

    sets: dict[str, dict[str, Source]]
    reference: list[Source]
    notes: list[str]


def evaluate_recordings(
    sets: Mapping[str, Measured],
    reference: Sequence[Path],
    embeddings: Sequence[Embedding],
    wishes: Wishes | None = None,
    *,
    transcriber: Transcriber | None = None,
    kept: Path | None = None,
    on_file: OnFile = lambda name: None,
) -> Evaluation:
    """Measures sets of recordings, of which the first are the recordings as they were, against a reference.

    Only recordings that every set has are measured, so that no method has the easier ones. Silent files and those that
    cannot be read are left out, with a sentence.
    """
    wishes, store = wishes or Wishes(), Kept(kept)
    ready = _ready(sets, reference, wishes)
    lowest = min(source.sample_rate for source in (*ready.reference, *_all(ready.sets)))
    rate = wishes.rate or min(lowest, HIGHEST_RATE)
    if rate > lowest:
        raise RestorationError(f"A file has no more than {lowest} Hz. Choose --rate {lowest} or less.")
    spectra = _spectra(ready, rate, store, on_file)
    by_embedding = {
        embedding.name: _distances(ready, embedding, wishes.seed, store, on_file) for embedding in embeddings
    }
    played_by = _agreements(ready, transcriber, store, on_file)
    methods = []
    for name, recordings in ready.sets.items():
        own = spectra.of_sets[name]
        found = [colour_distance(power, spectra.reference) for power in own.values()]
        weights = [source.seconds for source in recordings.values()]
        together = sum((w * power for w, power in zip(weights, own.values(), strict=True)), torch.zeros(()))
        agreed = played_by.get(name)
        methods.append(
            Method(
                name,
                len(recordings),
                sum(weights),
                {embedding: by_set.of_sets[name] for embedding, by_set in by_embedding.items()},
                _over_recordings(found, wishes.seed),
                colour_distance(at_unit_level(together), spectra.reference),
                agreed.onsets if agreed else None,
                agreed.notes if agreed else None,
                _over_some(agreed.pitches if agreed else (), wishes.seed),
                own,
                _over_some([100 * each.kept for each in agreed.melodies] if agreed else (), wishes.seed),
                _over_some([each.off_cents for each in agreed.melodies] if agreed else (), wishes.seed),
            )
        )
    return Evaluation(
        tuple(methods),
        spectra.reference,
        sum(source.seconds for source in ready.reference),
        len(ready.reference),
        {name: by_set.rows for name, by_set in by_embedding.items()},
        tuple(ready.notes),
    )


def _over_recordings(values: Sequence[float], seed: int) -> Estimate:
    mean, low, high = confidence(values, seed)
    return Estimate(mean, low, high) if len(values) > 1 else Estimate(mean, None, None)


def _over_some(values: Iterable[float | None], seed: int) -> Estimate | None:
    """The same where some recordings, or all, have no value."""
    known = [value for value in values if value is not None]
    return _over_recordings(known, seed) if known else None


def _all(sets: Mapping[str, Mapping[str, Source]]) -> Iterator[Source]:
    return (source for recordings in sets.values() for source in recordings.values())


def _ready(sets: Mapping[str, Measured], reference: Sequence[Path], wishes: Wishes) -> _Ready:
    notes = list[str]()

    def source(path: Path, whose: str) -> Source | None:
        try:
            found = Source(path, duration=wishes.duration, as_it_is=wishes.as_they_are)
            if found.silent or found.seconds < SHORTEST:
                why = "silent" if found.silent else f"shorter than {SHORTEST:g} s"
                notes.append(f"{path.name} of {whose} is {why} and left out.")
                return None
            return found
        except RestorationError as error:
            notes.append(f"{path.name} of {whose} is left out: {error}")
            return None

    everywhere = [name for name in next(iter(sets.values()), {}) if all(name in own for own in sets.values())]
    for name, own in sets.items():
        if lost := sorted(recording for recording in own if recording not in everywhere):
            notes.append(f"{name} has {len(lost)} that not all sets have, such as {lost[0]}: they are left out.")
    found = {name: {each: source(own[each], name) for each in everywhere} for name, own in sets.items()}
    whole = [each for each in everywhere if all(own[each] is not None for own in found.values())]
    if not whole:
        told = f" {notes[0]}" if notes else ""
        raise RestorationError(f"There is no recording that every set has.{told} Give folders of the same recordings.")
    known = [each for path in reference if (each := source(path, "the reference")) is not None]
    if not known:
        told = f" {notes[-1]}" if notes else ""
        raise RestorationError(f"The reference holds no music.{told} Give a folder of good recordings.")
    kept = {name: {each: own[each] for each in whole} for name, own in found.items()}
    return _Ready(kept, known, notes)  # type: ignore[arg-type]


# Average spectra


class _Spectra(NamedTuple):
    reference: ReferenceLtas  # at unit level
    of_sets: dict[str, dict[str, Tensor]]  # at unit level, by recording


def _spectra(ready: _Ready, rate: int, store: Kept, on_file: OnFile) -> _Spectra:
    """The average spectra of all files; of the reference the mean of all its moments."""

    def of(source: Source) -> Tensor:
        on_file(f"average spectrum of {source.path.name}")
        found = store.once(source, f"ltas {rate}", lambda: {"power": source.ltas(rate).numpy()})
        return torch.from_numpy(found["power"])

    powers = [source.seconds * of(source) for source in ready.reference]
    reference = ReferenceLtas(at_unit_level(torch.stack(powers).sum(dim=0)), rate)
    own = {
        name: {each: at_unit_level(of(source)) for each, source in recordings.items()}
        for name, recordings in ready.sets.items()
    }
    return _Spectra(reference, own)


# Embeddings


class _Heard(NamedTuple):
    rows: int  # of the reference
    of_sets: dict[str, Distances]


def _distances(ready: _Ready, embedding: Embedding, seed: int, store: Kept, on_file: OnFile) -> _Heard:
    def rows(source: Source) -> npt.NDArray[np.float64]:
        on_file(f"{embedding.name} hears {source.path.name}")
        found = store.once(
            source, embedding.identity, lambda: {"rows": embedded(embedding, source.blocks(embedding.sample_rate))}
        )
        return found["rows"].astype(np.float64)

    reference = Reference.of([rows(source) for source in ready.reference])
    own = {}
    for name, recordings in ready.sets.items():
        heard = [rows(source) for source in recordings.values()]
        on_file(f"distance of {name} by {embedding.name}")
        own[name] = distances(heard, reference, seed)
    return _Heard(reference.count, own)


# What is played


class _Pair(NamedTuple):
    """What a restoration plays of a recording."""

    onsets: Agreement
    notes: Agreement | None
    pitch: float | None
    melody: Sung | None  # None unless the recording sounds sung


class _Agreed(NamedTuple):
    onsets: Agreement
    notes: Agreement | None
    pitches: list[float | None]  # of each recording
    melodies: list[Sung]  # of those that sound sung


def _agreements(ready: _Ready, transcriber: Transcriber | None, store: Kept, on_file: OnFile) -> dict[str, _Agreed]:
    """What each set plays of what the first one plays."""

    def of(source: Source) -> tuple[Played, Heard | None]:
        on_file(f"onsets and pitches of {source.path.name}")
        found = store.once(source, "played 1", lambda: played(source.blocks(SAMPLE_RATE))._asdict())
        if transcriber is None:
            return Played(**found), None
        on_file(f"notes of {source.path.name}")
        heard = store.once(
            source, f"notes 1 {transcriber.digest}", lambda: transcriber.heard(source.blocks(SAMPLE_RATE))._asdict()
        )
        return Played(**found), Heard(**heard)

    def sung_at_all(source: Source) -> bool:
        found = store.once(source, "sings 1", lambda: {"sings": np.array(sings(source.blocks(SAMPLE_RATE)))})
        return bool(found["sings"])

    def melody_of(source: Source) -> Melody:
        on_file(f"melody of {source.path.name}")
        return Melody(**store.once(source, "melody 1", lambda: melody(source.blocks(SAMPLE_RATE))._asdict()))

    first, *others = ready.sets
    parts: dict[str, list[_Pair]] = {name: [] for name in others}
    for recording, source in ready.sets[first].items() if others else ():
        before, heard = of(source)
        voice = melody_of(source) if sung_at_all(source) else None
        for name in others:
            after, theirs = of(ready.sets[name][recording])
            parts[name].append(
                _Pair(
                    onset_agreement(before, after),
                    note_agreement(heard, theirs) if heard and theirs else None,
                    pitch_agreement(before, after),
                    sung(voice, melody_of(ready.sets[name][recording])) if voice else None,
                )
            )
    found = {}
    for name, pairs in parts.items():
        by_notes = [pair.notes for pair in pairs if pair.notes is not None]
        found[name] = _Agreed(
            added_up(pair.onsets for pair in pairs),
            added_up(by_notes) if by_notes else None,
            [pair.pitch for pair in pairs],
            [pair.melody for pair in pairs if pair.melody is not None],
        )
    return found
