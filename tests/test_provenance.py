"""What a restored file says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKPOINT

from babe2 import Restoration, Restorer, audio
from babe2.provenance import SOFTWARE, Provenance, already_made, checkpoint_name, sample_tags
from babe2.recordings.chunks import Tags

EXAMPLE = Path(__file__).parents[1] / "examples" / "old_variation.flac"
ENDED = Provenance(
    version="0.1.0",
    checkpoint="piano-small",
    sha256="0123456789abcdef",
    method="bandwise",
    generates=True,
    band_known=True,
    end_hz=3400.4,
    limit_hz=None,
    highest_hz=11_025.0,
)
MADE_BY = "Restored with babe2 0.1.0 from the checkpoint piano-small (sha256 0123456789ab), method bandwise: "
GENERATED = (
    "sound above 3400 Hz is generated, below it was re-equalised, and what noise had covered is generated there, too"
)


# The truth, in each of its variants


@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ({}, f"{GENERATED}."),
        (
            {"limit_hz": 11_025.0, "highest_hz": 22_050.0},
            "sound from 3400 Hz to 11025 Hz is generated, below it was re-equalised, and what noise had covered is "
            "generated there, too; above 11025 Hz it is the recording as it was.",
        ),
        (
            {"limit_hz": 11_025.0, "keeps_above": False},
            "sound from 3400 Hz to 11025 Hz is generated, below it was re-equalised, and what noise had covered is "
            "generated there, too; above 11025 Hz there was noise alone, of which nothing is left.",
        ),
        (
            {"end_hz": None},
            "no end of the recorded band was found: the recording was re-equalised, and what noise had covered is "
            "generated.",
        ),
        (
            {"end_hz": None, "band_known": False},
            "where the recorded band ends is not known, so what sounds may be generated at any frequency.",
        ),
        (
            {"highest_hz": 3000.0},
            "the recorded band ends at 3400 Hz, beyond what this file holds: the recording was re-equalised, and what "
            "noise had covered is generated.",
        ),
        ({"generates": False}, "the recording was re-equalised, nothing was generated."),
        (
            {"generates": False, "limit_hz": 11_025.0},
            "the recording was re-equalised, nothing was generated; above 11025 Hz it is the recording as it was.",
        ),
        (
            {"amount": 0.0, "limit_hz": 11_025.0},
            "at amount 0 this is the recording as it was, nothing was equalised or generated.",
        ),
        ({"amount": 0.75}, f"{GENERATED}. This was mixed with the recording as it was: 75% and 25%."),
        ({"gain_db": 2.04}, f"{GENERATED}. It was then made 2.0 dB louder, to be as loud as the recording."),
        ({"gain_db": -1.5}, f"{GENERATED}. It was then made 1.5 dB softer, to be as loud as the recording."),
        (
            {"stopped_seconds": 12.345},
            f"{GENERATED}. The run was stopped: these are the 12.3 s that were finished.",
        ),
    ],
)
def test_what_was_done_is_told_and_no_more(otherwise: dict[str, Any], told: str) -> None:
    assert replace(ENDED, **otherwise).statement == MADE_BY + told


def test_only_a_share_of_what_a_prior_made_is_called_generated() -> None:
    assert ENDED.is_generated and replace(ENDED, amount=0.01).is_generated
    assert not replace(ENDED, generates=False).is_generated and not replace(ENDED, amount=0.0).is_generated


def test_a_checkpoint_whose_digest_is_unknown_is_named_without() -> None:
    assert "from the checkpoint piano-small, method" in replace(ENDED, sha256="").statement


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("/home/somebody/my prior", "my prior"),
        ("C:\\Users\\somebody\\prior", "prior"),
        ("owner/name@0123abc", "owner/name@0123abc"),
        ("prior\nRestored with", "priorRestored with"),
    ],
)
def test_the_place_of_a_checkpoint_is_nobodys_business(checkpoint: str, name: str) -> None:
    assert checkpoint_name(checkpoint) == name


# Of real restorations


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint("piano-small", device="cpu")


@pytest.fixture(scope="module")
def recording() -> audio.Recording:
    """A recording of 22.05 kHz whose band ends at about 3.6 kHz."""
    return audio.read(EXAMPLE, duration=2.0)


QUICKLY: dict[str, Any] = {"steps": 2, "filter_iterations": 2, "sigma_min": 0.1, "segment_length": 49_152}


@pytest.fixture(scope="module")
def restoration(restorer: Restorer, recording: audio.Recording) -> Restoration:
    return restorer.restore(recording.audio, recording.sample_rate, solver="guided", **QUICKLY)


def test_methods_that_take_no_band_tell_above_which_frequency_they_generate(restoration: Restoration) -> None:
    band = restoration.report["band"]
    assert restoration.report["solver"] == "guided" and band["ends"] and band["high_hz"] == pytest.approx(3500, rel=0.1)
    assert f"sound above {band['high_hz']:.0f} Hz is generated" in restoration.provenance.statement


def test_the_rate_of_the_file_decides_what_in_it_is_generated(restoration: Restoration) -> None:
    assert "beyond what this file holds" in restoration.at_rate(6000).provenance.statement


def test_above_the_checkpoints_band_it_is_the_recording(recording: audio.Recording) -> None:
    small = Restorer.from_checkpoint(CHECKPOINT, device="cpu")
    told = small.restore(recording.audio, recording.sample_rate, method="ltas-eq").provenance.statement
    assert told.endswith("nothing was generated; above 4000 Hz it is the recording as it was.")


def test_equalising_alone_generates_nothing(restorer: Restorer, recording: audio.Recording) -> None:
    equalised = restorer.restore(recording.audio, recording.sample_rate, method="ltas-eq")
    assert not equalised.report["generates"] and not equalised.provenance.is_generated
    assert equalised.provenance.statement.endswith("the recording was re-equalised, nothing was generated.")


def test_saving_from_python_marks_the_file_and_keeps_its_tags(restoration: Restoration, tmp_path: Path) -> None:
    tags = Tags({"title": "Bourrée", "comment": "Matrix B-3", "software": "Lathe 1.0"})
    mixed = restoration.mixed(0.25)
    text = audio.read(mixed.save(tmp_path / "a.wav", tags=tags)).tags.text
    statement = mixed.provenance.statement
    assert text["title"] == "Bourrée" and text["comment"] == f"Matrix B-3\n{statement}"
    assert text["software"] == f"Lathe 1.0; {SOFTWARE}" and "25% and 75%" in statement


# Told apart again


def test_a_file_that_was_made_before_is_known_by_its_mark() -> None:
    (told,) = already_made(Tags().marked(ENDED.statement, SOFTWARE))
    assert told.startswith("This file was already restored with babe2 0.1.0, as it says of itself")
    (told,) = already_made(sample_tags("piano-small", ""))
    assert told.startswith("This file was already generated with babe2")


def test_a_mark_in_the_broadcast_notes_is_enough() -> None:
    for name in (b"bext", b"iXML"):
        assert already_made(Tags(chunks=((name, b"\0\xff\0" + MADE_BY.encode()),)))
    assert not already_made(Tags(chunks=((b"data", MADE_BY.encode()),)))


@pytest.mark.parametrize("comment", ["", "Restored with care", "Restored with babe2", "Unrestored with babe2 0.1.0"])
def test_other_files_are_not_taken_for_ours(comment: str) -> None:
    assert not already_made(Tags({"comment": comment}))


def test_nothing_of_a_strangers_tags_is_repeated_but_a_version() -> None:
    (told,) = already_made(Tags({"comment": "Restored with babe2 1.0<script>alert(1)</script>"}))
    assert "<" not in told and "babe2 1.0," in told


def test_restoring_such_a_file_warns(restorer: Restorer, restoration: Restoration, tmp_path: Path) -> None:
    restoration.save(tmp_path / "once.wav")
    again = restorer.restore_file(tmp_path / "once.wav", tmp_path / "journal", method="ltas-eq")
    again.storage.discard()
    assert any("already restored" in warning for warning in again.report["warnings"])
    text = again.marked(audio.SoundFile(tmp_path / "once.wav").tags).text
    assert text["software"] == SOFTWARE and text["comment"].count("Restored with babe2") == 2


def test_a_stopped_run_says_how_much_was_finished(restoration: Restoration) -> None:
    part = replace(restoration, seconds=0.5)
    assert part.provenance.statement.endswith("The run was stopped: these are the 0.5 s that were finished.")


def test_the_sound_of_a_marked_file_is_exact(restoration: Restoration, tmp_path: Path) -> None:
    marked = audio.read(restoration.save(tmp_path / "marked.wav", "FLOAT"))
    np.testing.assert_array_equal(marked.audio, restoration.audio)
