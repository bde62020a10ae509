"""Recordings and parts of them that are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from classroom import RATE, shard, tune
from conftest import REFERENCE

from babe2 import Restorer
from babe2.dsp.curves import SampledCurve
from babe2.errors import RestorationError
from babe2.evaluation.clips import clips_of, find_recordings, with_known_response


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A sound file and a prepared array, four seconds each."""
    (tmp_path / "clips").mkdir()
    sf.write(tmp_path / "clips" / "one.wav", np.stack([tune(4, seed=1, rate=22050)] * 2, axis=1), 22050)
    shard(tmp_path / "clips" / "deeper" / "two.npy", 4.0, seed=2)
    (tmp_path / "clips" / "notes.txt").write_text("not a recording")
    return tmp_path / "clips"


def test_folders_and_lists_are_searched_as_for_training_and_files_are_taken_as_they_are(clips: Path) -> None:
    one, two = clips / "one.wav", clips / "deeper" / "two.npy"
    assert find_recordings([clips]) == [two, one]
    assert find_recordings([one, clips]) == [one, two]
    (clips / "some.m3u").write_text("# kept from training\none.wav\n")
    assert find_recordings([clips / "some.m3u"]) == [one]


def test_a_place_without_recordings_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RestorationError, match=r"There are no recordings in .*empty"):
        find_recordings([tmp_path / "empty"])
    with pytest.raises(RestorationError, match=r"missing.*: there is no such file or folder\."):
        find_recordings([tmp_path / "missing"])


def test_clips_lie_evenly_between_beginning_and_end(clips: Path) -> None:
    whole = np.load(clips / "deeper" / "two.npy").astype(np.float32) / 32768
    found = clips_of(clips / "deeper" / "two.npy", seconds=1.0, count=2, model_rate=RATE)
    assert [(name, rate) for name, _, rate in found] == [("two at 1 s", RATE), ("two at 2 s", RATE)]
    for (_, clip, _), start in zip(found, (RATE, 2 * RATE), strict=True):
        np.testing.assert_array_equal(clip.numpy(), whole[start : start + RATE])


def test_channels_of_a_clip_are_averaged(clips: Path) -> None:
    ((_, clip, rate),) = clips_of(clips / "one.wav", seconds=4.0, count=1, model_rate=RATE)
    assert rate == 22050
    np.testing.assert_allclose(clip.numpy(), tune(4, seed=1, rate=22050), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((2, 9000), np.int16), "is not a row of 16-bit integers"),
        (np.zeros(9000, np.float32), "is not a row of 16-bit integers"),
        (np.array(3, np.int16), "is not a row of 16-bit integers"),
        (b"nonsense", "cannot be read as an array"),
        (b"", "cannot be read as an array"),
        (None, "cannot be read as an array"),
    ],
    ids=["two rows", "floats", "a number", "text", "empty", "missing"],
)
def test_an_array_that_is_no_sound_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "odd.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(RestorationError, match=told):
        clips_of(path, seconds=1.0, count=1, model_rate=RATE)


def test_a_known_response_is_kept_to_and_so_are_the_settings() -> None:
    restorer = Restorer.from_checkpoint(REFERENCE.parent / "small_checkpoint", device="cpu")
    observation = 0.1 * torch.randn(4000, generator=torch.Generator().manual_seed(0))
    response = SampledCurve(torch.tensor([100.0, 1000.0, 4000.0]), torch.tensor([-12.0, 0.0, -24.0]))
    restored = with_known_response(restorer, seed=3, steps=2)(observation, 8000, response)
    expected = restorer.restore(observation, 8000, response=response, seed=3, steps=2)
    assert torch.equal(restored, torch.from_numpy(expected.audio[0])) and expected.response is response
