"""How long a restoration will take on this machine, told before it begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from babe2.analysis.spectrum import Spectrum
from babe2.config import Model, Settings
from babe2.equalizer import BandSums, EqualizerFit, apply_magnitude
from babe2.methods.base import Span
from babe2.methods.undone import shaped
from babe2.networks.models import next_length
from babe2.prior import BandwisePrior, Prior
from babe2.process import forget_peak_memory, memory_now, peak_memory
from babe2.recordings.recorded import Recorded, Samples
from babe2.restorer import Restorer
from babe2.sampler import guidance

Clock = Callable[[], float]

QUICK_SECONDS = 0.25  # an evaluation of a quarter segment that takes longer is scaled up, not followed by a whole one
WARM_SECONDS = 2.0  # what takes longer is tried once: by then the machine has warmed up
REHEARSED_SECONDS, REHEARSED_RATE = 2, 44_100  # of noise, resampled and looked at
FIT_TRIED = 5  # iterations
FIT_SHARE = 2 / 3  # of the iterations allowed; music near to what the prior knows needs 40 %, other music 90 %


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
    """How fast this machine is with one prior and one solver."""

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


def calibrate(restorer: Restorer, settings: Settings, clock: Clock = time.perf_counter) -> Pace:
    """Tries an evaluation on a quarter of a segment, and where that is quick on a whole one.

    `clock` tells seconds; on a machine that others keep busy, `time.process_time` tells those of our own.
    """
    whole = Span.of(2 * settings.segment_length, settings).whole
    quarter = next_length(restorer.model, whole // 4)
    before = memory_now(restorer.device)
    few, memory = _tried(restorer, settings, quarter, clock)
    points, bytes_used = [(0, 0.0), (quarter, few)], [(0, before), (quarter, memory)]
    if few < QUICK_SECONDS and whole > quarter:
        many, memory = _tried(restorer, settings, whole, clock)
        points.append((whole, many))
        bytes_used.append((whole, memory))
    evaluation = Line.through(*points[-2:])
    if settings.solver == "guided":
        evaluation = evaluation._replace(fixed=evaluation.fixed + _fit_seconds(restorer, settings, clock))
    return Pace(
        evaluation,
        _around(restorer.model.sample_rate, clock),
        Line.through(*bytes_used[-2:]) if memory else None,
    )


def estimate(
    pace: Pace, settings: Settings, model: Model, *, seconds: float, channels: int, sample_rate: int, batch: int = 1
) -> Estimate:
    """For a recording of so many seconds and channels at its own rate, none of it silent."""
    if settings.as_published:
        channels = 1
    samples = math.ceil(seconds * model.sample_rate)
    span = Span.of(samples, settings)
    segments = len(span.starts(samples, settings))
    batches = [channels * count for count in runs_of(settings, segments, batch)]
    each = evaluations_of(settings)
    sampling = each * sum(pace.evaluation.at(batch * span.whole) for batch in batches)
    return Estimate(
        seconds=sampling + pace.around * seconds * sample_rate * channels,
        evaluations=each * len(batches),
        segments=segments,
        memory=None if pace.memory is None else round(pace.memory.at(max(batches) * span.whole)),
        disk=4 * channels * (samples + (1 + settings.keep_low_band) * segments * span.length),
    )


# What a restoration consists of


def runs_of(settings: Settings, segments: int, batch: int) -> list[int]:
    """How many segments each run of the sampler takes together."""
    if settings.solver != "guided":
        return [batch] * (segments // batch) + [segments % batch] * (segments % batch > 0)
    if settings.mode == "autoregressive":
        return [1] * segments
    together = settings.blind_segments if settings.as_published else min(settings.blind_segments, segments)
    return [together] + [1] * max(0, segments - together)


def evaluations_of(settings: Settings) -> int:
    """In a run; a guided step of second order takes two, but for the last."""
    return settings.order * settings.steps - settings.order + 1 if settings.solver == "guided" else settings.steps


# Rehearsals


def _tried(restorer: Restorer, settings: Settings, length: int, clock: Clock) -> tuple[float, int]:
    """The seconds and the bytes of one evaluation on a segment of noise, with all that a solver does around it."""
    prior, rate = restorer.prior(length), restorer.model.sample_rate
    noisy = settings.level * torch.randn(1, length, generator=torch.Generator().manual_seed(0)).to(prior.device)
    forget_peak_memory(prior.device)
    work = _guided if settings.solver == "guided" else _without_gradient
    seconds = _seconds(lambda: float(work(prior, noisy, settings, rate).sum()), clock)  # a card answers when it is done
    return seconds, peak_memory(prior.device)


@torch.no_grad()
def _without_gradient(prior: Prior, noisy: Tensor, settings: Settings, sample_rate: int) -> Tensor:
    level = noisy.new_full((noisy.shape[-1] // 2 + 1,), settings.level)
    if settings.solver == "bandwise":
        assert isinstance(prior, BandwisePrior)  # the front door refuses this solver with any other
        clean = prior.at_levels(noisy, level)
    else:
        clean = prior(noisy, level[0])
    return shaped(noisy - clean, level) + shaped(clean, level)  # the step, and its misfit


def _guided(prior: Prior, noisy: Tensor, settings: Settings, sample_rate: int) -> Tensor:
    noisy = noisy.detach().requires_grad_()
    with torch.enable_grad():
        clean = prior(noisy, noisy.new_tensor(settings.level))
        BandSums.of(clean.detach(), noisy.detach(), settings.filter_fft)
        degraded = apply_magnitude(noisy.new_ones(settings.filter_fft // 2 + 1), clean)
        return guidance((noisy.detach() - degraded).square().sum() / 2, noisy, settings)


def _fit_seconds(restorer: Restorer, settings: Settings, clock: Clock) -> float:
    """What the equalizer's fit takes in each evaluation; it does not depend on the segment's length."""
    restless = replace(settings, filter_iterations=FIT_TRIED, filter_tolerance_hz=0.0, filter_tolerance_db=0.0)
    rate, fft = restorer.model.sample_rate, settings.filter_fft
    noise = torch.randn(2, 4 * fft, generator=torch.Generator().manual_seed(0))
    sums = BandSums.of(noise[:1], noise[1:], fft)
    seconds = _seconds(lambda: EqualizerFit(restless, rate).update(sums), clock)
    return seconds / FIT_TRIED * FIT_SHARE * settings.filter_iterations


def _around(sample_rate: int, clock: Clock) -> float:
    """Of each sample of a recording: bringing it to the model's rate and back, and hearing how it was coloured."""
    samples = REHEARSED_SECONDS * REHEARSED_RATE
    noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))

    def rehearse() -> None:
        recording = Recorded.of(Samples(noise, REHEARSED_RATE), sample_rate, None, fold=False)
        Spectrum.of(recording.observation, sample_rate)
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
