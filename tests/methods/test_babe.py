"""The predecessor: its low-pass, its fit and its sampler against numbers recorded from the published program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REFERENCE
from music import music
from torch import Tensor

from babe2 import Restorer
from babe2.config import COLUMNS, PIANO
from babe2.degradations.lowpass import LowPass, LowPassFit, low_pass, project
from babe2.dsp.curves import SampledCurve
from babe2.equalizer import BandSums, Equalizer, frequency_weight
from babe2.methods.babe import Babe, BabeSettings
from babe2.methods.registry import choose
from babe2.sampler import churn_factors, noise_schedule, restore

RATE, FFT = 22_050, 4096
BIN_HZ = RATE / FFT


@cache
def recorded(name: str) -> dict[str, Any]:
    with np.load(REFERENCE.parent / "babe_v1" / f"{name}.npz") as arrays:
        kinds = {key: arrays[key] for key in arrays.files}
    return {key: torch.from_numpy(x) if x.dtype.kind == "f" else x for key, x in kinds.items()}


def settings(**changes: Any) -> BabeSettings:
    return Babe.of(PIANO, "standard", changes).settings


def line(cutoffs: list[float], slopes: list[float]) -> Equalizer:
    return low_pass(torch.tensor(cutoffs).double(), torch.tensor(slopes).double(), BIN_HZ)


def passing_dc(curve: Equalizer) -> Tensor:
    magnitude = curve.magnitude(FFT, RATE)
    magnitude[0] = 1
    return magnitude


# The low-pass


@pytest.mark.parametrize(
    ("name", "cutoffs", "slopes"),
    [
        ("H_init5", [280.0, 285.0, 290.0, 295.0, 300.0], [-15.0, -17.0, -20.0, -25.0, -30.0]),
        ("H_single", [1000.0], [-20.0]),
        ("H_two", [1500.0, 1900.0], [-30.0, -80.0]),
    ],
)
def test_the_low_pass_is_the_published_one_at_every_bin(name: str, cutoffs: list[float], slopes: list[float]) -> None:
    torch.testing.assert_close(passing_dc(line(cutoffs, slopes)), recorded("filters")[name], atol=1e-6, rtol=1e-5)


def test_a_low_passed_signal_is_the_published_one() -> None:
    known = recorded("filters")
    degraded = LowPass(line([1500.0, 1900.0], [-30.0, -80.0]), FFT, RATE)(known["x"])
    torch.testing.assert_close(degraded, known["y"], atol=1e-6, rtol=1e-5)


def test_every_weighting_costs_what_it_costs_as_published() -> None:
    known = recorded("filters")
    sums, magnitude = BandSums.of(known["x"], known["y"], FFT), passing_dc(line([1000.0], [-20.0]))
    for name, published in zip(known["norm_names"], known["norm_vals"].tolist(), strict=True):
        weight = frequency_weight(str(name).lower(), FFT // 2 + 1)  # type: ignore[arg-type]
        assert float(sums.distance(magnitude, weight)) == pytest.approx(published, rel=2e-5), name


def test_the_response_has_a_slope_in_every_parameter_at_every_frequency() -> None:
    """Bins far below a cut-off, raised to a slope that is not theirs, would overflow and spoil all gradients."""
    parameters = torch.tensor([[9000.0, 9500.0, 10_000.0], [-1.0, -50.0, -50.0]]).double().requires_grad_()
    magnitude = low_pass(parameters[0], parameters[1], BIN_HZ).magnitude(FFT, RATE)
    (gradient,) = torch.autograd.grad(magnitude.sum(), parameters)
    assert gradient.isfinite().all() and (gradient[1] != 0).all()


# The fit


@pytest.fixture(scope="module")
def sums() -> BandSums:
    known = recorded("sampler")
    return BandSums.of(known["x"], known["y"], FFT)


def test_every_round_of_the_fit_goes_where_the_published_one_goes(sums: BandSums) -> None:
    """From where that one was: the descent doubles any rounding from round to round."""
    fit = LowPassFit(settings(filter_iterations=1), RATE)
    for before, after in pairwise(recorded("fit_trajectory")["params"].double()):
        fit.parameters = before
        fit.update(sums)
        torch.testing.assert_close(fit.parameters, after, atol=3e-3, rtol=0)  # Hz, dB per octave


def test_ten_rounds_by_themselves_end_where_the_published_ones_end(sums: BandSums) -> None:
    fit, published = LowPassFit(settings(filter_iterations=1), RATE), recorded("fit_trajectory")["params"].double()
    for after in published[1:11]:
        fit.update(sums)
        # Ours computes in float64; what theirs has rounded in its first round has grown a thousandfold in its tenth.
        torch.testing.assert_close(fit.parameters, after, atol=1e-2, rtol=1e-3)


def test_a_whole_fit_comes_far_nearer(sums: BandSums) -> None:
    fit = LowPassFit(settings(), RATE)
    begun = float(fit.cost(sums, fit.parameters))
    fit.update(sums)
    assert begun == pytest.approx(94, abs=1)
    assert float(fit.cost(sums, fit.parameters)) < 0.07 * begun


def test_a_fit_that_rests_stops(sums: BandSums) -> None:
    content = LowPassFit(settings(filter_tolerance_hz=1e6, filter_tolerance_db=1e6), RATE)
    content.update(sums)
    torch.testing.assert_close(content.parameters, recorded("fit_trajectory")["params"][1].double(), atol=3e-3, rtol=0)


def test_projected_cutoffs_keep_order_and_slopes_fall() -> None:
    wild = torch.tensor([[5.0, 3.0, 20_000.0, 100.0], [4.0, -60.0, -10.0, -20.0]]).double()
    legal = project(wild, settings())
    assert legal.tolist() == [[20.0, 21.0, 11_025.0, 11_025.0], [-1.0, -50.0, -50.0, -50.0]]
    torch.testing.assert_close(project(legal, settings()), legal)


# The sampler


def test_the_schedule_and_its_stirring_are_the_published_ones() -> None:
    known, own = recorded("sampler"), settings(steps=4)
    sigmas = noise_schedule(own.steps, own.sigma_min, own.sigma_start, own.rho)
    torch.testing.assert_close(sigmas, known["t"], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(churn_factors(sigmas, own), known["gamma"][:-1])


def toy(kernel: Tensor, sigma_data: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The network of the recorded run, preconditioned: a short filter, the quieter the lower the noise."""

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        variance = sigma**2 + sigma_data**2
        filtered = torch.nn.functional.conv1d((noisy / variance.sqrt())[:, None], kernel[None, None], padding=2)[:, 0]
        guessed = filtered * torch.sigmoid(sigma.log() / 4)
        return noisy * sigma_data**2 / variance + guessed * sigma * sigma_data / variance.sqrt()

    return denoise


def test_a_blind_run_replays_the_recorded_one() -> None:
    known, method = recorded("sampler"), Babe.of(PIANO, "standard", {"steps": 4})
    draws = iter(known["noise_draws"])
    found = restore(
        toy(known["kernel"], 0.063),
        method.blind(RATE),
        known["y"],
        method.sampler_settings,
        lambda shape: next(draws),
        **method.hooks,
    )
    assert next(draws, None) is None  # asked as often as the published program asks
    assert float((found.audio - known["result"]).norm() / known["result"].norm()) < 2e-3
    cutoffs, slopes = found.equalizer.parameters[:5], found.equalizer.parameters[5:10]  # type: ignore[attr-defined]
    torch.testing.assert_close(cutoffs.float(), known["filter_final"][0], rtol=0, atol=20.0)
    torch.testing.assert_close(slopes.float(), known["filter_final"][1], rtol=0, atol=2.0)


# The method


@pytest.mark.parametrize(
    ("column", "sigma_start", "sigma_min", "rho"),
    [("piano", 0.2, 1e-4, 8.0), ("instruments", 0.6, 1e-3, 9.0), ("compact", 0.2, 1e-4, 8.0)],
)
def test_each_kind_of_checkpoint_has_its_published_schedule(
    column: str, sigma_start: float, sigma_min: float, rho: float
) -> None:
    own = choose("babe", "standard", COLUMNS[column], {}).settings
    assert isinstance(own, BabeSettings)
    assert (own.sigma_start, own.sigma_min, own.rho) == (sigma_start, sigma_min, rho)
    assert (own.steps, own.order, own.churn, own.guidance_strength) == (35, 2, 20.0, 0.2)


def test_a_draft_takes_few_steps_and_does_not_go_down_so_far() -> None:
    own = choose("babe", "draft", PIANO, {}).settings
    assert isinstance(own, BabeSettings)
    assert own.steps == 10 and own.sigma_min == pytest.approx(0.2 / 50)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint(REFERENCE.parent / "small_checkpoint", device="cpu")


QUICK: dict[str, Any] = {"method": "babe", "steps": 2, "filter_iterations": 2, "sigma_min": 0.02}


def test_one_low_pass_is_found_and_kept_to(restorer: Restorer) -> None:
    recording = music(4.0)
    found = restorer.restore(recording, 8000, **QUICK)
    assert found.audio.shape == recording.shape and len(found.report["segments"]) > 2
    assert len({id(curve) for curve in found.equalizers}) == 1
    hertz = np.geomspace(40, 3900, 200)
    gain = found.equalizer.gain_db(hertz)
    assert gain[0] == 0 and (np.diff(gain) <= 1e-9).all() and gain[-1] < -5
    assert found.report["solver"] == found.report["method"] == "babe" and found.report["generates"]
    np.testing.assert_array_equal(restorer.restore(recording, 8000, **QUICK).audio, found.audio)


def test_a_recording_shorter_than_a_segment_and_one_with_silence_are_restored(restorer: Restorer) -> None:
    for recording in (music(0.3), np.concatenate([music(2.0), np.zeros((1, 20_000), np.float32)], axis=1)):
        found = restorer.restore(recording, 8000, **QUICK)
        assert found.audio.shape == recording.shape and np.isfinite(found.audio).all()


def test_a_given_response_is_kept_to(restorer: Restorer) -> None:
    response = SampledCurve(torch.tensor([500.0, 1000.0, 4000.0]), torch.tensor([0.0, 0.0, -30.0]))
    wishes = {name: value for name, value in QUICK.items() if name != "filter_iterations"}
    assert restorer.restore(music(1.0), 8000, response=response, **wishes).equalizer is response


def test_it_is_resumed_to_the_bit_with_the_low_pass_that_was_found(restorer: Restorer, tmp_path: Any) -> None:
    from babe2 import Cancelled
    from babe2.recordings.recorded import Samples

    sound, steps = Samples.of(music(4.0), 8000), []
    whole = restorer.restore_sound(sound, None, {}, **QUICK)
    with pytest.raises(Cancelled) as stopped:
        restorer.restore_sound(
            sound, tmp_path / "journal", {}, on_step=steps.append, cancelled=lambda: len(steps) > 3, **QUICK
        )
    assert stopped.value.partial is not None
    stopped.value.partial.storage.close()
    resumed = restorer.restore_sound(sound, tmp_path / "journal", {}, unfinished="resume", **QUICK)
    np.testing.assert_array_equal(resumed.audio, whole.audio)


def test_it_runs_on_a_compact_network_too() -> None:
    from classroom import COMPACT, babbling_network

    restorer = Restorer(babbling_network(), replace(COMPACT, column="compact"), None)
    found = restorer.restore(music(1.0), 8000, **QUICK)
    assert found.audio.shape == (1, 8000) and found.report["evaluations"] == 3
