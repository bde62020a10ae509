"""The melody of a voice before and after, of pitches that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sounds import song
from torch import Tensor

from babe2.evaluation.melody import Melody, Sung, melody, sings, sung
from babe2.evaluation.notes import HOP, SAMPLE_RATE

SECONDS = 1.5


def pitch(cents: float = 0.0, drift: float = 0.0) -> Tensor:
    """Around A3 with a vibrato of half a semitone, so many cents higher, and at last by `drift` more (T,), Hz."""
    time = torch.arange(round(SECONDS * SAMPLE_RATE), dtype=torch.float64) / SAMPLE_RATE
    return 220 * 2 ** ((50 * torch.sin(2 * math.pi * 5.5 * time) + cents + drift * time / SECONDS) / 1200)


def voice(hertz: Tensor) -> Tensor:
    """A voice of this pitch (T,): the first two vowels' formants matter to no period."""
    turns = 2 * math.pi * torch.cumsum(hertz / SAMPLE_RATE, 0)
    return 0.1 * sum(torch.sin(n * turns) * gain for n, gain in ((1, 0.5), (2, 1.0), (3, 0.8), (4, 0.3), (7, 0.4)))


@pytest.fixture(scope="module")
def before() -> Melody:
    return melody([voice(pitch())])


@pytest.mark.parametrize("hertz", [70.0, 220.0, 1100.0])
def test_a_steady_voice_has_its_pitch(hertz: float) -> None:
    found = melody([voice(torch.full((SAMPLE_RATE // 2,), hertz, dtype=torch.float64))]).hertz[4:-4]
    assert np.abs(1200 * np.log2(found / hertz)).max() < 1


def test_a_vibrato_is_followed_however_a_sound_is_cut(before: Melody) -> None:
    true = pitch()[::HOP].numpy()
    assert np.abs(1200 * np.log2(before.hertz[4:-4] / true[4 : len(before.hertz) - 4])).max() < 35  # 93 ms see its mean
    np.testing.assert_allclose(melody(voice(pitch()).split(5000)).hertz, before.hertz, rtol=1e-6)


def test_the_same_melody_is_kept_whatever_its_level_and_colour(before: Melody) -> None:
    assert sung(before, before) == Sung(1.0, 0.0)
    x = voice(pitch())
    hertz = torch.fft.rfftfreq(len(x), 1 / SAMPLE_RATE)
    bright = torch.fft.irfft(torch.fft.rfft(x) * (hertz > 300), len(x))  # without its fundamental
    found = sung(before, melody([0.01 * bright]))
    assert found is not None and found.off_cents is not None
    assert found.kept > 0.98 and found.off_cents < 1


@pytest.mark.parametrize(("cents", "drift", "kept", "off"), [(100, 0, 0.0, 100), (30, 0, 1.0, 30), (0, 40, 1.0, 20)])
def test_what_is_sung_higher_is_off_by_as_much(
    cents: float, drift: float, kept: float, off: float, before: Melody
) -> None:
    found = sung(before, melody([voice(pitch(cents, drift))]))
    assert found is not None
    assert found == (pytest.approx(kept, abs=0.02), pytest.approx(off, abs=1.5))


def test_half_a_melody_is_half_kept_and_none_is_not_off(before: Melody) -> None:
    x = voice(pitch())
    x[len(x) // 2 :] = 0
    assert sung(before, melody([x])) == (pytest.approx(0.5, abs=0.03), pytest.approx(0, abs=0.1))
    assert sung(before, melody([torch.zeros(len(x))])) == Sung(0.0, None)
    assert sung(before, melody([])) == Sung(0.0, None)


def test_silence_and_noise_sing_nothing(before: Melody) -> None:
    noise = torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    for x in (torch.zeros(SAMPLE_RATE), noise):
        assert sung(melody([x]), before) is None and not sings([x])
    assert not sings([])


def test_a_voice_sings_and_struck_strings_do_not() -> None:
    assert sings(torch.from_numpy(song(struck=False, vibrato_cents=40)).float().split(40_000))
    assert not sings([torch.from_numpy(song(struck=True)).float()])
