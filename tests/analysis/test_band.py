"""Two judgements of where a recording's band ends: what a person is told, and what a restorer goes by."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from babe2 import analyse
from babe2.analysis.band import RecordedBand, band_by_level, band_by_movement, noise_level_db, wall_hz
from babe2.analysis.band_powers import BandPowers
from babe2.analysis.description import SILENT_CHANNEL
from babe2.analysis.hum import mains_hum
from babe2.analysis.machine import find_machine_at_unit_level
from babe2.analysis.response import estimate_response
from babe2.analysis.spectrum import Spectrum
from babe2.degradations.aging import Aging, degrade
from babe2.degradations.horn import HornResponse
from babe2.degradations.response import coloured_by
from babe2.degradations.surface import Surface
from babe2.dsp.curves import FLAT, Curve, SampledCurve
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import MemoryTape
from babe2.recordings.recorded import SILENT

RATE = 22_050
HORN = HornResponse(low_hz=140.0, high_hz=3000.0)
# The music: level to 700 Hz, then falling by 12 dB per octave.
SHAPE = HornResponse(low_hz=80.0, high_hz=700.0, order=2.0, slope_db=0.0)


@cache
def music() -> Tensor:
    """(1, T) twelve seconds of coloured noise, in notes that die away within three seconds."""
    white = torch.randn(1, 12 * RATE, generator=torch.Generator().manual_seed(0))
    sound = coloured_by(white, RATE, SHAPE) * torch.exp(-5 * (torch.arange(12 * RATE) / RATE % 3))
    return sound * (0.08 / sound.std())


@cache
def recorded(response: Curve, noise_db: float = -58.0) -> Tensor:
    return degrade(music(), RATE, Aging(response, surface=Surface(noise_db)), torch.Generator().manual_seed(1))


def reference() -> ReferenceLtas:
    power = 10 ** (SHAPE.gain_db(torch.fft.rfftfreq(2048, 1 / RATE)[1:]) / 10)
    return ReferenceLtas(torch.cat([power[:1], power]), RATE)


def test_a_restorer_follows_music_further_into_the_noise_than_a_person_is_told() -> None:
    x = recorded(HORN)
    told, used = band_by_movement(BandPowers.of(x[:, None], RATE)), band_by_level(Spectrum.of(x, RATE))
    assert told.high_hz is not None and used.high_hz is not None
    assert 2500 < told.high_hz < used.high_hz < 6000
    assert told.ends is used.ends is None and told.end_hz is None  # nobody has compared it with music


def test_both_hear_the_same_noise() -> None:
    x = recorded(HORN, -40.0)
    expected = 20 * math.log10(float(coloured_by(music(), RATE, HORN).std())) - 40
    assert band_by_level(Spectrum.of(x, RATE)).floor_db == pytest.approx(expected, abs=1)
    assert band_by_movement(BandPowers.of(x[:, None], RATE)).floor_db == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("level_db", [-30.0, 10.0])
def test_white_noise_has_the_level_of_its_power_per_sample(level_db: float) -> None:
    assert noise_level_db(SampledCurve(torch.tensor([45.0, 11_000.0]), torch.full((2,), level_db))) == pytest.approx(
        level_db
    )


def test_silence_has_no_band() -> None:
    assert band_by_movement(BandPowers.of(torch.zeros(1, 1, RATE), RATE)) == RecordedBand(None, None, -math.inf)


def test_the_recording_chain_says_whether_it_is_what_ends_the_band() -> None:
    ended = estimate_response(Spectrum.of(recorded(HORN), RATE), reference()).band
    assert ended.ends and ended.end_hz == ended.high_hz and ended.high_hz < 6000
    assert ended.floor_db == pytest.approx(band_by_level(Spectrum.of(recorded(HORN), RATE)).floor_db)
    whole = estimate_response(Spectrum.of(recorded(FLAT, -90.0), RATE), reference()).band
    assert not whole.ends and whole.end_hz is None and whole.high_hz is not None and whole.high_hz > 8000


# What analyse says of it


def seen(x: Tensor, rate: int = RATE) -> dict[str, object]:
    found = analyse(x, rate, reference())["restorer"]
    assert isinstance(found, dict)
    return found


def test_analyse_tells_the_band_that_a_restorer_with_this_reference_goes_by() -> None:
    x = recorded(HORN)
    chain, _ = find_machine_at_unit_level(MemoryTape(x), RATE, reference())
    expected = {"low_hz": round(chain.first_hz, 1), "high_hz": round(chain.last_hz, 1), "ends": chain.ends}
    assert seen(x) == expected and chain.ends
    assert analyse(x, RATE)["restorer"] is None


def test_it_is_the_same_at_any_level_and_with_a_silent_or_a_second_channel() -> None:
    x = recorded(HORN)
    for other in (100 * x, torch.cat([x, 1e-3 * x]), torch.cat([x, 0 * x]), x + 0.2):
        assert seen(other) == seen(x)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_at_another_rate_it_is_judged_at_the_references(rate: int) -> None:
    other, here = seen(resample(recorded(HORN), RATE, rate), rate), seen(recorded(HORN))
    assert other["ends"] and other["high_hz"] == pytest.approx(here["high_hz"], rel=0.05)


def test_of_music_that_reaches_up_it_says_that_nothing_ended_it() -> None:
    assert seen(recorded(FLAT, -90.0))["ends"] is False


def test_of_silence_it_says_nothing() -> None:
    assert analyse(np.zeros(RATE), RATE, reference())["restorer"] is None


def test_a_reference_of_two_numbers_is_no_hindrance() -> None:
    found = analyse(recorded(HORN), RATE, ReferenceLtas(torch.tensor([1.0, 0.5]), RATE))["restorer"]
    assert math.isfinite(found["high_hz"])


def test_the_analysis_leaves_out_the_channels_that_a_restoration_does() -> None:
    assert SILENT_CHANNEL == SILENT


# Hum


@pytest.mark.parametrize(("partials", "heard"), [((1,), True), ((2, 3), True), ((2,), False), ((5, 6), False)])
def test_hum_is_the_mains_own_tone_or_two_of_the_next_three(partials: tuple[int, ...], heard: bool) -> None:
    hertz, steady = torch.arange(0, 2000.0), torch.ones(2000)
    for k in partials:
        steady[50 * k] = 1000.0
    found = mains_hum(hertz, steady)
    assert found == ({"frequency_hz": 50.0, "prominence_db": pytest.approx(30, abs=0.1)} if heard else None)


def falling(edge_hz: float, db_per_octave: float, floor_db: float) -> Tensor:
    """A spectrum of music (F,) that falls steeply from an edge on, down to a floor."""
    hertz = torch.linspace(0, RATE / 2, 1025, dtype=torch.float64)
    music = -6 * (hertz.clamp(min=50) / 300).log2() - db_per_octave * (hertz / edge_hz).clamp(min=1).log2()
    return 10 ** (music.maximum(torch.tensor(floor_db)) / 10)


@pytest.mark.parametrize("edge_hz", [2500.0, 5000.0, 8000.0])
def test_a_wall_is_where_all_stops_at_once_and_not_where_a_machine_fades(edge_hz: float) -> None:
    assert wall_hz(falling(edge_hz, 3000, -90), RATE) == pytest.approx(edge_hz, rel=0.04)
    assert wall_hz(falling(edge_hz, 120, -150), RATE) == math.inf  # the steepest horns
    assert wall_hz(falling(edge_hz, 3000, -40), RATE) == math.inf  # much noise stays


def test_what_resampling_takes_off_at_the_top_is_no_wall() -> None:
    top = torch.linspace(0, 1, 1025) > 0.96
    assert wall_hz(falling(20000, 0, -100).masked_fill(top, 0), RATE) == math.inf


def test_an_empty_octave_with_music_above_is_no_wall() -> None:
    hertz = torch.linspace(0, RATE / 2, 1025)
    assert wall_hz(falling(20000, 0, -100).masked_fill((hertz > 2000) & (hertz < 4000), 0), RATE) == math.inf
