"""Whatever people hand over as a recording, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from babe2.dsp.waveform import as_channels, as_sample_rate
from babe2.errors import RestorationError
from babe2.wording import clock, format_length

RATE = 8000  # Hz


def refusal(audio: object, sample_rate: object = RATE) -> str:
    with pytest.raises(RestorationError) as caught:
        as_channels(audio, sample_rate)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_one_row_of_samples_is_one_channel() -> None:
    channels = as_channels(np.zeros(5), RATE)
    assert channels.shape == (1, 5)
    assert channels.dtype == torch.float32


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_signed_integers_are_parts_of_their_full_scale(dtype: type) -> None:
    lowest = np.iinfo(dtype).min
    channels = as_channels(np.array([lowest, lowest // 2, 0, -(lowest // 4)], dtype), RATE)
    assert channels.tolist() == [[-1.0, -0.5, 0.0, 0.25]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_unsigned_integers_are_silent_at_half_their_scale(dtype: type) -> None:
    half = np.iinfo(dtype).max // 2 + 1
    assert as_channels(np.array([0, half, half + half // 2], dtype), RATE).tolist() == [[-1.0, 0.0, 0.5]]


@pytest.mark.parametrize(
    "audio",
    [
        [0.5, -1.5],
        np.array([0.5, -1.5]),
        np.array([0.5, -1.5], np.float16),
        np.array([0.5, -1.5], ">f4"),
        np.array([-1.5, 0.5], np.float32)[::-1],
        torch.tensor([0.5, -1.5], dtype=torch.bfloat16),
        torch.tensor([0.5, -1.5], requires_grad=True),
    ],
)
def test_floats_keep_their_values(audio: object) -> None:
    assert as_channels(audio, RATE).tolist() == [[0.5, -1.5]]


def test_a_read_only_array_stays_as_it_is() -> None:
    audio = np.zeros((1, 4), np.float32)
    audio.setflags(write=False)
    as_channels(audio, RATE).fill_(1)
    assert not audio.any()


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros((48000, 2)), "transposed?"),
        (np.zeros((2, 0)), "no samples"),
        (np.zeros(()), "shape"),
        (np.zeros((1, 2, 3)), "shape"),
        (np.zeros(4, bool), "bool"),
        (torch.zeros(4, dtype=torch.bool), "bool"),
        (np.zeros(4, complex), "complex128"),
        (np.array([None, "a"], object), "object"),
        ("recording.wav", "real numbers"),
        ([[1.0, 2.0], [3.0]], "list"),
        (torch.zeros(2, 3).to_sparse(), "Tensor"),
    ],
)
def test_what_is_no_recording_is_refused(audio: object, words: str) -> None:
    assert words in refusal(audio)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300])
def test_the_place_of_a_broken_sample_is_named(broken: float) -> None:
    audio = np.zeros((2, 100 * RATE))
    audio[1, 83 * RATE] = broken
    assert "At 1:23" in refusal(audio)


@pytest.mark.parametrize("rate", [8000, 8000.0, np.int32(8000), np.float64(8000)])
def test_a_whole_number_of_hertz_is_a_sample_rate(rate: object) -> None:
    assert as_sample_rate(rate) == 8000
    assert type(as_sample_rate(rate)) is int


@pytest.mark.parametrize("rate", [0, -44100, 999, 768_001, 44100.5, np.nan, np.inf, True, "44100", None, [44100]])
def test_anything_else_is_no_sample_rate(rate: object) -> None:
    assert "sample rate" in refusal(np.zeros(5), rate)


def test_places_are_written_as_minutes_and_seconds() -> None:
    assert [clock(seconds) for seconds in (0, 9.9, 83, 3600)] == ["0:00", "0:09", "1:23", "60:00"]


@pytest.mark.parametrize(("seconds", "told"), [(0.35, "0.3 s"), (4.2, "4.2 s"), (12.0, "12 s"), (83.0, "1:23")])
def test_a_length_is_told_as_finely_as_it_matters(seconds: float, told: str) -> None:
    assert format_length(seconds) == told
