"""Whole folders: which recordings are in them, where their results go, and the table of all their figures."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babe2 import RestorationError
from babe2.commands.targets import RESTORED, make_folder, targets_of
from babe2.replacing import replacing

Report = Mapping[str, Any]
TABLE = "restorations.csv"
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
COLUMNS = (
    "input",
    "output",
    "state",  # done, skipped or failed
    "error",
    "verdict",
    "checkpoint",
    "method",
    "chain",
    "band_low_hz",
    "band_high_hz",
    "band_ends",
    "misfit",
    "evaluations",
    "seconds",
    "sha256",
    "warnings",
)


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


class Table:
    """The table of all figures, which is whole after every recording; of what an earlier run did, its row stays."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / TABLE
        self._rows = _rows_in(self.path)

    def note(self, report: Report) -> None:
        """Writes the row of a recording, in the place of the one that it had."""
        row = row_of(report)
        before = self._rows.get(row["input"])
        if row["state"] == "skipped" and before and before["state"] != "failed":
            row = before | {"state": "skipped"}
        self._rows[row["input"]] = row
        try:
            with replacing(self.path) as new, new.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(self._rows.values())
        except OSError as error:
            raise RestorationError(f"The table {self.path} cannot be written ({error.strerror}).") from None


def row_of(report: Report) -> dict[str, Any]:
    """The figures of one recording; of a chain, those of its restoration."""
    for stage in report.get("stages", []):
        if stage["stage"] == "restore":
            report = {**stage["found"], **report}
    band = report.get("band") or {}
    misfits = [segment["misfit"] for segment in report.get("segments", [])]
    state = "failed" if "error" in report else "skipped" if report.get("skipped") else "done"
    said = {
        "state": state,
        "verdict": report.get("verdict") or report.get("statement"),
        "method": report.get("solver"),
        "band_low_hz": band.get("low_hz"),
        "band_high_hz": band.get("high_hz"),
        "band_ends": band.get("ends"),
        "misfit": round(sum(misfits) / len(misfits), 4) if misfits else None,
        "sha256": (report.get("result") or {}).get("sha256"),
        "warnings": " ".join(report.get("warnings", [])),
    }
    row = {name: said.get(name, report.get(name)) for name in COLUMNS}
    return {name: "" if value is None else value for name, value in row.items()}


def _rows_in(path: Path) -> dict[str, dict[str, Any]]:
    """By input, the rows of a table that an earlier run has written."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return {}
    return {row["input"]: {name: row.get(name) or "" for name in COLUMNS} for row in rows if row.get("input")}
