"""What a restoration keeps on disk while it runs, and how it goes on from there."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from conftest import CHECKPOINT, QUICK
from music import chord

from babe2 import Cancelled, RestorationError, Restorer
from babe2.dsp.curves import SampledCurve
from babe2.equalizer import Equalizer, Flank, noted, recalled
from babe2.recordings.journal import Journal, Unfinished

ABOUT = {"seed": 0, "threads": 1, "settings": {"steps": 5, "overlap": 0.1}}
RECORD = {
    "segments": [0],
    "shares": [1.0],
    "misfit": 0.5,
    "equalizer": None,
    "history": [],
    "evaluations": 3,
    "batch": 1,
}


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """As if the disk were full."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_is_noted_is_there_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.blank("segments", 1).write(0, torch.ones(1, 10))
    journal.note(RECORD)
    journal.close()
    again = Journal(tmp_path / "j", ABOUT, "resume")
    assert again.records == [RECORD]
    assert torch.equal(again.blank("segments", 1).read(0, 10), torch.ones(1, 10))
    again.discard()
    assert not (tmp_path / "j").exists()


def test_a_line_that_was_begun_when_the_power_went_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.note(RECORD)
    journal.note(RECORD | {"segments": [1]})
    journal.close()
    path = tmp_path / "j" / "journal.jsonl"
    whole = path.read_bytes()
    for cut in (1, 5, 40):
        path.write_bytes(whole[:-cut])
        again = Journal(tmp_path / "j", ABOUT, "resume")
        assert again.records == [RECORD]
        again.note(RECORD | {"segments": [1]})
        again.close()
        assert path.read_bytes() == whole


def test_what_was_begun_otherwise_is_not_gone_on_with(tmp_path: Path) -> None:
    Journal(tmp_path / "j", ABOUT).close()
    other = ABOUT | {"seed": 1, "settings": {"steps": 6, "overlap": 0.1}}
    with pytest.raises(RestorationError, match=r"was begun otherwise \(seed, steps\)"):
        Journal(tmp_path / "j", other, "resume")
    with pytest.raises(RestorationError, match="Go on with it with --resume"):
        Journal(tmp_path / "j", ABOUT)
    Journal(tmp_path / "j", other, "discard").discard()


def test_the_threads_of_the_first_run_are_kept(tmp_path: Path) -> None:
    Journal(tmp_path / "j", ABOUT).close()
    again = Journal(tmp_path / "j", ABOUT | {"threads": 2}, "resume")
    assert again.threads == 1
    again.discard()


def test_a_result_is_written_in_the_journal_until_it_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    draft = journal.draft(tmp_path / "x.wav")
    assert draft is not None and draft.parent == tmp_path / "j"
    draft.write_bytes(b"half of it")
    journal.discard()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "elsewhere").mkdir()
    assert journal.draft(tmp_path / "x.wav") is None  # the journal is gone
    journal = Journal(tmp_path / "k", ABOUT)
    assert journal.draft(tmp_path / "elsewhere" / "x.wav") is None  # perhaps another disk
    journal.discard()


def test_two_do_not_work_in_one_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    with pytest.raises(RestorationError, match="Somebody is at work"):
        Journal(tmp_path / "j", ABOUT, "resume")
    journal.discard()


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    (tmp_path / "j" / "notes.txt").write_text("mine")
    journal.discard()
    assert [path.name for path in (tmp_path / "j").iterdir()] == ["notes.txt"]


def test_what_is_no_line_at_all_costs_no_line_before_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.note(RECORD)
    journal.close()
    path = tmp_path / "j" / "journal.jsonl"
    whole = path.read_bytes()
    for rubbish in (b"\0" * 50, b"\xff\xfe\x80 gone\n", b"[1]\n", b'{"segments": \n'):
        path.write_bytes(whole + rubbish)
        again = Journal(tmp_path / "j", ABOUT, "resume")
        again.close()
        assert again.records == [RECORD] and path.read_bytes() == whole


def test_a_journal_that_cannot_be_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.note(RECORD)
    journal.close()

    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched, pytest.raises(RestorationError, match="Input/output error"):
        patched.setattr("babe2.recordings.journal._lines", broken)
        Journal(tmp_path / "j", ABOUT, "resume")
    again = Journal(tmp_path / "j", ABOUT, "resume")
    assert again.records == [RECORD]
    again.discard()


def test_a_file_of_that_name_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "journal.jsonl").write_text('{"dear": "diary"}\n')
    with pytest.raises(RestorationError, match="begun otherwise"):
        Journal(tmp_path / "j", ABOUT, "resume")
    (tmp_path / "k").write_text("mine")
    with pytest.raises(RestorationError, match="cannot be written"):
        Journal(tmp_path / "k", ABOUT)
    assert (tmp_path / "k").read_text() == "mine"


@pytest.mark.parametrize("unfinished", ["refuse", "resume", "discard"])
def test_sounds_that_others_put_there_stay(tmp_path: Path, unfinished: Unfinished) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "mine.f32").write_text("mine")
    Journal(tmp_path / "j", ABOUT, unfinished).discard()
    assert [path.name for path in (tmp_path / "j").iterdir()] == ["mine.f32"]


def test_a_disk_that_is_full_when_a_line_is_noted_is_complained_of_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.note(RECORD)
    begun = (tmp_path / "j" / "journal.jsonl").stat().st_size
    with no_file_longer_than(begun + 10):
        with pytest.raises(RestorationError, match="What is finished is kept"), journal.kept():
            journal.note(RECORD | {"segments": [1]})
        journal.close()
    again = Journal(tmp_path / "j", ABOUT, "resume")
    assert again.records == [RECORD]
    again.discard()


@pytest.mark.parametrize("unfinished", ["refuse", "resume", "discard"])
def test_a_disk_that_is_full_from_the_beginning_keeps_nothing(tmp_path: Path, unfinished: Unfinished) -> None:
    with no_file_longer_than(10), pytest.raises(RestorationError, match="Make room there"):
        Journal(tmp_path / "j", ABOUT, unfinished)
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_equalizer_is_recalled_to_the_last_bit(dtype: torch.dtype) -> None:
    random = torch.rand(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    curve = Equalizer(random[0], Flank(random[1:3], random[3:6]), Flank(random[6:7], random[7:9]), bin_hz=5.3)
    found = recalled(json.loads(json.dumps(noted(curve))), None)
    assert isinstance(found, Equalizer) and found.bin_hz == 5.3
    assert found.parameters.dtype == dtype and torch.equal(found.parameters, curve.parameters)
    other = SampledCurve(torch.ones(1), torch.ones(1))
    assert recalled(noted(other), other) is other


# Whole restorations


def command(source: Path, *more: object) -> list[str]:
    return [sys.executable, "-m", "babe2", "restore", *map(str, (source, *more)), "--checkpoint", CHECKPOINT, *QUICK]


def killed_at_random_moments(folder: Path, kills: int, *wishes: object) -> None:
    """However often it is killed, the result is that of a run nobody disturbed, to the last bit."""
    source, target, choose = folder / "long.wav", folder / "long.restored.wav", random.Random(kills)
    sf.write(source, np.tile(chord(2, channels=2), (10, 1)), 8000)
    began = time.monotonic()
    subprocess.run(command(source, "-o", folder / "whole.wav", *wishes), check=True, capture_output=True)
    longest, whole = time.monotonic() - began, sf.read(folder / "whole.wav")[0]
    while kills > 0:
        process = subprocess.Popen(command(source, "--resume", *wishes), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, said = process.communicate(timeout=choose.uniform(0.3, 1) * longest)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills -= 1
            continue
        assert process.returncode == 0, said
        np.testing.assert_array_equal(sf.read(target)[0], whole)
        target.unlink()
    target.unlink(missing_ok=True)
    subprocess.run(command(source, "--resume", *wishes), check=True, capture_output=True)
    np.testing.assert_array_equal(sf.read(target)[0], whole)
    assert sorted(path.name for path in folder.iterdir()) == ["long.restored.wav", "long.wav", "whole.wav"]


def test_a_killed_restoration_goes_on_to_the_same_result(tmp_path: Path) -> None:
    killed_at_random_moments(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("wishes", [[], ["--set", "mode=time-invariant", "--set", "blind_segments=3"]])
def test_a_restoration_killed_again_and_again_goes_on_to_the_same_result(tmp_path: Path, wishes: list[str]) -> None:
    killed_at_random_moments(tmp_path, 20, *wishes)


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"batch": 2},
        {"solver": "guided", "sigma_min": 0.1},
        {"solver": "guided", "sigma_min": 0.1, "mode": "time-invariant", "blind_segments": 3},
        {"preset": "paper", "sigma_min": 0.1},
    ],
    ids=["closed-form", "together", "guided", "time-invariant", "paper"],
)
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_stopped_restoration_goes_on_in_the_same_program(
    tmp_path: Path, stop: int, wishes: dict[str, object]
) -> None:
    restorer, source = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav"
    sf.write(source, np.tile(chord(1), (9, 1)), 8000)
    quick = {"steps": 2, "filter_iterations": 1}
    whole = restorer.restore_file(source, tmp_path / "whole", **quick, **wishes)
    steps: list[object] = []
    with pytest.raises(Cancelled) as stopped:
        restorer.restore_file(
            source, tmp_path / "j", on_step=steps.append, cancelled=lambda: len(steps) > 2 * stop, **quick, **wishes
        )
    if stopped.value.partial is not None:  # with one equalizer for all, what is finished first is no beginning
        stopped.value.partial.storage.close()
    found = restorer.restore_file(source, tmp_path / "j", unfinished="resume", **quick, **wishes)
    np.testing.assert_array_equal(found.audio, whole.audio)
    alike = ("segments", "evaluations", "settings")
    assert [found.report[name] for name in alike] == [whole.report[name] for name in alike]
    assert len(found.history) == len(whole.history)
    for restoration in (found, whole):
        restoration.storage.discard()


def test_a_recording_that_was_changed_meanwhile_is_not_mixed_with_what_it_was(tmp_path: Path) -> None:
    restorer, source = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav"
    sf.write(source, chord(1), 44100)  # what lies above the model's band is read again in the end
    restoration = restorer.restore_file(source, tmp_path / "j", steps=2)
    sf.write(source, chord(1.5, channels=2), 44100)
    with pytest.raises(RestorationError, match="was changed while it was worked on"):
        restoration.save(tmp_path / "y.wav")
    restoration.storage.close()
    with pytest.raises(RestorationError, match=r"begun otherwise \(input\)"):
        restorer.restore_file(source, tmp_path / "j", unfinished="resume", steps=2)


@pytest.mark.parametrize("lost", ["all", "the end"])
def test_finished_sound_that_is_gone_is_missed(tmp_path: Path, lost: str) -> None:
    restorer, source, steps = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav", []
    sf.write(source, np.tile(chord(1), (9, 1)), 8000)
    with pytest.raises(Cancelled) as stopped:
        restorer.restore_file(source, tmp_path / "j", on_step=steps.append, cancelled=lambda: len(steps) > 4, steps=2)
    assert stopped.value.partial is not None
    stopped.value.partial.storage.close()
    tape = tmp_path / "j" / "segments.f32"
    if lost == "all":
        tape.unlink()
    else:
        os.truncate(tape, tape.stat().st_size - 4)
    with pytest.raises(RestorationError, match="is gone from its journal"):
        restorer.restore_file(source, tmp_path / "j", unfinished="resume", steps=2)
    assert (tmp_path / "j" / "journal.jsonl").read_text().count("\n") > 1


def test_a_full_disk_keeps_what_is_finished_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "long.wav"
    sf.write(source, np.tile(chord(2), (10, 1)), 8000)
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, {resource.RLIM_INFINITY}));"
        "from babe2.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = command(source)[3:]
    full = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert full.returncode == 1 and "Traceback" not in full.stderr, full.stderr
    assert "cannot be written" in full.stderr and "go on with --resume" in full.stderr
    assert not (tmp_path / "long.restored.wav").exists()
    again = subprocess.run(command(source, "--resume"), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.restored.wav", "long.wav"]
