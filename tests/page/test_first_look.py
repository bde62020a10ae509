"""What is said of a recording before anything is sampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from babe2 import RestorationError, Restorer, audio
from babe2.analysis.liveliest import liveliest
from babe2.page.first_look import BLOCK_SECONDS, BLOCKS, check_sounding, equalised, first_look
from babe2.recordings.chunks import Tags

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "old_variation.flac"
RATE = 8000  # Hz


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint("piano-small", device="cpu")


def noise(path: Path, seconds: float, loud_from: float = 0.0) -> Path:
    sound = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    sound[: round(loud_from * RATE)] *= 0.001
    sf.write(path, sound, RATE)
    return path


def test_the_liveliest_place_is_proposed() -> None:
    seen = first_look(EXAMPLE, excerpt_seconds=4.0)
    sound, rate = sf.read(EXAMPLE, dtype="float32")
    assert seen.start == pytest.approx(liveliest(sound[None], rate, 4.0))
    assert seen.seconds == seen.looked_at == 12 and seen.channels == 1


def test_of_a_long_recording_spaced_blocks_are_looked_at(tmp_path: Path) -> None:
    seen = first_look(noise(tmp_path / "long.wav", 310, loud_from=290))
    assert seen.seconds == 310 and seen.looked_at == BLOCKS * BLOCK_SECONDS
    assert seen.start > 280 and "looked at 2:30 of it" in seen.words


def test_facts_and_advice_are_told() -> None:
    facts, *advice = first_look(EXAMPLE).words.split("\n\n")
    assert "length **12 s**" in facts and "music up to **3.0 kHz**" in facts and "no clipping" in facts
    assert all(line.startswith("- ") for line in advice)


def test_a_recording_that_was_restored_before_is_said_to_be_one(tmp_path: Path) -> None:
    assert first_look(EXAMPLE).found["warnings"] == []
    sound = audio.read(EXAMPLE, duration=2.0)
    tags = Tags().marked("Restored with babe2 0.1.0 from the checkpoint a, method b: c.", "babe2 0.1.0")
    seen = first_look(audio.write(tmp_path / "a.wav", sound.audio, sound.sample_rate, tags=tags))
    assert seen.words.split("\n\n")[1].startswith("- This file was already restored with babe2 0.1.0")


def test_it_is_compared_with_what_a_checkpoint_knows(restorer: Restorer) -> None:
    assert first_look(EXAMPLE).found["ratio_to_reference_db"] is None
    assert first_look(EXAMPLE, restorer.reference).found["ratio_to_reference_db"]


def test_a_sound_can_be_heard_with_its_average_spectrum_matched(restorer: Restorer) -> None:
    sound, rate = sf.read(EXAMPLE, dtype="float32", frames=2 * 22_050)
    matched = equalised(sound[None], rate, restorer)
    assert matched is not None and matched.shape == (1, len(sound))
    assert equalised(np.zeros((1, RATE), np.float32), RATE, restorer) is None


def test_silent_channels_are_not_counted_and_silence_is_refused(tmp_path: Path) -> None:
    sound = np.zeros((RATE, 6))
    sound[:, 2] = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    sf.write(tmp_path / "surround.wav", sound, RATE)
    assert first_look(tmp_path / "surround.wav").channels == 1
    sf.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    with pytest.raises(RestorationError, match="This recording is silent"):
        check_sounding(first_look(tmp_path / "silence.wav"))
