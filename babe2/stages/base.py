"""What a stage is: one step of a chain, with settings of its own.

A stage hears a whole recording once (`begin`), and then gives what it makes of it stretch by stretch, so that an hour
takes the memory of a minute. Journal, progress, cancelling and the report of what was taken away are the same for all
stages (`make`); a new stage is a new file beside this one, and its name in __init__.py.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy.typing as npt
import torch
from torch import Tensor

from babe2 import checkpoints
from babe2.checkpoints.checkpoint import Checkpoint
from babe2.checkpoints.hub import latest_from_hub
from babe2.config import Settings
from babe2.dsp.tape import MemoryTape, Tape
from babe2.errors import Cancelled, RestorationError
from babe2.extras import require
from babe2.process import thread_count, threads, versions
from babe2.recordings.journal import Journal, Storage, Unfinished
from babe2.recordings.lines import STRETCH_FIELDS
from babe2.recordings.recorded import Audio, Samples
from babe2.restorer import Restorer

HubFolder = Callable[[str, Sequence[str], Callable[[], bool]], Path]
Report = dict[str, Any]  # what was done, JSON-able
STRETCH = 2**18  # samples, in all channels together, that are worked on between two entries of the journal


@dataclass(frozen=True, eq=False)
class Bench:
    """Where a stage works: what it keeps its work in, who hears of its progress, and who may stop it."""

    folder: Path | None = None  # None: in memory
    unfinished: Unfinished = "refuse"  # what becomes of what an earlier run left there
    about: dict[str, Any] = field(default_factory=dict)  # what decides the numbers, but for the stage itself
    on_share: Callable[[float], None] = lambda share: None  # of the stage's work that is done, 0 to 1
    cancelled: Callable[[], bool] = lambda: False
    restorer_of: Callable[[str], Restorer] = Restorer.from_checkpoint
    checkpoint_of: Callable[[str], Checkpoint] = checkpoints.load
    # The folder with files of a repository on the Hub, of which fetching may be cancelled.
    hub_folder: HubFolder = latest_from_hub
    _restorers: dict[str, Restorer] = field(default_factory=dict)  # that are loaded already

    def poll(self) -> None:
        """Raises `Cancelled` where somebody has stopped the work."""
        if self.cancelled():
            raise Cancelled

    def restorer(self, checkpoint: str) -> Restorer:
        """The restorer of a checkpoint, loaded once for all stages."""
        if checkpoint not in self._restorers:
            self._restorers[checkpoint] = self.restorer_of(checkpoint)
        return self._restorers[checkpoint]

    def inside(self, name: str) -> Bench:
        """The same, working in a folder inside this one's."""
        return replace(self, folder=None if self.folder is None else self.folder / name)


class Staged(Tape):
    """What a stage makes of a recording, made as it is read.

    It is read once, from its beginning to its end in stretches of `STRETCH`, or after a crash from one of them on; the
    same stretch has the same samples, wherever reading began.
    """

    sample_rate: int  # Hz

    def __init__(self, recording: Tape, sample_rate: int) -> None:
        self.recording, self.sample_rate = recording, sample_rate
        self.channels, self.samples = recording.channels, recording.samples
        self.found: Report = {}  # in the whole recording; `warnings` in it are sentences for people
        self.counts: Counter[str] = Counter()  # of what was done so far; they grow while it is read

    def close(self) -> None:
        """Frees what it has kept, once all of it is read and safe."""


class Watched(Tape):
    """A tape that a stage hears through several times: nobody who stops the work has to wait until it has."""

    def __init__(self, tape: Tape, bench: Bench) -> None:
        self._tape, self._bench = tape, bench
        self.channels, self.samples = tape.channels, tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        self._bench.poll()
        return self._tape.read(start, stop)


class Untouched(Staged):
    """A recording in which a stage finds nothing to do."""

    def _read(self, start: int, stop: int) -> Tensor:
        return self.recording.read(start, stop)


@dataclass(frozen=True)
class Stage(Settings, ABC):
    """One step of a chain, with its settings."""

    name: ClassVar[str]
    does: ClassVar[str]  # in one sentence of listeners' words
    splits_into: ClassVar[tuple[str, ...]] = ()  # the tracks whose channels its result has one after the other
    keeps_length: ClassVar[bool] = True
    merges: ClassVar[bool] = False  # whether it makes one track of several, whose channels it is given so
    extra: ClassVar[str] = ""  # the extra of the installation without which it does not work

    def prepare(self, bench: Bench) -> None:
        """Refuses, before hours of work, what would be refused when its turn comes."""
        if self.extra:
            require(self.extra)

    def places(self) -> dict[str, str]:
        """Those of its settings that name, or may name, something on the machine where it works.

        A `checkpoint` among them may be the id of one that a manifest names.
        """
        checkpoint = getattr(self, "checkpoint", "")
        return {"checkpoint": checkpoint} if checkpoint else {}

    @abstractmethod
    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        """Hears a recording (C, T), and gets ready to change it."""

    def among(self, tracks: tuple[str, ...]) -> Self:
        """For one that merges: the same, told which tracks it is given."""
        return self

    @classmethod
    def of(cls, **settings: Any) -> Self:
        """With these settings; values may be text, as from a command line or a file."""
        return cls().changed(**settings)

    @classmethod
    def apply_to(cls, audio: npt.ArrayLike | Tensor, sample_rate: int, **settings: Any) -> tuple[Audio, Report]:
        """`audio` (samples,) or (channels, samples) -> (channels, samples), and a report of what was done."""
        sound = Samples.of(audio, sample_rate)
        if cls.merges:
            raise RestorationError(f"{cls.name} brings several tracks together, and so is a part of a chain only.")
        made = make(cls.of(**settings), MemoryTape(sound.held), sound.sample_rate, Bench())
        return made.tape.read(0, made.tape.samples).numpy(), made.report


@dataclass(frozen=True, eq=False)
class Made:
    """The result of a stage, on a tape of its own."""

    tape: Tape
    sample_rate: int
    report: Report
    storage: Storage  # to be closed, or discarded when the tape is needed no longer


def make(stage: Stage, recording: Tape, sample_rate: int, bench: Bench) -> Made:
    """Does a stage's work; what an earlier run has left of it is gone on with."""
    began = time.monotonic()
    about = bench.about | {
        "stage": stage.name,
        "settings": stage.as_dict(),
        "versions": versions(),
        "threads": thread_count(),  # sums in float32 depend on how they are shared out
    }
    storage = Storage()
    if bench.folder is not None:
        storage = Journal(bench.folder, about, bench.unfinished, fields=STRETCH_FIELDS)
        about = storage.begun
    with storage.kept(), threads(about["threads"], bench.poll):
        if storage.records and storage.records[-1]["stop"] == storage.records[-1]["samples"]:
            tape: Tape = storage.blank("segments", storage.records[-1]["channels"])
        else:
            staged = stage.begin(recording, sample_rate, bench)
            tape = _go_on(staged, storage, bench, began)
            staged.close()
    return Made(tape, storage.records[-1]["sample_rate"], _report(stage, storage), storage)


def _go_on(staged: Staged, storage: Storage, bench: Bench, began: float) -> Tape:
    """Makes what is not yet made, and notes every stretch once it is safe."""
    tape = storage.blank("segments", staged.channels, staged.samples)
    recording, stretch = staged.recording, max(1, STRETCH // staged.channels)
    compared = (staged.channels, staged.samples) == (recording.channels, recording.samples)
    done = storage.records[-1]["stop"] if storage.records else 0
    for start in range(done, staged.samples, stretch):
        bench.poll()
        stop, before = min(start + stretch, staged.samples), Counter(staged.counts)
        made = staged.read(start, stop)
        tape.write(start, made)
        heard = recording.read(start, stop) if compared else made
        storage.note(
            {
                "segments": [start // stretch],
                "stop": stop,
                "channels": staged.channels,
                "samples": staged.samples,
                "sample_rate": staged.sample_rate,
                "found": {} if start > done else staged.found,  # which may be long, and is the same for all
                "counts": {what: count - before[what] for what, count in staged.counts.items()},
                "powers": [float(part.double().square().sum()) for part in (heard, heard - made)],
                "seconds": round(time.monotonic() - began, 3),
            }
        )
        began = time.monotonic()
        bench.on_share(stop / staged.samples)
    return tape


def _report(stage: Stage, storage: Storage) -> Report:
    counted: Counter[str] = Counter()
    for record in storage.records:
        counted.update(record["counts"])
    heard, removed = (sum(record["powers"][part] for record in storage.records) for part in (0, 1))
    found = dict(next((record["found"] for record in reversed(storage.records) if record["found"]), {}))
    warnings = [*storage.warnings, *found.pop("warnings", [])]
    return {
        "stage": stage.name,
        "settings": stage.as_dict(),
        "found": found,
        "counts": dict(sorted(counted.items())),
        # The level of all that was taken away or changed, relative to the recording; None where that is nothing.
        "removed_db": round(10 * math.log10(removed / heard), 2) if removed > 0 and heard > 0 else None,
        "seconds": round(sum(record["seconds"] for record in storage.records), 3),
        "warnings": warnings,
    }


def sounds(recording: Tape) -> bool:
    """Whether anything is to be heard at all."""
    return any(bool(torch.any(block != 0)) for block in recording.blocks())
