"""What a visitor may choose, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from babe2.checkpoints import manifest
from babe2.checkpoints.shelf import Shelf
from babe2.config import PRESETS, known_names
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import Showcase, restorer_of
from babe2.page.excerpt import Excerpt
from babe2.report.recipe import as_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"


@pytest.fixture
def showcase(tmp_path: Path) -> Showcase:
    return Showcase(Shelf.at(tmp_path))


def test_states_are_fresh_and_the_manifest_is_read_once(showcase: Showcase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "read", lambda *_: pytest.fail("it was read again"))
    states = {row["id"]: row["state"] for row in showcase.rows()}
    assert states["piano-small"] == "bundled" and states["piano"] == "remote"
    monkeypatch.setattr(Shelf, "at_hand", lambda *_: None)
    assert {row["state"] for row in showcase.rows()} == {"remote"}
    assert not showcase.is_here("piano-small")


def test_nothing_of_it_names_a_place_on_this_machine(showcase: Showcase, tmp_path: Path) -> None:
    assert "path" not in showcase.row("piano-small")
    assert str(tmp_path) not in str(showcase.rows()) and str(EXAMPLE.parents[1]) not in str(showcase.rows())


def test_a_card_tells_state_licence_and_credit(showcase: Showcase) -> None:
    card = showcase.card("piano-small")
    assert "Comes along" in card and "CC BY 4.0" in card and "Kimiko Ishizaka" in card
    assert "unverified source" in showcase.card("piano")
    assert "at your own risk" in showcase.card("me/mine")
    assert showcase.rights("piano-small")["licence"] == "CC BY 4.0" and showcase.rights("me/mine") == {}


@pytest.mark.parametrize("name", ["/etc/passwd", "examples", "me/mine", "../babe2/bundled/piano-small", ""])
def test_only_checkpoints_of_the_list_may_be_used(showcase: Showcase, name: str) -> None:
    for use in (showcase.checked, showcase.here, showcase.restorer):
        with pytest.raises(RestorationError, match="There is no checkpoint"):
            use(name)


def test_repositories_may_be_named_where_that_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE.parents[1])
    showcase = Showcase(Shelf.at(tmp_path), any_hub_id=True)
    assert showcase.checked("me/mine") == "me/mine" and not showcase.is_here("me/mine")
    with pytest.raises(RestorationError, match="There is no checkpoint"):
        showcase.checked("babe2/bundled")  # a folder of this machine


def test_looking_fetches_nothing_and_loads_once(showcase: Showcase) -> None:
    assert showcase.here("piano") is None and showcase.reference("piano") is None
    assert showcase.here("piano-small") is showcase.restorer("piano-small") is restorer_of("piano-small")


def test_without_a_network_the_way_out_is_told(showcase: Showcase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RestorationError, match="not on this machine, which may use no network") as told:
        showcase.restorer("piano")
    assert "/" not in str(told.value)


def test_what_cannot_be_fetched_is_told_with_a_visitors_ways_out(
    showcase: Showcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(checkpoint: str) -> None:
        raise RestorationError(f"{checkpoint} cannot be had: example.org cannot be reached. Give the path of a copy.")

    monkeypatch.setattr("babe2.page.checkpoint_cards.restorer_of", out_of_reach)
    with pytest.raises(RestorationError) as told:
        showcase.restorer("piano")
    assert str(told.value) == (
        "piano cannot be had: example.org cannot be reached. Choose one that comes along or is on this machine. "
        "Or try again later."
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_means_is_known_before_anything_is_loaded(showcase: Showcase, preset: str) -> None:
    loaded = restorer_of("piano-small").settings(preset)
    assert showcase.settings("piano-small", preset) == {name: as_text(getattr(loaded, name)) for name in known_names()}
    voice = showcase.settings("voice", preset)
    assert voice["segment_length"] == "262144" and voice["filter_max_hz"] == "22050.0"
    assert showcase.settings("me/mine", preset) == {}


def test_the_time_is_told_where_the_checkpoint_is_here(showcase: Showcase) -> None:
    def told(checkpoint: str, excerpt: Excerpt) -> str:
        return showcase.words_on_time(checkpoint, "draft", {"steps": "12"}, EXAMPLE, excerpt)

    assert told("piano-small", Excerpt(2.0, 4.0)).startswith("4.0 s of sound will take about ")
    assert told("piano-small", Excerpt()).startswith("12 s of sound")
    assert "fetches this checkpoint first" in told("piano", Excerpt())
