"""Which method is meant, with which settings; and what a method does not use is refused."""

from __future__ import annotations

from typing import Any

import pytest

from babe2.config import COLUMNS, COMPACT, PIANO, PRESETS, VOICE, Column
from babe2.errors import RestorationError
from babe2.methods import BABE2, METHODS, all_settings, choose, names, presets_of, used, users_of
from babe2.methods.guided import GuidedSettings
from babe2.methods.paper import PaperSettings
from babe2.methods.registry import sampling


def settings(column: Column, preset: str, **overrides: Any) -> Any:
    return choose(BABE2, preset, column, overrides).settings


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *((name, preset) for name in (BABE2, *METHODS) for preset in ("standard", "draft") if name != "paper"),
        *((name, "paper") for name in (BABE2, "paper", "behm-gan", "ltas-eq", "none")),
        ("paper", "standard"),
    ],
)
def test_every_method_has_settings_that_work_in_its_presets(name: str, preset: str, column: str) -> None:
    chosen = choose(name, preset, COLUMNS[column], {}).settings
    assert chosen.changed() == chosen  # which judges them all


def test_babe2_means_what_the_preset_and_the_checkpoint_say() -> None:
    meant = {
        (preset, name): choose(BABE2, preset, column, {}).name for preset in PRESETS for name, column in COLUMNS.items()
    }
    assert {method for (preset, _), method in meant.items() if preset == "paper"} == {"paper"}
    for preset in ("standard", "draft"):
        assert [meant[preset, name] for name in COLUMNS] == ["closed-form", "closed-form", "bandwise", "closed-form"]
    assert choose(BABE2, "standard", COMPACT, {"solver": "guided"}).name == "guided"
    assert choose("guided", "standard", COMPACT, {}).name == "guided"


def test_paper_is_the_column_as_published() -> None:
    for column in (PIANO, VOICE):
        assert settings(column, "paper") == column.settings(PaperSettings, keep_low_band=False)
        assert choose(BABE2, "paper", column, {}).folds


def test_paper_runs_the_published_algorithm_on_a_compact_checkpoint() -> None:
    paper, published = settings(COMPACT, "paper"), PIANO.settings(PaperSettings)
    assert (paper.order, paper.steps, paper.ltas) == (2, 51, "objective")
    assert (paper.sigma_start, paper.sigma_min, paper.churn) == (
        published.sigma_start,
        published.sigma_min,
        published.churn,
    )
    # What belongs to the checkpoint stays its own.
    assert (paper.level, paper.segment_length) == (COMPACT.values["level"], COMPACT.values["segment_length"])
    assert settings(COMPACT, "paper", steps=4).steps == 4


def test_a_compact_draft_only_takes_fewer_steps() -> None:
    """Bands the prior does not carry cannot overshoot there, so the lowest level may stay."""
    assert settings(COMPACT, "draft") == settings(COMPACT, "standard", steps=10)
    assert settings(COMPACT, "draft", solver="guided").sigma_min == COMPACT.values["sigma_start"] / 50


@pytest.mark.parametrize("column", [PIANO, VOICE])
def test_published_networks_get_standard_and_draft_without_a_gradient(column: Column) -> None:
    standard, draft = (settings(column, preset) for preset in ("standard", "draft"))
    assert standard.steps <= 20 and draft.steps <= 10
    assert draft.changed(steps=standard.steps) == standard
    # A voice is brought to another level than a piano, and the noise with it.
    assert standard.sigma_start / column.values.get("level", 0.07) == pytest.approx(1.0)
    assert settings(column, "standard", level=2.0).sigma_start == pytest.approx(2.0)


def test_the_gradient_stays_at_hand_with_its_defects_mended() -> None:
    for column in (PIANO, VOICE):
        assert settings(column, "standard", solver="guided") == column.settings(GuidedSettings)
        assert settings(column, "standard").keep_low_band


def test_a_guided_draft_takes_few_steps_and_does_not_go_down_so_far() -> None:
    for column in (PIANO, VOICE):
        draft, standard = (settings(column, preset, solver="guided") for preset in ("draft", "standard"))
        assert draft.steps < standard.steps / 4
        # With few steps the published lowest level overshoots in the bands the prior does not carry (section 11).
        assert draft.sigma_min > standard.sigma_min
        assert draft.changed(steps=standard.steps, sigma_min=standard.sigma_min) == standard


@pytest.mark.parametrize("preset", ["standard", "draft"])
@pytest.mark.parametrize("solver", ["guided", "closed-form", "bandwise"])
@pytest.mark.parametrize("name", ["sigma_start", "level"])
def test_a_value_that_cannot_work_is_told_without_any_that_follows_from_it(preset: str, solver: str, name: str) -> None:
    with pytest.raises(RestorationError, match=rf"^These settings cannot work: {name} = 0\.0\. See"):
        settings(PIANO, preset, solver=solver, **{name: 0})


def test_a_guided_draft_begins_as_low_as_it_is_wished() -> None:
    assert settings(PIANO, "draft", solver="guided", sigma_start=1e-13).sigma_min == pytest.approx(2e-15)


@pytest.mark.parametrize("column", COLUMNS)
def test_what_a_preset_takes_is_what_it_runs_with(column: str) -> None:
    taken = presets_of(COLUMNS[column])
    assert list(taken) == [*PRESETS, "solver=guided", "solver=babe", "sample"]
    for preset in PRESETS:
        method = choose(BABE2, preset, COLUMNS[column], {})
        assert taken[preset] == {"solver": method.name, **method.settings.as_dict()}
    assert taken["solver=guided"]["solver"] == "guided" and taken["solver=babe"]["solver"] == "babe"
    run = {values["solver"] for values in taken.values() if "solver" in values}
    others = {name for name in all_settings() if users_of(name) and set(users_of(name)).isdisjoint(run)}
    assert set().union(*taken.values()) == set(all_settings()) - others


@pytest.mark.parametrize(
    ("name", "preset", "overrides", "sentence"),
    [
        (BABE2, "best", {}, r"There is no preset 'best'\. Choose one of paper, standard, draft\."),
        ("magic", "standard", {}, r"There is no method 'magic'\. Choose one of babe2, informed, paper, guided"),
        (
            BABE2,
            "standard",
            {"solver": "magic"},
            r"solver is one of paper, guided, closed-form, bandwise, babe, not 'magic'",
        ),
        (BABE2, "paper", {"solver": "bandwise"}, "The preset paper is a method of its own"),
        ("guided", "paper", {}, "The preset paper is a method of its own. Choose another one for guided"),
        ("paper", "draft", {}, "The published algorithm has no draft"),
        ("ltas-eq", "standard", {"solver": "guided"}, "has no solver to choose"),
        (BABE2, "standard", {"stepss": 3}, r"There is no setting stepss\. Known settings: solver, steps"),
        (
            BABE2,
            "standard",
            {"guidance_strength": 0.5},
            r"guidance_strength changes nothing with the method closed-form\. paper, guided and babe use it: choose",
        ),
        (BABE2, "standard", {"ltas_floor_db": -5}, "paper and guided use it: choose one of them as solver, or"),
        ("closed-form", "standard", {"ltas_floor_db": -5}, "paper, guided and ltas-eq use it: .* as method, or"),
        (BABE2, "standard", {"guidance_length": 9000}, "paper uses it: choose it as solver, or"),
        (BABE2, "standard", {"sigma_max": 3}, r"sigma_max changes nothing .*Only `babe2 sample` uses it"),
        ("ltas-eq", "standard", {"steps": 3}, "steps changes nothing with the method ltas-eq"),
        ("guided", "standard", {"blind_segments": 3}, "blind_segments changes nothing, as mode is autoregressive"),
        ("guided", "standard", {"ltas": "off", "ltas_fft": 2048}, "ltas_fft changes nothing, as ltas is off"),
        (
            "paper",
            "standard",
            {"guidance_strength": 0, "guidance_length": 9000},
            "guidance_length changes nothing, as guidance_strength is 0",
        ),
        ("bandwise", "standard", {"churn_noise": 2, "churn": 0}, "churn_noise changes nothing, as churn is 0"),
    ],
)
def test_what_would_change_nothing_or_does_not_exist_is_refused_in_a_sentence(
    name: str, preset: str, overrides: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RestorationError, match=sentence):
        choose(name, preset, PIANO, overrides)


def test_a_given_response_leaves_nothing_to_fit() -> None:
    with pytest.raises(RestorationError, match="filter_clip changes nothing, as the response is given"):
        choose("guided", "standard", PIANO, {"filter_clip": 2.0}, response_known=True)


def test_a_given_response_is_refused_where_it_would_not_be_kept_to() -> None:
    with pytest.raises(RestorationError, match="A given response changes nothing with the method ltas-eq"):
        choose("ltas-eq", "standard", PIANO, {}, response_known=True)


def test_informed_is_babe2_with_a_response_that_is_given() -> None:
    for column in COLUMNS.values():
        informed = choose("informed", "standard", column, {}, response_known=True)
        assert informed == choose(BABE2, "standard", column, {}, response_known=True)
    assert choose("informed", "standard", PIANO, {"solver": "guided"}, response_known=True).name == "guided"
    with pytest.raises(RestorationError, match=r"informed keeps to a response that is given, .* choose babe2"):
        choose("informed", "standard", PIANO, {})


def test_a_person_may_ask_for_every_method_by_name() -> None:
    assert names() == ["babe2", "informed", *METHODS]
    assert {"paper", "guided", "ltas-eq", "babe", "none"} <= set(METHODS)


def test_one_set_of_wishes_serves_several_methods() -> None:
    wishes = {"solver": "guided", "steps": 5, "filter_clip": 2.0, "ltas_floor_db": -10.0}
    assert used(BABE2, "standard", PIANO, wishes) == wishes
    assert used("ltas-eq", "standard", PIANO, wishes) == {"ltas_floor_db": -10.0}
    assert used(BABE2, "standard", PIANO, wishes, response_known=True) == {"solver": "guided", "steps": 5}
    with pytest.raises(RestorationError, match="There is no setting stepss"):
        used("ltas-eq", "standard", PIANO, {"stepss": 1})


def test_music_out_of_nothing_refuses_what_would_change_nothing_too() -> None:
    with pytest.raises(RestorationError, match="churn_max changes nothing, as churn is 0"):
        sampling(PIANO, "standard", {"churn": 0, "churn_max": 2.0})


def test_every_setting_has_somebody_who_uses_it() -> None:
    assert [name for name in all_settings() if not users_of(name)] == ["solver", "sigma_max"]
