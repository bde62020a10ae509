"""The equalizer, Figure 1 as numbers; its fit against recorded trajectories and against responses planted here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import Vectors, deviation, some
from torch import Tensor

from babe2.config import FitSettings, Weighting
from babe2.dsp.curves import Curve, SampledCurve, WeightedSum
from babe2.dsp.spectra import amplitude, bin_frequencies, decibels
from babe2.equalizer import (
    BandSums,
    Equalizer,
    EqualizerFit,
    Flank,
    apply_magnitude,
    collapse_cost,
    frequency_weight,
    project,
)

PIANO = FitSettings()

RECORDED = {"small": (8000, 1024), "piano": (22050, 4096), "voice": (44100, 4096)}  # sample rate, FFT
# The recorded numbers' own tolerances; ours, in float64, meet them at 2e-6.
RESPONSE, GRADIENT = 1e-5, 1e-4


def equalizer(
    reference: float, below: list[float], above: list[float], slopes_below: list[float], slopes_above: list[float]
) -> Equalizer:
    """An equalizer from its breakpoints in Hz and its slopes in dB per octave, nearest first."""
    numbers = (torch.tensor(part, dtype=torch.float64) for part in (below, slopes_below, above, slopes_above))
    low, low_slopes, high, high_slopes = numbers
    return Equalizer(
        torch.tensor(reference, dtype=torch.float64), Flank(low, low_slopes), Flank(high, high_slopes), bin_hz=None
    )


@pytest.fixture
def horn() -> Equalizer:
    """0 dB from 250 Hz to 2 kHz, falling 12 dB per octave below that and 24 dB per octave above."""
    return equalizer(1000, below=[250], above=[2000], slopes_below=[0, 12], slopes_above=[0, -24])


def settings_of(name: str, recorded: Vectors) -> FitSettings:
    return FitSettings(filter_fft=RECORDED[name][1], filter_max_hz=float(recorded["fcmax"]))


def published_fit(settings: FitSettings, sample_rate: int) -> EqualizerFit:
    """As the published program begins it."""
    return EqualizerFit(settings, sample_rate, outer_slope_db=settings.slope_limit_db)


# What lines mean


@pytest.mark.parametrize(("hertz", "expected_db"), [(125, -12.0), (500, 0.0), (4000, -24.0), (8000, -48.0)])
def test_each_octave_past_a_breakpoint_costs_one_slope(horn: Equalizer, hertz: int, expected_db: float) -> None:
    frequencies = torch.arange(1.0, 10_001.0)
    assert horn.gain_db(frequencies)[hertz - 1].item() == pytest.approx(expected_db, abs=1e-3)


@pytest.mark.parametrize("hertz", [250, 1000, 2000])
def test_lines_meet_at_the_breakpoints(horn: Equalizer, hertz: float) -> None:
    around = torch.tensor([hertz * (1 - 1e-9), hertz, hertz * (1 + 1e-9)], dtype=torch.float64)
    assert horn.gain_db(around).abs().max() < 1e-6


def test_lines_tilt_on_both_sides_of_the_reference() -> None:
    tilted = equalizer(1000, below=[500], above=[4000], slopes_below=[6, 0], slopes_above=[-3, 0])
    hertz = torch.tensor([250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])
    torch.testing.assert_close(tilted.gain_db(hertz), torch.tensor([-6.0, -6.0, 0.0, -3.0, -6.0, -6.0]))


def test_gain_does_not_depend_on_the_grid_it_is_asked_at(horn: Equalizer) -> None:
    for curve in (horn, replace(horn, bin_hz=22050 / 4096)):
        whole = torch.logspace(1, 4, 301)
        alone = torch.cat([curve.gain_db(frequency[None]) for frequency in whole])
        torch.testing.assert_close(curve.gain_db(whole), alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(curve.gain_db(whole)[::7], curve.gain_db(whole[::7]), atol=1e-5, rtol=0)


def test_gain_is_an_array_for_an_array_and_a_tensor_for_a_tensor(horn: Equalizer) -> None:
    hertz = np.array([125.0, 500.0, 4000.0])
    curves: list[Curve] = [
        horn,
        SampledCurve(torch.tensor([100.0, 5000.0]), torch.tensor([0.0, -6.0])),
        WeightedSum((horn, horn), (0.5, 0.5)),
    ]
    for curve in curves:
        found = curve.gain_db(hertz)
        assert isinstance(found, np.ndarray)
        for dtype in (torch.float32, torch.float64):
            tensor = curve.gain_db(torch.from_numpy(hertz).to(dtype))
            assert tensor.dtype == dtype
            np.testing.assert_allclose(found, tensor.numpy(), atol=1e-5)


def test_joining_at_bins_moves_a_breakpoint_by_less_than_a_bin() -> None:
    steep = equalizer(1000, below=[410], above=[2003], slopes_below=[40, 0], slopes_above=[-40, 0])
    bin_hz = 22050 / 4096
    at_bins, hertz = replace(steep, bin_hz=bin_hz), torch.logspace(1.5, 4, 500, dtype=torch.float64)
    # 40 dB per octave over one bin at the lower breakpoint, the wider of the two in octaves.
    most = 40 * math.log2(410 / (410 - bin_hz))
    difference = (at_bins.gain_db(hertz) - steep.gain_db(hertz)).abs().max()
    assert 0 < difference < most


def test_parameters_come_back_in_the_published_order() -> None:
    published = torch.tensor([1000, 1500, 2000, 500, 50, 1, 2, 3, 4, 5, 6.0])
    found = Equalizer.from_parameters(published, above=2, below=2)
    assert found.reference == 1000
    assert found.above.breakpoints.tolist() == [1500, 2000] and found.above.slopes.tolist() == [1, 2, 3]
    assert found.below.breakpoints.tolist() == [500, 50] and found.below.slopes.tolist() == [4, 5, 6]
    assert found.edges.tolist() == [50, 500, 1000, 1500, 2000]
    assert torch.equal(found.parameters, published)


def test_an_equalizer_can_be_written_down(horn: Equalizer) -> None:
    assert json.loads(json.dumps(horn.as_dict())) == {
        "reference_hz": 1000.0,
        "breakpoints_below_hz": [250.0],
        "slopes_below_db": [0.0, 12.0],
        "breakpoints_above_hz": [2000.0],
        "slopes_above_db": [0.0, -24.0],
    }


def test_a_sampled_curve_is_straight_between_its_points_on_a_chart_of_octaves() -> None:
    curve = SampledCurve(torch.tensor([100.0, 400.0, 800.0]), torch.tensor([0.0, -12.0, 6.0]))
    hertz = torch.tensor([50.0, 100.0, 200.0, 400.0, 565.68542, 800.0, 3000.0])
    torch.testing.assert_close(curve.gain_db(hertz), torch.tensor([0.0, 0.0, -6.0, -12.0, -3.0, 6.0, 6.0]))


def test_one_machine_behind_another_adds_their_decibels(horn: Equalizer) -> None:
    hertz = torch.logspace(2, 4, 50)
    tape = SampledCurve(torch.tensor([100.0, 10_000.0]), torch.tensor([3.0, -9.0]))
    both = WeightedSum((horn, tape), (1.0, 1.0))
    torch.testing.assert_close(both.gain_db(hertz), horn.gain_db(hertz) + tape.gain_db(hertz))
    mean = WeightedSum((horn, tape), (0.25, 0.75))
    torch.testing.assert_close(mean.gain_db(hertz), 0.25 * horn.gain_db(hertz) + 0.75 * tape.gain_db(hertz))


# Filtering


def test_nothing_passes_at_dc(horn: Equalizer) -> None:
    magnitude = horn.magnitude(4096, 22050)
    assert magnitude.shape == (2049,) and magnitude[0] == 0
    frequencies = bin_frequencies(22050, 4096)[1:]
    torch.testing.assert_close(magnitude[1:], amplitude(horn.gain_db(frequencies)))


@pytest.mark.parametrize(("hertz", "expected_db"), [(125, -12.0), (500, 0.0), (4000, -24.0)])
def test_a_tone_is_changed_by_the_gain_at_its_frequency(horn: Equalizer, hertz: float, expected_db: float) -> None:
    time = torch.arange(22050, dtype=torch.float64) / 22050
    tone = torch.sin(2 * math.pi * hertz * time)[None]
    heard = apply_magnitude(horn.magnitude(4096, 22050).double(), tone)
    inner = slice(4096, -4096)
    expected = amplitude(torch.tensor(expected_db)) * tone
    # A Hamming window's main lobe is four bins, 22 Hz, over which 12 dB per octave change a tone at 125 Hz by 3 %;
    # being the same in every frame, the filter moves no tone in time.
    assert float((heard - expected)[:, inner].abs().max() / expected.abs().max()) < 0.03


def test_filtering_by_one_takes_nothing_but_the_constant() -> None:
    x = torch.randn(2, 10_000, generator=torch.Generator().manual_seed(0))
    assert deviation(apply_magnitude(torch.ones(513), x), x) < 2e-6


@pytest.mark.parametrize("samples", [1, 100, 1024])
def test_signals_shorter_than_a_frame_are_filtered_too(horn: Equalizer, samples: int) -> None:
    heard = apply_magnitude(horn.magnitude(1024, 8000), torch.ones(1, samples))
    assert heard.shape == (1, samples) and heard.isfinite().all()


# The recorded numbers


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("j", range(5))
def test_response_cost_and_gradients_are_the_published_ones(
    name: str, j: int, vectors: Callable[[str], Vectors]
) -> None:
    recorded, (rate, fft) = vectors(f"filter_{name}"), RECORDED[name]
    sums = BandSums.of(recorded["xden"], recorded["y"], fft)
    parameters = recorded["param_sets"][j].clone().requires_grad_()
    found = Equalizer.from_parameters(parameters, above=2, below=2, bin_hz=rate / fft)

    magnitude = found.magnitude(fft, rate)
    assert deviation(magnitude, recorded[f"H{j}"]) < RESPONSE
    filtered = apply_magnitude(magnitude.detach(), recorded["xden"])
    assert deviation(filtered[:, ::7], recorded[f"filt{j}"]) < RESPONSE

    cost = sums.distance(magnitude.double(), frequency_weight("sqrt", fft // 2 + 1))
    assert float(cost.detach()) == pytest.approx(float(recorded[f"rec{j}"]), rel=RESPONSE)
    (gradient,) = torch.autograd.grad(cost, parameters)
    assert deviation(gradient, recorded[f"rec_grad{j}"].double()) < GRADIENT

    collapse = collapse_cost(found, float(recorded["fcmin"]), float(recorded["fcmax"]), decay=0.1)
    assert float(collapse.detach()) == pytest.approx(float(recorded[f"bcr{j}"]), abs=RESPONSE)
    (gradient,) = torch.autograd.grad(collapse, parameters)
    # It depends on the reference and the breakpoints alone; absolute, because some of these are zero.
    torch.testing.assert_close(gradient[:5], recorded[f"bcr_grad{j}"].double(), atol=1e-5, rtol=0)
    assert not gradient[5:].any()


@pytest.mark.parametrize("name", RECORDED)
def test_projection_is_the_published_one(name: str, vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors(f"filter_{name}")
    rows = zip(recorded["proj_in"], recorded["proj_out"].double(), recorded["proj_ok"], strict=True)
    for parameters, expected, survived in rows:
        found = project(parameters, above=2, below=2, settings=settings_of(name, recorded))
        # Where the published program died of its own assertion it had not come to the slopes yet.
        comparable = slice(None) if survived else slice(5)
        # A last bit of float32 at 1000 Hz.
        torch.testing.assert_close(found[comparable], expected[comparable], atol=1e-4, rtol=0)


# How far the parameters may end from the recorded ones (Hz, dB per octave): the recorded numbers' own tolerances. Ours
# are within 9e-4 but for the voice, whose published path is chaotic: 1e-7 in its input moves its end by more than 1 Hz.
ENDS = {"small": 0.1, "piano": 0.05, "voice": 20.0}


@pytest.mark.parametrize("name", RECORDED)
def test_fit_takes_the_published_path(name: str, vectors: Callable[[str], Vectors]) -> None:
    recorded, (rate, fft) = vectors(f"filter_{name}"), RECORDED[name]
    x, y = recorded["xden"], recorded["y"]
    fit = published_fit(replace(settings_of(name, recorded), filter_iterations=1), rate)
    assert torch.equal(fit.parameters, recorded["init_params"].double())
    # A second fit, with the momentum of the first, hears another estimate; it is chaotic beyond its first iterations.
    first, second = BandSums.of(x, y, fft), BandSums.of(0.5 * x + 0.5 * y, y, fft)
    path = zip(recorded["fit_traj"].double(), recorded["fit_rec"], strict=True)
    for iteration, (published, cost) in enumerate(list(path)[:110]):
        sums = first if iteration < 100 else second
        if iteration < 50:
            found = sums.distance(fit.equalizer.magnitude(fft, rate), fit.weight)
            assert float(found) == pytest.approx(float(cost), rel=2e-5)  # float32 there; measured at 9e-6
        fit.update(sums)
        within = 1e-3 if iteration < 10 else 2e-2 if iteration < 50 else ENDS[name]
        torch.testing.assert_close(fit.parameters, published, atol=within, rtol=0)


@pytest.mark.parametrize("name", RECORDED)
def test_fit_ends_where_its_single_steps_end(name: str, vectors: Callable[[str], Vectors]) -> None:
    recorded, (rate, fft) = vectors(f"filter_{name}"), RECORDED[name]
    settings = settings_of(name, recorded)
    sums = BandSums.of(recorded["xden"], recorded["y"], fft)
    whole, stepped = published_fit(settings, rate), published_fit(replace(settings, filter_iterations=1), rate)
    whole.update(sums)
    assert whole.iterations == int(recorded["fit0_n"]) == 100  # it did not come to rest before
    for _ in range(100):
        stepped.update(sums)
    assert torch.equal(whole.parameters, stepped.parameters)
    whole.update(sums)
    assert whole.iterations == int(recorded["fit1_n"]) == 200


# What the fit must do whatever its path


def test_published_fits_begin_with_half_the_outer_slope_and_ours_do_not() -> None:
    begun = {True: published_fit(PIANO, 22050), False: EqualizerFit(PIANO, 22050)}
    assert [float(begun[True].equalizer.above.slopes[-1]), float(begun[True].equalizer.below.slopes[-1])] == [-40, 40]
    assert [float(begun[False].equalizer.above.slopes[-1]), float(begun[False].equalizer.below.slopes[-1])] == [-80, 80]


def test_fit_rests_when_nothing_moves() -> None:
    sums = BandSums.of(coloured_noise(8000), 0.5 * coloured_noise(8000), 1024)
    slow = replace(PIANO, filter_fft=1024, filter_max_hz=4000.0, filter_learning_rate=0.01)
    fit = EqualizerFit(slow, 8000)
    fit.update(sums)
    # The first step brings no rest, as nothing came before it; 0.01 at a step is within 0.1 everywhere.
    assert fit.iterations == 2


def test_fit_with_a_gradient_longer_than_the_clip_is_shortened_to_it() -> None:
    sums = BandSums.of(coloured_noise(8000), 0.1 * coloured_noise(8000), 1024)
    lengths = {}
    for clip in (1e-3, 1.0, 1e9):
        fit = EqualizerFit(replace(PIANO, filter_fft=1024, filter_max_hz=4000.0, filter_clip=clip), 8000)
        lengths[clip] = float(fit.gradient(sums).norm())
    assert lengths[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert lengths[1.0] == pytest.approx(1.0, rel=1e-3) and lengths[1e9] > 1


def test_band_sums_cost_what_the_spectrograms_cost(horn: Equalizer) -> None:
    x = coloured_noise(8000)
    y = x + 0.1 * coloured_noise(8000, seed=1)
    magnitude, weight = horn.magnitude(1024, 8000).double(), frequency_weight("sqrt", 513)
    window = torch.hamming_window(1024)
    spectra = [
        torch.stft(
            torch.nn.functional.pad(part, (0, 1024)), 1024, 512, window=window, center=False, return_complex=True
        )
        for part in (x, y)
    ]
    heard, observed = (spectrum.abs().double() for spectrum in spectra)
    expected = (weight[:, None] * (magnitude[:, None] * heard - observed)).norm()
    found = BandSums.of(x, y, 1024).distance(magnitude, weight)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_band_sums_of_a_batch_are_the_sums_of_its_items() -> None:
    x, y = torch.cat([coloured_noise(8000, seed) for seed in (0, 1)]), coloured_noise(8000, seed=2).expand(2, -1)
    together = BandSums.of(x, y, 1024)
    alone = [BandSums.of(x[i : i + 1], y[i : i + 1], 1024) for i in range(2)]
    torch.testing.assert_close(together.cross, alone[0].cross + alone[1].cross, rtol=1e-6, atol=0)
    torch.testing.assert_close(together.clean, alone[0].clean + alone[1].clean, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("weighting", "half"),
    [
        ("none", 1.0),
        ("linear", 0.5),
        ("sqrt", 0.5**0.5),
        ("log", math.log2(1.5)),
        ("quadratic", 0.25),
        ("cubic", 0.125),
        ("squared", 0.0625),
    ],
)
def test_weights_rise_to_one_at_nyquist(weighting: Weighting, half: float) -> None:
    weight = frequency_weight(weighting, 513)
    assert float(weight[256]) == pytest.approx(half)
    assert float(weight[-1]) == 1.0
    assert (weight.diff() >= 0).all()


def test_breakpoints_that_near_each_other_cost_more(horn: Equalizer) -> None:
    def cost(distance_hz: float) -> float:
        near = equalizer(1000, below=[250], above=[1000 + distance_hz], slopes_below=[0, 0], slopes_above=[0, 0])
        return float(collapse_cost(near, 11, 4000, decay=0.1))

    costs = [cost(distance) for distance in (0, 1, 10, 100, 1000)]
    assert costs[0] == pytest.approx(1.0)  # all others are hundreds of hertz apart
    assert all(nearer > farther for nearer, farther in pairwise(costs))
    assert cost(10) == pytest.approx(math.exp(-1), rel=1e-6)


@pytest.mark.parametrize("seed", range(50))
def test_projection_leaves_breakpoints_in_order_and_in_band(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    above, below = (int(count) for count in torch.randint(0, 4, (2,), generator=generator))
    hertz = 1000 + 10 ** (1 + 4 * torch.rand(1, generator=generator)) * torch.randn(
        1 + above + below, generator=generator
    )
    slopes = 60 * torch.randn(above + below + 2, generator=generator)
    settings = replace(PIANO, filter_max_hz=11025.0)
    found = project(torch.cat([hertz, slopes]).double(), above, below, settings)
    curve = Equalizer.from_parameters(found, above, below, bin_hz=22050 / 4096)
    assert (curve.edges.diff() >= 0).all()
    # A breakpoint pushed out by its neighbours keeps a thousandth of a hertz from each of them.
    assert curve.edges.min() >= settings.filter_min_hz - below * 1.1e-3
    assert curve.edges.max() <= settings.filter_max_hz
    inner = torch.cat([curve.above.slopes[:-1], curve.below.slopes[:-1]])
    assert (inner.abs() <= settings.slope_limit_db).all()
    assert curve.above.slopes[-1] == -settings.outer_slope_db and curve.below.slopes[-1] == settings.outer_slope_db
    assert curve.gain_db(bin_frequencies(22050, 4096)[1:]).isfinite().all()
    torch.testing.assert_close(project(found, above, below, settings), found, atol=1.1e-3, rtol=0)


def test_projection_leaves_legal_parameters_alone() -> None:
    legal = torch.tensor([1000, 1500, 2000, 500, 50, 3, -5, -80, 2, 6, 80.0], dtype=torch.float64)
    assert torch.equal(project(legal, 2, 2, PIANO), legal)


# The published program dies when a breakpoint comes to the end of the band.
@pytest.mark.parametrize("reference", [11.0, 1000.0, 4000.0])
@pytest.mark.parametrize("high", [[4000.0, 4000.0], [1e9, 1e9], [-1e9, 5.0]])
@pytest.mark.parametrize("low", [[11.0, 11.0], [-1e9, -1e9], [1e9, 0.0]])
def test_breakpoints_at_the_ends_of_the_band_do_not_end_the_run(
    reference: float, high: list[float], low: list[float]
) -> None:
    settings = replace(PIANO, filter_fft=1024, filter_max_hz=4000.0, filter_iterations=5)
    sums = BandSums.of(coloured_noise(8000), 0.5 * coloured_noise(8000, seed=1), 1024)
    fit = EqualizerFit(settings, 8000)
    moved = torch.tensor([reference, *high, *low, 1, 1, -80, 1, 1, 80], dtype=torch.float64)
    fit.parameters = project(moved, 2, 2, settings)
    assert fit.gradient(sums).isfinite().all()
    found = fit.update(sums)
    assert found.parameters.isfinite().all() and (found.edges.diff() >= 0).all()
    assert found.magnitude(1024, 8000).isfinite().all()


@pytest.mark.parametrize(("above", "below"), [((), ()), ((2000.0,), ()), ((1500.0, 2000.0, 3000.0), (500.0,))])
def test_fit_works_with_any_number_of_breakpoints(above: tuple[float, ...], below: tuple[float, ...]) -> None:
    settings = PIANO.changed(breakpoints_above_hz=above, breakpoints_below_hz=below, filter_fft=1024)
    fit = EqualizerFit(replace(settings, filter_max_hz=4000.0), 8000)
    x = coloured_noise(8000)
    before = float(fit.cost(BandSums.of(x, x, 1024), fit.parameters))
    found = fit.update(BandSums.of(x, x, 1024))
    assert len(found.edges) == len(above) + len(below) + 1
    assert float(fit.cost(BandSums.of(x, x, 1024), fit.parameters)) < before


@pytest.mark.parametrize("silent", ["clean", "observed", "both"])
def test_fit_survives_silence(silent: str) -> None:
    x = coloured_noise(8000)
    clean = 0 * x if silent in ("clean", "both") else x
    observed = 0 * x if silent in ("observed", "both") else x
    fit = EqualizerFit(replace(PIANO, filter_fft=1024, filter_max_hz=4000.0), 8000)
    assert fit.update(BandSums.of(clean, observed, 1024)).parameters.isfinite().all()


def coloured_noise(rate: int, seed: int = 0, seconds: float = 2.0) -> Tensor:
    """Noise (1, T) falling by 6 dB per octave above 300 Hz, as music does, at the level segments are sampled at."""
    white = torch.randn(1, round(rate * seconds), generator=torch.Generator().manual_seed(seed))
    frequencies = torch.fft.rfftfreq(white.shape[-1], 1 / rate)
    coloured = torch.fft.irfft(torch.fft.rfft(white) / (1 + frequencies / 300), n=white.shape[-1])
    return 0.07 * coloured / coloured.std()


# Machines to find, as breakpoints and slopes below and above 0 dB; the outermost slopes are where their bands end.
PLANTS = {
    "horn": equalizer(1000, [400, 120], [2000, 3500], [0, 6, 80], [0, -12, -80]),
    "acoustic": equalizer(700, [450, 150], [1200, 2500], [2, 15, 80], [4, -6, -80]),
    "telephone": equalizer(1200, [600, 300], [2500, 3300], [5, 30, 80], [3, -20, -80]),
    "wide": equalizer(1000, [250, 80], [3000, 4500], [1, 8, 80], [-1, -9, -80]),
}


def planted(plant: Equalizer) -> tuple[BandSums, Tensor]:
    """What a fit is told of a plant, and at which bins (F,) it has something to go by: 30 dB below the loudest."""
    x = coloured_noise(22050, seed=1, seconds=8.35)
    sums = BandSums.of(x, apply_magnitude(plant.magnitude(4096, 22050).float(), x), 4096)
    level = decibels(sums.observed[1:])
    return sums, bin_frequencies(22050, 4096)[1:].double()[level > level.max() - 30]


def errors_db(found: Equalizer, plant: Equalizer, frequencies: Tensor) -> Tensor:
    return (found.gain_db(frequencies) - plant.gain_db(frequencies)).abs()


@pytest.mark.parametrize("name", some(PLANTS, "telephone"))
def test_fit_as_published_comes_near_a_planted_response(name: str) -> None:
    sums, frequencies = planted(PLANTS[name])
    fit = EqualizerFit(PIANO, 22050)
    means = []
    for _ in range(20):  # as often as in ten steps of the sampler
        means.append(float(errors_db(fit.update(sums), PLANTS[name], frequencies).mean()))
    # Steps of 10 Hz and 10 dB per octave keep it rolling around the best, now nearer (0.1 dB), now farther (3 dB): the
    # middle of the last ten fits, measured at 0.2 to 0.8 dB.
    assert sorted(means[10:])[5] < 1.5


@pytest.mark.thorough
@pytest.mark.parametrize("name", some(PLANTS, "acoustic"))
def test_gentler_and_longer_fit_recovers_a_planted_response(name: str) -> None:
    sums, frequencies = planted(PLANTS[name])
    patient = PIANO.changed(
        filter_learning_rate=2.0, filter_iterations=2000, filter_tolerance_hz=0.0, filter_tolerance_db=0.0
    )
    error = errors_db(EqualizerFit(patient, 22050).update(sums), PLANTS[name], frequencies)
    # Measured at 0.06, 0.12, 0.11 and 0.30 dB; the most, 0.7, 0.7, 0.9 and 3.0 dB, within a few bins of a joint.
    assert float(error.mean()) < 0.5
    assert float(error.max()) < (4.5 if name == "wide" else 1.5)
