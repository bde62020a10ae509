"""Whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from babe2.replacing import replacing, write_text


def test_what_was_written_takes_the_place_of_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "older")
    write_text(path, "newer, ½")
    assert path.read_text("utf-8") == "newer, ½"
    assert list(tmp_path.iterdir()) == [path]


def test_the_older_file_stays_until_then_and_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "older")
    with pytest.raises(ZeroDivisionError), replacing(path) as new:
        new.write_text("half of")
        assert path.read_text() == "older" and new.name.startswith(".") and new.suffix == ".json"
        _ = 1 / 0
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_can_be_put_there_too(tmp_path: Path) -> None:
    path = tmp_path / "pointer"
    write_text(path, "older")
    with replacing(path) as new:
        new.symlink_to("blob")
    assert path.is_symlink() and path.readlink() == Path("blob")


def test_what_writes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "missing" / "a"):
        pass
