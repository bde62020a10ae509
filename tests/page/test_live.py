"""A run under way: what is seen and heard of it, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from babe2.audio import Recording
from babe2.page.underway.job import Moment
from babe2.page.underway.live import PAUSE, SHARE, Live
from babe2.recordings.chunks import Tags

RATE = 8000  # Hz


class Clock:
    """A clock that goes on when it is told to, and by `step` whenever it is looked at."""

    def __init__(self) -> None:
        self.now, self.step = 100.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def live(folder: Path, clock: Clock, seconds: float = 4.0, channels: int = 1) -> Live:
    noise = np.random.default_rng(0).standard_normal((channels, round(seconds * RATE))).astype(np.float32) * 0.1
    sound = Recording(noise, RATE, "PCM_16", Tags({}, (), RATE), ())
    return Live(sound, None, RATE, 30.0, folder, clock)


def moment(value: float, start: float, channels: int = 1) -> Moment:
    return Moment(1, 2, 1, 5, sound=np.full((channels, 2 * RATE), value, np.float32), start=start)


def restored(update: dict[str, Any]) -> tuple[str, np.ndarray]:
    (track,) = [track for track in update["desk"]["tracks"] if track["key"] == "restored"]
    return track["title"], sf.read(track["file"]["path"])[0]


def test_segments_lie_where_they_belong_and_the_rest_is_silent(tmp_path: Path) -> None:
    shown = live(tmp_path, Clock())
    shown.shown(moment(0.25, 0.0))
    update = shown.shown(moment(0.5, 1.5))
    title, sound = restored(update)
    assert title == "Restored so far" and len(sound) == 4 * RATE
    np.testing.assert_allclose(sound[[100, RATE, 2 * RATE, 3 * RATE]], [0.25, 0.25, 0.5, 0.5], atol=1e-3)
    assert not sound[round(3.6 * RATE) :].any()
    assert update["desk"]["start"] == 30.0 and Path(update["live_picture"]).exists()
    assert [track["key"] for track in update["desk"]["tracks"]] == ["recording", "restored"]  # nothing was added yet


def test_the_desk_turns_to_it_once(tmp_path: Path) -> None:
    shown = live(tmp_path, Clock())
    assert [shown.shown(moment(0.1, 0.0))["desk"]["select"] for _ in range(2)] == ["restored", None]


def test_one_channel_is_laid_beside_the_mean(tmp_path: Path) -> None:
    update = live(tmp_path, Clock(), channels=2).shown(moment(0.25, 0.0, channels=1))
    assert restored(update)[1].ndim == 1


def test_pictures_take_a_small_share_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    shown = live(tmp_path, clock)
    assert not shown.is_due(moment(0.1, 0.0)) and not shown.is_due(Moment())
    clock.now += PAUSE
    assert shown.is_due(moment(0.1, 0.0)) and not shown.is_due(Moment())
    clock.step = 1.0  # between its beginning and its end, on a slow machine
    shown.shown(moment(0.1, 0.0))
    clock.step = 0.0
    clock.now += 0.9 / SHARE
    assert not shown.is_due(moment(0.1, 0.0))
    clock.now += 0.2 / SHARE
    assert shown.is_due(moment(0.1, 0.0))
