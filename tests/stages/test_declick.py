"""Clicks are found and filled; a piano's onsets and a voice's pulses are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sounds import RATE, level_db, piano, voice
from torch import Tensor

from babe2.degradations.surface import Surface, surface_noise
from babe2.dsp.prediction import interpolated, predictors
from babe2.dsp.tape import MemoryTape
from babe2.evaluation.measures import si_sdr
from babe2.stages import declick
from babe2.stages.declick import GRID


def clicked(music: Tensor, rate: int = RATE, clicks: float = 4.0, click_db: float = 12.0) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    surface = Surface(noise_db=None, clicks=clicks, click_db=click_db)
    return (music + surface_noise(music, rate, surface, generator)).float()


@pytest.mark.parametrize(("music", "gain_db"), [(piano(2, 22050), 40), (voice(2, 22050), 4)], ids=["piano", "voice"])
def test_clicks_are_found_and_filled(music: Tensor, gain_db: float) -> None:
    """Of a voice whose pulses are as sharp, only those that are louder than all others."""
    recording = clicked(music, 22050, click_db=20)
    mended, report = declick(recording, 22050)
    assert si_sdr(torch.from_numpy(mended), music) > si_sdr(recording, music) + gain_db
    assert 1 <= report["counts"]["clicks"] <= 16 and report["removed_db"] < 0


@pytest.mark.parametrize("music", [piano(3), voice(3), piano(2, 44100)], ids=["piano", "voice", "at 44.1 kHz"])
def test_clean_music_is_left_alone(music: Tensor) -> None:
    rate = 44100 if music.shape[1] == 88200 else RATE
    mended, report = declick(music.float(), rate)
    np.testing.assert_array_equal(mended, music.float())
    assert (
        report["counts"] == {"clicks": 0, "samples": music.numel(), "samples_changed": 0}
        and report["removed_db"] is None
    )


def test_more_strength_takes_more() -> None:
    recording = clicked(piano(2), click_db=-10)
    changed = [declick(recording, RATE, strength=strength)[1]["counts"]["samples_changed"] for strength in (0, 0.5, 1)]
    assert changed == sorted(changed) and changed[0] < changed[2]


def test_of_24_bits_what_was_removed_is_exact_in_float32() -> None:
    recording = (clicked(piano(2)) * GRID / 4).round() / GRID
    mended = torch.from_numpy(declick(recording, RATE)[0])
    removed = recording - mended
    assert torch.equal(mended * GRID, (mended * GRID).round())
    assert torch.equal(removed.double(), recording.double() - mended.double())
    assert torch.equal(mended + removed, recording)
    assert 0 < int((removed != 0).sum()) < recording.numel() / 20


def test_of_floats_what_was_removed_is_exact_in_float64() -> None:
    recording = clicked(piano(2))
    mended = torch.from_numpy(declick(recording, RATE)[0]).double()
    assert torch.equal(mended + (recording.double() - mended), recording.double())


def test_short_dropouts_are_filled_and_longer_ones_listed() -> None:
    music = piano(3, 16000).float()
    recording = music.clone()
    recording[:, 12_000:12_048] = 0  # 3 ms
    recording[:, 28_000:28_640] = 0  # 40 ms
    mended, report = declick(recording, 16000)
    assert report["found"]["dropouts"] == 2
    ((start, stop),) = report["found"]["left_seconds"]
    assert (start, stop) == (pytest.approx(1.75, abs=1e-3), pytest.approx(1.79, abs=1e-3))
    np.testing.assert_array_equal(mended[:, 27_000:30_000], recording[:, 27_000:30_000])
    short = slice(11_900, 12_150)
    assert level_db(torch.from_numpy(mended)[:, short] - music[:, short], music[:, short]) < -10


def test_a_burst_is_left_and_listed_and_an_onset_is_neither() -> None:
    recording = piano(3, 22050).float().repeat(2, 1)
    generator = torch.Generator().manual_seed(0)
    burst = 3 * recording.std() * torch.randn(265, generator=generator)  # 12 ms
    recording[1, 30_000:30_265] += burst
    mended, report = declick(recording, 22050)
    ((start, stop),) = report["found"]["bursts_seconds"]
    assert (start, stop) == (pytest.approx(1.3605, abs=4e-3), pytest.approx(1.3725, abs=4e-3))
    np.testing.assert_array_equal(mended[:, 30_040:30_225], recording[:, 30_040:30_225])
    dying_away = torch.exp(-torch.arange(recording.shape[1] - 30_265) / 2000)
    recording[1, 30_265:] += 3 * recording.std() * dying_away * torch.randn(len(dying_away), generator=generator)
    assert declick(recording, 22050)[1]["found"]["bursts_seconds"] == []


def test_missing_samples_of_a_predictable_sound_are_what_they_were() -> None:
    time = torch.arange(1000, dtype=torch.float64)
    sound = torch.stack([torch.sin(0.1 * time) + torch.cos(0.31 * time), torch.sin(0.05 * time)])
    missing = torch.zeros_like(sound, dtype=torch.bool)
    missing[:, 480:500] = True
    filters = predictors(sound, 16)
    found = interpolated(sound.masked_fill(missing, 9.0), missing, filters)
    assert torch.equal(found[~missing], sound[~missing])
    assert float((found - sound).abs().max()) < 2e-3


def test_a_prediction_error_filter_flattens_what_made_it() -> None:
    """Noise through 1 / (1 - 0.9 z^-1) is told by its last sample to nine tenths."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 2**15, generator=generator, dtype=torch.float64)
    response = 1 / torch.fft.rfft(torch.tensor([1.0, -0.9], dtype=torch.float64), 2**15)
    sound = torch.fft.irfft(torch.fft.rfft(noise) * response)
    assert predictors(sound, 2)[0].tolist() == pytest.approx([1, -0.9, 0], abs=0.03)
    assert math.isfinite(float(predictors(torch.zeros(1, 64), 8).sum()))


def test_silence_stays() -> None:
    silence = MemoryTape(torch.zeros(2, 100))
    assert not declick(silence.read(0, 100), RATE)[0].any()
