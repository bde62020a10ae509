"""The machine of a recording is found on real music that was aged, and where there is none, none is found."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from babe2 import Restorer, audio
from babe2.analysis.chain import RecordingChain
from babe2.analysis.estimator import Guess, ResponseNetwork
from babe2.analysis.evidence import COUNT, FEATURES, band_centres, beside, evidence_of, reference_levels
from babe2.analysis.machine import chain_of, find_machine, find_machine_at_unit_level, heard_band, is_ended
from babe2.analysis.response import estimate_response
from babe2.analysis.spectrum import Spectrum
from babe2.degradations.aging import Aging, age, degrade
from babe2.degradations.families import FAMILIES
from babe2.degradations.horn import Bump, HornResponse
from babe2.degradations.surface import Hum, Surface
from babe2.degradations.transfer import Coding, Gate
from babe2.dsp.curves import FLAT, Curve
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import MemoryTape
from babe2.evaluation.measures import response_error
from babe2.evaluation.synthetic import as_truth, recorded_band

RATE = 22050
PIANO = Path(__file__).parents[2] / "examples" / "variation.flac"
HORN = HornResponse(140.0, 3000.0, bumps=(Bump(500.0, 7.0, 0.25), Bump(1500.0, -5.0, 0.3)))


@cache
def music() -> Tensor:
    """A real piano (T,)."""
    recording = audio.read(PIANO)
    return as_truth(torch.as_tensor(recording.audio).mean(dim=0), recording.sample_rate)


@cache
def reference() -> ReferenceLtas:
    found = Restorer.from_checkpoint("piano-small", device="cpu").reference
    assert found is not None
    return found


def aged(response: Curve = HORN, seed: int = 0, **how: object) -> Tensor:
    aging = Aging(response, **({"surface": Surface(-45.0)} | how))  # type: ignore[arg-type]
    return degrade(music(), RATE, aging, torch.Generator().manual_seed(seed))[None]


def found(x: Tensor) -> RecordingChain:
    return find_machine(x, RATE, reference())


def octaves_apart(one: float, other: float) -> float:
    return abs(math.log2(one / other))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"surface": Surface(-30.0)},
        {"surface": Surface(-45.0, hum=Hum(50.0, -20.0))},
        {"surface": Surface(-45.0, rumble_db=-15.0)},
        {"surface": Surface(-45.0, clicks=3.0)},
        {"gate": Gate()},
        {"coding": Coding(9000.0)},
    ],
    ids=["hiss", "much hiss", "hum", "rumble", "clicks", "gate", "coding"],
)
def test_response_and_end_of_a_real_piano_are_found_through(how: dict[str, object]) -> None:
    chain = found(aged(**how))
    truth = age(music(), RATE, Aging(HORN, surface=Surface(-45.0)), torch.Generator().manual_seed(0))
    assert chain.ends
    assert octaves_apart(chain.last_hz, recorded_band(truth)[1]) < 1 / 3 + 1 / 6
    assert response_error(chain.response, HORN, (150.0, 3000.0)) < 3.5


def test_it_beats_the_closed_form_over_all_families() -> None:
    ours, closed = [], []
    for name, family in FAMILIES.items():
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            aging = family.draw(generator)
            parts = age(music(), RATE, aging, generator)
            band, x = recorded_band(parts), parts.recording[None]
            ours.append(response_error(found(x).response, aging.response, band))
            baseline = estimate_response(Spectrum.of(x / x.std(), RATE), reference())
            closed.append(response_error(baseline.response, aging.response, band))
            assert name != "modern" or ours[-1] < 3
    assert sum(ours) < sum(closed)


def test_a_modern_recording_goes_on_and_is_as_good_as_flat() -> None:
    chain = found(music()[None])
    assert not chain.ends and chain.band.end_hz is None
    assert response_error(chain.response, FLAT, (120.0, 4000.0)) < 2


def test_most_true_responses_lie_in_the_stated_band() -> None:
    inside, all_ = 0, 0
    for family in list(FAMILIES.values())[:6]:
        generator = torch.Generator().manual_seed(2)
        for _ in range(3):
            aging = family.draw(generator)
            parts = age(music(), RATE, aging, generator)
            chain, (low, high) = found(parts.recording[None]), recorded_band(parts)
            hertz = band_centres()
            hertz = hertz[(hertz > low) & (hertz < high)]
            difference = chain.response.gain_db(hertz) - aging.response.gain_db(hertz)
            assert chain.uncertainty is not None
            near = (difference - difference.median()).abs() < chain.uncertainty.gain_db(hertz)
            inside, all_ = inside + int(near.sum()), all_ + len(near)
    assert 0.75 < inside / all_ < 0.99


def test_the_level_of_a_recording_says_nothing_of_its_machine() -> None:
    soft, loud = found(aged()), found(100 * aged())
    torch.testing.assert_close(
        soft.response.gain_db(band_centres()), loud.response.gain_db(band_centres()), atol=1e-3, rtol=0
    )
    assert loud.band.floor_db - soft.band.floor_db == pytest.approx(40, abs=0.1)


def test_the_floor_is_that_of_the_noise_not_of_hum_clicks_or_pauses() -> None:
    for surface in (Surface(-30.0), Surface(-30.0, clicks=3.0)):
        x = aged(surface=surface)
        x = x / x.std()
        assert found(x).band.floor_db == pytest.approx(-30, abs=4)
        padded = torch.cat([torch.zeros(1, 5 * RATE), x], dim=1)
        assert found(padded).band.floor_db == pytest.approx(found(x).band.floor_db, abs=0.5)


def test_a_tape_is_judged_as_the_sound_on_it_with_its_channels_at_one_level() -> None:
    x = torch.cat([aged(seed=0), 0.1 * aged(seed=1)])
    chain, spread = find_machine_at_unit_level(MemoryTape(x), RATE, reference())
    torch.testing.assert_close(spread, x.std(dim=1, correction=0).double(), rtol=1e-3, atol=0, check_dtype=False)
    expected = found(x / x.std(dim=1, keepdim=True))
    torch.testing.assert_close(
        chain.response.gain_db(band_centres()), expected.response.gain_db(band_centres()), atol=0.05, rtol=0
    )


@pytest.mark.parametrize(("rate", "bits"), [(8000, 16), (11025, 16), (16000, 24)])
def test_what_was_kept_at_a_lower_rate_ends_there(rate: int, bits: int) -> None:
    kept, steps = resample(resample(music()[None], RATE, rate), rate, RATE), 2 ** (bits - 1)
    chain = found((kept * steps).round() / steps)
    assert chain.ends
    assert octaves_apart(chain.last_hz, rate / 2) < 1 / 6


def test_above_a_coders_wall_nothing_is_heard_however_clear_the_recording_is() -> None:
    horn = HornResponse(120.0, 4000.0, order=2.0, slope_db=3.0)
    chain = found(aged(horn, surface=Surface(-60.0), coding=Coding(4600.0)))
    assert chain.ends
    assert octaves_apart(chain.last_hz, 4600) < 1 / 12
    at_end, beyond = chain.response.gain_db(torch.tensor([chain.last_hz, 1.1 * chain.last_hz]))
    assert float(beyond - at_end) < -80  # that nothing is there says nothing of the music


@pytest.mark.parametrize("seconds", [0.02, 0.2, 0.7])
def test_a_moment_of_sound_has_an_answer(seconds: float) -> None:
    chain = found(aged()[:, 5 * RATE : 5 * RATE + round(seconds * RATE)])
    assert chain.response.gain_db(band_centres()).isfinite().all()


@pytest.mark.parametrize("what", ["silence", "noise", "one note", "clicks"])
def test_what_is_no_music_has_no_nonsense_for_an_answer(what: str) -> None:
    time = torch.arange(8 * RATE) / RATE
    noise = torch.randn(8 * RATE, generator=torch.Generator().manual_seed(0))
    sounds = {
        "silence": torch.zeros(8 * RATE),
        "noise": noise,
        "one note": torch.sin(2 * math.pi * 440 * time) * torch.exp(-time % 1) + 1e-4 * noise,
        "clicks": (noise > 4).float(),
    }
    chain = found(sounds[what][None])
    gains = chain.response.gain_db(torch.linspace(chain.first_hz, chain.last_hz, 50))
    assert gains.isfinite().all() and float(gains.amax() - gains.amin()) < 60
    assert chain.inverse(band_centres()).isfinite().all()


def test_evidence_says_the_same_at_other_rates() -> None:
    one, other = evidence_of(aged(), RATE), evidence_of(resample(aged(), RATE, 44100), 44100)
    assert one is not None and other is not None
    some = (band_centres() > 100) & (band_centres() < 9000)
    torch.testing.assert_close(one.features[some, 0], other.features[some, 0], atol=0.7, rtol=0)


def test_where_music_and_noise_are_equally_strong_the_band_ends() -> None:
    hertz = band_centres()
    snr = 20 - 12 * (hertz / 1000).log2().abs() * 2
    first, last = heard_band(snr)
    assert first == pytest.approx(1000 / 2 ** (20 / 24), rel=0.01)
    assert last == pytest.approx(1000 * 2 ** (20 / 24), rel=0.01)
    assert heard_band(snr - 100) == (pytest.approx(45), pytest.approx(float(hertz[-1])))


def test_beyond_its_end_a_response_falls_and_noise_covers_what_a_coder_left_out() -> None:
    hertz = band_centres()
    flat = torch.zeros(COUNT, dtype=torch.float64)
    snr = torch.where(hertz < 3000, 30.0, -30.0).double()
    power = torch.where(hertz < 3000, 1.0, 1e-8).double()
    guess = Guess(flat, flat + 1, snr, flat + 1, flat, flat + 1, torch.tensor(7.0))
    chain = chain_of(guess, power)
    assert chain.ends and 2800 < chain.last_hz < 3300
    assert float(chain.response.gain_db(torch.tensor([2 * chain.last_hz]))) == pytest.approx(-60, abs=1)
    above = torch.tensor([4000.0, 8000.0])
    assert (chain.covering.gain_db(above) >= chain.noise.gain_db(torch.tensor([chain.last_hz])) - 1e-3).all()


@pytest.mark.parametrize(
    ("odds", "fall_db", "ended"), [(7.0, 0.0, True), (3.0, 0.0, False), (3.0, 12.0, True), (1.0, 12.0, False)]
)
def test_a_band_is_ended_where_its_response_falls_or_where_there_is_no_doubt(
    odds: float, fall_db: float, ended: bool
) -> None:
    hertz = band_centres()
    flat = torch.zeros(COUNT, dtype=torch.float64)
    response = torch.where(hertz > 2700, -fall_db, 0.0).double()
    assert is_ended(Guess(response, flat, flat, flat, flat, flat, torch.tensor(odds)), 100.0, 4000.0) == ended


def test_the_network_takes_any_number_of_recordings() -> None:
    network = ResponseNetwork(width=16, layers=1).eval()
    both = network(torch.randn(2, COUNT, FEATURES, generator=torch.Generator().manual_seed(0)), torch.zeros(2))
    assert both.response.shape == both.music.shape == (2, COUNT) and both.ends.shape == (2,)
    found_ = evidence_of(aged(), RATE)
    assert found_ is not None
    assert beside(found_, reference_levels(reference())).shape == (COUNT, FEATURES)
