"""`babe2 evaluate recordings` and `table1`: folders in, a table and pictures out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from conftest import CHECKPOINT
from music import music
from sounds import SONG_RATE, song

from babe2.commands.judging import recordings, table1
from babe2.commands.main import main
from babe2.dsp.spectra import ReferenceLtas
from babe2.evaluation.frechet import Distances, Estimate
from babe2.evaluation.measures import ltas_distance
from babe2.evaluation.ranking import latex, markdown
from babe2.evaluation.recordings import Evaluation, Method, Source, evaluate_recordings

RATE = 8000


def write(path: Path, x: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(exist_ok=True)
    sf.write(path, x.T, rate, subtype="FLOAT")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings, dull; what two methods made of them; a silent and a broken one; a reference."""
    tmp_path = tmp_path_factory.mktemp("folders")
    for k, name in enumerate(("one", "two")):
        bright = music(3.0, seed=k)
        dull = np.apply_along_axis(lambda x: np.convolve(x, np.ones(8) / 8, "same"), 1, bright).astype(np.float32)
        write(tmp_path / "old" / f"{name}.wav", dull)
        write(tmp_path / "good" / f"{name}.restored.wav", 0.1 * bright)
        write(tmp_path / "poor" / f"{name}.wav", np.repeat(dull + 0.05 * np.sign(dull), 2, axis=0))
    write(tmp_path / "old" / "quiet.wav", np.zeros((1, RATE)))
    for folder in ("good", "poor"):
        write(tmp_path / folder / "quiet.wav", np.zeros((1, RATE)))
    write(tmp_path / "good" / "three.wav", np.ones((1, RATE)))
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "broken.wav").write_bytes(b"no sound")
    for k in range(3):
        write(tmp_path / "reference" / f"{k}.wav", music(3.0, seed=10 + k))
    return tmp_path


def evaluate(out: Path, *more: str) -> int:
    own = ["--original", "old", "--restored", "good=good", "--restored", "poor=poor", "--reference", "reference"]
    return main(["evaluate", "recordings", *own, "--out", str(out), "--embedding", "log-mel", "--seconds", "2", *more])


def test_folders_become_a_table_in_four_formats_with_pictures_and_what_is_left_out_is_told(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folders)
    out = tmp_path / "out"
    pictures = ["--picture", "one:0-1.5", "--mark", "one:0.2-0.5:1000-3000:cyan:added"]
    assert evaluate(out, *pictures) == 0
    said = capsys.readouterr()
    names = ["ltas_ratios.png", "measured", "spectrograms-1.png", "table.csv", "table.json", "table.md", "table.tex"]
    assert sorted(path.name for path in out.iterdir()) == names
    told = json.loads((out / "table.json").read_text("utf-8"))
    methods = {each["name"]: each["measures"] for each in told["methods"]}
    assert list(methods) == ["Original", "good", "poor"] and told["methods"][0]["recordings"] == 2
    fad = {name: values["fad_log-mel"]["value"] for name, values in methods.items()}
    assert fad["good"] < min(fad["Original"], fad["poor"])
    assert methods["good"]["ltas_distance"]["value"] < methods["Original"]["ltas_distance"]["value"]
    assert methods["good"]["onsets_kept"]["value"] > 70 and methods["good"]["pitch_agreement"]["value"] > 0.9
    assert methods["Original"]["onsets_kept"] is None
    for part in ("quiet.wav of Original is silent", "broken.wav of the reference is left out"):
        assert part in said.err and part in (out / "table.md").read_text("utf-8")
    assert "good: 1 files have no recording of their name, such as three.wav." in said.err
    assert said.out.strip() in (out / "table.md").read_text("utf-8") and "**" in said.out
    rows = list(csv.DictReader((out / "table.csv").read_text("utf-8").splitlines()))
    assert {row["Method"] for row in rows} == set(methods) and rows[0]["Better"] == "less"

    def not_again(*anything: object) -> None:
        raise AssertionError("what was measured is kept")

    monkeypatch.setattr("babe2.evaluation.recordings.embedded", not_again)
    monkeypatch.setattr("babe2.evaluation.recordings.played", not_again)
    assert evaluate(out, "--overwrite", "--json", "--no-pictures") == 0
    assert json.loads(capsys.readouterr().out)["methods"] == told["methods"]


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (["--restored", "good=poor"], "Two restored folders have one name."),
        (["--restored", "good"], "good is no set."),
        (["--restored", "Original=poor"], "Choose another name."),
        (["--restored", "more=nowhere"], "nowhere is no folder."),
        (["--restored", "more=reference"], "No recording in reference has the name of one in old."),
        (["--embedding", "log-mel"], "One embedding is given twice."),
        (["--rate", "48000"], "A file has no more than 8000 Hz."),
        (["--seconds", "0"], "The seconds of each file are above zero."),
        (["--picture", "four"], "There is no recording 'four' to draw."),
        (["--picture", "one:2-1"], "the lower number first"),
        (["--mark", "nothing:0-1:1-2"], "marks no recording that is drawn"),
        (["--mark", "one:0-1"], "--mark takes NAME:FROM-TO:LOW-HIGH"),
        (["--mark", "one:0-1:100-200:mud"], "'mud' is no colour."),
        (["--out", "old/one.wav"], "cannot be a folder to write to"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told_in_a_sentence(
    wishes: list[str],
    told: str,
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folders)
    assert evaluate(tmp_path / "out", *wishes) == 1
    said = capsys.readouterr()
    assert told in said.err.splitlines()[-1] and not said.out


def test_a_spectrum_is_that_of_the_measure_and_channels_are_heard_as_one(tmp_path: Path) -> None:
    x = music(3.0)
    write(tmp_path / "x.wav", x)
    power = torch.linspace(2, 1, 513)  # of frames of 1024 samples, a tenth of a second at 8 kHz
    expected = ltas_distance(torch.from_numpy(x).mean(dim=0), RATE, ReferenceLtas(power, RATE))
    write(tmp_path / "reference.wav", 0.01 * np.random.default_rng(0).standard_normal((2, 3 * RATE)))
    found = evaluate_recordings({"a": {"x": tmp_path / "x.wav"}}, [tmp_path / "reference.wav"], [])
    assert found.methods[0].ltas_distance.low is None  # one recording tells no interval
    assert len(found.reference.power) == 513 and np.isfinite(expected)
    assert Source(tmp_path / "reference.wav").seconds == 3


def test_the_melody_is_measured_of_what_is_sung(tmp_path: Path) -> None:
    voice, piano = (song(struck, vibrato_cents=40)[None] for struck in (False, True))
    for name, x in (("voice", voice), ("piano", piano), ("reference", piano)):
        write(tmp_path / f"{name}.wav", x, SONG_RATE)
    write(tmp_path / "uneven.wav", song(struck=False, vibrato_cents=40, speed_cents=40)[None], SONG_RATE)
    old = {name: tmp_path / f"{name}.wav" for name in ("voice", "piano")}
    sets = {"old": old, "same": old, "uneven": old | {"voice": tmp_path / "uneven.wav"}}
    found = evaluate_recordings(sets, [tmp_path / "reference.wav"], [])
    cells = {method.name: (method.melody_kept, method.melody_off) for method in found.methods}
    assert cells["old"] == (None, None) and cells["same"] == (Estimate(100, None, None), Estimate(0, None, None))
    kept, off = cells["uneven"]  # half of the time a sine is beyond 1 / √2 of its height
    assert kept is not None and kept.value > 95 and off is not None and off.value == pytest.approx(40 / 2**0.5, abs=3)
    assert "| sung melody kept, % ↑ | sung pitch off, cents ↓ |" in markdown(found)


# Table 1


@pytest.mark.thorough
def test_the_table_restores_by_each_method_once_and_then_compares(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        sound, rate = sf.read(folders / "old" / f"{name}.wav", always_2d=True)
        write(tmp_path / "old" / f"{name}.wav", sound.T, rate)
    common = ["--recordings", "old", "--reference", str(folders / "reference"), "--out", "out"]
    quick = ["--set", "steps=2", "--seconds", "0.6", "--device", "cpu", "--embedding", "log-mel", "--no-pictures"]
    command = ["evaluate", "table1", *common, *quick, "--checkpoints", str(CHECKPOINT), "--methods", "draft,ltas-eq"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert [line.split(" | ")[0] for line in said.out.splitlines()[2:]] == [
        "| Original",
        "| ours, draft",
        "| LTAS-EQ",
    ]
    results = sorted(path.name for path in (tmp_path / "out" / "restored" / "draft").glob("*.wav"))
    assert results == ["one.restored.wav", "two.restored.wav"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "restored").rglob("*.wav")}
    assert main([*command, "--overwrite"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    capsys.readouterr()
    assert main([*command, "--overwrite", "--seed", "1"]) == 1
    assert "were made with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (["--methods", "babe3"], "There is no method 'babe3' in the table."),
        (["--methods", ","], "The table has no row."),
        (["--methods", "ltas-eq,ltas-eq"], "Two rows of the table are the same."),
        (["--recordings", "nowhere"], "nowhere is no folder."),
        (["--set", "stepss=3"], "There is no setting stepss"),
    ],
)
def test_a_row_that_cannot_be_is_told_before_anything_is_restored(
    wishes: list[str],
    told: str,
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folders)
    out = tmp_path / "out"
    common = ["--recordings", "old", "--reference", "reference", "--out", str(out), "--checkpoints", str(CHECKPOINT)]
    assert main(["evaluate", "table1", *common, "--device", "cpu", *wishes]) == 1
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1 and not out.exists()


def test_rows_of_several_checkpoints_say_which_and_the_papers_rows_are_its_variants() -> None:
    assert [table1.METHODS[name].title for name in table1.OF_THE_PAPER][-1] == "BABE-2 w/ LTAS-EQ obj."
    assert table1.METHODS["babe2"].settings == ("ltas=off",)
    assert recordings.TABLE == "table"


# Formats


def method(name: str, fad: float, ltas: float) -> Method:
    heard = {"vggish": Distances(Estimate(fad, fad - 0.5, fad - 0.1), None, Estimate(0.1, None, None), 9)}
    return Method(name, 2, 60.0, heard, Estimate(ltas, ltas - 1, ltas + 1), ltas, None, None, None, {})


def test_the_best_of_each_column_is_bold_and_names_cannot_break_a_table() -> None:
    methods = (method("Original", 2.37, -1.15), method("A & B_2|x", 1.45, -3.02))
    found = Evaluation(methods, ReferenceLtas(torch.ones(5), 8), 60.0, 3, {"vggish": 9})
    assert markdown(found, whole=False).splitlines() == [
        "| method | FAD VGGish ↓ | LTAS dist., dB ↓ |",
        "| --- | --- | --- |",
        "| Original | 2.37 | -1.15 |",
        "| A & B_2\\|x | **1.45** | **-3.02** |",
    ]
    assert r"A \& B\_2|x & \textbf{1.45} & \textbf{-3.02} dB \\" in latex(found)
    assert "[0.95, 1.35]" in markdown(found) and "FAD∞" not in markdown(found)
