"""What the average spectrum tells of a machine: planted ones are found, and where it tells nothing, nothing is said."""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from babe2.analysis.band import heard_knots
from babe2.analysis.response import (
    BELOW_DB,
    RecordingChain,
    estimate_response,
    least_fall,
    most_probable,
    steepest_fall,
)
from babe2.analysis.spectrum import Spectrum, knots
from babe2.degradations.aging import Aging, degrade
from babe2.degradations.horn import Bump, HornResponse
from babe2.degradations.response import coloured_by
from babe2.degradations.surface import Surface
from babe2.dsp.curves import FLAT, Curve, SampledCurve, WeightedSum
from babe2.dsp.excerpts import excerpts
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, decibels
from babe2.dsp.tape import MemoryTape, ScaledChannels, deviation
from babe2.evaluation.measures import response_difference, response_error

RATE = 22050
# The music: level to 500 Hz, then falling by 12 dB per octave, its bass by 12 dB per octave below 80 Hz.
SHAPE = HornResponse(low_hz=80.0, high_hz=700.0, order=2.0, slope_db=0.0)
HORN = HornResponse(low_hz=140.0, high_hz=3000.0, bumps=(Bump(500.0, 7.0, 0.25), Bump(1500.0, -5.0, 0.3)))


@cache
def music(seconds: float = 20.0, seed: int = 0) -> Tensor:
    """(1, T) Gaussian noise of a known colour, in half-second notes that die away."""
    length = round(seconds * RATE)
    white = torch.randn(1, length, generator=torch.Generator().manual_seed(seed))
    time = torch.arange(length) / RATE
    sound = coloured_by(white, RATE, SHAPE) * torch.exp(-10 * (time % 0.5))
    return sound * (0.08 / sound.std())


def reference() -> ReferenceLtas:
    hertz = torch.fft.rfftfreq(2048, 1 / RATE)
    power = 10 ** (SHAPE.gain_db(hertz[1:]) / 10)
    return ReferenceLtas(torch.cat([power[:1], power]), RATE)


def recorded(response: Curve, noise_db: float | None = -58.0, x: Tensor | None = None) -> Tensor:
    x = music() if x is None else x
    return degrade(x, RATE, Aging(response, surface=Surface(noise_db)), torch.Generator().manual_seed(1))


def found(x: Tensor) -> RecordingChain:
    return estimate_response(Spectrum.of(x, RATE), reference())


# Measuring


def test_white_noise_measures_its_power_and_is_nothing_but_noise() -> None:
    x = 0.3 * torch.randn(2, 20 * RATE, generator=torch.Generator().manual_seed(0))
    spectrum = Spectrum.of(x, RATE)
    above = spectrum.hertz > 100  # a few dozen bins and hundreds of frames in each band
    torch.testing.assert_close(
        decibels(spectrum.power[above]), torch.full_like(spectrum.power[above], -10.46), atol=0.3, rtol=0
    )
    assert float(decibels(spectrum.noise[above]).mean()) == pytest.approx(-10.46, abs=0.3)
    assert heard_knots(spectrum) == (0, len(spectrum.hertz) - 1)  # of nothing, no part is told from another


def test_dc_is_no_part_of_the_music() -> None:
    x = recorded(HORN)
    for part in (Spectrum.of(x, RATE), Spectrum.of(x + 1.0, RATE)):
        assert heard_knots(part) == heard_knots(Spectrum.of(x, RATE))
        torch.testing.assert_close(part.power, Spectrum.of(x, RATE).power, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("noise_db", [-40.0, -58.0, -70.0])
def test_the_noise_floor_is_found_behind_the_music(noise_db: float) -> None:
    x = recorded(HORN, noise_db)
    floor = decibels(Spectrum.of(x, RATE).noise)
    expected = float(decibels(coloured_by(music(), RATE, HORN).square().mean())) + noise_db
    assert float(floor.max()) == pytest.approx(expected, abs=1.0)
    assert float(floor[knots(RATE) > 4000].mean()) == pytest.approx(expected, abs=1.0)


def test_digital_silence_is_no_part_of_the_recording() -> None:
    x = recorded(HORN)
    silence = torch.zeros(1, 8 * RATE)
    plain, padded = Spectrum.of(x, RATE), Spectrum.of(torch.cat([silence, x, silence], dim=1), RATE)
    torch.testing.assert_close(decibels(padded.noise), decibels(plain.noise), atol=1.0, rtol=0)
    assert heard_knots(padded) == heard_knots(plain)
    heard = slice(*heard_knots(plain))
    torch.testing.assert_close(decibels(padded.power[heard]), decibels(plain.power[heard]), atol=2.0, rtol=0)


def test_of_a_long_recording_excerpts_are_looked_at() -> None:
    rate = 1000
    x = torch.randn(2, 900 * rate, generator=torch.Generator().manual_seed(0))
    audio, starts = excerpts(x, rate)
    x[:, 11 * rate : 25 * rate] = 100.0  # between the first excerpt and the second
    spectrum = Spectrum.of(x, rate, fft=256)
    assert starts[1] > 25 and torch.equal(spectrum.power, Spectrum.of_channels(audio, rate, fft=256).power)
    assert float(decibels(spectrum.power[6:]).abs().max()) < 0.5


@pytest.mark.parametrize("seconds", [20, 700])
def test_channels_brought_to_one_level_measure_the_same_with_their_deviations_in_one_reading(seconds: float) -> None:
    """To the bit, as the sound of a restoration hangs on it."""
    rate, generator = 1000, torch.Generator().manual_seed(0)
    x = torch.tensor([[0.3], [0.001]]) * torch.randn(2, seconds * rate, generator=generator) + 0.01
    tape = MemoryTape(x)
    spectrum, spread = Spectrum.at_unit_level(tape, rate, fft=256)
    assert torch.equal(spread, deviation(tape))
    unit = ScaledChannels(tape, torch.tensor([True, True]), 1 / spread, torch.device("cpu"))
    expected = Spectrum.of(unit, rate, fft=256)
    for found, wanted in zip(astuple(spectrum), astuple(expected), strict=True):
        assert torch.equal(found, wanted)


# Finding


@pytest.mark.parametrize(
    "response",
    [
        HORN,
        replace(HORN, bumps=()),
        replace(HORN, high_hz=4500.0),
        replace(HORN, low_hz=None, bumps=(Bump(400.0, 10.0, 0.4),)),
    ],
    ids=["resonances", "band", "wide", "boom"],
)
def test_a_planted_machine_is_found(response: HornResponse) -> None:
    machine = found(recorded(response))
    assert machine.ends
    # Music is known to depart from its average by some dB, so a resonance is found smaller than it is.
    assert response_error(machine.response, response, (150.0, 3000.0)) < 1.5
    assert response_error(machine.response, response) < 3.0
    assert 1.0 < machine.last_hz / (response.high_hz or 0) < 1.8  # where music sinks into noise


def test_a_machine_is_found_whatever_the_level_and_the_number_of_channels() -> None:
    x = recorded(HORN)
    hertz = 2 ** torch.linspace(5.0, 13.0, 100)
    expected = found(x)
    for other in (1e-3 * x, 100 * x, x.expand(3, -1)):
        machine = found(other)
        torch.testing.assert_close(machine.response.gain_db(hertz), expected.response.gain_db(hertz), atol=0.05, rtol=0)
        assert (machine.ends, machine.last_hz, machine.first_hz) == (True, expected.last_hz, expected.first_hz)


def test_a_recording_with_nothing_wrong_keeps_a_nearly_flat_response() -> None:
    machine = found(music())
    assert not machine.ends and machine.last_hz > 10_000
    assert float(response_difference(machine.response, FLAT).abs().max()) < 0.5


def test_duller_and_brighter_music_is_taken_for_what_it_is() -> None:
    for tilt in (-4.0, 4.0):  # dB per octave above 1 kHz
        hertz = torch.tensor([1000.0, 8000.0])
        machine = found(recorded(SampledCurve(hertz, torch.tensor([0.0, 3 * tilt])), None))
        assert not machine.ends
        assert float(response_difference(machine.response, FLAT).abs().max()) < 2.0


@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_a_file_of_a_low_rate_ends_where_its_rate_ends(rate: int) -> None:
    """There is no noise beyond, which must not be taken for music's silence: nothing may be called clear there."""
    machine = found(resample(resample(recorded(FLAT, -70.0), RATE, rate), rate, RATE))
    assert machine.ends and 0.9 < machine.last_hz / (rate / 2) < 1.0
    beyond = torch.linspace(rate / 2 * 1.03, 10_000, 100, dtype=torch.float64)
    own_db = machine.noise.gain_db(beyond) - machine.response.gain_db(beyond)
    music_db = torch.from_numpy(decibels(Spectrum.of(music(), RATE).power).numpy())
    expected_db = SampledCurve(knots(RATE), music_db).gain_db(beyond)
    assert float((own_db - expected_db).min()) > 6.0


def test_clicks_are_no_brilliance() -> None:
    x = recorded(HORN)
    plain = found(x)
    x[:, :: 2 * RATE] += 0.5  # one in two seconds, loud ones
    clicking = found(x)
    assert clicking.ends and clicking.last_hz == pytest.approx(plain.last_hz, rel=0.1)
    assert response_error(clicking.response, plain.response, (150.0, 3000.0)) < 0.5


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.3])
def test_of_a_moment_nothing_is_claimed(seconds: float) -> None:
    machine = found(recorded(HORN)[:, : round(seconds * RATE)])
    assert not machine.ends
    assert float(machine.response.gain_db(2 ** torch.linspace(5.0, 13.0, 100)).abs().max()) < 3.0


@pytest.mark.parametrize("kind", ["silence", "hiss", "whistle", "click", "hum"])
def test_what_is_no_music_gives_numbers_still(kind: str) -> None:
    time, x = torch.arange(3 * RATE) / RATE, torch.zeros(1, 3 * RATE)
    if kind == "hiss":
        x = torch.randn(1, 3 * RATE, generator=torch.Generator().manual_seed(0))
    if kind == "click":
        x[:, RATE] = 1.0
    if kind in ("whistle", "hum"):
        x = torch.sin(2 * torch.pi * {"whistle": 9000, "hum": 60}[kind] * time)[None]
    machine = found(x)
    hertz = torch.linspace(1.0, RATE / 2, 500)
    assert machine.response.gain_db(hertz).isfinite().all()
    assert machine.noise.gain_db(hertz).isfinite().all()
    assert machine.inverse(hertz).isfinite().all()


def test_the_inverse_undoes_the_response_where_music_was_heard_and_nothing_else() -> None:
    machine = found(recorded(HORN))
    hertz = torch.linspace(1.0, RATE / 2, 1000)
    undone = machine.inverse(hertz) * 10 ** (machine.response.gain_db(hertz) / 20)
    heard = (hertz >= machine.first_hz) & (hertz <= machine.last_hz)
    torch.testing.assert_close(undone[heard], torch.ones(int(heard.sum())))
    assert not undone[~heard].any()


def test_a_known_response_that_lets_hardly_anything_through_is_not_undone_there() -> None:
    machine = replace(found(recorded(HORN)), response=HornResponse(low_hz=2000.0, high_hz=3000.0, order=2.0))
    undone = machine.inverse(torch.linspace(1.0, RATE / 2, 1000))
    assert 50 < float(undone.max() / undone[undone > 0].min()) < 101  # 40 dB


def test_below_its_first_band_a_machine_falls() -> None:
    steep = SampledCurve(torch.tensor([100.0, 400.0]), torch.tensor([-60.0, 0.0]))
    machine = found(recorded(WeightedSum((HORN, steep), (1.0, 1.0))))
    low = machine.response.gain_db(torch.tensor([machine.first_hz / 2, machine.first_hz]))
    assert machine.first_hz > 60
    assert float(low[1] - low[0]) == pytest.approx(BELOW_DB, abs=0.01)


# The pieces


def test_the_most_probable_response_is_the_wiener_estimate_and_ignores_the_level() -> None:
    count = 12
    machine, music_, rough = 9.0 * torch.eye(count).double(), 3.0 * torch.eye(count).double(), 0.25
    departure = torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for level in (0.0, 20.0, -300.0):
        response, told = most_probable(departure + level, machine, music_)
        torch.testing.assert_close(response, (departure - departure.mean()) * 9 / (9 + 3 + rough))
        assert told == pytest.approx(float(departure.mean()) + level)


def test_a_single_band_tells_nothing() -> None:
    response, level = most_probable(torch.tensor([7.0]).double(), torch.eye(1).double(), torch.eye(1).double())
    assert float(response) == pytest.approx(0.0) and level == pytest.approx(7.0)


def test_the_steepest_fall_is_that_of_half_an_octave() -> None:
    departure = torch.zeros(40, dtype=torch.float64)
    departure[30:] = -torch.arange(1.0, 11.0) * 4  # 24 dB per octave at six knots in each
    assert steepest_fall(departure, 33) == pytest.approx(24.0)
    assert steepest_fall(departure, 20) == 0.0
    assert steepest_fall(departure[:2], 1) == 0.0


def test_high_ends_must_be_steeper_to_be_the_recordings() -> None:
    assert least_fall(3000.0) < 25 < least_fall(8000.0)
