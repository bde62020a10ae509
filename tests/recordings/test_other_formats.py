"""M4A, MP4 and their like: read to the sample where they are well, and told of in a sentence where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babe2 import RestorationError, audio

av = pytest.importorskip("av", reason="the extra formats is not installed")

RATE = 44_100  # Hz


def sound(samples: int = 3 * RATE + 617, channels: int = 1) -> np.ndarray:
    """A tone that glides, so that every place sounds different."""
    t = np.arange(samples) / RATE
    tone = 0.4 * np.sin(2 * np.pi * (300 * t + 150 * t**2))
    return np.stack([tone, -0.5 * tone][:channels]).astype(np.float32)


def encoded(path: Path, x: np.ndarray, codec: str, film: tuple[int, int] | None = None, **options: Any) -> Path:
    """Sound (channels, samples) in a file of the kind that its name says, beside a black film where wished."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=RATE, layout=("mono", "stereo")[len(x) - 1])
        picture = container.add_stream("mpeg4", rate=25) if film else None
        if picture is not None and film is not None:
            picture.width, picture.height, picture.pix_fmt = *film, "yuv420p"
            black = av.VideoFrame.from_ndarray(np.zeros((film[1], film[0], 3), np.uint8), format="rgb24")
            container.mux(picture.encode(black))
            container.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(x, format="fltp", layout=stream.codec_context.layout.name)
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(stream.format.name, stream.layout.name, RATE, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path


def lossless(folder: Path, **more: Any) -> Path:
    return encoded(folder / "memo.m4a", sound(**more), "alac")


def refusal(action: Callable[[], object]) -> str:
    """The text of a refusal: one or two sentences on one line."""
    with pytest.raises(RestorationError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text and "Error" not in text and len(text) < 400
    return text


# What is well


def test_a_lossless_memo_is_read_to_the_sample(tmp_path: Path) -> None:
    recording = audio.read(lossless(tmp_path, channels=2))
    assert (recording.sample_rate, recording.warnings) == (RATE, ())
    np.testing.assert_allclose(recording.audio, sound(channels=2), atol=2**-15)


@pytest.mark.parametrize("kind", ["memo.m4a", "film.mp4", "film.mov", "film.mkv"])
def test_what_a_telephone_records_has_its_length_and_its_place(tmp_path: Path, kind: str) -> None:
    film = None if kind == "memo.m4a" else (64, 48)
    path = encoded(tmp_path / kind, sound(), "aac", film)
    recording = audio.read(path)
    assert recording.warnings == ()
    slack = 1024 if kind.endswith("mkv") else 0  # it does not tell how much of the last frame is sound
    assert 0 <= recording.audio.shape[1] - sound().shape[1] <= slack
    inside = slice(5000, 100_000)
    assert np.corrcoef(recording.audio[0, inside], sound()[0, inside])[0, 1] > 0.99  # nowhere a sample late
    channels, samples, rate = audio.measure(path)
    assert (channels, rate) == (1, RATE) and abs(samples - recording.audio.shape[1]) <= RATE // 100


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        ("a.m4a", "alac"),
        ("a.m4a", "aac"),
        ("a.mov", "pcm_s16le"),
        ("a.mkv", "aac"),
        ("a.aac", "aac"),
        ("a.mkv", "flac"),
    ],
)
def test_an_excerpt_is_the_same_as_in_the_whole(tmp_path: Path, kind: str, codec: str) -> None:
    path = encoded(tmp_path / kind, sound(), codec)
    whole, part = audio.read(path).audio, audio.read(path, start=1.7, duration=0.4).audio
    first = round(1.7 * RATE)
    assert part.shape == (1, round(0.4 * RATE))
    np.testing.assert_allclose(part, whole[:, first : first + part.shape[1]], atol=1e-5)


def test_it_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lossless(tmp_path)
    monkeypatch.setattr(audio, "_DECODE_VALUES", 10_000)
    blocks = list(audio.SoundFile(path).blocks())
    assert max(block.shape[1] for block in blocks) == 10_000
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), audio.read(path).audio)


def test_title_and_artist_are_carried(tmp_path: Path) -> None:
    path = encoded(tmp_path / "memo.m4a", sound(), "aac", options={"movflags": "+use_metadata_tags"})
    with av.open(str(path)) as old, av.open(str(tmp_path / "named.m4a"), "w") as new:
        new.metadata["title"] = "Träumerei"
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    assert audio.read(tmp_path / "named.m4a").tags.text["title"] == "Träumerei"


# What is not


def test_a_film_without_sound_is_told(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(picture.encode(black))
        container.mux(picture.encode())
    assert refusal(lambda: audio.read(path)) == f"There is no sound in {path}. Choose another file."


def test_a_film_whose_end_is_missing_is_told(tmp_path: Path) -> None:
    path = lossless(tmp_path)  # its index lies at the end
    os.truncate(path, path.stat().st_size // 2)
    assert "cannot be decoded" in refusal(lambda: audio.read(path))


def test_of_a_file_that_was_cut_off_behind_its_index_is_used_what_is_there(tmp_path: Path) -> None:
    path = encoded(tmp_path / "memo.m4a", sound(), "alac", options={"movflags": "+faststart"})
    os.truncate(path, path.stat().st_size // 2)
    recording = audio.read(path)
    held = recording.audio.shape[1]
    assert 0.5 * RATE < held < 2 * RATE
    np.testing.assert_allclose(recording.audio, sound()[:, :held], atol=2**-15)
    assert len(recording.warnings) == 1 and "cut off while copying" in recording.warnings[0]


@pytest.mark.parametrize("box", [b"mvhd", b"mdhd", b"tkhd", b"stts", b"stsz", b"stsc"])
@pytest.mark.parametrize("value", [b"\xff", b"\x7f", b"\0"])
def test_headers_that_lie_cost_neither_memory_nor_time(tmp_path: Path, box: bytes, value: bytes) -> None:
    path = lossless(tmp_path)
    raw = bytearray(path.read_bytes())
    place = raw.index(box) + 8
    raw[place : place + 28] = value * 28
    path.write_bytes(raw)
    for read in (audio.measure, audio.read):
        try:
            read(path)
        except RestorationError as error:
            assert "\n" not in str(error)


def test_a_picture_of_any_size_beside_the_sound_is_not_looked_at(tmp_path: Path) -> None:
    path = encoded(tmp_path / "film.mp4", sound(), "aac", (64, 48))
    raw = bytearray(path.read_bytes())
    place = raw.index(b"mp4v", raw.index(b"stsd")) + 28
    raw[place : place + 4] = b"\xff\xff\xff\xff"  # 65535 by 65535
    path.write_bytes(raw)
    assert audio.read(path).audio.shape[1] == sound().shape[1]


@pytest.mark.parametrize("seed", range(12))
def test_damage_anywhere_ends_in_sound_or_in_a_sentence(tmp_path: Path, seed: int) -> None:
    rng, path = np.random.default_rng(seed), encoded(tmp_path / "film.mp4", sound(RATE), "aac", (64, 48))
    raw = np.frombuffer(path.read_bytes(), np.uint8).copy()
    raw[rng.integers(0, len(raw), 30)] = rng.integers(0, 256, 30)
    path.write_bytes(raw.tobytes())
    for read in (audio.measure, audio.read):
        try:
            read(path)
        except RestorationError as error:
            assert "\n" not in str(error)


def test_a_list_of_other_files_is_not_followed(tmp_path: Path) -> None:
    """FFmpeg knows files that name others, of this machine or elsewhere."""
    lossless(tmp_path)
    path = tmp_path / "list.m4a"
    for text in ("#EXTM3U\n#EXTINF:3,\nmemo.m4a\n", "ffconcat version 1.0\nfile memo.m4a\n"):
        path.write_text(text)
        assert "is not audio we can read" in refusal(lambda: audio.read(path))
