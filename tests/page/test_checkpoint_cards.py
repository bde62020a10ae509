"""What a visitor may choose, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from babe2.checkpoints import manifest
from babe2.checkpoints.shelf import Shelf
from babe2.config import PRESETS
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import CheckpointCards, restorer_of
from babe2.page.excerpt import Excerpt
from babe2.report.recipe import as_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"


@pytest.fixture
def cards(tmp_path: Path) -> CheckpointCards:
    return CheckpointCards(Shelf.at(tmp_path))


def test_states_are_fresh_and_the_manifest_is_read_once(
    cards: CheckpointCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "read", lambda *_: pytest.fail("it was read again"))
    states = {row["id"]: row["state"] for row in cards.rows()}
    assert states["piano-small"] == "bundled" and states["piano"] == "remote"
    monkeypatch.setattr(Shelf, "at_hand", lambda *_: None)
    assert {row["state"] for row in cards.rows()} == {"remote"}
    assert not cards.is_here("piano-small")


def test_nothing_of_it_names_a_place_on_this_machine(cards: CheckpointCards, tmp_path: Path) -> None:
    assert "path" not in cards.row("piano-small")
    assert str(tmp_path) not in str(cards.rows()) and str(EXAMPLE.parents[1]) not in str(cards.rows())


def test_a_card_tells_state_licence_and_credit(cards: CheckpointCards) -> None:
    card = cards.card("piano-small")
    assert "Comes along" in card and "CC BY 4.0" in card and "Kimiko Ishizaka" in card
    assert "unverified source" in cards.card("piano")
    assert "at your own risk" in cards.card("me/mine")
    assert cards.rights("piano-small")["licence"] == "CC BY 4.0" and cards.rights("me/mine") == {}


@pytest.mark.parametrize("name", ["/etc/passwd", "examples", "me/mine", "../babe2/bundled/piano-small", ""])
def test_only_checkpoints_of_the_list_may_be_used(cards: CheckpointCards, name: str) -> None:
    for use in (cards.checked, cards.here, cards.restorer):
        with pytest.raises(RestorationError, match="There is no checkpoint"):
            use(name)


def test_repositories_may_be_named_where_that_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE.parents[1])
    cards = CheckpointCards(Shelf.at(tmp_path), any_hub_id=True)
    assert cards.checked("me/mine") == "me/mine" and not cards.is_here("me/mine")
    with pytest.raises(RestorationError, match="There is no checkpoint"):
        cards.checked("babe2/bundled")  # a folder of this machine


def test_looking_fetches_nothing_and_loads_once(cards: CheckpointCards) -> None:
    assert cards.here("piano") is None and cards.reference("piano") is None
    assert cards.here("piano-small") is cards.restorer("piano-small") is restorer_of("piano-small")


def test_without_a_network_the_way_out_is_told(cards: CheckpointCards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RestorationError, match="not on this machine, which may use no network") as told:
        cards.restorer("piano")
    assert "/" not in str(told.value)


def test_what_cannot_be_fetched_is_told_with_a_visitors_ways_out(
    cards: CheckpointCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(checkpoint: str) -> None:
        raise RestorationError(f"{checkpoint} cannot be had: example.org cannot be reached. Give the path of a copy.")

    monkeypatch.setattr("babe2.page.checkpoint_cards.restorer_of", out_of_reach)
    with pytest.raises(RestorationError) as told:
        cards.restorer("piano")
    assert str(told.value) == (
        "piano cannot be had: example.org cannot be reached. Choose one that comes along or is on this machine. "
        "Or try again later."
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_means_is_known_before_anything_is_loaded(cards: CheckpointCards, preset: str) -> None:
    loaded = restorer_of("piano-small").method(preset=preset)
    said = {name: as_text(value) for name, value in loaded.settings.as_dict().items()}
    assert cards.settings("piano-small", preset) == {"solver": loaded.name} | said
    assert cards.settings("voice", preset)["segment_length"] == "262144"
    assert cards.settings("voice", preset, "guided" if preset != "paper" else None)["filter_max_hz"] == "22050.0"
    assert cards.settings("me/mine", preset) == {}


def test_the_time_is_told_where_the_checkpoint_is_here(cards: CheckpointCards) -> None:
    def told(checkpoint: str, excerpt: Excerpt) -> str:
        return cards.words_on_time(checkpoint, "draft", {"steps": "12"}, EXAMPLE, excerpt)

    assert told("piano-small", Excerpt(2.0, 4.0)).startswith("4.0 s of sound will take about ")
    assert told("piano-small", Excerpt()).startswith("12 s of sound")
    assert "fetches this checkpoint first" in told("piano", Excerpt())
