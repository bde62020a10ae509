"""Degradations as operators: their gradients, their adjoints, and what they leave of a sound."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from babe2.degradations.base import Degradation, Samplewise
from babe2.degradations.described import Place
from babe2.degradations.filters import Filter, transfer
from babe2.degradations.missing import Gaps
from babe2.degradations.noise_bank import looped, whole_turns
from babe2.degradations.spec import degradation_of, split

RATE = 8000
LINEAR = [
    "lowpass:1000",
    "highpass:500",
    "lowpass:1000,cheby1",
    "lowpass:1000,biquad",
    "lowpass:1000,cheby1,causal",
    "highpass:300,biquad,causal",
    "resample:4000",
    "decimate:4",
    "decimate:2,raw",
    "sense:0.4",
    "lowpass:1000+sense:0.5,seed=3",
]
BENT = ["clip:0.4", "phase", "clip:0.4+sense:0.5", "sense:0.5+clip:0.4", "lowpass:1000+clip:0.1"]


def noise(seed: int, samples: int = 3000, rows: int = 2) -> Tensor:
    return 0.5 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def operator(text: str, like: Tensor, rate: int = RATE) -> Degradation:
    return degradation_of(text).at(Place.whole(like, rate, torch.Generator().manual_seed(0)))


def bank(folder: Path) -> str:
    rng = np.random.default_rng(0)
    soundfile.write(folder / "a.wav", 0.1 * rng.standard_normal((RATE, 2)), RATE)
    soundfile.write(folder / "b.wav", 0.1 * rng.standard_normal(2 * RATE), 2 * RATE)
    return str(folder)


@pytest.mark.parametrize("text", [*LINEAR, *BENT, "noise-bank:DIR,snr=6", "noise-bank:DIR,gain=0.1"])
def test_a_gradient_is_what_a_small_step_says(text: str, tmp_path: Path) -> None:
    x, way = noise(0), noise(1)
    text = text.replace("DIR", bank(tmp_path))
    weights = noise(2, operator(text, x)(x).shape[1])

    def seen(sound: Tensor) -> Tensor:
        return (operator(text, sound)(sound) * weights).sum()  # a new operator draws the same noise

    moved = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(seen(moved), moved)
    step = 1e-6
    slope = (seen(x + step * way) - seen(x - step * way)) / (2 * step)
    assert math.isclose(float((gradient * way).sum()), float(slope), rel_tol=1e-4, abs_tol=1e-4)


@pytest.mark.parametrize("text", LINEAR)
def test_a_linear_degradation_has_its_gradient_for_adjoint(text: str) -> None:
    x, y = noise(0), noise(1)
    degradation = operator(text, x)
    assert degradation.linear
    moved = torch.zeros_like(x).requires_grad_()
    (adjoint,) = torch.autograd.grad((degradation(moved) * y).sum(), moved)
    assert math.isclose(float((degradation(x) * y).sum()), float((x * adjoint).sum()), rel_tol=1e-6)


@pytest.mark.parametrize("text", BENT)
def test_one_that_bends_does_not_call_itself_linear(text: str) -> None:
    assert not operator(text, noise(0)).linear


@pytest.mark.parametrize(
    "text", ["clip:0.4", "sense:0.4", "decimate:3,raw", "clip:0.6+sense:0.5", "sense:0.5+clip:0.4"]
)
def test_what_is_known_is_the_music_and_a_faithful_estimate_would_be_recorded_the_same(text: str) -> None:
    music, guess = noise(0), noise(1)
    degradation = operator(text, music)
    assert isinstance(degradation, Samplewise)
    recording = degradation(music)
    known = degradation.known(recording)
    assert torch.equal(recording[known], music[known])
    faithful = degradation.faithful(guess, recording)
    assert torch.allclose(degradation(faithful), recording, atol=1e-3)
    assert torch.equal(degradation.faithful(music, recording), music)


def test_gaps_are_where_the_list_says_wherever_a_segment_begins() -> None:
    gaps = Gaps.between([(0.5, 0.75), (0.7, 0.8), (0.1, 0.2)])
    assert gaps.spans == ((0.1, 0.2), (0.5, 0.8))
    samples = torch.arange(600, 1000)[None]
    known = gaps.at(Place(samples, 1000, 1000, torch.ones(1, 1), torch.Generator())).known(torch.zeros(1, 400))
    assert known[0].tolist() == [n >= 800 for n in range(600, 1000)]


def test_a_gap_is_wider_where_a_change_of_rate_has_spread_it() -> None:
    samples = torch.arange(1000)[None]
    place = Place(samples, 1000, 2000, torch.ones(1, 1), torch.Generator())
    known = Gaps.between([(0.5, 0.6)]).at(place).known(torch.zeros(1, 1000))[0]
    assert (~known).nonzero().flatten().tolist() == list(range(484, 616))


def test_the_share_that_is_sensed_is_the_one_asked_for_and_depends_on_the_seed() -> None:
    x = torch.ones(1, 20000)
    one, other = (operator(f"sense:0.25,seed={seed}", x)(x) for seed in (0, 1))
    assert abs(float(one.mean()) - 0.25) < 0.01
    assert not torch.equal(one, other)


@pytest.mark.parametrize("kind", ["cheby1", "biquad"])
@pytest.mark.parametrize("high", [False, True])
def test_filters_are_those_of_scipy(kind: str, high: bool) -> None:
    signal = pytest.importorskip("scipy.signal")
    hertz = np.array([10.0, 200.0, 900.0, 1000.0, 1500.0, 3500.0])
    side = "high" if high else "low"
    if kind == "cheby1":
        b, a = signal.cheby1(6, 1.0, 1000, side, fs=RATE)
    else:
        b, a = signal.butter(2, 1000, side, fs=RATE)
    expected = signal.freqz(b, a, hertz, fs=RATE)[1]
    found = transfer(Filter(1000.0, high, kind), torch.from_numpy(hertz), RATE).numpy()  # type: ignore[arg-type]
    assert np.allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("text", ["lowpass:1000", "lowpass:1000,cheby1", "resample:2100", "decimate:4"])
def test_a_low_pass_leaves_what_is_below_and_nothing_far_above(text: str) -> None:
    response, rest = split(degradation_of(text), RATE)
    assert response is not None and rest is None
    gain = response.gain_db(torch.tensor([200.0, 700.0, 2000.0, 3000.0]))
    assert gain[:2].abs().max() < 1.5
    assert gain[2:].max() < -40


def test_what_is_done_to_frequencies_first_becomes_a_response() -> None:
    response, rest = split(degradation_of("lowpass:1000+highpass:100+clip:0.3+lowpass:2000"), RATE)
    assert response is not None and rest is not None
    assert rest.text == "clip:0.3+lowpass:2000"
    assert not rest.closed_form
    assert degradation_of("lowpass:1000+clip:0.3").closed_form


def test_noise_has_the_level_that_was_asked_for(tmp_path: Path) -> None:
    folder, x = bank(tmp_path), noise(0)
    added = operator(f"noise-bank:{folder},snr=20", x)(x) - x
    ratio = 10 * torch.log10(x.square().sum(dim=1) / added.square().sum(dim=1))
    assert torch.allclose(ratio, torch.full_like(ratio, 20.0), atol=1e-3)
    added = operator(f"noise-bank:{folder},gain=0.02", x)(x) - x
    assert torch.allclose(added.square().mean(dim=1).sqrt(), torch.tensor(0.02, dtype=torch.float64), rtol=1e-3)


def test_every_call_draws_noise_of_its_own(tmp_path: Path) -> None:
    x = noise(0)
    degradation = operator(f"noise-bank:{bank(tmp_path)}", x)
    assert not torch.equal(degradation(x), degradation(x))


@pytest.mark.parametrize("samples", [50, 700, 6200, 20000])
def test_noise_of_any_length_is_looped_to_any_length(samples: int) -> None:
    excerpt = whole_turns(noise(0, samples)[0], RATE)
    assert len(excerpt) <= samples
    looped_noise = looped(excerpt, RATE, 50_000)
    assert len(looped_noise) == 50_000
    assert 0.5 < float(looped_noise.std() / excerpt.std()) < 1.2


def test_lost_phases_leave_the_magnitudes_about_as_they_were() -> None:
    t = torch.arange(RATE) / RATE
    x = (torch.sin(2 * math.pi * 440 * t) * torch.exp(-3 * t))[None]
    spoiled = degradation_of("phase").applied(x, RATE, torch.Generator().manual_seed(0))
    magnitudes = operator("phase", x)
    assert float((magnitudes(spoiled) - magnitudes(x)).norm() / magnitudes(x).norm()) < 0.3
    assert float((spoiled - x).norm() / x.norm()) > 0.5
