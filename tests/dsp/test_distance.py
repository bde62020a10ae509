"""Log-spectral distances that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from babe2.dsp.distance import at_level, band_power, distance_of_blocks, log_spectral_distance

RATE, LEVEL = 22_050, 0.08


def noise(seconds: float = 2.0, level: float = LEVEL, seed: int = 0) -> Tensor:
    return level * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def low_passed(x: Tensor, hertz: float) -> Tensor:
    """x without anything above a frequency."""
    kept = torch.fft.rfftfreq(len(x), 1 / RATE) <= hertz
    return torch.fft.irfft(torch.fft.rfft(x) * kept, len(x))


def test_a_sound_is_brought_to_a_level_and_silence_stays() -> None:
    assert float(at_level(noise(), 0.3).square().mean().sqrt()) == pytest.approx(0.3)
    assert torch.equal(at_level(torch.zeros(9), 0.3), torch.zeros(9))


def test_the_power_of_a_band_is_that_of_its_bins_in_every_frame() -> None:
    assert band_power(noise(1.0), RATE, (1000.0, 2000.0), fft=2205, hop=1000).shape == (101, 20)  # 10 Hz to a bin


def test_the_truth_is_at_no_distance_from_itself() -> None:
    assert log_spectral_distance(noise(), noise(), RATE, (100.0, 3000.0)) == 0


@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_a_gain_is_as_far_away_as_it_is_large(gain_db: float) -> None:
    truth = noise()  # 44 dB above what counts as silence
    distance = log_spectral_distance(truth * 10 ** (gain_db / 20), truth, RATE, (100.0, 3000.0))
    assert distance == pytest.approx(abs(gain_db), abs=0.02)


def test_a_distance_is_that_of_its_band_alone() -> None:
    truth = noise()
    low = low_passed(truth, 4000.0)
    assert log_spectral_distance(low, truth, RATE, (100.0, 3000.0)) < 0.1
    # The upper band is there at 0.08^2 times the window's 768, on average 53.9 dB over silence; the mean of the
    # logarithm of such noise lies 2.5 dB lower, its scatter is 5.6 dB.
    level = 10 * math.log10(LEVEL**2 * 768 / 2e-5)
    expected = math.hypot(level - 2.51, 5.57)
    assert log_spectral_distance(low, truth, RATE, (5000.0, 11025.0)) == pytest.approx(expected, abs=0.5)


def test_what_is_too_faint_to_be_heard_counts_for_nothing() -> None:
    assert log_spectral_distance(noise(level=1e-7), noise(level=1e-7, seed=1), RATE, (100.0, 3000.0)) < 0.01


def test_sounds_in_blocks_are_as_far_apart_as_they_are_at_once() -> None:
    x, truth, band = noise()[None], noise(1.5, seed=1)[None], (100.0, 11025.0)
    whole = log_spectral_distance(x[:, : truth.shape[1]], truth, RATE, band)
    assert distance_of_blocks(x.split(700, dim=1), truth.split(5000, dim=1), RATE, band) == pytest.approx(
        whole, rel=1e-5
    )
    assert distance_of_blocks([x[:, :2047]], [truth], RATE, band) is None  # shorter than a frame
