"""Degrading, restoring and scoring clips, all at once, with the small checkpoint."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import REFERENCE
from sounds import song
from torch import Tensor

from babe2 import Cancelled, RestorationError, Restorer, Step
from babe2.dsp.curves import Curve
from babe2.dsp.distance import at_level
from babe2.dsp.spectra import ReferenceLtas
from babe2.evaluation.measures import SCORING_RATE, TRUTH_LEVEL
from babe2.evaluation.sheet import sheet
from babe2.evaluation.synthetic import Evaluation, as_truth, evaluate_synthetic, score, spoiled
from babe2.evaluation.table import COLUMNS, MEASURES, summary, table

RATE = SCORING_RATE


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


WHITE = ReferenceLtas(torch.ones(1025), RATE)


def test_the_truth_itself_has_full_marks() -> None:
    degraded = spoiled("a clip", music(), 0)
    scores = score(0.3 * degraded.truth, degraded.degradation.response, degraded, WHITE).scores
    assert (scores.lsd_recorded, scores.lsd_lost, scores.lsd_whole) == pytest.approx((0, 0, 0), abs=1e-3)
    assert (scores.level_error, scores.flatness_excess) == pytest.approx((0, 0), abs=1e-3)
    assert scores.envelope_correlation == pytest.approx(1)
    assert scores.response_error == 0
    assert scores.si_sdr_gain > 80


def test_a_spoiled_recording_gains_nothing_over_itself_and_lacks_its_brilliance() -> None:
    degraded = spoiled("a clip", music(), 0)
    scores = score(degraded.observation, None, degraded, WHITE).scores
    assert scores.si_sdr_gain == pytest.approx(0, abs=1e-3)
    assert scores.response_error is None
    assert scores.lsd_recorded > 2 and scores.lsd_lost > 5 and scores.level_error > 10


def test_a_voice_is_scored_by_its_melody_and_a_struck_string_is_not() -> None:
    sounds = (torch.from_numpy(song(struck, vibrato_cents=40)).float()[: 4 * RATE] for struck in (False, True))
    sung, struck = (spoiled("a clip", as_truth(sound, RATE), 0) for sound in sounds)
    itself = score(sung.truth, None, sung, WHITE).scores
    assert (itself.melody_kept, itself.melody_off) == (100, 0) and itself.visqol is None
    assert score(struck.truth, None, struck, WHITE).scores.melody_kept is None


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


def test_what_is_not_always_measured_has_a_row_where_it_was(evaluation: Evaluation) -> None:
    first, *others = evaluation.clips
    scores = replace(first.ours.scores, melody_kept=90.0, melody_off=4.0, visqol=3.0)
    known = replace(evaluation, clips=(replace(first, ours=replace(first.ours, scores=scores)), *others))
    rows = {row["key"]: row for row in summary(known)["rows"][len(MEASURES) :]}
    assert list(rows) == ["melody_kept", "melody_off", "visqol"] and rows["visqol"]["input"] is None
    assert rows["visqol"]["ours"]["mean"] == 3 and "ViSQOL, 1 to 5" in table(summary(known))


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


@pytest.fixture(scope="module")
def comparison(restorer: Restorer) -> Evaluation:
    clips = [("first", music(1.0), RATE), ("second", music(1.0, seed=1), RATE)]
    methods = ["babe2", "ltas-eq", "babe", "informed", "none", "babe"]
    return evaluate_synthetic(restorer, clips, methods=methods, cutoffs_hz="400,500,600,700,900", **QUICK)


def test_further_methods_are_scored_beside_ours(comparison: Evaluation) -> None:
    found = summary(comparison)
    assert list(found["columns"]) == [*COLUMNS, "babe", "informed", "none"]
    rows = {row["key"]: row for row in found["rows"]}
    assert rows["seconds"]["babe"]["mean"] > 0 and rows["lsd_band"]["babe"] != rows["lsd_band"]["ours"]
    for column in ("informed", "none"):  # who is told the response, and who does nothing, claims none
        assert rows["response_error"][column] is None
    for result in comparison.clips:
        assert result.others["none"].rendition.scores.si_sdr_gain == pytest.approx(0, abs=1e-3)
    pairs = [r.ours.scores.lsd_band - r.others["babe"].rendition.scores.lsd_band for r in comparison.clips]
    assert found["paired"]["lsd_band"]["babe"]["mean"] == pytest.approx(sum(pairs) / 2)


def test_a_table_of_further_methods_is_aligned(comparison: Evaluation) -> None:
    lines = table(json.loads(json.dumps(summary(comparison)))).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "babe" in lines[0].split() and any("against babe, LSD to the band's end" in line for line in lines)


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
