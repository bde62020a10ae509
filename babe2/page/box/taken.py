"""All that is done of a box as one ZIP: the restored files, and the table of all figures."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

from babe2.errors import RestorationError
from babe2.page.box.sides import Box, Side, State
from babe2.replacing import replacing
from babe2.report.figures_table import Table
from babe2.report.recipe import fingerprint, portable

ZIP = "babe2-box.zip"


def packed(box: Box, folder: Path) -> Path:
    """Writes the ZIP into a folder, and returns where. Failures are in its table only."""
    done = [side for side in box.sides if side.file is not None]
    if not done:
        raise RestorationError("Nothing in the box is restored yet, so there is nothing to take.")
    table = Table(folder)
    for side in box.sides:
        if side.file is not None or side.state == State.FAILED:
            table.note(report_of(side))
    path = folder / ZIP
    try:
        with replacing(path) as new, zipfile.ZipFile(new, "x") as archive:
            archive.write(table.path, table.path.name, zipfile.ZIP_DEFLATED)
            for side in done:
                assert side.file is not None
                with side.file.open("rb") as source, archive.open(side.file.name, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target)
    except OSError as error:
        raise RestorationError(f"The ZIP cannot be written ({error.strerror}). Take the files one by one.") from None
    return path


def report_of(side: Side) -> dict[str, Any]:
    """What there is to report of a side, as a folder's restoration reports it."""
    if side.outcome is None or side.file is None:
        return {"input": side.name, "error": side.words}
    outcome = side.outcome
    report = portable(outcome.report) if "checkpoint" in outcome.report else outcome.report  # a chain has several
    return report | {
        "input": side.name,
        "output": side.file.name,
        "verdict": side.words,
        "warnings": [*report["warnings"], *(outcome.found.warnings if outcome.found.imagines else [])],
        "result": {"name": side.file.name, **fingerprint(side.file)},
    }
