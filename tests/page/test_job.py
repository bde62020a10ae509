"""A run that is followed from outside is the same run, and it ends when nobody follows it."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest

from babe2 import Cancelled, Restoration, RestorationError, Restorer, audio
from babe2.page.underway.job import Moment, follow

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint("piano-small", device="cpu")


@pytest.fixture(scope="module")
def recording() -> audio.Recording:
    return audio.read(EXAMPLE, duration=2.0)


def running() -> bool:
    return any(thread.name == "restoration" for thread in threading.enumerate())


@pytest.mark.thorough
def test_it_tells_every_step_on_the_way_to_the_same_result(restorer: Restorer, recording: audio.Recording) -> None:
    *moments, last = follow(restorer, recording.audio, recording.sample_rate, steps=3, seed=3)
    alone = restorer.restore(recording.audio, recording.sample_rate, steps=3, seed=3)
    assert isinstance(last, Restoration)
    np.testing.assert_array_equal(last.audio, alone.audio)
    told = [moment for moment in moments if isinstance(moment, Moment) and moment.step]
    assert told and told[-1].share == pytest.approx(1)
    assert all(moment.sound is not None and moment.equalizer is not None for moment in told)
    assert [moment.share for moment in told] == sorted(moment.share for moment in told)
    assert Moment().words == "finding out how the recording was made"
    assert re.fullmatch(r"segment 1 of 1, step \d+ of 3, about .* left", told[-1].words)


@pytest.mark.thorough
def test_the_share_counts_the_steps_of_all_segments_also_when_several_go_at_once(
    restorer: Restorer, recording: audio.Recording
) -> None:
    sound = np.tile(recording.audio, 3)
    told: list[Moment] = []
    for moment in follow(restorer, sound, recording.sample_rate, batch=3, steps=2, segment_length=45056):
        if isinstance(moment, Moment) and moment.step and moment.share not in [each.share for each in told]:
            told.append(moment)
    (segments,) = {moment.segments for moment in told}
    assert segments > 3
    first = next(moment.share for moment in told if (moment.segment, moment.step) == (1, 1))
    assert first == pytest.approx(3 / (2 * segments))
    assert [moment.share for moment in told] == sorted(moment.share for moment in told)
    assert told[-1].share == 1 and 0 < told[-1].start < sound.shape[1] / recording.sample_rate


def test_closing_it_ends_the_computation(restorer: Restorer, recording: audio.Recording) -> None:
    moments = follow(restorer, recording.audio, recording.sample_rate, steps=1000)
    next(moments)
    assert running()
    moments.close()  # type: ignore[attr-defined]
    assert not running()


@pytest.mark.thorough
def test_stopping_keeps_the_finished_segments(restorer: Restorer, recording: audio.Recording) -> None:
    stop, part = threading.Event(), None
    sound = np.tile(recording.audio, 2)
    for part in follow(restorer, sound, recording.sample_rate, stopped=stop.is_set, steps=8, segment_length=22528):
        if isinstance(part, Moment) and part.segment >= 2:
            stop.set()
    assert isinstance(part, Restoration) and 0 < part.audio.shape[1] < sound.shape[1]


def test_stopping_before_anything_is_finished_says_so(restorer: Restorer, recording: audio.Recording) -> None:
    with pytest.raises(Cancelled):
        list(follow(restorer, recording.audio, recording.sample_rate, stopped=lambda: True))
    assert not running()


def test_what_goes_wrong_reaches_the_follower(restorer: Restorer) -> None:
    with pytest.raises(RestorationError, match="silent"):
        list(follow(restorer, np.zeros(22050, np.float32), 22050))
