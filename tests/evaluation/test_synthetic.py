"""Measures on signals whose scores can be worked out by hand; then everything at once with the small checkpoint."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import REFERENCE
from torch import Tensor

from babe2 import Cancelled, RestorationError, Restorer, Step
from babe2.degradations.families import Bump, HornResponse, ResponseFamily
from babe2.dsp.curves import Curve, SampledCurve, WeightedSum
from babe2.dsp.spectra import ReferenceLtas
from babe2.evaluation.measures import (
    SCORING_RATE,
    TRUTH_LEVEL,
    at_level,
    band_passed,
    band_si_sdr,
    envelope_correlation,
    flatness_excess,
    level_error,
    log_spectral_distance,
    ltas_distance,
    matched,
    response_error,
    si_sdr,
    spectral_flatness,
)
from babe2.evaluation.sheet import sheet
from babe2.evaluation.synthetic import Evaluation, as_truth, evaluate_synthetic, score, spoiled
from babe2.evaluation.table import COLUMNS, MEASURES, confidence, summary, table

RATE = SCORING_RATE


def noise(seconds: float = 2.0, level: float = TRUTH_LEVEL, seed: int = 0, channels: int = 0) -> Tensor:
    shape = (channels, round(seconds * RATE)) if channels else (round(seconds * RATE),)
    return level * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tone(hertz: float, level: float = TRUTH_LEVEL, seconds: float = 2.0) -> Tensor:
    turns = hertz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return (level * math.sqrt(2) * torch.sin(2 * math.pi * turns)).float()


def music(seconds: float = 1.0, seed: int = 0) -> Tensor:
    """Two notes a second, with partials up to 9 kHz that die away the sooner the higher they are."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    since = time % 0.5
    sound = 1e-5 * rng.standard_normal(len(time))
    for pitch in (196.0, 247.0, 330.0):
        for partial in range(1, int(9000 / pitch)):
            fading = np.exp(-(2 + partial / 10) * since) / partial
            sound = sound + rng.uniform(0.3, 1) * fading * np.sin(2 * np.pi * (pitch * partial * time + rng.uniform()))
    return at_level(torch.from_numpy(sound).float(), TRUTH_LEVEL)


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


# Log-spectral distance


def test_the_truth_is_at_no_distance_from_itself() -> None:
    assert log_spectral_distance(music(), music(), RATE, (100.0, 3000.0)) == 0


@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_a_gain_is_as_far_away_as_it_is_large(gain_db: float) -> None:
    truth = noise()  # 44 dB above what counts as silence
    distance = log_spectral_distance(truth * 10 ** (gain_db / 20), truth, RATE, (100.0, 3000.0))
    assert distance == pytest.approx(abs(gain_db), abs=0.02)


def test_a_distance_is_that_of_its_band_alone() -> None:
    truth = noise()
    low = band_passed(truth, RATE, (0.0, 4000.0))
    assert log_spectral_distance(low, truth, RATE, (100.0, 3000.0)) < 0.1
    # The upper band is there at 0.08^2 times the window's 768, on average 53.9 dB over silence; the mean of the
    # logarithm of such noise lies 2.5 dB lower, its scatter is 5.6 dB.
    level = 10 * math.log10(TRUTH_LEVEL**2 * 768 / 2e-5)
    expected = math.hypot(level - 2.51, 5.57)
    assert log_spectral_distance(low, truth, RATE, (5000.0, 11025.0)) == pytest.approx(expected, abs=0.5)


def test_what_nobody_hears_counts_for_nothing() -> None:
    assert log_spectral_distance(noise(level=1e-7), noise(level=1e-7, seed=1), RATE, (100.0, 3000.0)) < 0.01


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
    truth, off = music(), tone(6000, seconds=1.0) + tone(60, seconds=1.0)
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


# Bootstrap


def test_an_interval_holds_the_mean_and_is_the_same_every_time() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 5.0, 3.0]
    interval = confidence(values)
    assert interval.mean == pytest.approx(sum(values) / 6)
    assert min(values) < interval.low < interval.mean < interval.high < max(values)
    assert confidence(values) == interval
    assert confidence(values, seed=1) != interval


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0]])
def test_what_does_not_scatter_has_no_width(values: list[float]) -> None:
    assert confidence(values) == (3.0, 3.0, 3.0)


def test_an_interval_is_as_wide_as_the_mean_scatters() -> None:
    values = np.random.default_rng(0).standard_normal(400).tolist()
    interval = confidence(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


# All at once

WHITE = ReferenceLtas(torch.ones(1025), RATE)


def test_the_truth_itself_has_full_marks() -> None:
    degraded = spoiled("a clip", music(), 0, ResponseFamily())
    scores = score(0.3 * degraded.truth, degraded.degradation.response, degraded, WHITE).scores
    assert (scores.lsd_recorded, scores.lsd_lost) == pytest.approx((0, 0), abs=1e-3)
    assert (scores.level_error, scores.flatness_excess) == pytest.approx((0, 0), abs=1e-3)
    assert scores.envelope_correlation == pytest.approx(1)
    assert scores.response_error == 0
    assert scores.si_sdr_gain > 80


def test_a_spoiled_recording_gains_nothing_over_itself_and_lacks_its_brilliance() -> None:
    degraded = spoiled("a clip", music(), 0, ResponseFamily())
    scores = score(degraded.observation, None, degraded, WHITE).scores
    assert scores.si_sdr_gain == pytest.approx(0, abs=1e-3)
    assert scores.response_error is None
    assert scores.lsd_recorded > 2 and scores.lsd_lost > 5 and scores.level_error > 10


def test_a_clip_is_scored_at_one_rate_and_level() -> None:
    truth = as_truth(5 * torch.randn(44100, generator=torch.Generator().manual_seed(0)), 44100)
    assert truth.shape == (RATE,)
    assert float(truth.std()) == pytest.approx(TRUTH_LEVEL, rel=1e-3)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint(REFERENCE.parent / "small_checkpoint", device="cpu")


QUICK = {"solver": "guided", "steps": 2, "filter_iterations": 2, "sigma_min": 0.1}


def evaluated(restorer: Restorer, **options: object) -> Evaluation:
    clips = [("first", music(1.0), RATE), ("second", music(1.0, seed=1), RATE)]
    return evaluate_synthetic(restorer, clips, **({"seeds": (0, 1)} | QUICK | options))


@pytest.fixture(scope="module")
def evaluation(restorer: Restorer) -> Evaluation:
    def cheat(observation: Tensor, sample_rate: int, response: Curve) -> Tensor:
        """The inverse of the known response, where it is not below -20 dB."""
        hertz = torch.fft.rfftfreq(len(observation), 1 / sample_rate)
        gain_db = response.gain_db(hertz[1:]).clamp(min=-20)
        gain = torch.nn.functional.pad(10 ** (-gain_db / 20), (1, 0))
        return torch.fft.irfft(torch.fft.rfft(observation) * gain, len(observation))

    return evaluated(restorer, restore_known=cheat)


def test_every_clip_meets_every_machine(evaluation: Evaluation) -> None:
    met = [(result.degraded.name, result.degraded.seed) for result in evaluation.clips]
    assert met == [("first", 0), ("first", 1), ("second", 0), ("second", 1)]
    machines = [result.degraded.degradation for result in evaluation.clips]
    assert machines[0] == machines[2] != machines[1]
    assert [result.name for result in evaluation.clean] == ["first", "second"]
    assert evaluation.repeatable


def test_every_rendition_is_scored_at_the_truths_level(evaluation: Evaluation) -> None:
    for result in evaluation.clips:
        for rendition in (result.input, result.ltas_eq, result.ours):
            assert rendition.audio.shape == result.degraded.truth.shape
            assert float(rendition.audio.square().mean().sqrt()) == pytest.approx(TRUTH_LEVEL, rel=1e-3)
        assert result.input.scores.response_error is None
        assert result.ours.scores.response_error != result.ltas_eq.scores.response_error
        assert result.seconds > 0


def test_who_knows_the_response_comes_close(evaluation: Evaluation) -> None:
    assert all(result.known_si_sdr is not None and result.known_si_sdr > 30 for result in evaluation.clips)


def test_the_summary_is_json_and_averages_clips_not_machines(evaluation: Evaluation) -> None:
    found = summary(evaluation)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    rows = {row["key"]: row for row in found["rows"]}
    assert list(rows) == [measure.key for measure in MEASURES]
    assert rows["seconds"]["input"] is None and rows["response_error"]["input"] is None
    gains = [result.ours.scores.si_sdr_gain for result in evaluation.clips]
    clips = [(gains[0] + gains[1]) / 2, (gains[2] + gains[3]) / 2]
    interval = rows["si_sdr_gain"]["ours"]
    assert interval["mean"] == pytest.approx(sum(clips) / 2)
    assert (interval["low"], interval["high"]) == pytest.approx((min(clips), max(clips)))
    assert found["clips"][2]["name"] == "second" and found["clips"][2]["ours"]["si_sdr_gain"] == gains[2]


def test_the_table_names_every_measure_beside_what_is_demanded(evaluation: Evaluation) -> None:
    lines = table(summary(evaluation)).splitlines()
    assert len({len(line) for line in lines}) == 1  # aligned
    assert all(title in lines[0] for title in (*COLUMNS.values(), "floor", "wanted"))
    for line, measure in zip(lines[1:], MEASURES, strict=False):
        assert line.startswith(measure.title) and line.endswith(measure.wanted)
    assert "bit-identical" in lines[-1] and "different" not in lines[-1]
    assert "different" in table(summary(replace(evaluation, repeatable=False))).splitlines()[-1]


def test_without_somebody_who_uses_the_response_there_is_no_such_row(evaluation: Evaluation) -> None:
    unknown = replace(evaluation, clips=tuple(replace(result, known_si_sdr=None) for result in evaluation.clips))
    (row,) = (row for row in summary(unknown)["rows"] if row["key"] == "known_si_sdr")
    assert row["ours"] is None
    assert table(summary(unknown))


def test_an_evaluation_tells_its_steps_and_can_be_stopped(restorer: Restorer) -> None:
    told: list[Step] = []
    with pytest.raises(Cancelled):
        evaluated(restorer, on_step=told.append, cancelled=lambda: len(told) >= 3)
    assert len(told) == 3


@pytest.mark.parametrize("missing", ["clips", "seeds", "reference"])
def test_an_evaluation_of_nothing_is_refused(restorer: Restorer, missing: str) -> None:
    if missing == "reference":
        restorer = Restorer(restorer._network, restorer.model, None)
    clips = [] if missing == "clips" else [("first", music(), RATE)]
    with pytest.raises(RestorationError):
        evaluate_synthetic(restorer, clips, seeds=() if missing == "seeds" else (0,), **QUICK)


# The sheet


def test_a_sheet_shows_four_sounds_to_one_scale_and_the_responses(evaluation: Evaluation) -> None:
    result = evaluation.clips[0]
    figure = sheet(result)
    *panels, chart, _ = figure.axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["Degraded recording", "LTAS-EQ", "Ours", "Truth"]
    assert {axes.images[0].get_clim() for axes in panels} == {(-100, 0)}
    assert {tuple(axes.images[0].get_extent()) for axes in panels} == {(0, 1.0, 0, RATE / 2000)}
    assert float(panels[3].images[0].get_array().max()) == pytest.approx(0)
    top = [float(panels[i].images[0].get_array()[600:].max()) for i in (0, 3)]
    assert top[0] < top[1] - 10  # what the machine lost is missing at the top of the picture
    lines = {line.get_label(): line for line in chart.lines}
    assert list(lines) == ["true", "LTAS-EQ", "ours"]
    hertz = lines["true"].get_xdata()
    np.testing.assert_allclose(lines["true"].get_ydata(), result.degraded.degradation.response.gain_db(hertz))
    scored = (hertz >= 120) & (hertz <= 6000)
    for name in ("LTAS-EQ", "ours"):
        offset = np.median((lines[name].get_ydata() - lines["true"].get_ydata())[scored])
        assert offset == pytest.approx(0, abs=1e-9)
