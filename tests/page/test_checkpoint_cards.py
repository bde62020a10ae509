"""What a visitor may choose, and what is said of it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub.constants  # noqa: F401 - before a test says in the environment that there is no network
import pytest
from hub_server import refused
from my_piano import manifest_entry

import babe2
from babe2.checkpoints.shelf import Shelf
from babe2.config import PRESETS, as_text
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import DEVICE, CheckpointCards, pace_of, restorer_of
from babe2.page.excerpt import Excerpt
from babe2.page.first_look import first_look

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"


@pytest.fixture
def cards(tmp_path: Path) -> CheckpointCards:
    return CheckpointCards(Shelf.at(tmp_path))


def test_states_are_fresh_and_the_manifest_is_read_once(tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(manifest_entry("bundled: a-folder"), "utf-8")
    cards = CheckpointCards(Shelf.at(tmp_path / "cache", more))
    more.unlink()

    def states() -> dict[str, str]:
        return {row["id"]: row["state"] for row in cards.rows()}

    assert states()["piano-small"] == "bundled" and states()["piano"] == states()["my-piano"] == "remote"
    assert not cards.is_here("my-piano")
    (tmp_path / "a-folder").mkdir()
    assert states()["my-piano"] == "bundled" and cards.is_here("my-piano")
    (tmp_path / "a-folder").rmdir()
    assert states()["my-piano"] == "remote"


def test_denoisers_are_not_offered_to_restore_with(cards: CheckpointCards) -> None:
    assert "piano-small" in cards.priors and "denoiser-small" not in cards.priors
    assert all(row["settings"] for row in cards.rows())
    with pytest.raises(RestorationError, match="There is no checkpoint 'denoiser-small' here"):
        cards.checked("denoiser-small")


def test_nothing_of_it_names_a_place_on_this_machine(cards: CheckpointCards, tmp_path: Path) -> None:
    assert "path" not in cards.row("piano-small")
    assert str(tmp_path) not in str(cards.rows()) and str(EXAMPLE.parents[1]) not in str(cards.rows())


def test_a_card_tells_state_licence_and_credit(cards: CheckpointCards) -> None:
    card = cards.card("piano-small")
    assert "Included in babe2" in card and "CC BY 4.0" in card and "Kimiko Ishizaka" in card
    assert "unverified source" in cards.card("piano")
    assert "at your own risk" in cards.card("me/mine")
    assert 'aria-label="Average spectrum of the music it knows: strongest at ' in card
    assert "<svg" not in cards.card("piano") + cards.card("me/mine")  # none of what is not here
    assert cards.rights("piano-small")["licence"] == "CC BY 4.0" and cards.rights("me/mine") == {}


def test_a_card_takes_no_markup_from_a_manifest_and_no_portrait_from_a_damaged_file(tmp_path: Path) -> None:
    more, folder = tmp_path / "more.yaml", tmp_path / "a-folder"
    more.write_text(manifest_entry("bundled: a-folder").replace("credit: me", "credit: <img src=x>"), "utf-8")
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}", "utf-8")
    card = CheckpointCards(Shelf.at(tmp_path / "cache", more)).card("my-piano")
    assert "&lt;img src=x&gt;" in card and "<img" not in card and "<svg" not in card


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "examples", "me/mine", "../babe2/bundled/piano-small", "~/model", "", None, [], 7, "x" * 5000],
)
def test_only_checkpoints_of_the_list_may_be_used(cards: CheckpointCards, name: Any) -> None:
    for use in (cards.checked, cards.here, cards.restorer):
        with pytest.raises(RestorationError, match="There is no checkpoint") as told:
            use(name)
        assert len(str(told.value)) < 200


@pytest.fixture
def open_cards(tmp_path: Path) -> CheckpointCards:
    """Where any repository on the Hub may be named."""
    return CheckpointCards(Shelf.at(tmp_path), any_hub_id=True)


@pytest.mark.parametrize("name", ["me/mine", "me/mine@main", "me/mine@refs/pr/3", "me/mine@0123456789abcdef"])
def test_repositories_may_be_named_where_that_is_allowed(open_cards: CheckpointCards, name: str) -> None:
    assert open_cards.checked(name) == name and not open_cards.is_here(name)


@pytest.mark.parametrize(
    "name",
    [
        "~/private",
        "./x",
        "../x",
        "x/../y",
        "me/mine/deep",
        "/me/mine",
        "me/",
        "me/mine@",
        "me/mine@../x",
        "~me/mine",
        "a b/c",
    ],
)
def test_a_path_is_no_repository_there_either(open_cards: CheckpointCards, name: str) -> None:
    with pytest.raises(RestorationError, match="There is no checkpoint"):
        open_cards.checked(name)


def test_a_folder_of_this_machine_is_neither_used_nor_told_of(
    open_cards: CheckpointCards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is called as a repository may be: the answer is the same with and without it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def answer() -> str:
        with pytest.raises(RestorationError) as told:
            restorer_of("me/mine")
        return str(told.value)

    without = answer()
    shutil.copytree(Path(babe2.__file__).parent / "bundled" / "piano-small", tmp_path / "me" / "mine")
    assert answer() == without


def test_looking_fetches_nothing_and_loads_once(cards: CheckpointCards) -> None:
    assert cards.here("piano") is None and cards.reference("piano") is None
    assert cards.here("piano-small") is cards.restorer("piano-small") is restorer_of("piano-small", DEVICE)


def test_without_a_network_the_way_out_is_told(cards: CheckpointCards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RestorationError, match="not on this machine, which may use no network") as told:
        cards.restorer("piano")
    assert "/" not in str(told.value)


def test_what_cannot_be_fetched_is_told_with_a_visitors_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused() as nowhere:
        more = tmp_path / "more.yaml"
        more.write_text(manifest_entry(f"url: {nowhere}/my-piano.pt"), "utf-8")
        monkeypatch.setenv("BABE2_MANIFEST", str(more))
        cards = CheckpointCards(Shelf.at(tmp_path / "cache"))
        with pytest.raises(RestorationError) as told:
            cards.restorer("my-piano")
    fact, *ways_out = str(told.value).split(". ")
    assert fact.startswith("my-piano cannot be had: ") and "cannot be reached" in fact
    assert ways_out == ["Choose one that is on this machine already", "Or try again later."]


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_means_is_known_before_anything_is_loaded(cards: CheckpointCards, preset: str) -> None:
    loaded = restorer_of("piano-small").method(preset=preset)
    said = {name: as_text(value) for name, value in loaded.settings.as_dict().items()}
    assert cards.settings("piano-small", preset) == said
    assert cards.settings("voice", preset)["segment_length"] == "262144"
    assert cards.settings("voice", preset, "guided" if preset != "paper" else "babe2")["filter_max_hz"] == "22050.0"
    assert cards.settings("me/mine", preset) == {}


def test_the_time_is_told_where_the_checkpoint_is_here(cards: CheckpointCards) -> None:
    seen = first_look(EXAMPLE)

    def needed(checkpoint: str, preset: str, overrides: dict[str, str], length: float) -> float | None:
        return cards.seconds_needed(checkpoint, preset, overrides, [(length, seen.channels, seen.sample_rate)])

    def told(checkpoint: str, excerpt: Excerpt) -> str:
        length = excerpt.seconds_of(seen.seconds)
        return cards.time_words(checkpoint, length, needed(checkpoint, "draft", {"steps": "12"}, length))

    assert told("piano-small", Excerpt(2.0, 4.0)).startswith("4.0 s of sound will take about ")
    assert told("piano-small", Excerpt()).startswith("12 s of sound")
    assert "is fetched first" in told("piano", Excerpt())


def test_the_time_is_measured_with_what_a_visitor_chose(cards: CheckpointCards) -> None:
    """A solver that takes gradients is several times slower at each step than the preset's own."""
    pace, guided = (
        pace_of("piano-small", "draft", overrides, 0) for overrides in ((), (("solver", "guided"), ("ltas", "off")))
    )
    assert guided.evaluation.at(100_000) > 1.2 * pace.evaluation.at(100_000)


def test_a_time_is_told_for_nothing_that_cannot_be(cards: CheckpointCards, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = [(2.0, 1, 22_050)]
    with pytest.raises(RestorationError, match="steps cannot be 'banana'"):
        cards.seconds_needed("piano-small", "draft", {"steps": "banana"}, sounds)
    with pytest.raises(RestorationError, match="There is no preset"):
        cards.seconds_needed("piano-small", "loud", {}, sounds)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RestorationError, match="may use no network"):
        cards.seconds_needed("piano", "draft", {}, sounds)


def test_the_list_marks_what_has_to_be_fetched(cards: CheckpointCards, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = {name: title for title, name in cards.choices()}
    assert titles["piano-small"] == "Solo piano, small" and "to be fetched first" in titles["caruso"]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert all("not on this machine" in title for title, name in cards.choices() if not name.endswith("-small"))


def test_visitors_who_come_at_once_load_a_checkpoint_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len({id(each) for each in pool.map(restorer_of, ["piano-small"] * 4)}) == 1
