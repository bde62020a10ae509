"""The priors published before BABE-2's, restoring: CQTdiff by every way of following, and one without a spectrum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from classroom import tune

from babe2 import RestorationError, Restorer
from babe2.checkpoints import Checkpoint, save
from babe2.checkpoints.loading import load, with_spectrum_of
from babe2.config import MatrixArchitecture, Model
from babe2.networks.models import build_network

RATE = 8000
MODEL = Model(MatrixArchitecture((8, 8, 16), 3, 3, 8, 16), RATE, 16384, 0.057)
QUICK = {"steps": 2, "sigma_min": 0.01}
FITTED = {**QUICK, "filter_iterations": 2, "filter_fft": 1024, "ltas": "off"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CQTdiff that has learned nothing, in our own format."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        weights = build_network(MODEL).state_dict()
    found = tmp_path_factory.mktemp("older") / "cqtdiff"
    save(Checkpoint(MODEL, weights, None, "cqtdiff", ""), found)
    return found


@pytest.fixture(scope="module")
def restorer(folder: Path) -> Restorer:
    return Restorer.from_checkpoint(folder, device="cpu", save_memory=True)


RECORDING = tune(1.5).astype(np.float32)


@pytest.mark.parametrize(
    ("wish", "settings"),
    [
        ({"method": "guided"}, FITTED),
        pytest.param({"preset": "paper"}, FITTED, marks=pytest.mark.slow),
        ({"method": "closed-form"}, {"steps": 2}),
        pytest.param({"method": "closed-form", "preset": "draft"}, {}, marks=pytest.mark.slow),
    ],
)
def test_every_way_of_following_takes_it(restorer: Restorer, wish: dict[str, str], settings: dict[str, object]) -> None:
    given = {"reference": restorer.reference_of(tune(6.0, seed=1), RATE)} if wish.get("method") == "closed-form" else {}
    restored = restorer.restore(RECORDING, RATE, **wish, **given, **settings)  # type: ignore[arg-type]
    assert restored.audio.shape == (1, len(RECORDING)) and np.isfinite(restored.audio).all() and restored.audio.any()


def test_what_needs_an_average_spectrum_says_how_to_give_one(restorer: Restorer) -> None:
    with pytest.raises(RestorationError, match=r"Name a good recording of such music as its reference, or run it with"):
        restorer.restore(RECORDING, RATE, method="closed-form", steps=2)
    with pytest.raises(RestorationError, match=r"holds no average spectrum to match\. Run it with ltas = off"):
        restorer.restore(RECORDING, RATE, method="guided")


def test_another_ones_average_spectrum_is_told_of_unless_a_reference_is_given(folder: Path) -> None:
    lent = with_spectrum_of(load("piano-small"), load(folder))
    restorer = Restorer(lent.network(), lent.model, lent.ltas, ltas_of=lent.ltas_of)
    alone = restorer.restore(RECORDING, RATE, method="closed-form", steps=2)
    assert any("that of piano-small stands in for it" in warning for warning in alone.report["warnings"])
    known = restorer.reference_of(tune(6.0, seed=1), RATE)
    told = restorer.restore(RECORDING, RATE, method="closed-form", steps=2, reference=known)
    assert not any("stands in" in warning for warning in told.report["warnings"])


@pytest.mark.parametrize("preset", ["standard", pytest.param("paper", marks=pytest.mark.slow)])
def test_it_makes_music_out_of_nothing(restorer: Restorer, preset: str) -> None:
    made = restorer.sample(2, seconds=0.25, preset=preset, steps=40, segment_length=2000)
    assert made.shape == (2, RATE // 4) and np.isfinite(made).all()
    # To what has learned nothing but how loud music is, all music is white noise as loud.
    assert made.std() == pytest.approx(MODEL.sigma_data, rel=0.2)


def test_an_odd_segment_is_told_the_next_even_one(restorer: Restorer) -> None:
    with pytest.raises(RestorationError, match=r"takes even numbers\. The next length that does is 10000\."):
        restorer.restore(RECORDING, RATE, method="guided", segment_length=9999, **FITTED)
