"""The walls of a mono disc are brought into line; stereo is left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sounds import RATE, hiss, level_db, piano
from torch import Tensor

from babe2.dsp.resampling import at_places
from babe2.dsp.tape import MemoryTape
from babe2.stages import align


def later(x: Tensor, samples: float | Tensor) -> Tensor:
    return at_places(MemoryTape(x.float()), torch.arange(x.shape[1], dtype=torch.float64) - samples)


def disc(music: Tensor, delay: float | Tensor, gain: float = 1.0, noise: float = 1e-4, worse: float = 1.0) -> Tensor:
    """(2, T), the second wall later, louder and noisier."""
    walls = torch.cat([music, gain * later(music, delay)])
    return (walls + hiss(music.shape[1], noise, 2, seed=3) * torch.tensor([[1.0], [worse]])).float()


@pytest.mark.parametrize(("delay", "noise"), [(3.4, 1e-4), (-0.37, 1e-4), (3.4, 1e-2)])
def test_a_delay_is_found_to_a_twentieth_of_a_sample(delay: float, noise: float) -> None:
    recording = disc(piano(6), delay, noise=noise)
    aligned, report = align(recording, RATE)
    assert report["found"]["delay_samples"] == pytest.approx(delay, abs=0.05)
    np.testing.assert_array_equal(aligned[0], recording[0])
    left = math.sqrt(2) * hiss(recording.shape[1], max(noise, 2e-3))
    assert level_db(torch.from_numpy(aligned[0] - aligned[1]), left) < 0.5


def test_balance_and_polarity_are_mended() -> None:
    recording = disc(piano(6), 1.5, gain=-0.7)
    aligned, report = align(recording, RATE)
    assert report["found"]["turned_over"] and report["found"]["balance_db"] == pytest.approx(-3.1, abs=0.05)
    assert level_db(torch.from_numpy(aligned[0] - aligned[1]), recording[0]) < -25


def test_a_drifting_delay_is_followed() -> None:
    music = piano(12)
    recording = disc(music, 3 + torch.arange(music.shape[1]) / music.shape[1])
    aligned, report = align(recording, RATE)
    low, high = report["found"]["delay_samples"]
    assert low < 3.2 and high > 3.8
    assert level_db(torch.from_numpy(aligned[0] - aligned[1]), recording[0]) < -25


def test_folded_the_cleaner_wall_counts_for_more() -> None:
    music = piano(6)
    even, report = align(disc(music, 0, noise=3e-3), RATE, fold=True)
    assert (
        even.shape == (1, music.shape[1]) and level_db(torch.from_numpy(even) - music, hiss(music.shape[1], 3e-3)) < -2
    )
    uneven, report = align(disc(music, 0, noise=3e-3, worse=5), RATE, fold=True)
    assert float(np.median(report["found"]["first_wall"])) > 0.7
    assert level_db(torch.from_numpy(uneven) - music, hiss(music.shape[1], 3e-3)) < 2  # the plain sum: 8


def test_stereo_is_left_alone() -> None:
    left, right = piano(6), piano(6, hertz=(147.0, 220.0, 392.0)).roll(1500, 1)
    for panned in (0.0, 0.4):
        recording = torch.cat([left + panned * right, panned * left + right]).float()
        aligned, report = align(recording, RATE)
        assert report["found"]["mono_disc"] is False
        np.testing.assert_array_equal(aligned, recording)


@pytest.mark.parametrize("channels", [1, 6])
def test_other_than_two_channels_are_left_alone(channels: int) -> None:
    recording = piano(1).expand(channels, -1).float()
    np.testing.assert_array_equal(align(recording, RATE, fold=True)[0], recording)
