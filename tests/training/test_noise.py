"""The noise that examples are made with: levels, recordings' profiles, and that they are as strong as they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from classroom import COMPACT, RATE
from conftest import Vectors, deviation

from babe2.config import BandwiseArchitecture
from babe2.networks.folded_cqt import FoldedConstantQ
from babe2.training.noise import NoiseLevels, NoiseProfile, bandwise_example, white_example
from babe2.training.objective import bin_powers
from babe2.training.settings import COMPACT_TRAINING, PIANO_TRAINING, VOICE_TRAINING

SIZE = COMPACT.architecture
assert isinstance(SIZE, BandwiseArchitecture)


@pytest.mark.parametrize("name", ["train_plain", "train_lossmlp"])
def test_levels_are_the_published_ones(name: str, vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors(name)
    found = PIANO_TRAINING.noise.at(recorded["rand"].double().numpy())
    assert deviation(torch.from_numpy(found).float(), recorded["sigma"][..., 0]) < 1e-5


@pytest.mark.parametrize("settings", [PIANO_TRAINING, VOICE_TRAINING, COMPACT_TRAINING])
def test_levels_lie_between_their_ends(settings: object) -> None:
    noise: NoiseLevels = settings.noise  # type: ignore[attr-defined]
    assert noise.at([0.0, 1.0]) == pytest.approx([noise.highest, noise.lowest])
    drawn = noise.draw(np.random.default_rng(0), 2000)
    assert noise.lowest <= drawn.min() and drawn.max() <= noise.highest


def test_a_stratified_batch_goes_through_all_levels() -> None:
    drawn = np.sort(COMPACT_TRAINING.noise.draw(np.random.default_rng(0), 8))
    assert np.diff(np.log(drawn)) == pytest.approx([np.log(2e4) / 8] * 7)


def test_a_profile_is_clear_in_its_band_and_nothing_but_noise_above() -> None:
    profile = NoiseProfile(np.log2(1e-3), 0.0, (), (np.log2(2000), 10.0), (np.log2(100), 4.0))
    found = profile.level(np.log2(np.array([25, 100, 1000, 2000, 2**0.5 * 2000, 8000], np.float32)), 0.5)
    assert found == pytest.approx([0.256, 1e-3, 1e-3, 1e-3, 32e-3, 0.5], rel=1e-4)


def test_profiles_vary_and_stay_under_their_level() -> None:
    octaves = np.linspace(5, 13, 200, dtype=np.float32)
    rng = np.random.default_rng(0)
    levels = np.array([NoiseProfile.draw(rng).level(octaves, 0.3) for _ in range(100)])
    assert levels.max() <= 0.3 * (1 + 1e-5) and levels.min() > 1e-7
    at_1k, at_8k = levels[:, 124], levels[:, -1]
    assert 1e-4 < np.median(at_1k) < 1e-2 and np.mean(at_8k > 0.29) > 0.6


def test_coloured_noise_is_as_strong_in_every_bin_as_it_says() -> None:
    transform = FoldedConstantQ(RATE, 32768, SIZE.octaves, SIZE.bins_per_octave)
    centres, silence, ratios = transform.centres.astype(np.float32), np.zeros(32768, np.float32), []
    for seed in range(50):
        example = bandwise_example(silence, np.random.default_rng(seed), 0.3, 1.0, centres, RATE)
        ratios.append(bin_powers(transform, torch.from_numpy(example.noise)[None]).sqrt().numpy() / example.sigma)
    # Mostly within a decibel; a bin's band is wide enough for steep profiles to differ within it.
    assert np.abs(20 * np.log10(np.median(ratios, axis=0))).max() < 1.0


def test_white_noise_has_its_level() -> None:
    example = white_example(np.zeros(50_000, np.float32), np.random.default_rng(0), 0.2)
    assert example.noise.std() == pytest.approx(0.2, rel=0.02) and example.sigma == pytest.approx([0.2])
