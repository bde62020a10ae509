"""What the page does when it is touched, without a browser."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from matplotlib.image import imread

from babe2.checkpoints.shelf import Shelf
from babe2.commands.main import main
from babe2.page.callbacks import SETTINGS, Callbacks, looked_at, part_of, progress_bar
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.excerpt import Excerpt

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = str(EXAMPLES / "old_variation.flac")
RATE = 22_050  # Hz


@pytest.fixture
def callbacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callbacks:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Callbacks(CheckpointCards(Shelf.at(tmp_path / "cache")), 60.0, EXAMPLES)


def visitor(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


SOUNDING = (0, 0, None, "restore", [])  # seed, brightness, a recording like it, what to do, by which stages


def fields(recording: str | None = EXAMPLE, preset: str = "draft", start: Any = 0, **settings: str) -> tuple[Any, ...]:
    texts = (settings.get(name, "") for name in SETTINGS)
    return (recording, "piano-small", preset, *SOUNDING, False, start, 2, *texts)


def updates(news: Any) -> list[dict[str, Any]]:
    return list(news)


def test_who_presses_twice_ends_his_first_run(callbacks: Callbacks) -> None:
    callbacks.get_ready(visitor("a"))
    first = callbacks.runs["a"]
    callbacks.get_ready(visitor("a"))
    assert first() and not callbacks.runs["a"]()
    callbacks.leave(visitor("a"))
    assert callbacks.runs == {}


def test_who_waits_is_told_of_those_before_him(callbacks: Callbacks) -> None:
    assert "waiting for its turn<" in callbacks.get_ready(visitor("a"))["status"]
    assert "waiting for its turn, 1 before it" in callbacks.get_ready(visitor("b"))["status"]
    callbacks.stop_it(visitor("a"))
    assert "waiting for its turn<" in callbacks.get_ready(visitor("b"))["status"]
    callbacks.leave(visitor("b"))


def test_a_run_that_cannot_begin_leaves_nothing_behind(callbacks: Callbacks, tmp_path: Path) -> None:
    callbacks.get_ready(visitor("a"))
    *_, last = updates(callbacks.restore_excerpt(visitor("a"), None, False, *fields(recording=None)))
    assert "There is no recording yet" in last["problem"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("babe2-")] == []


def test_a_run_that_was_left_while_it_waited_does_not_begin(callbacks: Callbacks) -> None:
    callbacks.get_ready(visitor("a"))
    callbacks.stop_it(visitor("a"))
    assert updates(callbacks.restore_excerpt(visitor("a"), None, False, *fields())) == [{"problem": ""}, {"status": ""}]


def test_what_stands_in_the_field_of_another_method_is_left_out(callbacks: Callbacks) -> None:
    recording, checkpoint, preset, *rest = fields(guidance_strength="0.3", steps="5")
    *_, last = updates(callbacks.time(recording, checkpoint, preset, *rest[len(SOUNDING) :]))
    assert last["time_needed"].startswith("2.0 s of sound will take about")


def test_what_cannot_be_is_told_before_it_is_begun(callbacks: Callbacks) -> None:
    recording, checkpoint, preset, *rest = fields(start=500)
    *_, refused, told = updates(callbacks.time(recording, checkpoint, preset, *rest[len(SOUNDING) :]))
    assert refused["time_needed"] == "" and refused["go"]["interactive"] is False
    assert "begins at 8:20" in told["problem"]


def test_an_example_has_all_that_a_run_would_have(callbacks: Callbacks) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))
    assert {"kept", "desk", "spectrograms", "response_picture", "numbers", "report"} <= last.keys()
    assert all(last[part]["visible"] for part in ("before_tab", "response_tab", "numbers_tab", "take"))
    assert "restored beforehand" in last["warnings"] and "It gained" in last["warnings"] and last["status"] == ""
    assert [track["key"] for track in last["desk"]["tracks"]] == ["recording", "ltas_eq", "restored", "added"]


def test_another_place_of_an_example_is_not_restored_and_the_whole_is_again(callbacks: Callbacks) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))
    elsewhere = updates(callbacks.look_again(EXAMPLE, "piano-small", False, 2, 3, last["kept"], None, False))
    assert elsewhere[-1]["kept"] is None and elsewhere[-1]["take"]["visible"] is False
    *_, back = updates(callbacks.look_again(EXAMPLE, "piano-small", True, 2, 3, None, None, False))
    assert back["kept"].beforehand
    *_, other = updates(callbacks.look_again(EXAMPLE, "piano", True, 0, 3, back["kept"], None, False))
    assert other["kept"] is None  # which would restore it otherwise


def test_a_result_comes_back_to_who_holds_its_token(callbacks: Callbacks, tmp_path: Path) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))
    upload = tmp_path / "mine.flac"
    upload.write_bytes((EXAMPLES / "variation.flac").read_bytes())
    mine = replace(last["kept"], recording=upload, beforehand=False)
    token = callbacks.results.keep(mine)
    assert callbacks.come_back(token, True) == {"dark": True, "recording": str(upload), "checkpoint": "piano-small"}
    assert callbacks.come_back("guessed", False) == callbacks.come_back(None, False) == {"dark": False}
    *_, again = updates(callbacks.look(str(upload), "piano-small", token, False))
    assert again["kept"] is mine and "Done: 12 s" in again["status"]
    _, first, *_, stranger = updates(callbacks.look(str(upload), "piano-small", "guessed", False))
    assert first["kept"] is None and stranger["kept"] is None


def test_a_problem_stays_to_be_read_where_there_is_no_file_to_make(callbacks: Callbacks) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))
    mine, wishes = replace(last["kept"], beforehand=False), (1.0, "WAV, 24 bit", "", False)
    for silent in (callbacks.take_found_home(None, *wishes), callbacks.take_example_home(mine, *wishes)):
        assert [update.keys() for update in updates(silent)] == [{"file"}]
    *_, made = updates(callbacks.take_example_home(last["kept"], *wishes))
    assert made["file"]["value"].endswith("old_variation.restored.wav")


def test_another_recording_lets_go_of_the_last_result(callbacks: Callbacks) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))
    for other in (None, str(EXAMPLES / "variation.flac")):
        token = callbacks.results.keep(last["kept"])
        assert {"mine": None} in updates(callbacks.look(other, "piano-small", token, False))
        assert callbacks.results.find(token) is None


def test_pictures_are_drawn_again_for_a_dark_page(callbacks: Callbacks) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))

    def ground(dark: bool, outcome: Any) -> Any:
        for update in callbacks.draw_again(EXAMPLE, "piano-small", True, 0, 10, outcome, dark):
            if "ltas_picture" in update:
                assert ("spectrograms" in update) == (outcome is not None)
                return imread(update["ltas_picture"])[0, 0, :3].mean()

    for outcome in (None, last["kept"]):
        assert ground(True, outcome) < 0.2 and ground(False, outcome) == 1
    assert updates(callbacks.draw_again(None, "piano-small", True, 0, 10, None, True)) == [{"problem": ""}]


def test_who_gives_a_voice_to_a_piano_is_told_before_it_is_restored(callbacks: Callbacks, tmp_path: Path) -> None:
    t = np.arange(8 * RATE) / RATE
    cents, level = 40 * np.sin(2 * np.pi * 5.5 * t), np.abs(np.sin(np.pi * t)) ** 0.5
    turns = np.cumsum(440 * 2 ** (cents / 1200)) / RATE
    sf.write(tmp_path / "song.wav", 0.1 * level * sum(np.sin(2 * np.pi * k * turns) / k for k in (1, 2, 3)), RATE)
    for checkpoint, told in (("piano-small", True), ("piano", True), ("voice", False), ("caruso", False)):
        news = updates(callbacks.look(str(tmp_path / "song.wav"), checkpoint, None, False))
        (notice,) = [update["notice"] for update in news if "tabs" in update and "LUFS" in update.get("notice", "")]
        assert ("knows the piano only" in notice) is told
    *_, example = updates(callbacks.look_again(EXAMPLE, "piano-small", False, 0, 5, None, None, False))
    assert "knows the piano only" not in example["notice"]


def test_a_recording_is_looked_at_once(callbacks: Callbacks) -> None:
    assert looked_at(EXAMPLE, "piano-small") is looked_at(EXAMPLE, "piano-small")
    assert part_of(EXAMPLE, Excerpt(1.0, 2.0), "piano-small") is part_of(EXAMPLE, Excerpt(1.0, 2.0), "piano-small")


def test_a_screen_reader_is_not_told_of_every_step() -> None:
    assert 'role="status"' in progress_bar(0.0, "beginning", spoken=True)
    assert 'role="status"' not in progress_bar(0.5, "step 3 of 10") and "aria-label" in progress_bar(0.5, "")


def run(callbacks: Callbacks, what: str = "restore", stages: tuple[str, ...] = (), token: str | None = None) -> Any:
    """The last update of a run with the least steps."""
    recording, checkpoint, preset, *rest = fields(steps="2", duration="1")
    sounding = (*SOUNDING[:3], what, list(stages))
    callbacks.get_ready(visitor("a"))
    news = callbacks.restore_excerpt(
        visitor("a"), token, False, recording, checkpoint, preset, *sounding, *rest[len(SOUNDING) :]
    )
    return updates(news)[-1]


def test_what_was_cleaned_first_can_be_heard_and_is_said_of_the_file(callbacks: Callbacks, tmp_path: Path) -> None:
    done = run(callbacks, "shellac-piano", ("declick", "rumble"))
    keys = [track["key"] for track in done["desk"]["tracks"]]
    assert keys == ["recording", "cleaned", "taken", "ltas_eq", "restored", "added"]
    outcome = done["kept"]
    home = outcome.take_home(tmp_path, callbacks.cards.restorer("piano-small"))
    assert "The recording was cleaned before: declick → rumble." in home.words
    assert "--chain old_variation.chain.yaml" in " ".join(home.command)
    # The chain that is taken home makes the same file again.
    (tmp_path / "old_variation.chain.yaml").write_text(home.chain.text(), "utf-8")
    again = tmp_path / "again.wav"
    words = ["restore", EXAMPLE, "--output", str(again), "--chain", str(tmp_path / "old_variation.chain.yaml")]
    assert main([*words, "--start", "0", "--duration", "2"]) == 0
    np.testing.assert_array_equal(sf.read(again)[0], sf.read(home.file)[0])


def test_the_run_before_stays_to_be_compared(callbacks: Callbacks) -> None:
    first = run(callbacks)
    second = run(callbacks, token=first["mine"])
    assert [track["key"] for track in second["desk"]["tracks"]] == [
        "recording", "ltas_eq", "earlier", "restored", "added",
    ]  # fmt: skip


def test_a_choice_ticks_its_stages_and_what_a_recording_needs_is_told(callbacks: Callbacks) -> None:
    (shown,) = updates(callbacks.what_to_do("cylinder", EXAMPLE, False, 0, 2))[1:]
    assert shown["stages"]["value"] == ["declick", "rumble", "denoise"] and shown["stages"]["visible"]
    *_, hidden = updates(callbacks.what_to_do("restore", EXAMPLE, False, 0, 2))
    assert not hidden["stages"]["visible"]
    *_, needed = updates(callbacks.what_to_do("as-needed", EXAMPLE, False, 0, 2))
    assert "denoise" in needed["stages"]["value"] and "denoise: the noise lies" in needed["reasons"]
    *_, missing = updates(callbacks.what_to_do("as-needed", None, False, 0, 2))
    assert missing["reasons"].startswith("Drop a recording first")
