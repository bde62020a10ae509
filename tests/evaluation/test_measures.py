"""Measures on signals whose scores can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from babe2.degradations.horn import Bump, HornResponse
from babe2.dsp.curves import Curve, SampledCurve, WeightedSum
from babe2.dsp.distance import log_spectral_distance
from babe2.dsp.spectra import ReferenceLtas
from babe2.evaluation.measures import (
    SCORING_RATE,
    TRUTH_LEVEL,
    band_passed,
    band_si_sdr,
    envelope_correlation,
    flatness_excess,
    level_error,
    ltas_distance,
    matched,
    response_error,
    si_sdr,
    spectral_flatness,
)

RATE = SCORING_RATE


def noise(seconds: float = 2.0, level: float = TRUTH_LEVEL, seed: int = 0, channels: int = 0) -> Tensor:
    shape = (channels, round(seconds * RATE)) if channels else (round(seconds * RATE),)
    return level * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tone(hertz: float, level: float = TRUTH_LEVEL, seconds: float = 2.0) -> Tensor:
    turns = hertz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return (level * math.sqrt(2) * torch.sin(2 * math.pi * turns)).float()


# Levels and bands


@pytest.mark.parametrize("factor", [0.01, -3.0])
def test_a_match_is_as_loud_as_the_truth_whatever_it_was(factor: float) -> None:
    truth = noise()
    torch.testing.assert_close(matched(factor * truth, truth), math.copysign(1, factor) * truth)


def test_silence_cannot_be_matched_and_stays() -> None:
    assert torch.equal(matched(torch.zeros(100), noise()), torch.zeros(100))


@pytest.mark.parametrize(("hertz", "kept"), [(100, 0.0), (121, 1.0), (2499, 1.0), (2501, 0.0), (9000, 0.0)])
def test_a_brick_wall_keeps_a_band_and_nothing_else(hertz: float, kept: float) -> None:
    passed = band_passed(tone(hertz), RATE, (120.0, 2500.0))  # of two seconds, so that whole hertz are bins
    torch.testing.assert_close(passed, kept * tone(hertz), atol=1e-5, rtol=0)


# SI-SDR


@pytest.mark.parametrize("ratio_db", [-10.0, 0.0, 20.0, 44.0])
def test_added_noise_is_so_many_decibels_down(ratio_db: float) -> None:
    truth, disturbance = noise(), noise(seed=1, level=TRUTH_LEVEL * 10 ** (-ratio_db / 20))
    assert si_sdr(truth + disturbance, truth) == pytest.approx(ratio_db, abs=0.15)


@pytest.mark.parametrize("factor", [1e-3, -1.0, 50.0])
def test_si_sdr_knows_no_scale(factor: float) -> None:
    truth = noise()
    x = truth + noise(seed=1, level=0.02)
    assert si_sdr(factor * x, truth) == pytest.approx(si_sdr(x, truth), abs=1e-4)
    assert si_sdr(x, factor * truth) == pytest.approx(si_sdr(x, truth), abs=1e-4)


def test_what_lies_outside_its_band_does_not_disturb() -> None:
    truth, off = noise(1.0), tone(6000, seconds=1.0) + tone(60, seconds=1.0)
    assert si_sdr(truth + off, truth) < 0
    assert band_si_sdr(truth + off, truth, RATE) > 80


# The response


def planted(gain_db: Callable[[Tensor], Tensor]) -> Curve:
    hertz = 2 ** torch.linspace(math.log2(20), math.log2(11025), 4000, dtype=torch.float64)
    return SampledCurve(hertz, gain_db(hertz))


@pytest.mark.parametrize(
    ("error", "expected_db"),
    [
        (lambda hertz: torch.zeros_like(hertz), 0.0),
        (lambda hertz: torch.full_like(hertz, -17.0), 0.0),  # a level
        (lambda hertz: 4.0 * torch.log2(hertz), 4.0 * math.log2(6000 / 120) / 4),  # a tilt: a quarter of its span
        (lambda hertz: torch.where(torch.log2(hertz / 120) % 0.1 < 0.05, 2.0, -2.0), 2.0),  # a ripple
        (lambda hertz: torch.where(hertz < 240, 10.0, 0.0), 10.0 / math.log2(6000 / 120)),  # one octave of 5.6
        (lambda hertz: torch.where(hertz > 6100, -60.0, 0.0), 0.0),  # beyond what is scored
    ],
    ids=["none", "level", "tilt", "ripple", "octave", "beyond"],
)
def test_a_planted_error_is_found(error: Callable[[Tensor], Tensor], expected_db: float) -> None:
    true = HornResponse(120, 3000, 6, bumps=(Bump(800, 7.0, 0.3),))
    found = WeightedSum((true, planted(error)), (1.0, 1.0))
    # The ripple's median may be either of its values or between them.
    assert response_error(found, true) == pytest.approx(expected_db, abs=0.05)


# Level, envelope and flatness


@pytest.mark.parametrize("gain_db", [-12.0, 0.0, 5.0])
def test_a_level_error_is_signed(gain_db: float) -> None:
    assert level_error(noise() * 10 ** (gain_db / 20), noise(), RATE) == pytest.approx(gain_db, abs=1e-3)


def test_a_level_error_is_that_of_its_band() -> None:
    assert level_error(noise() + tone(1000, 0.5), noise(), RATE) == pytest.approx(0, abs=0.01)


def swelling(seed: int, beats: float, channels: int = 0) -> Tensor:
    """Noise that swells and fades by 20 dB, so many times a second."""
    x = noise(4.0, seed=seed, channels=channels)
    phase = 2 * math.pi * beats * torch.arange(x.shape[-1]) / RATE
    return x * 10 ** (torch.sin(phase) / 2)


def test_an_envelope_in_step_correlates_whatever_its_carrier_and_level() -> None:
    assert envelope_correlation(0.1 * swelling(0, 2.0), swelling(0, 2.0), RATE) == pytest.approx(1)
    assert envelope_correlation(0.1 * swelling(0, 2.0), swelling(1, 2.0), RATE) > 0.97
    assert abs(envelope_correlation(swelling(0, 2.0), swelling(1, 3.0), RATE)) < 0.1


def test_a_steady_or_silent_band_has_no_envelope_to_correlate() -> None:
    assert envelope_correlation(torch.zeros(2 * RATE), noise(), RATE) == 0


def test_noise_is_flat_and_a_tone_is_not() -> None:
    # The mean logarithm of white noise's power is Euler's constant below the logarithm of its mean: 2.5 dB.
    assert spectral_flatness(noise(10.0), RATE) == pytest.approx(-10 * math.log10(math.exp(0.5772)), abs=0.1)
    assert spectral_flatness(tone(5000), RATE) < -30
    assert spectral_flatness(100 * noise(), RATE) == pytest.approx(spectral_flatness(noise(), RATE), abs=1e-3)


def test_haze_in_place_of_partials_is_an_excess() -> None:
    truth = sum((tone(hertz, 0.01) for hertz in range(400, 9000, 400)), torch.zeros(2 * RATE))
    assert flatness_excess(truth, truth, RATE) == 0
    assert flatness_excess(truth + noise(level=0.01), truth, RATE) > 5


@pytest.mark.parametrize(
    "measure",
    [
        lambda x, y: log_spectral_distance(x, y, RATE, (100.0, 3000.0)),
        lambda x, y: band_si_sdr(x, y, RATE),
        lambda x, y: level_error(x, y, RATE),
        lambda x, y: envelope_correlation(x, y, RATE),
        lambda x, y: flatness_excess(x, y, RATE),
    ],
    ids=["lsd", "si_sdr", "level", "envelope", "flatness"],
)
def test_one_sound_in_both_channels_scores_as_one(measure: Callable[[Tensor, Tensor], float]) -> None:
    x, truth = swelling(0, 2.0) + noise(4.0, seed=2), swelling(0, 2.0)
    both = measure(torch.stack([x, x]), torch.stack([truth, truth]))
    assert both == pytest.approx(measure(x, truth), abs=1e-3)


# LTAS distance


def test_white_noise_is_near_a_white_reference_and_far_from_one_of_half_the_band() -> None:
    white = ReferenceLtas(torch.ones(1025), RATE)
    assert ltas_distance(noise(10.0), RATE, white) < -12  # third octaves of ten seconds scatter by 6 %
    # Between silence and a reference there is as much as the reference: 0 dB where nothing sounds, and elsewhere
    # twice the reference, as the level is the same; less around the edge, which third octaves blur.
    half = band_passed(noise(10.0), RATE, (0.0, RATE / 4))
    assert ltas_distance(half, RATE, white) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("factor", [1e-3, 40.0])
def test_ltas_distance_knows_no_level(factor: float) -> None:
    power = torch.linspace(2, 1, 1025)
    expected = ltas_distance(noise(), RATE, ReferenceLtas(power, RATE))
    assert ltas_distance(factor * noise(), RATE, ReferenceLtas(power, RATE)) == pytest.approx(expected, abs=1e-3)
    assert ltas_distance(noise(), RATE, ReferenceLtas(factor * power, RATE)) == pytest.approx(expected, abs=1e-3)


def test_ltas_distance_is_taken_in_the_references_band() -> None:
    low = ReferenceLtas(torch.ones(513), 8000)
    assert ltas_distance(noise(10.0) + tone(8000, seconds=10.0), RATE, low) < -10  # the tone would be 3 dB
