"""Drop-outs are filled by a prior; what is there stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from music import music

from babe2.dsp.resampling import resample
from babe2.evaluation.measures import si_sdr
from babe2.stages import fill

EXAMPLE = Path(__file__).parents[2] / "examples" / "variation.flac"


def test_where_nothing_dropped_out_nothing_is_touched() -> None:
    recording = music(1.0, 22050)
    audio, report = fill(recording, 22050)
    np.testing.assert_array_equal(audio, recording)
    assert report["removed_db"] is None and report["counts"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("rate", [22050, 8000])
def test_dropouts_are_filled_and_all_else_stays_to_the_bit(rate: int) -> None:
    clean, recorded = soundfile.read(EXAMPLE, dtype="float32", always_2d=True)
    clean = resample(torch.from_numpy(clean[: 4 * recorded].T), recorded, rate).numpy()
    lost = clean.copy()
    first, last = round(1.9 * rate), round(1.93 * rate)
    lost[:, first:last] = 0
    audio, report = fill(lost, rate)
    assert report["counts"]["dropouts"] == len(clean)
    assert report["found"]["statement"].endswith("0.03 s in all, the sound had dropped out and is generated.")
    changed = np.flatnonzero((audio != lost).any(axis=0))
    assert first - 0.01 * rate <= changed.min() and changed.max() <= last + 0.01 * rate
    window = slice(first - rate // 10, last + rate // 10)
    truth, left, made = (torch.from_numpy(x[:1, window]) for x in (clean, lost, audio))
    assert si_sdr(made, truth) > si_sdr(left, truth) + 5
