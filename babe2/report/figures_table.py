"""The table of all figures of several recordings: `restorations.csv`, a row for each."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babe2.errors import RestorationError
from babe2.replacing import replacing

Report = Mapping[str, Any]
TABLE = "restorations.csv"
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
