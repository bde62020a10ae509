"""Where results are written: chosen, and checked before hours of work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from babe2 import audio
from babe2.errors import RestorationError
from babe2.replacing import write_text

RESTORED = ".restored.wav"  # how the names of results end, where nobody names them
LONGEST_NAME = 240  # bytes, so that a number still fits


def targets_of(inputs: Sequence[Path], output: Path | None, ending: str = RESTORED) -> list[Path]:
    """For each input the file that its restoration is written to: `output`, inside that folder, or beside the input."""
    for path in inputs:
        if not path.name:
            raise RestorationError(f"{path} is a folder, not a recording. Choose a file inside it.")
    names = [f"{path.stem}{ending}" for path in inputs]
    if output is None:
        return [path.with_name(name) for path, name in zip(inputs, names, strict=True)]
    if len(names) == 1 and not os.path.isdir(output):
        return [output]
    with suppress(OSError):  # whatever stands in the way is told when a file is to be written there
        output.mkdir(exist_ok=True)
    return [output / name for name in names]


def check_distinct(inputs: Sequence[Path], written: Sequence[Path]) -> None:
    """Refuses to write over an input, and to write two results to one file."""
    originals = {os.path.realpath(path) for path in inputs}
    places = [os.path.realpath(path) for path in written]
    for path, place in zip(written, places, strict=True):
        if place in originals:
            raise RestorationError(f"{path} is an input; choose another output, so that the original stays.")
        if places.count(place) > 1:
            raise RestorationError(f"Several results would be written to {path}. Restore those recordings one by one.")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Refuses a report or a picture that could not be written later."""
    if path.exists() and not overwrite:
        raise RestorationError(f"{path} exists already. Choose another place or add --overwrite.")
    if path.is_dir():
        raise RestorationError(f"{path} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise RestorationError(f"The folder of {path} does not exist. Make it first, or choose another place.")
    _check_folder(path.parent, f"{path} cannot be written")


def make_folder(folder: Path) -> None:
    """Makes a folder that files are written into, or says why that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestorationError(f"{folder} cannot be a folder to write to ({error.strerror}).") from None
    _check_folder(folder, f"Nothing can be written to {folder}")


def _check_folder(folder: Path, told: str) -> None:
    probe = folder / f".babe2-{os.getpid()}"  # permissions alone do not tell
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise RestorationError(f"{told} ({error.strerror}). Choose another place.") from None


def check_recording(path: Path, *, subtype: str | None = None, overwrite: bool = False) -> None:
    """Refuses a sound file that could not be written later."""
    audio.check_target(path, subtype=subtype, overwrite=overwrite)


def beside(target: Path, name: str) -> Path:
    """A file of that name beside another one; a name too long for a disk is cut."""
    stem, suffix = os.path.splitext(name)
    while stem and len(os.fsencode(stem + suffix)) > LONGEST_NAME:
        stem = stem[:-1]
    return target.with_name(stem + suffix)


def next_free(path: Path) -> Path:
    """The path itself, or with the first number (NAME-2, NAME-3 ...) under which nothing lies yet."""
    candidate, number = path, 2
    while os.path.lexists(candidate):
        candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return candidate


def save_report(text: str, path: Path) -> None:
    """Writes a text for machines or people to where it was wished."""
    try:
        write_text(path, text + "\n")
    except OSError as error:
        raise RestorationError(f"{path} cannot be written ({error.strerror}). Choose another place.") from None
