"""`babe2 evaluate`: clips in, a table out; what is wrong with a wish is said before anything is restored."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from classroom import COMPACT, compact_network, shard, tune
from terminals import on_a_terminal, read_until

from babe2.checkpoints.checkpoint import Checkpoint, save
from babe2.commands.main import main
from babe2.dsp.spectra import ltas
from babe2.evaluation.table import MEASURES

QUICK = ["--set", "steps=2", "--set", "segment_length=8192", "--seconds", "2", "--device", "cpu"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    spectrum = ltas(torch.from_numpy(tune(20)).float()[None], 1024, 512, 256)
    model = replace(COMPACT, column="compact")
    save(Checkpoint(model, compact_network().state_dict(), spectrum, "", ""), tmp_path / "compact")
    return tmp_path / "compact"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A sound file and a prepared array, four seconds each."""
    (tmp_path / "clips").mkdir()
    sf.write(tmp_path / "clips" / "one.wav", np.stack([tune(4, seed=1, rate=22050)] * 2, axis=1), 22050)
    shard(tmp_path / "clips" / "deeper" / "two.npy", 4.0, seed=2)
    (tmp_path / "clips" / "notes.txt").write_text("not a recording")
    return tmp_path / "clips"


def evaluate(checkpoint: Path, *arguments: object) -> int:
    return main(["evaluate", "synthetic", "--checkpoint", str(checkpoint), *QUICK, *map(str, arguments)])


def test_a_table_is_printed_and_its_numbers_and_pictures_are_kept(
    checkpoint: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, sheets = tmp_path / "report.json", tmp_path / "sheets"
    assert evaluate(checkpoint, clips, "--report", report, "--sheets", sheets) == 0
    table = capsys.readouterr().out
    assert all(measure.title in table for measure in MEASURES) and "bit-identical" in table
    told = json.loads(report.read_text())
    assert [clip["name"] for clip in told["clips"]] == ["two at 1 s", "one at 1 s"]
    assert told["checkpoint"] == "compact" and len(told["sha256"]) == 64 and told["repeatable"]
    assert all(np.isfinite(clip["known_si_sdr"]) for clip in told["clips"])
    assert [path.name for path in sorted(sheets.iterdir())] == ["01.png", "02.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in sheets.iterdir())


def test_older_pictures_and_reports_are_replaced_where_that_is_wanted(
    checkpoint: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, picture = tmp_path / "report.json", tmp_path / "sheets" / "01.png"
    picture.parent.mkdir()
    for file in (report, picture):
        file.write_text("older")
    kept = ["--report", report, "--sheets", picture.parent]
    assert evaluate(checkpoint, clips / "one.wav", *kept, "--overwrite") == 0
    assert picture.read_bytes().startswith(b"\x89PNG") and "rows" in json.loads(report.read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "compact", "report.json", "sheets"]


def test_json_is_the_report(checkpoint: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(checkpoint, clips / "one.wav", "--seeds", 2, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [clip["seed"] for clip in told["clips"]] == [0, 1]
    assert [row["key"] for row in told["rows"]] == [measure.key for measure in MEASURES]


def test_a_setting_of_ltas_eq_alone_changes_its_row_and_no_other(
    checkpoint: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for settings in ([], ["--set", "ltas_floor_db=-3"]):
        assert evaluate(checkpoint, clips / "one.wav", "--json", *settings) == 0
        (clip,) = json.loads(capsys.readouterr().out)["clips"]
        told.append(clip)
    assert told[0]["ltas_eq"] != told[1]["ltas_eq"]
    assert told[0]["ours"] == told[1]["ours"]


def test_methods_are_compared_side_by_side(checkpoint: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--set", "filter_iterations=2", "--method", "babe", "--method", "none"]
    assert evaluate(checkpoint, clips / "one.wav", *quick) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-4:] == ["babe", "none", "floor", "wanted"]
    assert sum("against babe" in line for line in lines) == 2


@pytest.mark.process
def test_a_contest_goes_on_where_it_stopped_and_its_scores_do_not_depend_on_how_many_are_at_work(
    checkpoint: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["evaluate", "methods", "--checkpoint", str(checkpoint), *QUICK, str(clips), "--family", "horn"]
    few, many = tmp_path / "few", tmp_path / "many"
    assert main([*common, "-o", str(few), "--way", "babe2:draft", "--jobs", "1"]) == 0
    first = (few / "scores.jsonl").read_text()
    ways = ["--way", "ratio", "--way", "babe2:draft"]
    assert main([*common, "-o", str(few), *ways, "--jobs", "1", "--json"]) == 0
    added = (few / "scores.jsonl").read_text().removeprefix(first)
    assert [json.loads(line)["way"] for line in added.splitlines()] == ["ratio"] * 2
    capsys.readouterr()
    assert main([*common, "-o", str(many), *ways, "--jobs", "2"]) == 0
    assert "2 recordings of 2 clips" in capsys.readouterr().out
    names = [
        "conditions.json",
        "scores.csv",
        "scores.jsonl",
        "standings.json",
        "standings.png",
        "table.md",
        "table.tex",
    ]
    assert sorted(path.name for path in few.iterdir()) == names

    def scores(folder: Path) -> list[dict[str, object]]:
        rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
        return sorted(({**row, "seconds": 0} for row in rows), key=lambda row: (row["clip"], row["way"]))

    assert scores(few) == scores(many)
    assert main([*common, "-o", str(few), "--seconds", "1"]) == 1
    assert "scores of other conditions (seconds)" in capsys.readouterr().err
    assert main([*common, "-o", str(many), "--way", "ratio", "--set", "steps=3"]) == 1
    assert "None of these ways has a setting" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_a_sentence(checkpoint: Path, clips: Path) -> None:
    command = ["evaluate", "synthetic", "--checkpoint", checkpoint, clips / "one.wav", *QUICK, "--set", "steps=5000"]
    process, terminal = on_a_terminal(*command)
    said = read_until(terminal, b"segment 1/")
    process.send_signal(signal.SIGINT)
    said += read_until(terminal, b"never said")  # to the end
    os.close(terminal)
    process.communicate()
    assert process.returncode == 130, said
    assert said.endswith(b"\r\033[Kbabe2: stopped before everything was scored.\r\n")  # on a line of its own


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (["--seconds", "60"], "holds no clip of 60 s"),
        (["--seconds", "nan"], "holds no clip of nan s"),
        (["--seconds", "inf"], "holds no clip of inf s"),
        (["--seconds", "-1"], "holds no clip of -1 s"),
        (["--per-file", "0"], "holds no clip"),
        (["--seeds", "0"], "nothing to evaluate"),
        (["--set", "stepss=3"], "There is no setting stepss"),
        (["--set", "rho=9"], "rho changes nothing with the method bandwise."),
        (["--set", "ltas_floor_db=3"], "These settings cannot work: ltas_floor_db = 3.0."),
        (["--set", "segment_length=10000"], "Choose segment_length = 10240"),
        (["--report", "nowhere/report.json"], "The folder of nowhere/report.json does not exist."),
        (["--sheets", "taken"], "taken cannot be a folder to write to (File exists)."),
        (["--report", "taken"], "taken exists already. Choose another place or add --overwrite."),
        (["--sheets", "pictures"], "pictures/01.png exists already. Choose another place or add --overwrite."),
    ],
)
def test_a_wish_that_cannot_be_met_is_told_in_a_sentence(
    wishes: list[str],
    told: str,
    checkpoint: Path,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "taken").write_text("something else")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "01.png").write_text("an older picture")
    monkeypatch.chdir(tmp_path)
    assert evaluate(checkpoint, clips / "one.wav", *wishes) == 1
    said = capsys.readouterr()
    assert told in said.err and said.err.count("\n") == 1 and not said.out
    assert (tmp_path / "taken").read_text() == "something else"
    assert (tmp_path / "pictures" / "01.png").read_text() == "an older picture"
