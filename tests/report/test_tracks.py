"""What lies on the listening desk: tracks as files, their loudness, and the gains that make them equally loud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from babe2.certainty import CertaintyMap
from babe2.certainty.cells import Grid
from babe2.dsp.loudness import integrated_loudness
from babe2.report.tracks import ADDED, LTAS_EQ, PEAK_DB, RECORDING, RESTORED, cells_on_desk, desk_parts, desk_tracks

RATE = 22_050  # Hz
Sounds = dict[str, np.ndarray]


def noise(seed: int, level: float = 0.05, seconds: float = 3, channels: int = 1) -> np.ndarray:
    shape = channels, round(seconds * RATE)
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.fixture
def sounds() -> Sounds:
    return {RECORDING: noise(0), LTAS_EQ: noise(1, 0.02), RESTORED: noise(2, 0.03)}


def by_key(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {track["key"]: track for track in value["tracks"]}


def played(track: dict[str, Any], gain_db: float | None = None) -> np.ndarray:
    """The track as the desk plays it."""
    audio, rate = sf.read(track["file"]["path"], always_2d=True)
    assert rate == RATE
    return audio.T * 10 ** ((track["gain_db"] if gain_db is None else gain_db) / 20)


def test_all_tracks_are_brought_to_the_loudness_of_the_recording(sounds: Sounds, tmp_path: Path) -> None:
    tracks = by_key(desk_tracks(sounds, RATE, tmp_path))
    target = integrated_loudness(sounds[RECORDING], RATE)
    assert tracks[RECORDING]["gain_db"] == 0
    for key in (LTAS_EQ, RESTORED):
        assert integrated_loudness(played(tracks[key]), RATE) == pytest.approx(target, abs=0.01)
        assert tracks[key]["loudness"] == pytest.approx(target - tracks[key]["gain_db"], abs=0.002)


def test_where_one_would_clip_all_tracks_step_down_together(sounds: Sounds, tmp_path: Path) -> None:
    sounds[RESTORED][0, 1000] = 0.99  # a peak that matching would lift beyond full scale
    value = desk_tracks(sounds, RATE, tmp_path)
    tracks = by_key(value)
    peaks = [20 * np.log10(np.abs(played(track)).max()) for track in value["tracks"]]
    assert max(peaks) == pytest.approx(PEAK_DB, abs=0.01)
    assert tracks[RECORDING]["gain_db"] < -3
    target = integrated_loudness(played(tracks[RECORDING]), RATE)
    assert integrated_loudness(played(tracks[RESTORED]), RATE) == pytest.approx(target, abs=0.01)


def test_unmatched_tracks_keep_their_levels_and_do_not_clip_either(sounds: Sounds, tmp_path: Path) -> None:
    assert desk_tracks(sounds, RATE, tmp_path)["plain_gain_db"] == 0
    sounds[RECORDING][0, 1000] = 1.5
    value = desk_tracks(sounds, RATE, tmp_path)
    peaks = [20 * np.log10(np.abs(played(track, value["plain_gain_db"])).max()) for track in value["tracks"]]
    assert max(peaks) == pytest.approx(PEAK_DB, abs=0.01)


def test_what_was_added_is_the_plain_difference_at_the_gain_of_the_restoration(sounds: Sounds, tmp_path: Path) -> None:
    tracks = by_key(desk_tracks(sounds, RATE, tmp_path))
    difference = played(tracks[ADDED], 0.0)
    # Three files of 24 bits: a step and a half of theirs.
    np.testing.assert_allclose(difference, sounds[RESTORED] - sounds[RECORDING], atol=2**-23)
    assert tracks[ADDED]["gain_db"] == tracks[RESTORED]["gain_db"]
    assert not tracks[ADDED]["matched"] and tracks[RESTORED]["matched"]


def test_before_there_is_a_restoration_nothing_was_added(sounds: Sounds, tmp_path: Path) -> None:
    del sounds[RESTORED]
    assert list(by_key(desk_tracks(sounds, RATE, tmp_path))) == [RECORDING, LTAS_EQ]


def test_an_unfinished_restoration_is_matched_to_as_much_of_the_recording(sounds: Sounds, tmp_path: Path) -> None:
    half = sounds[RECORDING].shape[1] // 2
    sounds[RECORDING][:, half:] *= 10  # what comes later does not matter yet
    sounds[RESTORED] = sounds[RESTORED][:, :half]
    tracks = by_key(desk_tracks(sounds, RATE, tmp_path))
    relative = tracks[RESTORED]["gain_db"] - tracks[RECORDING]["gain_db"]
    begun = integrated_loudness(sounds[RECORDING][:, :half], RATE) - integrated_loudness(sounds[RESTORED], RATE)
    assert relative == pytest.approx(begun, abs=0.01)
    for key in (RESTORED, ADDED):
        audio = played(tracks[key])
        assert audio.shape == sounds[RECORDING].shape and not audio[:, half:].any()


def test_files_hold_24_bits_or_floats_where_a_peak_passes_full_scale(sounds: Sounds, tmp_path: Path) -> None:
    sounds[RESTORED][0, 0] = 1.2
    tracks = by_key(desk_tracks(sounds, RATE, tmp_path))
    subtypes = {key: sf.info(track["file"]["path"]).subtype for key, track in tracks.items()}
    assert subtypes == {RECORDING: "PCM_24", LTAS_EQ: "PCM_24", RESTORED: "FLOAT", ADDED: "FLOAT"}


def test_only_what_changed_gets_a_new_file(sounds: Sounds, tmp_path: Path) -> None:
    first = by_key(desk_tracks(sounds, RATE, tmp_path))
    sounds[RESTORED] = noise(3)
    second = by_key(desk_tracks(sounds, RATE, tmp_path))
    changed = {key for key in first if first[key]["file"] != second[key]["file"]}
    assert changed == {RESTORED, ADDED}
    assert len(list(tmp_path.iterdir())) == 6


def test_silence_stays_as_it_is(tmp_path: Path) -> None:
    value = desk_tracks({RECORDING: np.zeros((2, RATE)), RESTORED: np.zeros((2, RATE))}, RATE, tmp_path)
    assert {track["gain_db"] for track in value["tracks"]} == {0.0}
    assert {track["loudness"] for track in value["tracks"]} == {None}


def test_a_long_recording_is_played_from_its_beginning_and_said_to_be(
    sounds: Sounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("babe2.report.tracks.LONGEST_VALUES", 4 * 2 * RATE)  # two seconds of four tracks
    value = desk_tracks(sounds, RATE, tmp_path)
    assert value["note"] == "The desk plays the first 0:02 of 0:03."
    assert {sf.info(track["file"]["path"]).frames for track in value["tracks"]} == {2 * RATE}


def test_the_value_is_strict_json_and_names_its_files_as_gradio_does(sounds: Sounds, tmp_path: Path) -> None:
    value = desk_tracks(sounds, RATE, tmp_path)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert all(track["file"]["meta"] == {"_type": "gradio.FileData"} for track in value["tracks"])


def test_the_desk_comes_with_the_package_and_asks_for_nothing_from_elsewhere() -> None:
    parts = desk_parts()
    assert set(parts) == {"html_template", "css_template", "js_on_load"}
    assert not any(address in part for part in parts.values() for address in ("http:", "https:", "@import", "url("))
    # Markup and style pass through two template languages; neither may find anything to fill in.
    for name in ("html_template", "css_template"):
        assert not any(mark in parts[name] for mark in ("${", "{{", "`", "\\"))


def test_a_mixture_and_what_is_unfinished_are_called_that(sounds: Sounds, tmp_path: Path) -> None:
    assert by_key(desk_tracks(sounds, RATE, tmp_path, amount=0.3))[RESTORED]["title"] == "Restored, 30%"
    value = desk_tracks(sounds, RATE, tmp_path, unfinished=True, start=12.5, select=RESTORED)
    assert by_key(value)[RESTORED]["title"] == "Restored so far" and ADDED not in by_key(value)
    assert (value["start"], value["select"], value["reached"]) == (12.5, RESTORED, 3.0)


def test_the_desk_has_a_figure_for_each_cell_that_sounds() -> None:
    grid = Grid(2 * 2048, RATE)
    level, kind = torch.zeros(2, len(grid.hertz)), torch.full((2, len(grid.hertz)), 2)
    kind[0, 0], kind[1, 1], level[1, 0] = 0, 1, -100.0
    laid = cells_on_desk(CertaintyMap(grid, level, level, kind))
    assert laid["cells"][: laid["bands"]] == "0" + "2" * (laid["bands"] - 1)
    assert laid["cells"][laid["bands"] :] == "-1" + "2" * (laid["bands"] - 2)
    assert laid["seconds"] == 2048 / RATE and laid["percent"]["measured"] == pytest.approx(
        100 / (len(kind[0]) * 2 - 1), abs=0.1
    )
