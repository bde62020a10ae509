"""A box of records, without a browser: what goes into it, whose turn it is, and what is taken home."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile as sf

from babe2.checkpoints.shelf import Shelf
from babe2.page.box.callbacks import HOW_MUCH, BoxCallbacks
from babe2.page.box.shown import bar
from babe2.page.box.sides import Box, Limits, Order, Side, State
from babe2.page.box.taken import packed
from babe2.page.callbacks import Callbacks
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.choice import SETTINGS, Choice
from babe2.page.excerpt import Excerpt

EXAMPLES = Path(__file__).parents[2] / "examples"
RATE = 22_050  # Hz
ALL, SOME = HOW_MUCH


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Files of a visitor: two of one name that differ, one that is silent, and one that is no sound."""
    sound, rate = sf.read(EXAMPLES / "old_variation.flac", frames=2 * RATE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "other").mkdir()
        sf.write(folder / "Side A.wav", sound[:RATE], rate)
        sf.write(folder / "other" / "side a.flac", sound[RATE:], rate)
        sf.write(folder / "silent.wav", np.zeros(RATE), rate)
        (folder / "no <i>sound.wav").write_bytes(b"no sound" * 99)
        yield folder


def paths(folder: Path) -> list[str]:
    names = ("Side A.wav", "other/side a.flac", "silent.wav", "no <i>sound.wav")
    return [str(folder / name) for name in names]


@pytest.fixture
def callbacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoxCallbacks:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    page = Callbacks(CheckpointCards(Shelf.at(tmp_path / "cache")), 60.0, EXAMPLES)
    return BoxCallbacks(page, Limits(10, 60.0))


def visitor(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def chosen(what: str = "restore", method: str = "ltas-eq") -> tuple[Any, ...]:
    """What the page says is to be done, quickly and without imagining; the place is the desk's recording's."""
    texts = [""] * len(SETTINGS)
    return (None, what, "", method, "piano-small", "standard", False, 500, 2, *texts)


def last(updates: Any) -> dict[str, Any]:
    """All that some updates have come to."""
    return {name: value for update in updates for name, value in update.items()}


def states(update: dict[str, Any]) -> list[str]:
    return [side["state"] for side in update["table"]["sides"]]


def begun(callbacks: BoxCallbacks, token: str, **said: str) -> str:
    asked = (ALL, "WAV, 24 bit", 0, 0, None, False, [], *chosen(**said))
    return str(last(callbacks.begin(visitor("a"), token, *asked))["turn"])


def touch(callbacks: BoxCallbacks, token: str | None, does: str, side: Any) -> dict[str, Any]:
    return last(callbacks.touch(gr.EventData(None, {"does": does, "side": side}), token, None))


def test_a_box_goes_from_files_to_one_zip(callbacks: BoxCallbacks, folder: Path) -> None:
    added = last(callbacks.add(paths(folder), None))
    token, box = added["token"], callbacks.boxes.find(added["token"])
    assert box is not None and states(added) == ["waiting", "waiting", "waiting", "failed"]
    names = [side["name"] for side in added["table"]["sides"]]
    assert names == ["Side A.wav", "side a (2).flac", "silent.wav", "no _i_sound.wav"]
    assert "3 sides, 3.0 s of sound, will take" in last(callbacks.time(token, ALL, False, *chosen()))["time_needed"]
    turn, spent = begun(callbacks, token), []
    while turn:
        update = last(callbacks.take_turn(token, turn))
        spent.append(turn)
        turn = update.get("turn", "")
    assert len(spent) == 3  # others who wait have theirs in between
    assert "table" not in last(callbacks.take_turn(token, spent[0]))  # which is over
    assert states(update)[:2] == ["restored"] * 2 or "unchanged" in states(update)
    assert states(update)[2:] == ["failed", "failed"]
    silent, unreadable = update["table"]["sides"][2:]
    assert "silent" in silent["words"] and "is not audio" in unreadable["words"] and "/" not in unreadable["words"]
    assert "2 of 4 sides done, 2 failed" in update["status"] and update["go"]["value"] == "Try again"
    first = update["table"]["sides"][0]
    assert "\N{RIGHTWARDS ARROW}" in first["band"] and first["level"].endswith(" dB") and first["length"] == "1.0 s"

    assert last(callbacks.pack(token))["parcel"]["name"] == "babe2-box.zip"
    with zipfile.ZipFile(packed(box, folder)) as archive:
        assert archive.namelist() == ["restorations.csv", "Side A.restored.wav", "side a (2).restored.wav"]
        rows = list(csv.DictReader(io.StringIO(archive.read("restorations.csv").decode())))
        sounds = [sf.read(io.BytesIO(archive.read(row["output"])))[0] for row in rows[:2]]
    assert [row["state"] for row in rows] == ["done", "done", "failed", "failed"]
    assert [row["input"] for row in rows] == names and all(row["sha256"] for row in rows[:2])
    assert [len(sound) for sound in sounds] == [RATE, RATE] and not np.array_equal(*sounds)

    heard = touch(callbacks, token, "hear", 1)  # on the page's own desk
    assert callbacks.page.results.of(heard["recording"], heard["mine"]) is box.sides[1].outcome
    assert touch(callbacks, token, "take", 0)["parcel"]["name"] == "Side A.restored.wav"
    for nobodys in (-1, 2, 99, "0", None):
        assert touch(callbacks, token, "take", nobodys) == {"problem": ""}
    assert touch(callbacks, "another", "hear", 0) == {"problem": ""}

    back = callbacks.come_back(token)  # after the page was loaded anew
    assert states(back) == states(update) and back["place"]["open"]
    for stranger in (None, "another", token[:-1], {"token": token}):
        assert "table" not in callbacks.come_back(stranger)  # type: ignore[arg-type]
    place = box.folder
    assert states(last(callbacks.empty(token))) == [] and "table" not in callbacks.come_back(token)
    del box
    assert not place.exists()


def test_what_cannot_be_done_is_told_before_a_run_begins(callbacks: BoxCallbacks, folder: Path) -> None:
    token = last(callbacks.add(paths(folder)[:1], None))["token"]
    asked = (ALL, "WAV, 24 bit", -5, 0, None, False, [], *chosen())
    told = last(callbacks.begin(visitor("a"), token, *asked))
    assert "A seed is a whole number" in told["problem"] and "turn" not in told and told["go"]["interactive"]
    asked = (ALL, "WAV, 24 bit", 0, 0, None, False, [], *chosen(what="own-chain"))
    assert "There is no chain yet" in last(callbacks.begin(visitor("a"), token, *asked))["problem"]


def test_a_box_holds_no_more_than_it_may(callbacks: BoxCallbacks, folder: Path) -> None:
    few = BoxCallbacks(callbacks.page, Limits(2, 60.0))
    added = last(few.add(paths(folder), None))
    assert added["problem"] == "A box holds 2 sides here, so these were left out: silent.wav, no _i_sound.wav."
    short = BoxCallbacks(callbacks.page, Limits(10, 2.5))
    added = last(short.add(paths(folder), None))
    assert "silent.wav was left out: with it the box would hold 0:03" in added["problem"] and len(states(added)) == 3


def test_a_page_that_goes_stops_the_run_and_leaves_the_box(callbacks: BoxCallbacks, folder: Path) -> None:
    token = last(callbacks.add(paths(folder)[:2], None))["token"]
    turn = begun(callbacks, token)
    running = callbacks.take_turn(token, turn)
    assert states(next(running)) == ["running", "waiting"]
    callbacks.leave(visitor("a"))
    running.close()  # type: ignore[attr-defined]
    back = callbacks.come_back(token)
    assert states(back) == ["waiting", "waiting"] and back["go"]["interactive"] and not back["stop"]["interactive"]
    # Who goes on begins with another turn; the former one is nobody's.
    again = begun(callbacks, token)
    assert again != turn and "table" not in last(callbacks.take_turn(token, turn))
    # One that found the line full is lost: it is asked for again, by the page that began the run and no other.
    assert "turn" not in callbacks.wait(visitor("a"), token) and "turn" not in callbacks.wait(visitor("b"), token)
    third = callbacks.wait(visitor("a"), token)["turn"]
    assert third not in (turn, again) and "table" not in last(callbacks.take_turn(token, again))
    stopped = callbacks.stop_it(token)
    assert "table" not in last(callbacks.take_turn(token, third)) and stopped["go"]["interactive"]


def test_time_left_goes_by_the_pace_so_far(tmp_path: Path) -> None:
    now = [0.0]
    box = Box(Limits(9, 900.0), clock=lambda: now[0])
    box.sides = [Side(f"{number}.wav", tmp_path, 10.0 * number, 1, RATE) for number in (1, 2, 3)]
    turn = box.begin(Order(Choice(None, "restore", "", "babe2", "piano-small", "draft", Excerpt(), {})))
    assert box.seconds_left() is None and "waiting for its turn" in bar(box)
    taken = box.take(turn)
    assert taken is not None and box.take(turn) is None  # a turn is one side's
    side, stop, _ = taken
    side.state, now[0] = State.RESTORED, 40.0  # 10 s of sound, with a stranger's turn in between
    assert box.done_with(side, stop) and box.seconds_left() == 200.0  # 50 s are left
    assert "1 of 3 sides done; waiting for its turn; about 3 minutes left" in bar(box)
    box.halt()
    assert stop() and not box.running and [side.open for side in box.sides] == [False, True, True]


def test_some_of_a_side_is_where_it_is_liveliest(tmp_path: Path) -> None:
    choice = Choice(None, "restore", "", "babe2", "piano-small", "draft", Excerpt(), {})
    long, short = (Side("a.wav", tmp_path, seconds, 1, RATE) for seconds in (60.0, 5.0))
    order = Order(choice, HOW_MUCH[SOME])
    assert order.excerpt(long, 12.34) == Excerpt(12.3, 10.0) and order.excerpt(short, 1.0) == Excerpt()
    assert Order(choice, HOW_MUCH[ALL]).excerpt(long, 12.34) == Excerpt()
