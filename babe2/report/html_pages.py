"""Pages of runs as files: one page for one run, or a page for each of several and an index of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from babe2.errors import RestorationError
from babe2.replacing import write_text
from babe2.report.finished import HEARD_SECONDS, PAGES, FinishedRun, shown, unpacked
from babe2.report.html_page import Links, footer, page, plain_document
from babe2.report.markup import tag
from babe2.report.verdict import format_hertz
from babe2.wording import plain_name


def write_page(run: FinishedRun, path: Path, seconds: float = HEARD_SECONDS, index: Path | None = None) -> Path:
    """Writes the page of a run, of which `seconds` at most can be heard; it appears under its name when it is complete.

    Files that lie in the folder of the page, or of the `index` it belongs to, or below, are linked.
    """
    with unpacked(run) as whole:
        text = page(whole, Links(path, index), seconds)
    _write(path, text)
    return path


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, shown(text))
    except OSError as error:
        raise RestorationError(f"{path} cannot be written ({error.strerror}). Choose another place.") from None


@dataclass(frozen=True)
class _Row:
    """A run as the index has it."""

    name: str
    page: str  # its address, seen from the index; "" where there is none
    words: str
    band_end: str
    warnings: int
    failed: bool


class IndexedPages:
    """A page for each of several runs, and an index of them that is whole after every one; no sound stays in memory."""

    def __init__(self, index: Path, seconds: float = HEARD_SECONDS) -> None:
        self.index, self.seconds = index, seconds
        self.folder = index.with_name(index.stem + PAGES)
        self._rows: list[_Row] = []
        self._taken: set[str] = set()

    def add(self, run: FinishedRun, anew: bool = True) -> None:
        """Writes the page of a run, unless it is there and not wanted `anew`, and the index with it."""
        address = ""
        if not run.error:
            path = self.folder / self._free(run)
            if anew or not path.is_file():
                try:
                    self.folder.mkdir(exist_ok=True)
                except OSError as error:
                    raise RestorationError(f"{self.folder} cannot be a folder ({error.strerror}).") from None
                write_page(run, path, self.seconds, self.index)
            address = quote(f"{self.folder.name}/{path.name}")
        band = run.restoration.get("band") or {}
        ends = format_hertz(float(band["high_hz"])) if band.get("ends") and band.get("high_hz") else ""
        words = run.error or shown(str(run.report.get("verdict") or run.report.get("statement") or ""))
        row = _Row(run.name, address, words, ends, len(run.report.get("warnings") or []), bool(run.error))
        self._rows.append(row)
        _write(self.index, _index(self._rows))

    def _free(self, run: FinishedRun) -> str:
        """A name for a page that no other one has."""
        stem = plain_name(f"{Path(run.result or run.name).stem}")
        name, number = f"{stem}.html", 2
        while name.lower() in self._taken:
            name, number = f"{stem}-{number}.html", number + 1
        self._taken.add(name.lower())
        return name


def _index(rows: Iterable[_Row]) -> str:
    rows = list(rows)
    failed = sum(row.failed for row in rows)
    done = len(rows) - failed
    words = f"{done} recording{'s' if done != 1 else ''} restored{f', {failed} failed' if failed else ''}."
    head = ("Recording", "What was done", "Band ends at", "Warnings")
    lines = (
        tag(
            "tr",
            tag("th", tag("a", row.name, href=row.page) if row.page else row.name, scope="row"),
            tag("td", tag("strong", "Failed: ") if row.failed else None, row.words, data_head=head[1]),
            tag("td", row.band_end or "\N{EN DASH}", data_head=head[2]),
            tag("td", str(row.warnings) if row.warnings else "\N{EN DASH}", data_head=head[3]),
            class_="failed" if row.failed else None,
        )
        for row in rows
    )
    columns = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in head)))
    table = tag(
        "table", tag("caption", "All recordings", class_="spoken"), columns, tag("tbody", *lines), class_="index"
    )
    header = tag(
        "header",
        tag("p", "babe2 \N{MIDDLE DOT} report of restorations", class_="kicker"),
        tag("h1", "Restored recordings"),
        tag("p", words, class_="lead"),
    )
    return plain_document("Restored recordings: report", header, tag("main", table), footer())
