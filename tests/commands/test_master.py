"""`babe2 master` for files and folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from babe2.commands.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two generated clips of other rates and channels."""
    time = np.arange(16_000) / 32_000
    sound = 0.1 * np.sign(np.sin(2 * np.pi * 220 * time)) * np.exp(-4 * time)
    (tmp_path / "in" / "more").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "a.wav", np.stack([sound, 0.5 * sound], axis=1), 32_000)
    soundfile.write(tmp_path / "in" / "more" / "b.flac", sound[::2], 16_000)
    return tmp_path / "in"


def test_a_folder_is_mastered_file_by_file_and_no_file_minds_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["master", str(folder), "-o", str(tmp_path / "out"), "--lufs", "-16", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [report["chain"] for report in reports] == ["Master", "Master"]
    first, second = tmp_path / "out" / "a.mastered.wav", tmp_path / "out" / "more" / "b.mastered.wav"
    about = [soundfile.info(path) for path in (first, second)]
    assert [(each.samplerate, each.channels, each.subtype) for each in about] == [
        (44_100, 2, "PCM_24"),
        (44_100, 1, "PCM_24"),
    ]
    alone = tmp_path / "alone.wav"
    assert main(["master", str(folder / "more" / "b.flac"), "-o", str(alone), "--lufs", "-16"]) == 0
    np.testing.assert_array_equal(soundfile.read(alone)[0], soundfile.read(second)[0])


def test_stages_are_chosen_and_the_published_chain_has_no_wishes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(folder / "a.wav")
    command = ["master", one, "-o", str(tmp_path / "one.wav"), "--preset", "as-published", "--report"]
    assert main([*command, str(tmp_path / "one.json"), "--stages", "denoise,finalise", "--seed", "3"]) == 0
    stages = json.loads((tmp_path / "one.json").read_text("utf-8"))["stages"]
    assert [stage["stage"] for stage in stages] == ["convert", "gate", "finalise"]
    assert soundfile.info(tmp_path / "one.wav").channels == 1
    capsys.readouterr()
    assert main([*command[:4], "--preset", "as-published", "--lufs", "-14"]) == 1
    assert main(["master", one, "--stages", "denoise", "--seed", "3"]) == 1
    assert main(["master", one, "--stages", "eq"]) == 1
    said = capsys.readouterr().err
    assert all(words in said for words in ("has its own level", "Add it to --stages", "There is no stage eq"))
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav", "more"]
