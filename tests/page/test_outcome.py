"""What came of a run, to hear, to see and to take home."""

from __future__ import annotations

import gc
import hashlib
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from babe2 import Restoration, audio
from babe2.dsp.loudness import integrated_loudness
from babe2.page.checkpoint_cards import restorer_of
from babe2.page.excerpt import Excerpt
from babe2.page.outcome import Restored, RestoredHome, as_long, numbers, pictures, sounds_to_compare
from babe2.report.tracks import LTAS_EQ, RECORDING, RESTORED

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"
EXCERPT = Excerpt(1.0, 2.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "Grüße.flac"
    path.write_bytes(EXAMPLE.read_bytes())
    return path


@pytest.fixture(scope="module")
def sound(recording: Path) -> audio.Recording:
    return EXCERPT.read(recording, 60.0)


@pytest.fixture(scope="module")
def restoration(sound: audio.Recording) -> Restoration:
    return restorer_of("piano-small").restore(sound.audio, sound.sample_rate, preset="draft", steps=4)


@pytest.fixture(scope="module")
def outcome(recording: Path, sound: audio.Recording, restoration: Restoration) -> Restored:
    return kept(recording, sound, restoration)


def kept(recording: Path, sound: audio.Recording, restoration: Restoration) -> Restored:
    return Restored.of(recording, EXCERPT, "piano-small", sound, restoration, restorer_of("piano-small").reference)


def home_of(outcome: Restored, folder: Path, *wishes: Any, **more: Any) -> RestoredHome:
    return outcome.take_home(folder, restorer_of("piano-small"), *wishes, **more)


# Compared


def test_everything_to_compare_is_as_long(sound: audio.Recording, restoration: Restoration) -> None:
    part = replace(restoration, seconds=1000 / restoration.sample_rate)
    sounds = sounds_to_compare(as_long(sound, part), part.audio, sound.audio)
    assert set(sounds) == {RECORDING, LTAS_EQ, RESTORED}
    assert {each.shape for each in sounds.values()} == {(1, 1000)}


def test_one_channel_is_compared_with_the_mean(sound: audio.Recording, restoration: Restoration) -> None:
    stereo = np.concatenate([sound.audio, 0 * sound.audio])
    sounds = sounds_to_compare((stereo, sound.sample_rate), restoration.audio, None)
    assert set(sounds) == {RECORDING, RESTORED}
    np.testing.assert_allclose(sounds[RECORDING], sound.audio / 2)


def test_pictures_of_a_stopped_run_end_where_it_was_stopped(sound: audio.Recording, restoration: Restoration) -> None:
    part = replace(restoration, seconds=1.0)
    before, _ = as_long(sound, part)
    assert np.shape(before)[1] == part.audio.shape[1] == sound.sample_rate
    drawn = pictures(as_long(sound, part), part, None)
    assert {name: drawn[name].axes[0].get_xlim()[1] for name in ("before", "after")} == {"before": 1.0, "after": 1.0}


# Told


def test_it_is_told_how_long_it_took_and_what_was_done(outcome: Restored) -> None:
    assert outcome.words.startswith("Done: 2.0 s of sound in ")
    assert "imagined" in outcome.verdict and "It gained" in outcome.verdict
    warned = replace(outcome, report=outcome.report | {"warnings": ["One.", "Two."]})
    assert "- One." in warned.verdict and "- Two." in warned.verdict


def test_a_run_that_was_stopped_says_so(recording: Path, sound: audio.Recording, restoration: Restoration) -> None:
    part = kept(recording, sound, replace(restoration, seconds=1.0))
    assert part.words == "Stopped after 1.0 s of 2.0 s."


def test_what_came_out_unchanged_is_not_said_to_be_imagined(
    recording: Path, sound: audio.Recording, restoration: Restoration
) -> None:
    same = kept(recording, sound, restoration.mixed(0.01))
    assert "nearly unchanged" in same.verdict and "imagined" not in same.verdict


def test_numbers_tell_what_the_restored_sound_is_like(restoration: Restoration) -> None:
    assert numbers(restoration)["analysis"]["duration_seconds"] == 2


# Kept


def test_what_is_kept_for_a_visitor_holds_no_sound_and_goes_with_him(
    recording: Path, sound: audio.Recording, restoration: Restoration
) -> None:
    outcome = kept(recording, sound, restoration)
    folder = outcome.folder
    assert len(pickle.dumps(replace(outcome))) < 20_000 < sum(path.stat().st_size for path in folder.iterdir())
    np.testing.assert_array_equal(outcome.restoration().audio, restoration.audio)
    del outcome
    gc.collect()
    assert not folder.exists()


# Taken home


def test_it_is_taken_home_as_one_likes(outcome: Restored, tmp_path: Path) -> None:
    home = home_of(outcome, tmp_path, 0.5, "FLAC, 24 bit", "48000")
    info = sf.info(home.file)
    assert (info.format, info.subtype, info.samplerate, info.frames) == ("FLAC", "PCM_24", 48_000, 96_000)
    assert home.file.name == "Grüße.restored.flac"
    assert home.command[:3] == ["babe2", "restore", "Grüße.flac"]
    options = dict(zip(home.command[3::2], home.command[4::2], strict=True))
    assert {"--amount": "0.5", "--rate": "48000", "--start": "1.0", "--duration": "2.0"}.items() <= options.items()


def test_the_whole_restoration_comes_at_the_rate_of_the_recording(
    outcome: Restored, restoration: Restoration, tmp_path: Path
) -> None:
    home = home_of(outcome, tmp_path, 1.0, "WAV, 32-bit float", "as the recording")
    np.testing.assert_array_equal(sf.read(home.file, dtype="float32")[0], restoration.audio[0])
    assert "--rate" not in home.command


def test_it_can_be_as_loud_as_the_recording(outcome: Restored, sound: audio.Recording, tmp_path: Path) -> None:
    home = home_of(outcome, tmp_path, 1.0, "WAV, 32-bit float", "", loud=True)
    loud, rate = sf.read(home.file, dtype="float32")
    assert integrated_loudness(loud[None], rate) == pytest.approx(
        integrated_loudness(sound.audio, sound.sample_rate), abs=0.05
    )
    papers = home.papers()
    assert abs(home.restoration.report["gain_db"]) > 1
    assert (
        b"to be as loud as the recording" in papers["README.txt"]
        and b"this file was then made" in papers["reproduce.txt"]
    )


def test_a_file_of_integers_is_made_no_louder_than_it_can_hold(
    recording: Path, sound: audio.Recording, restoration: Restoration, tmp_path: Path
) -> None:
    loudest = replace(sound, audio=sound.audio / np.abs(sound.audio).max())
    softly = restorer_of("piano-small").restore(loudest.audio, loudest.sample_rate, preset="draft", steps=2)
    home = home_of(kept(recording, loudest, softly.mixed(0.5)), tmp_path, 1.0, "WAV, 24 bit", "", loud=True)
    assert np.abs(sf.read(home.file)[0]).max() <= max(1.0, np.abs(softly.mixed(0.5).audio).max())


def test_a_file_that_is_taken_home_says_what_in_it_is_generated(outcome: Restored, tmp_path: Path) -> None:
    for loud in (False, True):
        folder = tmp_path / str(loud)
        folder.mkdir()
        home = home_of(outcome, folder, 0.5, "WAV, 24 bit", "", loud=loud)
        statement = home.restoration.provenance.statement
        assert sf.SoundFile(home.file).comment == statement and "50% and 50%" in statement
        assert statement in home.words and hashlib.sha256(home.file.read_bytes()).hexdigest() in home.words
        assert ("to be as loud as the recording" in statement) is loud


def test_pictures_numbers_and_a_page_lie_beside_it_and_in_the_pack(outcome: Restored, tmp_path: Path) -> None:
    home = home_of(outcome, tmp_path)
    papers = home.papers(licence="CC BY 4.0", credit="Somebody")
    paths = home.pictures_and_numbers(papers)
    kinds = {f"{what}.{kind}" for what in ("spectrograms", "ltas", "response") for kind in ("png", "svg")}
    numbers = {"report.json", "restored.c2pa.json", "equalizer.csv", "ltas.csv"}
    assert {path.name for path in paths} == {f"Grüße.{name}" for name in kinds | numbers}
    assert json.loads((tmp_path / "Grüße.report.json").read_text("utf-8"))["input"]["name"] == "Grüße.flac"
    pack = home.pack(papers)
    assert pack.name == "Grüße.babe2.zip"
    with zipfile.ZipFile(pack) as opened:
        assert set(opened.namelist()) == {*papers, home.file.name}
        assert b"CC BY 4.0" in opened.read("README.txt") and home.file.name.encode() in opened.read("README.txt")
    told = home.report_page(papers).read_text("utf-8")
    assert "<h1>Grüße.flac</h1>" in told and 'href="Gr%C3%BC%C3%9Fe.restored.wav"' in told and "/tmp" not in told
    assert told.count("data:audio/flac") == 3 and "is another one" not in told  # recording, restored, what was added
