"""What there is to learn from: every kind of file found, and every bad one named."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from classroom import RATE, shard, tune

from babe2 import RestorationError
from babe2.training.augmentation import Augmentation, Signal
from babe2.training.corpus import Corpus, Levelling, Source, check_source, credits_of, gather

PLAIN = Augmentation()


class Memory(Source):
    """A recording in memory."""

    def __init__(self, audio: Signal, sample_rate: int = RATE, name: str = "memory") -> None:
        super().__init__(Path(name), name, *audio.shape, sample_rate)
        self.audio = audio

    def read(self, start: int, count: int) -> Signal:
        return self.audio[:, start : start + count]


def corpus_of(*sources: Source) -> Corpus:
    return Corpus(sources, [source.seconds for source in sources], RATE)


def excerpt(corpus: Corpus, seed: int = 0, length: int = 4096, by: str = "none", level: float = 1.0) -> Signal:
    levelling = Levelling(by=by)  # type: ignore[arg-type]
    return corpus.excerpt(np.random.default_rng(seed), length, PLAIN, levelling, level)


# What is found


def test_folders_files_and_lists_are_taken_once(tmp_path: Path) -> None:
    shard(tmp_path / "a" / "real-000.npy")
    sf.write(tmp_path / "a" / "tune.flac", tune(3, rate=44100), 44100)
    (tmp_path / "a" / "cover.jpg").write_bytes(b"")
    (tmp_path / "a" / ".hidden.wav").write_bytes(b"")
    sf.write(tmp_path / "b.ogg", tune(3, 1, 22050), 22050)
    (tmp_path / "list.txt").write_text("# what else\nb.ogg\na/tune.flac\na\n")
    corpus = gather([tmp_path / "a", tmp_path / "b.ogg", tmp_path / "list.txt"], RATE, 1.0)
    assert [source.name for source in corpus.sources] == ["real-000.npy", "tune.flac", "b.ogg"]
    assert [source.sample_rate for source in corpus.sources] == [RATE, 44100, 22050]
    assert corpus.hours == pytest.approx(18 / 3600) and corpus.skipped == []


def test_every_bad_file_is_skipped_with_its_reason(tmp_path: Path) -> None:
    shard(tmp_path / "good.npy")
    sf.write(tmp_path / "silent.wav", np.zeros(3 * RATE), RATE)
    sf.write(tmp_path / "short.wav", tune(0.5), RATE)
    broken = np.full(3 * RATE, np.nan)
    sf.write(tmp_path / "broken.wav", broken, RATE, "FLOAT")
    sf.write(tmp_path / "whole.flac", tune(6), RATE)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "whole.flac").read_bytes()[:9000])
    (tmp_path / "text.wav").write_text("la la la")
    (tmp_path / "song.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    np.save(tmp_path / "stereo.npy", np.zeros((2, 9000), np.int16))
    (tmp_path / "half.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:500])
    corpus = gather([tmp_path, tmp_path / "nowhere"], RATE, 1.0)
    reasons = {skip.name: skip.reason for skip in corpus.skipped}
    expected = {
        "silent.wav": "silent",
        "short.wav": "lasts 0.5 s",
        "broken.wav": "no numbers",
        "text.wav": "not audio",
        "song.m4a": "cannot be decoded" if find_spec("av") else "ffmpeg",
        "stereo.npy": "not a row of 16-bit",
        "half.npy": "cannot be read",
        str(tmp_path / "nowhere"): "no such file",
    }
    for name, words in expected.items():
        assert words in reasons.pop(name), name
    assert set(reasons) <= {"cut.flac"}  # whether its end is missed at once is up to the decoder
    assert {"good.npy", "whole.flac"} <= {source.name for source in corpus.sources}


def test_no_usable_data_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match="no data to learn from"):
        gather([tmp_path], RATE, 1.0)
    (tmp_path / "text.wav").write_text("la la la")
    with pytest.raises(RestorationError, match=r"first of 1 skipped: text\.wav"):
        gather([tmp_path], RATE, 1.0)


def test_a_file_silent_but_for_a_place_is_no_silent_file() -> None:
    audio = np.zeros((1, 60 * RATE), np.float32)
    audio[:, 20 * RATE : 22 * RATE] = tune(2)
    check_source(Memory(audio), 1.0)
    with pytest.raises(RestorationError, match="silent"):
        check_source(Memory(np.zeros_like(audio)), 1.0)


def test_whom_the_music_is_owed_to(tmp_path: Path) -> None:
    shard(tmp_path / "train" / "real-000.npy")
    index = {"train/real-000.npy": {"credit": "A (CC0); B (MIT)"}, "train/gone.npy": {"credit": "C"}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert credits_of(gather([tmp_path / "train"], RATE, 1.0)) == ["A (CC0)", "B (MIT)"]


# What is drawn


def test_a_mix_decides_how_often_each_part_is_heard(tmp_path: Path) -> None:
    shard(tmp_path / "real-0.npy", 20)
    shard(tmp_path / "render" / "one.npy", 4)
    shard(tmp_path / "render" / "two.npy", 4)
    shard(tmp_path / "other.npy")
    corpus = gather([tmp_path], RATE, 1.0, {"real": 0.25, "render": 0.75})
    assert dict(zip([s.name for s in corpus.sources], corpus.chances, strict=True)) == pytest.approx(
        {"real-0.npy": 0.25, "render/one.npy": 0.375, "render/two.npy": 0.375}
    )
    assert [skip.name for skip in corpus.skipped] == ["other.npy"]
    assert corpus.part("render").hours == pytest.approx(8 / 3600)
    with pytest.raises(RestorationError, match="asks for voices"):
        gather([tmp_path], RATE, 1.0, {"real": 0.5, "voices": 0.5})


def test_files_are_drawn_in_proportion_to_their_length() -> None:
    quiet, loud = (np.full((1, n * RATE), level, np.float32) for n, level in ((3, 0.1), (1, 0.5)))
    for audio in (quiet, loud):
        audio[:, ::2] *= -1
    corpus = corpus_of(Memory(quiet), Memory(loud))
    levels = [excerpt(corpus, seed, 256).std() for seed in range(400)]
    assert np.mean(np.array(levels) > 0.3) == pytest.approx(0.25, abs=0.06)


def test_two_channels_are_mixed_in_random_shares() -> None:
    left = tune(3).astype(np.float32)
    corpus = corpus_of(Memory(np.stack([left, np.zeros_like(left)])))
    shares = [float(excerpt(corpus, seed, 20000).std() / left.std()) for seed in range(200)]
    assert 0.4 < np.mean(shares) < 0.6 and np.std(shares) == pytest.approx(12**-0.5, rel=0.2)


def test_the_same_generator_gives_the_same_excerpt(tmp_path: Path) -> None:
    corpus = gather([shard(tmp_path / "a.npy")], RATE, 1.0)
    assert np.array_equal(excerpt(corpus, 3), excerpt(corpus, 3))
    assert not np.array_equal(excerpt(corpus, 3), excerpt(corpus, 4))


def test_a_file_is_heard_where_the_decoder_was_sent(tmp_path: Path) -> None:
    rising = np.linspace(0.1, 0.9, 10 * RATE)
    sf.write(tmp_path / "a.wav", rising, RATE, "FLOAT")
    (source,) = gather([tmp_path], RATE, 1.0).sources
    np.testing.assert_allclose(source.read(12345, 100)[0], rising[12345:12445], rtol=1e-6)


def test_levels(tmp_path: Path) -> None:
    quiet_then_loud = np.concatenate([0.1 * tune(10), tune(10)]).astype(np.float32)
    corpus = corpus_of(Memory(quiet_then_loud[None]))
    found = {by: [float(excerpt(corpus, s, by=by, level=0.08).std()) for s in range(40)] for by in ("crop", "context")}
    assert found["crop"] == pytest.approx([0.08] * 40, rel=1e-5)
    assert min(found["context"]) < 0.03  # a quiet passage stays quieter than what surrounds it
    known = corpus.excerpt(np.random.default_rng(0), 4096, PLAIN, Levelling(by="corpus"), 1.0, corpus_level=0.5)
    assert np.allclose(known, 2 * excerpt(corpus, 0))


def test_silence_is_passed_over_and_nothing_but_silence_is_told() -> None:
    audio = np.zeros((1, 20 * RATE), np.float32)
    audio[:, 5 * RATE : 10 * RATE] = tune(5)
    assert all(excerpt(corpus_of(Memory(audio)), seed).std() > 2e-5 for seed in range(40))
    with pytest.raises(RestorationError, match="silent or unreadable"):
        excerpt(corpus_of(Memory(np.zeros_like(audio))))


def test_a_short_file_is_repeated_from_anywhere() -> None:
    bar = np.arange(1, 1001, dtype=np.float32)[None] / 1000
    found = excerpt(corpus_of(Memory(bar)), length=2500)
    steps = np.diff(found)
    assert len(found) == 2500 and np.sum(steps < 0) >= 2


def test_what_cannot_be_read_on_the_way_is_told_once_and_another_place_taken() -> None:
    class Torn(Memory):
        def read(self, start: int, count: int) -> Signal:
            raise RestorationError("it is torn.")

    torn, good = Torn(tune(30).astype(np.float32)[None], name="torn"), Memory(tune(10).astype(np.float32)[None])
    corpus = corpus_of(torn, good)
    assert all(excerpt(corpus, seed).std() > 0 for seed in range(20))
    assert [(skip.name, skip.reason) for skip in corpus.skipped] == [("torn", "in places: it is torn.")]
    assert corpus.fingerprint == corpus_of(torn, good).fingerprint
