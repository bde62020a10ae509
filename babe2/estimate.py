"""How long a restoration will take on this machine, told before it begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from babe2.analysis.evidence import evidence_of
from babe2.config import Model
from babe2.methods import Method
from babe2.networks.models import next_length
from babe2.process import forget_peak_memory, memory_now, peak_memory
from babe2.recordings.recorded import Recorded, Samples
from babe2.restorer import Restorer

Clock = Callable[[], float]

QUICK_SECONDS = 0.25  # an evaluation of a quarter segment that takes longer is scaled up, not followed by a whole one
WARM_SECONDS = 2.0  # what takes longer is tried once: by then the machine has warmed up
LONG = 2**30  # samples; a recording of many segments
REHEARSED_SECONDS, REHEARSED_RATE = 2, 44_100  # of noise, resampled and looked at


class Line(NamedTuple):
    """Something that grows evenly with the number of samples."""

    fixed: float
    per_sample: float

    def at(self, samples: float) -> float:
        return self.fixed + self.per_sample * samples

    @staticmethod
    def through(few: tuple[int, float], many: tuple[int, float]) -> Line:
        """Through two points (samples, value), rising from no less than nothing."""
        per_sample = max(0.0, (many[1] - few[1]) / (many[0] - few[0]))
        fixed = many[1] - per_sample * many[0]
        return Line(fixed, per_sample) if fixed >= 0 else Line(0.0, many[1] / many[0])


@dataclass(frozen=True)
class Pace:
    """How fast this machine is with one prior and one method."""

    evaluation: Line  # seconds, of as many samples as all channels of all segments together have
    around: float  # seconds per sample of the recording, spent on all that is not sampling
    memory: Line | None = None  # bytes, at most, during an evaluation; None where the machine does not tell


@dataclass(frozen=True)
class Estimate:
    """What a restoration will cost."""

    seconds: float
    evaluations: int
    segments: int
    memory: int | None  # bytes at the most, on the graphics card where there is one; None where nobody can tell
    disk: int  # bytes of the journal of a file that is restored


def calibrate(restorer: Restorer, method: Method, clock: Clock = time.perf_counter) -> Pace:
    """Tries an evaluation on a quarter of a segment, and where that is quick on a whole one.

    `clock` tells seconds; on a machine that others keep busy, `time.process_time` tells those of our own.
    """
    around = _around(restorer.model.sample_rate, clock)
    if not method.evaluations:
        return Pace(Line(0.0, 0.0), around)
    whole = method.span(LONG).whole
    quarter = next_length(restorer.model, whole // 4)
    before = memory_now(restorer.device)
    few, memory = _tried(restorer, method, quarter, clock)
    points, bytes_used = [(0, 0.0), (quarter, few)], [(0, before), (quarter, memory)]
    if few < QUICK_SECONDS and whole > quarter:
        many, memory = _tried(restorer, method, whole, clock)
        points.append((whole, many))
        bytes_used.append((whole, memory))
    evaluation = Line.through(*points[-2:])
    if aside := method.rehearse_aside(restorer.model.sample_rate):
        work, times = aside
        evaluation = evaluation._replace(fixed=evaluation.fixed + times * _seconds(work, clock))
    return Pace(evaluation, around, Line.through(*bytes_used[-2:]) if memory else None)


def estimate(
    pace: Pace,
    method: Method,
    model: Model,
    *,
    seconds: float,
    channels: int,
    sample_rate: int,
    batch: int = 1,
    runs: int = 1,
) -> Estimate:
    """For a recording of so many seconds and channels at its own rate, none of it silent, that is restored in so many
    runs."""
    if method.folds:
        channels = 1
    samples = math.ceil(seconds * model.sample_rate)
    span, segments = method.span(samples), len(method.starts(samples))
    batches = [channels * count for count in method.runs(segments, batch)]
    sampling = runs * method.evaluations * sum(pace.evaluation.at(batch * span.whole) for batch in batches)
    return Estimate(
        seconds=sampling + pace.around * seconds * sample_rate * channels,
        evaluations=runs * method.evaluations * len(batches),
        segments=segments,
        memory=None if pace.memory is None or not batches else round(pace.memory.at(max(batches) * span.whole)),
        disk=4 * channels * (samples + runs * method.layers * segments * span.length),
    )


# Rehearsals


def _tried(restorer: Restorer, method: Method, length: int, clock: Clock) -> tuple[float, int]:
    """The seconds and the bytes of one evaluation on a segment of noise, with all that a method does around it."""
    prior, rate = restorer.prior(length), restorer.model.sample_rate
    noisy = 0.07 * torch.randn(1, length, generator=torch.Generator().manual_seed(0)).to(prior.device)
    forget_peak_memory(prior.device)
    seconds = _seconds(
        lambda: float(method.rehearse(prior, noisy, rate).sum()), clock
    )  # a card answers when it is done
    return seconds, peak_memory(prior.device)


def _around(sample_rate: int, clock: Clock) -> float:
    """Of each sample of a recording: bringing it to the model's rate and back, and hearing how it was coloured."""
    samples = REHEARSED_SECONDS * REHEARSED_RATE
    noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))

    def rehearse() -> None:
        recording = Recorded.of(Samples(noise, REHEARSED_RATE), sample_rate, None, fold=False)
        evidence_of(recording.observation, sample_rate)
        for _ in recording.bring_back(recording.observation, REHEARSED_RATE):
            pass

    return _seconds(rehearse, clock) / samples


def _seconds(work: Callable[[], object], clock: Clock) -> float:
    """How long something takes: the better of two goes, as the first one warms up."""
    times: list[float] = []
    while not times or (len(times) < 2 and times[0] < WARM_SECONDS):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)
