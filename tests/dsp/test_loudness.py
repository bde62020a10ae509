"""Loudness against the known answers of ITU-R BS.1770-4 and EBU Tech 3341."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.signal import sosfilt

from babe2 import analyse
from babe2.dsp.loudness import (
    block_powers,
    energies,
    gated,
    integrated_loudness,
    k_weighting,
    loudness_of_excerpts,
)
from babe2.dsp.tape import MemoryTape

RATE = 48_000  # Hz
Passages = list[tuple[float, float]]  # (dBFS, seconds)


def sine(dbfs: float, seconds: float, rate: int = RATE, hertz: float = 997) -> np.ndarray:
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def stereo(passages: Passages) -> np.ndarray:
    """The same sine in both channels, passage after passage."""
    return np.tile(np.concatenate([sine(dbfs, seconds) for dbfs, seconds in passages]), (2, 1))


def swelling(seconds: float, rate: int) -> np.ndarray:
    """(2, T) coloured noise that comes and goes by 60 dB, each channel in its own time."""
    count = round(seconds * rate)
    white = np.random.default_rng(0).standard_normal((2, count + 8))
    coloured = np.lib.stride_tricks.sliding_window_view(white, 8, axis=1)[:, :count].mean(axis=2)
    time = np.arange(count) / rate
    return 0.2 * coloured * np.stack([np.sin(2 * time) ** 2, np.cos(3 * time) ** 2]) ** 2


def test_a_full_scale_sine_in_one_channel_reads_three_decibels_below_full_scale() -> None:
    assert integrated_loudness(sine(0, 2)[None], RATE) == pytest.approx(-3.01, abs=0.005)


def test_the_filters_are_the_published_ones_at_48_khz() -> None:
    shelf, high_pass = k_weighting(48_000)
    published_shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585]
    published_high_pass = [1, -2, 1, 1, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(shelf, published_shelf, atol=1e-8)
    np.testing.assert_allclose(high_pass, published_high_pass, atol=1e-7)


@pytest.mark.parametrize(
    ("passages", "expected"),
    [  # the stereo cases of EBU Tech 3341, Table 1
        ([(-23.0, 20.0)], -23.0),
        ([(-33.0, 20.0)], -33.0),
        ([(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
        ([(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
        ([(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
    ],
)
def test_loudness_passes_the_broadcasters_test_signals(passages: Passages, expected: float) -> None:
    assert integrated_loudness(stereo(passages), RATE) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 96_000, 192_000])
def test_loudness_does_not_depend_on_the_sample_rate(rate: int) -> None:
    # At 22.05 kHz, where the end of the band bends the filters most, a sine reads 0.02 dB lower.
    assert integrated_loudness(sine(-20, 2, rate)[None], rate) == pytest.approx(-23.01, abs=0.03)


def test_two_channels_are_twice_the_power_of_one() -> None:
    mono = integrated_loudness(sine(-30, 2)[None], RATE)
    assert integrated_loudness(stereo([(-30, 2)]), RATE) == pytest.approx(mono + 10 * math.log10(2), abs=1e-9)


def test_bass_counts_less_and_treble_more() -> None:
    low, middle, high = (integrated_loudness(sine(-20, 2, hertz=hertz)[None], RATE) for hertz in (30, 997, 8000))
    assert low < middle - 4 and high == pytest.approx(middle + 3.3, abs=0.2)


def test_silence_and_what_is_below_the_absolute_gate_has_no_loudness() -> None:
    assert integrated_loudness(np.zeros((1, RATE)), RATE) == -math.inf
    assert integrated_loudness(sine(-72, 2)[None], RATE) == -math.inf


def test_a_recording_shorter_than_a_block_is_measured_as_one() -> None:
    # 300 periods less a bit; the filters have hardly swung in.
    assert integrated_loudness(sine(-20, 0.3)[None], RATE) == pytest.approx(-23.01, abs=0.1)
    assert integrated_loudness(np.zeros((1, 1)), RATE) == -math.inf


def test_blocks_begin_every_tenth_of_a_second_also_where_that_is_no_whole_number_of_samples() -> None:
    assert len(block_powers(np.ones((1, 22_050)), 22_050)) == 7
    assert len(block_powers(np.ones((1, 44_101)), 44_101)) == 7


def test_the_relative_gate_lies_ten_below_what_passed_the_absolute_gate() -> None:
    loud, soft, pause = (10 ** ((level + 0.691) / 10) for level in (-20.0, -34.0, -75.0))
    assert gated(np.array([loud, soft, pause])) == pytest.approx(-20.0)
    # Where soft passages prevail, they are the music.
    prevailing = 10 * math.log10((loud + 9 * soft) / 10) - 0.691
    assert gated(np.array([loud, *[soft] * 9, pause])) == pytest.approx(prevailing)


@pytest.mark.parametrize("rate", [48_000, 44_100, 96_000])
def test_loudness_agrees_with_pyloudnorm_on_music_that_swells_and_pauses(rate: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm", reason="it is asked for by the test extra")
    sound = swelling(8.0, rate)
    theirs = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(sound.T)
    # Measured: 1e-6 LU at 48 kHz, where both filters are the published ones; 0.004 at 44.1 and 0.022 at 96.
    assert integrated_loudness(sound, rate) == pytest.approx(theirs, abs=1e-4 if rate == 48_000 else 0.03)


@pytest.mark.parametrize("rate", [22_050, 44_100, 44_101])
def test_the_filters_do_in_spectra_what_they_do_sample_by_sample(rate: int) -> None:
    sound = swelling(2.05, rate)
    weighted = sosfilt(k_weighting(rate), sound, axis=1)
    bounds = [0, 10, rate // 5, rate // 2, rate // 2 + 1, 4 * rate // 5, rate]
    expected = [np.square(weighted[:, a:b]).sum() for a, b in pairwise(bounds)]
    np.testing.assert_allclose(
        list(energies(MemoryTape(torch.from_numpy(sound).float()), rate, bounds)), expected, rtol=1e-5
    )


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.399, 0.4, 0.45, 2.0])
def test_however_short_a_recording_is_it_is_as_loud_to_the_analysis_and_to_the_page(seconds: float) -> None:
    sound = swelling(seconds, RATE)
    told = analyse(sound, RATE)["loudness_lufs"]
    assert told == pytest.approx(integrated_loudness(sound - sound.mean(axis=1, keepdims=True), RATE), abs=0.006)


def test_excerpts_are_measured_together_as_parts_of_one_recording() -> None:
    loud, soft, faint = (torch.from_numpy(stereo([(level, 5.0)])).float() for level in (-20.0, -23.0, -60.0))
    alone = integrated_loudness(stereo([(-20.0, 5.0), (-23.0, 5.0)]), RATE)
    assert loudness_of_excerpts([loud, soft], RATE) == pytest.approx(alone, abs=0.05)
    assert loudness_of_excerpts([loud, soft, faint], RATE) == pytest.approx(alone, abs=0.05)  # the gate is for all


def test_tensors_are_welcome() -> None:
    sound = sine(-20, 1)[None]
    assert integrated_loudness(torch.from_numpy(sound), RATE) == integrated_loudness(sound, RATE)
