"""Hum is found and followed; the notes of a bass are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sounds import hiss, level_db, piano, seconds
from torch import Tensor

from babe2.stages import dehum

RATE = 4000


def hum(time: Tensor, hertz: float, drift: float = 0.0) -> Tensor:
    """Lines at the multiples of a frequency that drifts by such a share up and down: (1, T)."""
    course = hertz * (1 + drift * torch.sin(2 * math.pi * time / 16))
    turns = 2 * math.pi * torch.cumsum(course, 0) * (time[1] - time[0])
    return sum(0.02 * 10 ** (-8 * (k - 1) / 20) * torch.sin(k * turns + k) for k in range(1, 5))[None]


@pytest.mark.parametrize(("mains", "drift"), [(50, 0.0), (60.2, 0.0), (50, 0.005)])
def test_hum_is_removed_by_more_than_20_db_as_its_speed_drifts(mains: float, drift: float) -> None:
    time = seconds(16, RATE)
    music, noise = piano(16, RATE, (131.0, 262.0)), hum(time, mains, drift)
    cleaned, report = dehum((music + noise).float(), RATE)
    assert level_db(torch.from_numpy(cleaned) - music, noise) < -20
    assert report["found"]["mains_hz"] == round(mains, -1) and {1, 2} <= set(report["found"]["partials"])
    low, high = report["found"]["hertz"]
    assert (low, high) == (
        pytest.approx(mains * (1 - drift), abs=0.06),
        pytest.approx(mains * (1 + drift), abs=0.06),
    )


@pytest.mark.parametrize("hertz", [49.0, 98.0, 61.74])
@pytest.mark.parametrize("held", [True, False])
def test_notes_of_a_bass_are_no_hum(hertz: float, held: bool) -> None:
    """G1, G2 and B1 lie beside the mains and their multiples; some are held, and end."""
    time = seconds(12, RATE)
    if held:
        tone = sum(torch.sin(2 * math.pi * hertz * k * time) / k for k in range(1, 6)) * 0.1 * (time % 4 < 3.5)
        recording = (tone[None] + hiss(len(time))).float()
    else:
        recording = piano(12, RATE, (hertz,)).float()
    cleaned, report = dehum(recording, RATE)
    assert report["found"]["mains_hz"] is None
    np.testing.assert_array_equal(cleaned, recording)


def test_a_note_at_the_mains_own_pitch_that_ends_is_no_hum() -> None:
    time = seconds(12, RATE)
    recording = (0.1 * torch.sin(2 * math.pi * 50 * time) * (time < 9) + hiss(len(time))).float()
    cleaned, report = dehum(recording, RATE)
    assert report["found"]["mains_hz"] is None
    np.testing.assert_array_equal(cleaned, recording)


def test_each_channel_has_its_own_hum() -> None:
    time = seconds(12, RATE)
    music = piano(12, RATE).expand(2, -1) + hiss(len(time), channels=2)
    noise = torch.cat([hum(time, 50), 0 * time[None]])
    cleaned, _ = dehum((music + noise).float(), RATE)
    assert level_db(torch.from_numpy(cleaned)[0] - music[0], noise[0]) < -20
    np.testing.assert_array_equal(cleaned[1], (music + noise).float()[1])


def test_short_sound_is_left_alone() -> None:
    recording = hum(seconds(3, RATE), 50).float()
    np.testing.assert_array_equal(dehum(recording, RATE)[0], recording)
