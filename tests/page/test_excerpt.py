"""A part of a recording, as somebody filled in two fields."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from babe2.audio import Recording
from babe2.errors import RestorationError
from babe2.page.excerpt import COLUMNS, EXCERPT_SECONDS, HIGHEST, Excerpt, checked_seed, outline, with_room
from babe2.restorer import Restorer

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"  # 12 seconds


@pytest.mark.parametrize(
    ("start", "duration", "excerpt"),
    [
        (2.0, 3.0, Excerpt(2.0, 3.0)),
        (None, None, Excerpt(0.0, EXCERPT_SECONDS)),
    ],
)
def test_emptied_fields_mean_their_defaults(start: float | None, duration: float | None, excerpt: Excerpt) -> None:
    assert Excerpt.chosen(start, duration) == excerpt


@pytest.mark.parametrize(
    ("excerpt", "seconds"),
    [(Excerpt(), 12), (Excerpt(2.0), 10), (Excerpt(2.0, 3.0), 3), (Excerpt(11.0, 3.0), 1), (Excerpt(20.0, 3.0), 0)],
)
def test_it_ends_with_its_recording(excerpt: Excerpt, seconds: float) -> None:
    assert excerpt.seconds_of(12.0) == seconds


@pytest.mark.parametrize(("rate", "raised"), [(8_000, 22_050), (44_100, 44_100)])
def test_a_sound_gets_room_for_what_will_be_made_of_it(rate: int, raised: int) -> None:
    noise = np.random.default_rng(0).standard_normal((2, rate)).astype(np.float32)
    sound = with_room(Recording(noise, rate, "PCM_16", {}, ()), Restorer.from_checkpoint("piano-small", device="cpu"))
    assert sound.sample_rate == raised and sound.audio.shape == (2, raised)


def test_its_sound_is_read(tmp_path: Path) -> None:
    assert Excerpt(2.0, 3.0).read(EXAMPLE, longest=3.0).audio.shape == (1, 3 * 22_050)


def test_more_than_is_allowed_is_told_before_it_is_read() -> None:
    with pytest.raises(RestorationError, match=r"0:12 of sound; here at most 0:11.*Choose an excerpt"):
        Excerpt().read(EXAMPLE, longest=11.0)


@pytest.mark.parametrize("value", ["x", "", [], {}, math.nan, math.inf, -math.inf, -1.0, True, "9" * 5000])
def test_what_is_no_time_is_the_askers_mistake(value: Any) -> None:
    for start, duration in ((value, 1.0), (0.0, value)):
        with pytest.raises(RestorationError, match="is a number of seconds, 0 or more") as told:
            Excerpt.chosen(start, duration)
        assert len(str(told.value)) < 200


def test_a_place_after_the_end_or_without_length_is_told_beforehand() -> None:
    with pytest.raises(RestorationError, match=r"begins at 8:20, where this recording of 12 s is over"):
        Excerpt(500.0, 10.0).check(12.0, 60.0)
    with pytest.raises(RestorationError, match="has no length"):
        Excerpt(0.0, 0.0).check(12.0, 60.0)
    Excerpt(11.0, 10.0).check(12.0, 60.0)


@pytest.mark.parametrize(("seed", "meant"), [(None, 0), (7, 7), (7.0, 7)])
def test_an_empty_seed_is_0(seed: Any, meant: int) -> None:
    assert checked_seed(seed) == meant


@pytest.mark.parametrize("seed", ["x", [], -1, 1.5, math.nan, 10**300, True])
def test_what_is_no_seed_is_the_askers_mistake(seed: Any) -> None:
    with pytest.raises(RestorationError, match="A seed is a whole number") as told:
        checked_seed(seed)
    assert len(str(told.value)) < 200


def test_the_outline_of_a_whole_recording_is_its_shape_in_few_whole_numbers(tmp_path: Path) -> None:
    rise, rate = np.linspace(0, 0.5, 200_010), 20_000  # read in several blocks, and with a rest
    sf.write(tmp_path / "rise.wav", np.stack([rise, -rise / 2], axis=1), rate)
    drawn = outline(tmp_path / "rise.wav")
    assert (drawn["name"], drawn["seconds"]) == ("rise.wav", 200_010 / rate)
    assert COLUMNS - 2 <= len(drawn["highs"]) == len(drawn["lows"]) <= COLUMNS
    np.testing.assert_allclose(drawn["highs"], np.linspace(0, HIGHEST, len(drawn["highs"])), atol=1.1)
    np.testing.assert_allclose(drawn["lows"], np.array(drawn["highs"]) / -2, atol=1.1)
    sf.write(tmp_path / "short.wav", np.zeros(5), rate)
    assert outline(tmp_path / "short.wav")["highs"] == [0]
