"""What the page does when it is touched, without a browser."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from babe2.checkpoints.shelf import Shelf
from babe2.page.callbacks import SETTINGS, Callbacks, looked_at, part_of, progress_bar
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.excerpt import Excerpt

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = str(EXAMPLES / "old_variation.flac")


@pytest.fixture
def callbacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callbacks:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Callbacks(CheckpointCards(Shelf.at(tmp_path / "cache")), 60.0, EXAMPLES)


def visitor(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def fields(recording: str | None = EXAMPLE, preset: str = "draft", start: Any = 0, **settings: str) -> tuple[Any, ...]:
    return (recording, "piano-small", preset, 0, False, start, 2, *(settings.get(name, "") for name in SETTINGS))


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
    *_, last = updates(callbacks.restore_excerpt(visitor("a"), *fields(recording=None)))
    assert "There is no recording yet" in last["problem"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("babe2-")] == []


def test_a_run_that_was_left_while_it_waited_does_not_begin(callbacks: Callbacks) -> None:
    callbacks.get_ready(visitor("a"))
    callbacks.stop_it(visitor("a"))
    assert updates(callbacks.restore_excerpt(visitor("a"), *fields())) == [{"problem": ""}, {"status": ""}]


def test_what_stands_in_the_field_of_another_method_is_left_out(callbacks: Callbacks) -> None:
    recording, checkpoint, preset, _, *rest = fields(guidance_strength="0.3", steps="5")
    *_, last = updates(callbacks.time(recording, checkpoint, preset, *rest))
    assert last["time_needed"].startswith("2.0 s of sound will take about")


def test_what_cannot_be_is_told_before_it_is_begun(callbacks: Callbacks) -> None:
    recording, checkpoint, preset, _, *rest = fields(start=500)
    *_, refused, told = updates(callbacks.time(recording, checkpoint, preset, *rest))
    assert refused["time_needed"] == "" and refused["go"]["interactive"] is False
    assert "begins at 8:20" in told["problem"]


def test_a_recording_is_looked_at_once(callbacks: Callbacks) -> None:
    assert looked_at(EXAMPLE, "piano-small") is looked_at(EXAMPLE, "piano-small")
    assert part_of(EXAMPLE, Excerpt(1.0, 2.0), "piano-small") is part_of(EXAMPLE, Excerpt(1.0, 2.0), "piano-small")


def test_a_screen_reader_is_not_told_of_every_step() -> None:
    assert 'role="status"' in progress_bar(0.0, "beginning", spoken=True)
    assert 'role="status"' not in progress_bar(0.5, "step 3 of 10") and "aria-label" in progress_bar(0.5, "")
