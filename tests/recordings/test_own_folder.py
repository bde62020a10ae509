"""Nothing outside a journal is read, written, cut or removed, whichever of its names is a link."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from conftest import CHECKPOINT
from music import chord

from babe2 import RestorationError, Restorer
from babe2.audio import write, write_blocks
from babe2.recordings.journal import DRAFT, OURS, Journal, Unfinished
from babe2.recordings.own_folder import LOCK, OwnFolder

ABOUT = {"seed": 0, "threads": 1}
VICTIM = b"the only copy of somebody's thesis"


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint(CHECKPOINT, device="cpu")


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of somebody else, which must be there afterwards as it was."""
    path = tmp_path / "victim" / "thesis"
    path.parent.mkdir()
    path.write_bytes(VICTIM)
    for name in (*OURS, LOCK):
        (path.parent / name).write_bytes(VICTIM)
    yield path
    assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == dict.fromkeys(
        ("thesis", *OURS, LOCK), VICTIM
    )


def restored(restorer: Restorer, folder: Path, unfinished: Unfinished) -> None:
    """A whole restoration beside which a journal called j lies; it may be refused."""
    source = folder / "x.wav"
    sf.write(source, chord(1), 8000)
    try:
        restoration = restorer.restore_file(source, folder / "j", unfinished=unfinished, steps=2)
    except RestorationError as error:
        assert "is a link, or no file of its own" in str(error) or "journal.jsonl is gone" in str(error)
        return
    restoration.save(folder / "y.wav", overwrite=False)
    restoration.storage.discard()
    assert sf.info(folder / "y.wav").frames == 8000 and not (folder / "y.wav").is_symlink()


@pytest.mark.parametrize("unfinished", ["refuse", "resume", "discard"])
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
@pytest.mark.parametrize("name", [*OURS, LOCK])
def test_a_name_in_the_journal_that_leads_to_another_file_harms_none(
    tmp_path: Path,
    victim: Path,
    restorer: Restorer,
    name: str,
    link: Callable[[Path, Path], None],
    unfinished: Unfinished,
) -> None:
    (tmp_path / "j").mkdir()
    link(victim, tmp_path / "j" / name)
    restored(restorer, tmp_path, unfinished)


@pytest.mark.parametrize("unfinished", ["refuse", "resume", "discard"])
@pytest.mark.parametrize("name", [*OURS, LOCK])
def test_a_link_that_leads_nowhere_makes_no_file_there(
    tmp_path: Path, restorer: Restorer, name: str, unfinished: Unfinished
) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / name).symlink_to(tmp_path / "nowhere")
    restored(restorer, tmp_path, unfinished)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("unfinished", ["refuse", "resume", "discard"])
def test_a_folder_that_is_a_link_is_refused(
    tmp_path: Path, victim: Path, restorer: Restorer, unfinished: Unfinished
) -> None:
    (tmp_path / "j").symlink_to(victim.parent)
    with pytest.raises(RestorationError, match=r"j is a link, .* Remove the link"):
        Journal(tmp_path / "j", ABOUT, unfinished)


def test_a_folder_that_becomes_a_link_while_it_is_worked_in_is_not_followed(
    tmp_path: Path, victim: Path, restorer: Restorer
) -> None:
    source = tmp_path / "x.wav"
    sf.write(source, chord(1), 8000)
    restoration = restorer.restore_file(source, tmp_path / "j", steps=2)
    (tmp_path / "j").rename(tmp_path / "aside")
    (tmp_path / "j").symlink_to(victim.parent)
    restoration.save(tmp_path / "y.wav")
    restoration.storage.discard()
    assert sf.info(tmp_path / "y.wav").frames == 8000
    assert (tmp_path / "j").is_symlink() and list((tmp_path / "aside").iterdir()) == []


def test_a_draft_whose_place_another_file_takes_is_not_published(tmp_path: Path, victim: Path) -> None:
    own = OwnFolder(tmp_path / "j")
    draft = own.draft(DRAFT)

    def blocks() -> Iterator[np.ndarray]:
        yield np.full((1, 1000), 0.1, np.float32)
        (tmp_path / "j" / DRAFT).unlink()  # while it is being written
        (tmp_path / "j" / DRAFT).symlink_to(victim)

    for overwrite in (False, True):
        with pytest.raises(RestorationError, match="put another file in its place"):
            write_blocks(tmp_path / "y.wav", blocks, 8000, draft=draft, overwrite=overwrite)
        assert not (tmp_path / "y.wav").exists()
    own.remove()


def test_a_draft_of_an_earlier_run_is_no_hindrance(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ABOUT)
    (tmp_path / "j" / DRAFT).write_bytes(b"half of it")
    draft = journal.draft(tmp_path / "y.wav")
    assert draft is not None
    write_blocks(tmp_path / "y.wav", lambda: [np.full((1, 1000), 0.1, np.float32)], 8000, draft=draft)
    journal.discard()
    assert [entry.name for entry in tmp_path.iterdir()] == ["y.wav"]


def test_a_result_over_a_link_replaces_the_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "y.wav").symlink_to(victim)
    write(tmp_path / "y.wav", np.full((1, 1000), 0.1, np.float32), 8000, overwrite=True)
    assert not (tmp_path / "y.wav").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of others")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    os.chown(tmp_path / "j", 12345, 12345)
    with pytest.raises(RestorationError, match="belongs to somebody else"):
        Journal(tmp_path / "j", ABOUT)
    assert list((tmp_path / "j").iterdir()) == [] and [entry.name for entry in tmp_path.iterdir()] == ["j"]


def test_a_lock_that_was_left_behind_locks_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / LOCK).touch()
    own = OwnFolder(tmp_path / "j")
    with pytest.raises(RestorationError, match="Somebody is at work"):
        OwnFolder(tmp_path / "j")
    own.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_waits_in_the_folder_like_a_pipe_stops_nobody(tmp_path: Path) -> None:
    for name in (*OURS, LOCK):
        (tmp_path / "j").mkdir(exist_ok=True)
        os.mkfifo(tmp_path / "j" / name)
        with suppress(RestorationError):
            journal = Journal(tmp_path / "j", ABOUT, "resume")
            journal.blank("segments", 1)
            journal.blank("recording", 1)
            journal.discard()
        (tmp_path / "j" / name).unlink(missing_ok=True)
