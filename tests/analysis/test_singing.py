"""What is sung is told from what is struck, also through an old machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import song

from babe2 import analyse, audio
from babe2.analysis.singing import followed_notes

RATE = 22_050  # Hz
EXAMPLES = Path(__file__).parents[2] / "examples"


def as_recorded(x: np.ndarray, noise_db: float) -> np.ndarray:
    """A sound up to 3.5 kHz in noise that lies so many dB below it."""
    spectrum, hertz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / RATE)
    band = np.fft.irfft(spectrum * ((hertz > 150) & (hertz < 3500)), len(x))
    noise = np.random.default_rng(0).standard_normal(len(x))
    return band + noise * band.std() * 10 ** (-noise_db / 20)


@pytest.mark.parametrize("noise_db", [60, 20, 10])
def test_vibrato_and_swelling_are_sung_and_dying_away_is_not(noise_db: float) -> None:
    assert analyse(as_recorded(song(struck=False, vibrato_cents=40), noise_db), RATE)["sung"]
    assert not analyse(as_recorded(song(struck=True), noise_db), RATE)["sung"]


def test_the_uneven_speed_of_an_old_machine_makes_no_voice_of_a_piano() -> None:
    assert not analyse(as_recorded(song(struck=True, speed_cents=12), 20), RATE)["sung"]


def test_an_organ_that_holds_its_pitch_is_not_said_to_sing() -> None:
    assert not analyse(song(struck=False), RATE)["sung"]


@pytest.mark.parametrize("name", ["variation.flac", "old_variation.flac"])
def test_a_piano_is_not_said_to_sing(name: str) -> None:
    recording = audio.read(EXAMPLES / name)
    assert not analyse(recording.audio, recording.sample_rate)["sung"]


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.ones(10), np.random.default_rng(0).standard_normal(5 * RATE)])
def test_what_has_no_notes_is_not_said_to_sing(sound: np.ndarray) -> None:
    assert not analyse(sound, RATE)["sung"]


def test_the_movement_around_a_pitch_is_measured_in_cents() -> None:
    x = torch.from_numpy(song(struck=False, vibrato_cents=20)).float()
    notes = followed_notes(x[None, None], RATE)
    assert notes is not None and notes.followed > 0.5
    assert notes.movement_cents == pytest.approx(20 / 2**0.5, rel=0.25)
