"""One spectrum does it all: each change alone, on sounds of which the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from babe2.training.augmentation import Augmentation, Change, Excerpt, Signal, draw_change


def sine(hertz: float, rate: int, length: int) -> Signal:
    return np.sin(2 * np.pi * hertz * np.arange(length) / rate).astype(np.float32)


def made(change: Change, hertz: float, rate: int = 8000, source_rate: int = 8000, length: int = 8192) -> Signal:
    excerpt = Excerpt(length, rate, source_rate, change)
    return excerpt.made_from(sine(hertz, source_rate, excerpt.source_length))


def strongest(x: Signal, rate: int = 8000) -> float:
    """The frequency of the strongest partial, Hz."""
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 16 * len(x)))
    return float(np.argmax(spectrum) * rate / (16 * len(x)))


def test_no_change_leaves_every_bit() -> None:
    assert np.array_equal(made(Change(), 440), sine(440, 8000, 8192))


def test_level_and_polarity() -> None:
    assert np.array_equal(made(Change(factor=-0.5), 440), -0.5 * sine(440, 8000, 8192))


@pytest.mark.parametrize("source_rate", [44100, 48000, 11025, 8000])
def test_any_rate_becomes_the_models(source_rate: int) -> None:
    # Where the rates agree, a bump of no height sends the excerpt the same way.
    found = made(Change(bumps=((1000.0, 0.0, 1.0),)), 440, source_rate=source_rate)
    assert strongest(found) == pytest.approx(440, abs=0.3)
    assert found.std() == pytest.approx(0.5**0.5, rel=2e-3)


def test_what_lies_above_the_models_band_does_not_fold_back() -> None:
    # The fades at the ends spread a little of it, and far from them there is less.
    assert np.abs(made(Change(), 6000, source_rate=44100)[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("semitones", [-0.5, 0.5, 12])
def test_pitch(semitones: float) -> None:
    found = made(Change(speed=2 ** (semitones / 12)), 440)
    # Lengths are rounded to those of which an FFT is quick, here to one in 320 and in training to one in 1500.
    assert strongest(found) == pytest.approx(440 * 2 ** (semitones / 12), rel=2e-3)
    assert found.std() == pytest.approx(0.5**0.5, rel=2e-3)


@pytest.mark.parametrize(("hertz", "expected_db"), [(1000, 0.0), (2000, 0.0), (2828.4, 1.5), (3900, 2.89)])
def test_a_tilt_begins_at_two_kilohertz(hertz: float, expected_db: float) -> None:
    gain = made(Change(tilt_db=3.0), hertz).std() / 0.5**0.5
    assert 20 * np.log10(gain) == pytest.approx(expected_db, abs=0.03)


def test_a_bump_is_as_high_and_wide_as_it_says() -> None:
    bump = Change(bumps=((500.0, 6.0, 1.0),))
    for hertz, expected_db in ((500, 6.0), (1000, 6 / np.e), (250, 6 / np.e)):
        assert 20 * np.log10(made(bump, hertz).std() / 0.5**0.5) == pytest.approx(expected_db, abs=0.03)


def test_what_is_drawn_lies_where_it_should() -> None:
    rng = np.random.default_rng(0)
    some = Augmentation(gain_db=3.0, flip=True, pitch_semitones=0.5, tilt_db=1.0, bumps=2, bump_db=1.5)
    changes = [draw_change(some, rng) for _ in range(400)]
    gains = 20 * np.log10(np.abs([change.factor for change in changes]))
    assert np.abs(gains).max() <= 3 and gains.std() == pytest.approx(3 / 3**0.5, rel=0.1)
    assert 0.4 < np.mean([change.factor < 0 for change in changes]) < 0.6
    assert max(abs(12 * np.log2(change.speed)) for change in changes) <= 0.5
    assert np.std([change.tilt_db for change in changes]) == pytest.approx(1.0, rel=0.1)
    assert all(80 <= centre <= 8000 for change in changes for centre, _, _ in change.bumps)
    assert draw_change(Augmentation(), rng) == Change()
    spread = [20 * np.log10(draw_change(replace(Augmentation(), gain_spread_db=3.0), rng).factor) for _ in range(400)]
    assert np.std(spread) == pytest.approx(3.0, rel=0.1)
