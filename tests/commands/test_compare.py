"""`babe2 compare`: which files belong together, and what is told of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from music import music

from babe2.commands.judging.compare import pairs_of
from babe2.commands.main import main


def write(path: Path, sound: np.ndarray, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound.T, rate, "PCM_24")
    return path


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders: three pairs, of which one is silent, one broken file, and one lonely file in each."""
    before, after = tmp_path / "before", tmp_path / "after"
    x = music(0.6)
    write(before / "a.wav", x)
    write(after / "restored_a.wav", music(0.6, 16_000), 16_000)
    write(before / "inner" / "b.wav", x)
    write(after / "inner" / "b.mastered.flac", 0.5 * x)
    write(before / "quiet.wav", 0 * x)
    write(after / "quiet.restored.wav", 0 * x)
    write(before / "broken.wav", x)
    (after / "broken.wav").write_bytes(b"no sound")
    write(before / "lost.wav", x)
    write(after / "new.wav", x)
    return before, after


def test_folders_are_compared_pair_by_pair(sides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    before, after = sides
    table = after.parent / "table.csv"
    assert main(["compare", str(before), str(after), "--csv", str(table), "--json"]) == 1  # one could not be read
    out, err = capsys.readouterr()
    told = json.loads(out, parse_constant=pytest.fail)  # neither NaN nor infinities
    names = [(Path(pair["before"]).name, Path(pair["after"]).name) for pair in told["pairs"]]
    expected = [("a.wav", "restored_a.wav"), ("quiet.wav", "quiet.restored.wav"), ("b.wav", "b.mastered.flac")]
    assert sorted(names) == sorted(expected)
    assert [Path(one["after"]).name for one in told["failed"]] == ["broken.wav"] and "is not audio" in err
    assert told["unpaired"] == {"in BEFORE": [str(before / "lost.wav")], "in AFTER": [str(after / "new.wav")]}
    halved = next(pair for pair in told["pairs"] if pair["after"].endswith("flac"))
    assert halved["measures"]["loudness"]["delta"] == pytest.approx(-6.02, abs=0.05)
    assert told["summary"]["loudness"]["pairs"] == 2
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["File", "Metric", "Original", "Restored", "Delta"]
    assert {row["File"] for row in rows} == {pair["after"] for pair in told["pairs"]}


def test_results_beside_their_recordings_are_found(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "a.restored.wav", "a.flac.restored.wav", "alone.wav"):
        (tmp_path / name).touch()
    found = pairs_of(tmp_path, tmp_path)
    assert {(before.name, after.name) for before, after in found.pairs} >= {
        ("a.flac", "a.flac.restored.wav"),
        ("a.flac", "a.restored.wav"),
    }
    assert [path.name for path in found.alone["there"]] == ["alone.wav"]


def test_two_files_in_words_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path / "old.wav", music(0.6)), write(tmp_path / "new.wav", music(0.6, 16_000), 16_000)
    assert main(["compare", str(old), str(new), "--plots", str(tmp_path / "plots")]) == 0
    out = capsys.readouterr().out
    assert "Loudness, LUFS" in out and "The sample rates differ" in out
    assert (tmp_path / "plots" / "new.png").stat().st_size > 10_000
    for arguments, sentence in (
        (["--plots", str(tmp_path / "plots")], "exists already"),
        (["--csv", str(old)], "is an input"),
    ):
        assert main(["compare", str(old), str(new), *arguments]) == 1
        assert sentence in capsys.readouterr().err
    assert main(["compare", str(old), str(tmp_path)]) == 1
    assert "Give two files, or two folders" in capsys.readouterr().err
