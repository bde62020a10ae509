"""A restoration under way in a thread of its own, so that a page can follow it and stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from babe2.dsp.curves import Curve
from babe2.errors import Cancelled
from babe2.recordings.recorded import Audio
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.run import Step
from babe2.wording import format_duration

PATIENCE = 0.5  # seconds without news after which the last ones are told again


@dataclass(frozen=True, eq=False)
class Moment:
    """How a restoration stands. Segments and steps count from 1; 0 is before the first."""

    segment: int = 0
    segments: int = 0
    step: int = 0
    steps: int = 0
    misfit: float | None = None
    seconds_left: float | None = None
    share: float = 0.0  # of all steps of all segments that is done
    start: float = 0.0  # of the segment, seconds
    equalizer: Curve | None = None
    sound: Audio | None = None  # of the segment under way (channels, samples), at the model's rate

    @classmethod
    def of(cls, step: Step) -> Moment:
        """The moment of a step, with its sound."""
        return cls(
            step.segment,
            step.segments,
            step.step,
            step.steps,
            step.misfit,
            step.seconds_left,
            step.share,
            step.start,
            step.equalizer,
            step.clean(),
        )

    @property
    def words(self) -> str:
        """Where the run is and how long it will still take."""
        if not self.step:
            return "finding out how the recording was made"
        left = "" if self.seconds_left is None else f", {format_duration(self.seconds_left)} left"
        return f"segment {self.segment} of {self.segments}, step {self.step} of {self.steps}{left}"


def follow(
    restorer: Restorer,
    audio: Any,
    sample_rate: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
    **options: Any,
) -> Iterator[Moment | Restoration]:
    """Yields how a restoration stands, at least every half second, and last the restoration itself.

    When `stopped()` turns true the finished part comes last, or Cancelled where there is none. Closing the iterator
    stops the run, too: when close() returns, nothing is computed any more.
    """
    news: queue.Queue[Step | Restoration | BaseException] = queue.Queue()
    left = threading.Event()

    def work() -> None:
        try:
            news.put(
                restorer.restore(
                    audio, sample_rate, on_step=news.put, cancelled=lambda: left.is_set() or stopped(), **options
                )
            )
        except BaseException as error:
            news.put(error)

    thread = threading.Thread(target=work, name="restoration", daemon=True)
    thread.start()
    try:
        yield from _heard(news)
    finally:
        left.set()
        thread.join()


def _heard(news: queue.Queue[Step | Restoration | BaseException]) -> Iterator[Moment | Restoration]:
    moment = Moment()
    while True:
        try:
            newest = news.get(timeout=PATIENCE)
            while isinstance(newest, Step) and not news.empty():  # who is late hears only the latest
                newest = news.get()
        except queue.Empty:
            yield moment
            continue
        if isinstance(newest, Step):
            moment = Moment.of(newest)
            yield moment
        elif isinstance(newest, Cancelled) and newest.partial is not None:
            yield newest.partial
            return
        elif isinstance(newest, BaseException):
            raise newest
        else:
            yield newest
            return
