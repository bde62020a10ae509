"""`babe2 report`: what restorations were told of, as pages to be opened, sent and printed."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babe2 import RestorationError
from babe2.commands.options import new_command
from babe2.commands.targets import check_distinct, check_file
from babe2.commands.terminal import say
from babe2.extras import require
from babe2.report.finished import HEARD_SECONDS, MOST_SECONDS, PAGES, FinishedRun, finished_runs

if TYPE_CHECKING:  # it draws, and so takes a second to load
    from babe2.report.html_pages import IndexedPages


def add_command(subparsers: Any) -> None:
    about = "Make a page of a restoration: to hear, to see, to read and to print, without a network."
    parser = new_command(subparsers, "report", run_report, about)
    words = "a report (--report), an evidence pack, a restored file with its report beside it, or a folder of such"
    parser.add_argument("places", nargs="+", metavar="PLACE", type=Path, help=words)
    words = "the page; of several recordings it is an index, and FILE.pages beside it has a page for each"
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path("report.html"), help=words)
    words = f"how much of a recording can be heard in its page: its liveliest part (default {HEARD_SECONDS:g})"
    parser.add_argument("--seconds", type=float, default=HEARD_SECONDS, metavar="S", help=words)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def run_report(options: argparse.Namespace) -> int:
    require("plots")
    from babe2.report.html_pages import IndexedPages, write_page

    if not 1 <= options.seconds <= MOST_SECONDS:
        raise RestorationError(f"A page holds 1 to {MOST_SECONDS:.0f} seconds of sound. Choose --seconds.")
    runs = [run for place in options.places for run in finished_runs(place)]
    check_page(options.output, overwrite=options.overwrite, folder=len(runs) > 1)
    files = [path for run in runs for path in (run.recording, run.restored) if path is not None]
    check_distinct([*files, *(place for place in options.places if place.is_file())], [options.output])
    if len(runs) == 1:
        print(write_page(runs[0], options.output, options.seconds))
        return 0
    pages, failed = IndexedPages(options.output, options.seconds), 0
    for number, run in enumerate(runs, start=1):
        say(f"page {number}/{len(runs)}: {run.name}")
        failed += not added(pages, run)
    print(options.output)
    return 1 if failed else 0


def check_page(path: Path, *, overwrite: bool, folder: bool) -> None:
    """Refuses a page, or an index with its `folder` of pages, that could not be written later."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise RestorationError(f"{path} is no name for a page. Choose one that ends in .html.")
    check_file(path, overwrite=overwrite)
    pages = path.with_name(path.stem + PAGES)
    if folder and pages.exists() and not overwrite:
        raise RestorationError(f"{pages} exists already. Choose another place or add --overwrite.")


def added(pages: IndexedPages, run: FinishedRun, anew: bool = True) -> bool:
    """Adds the page of a run; where that cannot be, the index says why, and the others go on."""
    try:
        pages.add(run, anew)
        return True
    except RestorationError as error:
        say(f"{run.name}: {error}")
        pages.add(replace(run, report={**run.report, "error": f"Its page could not be made. {error}"}))
        return False
