"""Settings: the published columns, changes from text, and sentences for what cannot work."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from classroom import COMPACT as SMALL_COMPACT

from babe2.config import (
    COLUMNS,
    COMPACT,
    PIANO,
    PRESETS,
    UNCONDITIONAL,
    VOICE,
    Settings,
    known_names,
    preset_settings,
    settings_for,
)
from babe2.errors import RestorationError

# Specification, section 3: the evaluators' numbers, which win over the training configurations'.
PUBLISHED = {
    "steps": (51, 51),
    "order": (2, 2),
    "sigma_min": (4e-5, 1e-3),
    "sigma_max": (10.0, 100.0),
    "sigma_start": (0.5, 10.0),
    "rho": (13.0, 13.0),
    "churn": (10.0, 10.0),
    "churn_noise": (1.0, 1.0),
    "guidance_strength": (1.0, 0.5),
    "guidance_length": (184184, 262144),
    "observation_noise": (0.25, 1.0),
    "level": (0.07, 1.0),
    "ltas_fft": (2048, 4096),
    "filter_fft": (4096, 4096),
    "segment_length": (184184, 262144),
    "filter_max_hz": (22050 // 2, 44100 // 2),
    "filter_min_hz": (11.0, 11.0),
    "filter_iterations": (100, 100),
    "filter_learning_rate": (10.0, 10.0),
    "reference_hz": (1000.0, 1000.0),
    "breakpoints_above_hz": ((1500.0, 2000.0),) * 2,
    "breakpoints_below_hz": ((500.0, 50.0),) * 2,
    "slope_limit_db": (40.0, 40.0),
    "outer_slope_db": (80.0, 80.0),
    "ltas": ("objective",) * 2,
    "mode": ("autoregressive",) * 2,
    "overlap": (0.1, 0.1),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_columns_hold_the_published_numbers(name: str) -> None:
    assert (getattr(PIANO, name), getattr(VOICE, name)) == PUBLISHED[name]


def test_columns_go_by_their_names() -> None:
    assert COLUMNS == {"piano": PIANO, "voice": VOICE, "compact": COMPACT}
    assert Settings() == PIANO


@pytest.mark.parametrize(
    ("name", "published"), [("piano", (50, 1e-5, 10.0, 13.0, 5.0)), ("voice", (50, 1e-3, 100.0, 10.0, 5.0))]
)
def test_unconditional_sampling_has_the_published_schedule(name: str, published: tuple[float, ...]) -> None:
    settings = COLUMNS[name].changed(**UNCONDITIONAL[name])
    assert (settings.steps, settings.sigma_min, settings.sigma_max, settings.rho, settings.churn) == published


def test_settings_cannot_be_changed_behind_a_back() -> None:
    with pytest.raises(FrozenInstanceError):
        PIANO.steps = 3  # type: ignore[misc]
    assert PIANO.changed(steps=3).steps == 3 and PIANO.steps == 51


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(RestorationError, match="There is no setting colour, xi") as refused:
        PIANO.changed(xi=1.0, colour="blue")
    assert all(name in str(refused.value) for name in known_names())
    assert known_names() == [field.name for field in fields(Settings)]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "12", 12),
        ("steps", "1e2", 100),
        ("order", "1", 1),
        ("sigma_min", "1e-3", 1e-3),
        ("guidance_strength", "2", 2.0),
        ("ltas", "init", "init"),
        ("mode", "time-invariant", "time-invariant"),
        ("filter_weighting", "none", "none"),
        ("keep_low_band", "false", False),
        ("as_published", "True", True),
        ("breakpoints_above_hz", "1200,2400,4800", (1200.0, 2400.0, 4800.0)),
        ("breakpoints_below_hz", "300", (300.0,)),
    ],
)
def test_values_may_be_text(name: str, text: str, value: Any) -> None:
    found = getattr(PIANO.changed(**{name: text}), name)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 12.0), ("sigma_start", 1), ("keep_low_band", False), ("breakpoints_above_hz", [1200, 2400.0])],
)
def test_values_take_the_type_of_their_setting(name: str, value: Any) -> None:
    found = getattr(PIANO.changed(**{name: value}), name)
    assert type(found) is type(getattr(PIANO, name))
    assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("steps", "many", "a whole number"),
        ("steps", 12.5, "a whole number"),
        ("steps", None, "a whole number"),
        ("steps", float("inf"), "a whole number"),
        ("sigma_min", "small", "a number"),
        ("sigma_min", float("nan"), "a number"),
        ("level", "inf", "a number"),
        ("level", [1.0], "a number"),
        ("as_published", "yes", "true or false"),
        ("as_published", 2, "true or false"),
        ("breakpoints_above_hz", "1500,,2000", "numbers separated by commas"),
        ("breakpoints_above_hz", "1500;2000", "numbers separated by commas"),
        ("breakpoints_above_hz", 1500.0, "numbers separated by commas"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_the_right_kind(name: str, value: Any, kind: str) -> None:
    with pytest.raises(RestorationError) as refused:
        PIANO.changed(**{name: value})
    assert str(refused.value) == f"{name} cannot be {value!r}: it is {kind}."


@pytest.mark.parametrize(("name", "value"), [("ltas", "on"), ("mode", "blind"), ("filter_weighting", 3)])
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(name: str, value: Any) -> None:
    with pytest.raises(RestorationError, match=f"{name} is one of .*{getattr(PIANO, name)}.*, not {value!r}"):
        PIANO.changed(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 1),
        ("order", 3),
        ("sigma_min", 0.0),
        ("sigma_min", 0.5),
        ("sigma_min", 20.0),
        ("rho", 0.0),
        ("churn", -1.0),
        ("guidance_strength", -0.1),
        ("guidance_length", 0),
        ("level", 0.0),
        ("filter_fft", 15),
        ("filter_fft", 1001),
        ("filter_min_hz", 0.0),
        ("filter_min_hz", 20_000.0),
        ("filter_iterations", 0),
        ("breakpoints_above_hz", (2000.0, 1500.0)),
        ("breakpoints_above_hz", (900.0, 1500.0)),
        ("breakpoints_below_hz", (50.0, 500.0)),
        ("breakpoints_below_hz", (1000.0, 50.0)),
        ("slope_limit_db", 0.0),
        ("ltas_fft", 1022),
        ("ltas_floor_db", 1.0),
        ("segment_length", 0),
        ("overlap", -0.1),
        ("overlap", 0.6),
        ("blind_segments", 0),
    ],
)
def test_a_value_that_cannot_work_is_named(name: str, value: Any) -> None:
    with pytest.raises(RestorationError, match="These settings cannot work") as refused:
        PIANO.changed(**{name: value})
    assert f"{name} = {value}" in str(refused.value)


def test_settings_that_only_work_together_are_judged_together() -> None:
    assert PIANO.changed(reference_hz=3000.0, breakpoints_above_hz=(4000.0,)).reference_hz == 3000
    with pytest.raises(RestorationError, match="breakpoints_above_hz"):
        PIANO.changed(reference_hz=3000.0)


def test_an_equalizer_may_have_no_breakpoints() -> None:
    assert PIANO.changed(breakpoints_above_hz=(), breakpoints_below_hz=()).breakpoints_above_hz == ()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_make_settings_that_work(preset: str, column: str) -> None:
    settings = preset_settings(COLUMNS[column], preset)
    assert settings.changed() == settings  # which judges them all


def test_paper_is_the_column_as_published() -> None:
    for settings in (PIANO, VOICE):
        paper = preset_settings(settings, "paper")
        assert paper == settings.changed(as_published=True, keep_low_band=False)


def test_standard_mends_what_the_paper_preset_keeps() -> None:
    for settings in COLUMNS.values():
        assert not preset_settings(settings, "standard").as_published
        assert preset_settings(settings, "standard").keep_low_band


def test_paper_runs_the_published_algorithm_on_a_compact_checkpoint() -> None:
    paper = preset_settings(COMPACT, "paper")
    assert (paper.solver, paper.order, paper.steps, paper.ltas) == ("guided", 2, 51, "objective")
    assert (paper.sigma_start, paper.sigma_min, paper.churn) == (PIANO.sigma_start, PIANO.sigma_min, PIANO.churn)
    assert paper.as_published and not paper.keep_low_band
    # What belongs to the checkpoint stays its own.
    assert (paper.level, paper.segment_length) == (COMPACT.level, COMPACT.segment_length)
    assert preset_settings(COMPACT, "paper", steps=4).steps == 4


def test_the_compact_column_has_a_solver_of_its_own() -> None:
    assert (PIANO.solver, VOICE.solver, COMPACT.solver) == ("guided", "guided", "bandwise")
    assert COMPACT.order == 1 and COMPACT.ltas == "off"
    assert COMPACT.segment_length % 2048 == 0  # of which its segments must be multiples
    assert COMPACT.changed(solver="guided").solver == "guided"
    with pytest.raises(RestorationError, match="solver is one of guided, closed-form, bandwise, not 'magic'"):
        PIANO.changed(solver="magic")


def test_a_compact_checkpoint_lends_its_settings_its_rate_and_its_spectrum() -> None:
    settings = settings_for(replace(SMALL_COMPACT, column="compact"), 513)
    assert settings == replace(COMPACT, filter_max_hz=4000.0, ltas_fft=1024)  # and segments as long as the column's


def test_a_compact_draft_only_takes_fewer_steps() -> None:
    """Bands the prior does not carry cannot overshoot there, so the lowest level may stay."""
    assert preset_settings(COMPACT, "draft") == replace(COMPACT, steps=10)
    assert preset_settings(COMPACT, "draft", solver="guided").sigma_min == COMPACT.sigma_start / 50
    assert preset_settings(PIANO, "draft", solver="bandwise").sigma_min == PIANO.sigma_min


@pytest.mark.parametrize("column", ["piano", "voice"])
def test_published_networks_get_standard_and_draft_without_a_gradient(column: str) -> None:
    settings = COLUMNS[column]
    standard, draft = (preset_settings(settings, preset) for preset in ("standard", "draft"))
    assert standard.solver == draft.solver == "closed-form"
    assert standard.steps <= 20 and draft.steps <= 10
    assert draft.changed(steps=standard.steps) == standard
    # A voice is brought to another level than a piano, and the noise with it.
    assert standard.sigma_start / settings.level == pytest.approx(1.0)
    assert preset_settings(settings, "standard", level=2.0).sigma_start == pytest.approx(2.0)


def test_the_gradient_stays_at_hand_with_its_defects_mended() -> None:
    for settings in (PIANO, VOICE):
        assert preset_settings(settings, "standard", solver="guided") == settings


def test_a_guided_draft_takes_few_steps_and_does_not_go_down_so_far() -> None:
    for settings in (PIANO, VOICE):
        draft, standard = (preset_settings(settings, preset, solver="guided") for preset in ("draft", "standard"))
        assert draft.steps < standard.steps / 4
        # With few steps the published lowest level overshoots in the bands the prior does not carry (section 11).
        assert draft.sigma_min > standard.sigma_min
        assert draft.changed(steps=standard.steps, sigma_min=standard.sigma_min) == standard


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(RestorationError, match=r"There is no preset 'best'\. Choose one of paper, standard, draft"):
        preset_settings(PIANO, "best")
