"""Bringing one's own singer: what is heard in recordings, how a lesson goes, and who may use and publish what of it."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile as sf
import torch
from classroom import COMPACT, QUICK, babbling_network, tune
from hub_server import OWNER, TOKEN, Hub, run_child, surroundings
from my_piano import manifest_entry

from babe2 import Restorer
from babe2.checkpoints.checkpoint import Checkpoint, save
from babe2.checkpoints.loading import load
from babe2.checkpoints.shelf import Shelf
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import DEVICE, CheckpointCards, restorer_of
from babe2.page.singer.callbacks import Singer, expectation, is_allowed
from babe2.page.singer.lesson import RUN, Lesson, Wish
from babe2.page.singer.material import HELD, LEARN, Heard, as_table, check_enough, divide, end_hz, fault_of, hear_all
from babe2.page.singer.own import OWN
from babe2.page.singer.school import KEPT_SECONDS, School
from babe2.page.singer.sharing import Said, is_at_home, share, take_home, token_for
from babe2.page.singer.view import curve, standing

RATE = 22_050
NASTY = "; rm -rf ~ & $(x) <b>.wav"


def analysed(**other: Any) -> dict[str, Any]:
    """What `analyse` says of a good recording, or of one that is otherwise."""
    hertz = [1000.0 * 2 ** (n / 6) for n in range(20)]  # to 9 kHz
    found = {
        "bandwidth_high_hz": 10_000.0,
        "rms_dbfs": -20.0,
        "noise_floor_dbfs": -70.0,
        "sample_rate": 44_100,
        "ltas": {"frequencies_hz": hertz},
        "ratio_to_reference_db": [0.0] * len(hertz),
    }
    return found | other


TELEPHONE = [0.0] * 11 + [-30.0] * 9  # from 3.6 kHz on


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (analysed(), ""),
        (analysed(ratio_to_reference_db=None), ""),
        (analysed(ratio_to_reference_db=[0.0] * 12 + [-30.0] * 3 + [-10.0] * 5), ""),  # a hole, and music above it
        (analysed(ratio_to_reference_db=TELEPHONE), "above 3.6 kHz it holds next to nothing"),
        (analysed(bandwidth_high_hz=None), "nothing in it comes and goes"),
        (analysed(noise_floor_dbfs=-31.0), "only 11 dB above its noise"),
        (analysed(sample_rate=16_000), "holds nothing above 8 kHz"),
    ],
)
def test_what_teaches_nothing_good_is_left_out_and_why_is_said(found: dict[str, Any], fault: str) -> None:
    told = fault_of(found)
    assert told.startswith(fault) or fault in told if fault else told == ""


def test_the_bands_end_is_that_of_the_machine_where_it_cut_the_treble_off() -> None:
    assert end_hz(analysed()) == 10_000
    assert end_hz(analysed(ratio_to_reference_db=TELEPHONE)) == pytest.approx(1000 * 2 ** (11 / 6))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two that are good, one of them twice, and what is none."""
    folder = tmp_path_factory.mktemp("recordings")
    sounds = {
        NASTY: tune(32, 1, RATE),
        "good.wav": tune(30, 2, RATE),
        "silent.wav": np.zeros(4 * RATE),
        "short.wav": tune(1, 4, RATE),
    }
    for name, sound in sounds.items():
        sf.write(folder / name, sound, RATE, subtype="PCM_16")
    (folder / "again.wav").write_bytes((folder / "good.wav").read_bytes())
    (folder / "text.wav").write_text("la la la")
    return {name: folder / name for name in [*sounds, "again.wav", "text.wav"]}


@pytest.fixture(scope="module")
def heard(recordings: Mapping[str, Path]) -> list[Heard]:
    return list(hear_all(list(recordings.values()), restorer_of("piano-small", DEVICE).reference))


def test_each_recording_is_heard_and_told_of(heard: list[Heard]) -> None:
    faults = {one.name: one.fault for one in heard}
    assert faults.pop("good.wav") == faults.pop(NASTY.replace("<b>", "_b_")) == ""
    assert "silent" in faults["silent.wav"] and "1.0 s" in faults["short.wav"]
    assert "given twice" in faults["again.wav"] and "not audio" in faults["text.wav"]
    table = as_table(heard)
    assert table.count("<tr>") == 1 + len(heard) and "kept" in table and "&amp; $(x)" in table and "<b>" not in table


def test_what_is_kept_apart_is_not_learned_from_and_all_names_are_ours(heard: list[Heard], tmp_path: Path) -> None:
    divide(heard, tmp_path)
    frames = {str(path.relative_to(tmp_path)): sf.info(path).frames for path in tmp_path.rglob("*") if path.is_file()}
    apart = 8 * RATE  # the least, as a tenth of 62 s is less
    expected = {f"{LEARN}/000.wav": 32 * RATE - apart, f"{HELD}/000.wav": apart, f"{LEARN}/001.wav": 30 * RATE}
    assert frames == expected


def test_too_little_is_refused() -> None:
    with pytest.raises(RestorationError, match="59 s of good sound is too little"):
        check_enough([Heard(Path("a"), "a", 59.0), Heard(Path("b"), "b", 100.0, fault="it is noise.")])


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, True),
        ({"SPACE_ID": "me/space"}, False),
        ({"SPACE_ID": "me/space", "BABE2_TRAINING": "1"}, True),
        ({"BABE2_TRAINING": "0"}, False),
    ],
)
def test_on_a_space_it_has_to_be_switched_on(environment: dict[str, str], allowed: bool) -> None:
    assert is_allowed(environment) is allowed


def test_it_is_said_what_to_expect() -> None:
    assert "roughly 12 steps" in expectation(12, 10) and "too few" in expectation(12, 10)
    assert "10 minutes" in expectation(3000, 10) and "too few" not in expectation(3000, 10)
    assert "fetched first" in expectation(None, 10)


# Lessons


def report(iteration: int, error: float, **more: Any) -> str:
    told = {"iteration": iteration, "error": error, "hours_heard": 0.05, "seconds_left": 30.0, "validation": None}
    return json.dumps(told | more) + "\n"


def test_how_a_lesson_stands_is_shown(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path)
    assert curve(lesson.progress()) == "" and "<progress" not in standing(lesson)
    (tmp_path / RUN).mkdir()
    lines = [report(n, 1.0 - n / 100, validation=0.5 - n / 200 if n in (10, 40) else None) for n in range(1, 41)]
    (tmp_path / RUN / "log.jsonl").write_text("".join(lines) + '{"iteration": 41, "er')  # being written
    (tmp_path / RUN / "model.safetensors").touch()
    reports = lesson.progress()
    assert len(reports) == 40
    # The mean of nine reports lies four before the latest: 1 - 5 / 100 and 1 - 36 / 100.
    assert "0.950 at first, 0.640 now" in curve(reports) and curve(reports).count("<circle") == 2
    assert "40 steps, 3.0 minutes of excerpts heard" in standing(lesson)
    assert "0.450, and 0.300 in the end" in standing(lesson)


def test_a_lesson_is_found_by_its_token_only_and_goes_after_some_hours() -> None:
    now = [0.0]
    school = School(lambda: now[0])
    token, lesson = school.enrol()
    assert school.find(token) is lesson and school.find("guessed") is school.find(None) is school.find([token]) is None
    now[0] += KEPT_SECONDS - 1
    assert school.find(token) is lesson and lesson.folder.is_dir()
    now[0] += KEPT_SECONDS
    assert school.find(token) is None and not lesson.folder.exists()


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointCards:
    """The manifest's checkpoints, and `my-piano`, which is tiny."""
    model = replace(COMPACT, column="compact")
    made = Checkpoint(model, babbling_network().state_dict(), torch.ones(513), "my-piano", "", {})
    save(made, tmp_path / "tiny")
    (tmp_path / "more.yaml").write_text(manifest_entry("bundled: tiny"), "utf-8")
    monkeypatch.setenv("BABE2_MANIFEST", str(tmp_path / "more.yaml"))
    return CheckpointCards(Shelf.at(tmp_path / "cache"))


@pytest.fixture
def learned(cards: CheckpointCards, tmp_path: Path) -> Iterator[Lesson]:
    """A lesson that has learned something, as its folder tells."""
    lesson = Lesson(tmp_path / "lesson", [Heard(Path("a"), "a", 90.0)], Wish("my-piano", 1.0, compact=True))
    lesson.folder.mkdir()
    provenance = {"iterations": 7, "parent": {"name": "my-piano", "sha256": "0" * 64}, "data": {"files": 1}}
    model = replace(COMPACT, column="compact")
    save(Checkpoint(model, babbling_network().state_dict(), torch.ones(513), "run", "", provenance), lesson.run)
    (lesson.run / "log.jsonl").write_text(report(7, 0.5))
    yield lesson
    OWN.remove(lesson.folder)


def test_what_was_learned_is_its_visitors_choice_and_nobody_elses(cards: CheckpointCards, learned: Lesson) -> None:
    own = Singer(cards)._own(learned, NASTY)
    name = own.name
    assert Singer(cards)._own(learned, NASTY) is own  # nothing has changed
    assert (f"{own.title} (yours, 7 steps)", name) in cards.choices(name)
    assert name not in dict(cards.choices()).values() and name not in str(cards.rows())
    assert cards.checked(name) == name and cards.is_here(name) and "1:30 of recordings" in cards.card(name)
    assert "strongest at" in cards.card(name)  # the portrait of its own music
    assert cards.settings(name, "standard") == cards.settings("my-piano", "standard")
    assert isinstance(cards.restorer(name), Restorer) and restorer_of(name).name == own.title
    OWN.remove(learned.folder)
    for use in (cards.checked, cards.restorer, restorer_of):
        with pytest.raises(RestorationError):
            use(name)


def test_the_file_to_take_home_is_a_checkpoint_with_its_card(
    cards: CheckpointCards, learned: Lesson, tmp_path: Path
) -> None:
    own = Singer(cards)._own(learned, "../../Clara & Co.")
    pack = take_home(own, tmp_path)
    assert pack.parent == tmp_path
    with zipfile.ZipFile(pack) as files:
        assert sorted(name.rpartition("/")[2] for name in files.namelist()) == [
            "README.md",
            "config.json",
            "model.safetensors",
        ]
        files.extractall(tmp_path / "home")
    (folder,) = (tmp_path / "home").iterdir()
    card = (folder / "README.md").read_text("utf-8")
    assert load(folder).provenance["iterations"] == 7
    assert "Trained further from my-piano on 1:30" in card and f'from_checkpoint("{folder.name}")' in card


# Publishing


def visitor(host: str, **headers: str) -> gr.Request:
    """A request as Gradio hands it over."""
    return gr.Request(None, client={"host": host}, headers={name.replace("_", "-"): v for name, v in headers.items()})


def test_only_who_sits_at_the_machine_publishes_by_its_login() -> None:
    assert is_at_home(visitor("127.0.0.1"), on_a_space=False)
    assert not is_at_home(visitor("127.0.0.1"), on_a_space=True)
    assert not is_at_home(visitor("192.168.0.7"), on_a_space=False)
    assert not is_at_home(visitor("127.0.0.1", x_forwarded_for="8.8.8.8"), on_a_space=False)
    assert token_for(" hf_typed ", None, at_home=False) == "hf_typed" and token_for("", None, at_home=True) is None
    with pytest.raises(RestorationError, match="has to know who publishes"):
        token_for(" ", None, at_home=False)


def test_nothing_is_published_without_a_word_a_licence_and_a_name(cards: CheckpointCards, learned: Lesson) -> None:
    own = Singer(cards)._own(learned, "Clara")
    for repo, licence, may, told in (
        ("me/clara", "cc-by-4.0", False, "may be used"),
        ("me/clara", "mine", True, "Choose a licence"),
        ("../clara", "cc-by-4.0", True, "not the name of a repository"),
    ):
        with pytest.raises(RestorationError, match=told):
            share(own, repo, Said(licence), may=may, private=False, token=TOKEN)


SHARE = """
import sys
from pathlib import Path
from babe2.page.singer.own import OWN
from babe2.page.singer.sharing import Said, share
home = Path(sys.argv[1])
own = OWN.add(home / "run", home, "Clara", "my-piano", "Trained further from my-piano.", 7)
print(share(own, "listener/clara", Said("cc-by-4.0", "Clara"), may=True, private=True, token=sys.argv[2]).commit)
"""


def test_it_is_published_with_its_card(learned: Lesson, tmp_path: Path) -> None:
    with Hub() as hub:
        around = surroundings(tmp_path / "home", hub.url)
        commit = run_child(SHARE, around, str(learned.folder), TOKEN).strip()
        there = hub.repositories[f"{OWNER}/clara"]
        assert there.private and set(there.commits[commit]) == {"model.safetensors", "config.json", "README.md"}
        card = there.commits[commit]["README.md"].content.decode()
        assert "license: cc-by-4.0" in card and "Credit: Clara." in card and "7" in card and str(tmp_path) not in card


# From the recordings to a restoration


@pytest.mark.slow
def test_a_visitor_brings_a_singer(cards: CheckpointCards, recordings: Mapping[str, Path], tmp_path: Path) -> None:
    school = School()
    extra = (
        *QUICK[:-2],
        "--batch=2",
        "--log-every=1",
        "--check-every=4",
        "--save-every=2",
        "--set=levelling.quietest_share=0",
    )
    singer = Singer(cards, school, extra)
    *_, last = singer.hear([str(recordings[name]) for name in (NASTY, "good.wav", "silent.wav")], None)
    token = last["token"]
    lesson = school.find(token)
    assert lesson is not None and "2 recordings" in last["verdict"]
    try:
        *_, begun = singer.begin("my-piano", 30.0, token)
        assert lesson.is_learning and begun["stop"]["visible"]
        other, others = school.enrol()
        others.heard = lesson.heard
        *_, refused = singer.begin("my-piano", 1.0, other)
        assert "one at a time" in refused["problem"] and not others.is_learning
        wait(lambda: lesson.sounds())
        assert set(lesson.sounds()) == {"recording", "restored", "truth"}
        assert "<progress" in singer.tick(token)["standing"]
        singer.stop(token)
        wait(lambda: not lesson.is_learning)
        assert lesson.was_stopped and lesson.has_learned and lesson.failure == ""
        steps = load(lesson.run).provenance["iterations"]
        again = singer.come_back(token)  # the page was loaded anew
        assert "Stopped" in again["standing"] and again["begin"]["value"] == "Go on" and not again["timer"].active
        assert again["base"]["value"] == "my-piano" and Path(again["restored_sound"]).is_file()
        list(singer.begin("piano-small", 30.0, token))  # goes on from what it was begun from
        wait(lambda: lesson.progress()[-1]["iteration"] > steps)
        singer.stop(token)
        wait(lambda: not lesson.is_learning)
        *_, used = singer.use("Clara", token)
        name = used["checkpoint"]["value"]
        sound, rate = sf.read(recordings["good.wav"], frames=RATE * 2)
        restored = cards.restorer(name).restore(sound.T, rate, preset="draft", steps=2)
        assert restored.report["checkpoint"] == "Clara" and restored.audio.shape == (1, len(sound))
    finally:
        singer.forget(token, "piano-small")
        school.close()
    assert not lesson.folder.exists() and OWN.find(name) is None


def wait(until: Callable[[], Any]) -> None:
    for _ in range(3000):
        if until():
            return
        time.sleep(0.1)
    pytest.fail("It did not come about.")
