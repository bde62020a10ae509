"""Steps of a chain: sound in, sound out, a report; journal, progress and cancelling are the same for all."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CHECKPOINT
from music import music
from soften import Soften

from babe2 import Cancelled, RestorationError, Restorer
from babe2.audio import write
from babe2.dsp.tape import MemoryTape
from babe2.stages import STAGES, Bench, make, restore
from babe2.stages.base import STRETCH


def test_restoring_is_a_stage() -> None:
    restorer, recording = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), music(1.0, 11025)
    expected = restorer.restore(recording, 11025, method="ltas-eq")
    audio, report = restore(recording, 11025, checkpoint=str(CHECKPOINT), method="ltas-eq")
    np.testing.assert_array_equal(audio, expected.audio)
    assert report["found"]["sha256"] == restorer.sha256
    assert "re-equalised" in report["found"]["statement"]


def test_a_response_and_a_reference_may_be_files(tmp_path: Path) -> None:
    response, recording = tmp_path / "machine.csv", music(1.0)
    response.write_text("100,0\n4000,-30\n")
    quick = {"checkpoint": str(CHECKPOINT), "method": "informed", "solver": "guided", "steps": 2, "sigma_min": 0.1}
    _, report = restore(recording, 8000, response=str(response), **quick)
    assert report["found"]["response"]["gain_db"][-1] == pytest.approx(-30)
    write(tmp_path / "good.wav", music(6.0, seed=3), 8000)
    wishes = {"checkpoint": str(CHECKPOINT), "steps": 2, "reference": str(tmp_path / "good.wav")}
    _, report = restore(recording, 8000, **wishes)
    assert "reference_sha256" in report["found"]
    with pytest.raises(RestorationError, match=r"gone\.csv"):
        restore(recording, 8000, response=str(tmp_path / "gone.csv"), **quick)


def test_a_stage_says_how_much_it_took_away() -> None:
    recording = music(0.5)
    audio, report = Soften.apply_to(recording, 8000, factor=0.9)
    np.testing.assert_array_equal(audio, np.float32(0.9) * recording)
    assert report["removed_db"] == pytest.approx(-20, abs=0.01)
    assert report["counts"] == {"samples": recording.shape[-1]}
    assert (report["stage"], report["settings"], report["found"]) == ("soften", {"factor": 0.9}, {"loudest": 1.0})


def test_a_stage_refuses_settings_that_it_has_not() -> None:
    with pytest.raises(RestorationError, match=r"no setting loudness\. Known settings: factor\."):
        Soften.of(loudness=3)


def test_a_stopped_stage_goes_on_to_the_same_samples(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tape = MemoryTape(torch.randn(2, 2 * STRETCH, generator=generator))
    heard: list[float] = []
    stopped = Bench(tmp_path / "journal", on_share=heard.append, cancelled=lambda: len(heard) == 2)
    with pytest.raises(Cancelled):
        make(Soften(), tape, 8000, stopped)
    assert heard == [0.25, 0.5]
    with pytest.raises(RestorationError, match="unfinished"):
        make(Soften(), tape, 8000, Bench(tmp_path / "journal"))
    made = make(Soften(), tape, 8000, Bench(tmp_path / "journal", unfinished="resume", on_share=heard.append))
    assert heard == [0.25, 0.5, 0.75, 1.0]
    assert torch.equal(made.tape.read(0, 2 * STRETCH), 0.5 * tape.read(0, 2 * STRETCH))
    assert made.report["counts"] == {"samples": 2 * STRETCH}
    made.storage.close()
    again = make(Soften(), tape, 8000, Bench(tmp_path / "journal", unfinished="resume", on_share=heard.append))
    assert len(heard) == 4 and again.report["counts"] == made.report["counts"]  # nothing was done again
    # What was found is noted once by each of the two runs, however many stretches they have made.
    lines = (tmp_path / "journal" / "journal.jsonl").read_text("utf-8").splitlines()[1:]
    assert ["loudest" in line for line in lines] == [True, False, True, False]
    assert again.report["found"] == made.report["found"] == {"loudest": 1.0}
    again.storage.discard()
    assert not list(tmp_path.iterdir())


def test_all_stages_are_named_as_they_are_listed() -> None:
    for name, stage in STAGES.items():
        assert stage.name == name and stage.does.endswith(".") and stage() == stage.of()


@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if not stage.merges])
def test_what_could_name_a_file_is_refused_or_told_as_a_place(name: str) -> None:
    """A page runs chains of strangers, and looks at these places only."""
    stage, besides = STAGES[name], {"method": "gramophone"} if name == "denoise" else {}
    for field in fields(stage):
        if field.type == "str":
            try:
                made = stage.of(**{field.name: "/etc/passwd"}, **besides)
            except RestorationError:
                continue
            assert "/etc/passwd" in made.places().values(), field.name
