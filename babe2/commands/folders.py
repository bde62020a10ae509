"""Whole folders: which recordings are in them, and where their results go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from babe2 import RestorationError
from babe2.commands.targets import RESTORED, make_folder, targets_of

SOUNDS = frozenset(  # how the names of recordings end
    f".{ending}"
    for endings in (
        "wav bwf w64 rf64 aiff aif aifc flac ogg oga opus mp3 mp2",
        "m4a m4b aac mp4 mov mkv webm wma caf au",
    )
    for ending in endings.split()
)
MASTERED = ".mastered.wav"
OURS = (RESTORED, MASTERED, ".partial.wav")  # results of an earlier run


def recordings_and_targets(
    inputs: Sequence[Path], output: Path | None, ending: str = RESTORED
) -> tuple[list[Path], list[Path]]:
    """All recordings that are meant, those below folders among them, and where each result goes.

    What lies in a folder keeps its place below `output`.
    """
    if not any(path.is_dir() for path in inputs):
        return list(inputs), targets_of(inputs, output, ending)
    if output is None:
        raise RestorationError("A folder's results go to a folder: say which with -o DIR.")
    make_folder(output)
    plain = [path for path in inputs if not path.is_dir()]
    pairs = list(zip(plain, targets_of(plain, output, ending) if plain else [], strict=True))
    for folder in inputs:
        if folder.is_dir():
            found = recordings_below(folder, output)
            if not found:
                raise RestorationError(f"There is no recording in {folder} that we can read. Choose another folder.")
            pairs += _placed(folder, found, output, ending)
    return [path for path, _ in pairs], [target for _, target in pairs]


def recordings_below(folder: Path, output: Path, *, without: tuple[str, ...] = OURS) -> list[Path]:
    """The recordings in a folder and all folders inside it, without hidden ones, `output` and names that end as told.

    By default those are the results that we have written ourselves.
    """
    found = []
    for place, folders, names in os.walk(folder):  # which follows no links
        inside = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not _same(inside / name, output) and not name.endswith(".journal")
        )
        found += [
            inside / name
            for name in sorted(names)
            if Path(name).suffix.lower() in SOUNDS and not name.startswith(".") and not name.endswith(without)
        ]
    return found


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _placed(folder: Path, found: Sequence[Path], output: Path, ending: str) -> list[tuple[Path, Path]]:
    """Each recording with its result's place; two that differ in their extension only keep it in the result's name."""
    stems = [path.with_suffix("") for path in found]
    pairs = []
    for path, stem in zip(found, stems, strict=True):
        inside = path.parent.relative_to(folder)
        make_folder(output / inside)
        name = path.stem if stems.count(stem) == 1 else path.name
        pairs.append((path, output / inside / f"{name}{ending}"))
    return pairs
