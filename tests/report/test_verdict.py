"""What is said of a restoration, from the two sounds alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from babe2 import Restorer, audio
from babe2.report.verdict import Verdict, format_hertz, verdict

EXAMPLES = Path(__file__).parents[2] / "examples"
RATE = 22_050


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint("piano-small", device="cpu")


@pytest.fixture(scope="module")
def old() -> np.ndarray:
    return audio.read(EXAMPLES / "old_variation.flac", duration=6.0).audio


@pytest.fixture(scope="module")
def modern() -> np.ndarray:
    return audio.read(EXAMPLES / "variation.flac", duration=6.0).audio


def octave(hertz: float, sound: np.ndarray, gain_db: float) -> np.ndarray:
    """The sound with one octave louder or softer."""
    spectrum, bins = np.fft.rfft(sound), np.fft.rfftfreq(sound.shape[1], 1 / RATE)
    inside = (bins >= hertz / 2**0.5) & (bins < hertz * 2**0.5)
    return np.fft.irfft(spectrum * np.where(inside, 10 ** (gain_db / 20), 1), sound.shape[1]).astype(np.float32)


def test_the_same_sound_made_louder_is_unchanged(modern: np.ndarray, restorer: Restorer) -> None:
    done = verdict((modern, RATE), (2 * modern, RATE), restorer.reference)
    assert done.unchanged and done.warnings == []
    assert done.words.startswith("This came out nearly unchanged: no octave by more than 0.0 dB")
    assert "already reaches as high as the music that this checkpoint knows" in done.words


def test_a_recording_that_ends_early_and_was_left_alone_is_not_said_to_be_complete(
    old: np.ndarray, restorer: Restorer
) -> None:
    assert "Another one may do more" in verdict((old, RATE), (old, RATE), restorer.reference).words


def test_what_an_old_recording_gained_is_told(old: np.ndarray, modern: np.ndarray, restorer: Restorer) -> None:
    done = verdict((old, RATE), (modern, RATE), restorer.reference)
    assert not done.unchanged and done.band_end_hz is not None and 3000 < done.band_end_hz < 4500
    assert done.words.startswith("It gained ") and "is imagined: there the recorded band ends." in done.words
    assert "imagined" not in replace(done, imagines=False).words  # as of a filter


@pytest.mark.parametrize(("change", "warned"), [(-6.0, True), (-1.0, False), (6.0, False)])
def test_recorded_sound_that_was_taken_away_is_warned_of(
    modern: np.ndarray, restorer: Restorer, change: float, warned: bool
) -> None:
    done = verdict((modern, RATE), (octave(250.0, modern, change), RATE), restorer.reference)
    assert any("Around 250 Hz the restoration is" in warning for warning in done.warnings) == warned


def test_noise_that_hardly_anybody_hears_may_go(modern: np.ndarray, restorer: Restorer) -> None:
    assert verdict((modern, RATE), (octave(8000.0, modern, -20.0), RATE), restorer.reference).warnings == []


def test_noise_above_the_recorded_band_may_go(old: np.ndarray, restorer: Restorer) -> None:
    hiss = old + 0.002 * np.random.default_rng(0).standard_normal(old.shape).astype(np.float32)
    assert verdict((hiss, RATE), (octave(8000.0, hiss, -20.0), RATE), restorer.reference).warnings == []


def test_channels_and_rates_may_differ_and_a_moment_has_no_spectrum(modern: np.ndarray) -> None:
    stereo = np.concatenate([modern, modern])
    assert verdict((stereo, RATE), (modern, RATE), None).unchanged
    assert verdict((modern[:, :2000], RATE), (modern[:, :2000], RATE), None).octaves == ()
    assert isinstance(verdict((np.zeros((1, RATE)), RATE), (np.zeros((1, RATE)), RATE), None), Verdict)


@pytest.mark.parametrize(("hertz", "told"), [(250.0, "250 Hz"), (4000.0, "4 kHz"), (3364.0, "3.4 kHz")])
def test_frequencies_are_written_as_people_write_them(hertz: float, told: str) -> None:
    assert format_hertz(hertz) == told
