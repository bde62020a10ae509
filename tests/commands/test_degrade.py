"""`babe2 degrade`: a good recording becomes an old one, and the report says exactly how."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CHECKPOINT
from music import music

from babe2.commands.main import main
from babe2.degradations.families import family_of
from babe2.degradations.spec import degradation_of


@pytest.fixture
def good(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "good.wav", music(2.0, 16000, channels=2).T, 16000, "PCM_24")
    return tmp_path / "good.wav"


def degrade(*arguments: object) -> int:
    return main(["degrade", *map(str, arguments)])


def test_a_machine_is_drawn_and_its_true_response_told(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, told = tmp_path / "old.wav", tmp_path / "told.json"
    assert degrade(good, "-o", old, "--family", "horn", "--seed", 3, "--report", told, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(told.read_text())
    written = soundfile.info(old)
    assert (written.frames, written.samplerate, written.channels) == (32000, 16000, 2)
    assert written.subtype in ("PCM_24", "FLOAT")
    aging = family_of("horn").draw(torch.Generator().manual_seed(3))
    hertz = np.array(report["response"]["frequencies_hz"])
    assert np.allclose(aging.response.gain_db(hertz), report["response"]["gain_db"], atol=1e-3)
    assert report["machine"]["response"]["high_hz"] == aging.response.high_hz  # type: ignore[attr-defined]
    assert report["noise"]["relative_db"] < 0


def test_the_same_seed_makes_the_same_recording(good: Path, tmp_path: Path) -> None:
    sounds = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert degrade(good, "-o", tmp_path / f"{name}.wav", "--family", "radio", "--seed", seed) == 0
        sounds.append(soundfile.read(tmp_path / f"{name}.wav")[0])
    assert np.array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])


def test_what_is_wished_is_done_in_its_order(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gaps.csv").write_text("0.5,0.6\n")
    spec = f"lowpass:2000+clip:0.05+gaps:{tmp_path / 'gaps.csv'}"
    assert degrade(good, "-o", tmp_path / "old.flac", "--degradation", spec, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    sound = torch.from_numpy(soundfile.read(good, dtype="float32")[0].T.copy())
    expected = degradation_of(spec).applied(sound, 16000, torch.Generator().manual_seed(0))
    found = soundfile.read(tmp_path / "old.flac", dtype="float32")[0].T
    assert np.allclose(found, expected, atol=1e-6)
    assert report["degradation"]["text"] == spec
    assert len(report["degradation"]["parts"]) == 3
    gain = dict(zip(report["response"]["frequencies_hz"], report["response"]["gain_db"], strict=True))
    assert gain[20.0] == pytest.approx(0, abs=0.1)


def test_noise_of_a_bank_comes_last(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bank").mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "bank" / "hiss.wav", 0.1 * rng.standard_normal(20000), 16000)
    target = tmp_path / "old.wav"
    assert degrade(good, "-o", target, "--noise-bank", tmp_path / "bank", "--snr", 10, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["changed_db"] == pytest.approx(-10, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Nothing is to be done"),
        (["--snr", "3"], "needs a noise"),
        (["--degradation", "clap"], "no degradation 'clap'"),
        (["--degradation", "lowpass:9000"], "changes nothing"),
        (["--family", "horn", "--seed", "-1"], "A seed lies between"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert degrade(good, "-o", tmp_path / "old.wav", *arguments) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "old.wav").exists()


def test_the_original_stays(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert degrade(good, "-o", good, "--family", "horn", "--overwrite") == 1
    assert "is an input" in capsys.readouterr().err


def test_silence_stays_silent_but_for_what_is_added(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    for number, options in enumerate((["--family", "horn"], ["--degradation", "clip:0.1+phase"[:8]])):
        target = tmp_path / f"{number}.wav"
        assert degrade(tmp_path / "silent.wav", "-o", target, *options) == 0
        assert not soundfile.read(target)[0].any()


def test_what_was_degraded_is_restored_with_the_same_words(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = music(1.0)
    soundfile.write(tmp_path / "clean.wav", sound.T, 8000, "FLOAT")
    assert degrade(tmp_path / "clean.wav", "-o", tmp_path / "old.wav", "--degradation", "clip:0.1") == 0
    options = ["--checkpoint", CHECKPOINT, "--set", "steps=2", "--json"]
    assert main(["restore", str(tmp_path / "old.wav"), "--degradation", "clip:0.1", *options]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["degradation"] == {"text": "clip:0.1"}
    assert main(["restore", str(tmp_path / "old.wav"), "--degradation", "clip:x", "-o", "x.wav", *options]) == 1
    assert "'x' is no number" in capsys.readouterr().err
