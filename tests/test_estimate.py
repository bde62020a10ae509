"""What a restoration will cost, told from a pace that is made up, and once from a real one."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from babe2 import Restorer, audio, config
from babe2.config import BandwiseArchitecture, Model
from babe2.dsp.curves import FLAT, Curve
from babe2.estimate import Estimate, Line, Pace, calibrate, estimate
from babe2.methods import Method, choose
from babe2.methods.guided import Guided, GuidedSettings
from babe2.wording import format_duration

EXAMPLE = Path(__file__).parents[1] / "examples" / "old_variation.flac"
SMALL = Path(__file__).parent / "reference" / "small_checkpoint"
RATE = 22_050  # Hz
MODEL = Model(BandwiseArchitecture((8, 8, 8), (1, 1, 1)), RATE, 45_056, 0.08, "compact")
COMPACT = choose("babe2", "standard", config.COMPACT, {})
STEPS = 16
PACE = Pace(Line(0.01, 1e-6), around=1e-7, memory=Line(1e6, 100.0))


@pytest.fixture(scope="module")
def bundled() -> Restorer:
    return Restorer.from_checkpoint("piano-small", device="cpu")


@pytest.fixture(scope="module")
def guided() -> Restorer:
    return Restorer.from_checkpoint(SMALL, device="cpu")


def guided_by(**settings: Any) -> Method:
    return Guided(GuidedSettings(**settings))


def cost(method: Method, seconds: float, channels: int = 1, pace: Pace = PACE, rate: int = RATE) -> Estimate:
    return estimate(pace, method, MODEL, seconds=seconds, channels=channels, sample_rate=rate)


def test_a_line_goes_through_its_points_and_never_falls() -> None:
    assert Line.through((10, 3.0), (20, 5.0)).at(30) == pytest.approx(7)
    assert Line.through((10, 5.0), (20, 3.0)).at(1000) == pytest.approx(3)
    assert Line.through((10, 1.0), (20, 4.0)) == Line(0.0, 0.2)  # nothing takes less than no time


def test_a_short_recording_is_one_segment_of_its_own_length() -> None:
    short, longer = cost(COMPACT, 3), cost(COMPACT, 8)
    assert short.segments == longer.segments == 1
    assert short.evaluations == longer.evaluations == STEPS
    # Three seconds are 33 grains of 2048 samples, and their margins are 4 more.
    samples = 37 * 2048
    assert short.seconds == pytest.approx(16 * (0.01 + 1e-6 * samples) + 1e-7 * 3 * RATE)
    assert short.memory == pytest.approx(1e6 + 100 * samples)


def test_a_longer_recording_takes_longer() -> None:
    needed = [cost(COMPACT, seconds) for seconds in (2, 5, 9, 20, 60, 600, 3600)]
    assert all(one.seconds < next_one.seconds for one, next_one in pairwise(needed))
    assert needed[-1].evaluations == needed[-1].segments * STEPS


def test_two_channels_take_the_work_of_two_in_as_many_evaluations() -> None:
    one, two = (cost(COMPACT, 20, channels, Pace(Line(0.0, 1e-6), 0.0)) for channels in (1, 2))
    assert two.evaluations == one.evaluations
    assert two.seconds == pytest.approx(2 * one.seconds)


def test_a_second_order_step_takes_two_evaluations_but_for_the_last() -> None:
    assert cost(guided_by(), 5).evaluations == 101
    assert cost(guided_by(order=1), 5).evaluations == 51


def test_one_equalizer_for_all_is_found_on_some_segments_together() -> None:
    apart, together = cost(guided_by(), 60), cost(guided_by(mode="time-invariant", blind_segments=3), 60)
    assert apart.segments == together.segments == 8
    assert together.evaluations == 101 * 6  # one run for three segments, and one for each of the others
    assert together.memory > apart.memory


def test_where_the_response_is_given_no_equalizer_is_looked_for() -> None:
    wishes = {"solver": "guided", "mode": "time-invariant", "blind_segments": 3}
    blind = choose("babe2", "standard", config.PIANO, wishes)
    given = choose("babe2", "standard", config.PIANO, {"solver": "guided"}, response_known=True)
    assert blind.rehearse_aside(RATE) is not None and given.rehearse_aside(RATE) is None
    assert blind.runs(8, 1) == [3, 1, 1, 1, 1, 1] and given.runs(8, 1) == [1] * 8


def test_the_published_program_averages_the_channels() -> None:
    paper = choose("babe2", "paper", config.PIANO, {})
    assert cost(paper, 20, channels=2) == cost(paper, 20, channels=1)


def test_ltas_eq_asks_nothing_of_a_network() -> None:
    needed = cost(choose("ltas-eq", "standard", config.COMPACT, {}), 600)
    assert (needed.evaluations, needed.segments) == (0, 0) and needed.seconds == pytest.approx(1e-7 * 600 * RATE)


def test_what_is_resampled_counts_at_its_own_rate() -> None:
    pace = Pace(Line(0.0, 0.0), around=1e-6)
    assert cost(COMPACT, 10, pace=pace, rate=96_000).seconds == pytest.approx(0.96)


def test_segments_restored_together_are_fewer_runs_and_more_memory() -> None:
    pace = replace(PACE, evaluation=Line(0.5, 1e-7))
    alone, together = (
        estimate(pace, COMPACT, MODEL, seconds=60, channels=1, sample_rate=RATE, batch=batch) for batch in (1, 3)
    )
    assert alone.segments == together.segments == 7 and together.evaluations == 3 * STEPS
    assert together.seconds < alone.seconds and together.memory == pytest.approx(3 * alone.memory, rel=0.05)


def test_the_journal_holds_the_recording_and_its_segments() -> None:
    minute, hour = (cost(COMPACT, seconds, channels=2).disk for seconds in (60, 3600))
    assert hour == pytest.approx(60 * minute, rel=0.1)
    assert minute > 4 * 2 * 60 * RATE * 3


def test_where_the_machine_does_not_tell_memory_is_unknown() -> None:
    assert cost(COMPACT, 10, pace=Pace(Line(0.0, 1.0), 0.0)).memory is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about a second"),
        (7.4, "about 7 seconds"),
        (18, "about 20 seconds"),
        (58, "about a minute"),
        (170, "about 3 minutes"),
        (1700, "about 30 minutes"),
        (3600, "about an hour"),
        (9000, "about 2 hours"),
        (360_000, "about 100 hours"),
    ],
)
def test_times_are_told_as_one_says_them(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("overrides", "seconds"),
    [
        ({}, 2.0),
        ({"segment_length": 2**15}, 3.0),
        ({"segment_length": 2**15, "overlap": 0.3}, 3.0),
    ],
)
def test_evaluations_and_segments_are_those_of_the_run(
    bundled: Restorer, overrides: dict[str, Any], seconds: float
) -> None:
    assert_counts_are_right(bundled, seconds, {"steps": 2, **overrides})


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"preset": "paper"},
        {"mode": "time-invariant", "blind_segments": 2},
        *(
            pytest.param({"mode": "time-invariant", **more}, marks=pytest.mark.slow)
            for more in ({}, {"blind_segments": 9}, {"blind_segments": 9, "preset": "paper"})
        ),
    ],
)
def test_those_of_a_guided_run_too(guided: Restorer, overrides: dict[str, Any]) -> None:
    quick = {"solver": "guided", "steps": 2, "filter_iterations": 2, "sigma_min": 0.1}
    assert_counts_are_right(guided, 3.3, quick | overrides)


@pytest.mark.parametrize("overrides", [{}, {"preset": "paper"}])
def test_and_those_of_a_run_with_a_given_response(guided: Restorer, overrides: dict[str, Any]) -> None:
    quick = {"solver": "guided", "steps": 2, "sigma_min": 0.1}
    assert_counts_are_right(guided, 3.3, quick | overrides, FLAT)


def assert_counts_are_right(
    restorer: Restorer, seconds: float, overrides: dict[str, Any], response: Curve | None = None
) -> None:
    recording = audio.read(EXAMPLE, duration=seconds)
    restoration = restorer.restore(recording.audio, recording.sample_rate, response=response, **overrides)
    method = restorer.method(**overrides, response_known=response is not None)
    needed = estimate(PACE, method, restorer.model, seconds=seconds, channels=1, sample_rate=RATE)
    assert needed.evaluations == restoration.report["evaluations"]
    assert needed.segments == len(restoration.report["segments"])


@pytest.mark.parametrize("solver", ["bandwise", "closed-form", "guided"])
def test_calibration_measures_every_part(bundled: Restorer, solver: str) -> None:
    method = bundled.method(solver=solver, segment_length=2**16)
    ticks = iter(range(1000))
    pace = calibrate(bundled, method, clock=lambda: float(next(ticks)))  # all that is timed takes one tick
    # As an evaluation of a quarter took a whole second, more were not tried.
    fit = 2 / 3 * 100 / 5 if solver == "guided" else 0.0
    quarter = {"bandwise": 18_432, "closed-form": 16_384, "guided": 16_384}[solver]
    assert pace.evaluation.at(quarter) == pytest.approx(1 + fit)
    assert pace.around == pytest.approx(1 / 88_200)
    assert sys.platform != "linux" or (pace.memory is not None and 1e8 < pace.memory.at(1) < 1e10)


@pytest.mark.slow
def test_an_estimate_comes_true_within_two_fifths(bundled: Restorer) -> None:
    method, clock = bundled.method(), time.process_time
    # The time of this process, as others may keep the machine busy; on several threads it counts them all.
    began = clock()
    pace = calibrate(bundled, method, clock)
    assert clock() - began < 1.5 * torch.get_num_threads()
    example = audio.read(EXAMPLE).audio
    for seconds in (5, 20, 60):
        recording = np.tile(example, (1, 10))[:, : seconds * RATE]
        needed = estimate(pace, method, bundled.model, seconds=seconds, channels=1, sample_rate=RATE)
        began = clock()
        bundled.restore(recording, RATE)
        assert needed.seconds == pytest.approx(clock() - began, rel=0.4)
