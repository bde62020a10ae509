"""The variants of the paper's Table 1, which are settings here (docs/methods.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import CHECKPOINT
from music import music

from babe2 import Restoration, Restorer
from babe2.config import PIANO
from babe2.methods import BABE2, choose

VARIANTS: dict[str, dict[str, Any]] = {
    "BABE-2": {"ltas": "off"},
    "BABE-2 w/o noise reg.": {"ltas": "off", "observation_noise": 0},
    "BABE-2 w/ LTAS-EQ init.": {"ltas": "init"},
    "BABE-2 w/ LTAS-EQ obj.": {"ltas": "objective"},
}
QUICK = {"steps": 2, "filter_iterations": 2, "sigma_min": 0.1}


@pytest.fixture(scope="module")
def restored() -> dict[str, Restoration]:
    restorer, recording = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), music(1.0)
    return {name: restorer.restore(recording, 8000, preset="paper", **QUICK, **own) for name, own in VARIANTS.items()}


def test_every_variant_runs_and_sounds_otherwise(restored: dict[str, Restoration]) -> None:
    sounds = [restoration.audio for restoration in restored.values()]
    assert all(np.isfinite(sound).all() for sound in sounds)
    assert len({sound.tobytes() for sound in sounds}) == len(VARIANTS)


def test_a_variant_uses_ltas_eq_as_its_name_says(restored: dict[str, Restoration]) -> None:
    equalised = [name for name, restoration in restored.items() if restoration.ltas_response is not None]
    assert equalised == ["BABE-2 w/ LTAS-EQ init.", "BABE-2 w/ LTAS-EQ obj."]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_its_settings_in_both_ways_to_follow_by_a_pull(variant: str) -> None:
    for name, preset in ((BABE2, "paper"), ("guided", "standard")):
        own = choose(name, preset, PIANO, VARIANTS[variant]).settings.as_dict()
        assert own["ltas"] == VARIANTS[variant]["ltas"]
        assert own["observation_noise"] == VARIANTS[variant].get("observation_noise", 0.25)


def test_what_is_shipped_is_the_variant_with_ltas_eq_as_objective() -> None:
    assert choose(BABE2, "paper", PIANO, {}) == choose(BABE2, "paper", PIANO, VARIANTS["BABE-2 w/ LTAS-EQ obj."])
