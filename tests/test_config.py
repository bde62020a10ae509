"""Settings: the published columns, changes from text, and sentences for what cannot work."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from classroom import COMPACT as SMALL_COMPACT

from babe2.config import COLUMNS, COMPACT, GROUPS, INSTRUMENTS, VOICE, SampleSettings, column_of
from babe2.config import PIANO as PIANO_COLUMN
from babe2.errors import RestorationError
from babe2.methods import values_of
from babe2.methods.paper import PaperSettings

PIANO = PaperSettings()  # which has the most settings of all

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
    assert (values_of(PIANO_COLUMN)[name], values_of(VOICE)[name]) == PUBLISHED[name]


def test_columns_go_by_their_names() -> None:
    assert COLUMNS == {"piano": PIANO_COLUMN, "voice": VOICE, "compact": COMPACT, "instruments": INSTRUMENTS}
    assert PIANO_COLUMN.settings(PaperSettings) == PIANO


@pytest.mark.parametrize(
    ("name", "published"), [("piano", (50, 1e-5, 10.0, 13.0, 5.0)), ("voice", (50, 1e-3, 100.0, 10.0, 5.0))]
)
def test_unconditional_sampling_has_the_published_schedule(name: str, published: tuple[float, ...]) -> None:
    settings = COLUMNS[name].settings(SampleSettings, **COLUMNS[name].sampling)
    assert (settings.steps, settings.sigma_min, settings.sigma_max, settings.rho, settings.churn) == published


def test_settings_cannot_be_changed_behind_a_back() -> None:
    with pytest.raises(FrozenInstanceError):
        PIANO.steps = 3  # type: ignore[misc]
    assert PIANO.changed(steps=3).steps == 3 and PIANO.steps == 51


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(RestorationError, match="There is no setting colour, xi") as refused:
        PIANO.changed(xi=1.0, colour="blue")
    assert all(name in str(refused.value) for name in PIANO.names())


def test_every_setting_is_explained_where_it_is_declared() -> None:
    for about in PIANO.about().values():
        assert about.group in GROUPS and about.label and about.hint and len(about.help) < 120
        assert about.label[0].isupper() and not about.label.endswith(".")
    assert PIANO.about()["guidance_strength"].help.endswith("(ξ)")


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
        ("keep_low_band", "yes", "true or false"),
        ("keep_low_band", 2, "true or false"),
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
        ("sigma_start", 1e-5),
        ("churn_max", -1.0),
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
        ("breakpoints_below_hz", (500.0, 0.0)),
        ("breakpoints_below_hz", (500.0, -20.0)),
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


def test_a_long_value_is_quoted_shortly() -> None:
    with pytest.raises(RestorationError) as refused:
        PIANO.changed(steps="9" * 5000 + "x")
    assert len(str(refused.value)) < 200


def test_a_compact_checkpoint_lends_its_column_its_rate_and_its_spectrum() -> None:
    column = column_of(replace(SMALL_COMPACT, column="compact"), 513)
    assert column.method == "bandwise"
    assert column.values == COMPACT.values | {"filter_max_hz": 4000.0, "ltas_fft": 1024}
    assert column.values["segment_length"] % 2048 == 0  # of which its segments must be multiples
