"""A chain at work: each stage after the one before, in a journal of its own, so that it goes on after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.audio import SoundFile, write_blocks
from babe2.chains.link import WHOLE, Link, tracks_after
from babe2.checkpoints import Checkpoint, load
from babe2.checkpoints.hub import latest_from_hub
from babe2.dsp.tape import MemoryTape, Tape
from babe2.errors import RestorationError
from babe2.process import versions
from babe2.provenance import SOFTWARE, already_made
from babe2.recordings.chunks import Tags
from babe2.recordings.journal import Journal, Storage, Unfinished
from babe2.recordings.recorded import Audio, OnBlock, Samples, counted
from babe2.restorer import Restorer
from babe2.stages import Bench, HubFolder, Made, Report, make


@dataclass(frozen=True)
class LinkProgress:
    """Where a chain stands. Links count from 1."""

    link: int
    links: int
    name: str
    share: float  # of this link's work that is done, 0 to 1


OnLink = Callable[[LinkProgress], None]


@dataclass(frozen=True, eq=False)
class Step:
    """What one link has made of what it was given."""

    link: Link
    before: Tape
    made: Made

    @property
    def comparable(self) -> bool:
        """Whether what it took away can be heard: what it was given, minus what is left of it."""
        return (self.before.channels, self.before.samples) == (self.made.tape.channels, self.made.tape.samples)

    def removed(self) -> Iterator[npt.NDArray[np.float64]]:
        """What it took away, (channels, n) at a time: added to what it has made, this is exactly what it was given."""
        pairs = zip(self.before.blocks(), self.made.tape.blocks(), strict=True)
        return ((before.double() - after.double()).numpy() for before, after in pairs)


@dataclass(frozen=True, eq=False)
class Chained:
    """What a chain has made of a recording."""

    tape: Tape  # where a recording was parted, the channels of all its tracks
    sample_rate: int
    steps: tuple[Step, ...]
    tags: Tags = field(default_factory=Tags)  # of the recording
    warnings: tuple[str, ...] = ()
    storage: Storage = field(default_factory=Storage)

    @property
    def samples(self) -> int:
        """Per channel."""
        return self.tape.samples

    def blocks(self) -> Iterator[Audio]:
        """All of its sound, (channels, n) at a time."""
        return (block.numpy() for block in self.tape.blocks())

    @cached_property
    def audio(self) -> Audio:
        """(channels, samples)"""
        return self.tape.read(0, self.samples).numpy()

    def of(self, tape: Tape) -> Chained:
        """The same with the sound of one of its tracks."""
        return replace(self, tape=tape)

    @property
    def statement(self) -> str:
        """What was done, and what of it is generated: what the file says of itself."""
        named = " → ".join(step.link.name for step in self.steps)
        told = [words for step in self.steps if (words := step.made.report["found"].get("statement"))]
        if told:
            made = "" if any(words.startswith("Restored with ") for words in told) else f"Restored with {SOFTWARE}. "
            return f"{made}{' '.join(told)} All that was done: {named}."
        return f"Restored with {SOFTWARE}: {named}, nothing was generated."

    @property
    def report(self) -> Report:
        """What every stage has found and done, for machines."""
        stages = [{"track": step.link.track, **step.made.report} for step in self.steps]
        warnings = [*self.warnings, *(words for stage in stages for words in stage["warnings"])]
        return {"stages": stages, "statement": self.statement, "versions": versions(), "warnings": warnings}

    def save(
        self,
        path: str | Path,
        subtype: str | None = None,
        overwrite: bool = True,
        on_block: OnBlock = lambda seconds: None,
    ) -> Path:
        """Writes the sound: PCM_24, or FLOAT where a peak passes full scale. Never scaled, never clipped."""
        return write_blocks(
            path,
            lambda: counted(self.blocks(), self.sample_rate, on_block),
            self.sample_rate,
            subtype=subtype,
            tags=self.tags.marked(self.statement, SOFTWARE),
            overwrite=overwrite,
            draft=self.storage.draft(Path(path)),
        )

    def close(self) -> None:
        """Leaves what is on the disk for another time."""
        for storage in self._storages:
            storage.close()

    def discard(self) -> None:
        """Removes all that was kept on the way: the result is where it belongs."""
        for storage in self._storages:
            storage.discard()

    @property
    def _storages(self) -> list[Storage]:
        return [*(step.made.storage for step in self.steps), self.storage]


def work_on_file(
    links: Sequence[Link],
    path: str | Path,
    journal: str | Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    unfinished: Unfinished = "refuse",
    on_link: OnLink = lambda progress: None,
    on_block: OnBlock = lambda seconds: None,
    cancelled: Callable[[], bool] = lambda: False,
    restorer_of: Callable[[str], Restorer] = Restorer.from_checkpoint,
    checkpoint_of: Callable[[str], Checkpoint] = load,
    hub_folder: HubFolder = latest_from_hub,
) -> Chained:
    """What a chain makes of a file.

    All that is worked on lies in the folder `journal`, of each stage as much as the recording has; after a crash the
    same call with `unfinished="resume"` goes on. Discard the result's storage when it is safe.
    """
    source = SoundFile(path, start=start, duration=duration)
    about = {"input": source.sha256(), "start": start, "duration": duration}
    storage = Journal(Path(journal), about | {"links": _told(links)}, unfinished, kept=())
    bench = Bench(
        Path(journal),
        unfinished,
        about,
        cancelled=cancelled,
        restorer_of=restorer_of,
        checkpoint_of=checkpoint_of,
        hub_folder=hub_folder,
    )
    try:
        recording = storage.blank("recording", source.channels)
        for block in source.blocks():
            bench.poll()
            recording.write(recording.samples, torch.from_numpy(block))
            on_block(recording.samples / source.sample_rate)
        done = _work(links, recording, source.sample_rate, bench, on_link)
    except BaseException:
        storage.discard()  # the folder stays where a stage has left something in it
        raise
    warnings = (*source.warnings, *already_made(source.tags))
    return replace(done, tags=source.tags, warnings=warnings, storage=storage)


def work_on_audio(
    links: Sequence[Link],
    audio: Any,
    sample_rate: int,
    *,
    on_link: OnLink = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    restorer_of: Callable[[str], Restorer] = Restorer.from_checkpoint,
) -> Chained:
    """The same of audio (samples,) or (channels, samples), in memory."""
    sound = Samples.of(audio, sample_rate)
    bench = Bench(cancelled=cancelled, restorer_of=restorer_of)
    return _work(links, MemoryTape(sound.held), sound.sample_rate, bench, on_link)


def _work(links: Sequence[Link], recording: Tape, sample_rate: int, bench: Bench, on_link: OnLink) -> Chained:
    tracks = {WHOLE: recording}
    rates = {WHOLE: sample_rate}
    steps = list[Step]()
    for link in links:
        link.stage.prepare(bench)
    try:
        for number, link in enumerate(links, start=1):
            stage = link.stage.among(tuple(tracks)) if link.stage.merges else link.stage
            heard: Tape = tracks[link.track] if not link.stage.merges else SideBySide(tuple(tracks.values()))
            rate = _one(rates.values() if link.stage.merges else [rates[link.track]], link)
            own = replace(
                bench.inside(f"{number}-{link.stage.name}"),
                about=bench.about | {"before": _told(links[: number - 1]), "track": link.track},
                on_share=partial(_tell, on_link, number, len(links), link.name),
            )
            own.poll()
            on_link(LinkProgress(number, len(links), link.name, 0.0))
            made = make(stage, heard, rate, own)
            steps.append(Step(link, heard, made))
            names = tracks_after(tuple(tracks), link)
            new = [name for name in names if name not in tracks] or [WHOLE if link.stage.merges else link.track]
            parts = dict(zip(new, divided(made.tape, len(new)), strict=True))
            tracks = {name: parts[name] if name in parts else tracks[name] for name in names}
            rates = {name: made.sample_rate if name in parts else rates[name] for name in names}
    except BaseException:
        for step in steps:
            step.made.storage.close()
        raise
    whole = tuple(tracks.values())
    rate = _one(rates.values(), steps[-1].link)
    return Chained(whole[0] if len(whole) == 1 else SideBySide(whole), rate, tuple(steps))


def _tell(on_link: OnLink, link: int, links: int, name: str, share: float) -> None:
    on_link(LinkProgress(link, links, name, share))


def _told(links: Sequence[Link]) -> list[Any]:
    """Links as plain numbers and words, by which a journal tells whether it was begun so."""
    return [{"track": link.track, "stage": link.stage.name, "settings": link.stage.as_dict()} for link in links]


def _one(rates: Any, link: Link) -> int:
    """The rate of all tracks that a link is given."""
    different = sorted(set(rates))
    if len(different) > 1:
        raise RestorationError(f"The tracks for {link.name} have rates of {different} Hz. Restore them at one rate.")
    return int(different[0])


class SideBySide(Tape):
    """Several tapes as one that has the channels of all, one after the other; as long as the longest."""

    def __init__(self, tapes: tuple[Tape, ...]) -> None:
        self._tapes = tapes
        self.channels, self.samples = sum(tape.channels for tape in tapes), max(tape.samples for tape in tapes)

    def _read(self, start: int, stop: int) -> Tensor:
        return torch.cat([tape.read(start, stop) for tape in self._tapes])


class Channels(Tape):
    """Some neighbouring channels of a tape."""

    def __init__(self, tape: Tape, first: int, count: int) -> None:
        self._tape, self._first = tape, first
        self.channels, self.samples = count, tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        return self._tape.read(start, stop)[self._first : self._first + self.channels]


def divided(tape: Tape, parts: int) -> list[Tape]:
    """A tape's channels as several tapes with as many each."""
    if parts == 1:
        return [tape]
    each = tape.channels // parts
    return [Channels(tape, part * each, each) for part in range(parts)]
