"""Steps of a chain: sound in, sound out, a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import CHECKPOINT
from music import music

from babe2 import Restorer
from babe2.recordings.recorded import Audio
from babe2.stages import STAGES, Report, restore


def test_restoring_is_a_stage() -> None:
    restorer, recording = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), music(1.0, 11025)
    expected = restorer.restore(recording, 11025, method="ltas-eq")
    for checkpoint in (CHECKPOINT, restorer):
        audio, report = restore(recording, 11025, checkpoint=checkpoint, method="ltas-eq")
        np.testing.assert_array_equal(audio, expected.audio)
        assert report["method"] == "ltas-eq" and report["sha256"] == restorer.sha256


def test_a_stage_of_ones_own_is_one_function_and_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def invert(audio: Any, sample_rate: int, **settings: Any) -> tuple[Audio, Report]:
        return -np.atleast_2d(audio), {"inverted": True}

    monkeypatch.setitem(STAGES, "invert", invert)
    recording, told = music(0.5), []
    sound: Any = recording
    for name, settings in [
        ("invert", {}),
        ("restore", {"checkpoint": CHECKPOINT, "method": "ltas-eq"}),
        ("invert", {}),
    ]:
        sound, report = STAGES[name](sound, 8000, **settings)
        told.append(report)
    assert sound.shape == recording.shape and told[0] == told[2] == {"inverted": True}
