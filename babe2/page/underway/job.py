"""A restoration under way in a thread of its own, so that a page can follow it and stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from babe2.chains import Chained, Link, LinkProgress
from babe2.chains.work import work_on_audio
from babe2.dsp.curves import Curve
from babe2.errors import Cancelled
from babe2.recordings.recorded import Audio
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.run import Step
from babe2.wording import format_duration

News = TypeVar("News")
Result = TypeVar("Result")

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

    def work(tell: Callable[[Step], None], stop: Callable[[], bool]) -> Restoration:
        return restorer.restore(audio, sample_rate, on_step=tell, cancelled=stop, **options)

    step, moment = None, Moment()
    try:
        with closing(_followed(work, stopped)) as told:
            for news in told:
                if isinstance(news, Restoration):
                    yield news
                    return
                if news is not None and news is not step:
                    step, moment = news, Moment.of(news)
                yield moment
    except Cancelled as error:
        if error.partial is None:
            raise
        yield error.partial


def follow_chain(
    links: Sequence[Link],
    audio: Any,
    sample_rate: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
    restorer_of: Callable[[str], Restorer],
) -> Iterator[LinkProgress | Chained]:
    """The same of a chain, of which nothing is finished before all of it is."""

    def work(tell: Callable[[LinkProgress], None], stop: Callable[[], bool]) -> Chained:
        return work_on_audio(links, audio, sample_rate, on_link=tell, cancelled=stop, restorer_of=restorer_of)

    with closing(_followed(work, stopped)) as told:
        for news in told:
            if news is not None:
                yield news


def _followed(
    work: Callable[[Callable[[News], None], Callable[[], bool]], Result], stopped: Callable[[], bool]
) -> Generator[News | Result | None, None, None]:
    """Does work in a thread: the latest of what it tells, at least every half second, None before there is any, and
    last its result."""
    heard: queue.Queue[News | _Last[Result]] = queue.Queue()
    left = threading.Event()

    def run() -> None:
        try:
            heard.put(_Last(work(heard.put, lambda: left.is_set() or stopped())))
        except BaseException as error:
            heard.put(_Last(None, error))

    thread = threading.Thread(target=run, name="restoration", daemon=True)
    thread.start()
    latest: News | None = None
    try:
        while True:
            with suppress(queue.Empty):
                newest = heard.get(timeout=PATIENCE)
                while not isinstance(newest, _Last) and not heard.empty():  # who is late hears only the latest
                    newest = heard.get()
                if isinstance(newest, _Last):
                    yield newest.result()
                    return
                latest = newest
            yield latest
    finally:
        left.set()
        thread.join()


@dataclass(frozen=True, eq=False)
class _Last(Generic[Result]):
    """What work has come to."""

    made: Result | None
    error: BaseException | None = None

    def result(self) -> Result:
        if self.error is not None:
            raise self.error
        assert self.made is not None
        return self.made
