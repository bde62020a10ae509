"""A command for each stage, chains, and whole folders, as a person meets them: real files, exit codes, sentences."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from conftest import CHECKPOINT
from music import chord
from soften import Soften

from babe2.commands.main import main
from babe2.report.figures_table import TABLE
from babe2.stages import STAGES

CHAIN = f"""\
title: Softened and equalised
stages:
  - soften
  - restore: {{checkpoint: "{CHECKPOINT}", method: ltas-eq}}
"""


@pytest.fixture(autouse=True)
def soften(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "soften", Soften)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    sf.write(tmp_path / "old.wav", chord(), 8000, "PCM_24")
    return tmp_path / "old.wav"


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(CHAIN, "utf-8")
    return tmp_path / "mine.yaml"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_stage_writes_what_is_left_and_what_it_took_away(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    removed = old.with_name("removed.wav")
    assert run("soften", old, "--factor", "0.3", "--removed", removed) == 0
    assert "old.soften.wav: changed by -3.1 dB of the recording" in capsys.readouterr().out
    recording, left, taken = (sf.read(path)[0] for path in (old, old.with_name("old.soften.wav"), removed))
    np.testing.assert_array_equal(left + taken, recording)  # to the last bit
    assert np.abs(left - 0.3 * recording).max() < 2**-23
    assert sorted(path.name for path in old.parent.iterdir()) == ["old.soften.wav", "old.wav", "removed.wav"]


def test_a_sound_in_floats_and_what_was_taken_from_it_add_up_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "f.wav", 2 * rng.standard_normal((800, 2)), 8000, "FLOAT")
    assert run("soften", tmp_path / "f.wav", "--removed", tmp_path / "r.wav", "--subtype", "FLOAT") == 0
    recording, left, taken = (sf.read(tmp_path / name)[0] for name in ("f.wav", "f.soften.wav", "r.wav"))
    np.testing.assert_array_equal(left + taken, recording)


def test_a_stage_tells_machines_what_it_found(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("soften", old, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["stage"] == "soften" and report["found"] == {"loudest": 1.0} and report["counts"] == {"samples": 4800}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("soften", "nowhere.wav"), "nowhere.wav does not exist"),
        (("soften", "old.wav", "--factor", "loud"), "factor cannot be 'loud'"),
        (("soften", "old.wav", "-o", "old.wav"), "old.wav is an input"),
        (("soften", "."), "is a folder, not a recording"),
        (("restore", "old.wav", "--chain", "nowhere"), "There is no chain 'nowhere'"),
        (("restore", "old.wav", "--chain", "mine.yaml", "--preset", "draft"), "--preset is for the stage restore"),
        (("restore", "old.wav", "--chain", "mine.yaml", "--bypass", "hiss"), "has no stage hiss"),
        (("restore", "old.wav", "--bypass", "soften"), "--bypass passes over stages of a chain"),
        (("restore", "old.wav", "--removed", "taken"), "--removed tells what stages took away"),
        (("restore", "."), "A folder's results go to a folder"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    arguments: tuple[str, ...],
    sentence: str,
    old: Path,
    chain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(old.parent)
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert sorted(path.name for path in old.parent.iterdir()) == ["mine.yaml", "old.wav"]


def test_a_recording_goes_through_a_chain(old: Path, chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = old.with_name("taken")
    assert run("restore", old, "--chain", chain, "--removed", taken, "--report", old.with_name("r.json")) == 0
    assert "old.restored.wav: Softened and equalised" in capsys.readouterr().out
    report = json.loads(old.with_name("r.json").read_text())
    assert [stage["stage"] for stage in report["stages"]] == ["soften", "restore"]
    names = ["old.1-soften.removed.wav", "old.2-restore.removed.wav"]
    assert sorted(path.name for path in taken.iterdir()) == names
    recording, first = sf.read(old)[0], sf.read(taken / names[0])[0]
    assert np.abs(first - recording / 2).max() <= 2**-24
    assert "All that was done: soften → restore." in sf.SoundFile(old.with_name("old.restored.wav")).comment


def test_stages_of_a_chain_are_passed_over(old: Path, chain: Path) -> None:
    assert run("restore", old, "--chain", chain, "--bypass", "restore") == 0
    left, recording = sf.read(old.with_name("old.restored.wav"))[0], sf.read(old)[0]
    assert np.abs(left - recording / 2).max() <= 2**-24


# Folders


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("way", [("--chain", "mine.yaml"), ("--method", "ltas-eq", "--checkpoint", CHECKPOINT)])
def test_a_folder_is_restored_whole_and_not_twice(
    way: tuple[str, ...],
    old: Path,
    chain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(old.parent)
    sides, output = old.with_name("sides"), old.with_name("restored")
    (sides / "box" / ".hidden").mkdir(parents=True)
    old.rename(sides / "a.wav")
    sf.write(sides / "a.flac", chord(), 8000)  # the same name but for its ending
    sf.write(sides / "box" / "b.aiff", chord(), 8000)
    (sides / "box" / "broken.wav").write_bytes(b"RIFF")
    (sides / "box" / "notes.txt").write_text("side B is warped")
    (sides / "box" / ".hidden" / "c.wav").write_bytes(b"")
    page = old.with_name("all.html")
    assert run("restore", sides, "-o", output, *way, *(["--page", page] if "--method" in way else [])) == 1
    error = capsys.readouterr().err
    if "--method" in way:
        assert "3 recordings restored, 1 failed." in page.read_text("utf-8")
        assert len(list(page.with_suffix(".pages").glob("*.html"))) == 3
    assert "3 restored, 0 were there already, 1 failed." in error
    assert error.rstrip().endswith(f"failed: {sides / 'box' / 'broken.wav'}")
    made = ["a.flac.restored.wav", "a.wav.restored.wav", "box/b.restored.wav", TABLE]
    found = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    assert found == sorted(made)
    table = rows(output)
    assert [row["state"] for row in table] == ["done", "done", "done", "failed"]
    assert all(row["sha256"] for row in table[:3]) and "not audio" in table[3]["error"]
    assert run("restore", sides, "-o", output, *way) == 1
    assert "0 restored, 3 were there already, 1 failed." in capsys.readouterr().err
    again = rows(output)
    assert [row["state"] for row in again] == ["skipped"] * 3 + ["failed"]
    assert [row["sha256"] for row in again] == [row["sha256"] for row in table]


def test_a_folder_without_recordings_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run("restore", tmp_path / "empty", "-o", tmp_path / "out", "--method", "ltas-eq") == 1
    assert "There is no recording in" in capsys.readouterr().err
