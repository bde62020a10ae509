"""Spoils clips, restores them in every way, and scores them against the truth; in several processes at once."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import Cancelled, RestorationError
from babe2.evaluation.baselines import third_octave_ratio
from babe2.evaluation.contest.rows import RATIO, Case, Kept, Row, Way
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import (
    INFORMED,
    Clip,
    Degraded,
    Rendition,
    as_truth,
    reference_of,
    restoring,
    score,
    spoiled,
)
from babe2.evaluation.visqol import Similarity, visqol
from babe2.restorer import Restorer

MakeRestorer = Callable[[], Restorer]
Cancel = Callable[[], bool]
OnRow = Callable[[Row], None]


@dataclass(frozen=True, eq=False)
class Task:
    """A clip, a machine, and the ways that it still has to go."""

    case: Case
    truth: npt.NDArray[np.float32]  # (T,) at SCORING_RATE
    ways: Sequence[Way]
    settings: Mapping[str, Any]
    by_visqol: bool = False  # whether that is asked, too


def tasks_of(
    clips: Sequence[Clip],
    cases: Sequence[Case],
    ways: Sequence[Way],
    kept: Kept,
    *,
    by_visqol: bool = False,
    **settings: Any,
) -> list[Task]:
    """What is not scored yet."""
    truths = {name: as_truth(audio, rate).numpy() for name, audio, rate in clips}
    tasks = [Task(case, truths[case.clip], kept.missing(case, ways), settings, by_visqol) for case in cases]
    return [task for task in tasks if task.ways]


def run(tasks: Sequence[Task], make: MakeRestorer, jobs: int, on_row: OnRow, cancelled: Cancel) -> None:
    """Scores all of them, each job with a restorer of its own; `make` sets a job's threads, too."""
    if jobs == 1:
        restorer = make()
        for task in tasks:
            for row in scored(restorer, task, cancelled):
                on_row(row)
        return
    context = multiprocessing.get_context("spawn")
    stopped = context.Event()
    with ProcessPoolExecutor(jobs, context, _begin, (make, stopped)) as pool:
        waiting: set[Future[list[Row]]] = {pool.submit(_scored_here, task) for task in tasks}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    for row in future.result():
                        on_row(row)
                if cancelled():
                    raise Cancelled
        except BrokenProcessPool:
            raise RestorationError(
                "A process that restored was ended from outside, maybe for want of memory. What was scored is kept; "
                "ask for fewer --jobs."
            ) from None
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def scored(restorer: Restorer, task: Task, cancelled: Cancel) -> Iterator[Row]:
    """A row for each way, as it is done."""
    clip, family, seed = task.case
    degraded = spoiled(clip, torch.from_numpy(task.truth), seed, family)
    reference, similarity = reference_of(restorer), visqol() if task.by_visqol else None
    for way in task.ways:
        began = time.process_time()
        made = rendition(restorer, way, degraded, reference, cancelled, task.settings, similarity)
        seconds = (time.process_time() - began) * 10 * SCORING_RATE / len(degraded.truth)
        about = {**task.case._asdict(), "way": way.name, "band_hz": list(degraded.band), "seconds": round(seconds, 2)}
        yield about | asdict(made.scores)


def rendition(
    restorer: Restorer,
    way: Way,
    degraded: Degraded,
    reference: ReferenceLtas,
    cancelled: Cancel,
    settings: Mapping[str, Any],
    similarity: Similarity | None = None,
) -> Rendition:
    """What one way makes of a recording, with its scores."""
    if way.method == RATIO:
        ratio = third_octave_ratio(degraded.observation, SCORING_RATE, reference)
        return score(*ratio, degraded, reference, similarity)
    told = {"response": degraded.degradation.response} if way.method == INFORMED else {}
    used = restorer.used(way.method, way.preset, response_known=bool(told), **settings)
    restore = restoring(restorer, method=way.method, preset=way.preset, cancelled=cancelled, **told, **used)
    audio, response = restore(degraded.observation, degraded.seed)
    claims = restorer.method(way.method, way.preset, response_known=bool(told), **used).changes and not told
    return score(audio, response if claims else None, degraded, reference, similarity)


# In a process of its own

_here: tuple[Restorer, Event] | None = None


def _begin(make: MakeRestorer, stopped: Event) -> None:
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it says when to stop
    _here = make(), stopped


def _scored_here(task: Task) -> list[Row]:
    assert _here is not None
    restorer, stopped = _here
    rows = []
    try:
        for row in scored(restorer, task, stopped.is_set):
            rows.append(row)
    except Cancelled:
        pass
    return rows
