"""What a restoration keeps on disk while it runs, and how it goes on from there."""

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Semaphore, get_ident
from typing import Any

import numpy as np
import programs
import pytest
import soundfile as sf
import torch
from conftest import CHECKPOINT, QUICK
from music import chord

from babe2 import Cancelled, Restoration, RestorationError, Restorer, Step
from babe2.dsp.curves import SampledCurve
from babe2.equalizer import Equalizer, Flank, noted, recalled
from babe2.process import thread_count, threads
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


def finished(folder: Path, count: int = 3) -> Path:
    """A journal of so many segments of ten samples; its file."""
    journal = Journal(folder, ABOUT)
    tape = journal.blank("segments", 1)
    for i in range(count):
        tape.write(10 * i, torch.full((1, 10), float(i + 1)))
        journal.note(RECORD | {"segments": [i]})
    journal.close()
    return folder / "journal.jsonl"


def kept(folder: Path, about: dict[str, object] = ABOUT) -> tuple[list[int], list[str]]:
    """The segments that a run goes on with, and what is said of the others."""
    journal = Journal(folder, about, "resume")
    tape, segments = journal.blank("segments", 1), [i for record in journal.records for i in record["segments"]]
    for i in segments:
        assert tape.read(10 * i, 10 * i + 10).eq(i + 1).all()
    journal.close()
    return segments, journal.warnings


def test_what_was_begun_otherwise_is_not_gone_on_with(tmp_path: Path) -> None:
    finished(tmp_path / "j")
    other = ABOUT | {"seed": 1, "settings": {"steps": 6, "overlap": 0.1}}
    with pytest.raises(RestorationError, match=r"was begun otherwise \(seed, steps\)"):
        Journal(tmp_path / "j", other, "resume")
    assert kept(tmp_path / "j") == ([0, 1, 2], [])
    Journal(tmp_path / "j", other, "discard").discard()
    assert list(tmp_path.iterdir()) == []


def test_finished_segments_are_thrown_away_on_request_only(tmp_path: Path) -> None:
    finished(tmp_path / "j")
    with pytest.raises(RestorationError, match=r"with 3 finished segments\. Go on with it with --resume, or remove"):
        Journal(tmp_path / "j", ABOUT)
    assert kept(tmp_path / "j") == ([0, 1, 2], [])
    again = Journal(tmp_path / "j", ABOUT, "discard")
    assert again.records == [] and not again.blank("segments", 1).samples
    again.close()


def test_where_nothing_was_finished_nothing_is_asked(tmp_path: Path) -> None:
    Journal(tmp_path / "j", ABOUT).close()
    journal = Journal(tmp_path / "j", ABOUT | {"seed": 1})
    journal.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_threads_of_the_first_run_are_kept(tmp_path: Path) -> None:
    Journal(tmp_path / "j", ABOUT).close()
    again = Journal(tmp_path / "j", ABOUT | {"threads": 2}, "resume")
    assert again.begun["threads"] == 1
    again.discard()


@pytest.mark.parametrize("unfinished", ["refuse", "resume"])
def test_silence_that_was_laid_before_anything_was_finished_is_nothing_to_go_on_with(
    tmp_path: Path, unfinished: Unfinished
) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.blank("segments", 1).write(10, torch.zeros(1, 10))
    journal.close()
    again = Journal(tmp_path / "j", ABOUT, unfinished)
    assert again.warnings == [] and not again.blank("segments", 1).samples
    again.discard()


def test_why_nothing_of_it_is_whole_is_said_with_the_refusal(tmp_path: Path) -> None:
    lines = lines_of(path := finished(tmp_path / "j"))
    path.write_bytes(lines[0] + lines[1][:-5])
    with pytest.raises(RestorationError, match=r"with 0 finished segments\. Line 2 of .* is damaged\. Go on"):
        Journal(tmp_path / "j", ABOUT)


def test_a_result_is_written_in_the_journal_until_it_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    draft = journal.draft(tmp_path / "x.wav")
    assert draft is not None
    os.close(draft.create())
    assert (tmp_path / "j" / "result").exists()
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


# Damage


@pytest.mark.parametrize("rubbish", [b"\0" * 50, b"\xff\xfe\x80 gone\n", b"[1]\n", b'{"segments": \n', b"[" * 10**5])
def test_what_is_no_line_at_all_costs_no_line_before_it_and_is_said(tmp_path: Path, rubbish: bytes) -> None:
    path = finished(tmp_path / "j")
    whole = path.read_bytes()
    path.write_bytes(whole + rubbish)
    segments, (warning,) = kept(tmp_path / "j")
    assert segments == [0, 1, 2] and "Line 5 of" in warning and "3 finished segments could be kept" in warning
    assert path.read_bytes() == whole


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("place", [5, 60, -20])
def test_a_flipped_bit_in_a_line_costs_that_line_and_those_after_it(tmp_path: Path, number: int, place: int) -> None:
    lines = lines_of(path := finished(tmp_path / "j"))
    line = bytearray(lines[number - 1])
    line[place] ^= 1
    lines[number - 1] = bytes(line)
    path.write_bytes(b"".join(lines))
    segments, (warning,) = kept(tmp_path / "j")
    assert segments == list(range(number - 2)) and f"Line {number} of" in warning and "is made again" in warning


@pytest.mark.parametrize("order", [[0, 2, 3], [0, 1, 3], [0, 2, 1, 3], [0, 1, 1, 2, 3], [0, 1, 3, 2]])
def test_lines_that_are_missing_or_moved_or_doubled_are_noticed(tmp_path: Path, order: list[int]) -> None:
    lines = lines_of(path := finished(tmp_path / "j"))
    path.write_bytes(b"".join(lines[i] for i in order))
    whole = next(i for i, number in enumerate(order) if i != number)
    segments, (warning,) = kept(tmp_path / "j")
    assert segments == list(range(whole - 1)) and f"Line {whole + 1} of" in warning


@pytest.mark.parametrize(
    "field",
    [
        {"segments": "x"},
        {"segments": [-1]},
        {"segments": [True]},
        {"shares": [2.0]},
        {"misfit": None},
        {"equalizer": 3},
        {"history": [[1.0]]},
        {"evaluations": "many"},
        {"batch": 0},
    ],
    ids=str,
)
def test_a_field_of_another_kind_is_damage_however_well_its_line_is_signed(
    tmp_path: Path, field: dict[str, object]
) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    journal.note(RECORD)
    journal.note(RECORD | field)
    journal.close()
    again = Journal(tmp_path / "j", ABOUT, "resume")
    assert again.records == [RECORD] and "Line 3 of" in again.warnings[0]
    again.discard()


@pytest.mark.parametrize("damage", ["flip", "zeros", "cut", "gone"])
def test_samples_that_are_not_those_that_were_finished_are_made_again(tmp_path: Path, damage: str) -> None:
    tape = finished(tmp_path / "j").with_name("segments.f32")
    raw = bytearray(tape.read_bytes())
    if damage == "flip":
        raw[45] ^= 1
    elif damage == "zeros":
        raw[40:80] = bytes(40)
    tape.write_bytes(raw[:60] if damage == "cut" else raw)
    if damage == "gone":
        tape.unlink()
    segments, (warning,) = kept(tmp_path / "j")
    assert segments == ([] if damage == "gone" else [0])
    assert "A finished segment in" in warning and "is made again" in warning


def test_what_is_written_again_as_it_was_stays_vouched_for(tmp_path: Path) -> None:
    finished(tmp_path / "j", 1)
    journal = Journal(tmp_path / "j", ABOUT, "resume")
    tape = journal.blank("segments", 1)
    tape.write(0, torch.ones(1, 10))  # silence, above all, is laid by every run
    tape.write(10, torch.full((1, 10), 2.0))
    journal.note(RECORD | {"segments": [1]})
    journal.close()
    assert kept(tmp_path / "j") == ([0, 1], [])


def test_a_damaged_first_line_is_no_loss_where_the_next_vouches_for_it(tmp_path: Path) -> None:
    path = finished(tmp_path / "j")
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    segments, (warning,) = kept(tmp_path / "j")
    assert segments == [0, 1, 2] and "Line 1 of" in warning
    assert path.read_bytes() == whole


@pytest.mark.parametrize("unfinished", ["refuse", "resume"])
@pytest.mark.parametrize("damage", ["asked otherwise", "emptied", "all but the first line", "gone", "a diary"])
def test_no_work_is_thrown_away_because_nobody_can_tell_how_it_was_begun(
    tmp_path: Path, damage: str, unfinished: Unfinished
) -> None:
    path, about = finished(tmp_path / "j"), ABOUT
    whole = path.read_bytes()
    if damage == "asked otherwise":
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        about = ABOUT | {"seed": 1}
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "all but the first line":
        path.write_bytes(b"".join(lines_of(path)[1:]))
    elif damage == "gone":
        path.unlink()
    else:
        path.write_text('{"dear": "diary"}\n')
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "j").iterdir()}
    with pytest.raises(RestorationError, match="what was finished cannot be told"):
        Journal(tmp_path / "j", about, unfinished)
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "j").iterdir()} == before


def test_a_journal_that_cannot_be_read_stays(tmp_path: Path) -> None:
    path = finished(tmp_path / "j")
    path.rename(tmp_path / "aside")
    path.mkdir()
    with pytest.raises(RestorationError, match="no file of its own"):
        Journal(tmp_path / "j", ABOUT, "resume")
    path.rmdir()
    (tmp_path / "aside").rename(path)
    assert kept(tmp_path / "j") == ([0, 1, 2], [])


# Whose fault it is


def test_a_file_where_the_folder_should_be_stays(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("mine")
    with pytest.raises(RestorationError, match=r"is a file, where a folder .* Move it away"):
        Journal(tmp_path / "k", ABOUT)
    assert (tmp_path / "k").read_text() == "mine"


def test_what_goes_wrong_elsewhere_is_not_told_as_a_full_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    with pytest.raises(BrokenPipeError), journal.kept():
        raise BrokenPipeError
    assert list(tmp_path.iterdir()) == []  # nothing was finished
    finished(tmp_path / "j")
    journal = Journal(tmp_path / "j", ABOUT, "resume")
    with pytest.raises(BrokenPipeError), journal.kept():
        raise BrokenPipeError
    assert kept(tmp_path / "j") == ([0, 1, 2], [])


def test_a_folder_that_is_not_there_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match=r"No such file or directory\)\. Choose another place"):
        Journal(tmp_path / "missing" / "j", ABOUT)


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
        with pytest.raises(RestorationError, match="What is finished is kept"):
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
    return ["-m", "babe2", "restore", *map(str, (source, *more)), "--checkpoint", CHECKPOINT, *QUICK]


def killed_at_random_moments(folder: Path, kills: int, seconds: int, *wishes: object) -> None:
    """However often it is killed, the result is that of a run nobody disturbed, to the last bit."""
    source, target, choose = folder / "long.wav", folder / "long.restored.wav", random.Random(kills)
    sf.write(source, np.tile(chord(1, channels=2), (seconds, 1)), 8000)
    began = time.monotonic()
    programs.run(*command(source, "-o", folder / "whole.wav", *wishes)).check_returncode()
    longest, whole = time.monotonic() - began, sf.read(folder / "whole.wav")[0]
    while kills > 0:
        process = programs.start(*command(source, "--resume", *wishes))
        try:
            _, said = process.communicate(timeout=choose.uniform(0.3, 1) * longest)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills -= 1
            continue
        assert process.returncode == 0, said
        np.testing.assert_array_equal(sf.read(target)[0], whole)
        target.unlink()
    target.unlink(missing_ok=True)
    programs.run(*command(source, "--resume", *wishes)).check_returncode()
    np.testing.assert_array_equal(sf.read(target)[0], whole)
    assert sorted(path.name for path in folder.iterdir()) == ["long.restored.wav", "long.wav", "whole.wav"]


def test_a_killed_restoration_goes_on_to_the_same_result(tmp_path: Path) -> None:
    killed_at_random_moments(tmp_path, 1, 5)


@pytest.mark.slow
@pytest.mark.parametrize("wishes", [[], ["--set", "mode=time-invariant", "--set", "blind_segments=3"]])
def test_a_restoration_killed_again_and_again_goes_on_to_the_same_result(tmp_path: Path, wishes: list[str]) -> None:
    killed_at_random_moments(tmp_path, 20, 20, *wishes)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "wishes",
    [
        {},
        pytest.param({"batch": 2}, marks=pytest.mark.slow),
        pytest.param({"solver": "guided", "sigma_min": 0.1, "filter_iterations": 1}, marks=pytest.mark.slow),
        {"solver": "guided", "sigma_min": 0.1, "filter_iterations": 1, "mode": "time-invariant", "blind_segments": 3},
        pytest.param({"preset": "paper", "sigma_min": 0.1, "filter_iterations": 1}, marks=pytest.mark.slow),
    ],
    ids=["closed-form", "together", "guided", "time-invariant", "paper"],
)
@pytest.mark.parametrize("stop", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_stopped_restoration_goes_on_in_the_same_program(
    tmp_path: Path, stop: int, wishes: dict[str, object]
) -> None:
    restorer, source = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav"
    sf.write(source, np.tile(chord(1), (5 if stop == 1 else 9, 1)), 8000)
    quick = {"steps": 2}
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


def stopped_after(count: int, restorer: Restorer, source: Path, folder: Path, **wishes: Any) -> None:
    """Leaves a journal of which something is finished, and something is not."""
    taken: list[object] = []
    with pytest.raises(Cancelled) as stopped:
        restorer.restore_file(source, folder, on_step=taken.append, cancelled=lambda: len(taken) >= count, **wishes)
    assert stopped.value.partial is not None
    stopped.value.partial.storage.close()


@pytest.mark.thorough
def test_restorations_with_other_numbers_of_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    """While one that was begun with two threads goes on, another one does, and a new one begins."""
    restorer, source, usual = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav", thread_count()
    sf.write(source, chord(1), 8000, subtype="FLOAT")
    whole, seen = {}, dict[int, list[int]]()
    for count in (2, usual):
        with threads(count):
            whole[count] = restorer.restore_file(source, tmp_path / f"whole {count}", steps=2)
            stopped_after(3, restorer, source, tmp_path / f"j {count}", steps=2)
    began, is_over = Semaphore(0), Event()

    def other_asks_to_stop() -> bool:
        """Holds the others up, wherever they ask first, until the one with two threads is over."""
        began.release()
        return not is_over.wait(60)

    def go_on(count: int, cancelled: Callable[[], bool] = lambda: False) -> Restoration:
        options = {"on_step": note, "cancelled": cancelled, "steps": 2}
        return restorer.restore_file(source, tmp_path / f"j {count}", unfinished="resume", **options)

    def begin_anew() -> Restoration:
        sound, rate = sf.read(source, dtype="float32")
        return restorer.restore(sound, rate, on_step=note, cancelled=other_asks_to_stop, steps=2)

    def note(step: Step) -> None:
        seen.setdefault(get_ident(), []).append(torch.get_num_threads())
        if not others:
            others.extend((pool.submit(go_on, usual, other_asks_to_stop), pool.submit(begin_anew)))
            assert began.acquire(timeout=60) and began.acquire(timeout=60)

    others: list[Future[Restoration]] = []
    with ThreadPoolExecutor(2) as pool:
        found = [go_on(2)]
        is_over.set()
        found += [other.result() for other in others]
    assert seen.pop(get_ident()) == [2, 2] and {n for numbers in seen.values() for n in numbers} == {usual}
    assert [restoration.report["threads"] for restoration in found] == [2, usual, usual]
    for restoration, count in zip(found, (2, usual, usual), strict=True):
        np.testing.assert_array_equal(restoration.audio, whole[count].audio)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == usual
    for restoration in (*found, *whole.values()):
        restoration.storage.discard()


def test_a_seed_that_was_drawn_is_gone_on_with(tmp_path: Path) -> None:
    restorer, source = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav"
    sf.write(source, np.tile(chord(1), (3, 1)), 8000)
    stopped_after(4, restorer, source, tmp_path / "j", steps=2, seed=None)
    with pytest.raises(RestorationError, match=r"begun otherwise \(seed\)"):
        restorer.restore_file(source, tmp_path / "j", unfinished="resume", steps=2, seed=0)
    found = restorer.restore_file(source, tmp_path / "j", unfinished="resume", steps=2, seed=None)
    whole = restorer.restore_file(source, tmp_path / "whole", steps=2, seed=found.seed)
    np.testing.assert_array_equal(found.audio, whole.audio)
    assert found.report["seed"] == found.seed
    for restoration in (found, whole):
        restoration.storage.discard()
    again = restorer.restore_file(source, tmp_path / "j", steps=2, seed=None)
    assert again.seed != found.seed  # a new one is drawn where nothing is gone on with
    again.storage.discard()


@pytest.mark.slow  # it compiles
def test_what_changes_the_last_bits_of_the_network_is_gone_on_with_as_it_was(tmp_path: Path) -> None:
    source, load = tmp_path / "x.wav", partial(Restorer.from_checkpoint, CHECKPOINT, device="cpu")
    sf.write(source, np.tile(chord(1), (3, 1)), 8000)
    stopped_after(4, load(), source, tmp_path / "j", steps=2)
    for choice, name in (({"compile": True}, "compile"), ({"precision": "bfloat16"}, "precision")):
        with pytest.raises(RestorationError, match=rf"begun otherwise \({name}\)"):
            load(**choice).restore_file(source, tmp_path / "j", unfinished="resume", steps=2)
    whole = load().restore_file(source, tmp_path / "whole", steps=2)
    found = load(save_memory=True).restore_file(source, tmp_path / "j", unfinished="resume", steps=2)
    np.testing.assert_array_equal(found.audio, whole.audio)  # which saving memory does not
    for restoration in (found, whole):
        restoration.storage.discard()


@pytest.mark.parametrize("unfinished", ["refuse", pytest.param("resume", marks=pytest.mark.slow)])
def test_a_restoration_killed_before_anything_was_finished_begins_anew_without_a_word(
    tmp_path: Path, unfinished: Unfinished
) -> None:
    source, sound = tmp_path / "x.wav", chord(1)
    sf.write(source, np.concatenate([sound, np.zeros((30_000, 1)), sound]), 8000)  # silence of a segment and more
    killed = (
        "import os, signal; from babe2 import Restorer;"
        f"restorer = Restorer.from_checkpoint({CHECKPOINT!r}, device='cpu');"
        f"restorer.restore_file({str(source)!r}, {str(tmp_path / 'j')!r}, steps=2,"
        " on_step=lambda step: os.kill(os.getpid(), signal.SIGKILL))"
    )
    assert programs.run("-c", killed).returncode == -signal.SIGKILL
    assert (tmp_path / "j" / "segments.f32").stat().st_size > 0
    restorer = Restorer.from_checkpoint(CHECKPOINT, device="cpu")
    found = restorer.restore_file(source, tmp_path / "j", unfinished=unfinished, steps=2)
    whole = restorer.restore_file(source, tmp_path / "whole", steps=2)
    np.testing.assert_array_equal(found.audio, whole.audio)
    assert found.report["warnings"] == whole.report["warnings"]
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


@pytest.mark.parametrize(
    "lost",
    ["a bit", *(pytest.param(lost, marks=pytest.mark.slow) for lost in ("all", "the end", "a line"))],
)
def test_finished_sound_that_is_gone_is_made_again_to_the_last_bit(tmp_path: Path, lost: str) -> None:
    restorer, source = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav"
    sf.write(source, np.tile(chord(1), (5, 1)), 8000)
    whole = restorer.restore_file(source, tmp_path / "whole", steps=2)
    stopped_after(7, restorer, source, tmp_path / "j", steps=2)
    tape = tmp_path / "j" / "segments.f32"
    if lost == "all":
        tape.unlink()
    elif lost == "the end":
        os.truncate(tape, tape.stat().st_size - 4)
    elif lost == "a bit":
        raw = bytearray(tape.read_bytes())
        raw[2 * len(raw) // 3] ^= 1
        tape.write_bytes(raw)
    else:
        path = tape.with_name("journal.jsonl")
        path.write_bytes(b"".join(line for i, line in enumerate(lines_of(path)) if i != 2))
    found = restorer.restore_file(source, tmp_path / "j", unfinished="resume", steps=2)
    np.testing.assert_array_equal(found.audio, whole.audio)
    assert "is damaged" in found.report["warnings"][0]
    for restoration in (found, whole):
        restoration.storage.discard()


def test_what_a_callback_does_wrong_is_its_own(tmp_path: Path) -> None:
    restorer, source = Restorer.from_checkpoint(CHECKPOINT, device="cpu"), tmp_path / "x.wav"
    sf.write(source, chord(1), 8000)

    def broken(step: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        restorer.restore_file(source, tmp_path / "j", on_step=broken, steps=2)
    assert not (tmp_path / "j").exists()


def test_a_full_disk_keeps_what_is_finished_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "long.wav"
    sf.write(source, np.tile(chord(1), (5, 1)), 8000)
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, {resource.RLIM_INFINITY}));"
        "from babe2.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    full = programs.run("-c", script, *command(source)[2:])
    assert full.returncode == 1 and "Traceback" not in full.stderr, full.stderr
    assert "cannot be kept in" in full.stderr and "go on with --resume" in full.stderr
    assert not (tmp_path / "long.restored.wav").exists()
    again = programs.run(*command(source, "--resume"))
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.restored.wav", "long.wav"]
