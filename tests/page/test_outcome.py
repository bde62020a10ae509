"""What came of a run, to hear, to see and to take home."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from babe2.page.checkpoint_cards import restorer_of
from babe2.page.excerpt import Excerpt
from babe2.page.outcome import Outcome
from babe2.page.tracks import LTAS_EQ, RECORDING, RESTORED

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"
EXCERPT = Excerpt(1.0, 2.0)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    recording = tmp_path_factory.mktemp("upload") / "Grüße.flac"
    recording.write_bytes(EXAMPLE.read_bytes())
    sound, restorer = EXCERPT.read(recording, 60.0), restorer_of("piano-small")
    restoration = restorer.restore(sound.audio, sound.sample_rate, preset="draft")
    return Outcome(recording, EXCERPT, sound, restorer, restoration)


def test_everything_to_compare_is_as_long(outcome: Outcome) -> None:
    sounds = outcome.sounds()
    assert set(sounds) == {RECORDING, LTAS_EQ, RESTORED}
    assert {sound.shape for sound in sounds.values()} == {(1, 2 * 22_050)}


def test_a_part_is_compared_with_its_part_and_one_channel_with_the_mean(outcome: Outcome) -> None:
    stereo = np.concatenate([outcome.sound.audio, 0 * outcome.sound.audio])
    part = replace(outcome.restoration, seconds=1000 / outcome.restoration.sample_rate)
    folded = replace(outcome, sound=replace(outcome.sound, audio=stereo), restoration=part)
    sounds = folded.sounds()
    assert set(sounds) == {RECORDING, RESTORED}
    np.testing.assert_allclose(sounds[RECORDING], outcome.sound.audio[:, :1000] / 2)


def test_it_is_told_how_long_it_took_and_what_is_imagined(outcome: Outcome) -> None:
    assert outcome.words.startswith("done: 2.0 s of sound in ") and "imagined" in outcome.words
    warned = replace(outcome.restoration, report=outcome.restoration.report | {"warnings": ["One.", "Two."]})
    assert replace(outcome, restoration=warned).warnings == "- One.\n- Two."
    assert outcome.numbers()["analysis"]["duration_seconds"] == 2


def test_it_is_taken_home_as_one_likes(outcome: Outcome, tmp_path: Path) -> None:
    home = outcome.take_home(tmp_path, 0.5, "FLAC, 24 bit", "48000")
    info = sf.info(home.file)
    assert (info.format, info.subtype, info.samplerate, info.frames) == ("FLAC", "PCM_24", 48_000, 96_000)
    assert home.file.name == "Grüße.restored.flac"
    assert home.command[:3] == ["babe2", "restore", "Grüße.flac"]
    options = dict(zip(home.command[3::2], home.command[4::2], strict=True))
    assert {"--amount": "0.5", "--rate": "48000", "--start": "1.0", "--duration": "2.0"}.items() <= options.items()


def test_the_whole_restoration_comes_at_the_rate_of_the_recording(outcome: Outcome, tmp_path: Path) -> None:
    home = outcome.take_home(tmp_path, 1.0, "WAV, 32-bit float", "as the recording")
    np.testing.assert_array_equal(sf.read(home.file, dtype="float32")[0], outcome.restoration.audio[0])
    assert "--rate" not in home.command


def test_pictures_and_numbers_lie_beside_it_and_in_the_pack(outcome: Outcome, tmp_path: Path) -> None:
    home = outcome.take_home(tmp_path, 1.0, "WAV, 24 bit", "as the recording")
    papers = home.papers(licence="CC BY 4.0", credit="Somebody")
    paths = home.pictures_and_numbers(papers)
    kinds = {f"{what}.{kind}" for what in ("spectrograms", "ltas", "response") for kind in ("png", "svg")}
    numbers = {"report.json", "equalizer.csv", "ltas.csv"}
    assert {path.name for path in paths} == {f"Grüße.{name}" for name in kinds | numbers}
    assert json.loads((tmp_path / "Grüße.report.json").read_text("utf-8"))["input"]["name"] == "Grüße.flac"
    pack = home.pack(papers)
    assert pack.name == "Grüße.babe2.zip"
    with zipfile.ZipFile(pack) as opened:
        assert set(opened.namelist()) == {*papers, home.file.name}
        assert b"CC BY 4.0" in opened.read("README.txt") and home.file.name.encode() in opened.read("README.txt")
