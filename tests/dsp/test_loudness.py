"""Loudness against the known answers of ITU-R BS.1770-4 and EBU Tech 3341."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from babe2.dsp.loudness import block_powers, gated, integrated_loudness, k_weighting

RATE = 48_000  # Hz
Passages = list[tuple[float, float]]  # (dBFS, seconds)


def sine(dbfs: float, seconds: float, rate: int = RATE, hertz: float = 997) -> np.ndarray:
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def stereo(passages: Passages) -> np.ndarray:
    """The same sine in both channels, passage after passage."""
    return np.tile(np.concatenate([sine(dbfs, seconds) for dbfs, seconds in passages]), (2, 1))


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


def test_tensors_are_welcome() -> None:
    sound = sine(-20, 1)[None]
    assert integrated_loudness(torch.from_numpy(sound), RATE) == integrated_loudness(sound, RATE)
