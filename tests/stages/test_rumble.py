"""What shakes below the music goes; the music stays, in phase and level."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sounds import RATE, level_db, piano, seconds
from torch import Tensor

from babe2.degradations.surface import Surface, surface_noise
from babe2.stages import rumble
from babe2.stages.rumble import high_pass


def tone(hertz: float, length: float = 4.0) -> Tensor:
    return 0.1 * torch.sin(2 * math.pi * hertz * seconds(length))[None]


def test_tones_above_the_corner_stay_and_those_far_below_go() -> None:
    inside = slice(RATE, -RATE)
    for hertz in (41.0, 100.0, 3000.0):
        kept = torch.from_numpy(rumble(tone(hertz).float(), RATE, corner_hz=40)[0])
        assert level_db((kept - tone(hertz))[:, inside], tone(hertz)[:, inside]) < -50
    gone = torch.from_numpy(rumble(tone(15).float(), RATE, corner_hz=40)[0])
    assert level_db(gone[:, inside], tone(15)[:, inside]) < -60


def test_a_constant_offset_goes() -> None:
    kept = torch.from_numpy(rumble((tone(200) + 0.05).float(), RATE)[0])
    assert abs(float(kept[:, RATE:-RATE].mean())) < 1e-6


def test_the_filter_is_the_same_to_both_sides() -> None:
    kernel = high_pass(30, RATE)
    assert torch.equal(kernel, kernel.flip(0)) and float(kernel.sum()) == pytest.approx(0, abs=1e-9)


def test_rumble_is_found_and_music_is_left() -> None:
    music = piano(12)
    generator = torch.Generator().manual_seed(0)
    noise = surface_noise(music, RATE, Surface(noise_db=None, rumble_db=-10), generator)
    cleaned, report = rumble((music + noise).float(), RATE)
    assert 40 < report["found"]["corner_hz"] <= 60
    assert level_db(torch.from_numpy(cleaned) - music, music) < level_db(noise, music) - 6


def test_music_without_rumble_is_left_alone() -> None:
    time = seconds(10)
    music = (piano(10, hertz=(131.0, 262.0)) * 0 + 0.1 * torch.sin(2 * math.pi * 220 * time)).float()
    cleaned, report = rumble(music, RATE)
    assert report["found"]["corner_hz"] is None
    np.testing.assert_array_equal(cleaned, music)
