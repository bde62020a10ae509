"""The prior that comes along does its work: on the example, against the truth that it never saw."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from babe2 import Restoration, Restorer, audio
from babe2.checkpoints.manifest import collection
from babe2.dsp.distance import log_spectral_distance
from babe2.evaluation.measures import SCORING_RATE, band_passed, envelope_correlation, matched

pytestmark = pytest.mark.thorough

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 3.0


def excerpt(name: str) -> Tensor:
    recording = audio.read(EXAMPLES / name, start=2.0, duration=SECONDS)
    assert recording.sample_rate == SCORING_RATE
    return torch.as_tensor(recording.audio)[0]


@pytest.fixture(scope="module")
def truth() -> Tensor:
    return excerpt("variation.flac")


@pytest.fixture(scope="module")
def old() -> Tensor:
    return excerpt("old_variation.flac")


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint("piano-small", device="cpu")


@pytest.fixture(scope="module")
def restored(restorer: Restorer, old: Tensor) -> Restoration:
    return restorer.restore(old, SCORING_RATE)


@pytest.mark.parametrize("name", ["piano-small", "voice-small"])
def test_it_is_small_enough_to_come_along(name: str) -> None:
    folder = collection()[name].bundled()
    assert folder is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}


def test_what_was_recorded_comes_nearer_to_the_truth(restored: Restoration, old: Tensor, truth: Tensor) -> None:
    before, after = (
        log_spectral_distance(matched(x, truth), truth, SCORING_RATE, (100.0, 3000.0))
        for x in (old, torch.from_numpy(restored.audio[0]))
    )
    assert after < before - 0.3


def test_what_was_lost_follows_the_music(restored: Restoration, old: Tensor, truth: Tensor) -> None:
    band = (4500.0, 7000.0)
    before, after = (
        envelope_correlation(x, truth, SCORING_RATE, band) for x in (old, torch.from_numpy(restored.audio[0]))
    )
    assert after > before + 0.25  # measured 0.07 and, by the seed, 0.4 to 0.56


def test_good_sound_comes_back_nearly_as_it_was(restorer: Restorer, truth: Tensor) -> None:
    kept = restorer.restore(truth, SCORING_RATE, preset="draft")
    frequencies = torch.arange(120.0, 6000.0, 20.0)
    assert float(kept.response.gain_db(frequencies).abs().max()) < 2
    sounds = truth, torch.from_numpy(kept.audio[0])
    same, sound = (band_passed(x, SCORING_RATE, (120.0, 5000.0)) for x in sounds)
    assert float((matched(sound, same) - same).std() / same.std()) < 0.1


def test_what_is_restored_is_within_6_db_of_the_level_recorded(restored: Restoration, old: Tensor) -> None:
    sound = torch.from_numpy(restored.audio[0])
    assert sound.isfinite().all() and sound.shape == old.shape
    assert 0.5 < float(sound.std() / old.std()) < 2
