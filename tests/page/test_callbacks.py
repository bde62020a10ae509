"""What the page does when it is touched, without a browser."""

from __future__ import annotations

import re
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile as sf
import torch
from gradio import EventData
from matplotlib.image import imread

from babe2 import audio
from babe2.chains import Chain, Chained, Link
from babe2.chains.work import Step
from babe2.checkpoints.shelf import Shelf
from babe2.commands.main import main
from babe2.config import GROUPS
from babe2.dsp.tape import MemoryTape
from babe2.extras import EXTRAS
from babe2.page.callbacks import Callbacks, looked_at, part_of, progress_bar
from babe2.page.chained import heard_on_the_way
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.choice import SETTINGS, Choice
from babe2.page.excerpt import Excerpt
from babe2.recordings.journal import Storage
from babe2.stages import STAGES, Made

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = str(EXAMPLES / "old_variation.flac")
RATE = 22_050  # Hz


@pytest.fixture
def callbacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callbacks:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Callbacks(CheckpointCards(Shelf.at(tmp_path / "cache")), 60.0, EXAMPLES)


def visitor(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


SOUNDING = (0, 0, None)  # seed, brightness, a recording like it; certainty comes behind them


def chosen(
    recording: str | None = EXAMPLE,
    what: str = "restore",
    chain: str = "",
    method: str = "babe2",
    start: Any = 0,
    **settings: str,
) -> tuple[Any, ...]:
    """What the form says of a recording, by which its time is reckoned."""
    texts = (settings.get(name, "") for name in SETTINGS)
    return (recording, what, chain, method, "piano-small", "draft", False, start, 2, *texts)


def fields(*stages: str, certainty: bool = False, **said: Any) -> tuple[Any, ...]:
    """All of the form."""
    return (*SOUNDING, certainty, list(stages), *chosen(**said))


def updates(news: Any) -> list[dict[str, Any]]:
    return list(news)


def merged(news: Any) -> dict[str, Any]:
    return {name: value for update in news for name, value in update.items()}


def test_who_presses_twice_ends_his_first_run(callbacks: Callbacks) -> None:
    callbacks.get_ready(visitor("a"))
    first = callbacks.runs["a"]
    callbacks.get_ready(visitor("a"))
    assert first() and not callbacks.runs["a"]()
    callbacks.leave(visitor("a"))
    assert callbacks.runs == {}


def test_who_waits_is_told_and_who_has_begun_is_not_told_again(callbacks: Callbacks) -> None:
    ready = callbacks.get_ready(visitor("a"))
    assert "waiting for its turn<" in ready["status"] and ready["clock"]["active"]
    assert "waiting for its turn<" in callbacks.wait(visitor("a"))["status"]
    updates(callbacks.restore_excerpt(visitor("a"), None, False, *fields(recording=None)))
    assert callbacks.wait(visitor("a"))["clock"]["active"] is False and callbacks.waiting == set()


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
    told = merged(callbacks.time(False, *chosen(guidance_strength="0.3", steps="5")))
    assert told["time_needed"].startswith("2.0 s of sound will take about")
    each = re.split(r" (?=\*\*)", told["preset"]["info"])
    assert each[0].startswith("**Draft** *about ") and each[1].startswith("**Standard** *about ")
    assert each[2] == "**As published** *\u2013*"  # which is not tried with settings of one's own


def test_what_cannot_be_is_told_before_it_is_begun(callbacks: Callbacks) -> None:
    *_, refused, told = updates(callbacks.time(False, *chosen(start=500)))
    assert refused["time_needed"] == "" and refused["go"]["interactive"] is False
    assert "begins at 8:20" in told["problem"]


def test_an_example_has_all_that_a_run_would_have(callbacks: Callbacks) -> None:
    *_, last = updates(callbacks.look(EXAMPLE, "piano-small", None, False))
    assert {"kept", "desk", "spectrograms", "response_picture", "numbers", "report"} <= last.keys()
    assert all(last[part]["visible"] for part in ("before_tab", "response_tab", "numbers_tab", "take"))
    assert last["warnings"].startswith("## It gained") and "restored beforehand" in last["warnings"]
    assert last["status"] == "" and not last["entire"]["visible"]
    assert [track["key"] for track in last["desk"]["tracks"]] == ["recording", "ltas_eq", "restored", "added"]


def test_an_example_of_the_gallery_is_heard_at_once_and_nothing_else_is_taken(callbacks: Callbacks) -> None:
    taken = callbacks.take_example(EventData(None, {"name": "clip"}))
    assert taken["recording"] == str(EXAMPLES / "clip.flac")
    assert [track["key"] for track in taken["desk"]["tracks"]] == ["recording", "restored", "added"]
    for name in ("variation", "../README", "", None):
        assert callbacks.take_example(EventData(None, {"name": name})) == {}
    _, first, *_, last = updates(callbacks.look(taken["recording"], "piano-small", None, False))
    assert first["desk"] == taken["desk"]  # what plays already goes on
    assert "by the chain Master" in last["warnings"] and last["kept"].chain.title == "Master"
    assert [track["title"] for track in callbacks.shown_first["tracks"]][:2] == ["Before", "After"]


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


def run(callbacks: Callbacks, *stages: str, token: str | None = None, **said: Any) -> Any:
    """The last update of a run with the least steps."""
    callbacks.get_ready(visitor("a"))
    return updates(callbacks.restore_excerpt(visitor("a"), token, False, *fields(*stages, steps="2", **said)))[-1]


def test_what_was_cleaned_first_can_be_heard_and_is_said_of_the_file(callbacks: Callbacks, tmp_path: Path) -> None:
    done = run(callbacks, "declick", "rumble", what="shellac-piano")
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


def titles(update: Any) -> dict[str, str]:
    return {track["key"]: track["title"] for track in update["desk"]["tracks"]}


def test_runs_before_stay_to_be_compared_by_the_name_of_their_method(callbacks: Callbacks) -> None:
    first = run(callbacks)
    assert first["entire"]["visible"]  # there is more of it
    all_of_it = merged(callbacks.take_all(False, *chosen()))
    assert all_of_it["whole"] and all_of_it["time_needed"].startswith("12 s of sound")
    made, other = (Choice.of(*chosen(steps=steps)[:9], chosen(steps=steps)[9:]) for steps in ("2", "3"))
    lasting = [
        callbacks.experience.lasting(callbacks.kind_of(choice, False), 2.0, told=1e6) for choice in (made, other)
    ]
    assert lasting[0] < 1e5 < lasting[1]  # as long as the run has taken; of another kind nobody has made any
    second = run(callbacks, token=first["mine"], method="ltas-eq")
    assert "imagined" not in second["warnings"] and second["response_tab"]["visible"]
    assert titles(second) == {
        "recording": "Recording", "earlier": "Before: draft", "restored": "LTAS-EQ", "added": "What was added",
    }  # fmt: skip
    third = run(callbacks, token=second["mine"], what="own-chain", chain="stages: [rumble]")
    assert list(titles(third)) == ["recording", "older", "earlier", "restored", "added"]
    assert titles(third)["older"] == "Before that: draft" and titles(third)["earlier"] == "Before: LTAS-EQ"
    (desk,) = [update["desk"] for update in updates(callbacks.hear_amount(second["kept"], third["mine"], 0.5))[1:]]
    assert [track["key"] for track in desk["tracks"]] == ["recording", "restored", "added"]  # it is not the latest


def test_what_was_imagined_is_shown_and_fades_without_restoring_again(callbacks: Callbacks, tmp_path: Path) -> None:
    done = run(callbacks, certainty=True)
    assert done["certainty_tab"]["visible"] and done["imagined"]["visible"] and done["certainty_picture"]
    assert "Of what sounds" in done["warnings"] and "was measured" in done["warnings"]
    _, heard = updates(callbacks.hear_amount(done["kept"], done["mine"], 1.0, 0.2))
    assert titles(heard)["restored"] == "Restored, 20% of what was imagined"
    home = done["kept"].take_home(tmp_path, callbacks.cards.restorer("piano-small"), imagined=0.2)
    assert "--imagined 0.2" in " ".join(home.command) and "20% of it was left" in home.words


def test_a_pack_stays_until_something_else_is_wished(callbacks: Callbacks) -> None:
    """Also when it was asked for before the run's own file was ready."""
    done = run(callbacks, what="own-chain", chain="stages: [rumble]")["kept"]
    wished = (done, 1.0, "WAV, 24 bit", "", False, 1.0)
    assert "pack" in merged(callbacks.take_home(*wished))
    assert merged(callbacks.make_pack(*wished))["pack"]["visible"]
    assert "pack" not in merged(callbacks.take_home(*wished))
    assert merged(callbacks.take_home(done, 1.0, "FLAC, 24 bit", "", False, 1.0))["pack"]["visible"] is False


# By a chain of one's own


CHAIN = """
title: Mine
stages:
  - rumble
  - restore: {preset: draft, seed: 5, steps: 2, output_rate: 24000}
  - declick: {strength: 0.3}
"""


def test_a_chain_of_ones_own_makes_the_same_samples_as_in_python(callbacks: Callbacks, tmp_path: Path) -> None:
    done = run(callbacks, what="own-chain", chain=CHAIN)
    outcome, expected = done["kept"], Chain.parse(CHAIN)(audio.read(EXAMPLE, duration=2).audio, RATE)
    home = outcome.take_home(tmp_path, callbacks.cards.restorer("piano-small"), kind="WAV, 32-bit float")
    sound, rate = sf.read(home.file, dtype="float32")
    np.testing.assert_array_equal(sound, expected[0][0])
    assert rate == 24_000 and sf.SoundFile(home.file).comment == expected[1]["statement"] == home.statement
    assert list(titles(done)) == ["recording", "cleaned", "taken", "restored", "added"]
    assert not done["amount"]["visible"] and not done["response_tab"]["visible"]
    assert Chain.load(home.chain_file()) == Chain.parse(CHAIN)
    with zipfile.ZipFile(home.pack(home.papers())) as pack:
        assert pack.read("old_variation.chain.yaml").decode() == outcome.chain.text()
        assert b"--chain old_variation.chain.yaml" in pack.read("reproduce.txt")
    *_, told = updates(callbacks.time(False, *chosen(what="own-chain", chain=CHAIN)))
    assert told["time_needed"] == "2.0 s of sound, 3 stages."


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ("[{restore: {response: /etc/passwd}}]", "In restore, response names"),
        ("[{restore: {reference: ../mine.wav}}]", "In restore, reference names"),
        ("[{restore: {degradation: 'clip:0.3+gaps:/etc/passwd'}}]", "In restore, degradation names"),
        ("[{restore: {degradation: 'noise-bank:/tmp,snr=3'}}]", "In restore, degradation names"),
        ("[{restore: {checkpoint: /tmp/model.pt}}]", "In restore, checkpoint names"),
        ("[{restore: {checkpoint: me/mine}}]", "In restore, checkpoint names"),
        ("[{denoise: {checkpoint: ../x}, }]", "In denoise, checkpoint names"),
        ("[{fill: {checkpoint: ./x, bypass: true}}, rumble]", "In fill, checkpoint names"),
        ("[{separate: {checkpoint: piano-small}}, remix]", "In separate, separator names"),
        ("[{restore: {brightness: high}}]", "In restore, brightness cannot be 'high'"),
        ("[&a rumble, *a]", "in it nothing stands for something else"),
        ("[<b>]", "There is no stage '&lt;b&gt;'"),  # which is no markup on the page
        (f"[rumble] # {'x' * 2**16}", "longer than any chain"),
    ],
)
def test_what_a_chain_may_not_be_is_told_in_a_sentence(callbacks: Callbacks, stages: str, told: str) -> None:
    *_, refused, last = updates(callbacks.time(False, *chosen(what="own-chain", chain=f"stages: {stages}")))
    assert told in last["problem"] and not refused["go"]["interactive"]
    assert told in run(callbacks, what="own-chain", chain=f"stages: {stages}")["problem"]


def test_a_chain_s_file_is_written_into_the_field(callbacks: Callbacks, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CHAIN, "utf-8")
    *_, shown = updates(callbacks.take_chain(str(tmp_path / "mine.yaml")))
    assert shown == {"chain": CHAIN}
    (tmp_path / "mine.yaml").write_bytes(b"\xff\x00")
    assert updates(callbacks.take_chain(str(tmp_path / "mine.yaml")))[-1]["problem"].startswith("The chain mine.yaml")


def test_a_chain_that_parts_is_offered_and_says_what_it_needs(
    callbacks: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, shown = updates(callbacks.what_to_do("shellac-voice", None, False, 0, 2))
    assert "track: vocals" in shown["chain"] and shown["chain_place"]["visible"] and not shown["by_hand"]["visible"]
    monkeypatch.setitem(EXTRAS, "separation", ("Parting voices", ("no_such_module",)))
    asked = chosen(None, what="shellac-voice", chain=shown["chain"])
    assert updates(callbacks.time(False, *asked))[-1]["problem"] == (
        'Parting voices needs no_such_module, which a plain install leaves out: pip install "babe2[separation]"'
    )


def test_a_parted_recording_has_both_tracks_on_the_desk() -> None:
    sound = audio.read(EXAMPLE, duration=1)
    recording = MemoryTape(torch.from_numpy(sound.audio))
    parted = MemoryTape(torch.cat([0.25 * recording.read(0, RATE), 0.75 * recording.read(0, RATE)]))
    separate = Step(Link(STAGES["separate"]()), recording, Made(parted, RATE, {}, Storage()))
    remix = Step(Link(STAGES["remix"]()), parted, Made(recording, RATE, {}, Storage()))
    heard = heard_on_the_way(sound, Chained(recording, RATE, (separate, remix)))
    assert list(heard) == ["recording", "vocals", "accompaniment", "restored"]
    np.testing.assert_array_equal(heard["vocals"], 0.25 * sound.audio)


def test_the_methods_are_those_that_a_checkpoint_can_do(callbacks: Callbacks) -> None:
    by_name, bright, _, unknown, _, texts = laid_out(callbacks.preset_values("piano-small", "standard", "ltas-eq"))
    assert by_name["value"] == "ltas-eq" and not bright["visible"]
    names = [name for _, name in by_name["choices"]]
    assert names == ["babe2", "paper", "guided", "closed-form", "babe", "ltas-eq", "none"]  # bandwise is its babe2
    assert not unknown["visible"]
    assert texts["ltas_fft"]["visible"] and not texts["steps"]["visible"]
    by_name, *_ = callbacks.preset_values("voice", "paper", "guided")
    assert by_name["value"] == "babe2" and [name for _, name in by_name["choices"]] == ["babe2", "ltas-eq", "none"]


@pytest.mark.parametrize(
    ("sought", "some", "other"), [("Noise start", "sigma_start", "steps"), ("keep_low", "keep_low_band", "steps")]
)
def test_a_setting_is_found_by_what_is_said_of_it(callbacks: Callbacks, sought: str, some: str, other: str) -> None:
    *_, unknown, groups, texts = laid_out(callbacks.preset_values("piano-small", "standard", "babe2", sought))
    assert texts[some]["visible"] and not texts[other]["visible"] and not unknown["visible"]
    shown = {SETTINGS[name].group for name, text in texts.items() if text["visible"]}
    assert {name for name, group in groups.items() if group["open"]} == shown


def test_who_seeks_what_no_setting_tells_of_is_told_so(callbacks: Callbacks) -> None:
    *_, unknown, groups, texts = laid_out(callbacks.preset_values("piano-small", "standard", "babe2", "banana"))
    assert unknown["visible"] and not any(text["visible"] for text in texts.values())
    assert not any(group["open"] for group in groups.values())


def test_groups_are_left_open_or_closed_where_nothing_is_sought(callbacks: Callbacks) -> None:
    *_, groups, texts = laid_out(callbacks.preset_values("piano-small", "standard", "babe2", " "))
    assert all(group == gr.skip() for group in groups.values()) and texts["steps"]["visible"]


def test_a_method_without_settings_is_no_search_in_vain(callbacks: Callbacks) -> None:
    *_, unknown, _, texts = laid_out(callbacks.preset_values("piano-small", "standard", "none", None))
    assert not any(text["visible"] for text in texts.values()) and not unknown["visible"]


def laid_out(values: list[Any]) -> list[Any]:
    """What `preset_values` gives, groups and settings by name."""
    firsts, fields = values[: -len(GROUPS) - len(SETTINGS)], values[-len(GROUPS) - len(SETTINGS) :]
    groups, texts = fields[: len(GROUPS)], fields[len(GROUPS) :]
    return [*firsts, dict(zip(GROUPS, groups, strict=True)), dict(zip(SETTINGS, texts, strict=True))]


def test_a_choice_ticks_its_stages_and_what_a_recording_needs_is_told(callbacks: Callbacks) -> None:
    (shown,) = updates(callbacks.what_to_do("cylinder", EXAMPLE, False, 0, 2))[1:]
    assert shown["stages"]["value"] == ["declick", "rumble", "denoise"] and shown["stages"]["visible"]
    *_, hidden = updates(callbacks.what_to_do("restore", EXAMPLE, False, 0, 2))
    assert not hidden["stages"]["visible"]
    *_, needed = updates(callbacks.what_to_do("as-needed", EXAMPLE, False, 0, 2))
    assert "denoise" in needed["stages"]["value"] and "denoise: the noise lies" in needed["reasons"]
    *_, missing = updates(callbacks.what_to_do("as-needed", None, False, 0, 2))
    assert missing["reasons"].startswith("Drop a recording first")
