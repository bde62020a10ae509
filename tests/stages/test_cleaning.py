"""What all stages that clean have in common: any sound goes, and the same samples come out however they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import RATE, hiss, piano, seconds
from test_align import disc
from test_declick import clicked
from test_dehum import hum
from torch import Tensor

from babe2 import Cancelled
from babe2.dsp.tape import MemoryTape
from babe2.stages import STAGES, Bench, Stage, make
from babe2.stages.align import Align
from babe2.stages.base import STRETCH
from babe2.stages.declick import Declick
from babe2.stages.dehum import Dehum
from babe2.stages.pieces import PIECE
from babe2.stages.rumble import Rumble
from babe2.stages.speed import Speed

LENGTH = 18  # seconds: more than two pieces
CLEANING: list[Stage] = [Declick(), Dehum(), Rumble(corner_hz=30), Align(), Align(fold=True), Speed(factor="1.01")]
named = pytest.mark.parametrize("stage", CLEANING, ids=lambda stage: f"{stage.name} {stage.as_dict()}")


def worn() -> Tensor:
    """A mono disc played in stereo, with clicks, hum and an offset: (2, T)."""
    music = clicked(piano(LENGTH), clicks=1.0) + hum(seconds(LENGTH), 50) + 0.01
    return disc(music, 2.3)


WORN = worn()


@pytest.mark.parametrize(
    "stage",
    [
        CLEANING[0],
        CLEANING[2],
        *(pytest.param(CLEANING[number], marks=pytest.mark.slow) for number in (1, 4, 5)),
    ],
    ids=lambda stage: stage.name,
)
def test_the_same_samples_and_counts_come_from_wherever_the_work_begins(stage: Stage, tmp_path: Path) -> None:
    tape, heard = MemoryTape(WORN), list[float]()
    whole = make(stage, tape, RATE, Bench())
    made, samples = whole.tape.read(0, whole.tape.samples), whole.tape.samples
    assert not torch.equal(made[:, :1000], WORN[:, :1000]) or stage.name == "declick"
    stopped = Bench(tmp_path / "journal", on_share=heard.append, cancelled=lambda: len(heard) == 1)
    if samples * len(made) > STRETCH:
        with pytest.raises(Cancelled):
            make(stage, tape, RATE, stopped)
        resumed = make(stage, tape, RATE, Bench(tmp_path / "journal", unfinished="resume"))
        assert torch.equal(resumed.tape.read(0, samples), made)
        assert [resumed.report[part] for part in ("counts", "found")] == [
            whole.report[part] for part in ("counts", "found")
        ]
        resumed.storage.discard()
    other, cut = stage.begin(tape, RATE, Bench()), PIECE - 12_345
    assert samples > 2 * PIECE
    parts = [other.read(place, min(place + cut, samples)) for place in range(2 * cut, samples, cut)]
    assert torch.equal(torch.cat(parts, dim=1), made[:, 2 * cut :])


ODD = {
    "one sample": (torch.full((1, 1), 0.5), 8000),
    "short": (hiss(300).float(), 44100),
    "silence": (torch.zeros(2, 9000), 8000),
    "5.1": (hiss(9000, 0.1, 6).float(), 48000),
    "96 kHz": (piano(0.5, 96000).float(), 96000),
    "1 kHz": (hiss(7000, 0.1).float(), 1000),
    "eight bits": ((piano(1) * 128).round().float() / 128, 8000),
    "constant": (torch.full((2, 9000), 0.25), 8000),
}


@named
@pytest.mark.parametrize("name", ODD)
def test_any_sound_goes(stage: Stage, name: str) -> None:
    sound, rate = ODD[name]
    made, report = STAGES[stage.name].apply_to(sound, rate, **stage.as_dict())
    assert np.isfinite(made).all() and report["warnings"] == []
    assert made.shape[1] == (sound.shape[1] if stage.name != "speed" else max(1, round(sound.shape[1] / 1.01)))
    if name == "silence":
        assert not made.any()
