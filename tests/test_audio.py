"""Reading and writing, over real files: sound, odd, damaged and impossible ones."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import programs
import pytest
import soundfile as sf

from babe2.audio import Recording, Tags, check_target, measure, read, write, write_blocks
from babe2.errors import RestorationError

RATE = 8000  # Hz
CONTAINERS = {
    ".wav": "WAV",
    ".w64": "W64",
    ".rf64": "RF64",
    ".aiff": "AIFF",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".mp3": "MP3",
}


def music(seconds: float = 1.0, channels: int = 1, rate: int = RATE, dtype: str = "float32") -> np.ndarray:
    """A rising tone with a little noise, different in each channel, on the 16-bit grid: (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    tone = [0.4 * np.sin(2 * np.pi * (200 + 60 * k + 20 * time) * time) for k in range(channels)]
    noise = 0.01 * np.random.default_rng(0).standard_normal((channels, len(time)))
    return (np.rint((np.array(tone) + noise) * 2**15) / 2**15).astype(dtype)


def stored(
    path: Path, audio: np.ndarray, subtype: str | None = None, container: str | None = None, rate: int = RATE
) -> Path:
    """`audio` (channels, samples) as soundfile writes it, whatever the extension of `path`."""
    container = container or CONTAINERS[path.suffix]
    with sf.SoundFile(path, "w", rate, len(audio), subtype, format=container) as sound:
        for begin in range(0, audio.shape[1], 2**14):  # libsndfile overflows its stack on a long Vorbis block
            sound.write(audio[:, begin : begin + 2**14].T)
    return path


def patched(path: Path, at: int | bytes, value: bytes, skip: int = 0) -> Path:
    """The file with `value` written at a place, or `skip` bytes after the first appearance of some bytes."""
    raw = bytearray(path.read_bytes())
    place = (raw.index(at) if isinstance(at, bytes) else at) + skip
    raw[place : place + len(value)] = value
    path.write_bytes(raw)
    return path


def cut(path: Path, fraction: float) -> Path:
    os.truncate(path, int(path.stat().st_size * fraction))
    return path


def refusal(action: Callable[[], object]) -> str:
    """The text of a refusal: one or two sentences on one line."""
    with pytest.raises(RestorationError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    assert "Error" not in text
    return text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# Reading what is well


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "PCM_16", 0),
        ("a.wav", "PCM_24", 0),
        ("a.wav", "PCM_32", 0),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.w64", "PCM_24", 0),
        ("a.rf64", "PCM_24", 0),
        ("a.aiff", "PCM_S8", 2**-7),
        ("a.aiff", "PCM_24", 0),
        ("a.aiff", "FLOAT", 0),
        ("a.flac", "PCM_16", 0),
        ("a.flac", "PCM_24", 0),
        ("a.ogg", "VORBIS", 0.1),
        ("a.mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_each_format_reads_back_as_it_was_stored(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    recording = read(stored(tmp_path / name, music(channels=2), subtype))
    assert (recording.sample_rate, recording.subtype, recording.warnings) == (RATE, subtype, ())
    assert recording.audio.dtype == np.float32
    assert recording.audio.flags.c_contiguous
    assert recording.audio.shape == (2, RATE)
    np.testing.assert_allclose(recording.audio, music(channels=2), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44100), (6, 48000), (32, 96000), (1, 384_000)])
def test_channels_and_rates_keep_their_order_and_number(tmp_path: Path, channels: int, rate: int) -> None:
    audio = music(0.05, channels, rate)
    for container in ("WAV", "WAVEX"):
        recording = read(stored(tmp_path / "a.wav", audio, "PCM_16", container, rate))
        assert recording.sample_rate == rate
        np.testing.assert_array_equal(recording.audio, audio)


@pytest.mark.parametrize("container", ["WAV", "W64", "AIFF", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("name", ["song.wav", "song.raw", "song.txt", "song", "song.mp3", "-song.flac"])
def test_content_and_not_the_name_decides_the_format(tmp_path: Path, container: str, name: str) -> None:
    assert read(stored(tmp_path / name, music(), container=container)).audio.shape == (1, RATE)


def test_a_long_recording_is_joined_from_blocks_without_a_seam(tmp_path: Path) -> None:
    audio = np.tile(music(1.0, 8, 48000), 25)  # 9.6 million values, a little more than one block
    np.testing.assert_array_equal(read(stored(tmp_path / "a.wav", audio, "PCM_16", rate=48000)).audio, audio)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize(("start", "duration"), [(0.25, 0.5), (0.7, None), (0.5, 60.0), (0.0, 0.3), (0.999875, None)])
def test_an_excerpt_is_the_same_stretch_of_the_whole(
    tmp_path: Path, name: str, start: float, duration: float | None
) -> None:
    path = stored(tmp_path / name, music(channels=2))
    whole, excerpt = read(path).audio, read(path, start=start, duration=duration)
    end = None if duration is None else round((start + duration) * RATE)
    np.testing.assert_allclose(excerpt.audio, whole[:, round(start * RATE) : end], rtol=0, atol=1e-6)
    assert excerpt.warnings == ()


def test_opus_keeps_every_sample(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.ogg", music(2.0, 2, 48000), "OPUS", rate=48000)
    assert read(path).audio.shape == (2, 96000)


# Reading what is damaged


def riff_length(container: str) -> tuple[bytes, int, str]:
    """Where a container states the length of its samples: after which bytes, how far, in which struct format."""
    return {
        "WAV": (b"data", 4, "<I"),
        "W64": (b"data\xf3\xac", 16, "<Q"),
        "RF64": (b"ds64", 16, "<Q"),
        "AIFF": (b"SSND", 4, ">I"),
    }[container]


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
def test_a_file_cut_off_while_copying_is_read_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    whole = read(stored(tmp_path / name, music(12.0))).audio
    recording = read(cut(tmp_path / name, 0.6))
    held = recording.audio.shape[1]
    assert 0.45 < held / whole.shape[1] < 0.65
    # The decoder may invent the last frame of an MP3.
    np.testing.assert_allclose(recording.audio[:, : held - 2000], whole[:, : held - 2000], atol=1e-6)
    (warning,) = recording.warnings
    assert "cut off while copying" in warning
    assert name == "a.ogg" or warning.startswith(f"The file promises 12.0 s but holds {held / RATE:.1f} s")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_an_excerpt_before_the_cut_is_read_without_a_warning(tmp_path: Path, name: str) -> None:
    stored(tmp_path / name, music(12.0))
    whole = read(tmp_path / name).audio
    excerpt = read(cut(tmp_path / name, 0.6), start=1.0, duration=2.0)
    np.testing.assert_allclose(excerpt.audio, whole[:, RATE : 3 * RATE], atol=1e-6)
    assert excerpt.warnings == ()


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
def test_an_excerpt_behind_the_cut_is_refused(tmp_path: Path, name: str) -> None:
    stored(tmp_path / name, music(12.0))
    text = refusal(lambda: read(cut(tmp_path / name, 0.6), start=11.0))
    assert name in text
    assert "Choose an earlier start" in text or "holds no samples from 11.0 s on" in text


@pytest.mark.parametrize("container", ["WAV", "W64", "RF64", "AIFF"])
@pytest.mark.parametrize("claim", [2 * 10**12, 10**9 * 3])
def test_a_header_that_lies_about_the_length_costs_no_memory(tmp_path: Path, container: str, claim: int) -> None:
    path = stored(tmp_path / "a", music(), "PCM_16", container)
    after, skip, form = riff_length(container)
    if form.endswith("I"):
        claim = 10**9 + 7
    recording = read(patched(path, after, struct.pack(form, claim), skip))
    np.testing.assert_array_equal(recording.audio, music())
    assert "but holds 1.0 s" in recording.warnings[0]


@pytest.mark.parametrize(("claim", "warned"), [(0, False), (2**36 - 1, True), (3 * RATE, True)])
def test_a_flac_is_read_to_its_end_whatever_length_it_claims(tmp_path: Path, claim: int, warned: bool) -> None:
    path = stored(tmp_path / "a.flac", music(), "PCM_16")
    fields = int.from_bytes(path.read_bytes()[18:26], "big") >> 36 << 36 | claim
    patched(path, 18, fields.to_bytes(8, "big"))
    recording = read(path)
    np.testing.assert_array_equal(recording.audio, music())
    assert bool(recording.warnings) is warned
    np.testing.assert_array_equal(read(path, start=0.5).audio, music()[:, RATE // 2 :])
    cut(path, 0.6)
    assert "cut off" in read(path).warnings[0]


def test_ogg_and_mp3_headers_that_lie_cost_no_memory(tmp_path: Path) -> None:
    ogg = stored(tmp_path / "a.ogg", music(12.0))
    last_page = ogg.read_bytes().rindex(b"OggS")
    assert read(patched(ogg, last_page, struct.pack("<q", 10**12), 6)).audio.shape[1] > 10 * RATE
    mp3 = stored(tmp_path / "a.mp3", music(12.0))
    recording = read(patched(mp3, b"Xing", struct.pack(">I", 2**31 - 1), 8))
    assert recording.audio.shape[1] == pytest.approx(12 * RATE, abs=2000)
    assert "promises" in recording.warnings[0]


@pytest.mark.parametrize("length", [0, 2**32 - 1, 2**31 - 1, 2**31 - 4096, 2**32 - 1 - 36])
@pytest.mark.parametrize("riff", [0, 36, 2**32 - 1])
def test_a_wav_streamed_through_a_pipe_states_no_length_and_is_whole(tmp_path: Path, length: int, riff: int) -> None:
    path = stored(tmp_path / "a.wav", music(), "PCM_16")
    patched(path, b"data", struct.pack("<I", length), 4)
    patched(path, 4, struct.pack("<I", riff))
    recording = read(path)
    np.testing.assert_array_equal(recording.audio, music())
    assert recording.warnings == ()
    np.testing.assert_array_equal(read(path, start=0.5).audio, music()[:, RATE // 2 :])


@pytest.mark.parametrize(("container", "length"), [("RF64", 0), ("RF64", 2**64 - 1), ("W64", 2**63 - 1), ("W64", 0)])
def test_a_long_format_streamed_through_a_pipe_is_whole(tmp_path: Path, container: str, length: int) -> None:
    path = stored(tmp_path / "a", music(), "PCM_16", container)
    after, skip, form = riff_length(container)
    recording = read(patched(path, after, struct.pack(form, length), skip))
    np.testing.assert_array_equal(recording.audio, music())
    assert recording.warnings == ()


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("missing", [1, 100, 0.5, 20])
def test_an_ogg_cut_off_inside_its_last_page_is_said_to_be(tmp_path: Path, codec: str, missing: float) -> None:
    path = stored(tmp_path / "a.ogg", music(3.0, rate=48000), codec, rate=48000)
    whole = path.read_bytes()
    last = len(whole) - whole.rindex(b"OggS")
    os.truncate(path, len(whole) - int(missing if missing >= 1 else missing * last))
    (warning,) = read(path).warnings
    assert "breaks off at" in warning and "cut off while copying" in warning


def test_an_ogg_cut_off_inside_the_header_of_its_last_page_is_said_to_be(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.ogg", music(3.0))
    last = path.read_bytes().rindex(b"OggS")
    for held in (4, 5, 6, 20):
        os.truncate(stored(path, music(3.0)), last + held)
        assert "cut off while copying" in read(path).warnings[0]


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("damage", ["a bit", "a lost page", "zeros"])
def test_an_ogg_with_a_page_that_decoders_pass_over_is_said_to_be_damaged(
    tmp_path: Path, codec: str, damage: str
) -> None:
    raw = stored(tmp_path / "a.ogg", music(12.0, rate=48000), codec, rate=48000).read_bytes()
    first = raw.index(b"OggS", len(raw) // 3)
    second = raw.index(b"OggS", first + 4)
    middle = (first + second) // 2
    damaged = {
        "a bit": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
        "a lost page": raw[:first] + raw[first + 100 :],
        "zeros": raw[:first] + bytes(100) + raw[first + 100 :],
    }
    (tmp_path / "a.ogg").write_bytes(damaged[damage])
    assert "a part of its sound is missing" in read(tmp_path / "a.ogg").warnings[0]


def test_notes_behind_an_ogg_are_no_damage(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.ogg", music(3.0))
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert read(path).warnings == ()


def stated_flac(path: Path, samples: int) -> Path:
    fields = int.from_bytes(path.read_bytes()[18:26], "big") >> 36 << 36 | samples
    return patched(path, 18, fields.to_bytes(8, "big"))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("samples", [100, 4096, 3 * RATE - 1])
def test_a_flac_that_states_too_few_samples_is_read_to_its_end(tmp_path: Path, samples: int, channels: int) -> None:
    audio = music(3.0, channels)
    path = stated_flac(stored(tmp_path / "a.flac", audio, "PCM_16"), samples)
    recording = read(path)
    np.testing.assert_array_equal(recording.audio, audio)
    assert "promises" in recording.warnings[0] and "All of it was used" in recording.warnings[0]
    np.testing.assert_array_equal(read(path, start=1.0).audio, audio[:, RATE:])
    excerpt = read(path, start=0.5, duration=1.0)
    np.testing.assert_array_equal(excerpt.audio, audio[:, RATE // 2 : 3 * RATE // 2])
    assert excerpt.warnings == ()
    assert measure(path) == (channels, 3 * RATE, RATE)


@pytest.mark.parametrize("blocks", [1, 40, 130])
@pytest.mark.parametrize("extra", [0, 1, 191, 192, 4000])
def test_the_last_frame_of_a_flac_tells_how_long_it_is(tmp_path: Path, blocks: int, extra: int) -> None:
    audio = np.zeros((2, 4096 * blocks + extra), np.float32)
    path = stated_flac(stored(tmp_path / "a.flac", audio, "PCM_16"), 0)
    assert measure(path)[1] == audio.shape[1]
    assert read(path).audio.shape == audio.shape


@pytest.mark.parametrize("container", ["WAV", "RF64"])
@pytest.mark.parametrize("length", [1, 3, 100, 8000])
def test_a_wav_whose_writer_crashed_is_read_to_its_end(tmp_path: Path, container: str, length: int) -> None:
    path = stored(tmp_path / "a.wav", music(3.0), "PCM_16", container)
    after, skip, form = riff_length(container)
    recording = read(patched(path, after, struct.pack(form, length), skip))
    np.testing.assert_array_equal(recording.audio, music(3.0))
    assert f"but holds {3 * RATE / RATE:.1f} s: its header was probably never finished" in recording.warnings[0]
    assert measure(path) == (1, 3 * RATE, RATE)


@pytest.mark.parametrize("added", [b"TAG" + b"x" * 2000, b"ID3" + b"x" * 2000, bytes(5000)])
def test_what_programs_add_behind_the_sound_is_no_sound(tmp_path: Path, added: bytes) -> None:
    path = stored(tmp_path / "a.wav", music(), "PCM_16")
    path.write_bytes(path.read_bytes() + added)
    patched(path, 4, struct.pack("<I", path.stat().st_size - 8))
    np.testing.assert_array_equal(read(path).audio, music())


@pytest.mark.parametrize("container", ["WAV", "AIFF"])
def test_what_follows_the_sound_and_is_no_chunk_is_named(tmp_path: Path, container: str) -> None:
    path = stored(tmp_path / "a", music(), "PCM_16", container)
    path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(9000))
    recording = read(path)
    np.testing.assert_array_equal(recording.audio, music())
    assert "goes on for 9000 bytes that are no sound" in recording.warnings[0]


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_promise_that_is_hardly_broken_is_told_in_samples(tmp_path: Path, name: str) -> None:
    path = stored(tmp_path / name, music(), "PCM_16")
    if name == "a.wav":
        os.truncate(path, path.stat().st_size - 2)
    else:
        stated_flac(path, RATE + 1)
    held = read(path).audio.shape[1]
    assert f"promises {held + 1} samples but holds {held}" in read(path).warnings[0]


def test_a_huge_file_that_states_no_length_costs_the_memory_of_a_block(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.wav", music(), "PCM_16")
    patched(path, b"data", struct.pack("<I", 2**32 - 1), 4)
    os.truncate(path, 2**32)  # of which almost nothing is on the disk
    script = (
        "import resource, sys; from itertools import islice; from babe2.audio import SoundFile, measure\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read = sum(block.shape[1] for block in islice(SoundFile(sys.argv[1]).blocks(), 60))\n"
        "print(measure(sys.argv[1])[1], read)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    samples, read_, kilobytes = map(int, run.stdout.split())
    assert samples == pytest.approx(2**31, abs=100) and read_ == 60 * 2**20
    assert kilobytes < 100_000


DAMAGED_MP3S = """
import ctypes, sys, threading
from babe2.audio import read
from babe2.errors import RestorationError
libc = ctypes.CDLL(None)
stderr = ctypes.c_void_p.in_dll(libc, "stderr")
def decode():
    for path in sys.argv[1:]:
        try:
            read(path)
        except RestorationError:
            pass
threads = [threading.Thread(target=decode) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(200):
    sys.stderr.write(f"python {number}\\n")  # in one go, unlike print
    libc.fprintf(ctypes.c_void_p(stderr.value), b"library %d\\n", number)
for thread in threads:
    thread.join()
"""


def test_the_decoder_of_mp3s_is_quiet_and_nobody_else_is(tmp_path: Path) -> None:
    raw, chance = stored(tmp_path / "a.mp3", music(3.0)).read_bytes(), np.random.default_rng(0)
    for number in range(6):
        damaged = bytearray(raw)
        for place in chance.integers(1000, len(raw), size=60):
            damaged[place] = chance.integers(256)
        (tmp_path / f"{number}.mp3").write_bytes(damaged)
    (tmp_path / "noise.mp3").write_bytes(raw[:2000] + chance.bytes(20000))
    run = programs.run("-c", DAMAGED_MP3S, *tmp_path.glob("*.mp3"))
    assert run.returncode == 0
    said = sorted(run.stderr.splitlines())
    assert said == sorted([f"{who} {number}" for who in ("python", "library") for number in range(200)])


def test_an_honestly_empty_wav_does_not_turn_its_tags_into_sound(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", music(), RATE, tags=Tags({"title": "Nothing"}))
    raw = path.read_bytes()
    data = raw.index(b"data")
    kept = raw[: data + 4] + bytes(4) + raw[data + 8 + 3 * RATE :]
    path.write_bytes(kept)
    assert "holds no samples" in refusal(lambda: read(path))


# Refusing to read


def not_audio(folder: Path) -> dict[str, bytes]:
    return {
        "notes.txt": b"Recorded in Vienna in 1908.\n" * 100,
        "utf16.txt": ("Recorded in Vienna.\n" * 100).encode("utf-16"),
        "song.m4a": b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(2000),
        "clip.avi": b"RIFF" + struct.pack("<I", 1000) + b"AVI LIST" + bytes(1000),
        "zeros.wav": bytes(5000),
        "noise.mp3": np.random.default_rng(1).bytes(20000),
        "old.au": b".snd" + struct.pack(">IIIII", 24, 1000, 3, 8000, 1) + bytes(1000),
        "short.wav": b"RIFF",
    }


@pytest.mark.parametrize("name", list(not_audio(Path())))
def test_what_is_not_audio_is_answered_with_how_to_convert(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(not_audio(tmp_path)[name])
    text = refusal(lambda: read(tmp_path / name))
    if name in ("song.m4a", "clip.avi") and find_spec("av") is not None:
        assert text.startswith(f"{tmp_path / name} cannot be decoded")  # though such files can be
        return
    assert text.startswith(f"{tmp_path / name} is not audio we can read (WAV, W64, AIFF, FLAC, OGG and MP3 are).")
    target = name.rsplit(".")[0] + (".converted.wav" if name.endswith(".wav") else ".wav")
    assert text.endswith(f"ffmpeg -i {tmp_path / name} {tmp_path / target}")


def test_the_suggested_command_survives_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, command in {
        "my song's.txt": """ffmpeg -i 'my song'"'"'s.txt' 'my song'"'"'s.wav'""",
        "$(reboot).WAV": "ffmpeg -i '$(reboot).WAV' '$(reboot).converted.wav'",
        "-y.txt": "ffmpeg -i -y.txt ./-y.wav",
    }.items():
        Path(name).write_text("text")
        text = refusal(lambda name=name: read(name))
        assert text.startswith(f"{name} is not")
        assert text.endswith(command)


@pytest.mark.parametrize(
    ("at", "value", "fact"),
    [
        (22, struct.pack("<H", 0), "damaged"),
        (22, struct.pack("<H", 33), "33 channels"),
        (22, struct.pack("<H", 65535), "damaged"),
        (24, struct.pack("<I", 999), "999 Hz"),
        (24, struct.pack("<I", 768_001), "768001 Hz"),
        (24, struct.pack("<I", 0), "damaged"),
        (24, struct.pack("<I", 2**32 - 1), "damaged"),
        (16, struct.pack("<I", 2**31), "damaged"),
    ],
)
def test_absurd_headers_are_refused(tmp_path: Path, at: int, value: bytes, fact: str) -> None:
    path = patched(stored(tmp_path / "a.wav", music(), "PCM_16"), at, value)
    assert fact in refusal(lambda: read(path))


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
def test_a_file_cut_anywhere_is_read_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    raw = stored(tmp_path / name, music(0.2)).read_bytes()
    for length in [*range(0, 120, 3), *range(120, len(raw), len(raw) // 20)]:
        (tmp_path / name).write_bytes(raw[:length])
        with suppress(RestorationError):
            assert read(tmp_path / name).audio.size


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64", "a.aiff", "a.flac", "a.ogg"])
def test_random_damage_is_read_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    raw, chance = stored(tmp_path / name, music(0.2)).read_bytes(), np.random.default_rng(2)
    for _ in range(40):
        damaged = bytearray(raw)
        for place in chance.integers(4, 150, size=3):
            damaged[place] = chance.integers(256)
        (tmp_path / name).write_bytes(damaged)
        with suppress(RestorationError):
            assert read(tmp_path / name).audio.size


@pytest.mark.parametrize(
    ("path", "fact"),
    [
        ("missing.wav", "does not exist"),
        (".", "is a folder"),
        ("/dev/zero", "is a device"),
        ("/proc/self/mem", "cannot be read (Input/output error)"),
        ("no\0name.wav", "cannot be read"),
        ("x" * 300 + ".wav", "cannot be read (File name too long)"),
        ("a.wav/b.wav", "cannot be read (Not a directory)"),
        ("empty.wav", "is empty"),
        ("nothing.wav", "holds no samples"),
        ("pipe.wav", "is a device or a pipe"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, fact: str
) -> None:
    monkeypatch.chdir(tmp_path)
    stored(Path("a.wav"), music())
    Path("empty.wav").touch()
    os.mkfifo("pipe.wav")
    sf.write("nothing.wav", np.zeros((0, 1)), RATE)
    text = refusal(lambda: read(path))
    assert text.startswith(f"{path} ")
    assert fact in text


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_located(tmp_path: Path, bad: float) -> None:
    audio = music(70.0, 2)
    audio[1, 67 * RATE + 5] = bad
    path = stored(tmp_path / "a.wav", audio, "FLOAT")
    assert "first at 1:07" in refusal(lambda: read(path))
    assert "first at 1:07" in refusal(lambda: read(path, start=60))
    assert read(path, start=68).audio.shape[1] == 2 * RATE


@pytest.mark.parametrize("value", [3e38, -1e20])
def test_a_value_far_beyond_any_sound_is_located(tmp_path: Path, value: float) -> None:
    audio = music(3.0, 2)
    audio[1, 2 * RATE + 5] = value
    path = stored(tmp_path / "a.wav", audio, "FLOAT")
    text = refusal(lambda: read(path))
    assert f"far beyond any sound ({value:.1g}" in text and "first at 0:02" in text
    assert read(path, start=2.5).audio.shape[1] == RATE // 2


def test_more_channels_than_we_know_are_no_damage(tmp_path: Path) -> None:
    text = refusal(lambda: read(stored(tmp_path / "a.wav", music(0.05, 64), "PCM_16")))
    assert "64 channels" in text and "pan=stereo" in text and "Copy it again" not in text


@pytest.mark.parametrize(
    ("start", "duration"),
    [(1.0, None), (1e300, None), (-1.0, None), (float("nan"), None), (float("inf"), None), (0, 0.0), (0, float("nan"))],
)
def test_an_excerpt_that_is_not_there_is_refused(tmp_path: Path, start: float, duration: float | None) -> None:
    path = stored(tmp_path / "a.wav", music())
    assert "Choose" in refusal(lambda: read(path, start=start, duration=duration))


def test_an_endless_duration_reads_to_the_end(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.wav", music())
    assert read(path, start=0.5, duration=float("inf")).audio.shape == (1, RATE // 2)


# Writing


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_24"),
        ("a.WAV", "PCM_24"),
        ("a.w64", "PCM_24"),
        ("a.rf64", "PCM_24"),
        ("a.aif", "PCM_24"),
        ("a.aiff", "PCM_24"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_format_is_written_at_its_best_and_read_back(tmp_path: Path, name: str, subtype: str, dtype: str) -> None:
    audio = music(channels=2, dtype=dtype)
    assert write(tmp_path / name, audio, RATE) == tmp_path / name
    recording = read(tmp_path / name)
    assert (recording.sample_rate, recording.subtype, recording.audio.shape) == (RATE, subtype, (2, RATE))
    np.testing.assert_allclose(recording.audio, audio, rtol=0, atol=0 if subtype == "PCM_24" else 0.1)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_24_bits_are_rounded_to_the_nearest_step(tmp_path: Path, name: str, dtype: str) -> None:
    audio = np.random.default_rng(3).uniform(-1, 1, 50_000).astype(dtype)
    audio[:3] = 1.0, -1.0, 0.0
    write(tmp_path / name, audio, RATE)
    steps = sf.read(tmp_path / name, dtype="int32")[0] >> 8
    assert steps[:3].tolist() == [2**23 - 1, -(2**23), 0]
    np.testing.assert_array_equal(steps[3:], np.rint(audio[3:].astype("float64") * 2**23))


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32)])
def test_integers_survive_a_round_trip_bit_for_bit(tmp_path: Path, subtype: str, bits: int) -> None:
    steps = np.random.default_rng(4).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), 10_000)
    write(tmp_path / "a.wav", steps / 2 ** (bits - 1), RATE, subtype=subtype)
    np.testing.assert_array_equal(sf.read(tmp_path / "a.wav", dtype="int32")[0] >> (32 - bits), steps)


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64", "a.aiff"])
def test_a_peak_over_full_scale_is_kept_in_floats(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 4 * music(), RATE)
    recording = read(tmp_path / name)
    assert recording.subtype == "FLOAT"
    np.testing.assert_array_equal(recording.audio, 4 * music())


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.flac", None), ("a.ogg", None), ("a.mp3", None), ("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "ULAW")],
)
def test_a_peak_over_full_scale_is_never_clipped_silently(tmp_path: Path, name: str, subtype: str | None) -> None:
    audio = 2 * music() / np.abs(music()).max()
    text = refusal(lambda: write(tmp_path / name, audio, RATE, subtype=subtype))
    assert "peaks 6 dB over full scale" in text
    assert "Choose a .wav" in text
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.aiff"])
def test_sound_below_the_last_bits_is_kept_in_floats(tmp_path: Path, name: str) -> None:
    faint = 4e-8 * music()
    write(tmp_path / name, faint, RATE)
    recording = read(tmp_path / name)
    assert recording.subtype == "FLOAT"
    np.testing.assert_array_equal(recording.audio, faint)


@pytest.mark.parametrize(("name", "subtype"), [("a.flac", None), ("a.wav", "PCM_16"), ("a.wav", "PCM_24")])
def test_sound_is_never_silently_written_as_silence(tmp_path: Path, name: str, subtype: str | None) -> None:
    text = refusal(lambda: write(tmp_path / name, 4e-8 * music(), RATE, subtype=subtype))
    assert "would keep nothing" in text and names(tmp_path) == []
    write(tmp_path / name, 0 * music(), RATE, subtype=subtype)  # silence is welcome


@pytest.mark.parametrize(
    ("name", "audio", "rate", "subtype", "fact"),
    [
        ("a.xyz", music(), RATE, None, ".wav, .w64"),
        ("a", music(), RATE, None, ".wav, .w64"),
        (".wav", music(), RATE, None, ".wav, .w64"),
        ("a.wav", music(), RATE, "PCM_12", "PCM_16, PCM_24"),
        ("a.flac", music(), RATE, "FLOAT", "PCM_16, PCM_24"),
        ("a.flac", music(channels=9), RATE, None, "9 channels"),
        ("a.mp3", music(channels=3), RATE, None, "3 channels"),
        ("a.mp3", music(), 96000, None, "96000 Hz"),
        ("a.ogg", music(), 384_000, None, "384000 Hz"),
        ("a.wav", music(), 0, None, "0 Hz"),
        ("a.wav", music().T, RATE, None, "(channels, samples)"),
        ("a.wav", music().astype(int), RATE, None, "float samples"),
        ("a.wav", np.zeros((1, 0)), RATE, None, "float samples"),
        ("a.wav", music()[None], RATE, None, "float samples"),
        ("a.wav", music() * np.nan, RATE, None, "not all numbers"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_leaves_nothing(
    tmp_path: Path, name: str, audio: np.ndarray, rate: int, subtype: str | None, fact: str
) -> None:
    assert fact in refusal(lambda: write(tmp_path / name, audio, rate, subtype=subtype))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "fact"),
    [
        ("missing/a.wav", "The folder of missing/a.wav does not exist"),
        ("folder.wav", "Is a directory"),
        ("file.txt/a.wav", "Not a directory"),
        ("x" * 300 + ".wav", "File name too long"),
        ("no\0name.wav", "null"),
        ("/proc/a.wav", "/proc/a.wav cannot be written"),
        ("/sys/a.wav", "/sys/a.wav"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_places_that_cannot_be_written_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, fact: str, overwrite: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.wav").mkdir()
    Path("file.txt").touch()
    assert fact in refusal(lambda: write(path, music(), RATE, overwrite=overwrite))
    assert names(tmp_path) == ["file.txt", "folder.wav"]
    assert names(tmp_path / "folder.wav") == []


@pytest.mark.parametrize(
    ("path", "subtype", "overwrite", "fact"),
    [
        ("a.xyz", None, False, ".wav, .w64"),
        ("a.wav", "pcm_13", False, "PCM_16, PCM_24"),
        ("a.flac", "FLOAT", False, "PCM_16, PCM_24"),
        ("old.wav", None, False, "exists already"),
        ("dangling.wav", None, False, "exists already"),
        ("folder.wav", None, True, "Is a directory"),
        ("missing/a.wav", None, False, "The folder of missing/a.wav does not exist"),
        ("old.wav/a.wav", None, False, "Not a directory"),
        ("/proc/a.wav", None, False, "cannot be written"),
        ("x" * 300 + ".wav", None, True, "File name too long"),
        ("no\0name.wav", None, True, "null"),
    ],
)
def test_a_target_is_refused_beforehand_in_the_words_of_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, subtype: str | None, overwrite: bool, fact: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.wav").write_text("precious")
    Path("dangling.wav").symlink_to("elsewhere.wav")
    Path("folder.wav").mkdir()
    text = refusal(lambda: check_target(path, subtype=subtype, overwrite=overwrite))
    assert fact in text
    assert text == refusal(lambda: write(path, music(), RATE, subtype=subtype, overwrite=overwrite))
    assert names(tmp_path) == ["dangling.wav", "folder.wav", "old.wav"]
    assert names(tmp_path / "folder.wav") == []


@pytest.mark.parametrize(
    ("name", "subtype", "overwrite"),
    [("a.wav", None, False), ("a.WAV", "float", False), ("a.mp3", None, True), ("old.wav", "PCM_16", True)],
)
def test_checking_a_good_target_leaves_everything_as_it_was(
    tmp_path: Path, name: str, subtype: str | None, overwrite: bool
) -> None:
    (tmp_path / "old.wav").write_text("precious")
    check_target(tmp_path / name, subtype=subtype, overwrite=overwrite)
    assert names(tmp_path) == ["old.wav"]
    assert (tmp_path / "old.wav").read_text() == "precious"


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("precious")
    assert "exists already" in refusal(lambda: write(path, music(), RATE))
    assert path.read_text() == "precious"
    refusal(lambda: write(path, 2 * music() / 0.4, RATE, subtype="PCM_16", overwrite=True))
    assert path.read_text() == "precious"
    write(path, music(), RATE, overwrite=True)
    np.testing.assert_array_equal(read(path).audio, music())
    assert names(tmp_path) == ["a.wav"]


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to(tmp_path / "elsewhere.wav")
    assert "exists already" in refusal(lambda: write(tmp_path / "a.wav", music(), RATE))
    assert names(tmp_path) == ["a.wav"]


def test_of_writers_racing_for_one_name_exactly_one_wins(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def race(level: float) -> None:
        try:
            write(tmp_path / "a.wav", level * music(), RATE, subtype="FLOAT")
            outcomes.append("won")
        except RestorationError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=race, args=(1 / k,)) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("won") == 1
    assert sum("exists already" in outcome for outcome in outcomes) == 7
    assert names(tmp_path) == ["a.wav"]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write(tmp_path / "a.wav", music(), RATE)
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "other").stat().st_mode


FULL_DISK = """
import resource, signal, sys
import numpy as np
from babe2.audio import Tags, write
from babe2.errors import RestorationError
limit, name, overwrite = int(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0).uniform(-0.5, 0.5, 100_000)
whole = {}
for samples in (100_000, *range(1000, 30_000, 2300)):
    try:
        write(name, noise[:samples], 8000, overwrite=overwrite, tags=Tags({"title": "x" * 1000}))
        whole[samples] = True
        overwrite = True
    except RestorationError as error:
        assert "disk is probably full" in str(error) or "too large" in str(error), error
        whole[samples] = False
assert not whole[100_000] and whole[1000], whole
"""


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, name: str) -> None:
    """A limit on the size of files stands for the full disk: writes fail in the middle, or only when closing."""
    limit = 8000 if name in ("a.ogg", "a.mp3") else 50_000
    result = programs.run("-c", FULL_DISK, limit, tmp_path / name)
    assert result.returncode == 0, result.stderr
    assert names(tmp_path) == [name]
    assert 1000 <= read(tmp_path / name).audio.shape[1] < 100_000


class Interrupting(dict[str, str]):
    """Text that somebody presses Ctrl-C over, when the temporary file is already there."""

    def get(self, word: str, default: object = None) -> str:
        raise KeyboardInterrupt


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac"):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / name, music(), RATE, tags=Tags(Interrupting()))
    assert names(tmp_path) == []


@contextmanager
def as_nobody() -> Iterator[None]:
    """Permissions do not bind root: take its rights away for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_missing_permissions_are_named(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.wav", music())
    path.chmod(0)
    tmp_path.chmod(0o500)
    with as_nobody():
        assert f"{path} may not be read" in refusal(lambda: read(path))
        assert "Permission denied" in refusal(lambda: write(tmp_path / "b.wav", music(), RATE))
        assert "Permission denied" in refusal(lambda: check_target(tmp_path / "b.wav"))
    tmp_path.chmod(0o700)
    assert names(tmp_path) == ["a.wav"]


# Tags

TEXT = {
    "title": "Vesti la giubba",
    "artist": "Enrico Caruso",
    "date": "1907",
    "genre": "Opera",
    "comment": "Matrix B-3",
}


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def bext(samples_since_midnight: int) -> bytes:
    return b"From the archive".ljust(338, b"\0") + struct.pack("<Q", samples_since_midnight) + bytes(256) + b"A=PCM"


def chunks_of(path: Path) -> list[tuple[bytes, bytes]]:
    """All chunks of a WAV, walked strictly: lengths must add up to the file."""
    raw = path.read_bytes()
    assert (raw[:4], raw[8:12]) == (b"RIFF", b"WAVE")
    assert struct.unpack("<I", raw[4:8])[0] == len(raw) - 8
    position, found = 12, []
    while position < len(raw):
        name, length = struct.unpack("<4sI", raw[position : position + 8])
        found.append((name, raw[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    assert position == len(raw)
    return found


def archive_wav(path: Path, samples: int = RATE) -> Path:
    """A broadcast WAV as archives deliver it: chunks before and after the samples, an odd length, Latin-1 text."""
    info = b"INFO" + chunk(b"INAM", b"Caf\xe9\0") + chunk(b"IART", b"Piaf\0") + chunk(b"ISRF", b"78 rpm disc\0")
    audio = (music()[0, :samples] * 2**15).astype("<i2").tobytes()
    body = chunk(b"JUNK", bytes(28)) + chunk(b"bext", bext(48_000_000))
    body += chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)) + chunk(b"data", audio)
    body += chunk(b"LIST", info) + chunk(b"iXML", b"<BWFXML>odd</BWFXML>!") + chunk(b"cue ", struct.pack("<I", 0))
    body += chunk(b"LIST", b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"side B\0"))
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    return path


CARRIED = [b"bext", b"iXML", b"cue ", b"LIST", b"LIST"]


def test_broadcast_chunks_and_info_survive_from_wav_to_wav(tmp_path: Path) -> None:
    recording = read(archive_wav(tmp_path / "in.wav"))
    assert (recording.tags.text["title"], recording.tags.text["artist"]) == ("Café", "Piaf")
    write(tmp_path / "out.wav", recording.audio[:, :7999], RATE, tags=recording.tags)  # 24 bits: an odd length
    before, after = chunks_of(tmp_path / "in.wav"), chunks_of(tmp_path / "out.wav")
    kept = [(name, content) for name, content in after if name in CARRIED]
    assert sorted(kept) == sorted((name, content) for name, content in before if name in CARRIED)
    for name, subtype in (("out.wav", "PCM_24"), ("out.rf64", "PCM_16"), ("peak.wav", "FLOAT")):
        write(tmp_path / name, recording.audio, RATE, subtype=subtype, tags=recording.tags, overwrite=True)
        again = read(tmp_path / name)
        np.testing.assert_array_equal(again.audio, music())
        assert sorted(again.tags.chunks) == sorted(recording.tags.chunks)
        assert again.tags.text == recording.tags.text


def test_changed_text_replaces_the_old_and_unknown_fields_stay(tmp_path: Path) -> None:
    tags = read(archive_wav(tmp_path / "in.wav")).tags
    write(tmp_path / "out.wav", music(), RATE, tags=Tags({"artist": "Édith Piaf"}, tags.chunks, tags.sample_rate))
    assert read(tmp_path / "out.wav").tags.text == {"artist": "Édith Piaf"}
    lists = [content for name, content in chunks_of(tmp_path / "out.wav") if name == b"LIST" and content[:4] == b"INFO"]
    assert lists == [b"INFO" + chunk(b"IART", "Édith Piaf\0".encode()) + chunk(b"ISRF", b"78 rpm disc\0")]


def time_reference(path: Path) -> int:
    return struct.unpack_from("<Q", dict(chunks_of(path))[b"bext"], 338)[0]


def test_positions_in_samples_follow_the_rate_and_the_excerpt(tmp_path: Path) -> None:
    recording = read(archive_wav(tmp_path / "in.wav"))
    write(tmp_path / "out.wav", music(rate=2 * RATE), 2 * RATE, tags=recording.tags)
    assert time_reference(tmp_path / "out.wav") == 96_000_000
    excerpt = read(tmp_path / "in.wav", start=0.5)
    write(tmp_path / "later.wav", excerpt.audio, RATE, tags=excerpt.tags)
    assert time_reference(tmp_path / "later.wav") == 48_000_000 + RATE // 2
    for name in ("out.wav", "later.wav"):
        left = [
            content[:4] if chunk_name == b"LIST" else chunk_name for chunk_name, content in chunks_of(tmp_path / name)
        ]
        assert b"cue " not in left
        assert b"adtl" not in left
        assert b"INFO" in left


@pytest.mark.parametrize(
    "route", [["wav", "flac", "ogg"], ["flac", "mp3", "wav"], ["aiff", "wav", "rf64"], ["ogg", "aiff"]]
)
def test_text_survives_from_format_to_format(tmp_path: Path, route: list[str]) -> None:
    tags = Tags(TEXT)
    for kind in route:
        tags = read(write(tmp_path / f"a.{kind}", music(), RATE, tags=tags)).tags
        kept = TEXT if kind != "aiff" else {word: TEXT[word] for word in ("title", "artist", "comment")}
        assert kept.items() <= tags.text.items()
        tags = Tags({**TEXT, **tags.text}, tags.chunks, tags.sample_rate)


@pytest.mark.parametrize("kind", ["wav", "w64", "rf64", "aiff", "flac", "ogg", "mp3"])
def test_a_very_long_comment_spoils_no_file(tmp_path: Path, kind: str) -> None:
    tags = read(write(tmp_path / f"a.{kind}", music(), RATE, tags=Tags({"comment": "é" * 100_000}))).tags
    assert len(tags.text.get("comment", "")) == {"w64": 0, "aiff": 2000}.get(kind, 100_000)


def test_chunks_with_lying_lengths_are_left_behind(tmp_path: Path) -> None:
    path = archive_wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + b"iXML" + struct.pack("<I", 10**9) + b"cut")
    tags = read(path).tags
    assert [name for name, _ in tags.chunks].count(b"iXML") == 1
    path.write_bytes(path.read_bytes() + bytes(1))
    assert isinstance(read(path), Recording)


def test_more_notes_than_a_reasonable_file_has_are_left_behind(tmp_path: Path) -> None:
    path = archive_wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + chunk(b"huge", bytes(2**24)))
    assert b"huge" not in dict(read(path).tags.chunks)
    assert b"bext" in dict(read(path).tags.chunks)


# The mark of a restored file

MARK = "Restored with babe2 0.1.0 from the checkpoint a & b (sha256 01), method x: sound above 3400 Hz is generated."
MARKED_BY = "babe2 0.1.0"


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_24"),
        ("a.wav", "FLOAT"),
        ("a.rf64", "PCM_16"),
        ("a.aiff", "PCM_24"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
def test_a_mark_stands_behind_the_tags_that_were_there_and_changes_no_sample(
    tmp_path: Path, name: str, subtype: str
) -> None:
    rate = 48_000 if subtype == "OPUS" else RATE
    sound, tags = music(rate=rate), Tags(TEXT)
    plain = read(write(tmp_path / f"plain-{name}", sound, rate, subtype=subtype, tags=tags))
    marked = read(write(tmp_path / name, sound, rate, subtype=subtype, tags=tags.marked(MARK, MARKED_BY)))
    np.testing.assert_array_equal(marked.audio, plain.audio)
    assert (marked.subtype, marked.sample_rate) == (plain.subtype, plain.sample_rate)
    assert marked.tags.text["comment"] == f"Matrix B-3\n{MARK}"
    others = ("title", "artist", "date", "genre")
    assert [marked.tags.text.get(word) for word in others] == [plain.tags.text.get(word) for word in others]
    if name != "a.mp3":  # whose encoder names itself
        assert MARKED_BY in marked.tags.text["software"]


def test_a_w64_has_no_place_for_a_mark_and_stays_whole(tmp_path: Path) -> None:
    marked = read(write(tmp_path / "a.w64", music(), RATE, tags=Tags().marked(MARK, MARKED_BY)))
    assert marked.audio.shape == music().shape and marked.tags.text == {}


def test_an_aiffs_long_comment_is_shortened_and_not_its_mark(tmp_path: Path) -> None:
    tags = Tags({"comment": "x" * 5000}).marked(MARK, MARKED_BY)
    comment = read(write(tmp_path / "a.aiff", music(), RATE, tags=tags)).tags.text["comment"]
    assert len(comment) == 2000 and comment.endswith(MARK) and comment.startswith("xxx")


def test_a_broadcast_wav_keeps_every_field_and_adds_a_line_to_its_coding_history(tmp_path: Path) -> None:
    recording = read(archive_wav(tmp_path / "in.wav"))
    write(tmp_path / "out.wav", recording.audio, RATE, tags=recording.tags.marked(MARK, MARKED_BY))
    before, after = dict(chunks_of(tmp_path / "in.wav")), dict(chunks_of(tmp_path / "out.wav"))
    assert after[b"bext"][:602] == before[b"bext"][:602]  # description, originator, UMID, time, loudness
    history = after[b"bext"][602:].decode("ascii").split("\r\n")
    line = f"A=PCM,F={RATE},W=24,M=mono,T={MARK.replace(',', ';')}"
    assert history == ["A=PCM", line, ""]
    info = read(tmp_path / "out.wav").tags.text
    assert (info["title"], info["artist"], info["comment"], info["software"]) == ("Café", "Piaf", MARK, MARKED_BY)
    untouched = {b"cue "}
    assert all(after[name] == before[name] for name in untouched)
    lists = [content for name, content in chunks_of(tmp_path / "out.wav") if name == b"LIST"]
    assert any(b"78 rpm disc" in content for content in lists) and any(content[:4] == b"adtl" for content in lists)


def test_a_second_restoration_adds_a_second_line(tmp_path: Path) -> None:
    once = read(write(tmp_path / "once.wav", music(), RATE, subtype="FLOAT", tags=Tags().marked(MARK, MARKED_BY)))
    write(tmp_path / "twice.wav", music(), RATE, tags=once.tags.marked(MARK, MARKED_BY))
    lines = dict(chunks_of(tmp_path / "twice.wav"))[b"bext"][602:].decode("ascii").splitlines()
    assert [line.partition(",T=")[0] for line in lines] == [
        f"A=PCM,F={RATE},W=32,M=mono",
        f"A=PCM,F={RATE},W=24,M=mono",
    ]
    text = read(tmp_path / "twice.wav").tags.text
    assert text["comment"] == f"{MARK}\n{MARK}" and text["software"] == MARKED_BY


def test_a_wav_without_broadcast_notes_gets_some_that_claim_no_date_and_no_origin(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", music(), RATE, tags=Tags().marked(MARK, MARKED_BY))
    content = dict(chunks_of(tmp_path / "a.wav"))[b"bext"]
    assert content[:256].rstrip(b"\0") == b"Made with babe2 0.1.0: see the coding history."
    assert content[256:288].rstrip(b"\0") == b"babe2 0.1.0"
    assert content[288:346] == bytes(58) and content[346:348] == b"\1\0" and content[348:602] == bytes(254)
    assert content[602:].startswith(b"A=PCM,F=") and content.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<BWFXML><NOTE>dusty</NOTE></BWFXML>", b"<BWFXML><NOTE>dusty\n%s</NOTE></BWFXML>"),
        (b"<BWFXML><TAKE>1</TAKE></BWFXML>\0\0", b"<BWFXML><TAKE>1</TAKE><NOTE>%s</NOTE></BWFXML>\0\0"),
        (b"<BWFXML><NOTE/></BWFXML>", b"<BWFXML><NOTE/></BWFXML>"),
        (b"no XML at all", b"no XML at all"),
        ("<BWFXML></BWFXML>".encode("utf-16"), "<BWFXML></BWFXML>".encode("utf-16")),
    ],
)
def test_the_note_of_an_ixml_is_added_to_where_that_is_simple(tmp_path: Path, before: bytes, after: bytes) -> None:
    tags = Tags(chunks=((b"iXML", before),), sample_rate=RATE).marked(MARK, MARKED_BY)
    write(tmp_path / "a.wav", music(), RATE, tags=tags)
    expected = after.replace(b"%s", MARK.replace("&", "&amp;").encode())
    assert dict(chunks_of(tmp_path / "a.wav"))[b"iXML"] == expected


def test_a_cut_bext_is_left_as_it_is(tmp_path: Path) -> None:
    tags = Tags(chunks=((b"bext", b"short"),), sample_rate=RATE).marked(MARK, MARKED_BY)
    write(tmp_path / "a.wav", music(), RATE, tags=tags)
    assert [content for name, content in chunks_of(tmp_path / "a.wav") if name == b"bext"] == [b"short"]


def test_a_signature_for_other_samples_is_not_carried_over(tmp_path: Path) -> None:
    path = archive_wav(tmp_path / "in.wav")
    raw = path.read_bytes() + chunk(b"C2PA", b"signed") + chunk(b"id3 ", b"ID3 kept")
    path.write_bytes(raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:])
    write(tmp_path / "out.wav", music(), RATE, tags=read(path).tags.marked(MARK, MARKED_BY))
    names = [name for name, _ in chunks_of(tmp_path / "out.wav")]
    assert b"C2PA" not in names and dict(chunks_of(tmp_path / "out.wav"))[b"id3 "] == b"ID3 kept"


@pytest.mark.parametrize(
    ("loudness", "kept", "times"),
    [(0.9, "PCM_24", 1), (1.5, "FLOAT", 2), (1e-8, "FLOAT", 2)],
    ids=["usual", "hot", "faint"],
)
def test_sound_is_made_once_and_again_only_where_its_peak_asks_for_floats(
    tmp_path: Path, loudness: float, kept: str, times: int
) -> None:
    made: list[int] = []
    sound = loudness * np.sin(np.arange(3000, dtype=np.float32))[None].astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        made.append(1)
        yield from (sound[:, :1000], sound[:, 1000:])

    path = write_blocks(tmp_path / "sound.wav", blocks, 8000)
    assert len(made) == times and sf.info(path).subtype == kept
    np.testing.assert_allclose(sf.read(path, always_2d=True)[0].T, sound, atol=2**-24 if kept == "PCM_24" else 0)
