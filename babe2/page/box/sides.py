"""A visitor's box of records: its sides, and how far each of them is."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from babe2 import audio
from babe2.errors import RestorationError
from babe2.page.box.figures import Figures
from babe2.page.choice import Choice, Wishes
from babe2.page.excerpt import Excerpt
from babe2.page.messages import sentence_of
from babe2.page.outcome import Outcome
from babe2.page.underway.stop import Stop
from babe2.wording import clock, plain_name


class State(StrEnum):
    """How far a side is, in a visitor's words."""

    WAITING = "waiting"
    RUNNING = "running"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    STOPPED = "stopped"
    FAILED = "failed"


TO_DO = (State.WAITING, State.STOPPED, State.FAILED)


@dataclass(eq=False)
class Side:
    """One recording of a box."""

    name: str  # which no other side of its box has, whatever its ending
    recording: Path  # the box's own
    seconds: float = 0.0
    channels: int = 0
    sample_rate: int = 0  # Hz; 0 where the file cannot be read
    state: State = State.WAITING
    share: float = 0.0  # of it that is done
    words: str = ""  # how it stands, or why
    outcome: Outcome | None = None
    file: Path | None = None  # that was restored
    figures: Figures | None = None

    @property
    def readable(self) -> bool:
        """Whether there is a sound in its file."""
        return self.sample_rate > 0

    @property
    def open(self) -> bool:
        """Whether there is something to be done to it."""
        return self.readable and self.state in TO_DO

    def wanted(self, most: float | None) -> float:
        """How many seconds of it are restored: all, or `most`."""
        return self.seconds if most is None else min(most, self.seconds)

    def wait(self, words: str = "") -> None:
        """Puts it back among those that wait."""
        self.state, self.share, self.words = State.WAITING, 0.0, words

    def finish(self, outcome: Outcome, file: Path, figures: Figures) -> None:
        """Keeps what came of it."""
        found = outcome.found
        self.outcome, self.file, self.figures, self.share = outcome, file, figures, 1.0
        if outcome.seconds < outcome.wanted - 0.01:
            self.state, self.words = State.STOPPED, outcome.words
        else:
            self.state, self.words = State.UNCHANGED if found.unchanged else State.RESTORED, found.words

    def fail(self, sentence: str) -> None:
        """Says why it cannot be restored."""
        self.state, self.share, self.words = State.FAILED, 0.0, sentence
        self.outcome = self.file = self.figures = None


@dataclass(frozen=True)
class Order:
    """What is to be done to every side of a box, as it stood on the page when the run was begun."""

    choice: Choice
    most: float | None = None  # seconds of each side, from where they are liveliest; None: all
    stages: tuple[str, ...] = ()  # of cleaning
    wished: Wishes = field(default_factory=dict)
    like: str | None = None  # the file that it is to sound like
    kind: str = ""  # of file

    def excerpt(self, side: Side, start: float) -> Excerpt:
        """What of a side is restored, which is liveliest from `start` on."""
        return Excerpt() if self.most is None or side.seconds <= self.most else Excerpt(round(start, 1), self.most)


@dataclass(frozen=True)
class Limits:
    """How much one box may hold."""

    sides: int
    seconds: float  # of sound, all sides together


@dataclass(eq=False)
class Box:
    """The sides of one visitor; its files go when it goes.

    A run goes through it side by side. Each of its turns is known by a word of its own, so that one which comes late,
    of a run that was stopped, does nothing.
    """

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    sides: list[Side] = field(default_factory=list)
    turn: str = ""  # whose side may begin; empty while nothing is to begin
    stop: Stop | None = None  # of the run under way
    order: Order | None = None  # of the latest run
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="babe2-box-")))

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._lock, self._turns, self._missed, self._began, self._heard = threading.Lock(), 0, "", 0.0, 0.0

    @property
    def running(self) -> bool:
        """Whether a run is under way or waits for its turn."""
        return self.stop is not None

    @property
    def under_way(self) -> Side | None:
        """The side that is being restored."""
        return next((side for side in self.sides if side.state == State.RUNNING), None)

    @property
    def seconds(self) -> float:
        """Of sound in it."""
        return sum(side.seconds for side in self.sides)

    @property
    def open(self) -> list[Side]:
        """The sides to which something is to be done."""
        return [side for side in self.sides if side.open]

    @property
    def share(self) -> float:
        """Of all its sound that is done, failures among it."""
        heard = sum(
            side.seconds * (side.share if side.state == State.RUNNING else side.state != State.WAITING)
            for side in self.sides
        )
        return heard / self.seconds if self.seconds else 0.0

    def add(self, files: Iterable[str | Path]) -> list[str]:
        """Takes files into it, also what cannot be read, and returns sentences on those that it has no room for."""
        told, left_out = [], []
        for path in map(Path, files):
            with self._lock:
                if len(self.sides) >= self.limits.sides:
                    left_out.append(plain_name(path.name))
                    continue
                if told_why := self._take(path):
                    told.append(told_why)
        if left_out:
            told.insert(0, f"A box holds {self.limits.sides} sides here, so these were left out: {_some(left_out)}.")
        return told

    def _take(self, path: Path) -> str:
        name = self._free(plain_name(path.name))
        side = Side(name, self.folder / f"{len(self.sides) + 1:03d}" / name)
        try:
            side.channels, samples, side.sample_rate = audio.measure(path)
            side.seconds = samples / side.sample_rate
        except Exception as error:
            side.sample_rate = 0
            side.fail(sentence_of(error, str(path)))
        if self.seconds + side.seconds > self.limits.seconds:
            return (
                f"{side.name} was left out: with it the box would hold {clock(self.seconds + side.seconds)} of sound, "
                f"and here it holds {clock(self.limits.seconds)} at most."
            )
        side.recording.parent.mkdir(parents=True)
        _copied(path, side.recording)
        self.sides.append(side)
        return ""

    def _free(self, name: str) -> str:
        """The name with a number where another side is called so: results differ by what stands before the ending."""
        taken = {Path(side.name).stem.casefold() for side in self.sides}
        stem, ending, number, free = Path(name).stem, Path(name).suffix, 2, Path(name).stem
        while free.casefold() in taken:
            free, number = f"{stem} ({number})", number + 1
        return f"{free}{ending}"

    # A run

    def begin(self, order: Order) -> str:
        """Begins a run through all that is open, and returns its first turn; one that was under way ends."""
        self.halt()
        with self._lock:
            for side in self.open:
                side.wait()
            self.stop, self.order, self._began, self._heard = Stop.new(), order, self.clock(), 0.0
            return self._new_turn()

    def take(self, turn: str) -> tuple[Side, Stop, Order] | None:
        """The side whose turn it is, which is running from now on, what stops it and what is to be done to it; None
        where it is nobody's."""
        with self._lock:
            waiting = next((side for side in self.sides if side.state == State.WAITING), None)
            if not turn or turn != self.turn or self.stop is None or self.order is None or waiting is None:
                return None
            self.turn, waiting.state, waiting.words = "", State.RUNNING, "beginning"
            return waiting, self.stop, self.order

    def again(self) -> str:
        """Another turn in the place of one that seems lost, asked for the second time; nothing at the first."""
        with self._lock:
            if not self.turn or self.turn != self._missed:
                self._missed = self.turn
                return ""
            return self._new_turn()

    def done_with(self, side: Side, stop: Stop) -> str:
        """After a side's turn: the next one of the same run, or nothing where that is over."""
        with self._lock:
            if self.stop is not stop:
                return ""
            self._heard += 0.0 if side.state == State.FAILED else self._wanted(side)
            if stop() or not any(side.state == State.WAITING for side in self.sides):
                self._end()
                return ""
            return self._new_turn()

    def halt(self) -> None:
        """Stops the run; a side that is under way keeps what is finished of it."""
        with self._lock:
            if self.stop is not None:
                self.stop.ask()
                self._end()

    def _end(self) -> None:
        if self.stop is not None:
            self.stop.ask()  # which takes its file away
        self.turn, self.stop = "", None

    def _new_turn(self) -> str:
        self._turns += 1
        self.turn = f"{self._turns}-{self.folder.name}"
        return self.turn

    def _wanted(self, side: Side) -> float:
        return side.wanted(None if self.order is None else self.order.most)

    def seconds_left(self) -> float | None:
        """How long the rest of the run will take at the pace that it had, others' turns between its own included."""
        rest = sum(self._wanted(side) for side in self.sides if side.state in (State.WAITING, State.RUNNING))
        now = 0.0 if self.under_way is None else self.under_way.share * self._wanted(self.under_way)
        heard = self._heard + now
        return (self.clock() - self._began) * (rest - now) / heard if self.running and heard > 0 else None


def _copied(path: Path, place: Path) -> None:
    """The file in a place of its own, where nobody deletes it: under a second name, or as a copy."""
    try:
        os.link(path, place)
    except OSError:
        try:
            shutil.copyfile(path, place)
        except OSError as error:
            raise RestorationError(f"{path.name} cannot be kept ({error.strerror}). Try again later.") from None


def _some(names: list[str]) -> str:
    """The first few of many names."""
    more = len(names) - 3
    return ", ".join(names) if more < 1 else f"{', '.join(names[:3])} and {more} more"
