"""`babe2 evaluate methods`: many recordings restored in many ways, and who is best."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from babe2.commands.judging.clips import add_clip_options, clips_asked
from babe2.commands.options import add_checkpoint_options, restorer_of, settings_of
from babe2.commands.targets import make_folder, save_report
from babe2.commands.terminal import INTERRUPTED, interruptible, progress_line, say
from babe2.degradations.families import OLD
from babe2.errors import Cancelled, RestorationError
from babe2.evaluation.contest.rows import RATIO, USUAL, Case, Kept, Row, Way
from babe2.evaluation.contest.run import run, tasks_of
from babe2.evaluation.contest.standings import as_dict, csv_text, latex, markdown, standings
from babe2.evaluation.synthetic import INFORMED, reference_of
from babe2.evaluation.visqol import EXTRA as VISQOL
from babe2.extras import require
from babe2.methods import names
from babe2.restorer import Restorer
from babe2.version import __version__


def add_contest(kinds: Any) -> None:
    about = "Restore recordings whose truth is known in several ways, and say who is best and how sure that is."
    parser = kinds.add_parser("methods", help=about, description=about)
    parser.set_defaults(run=run_methods, threads=1)  # of each job, so that scores do not depend on how many there are
    add_checkpoint_options(parser)
    add_clip_options(parser, "all but modern")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="for scores and tables; goes on where it stopped",
    )
    parser.add_argument(
        "--way",
        action="append",
        metavar="METHOD[:PRESET]",
        help=f"may be repeated (default {', '.join(USUAL)}); {RATIO} is a plain third-octave ratio to the average "
        "spectrum, informed is told the true response",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="at once, one core each (default: all cores)")


def run_methods(options: argparse.Namespace) -> int:
    require("plots")
    if options.visqol:
        require(VISQOL)
    ways = [Way.of(text, names()) for text in dict.fromkeys(options.way or USUAL)]
    restorer = restorer_of(options)
    settings = settings_of(options)
    check(restorer, ways, settings)
    clips = clips_asked(options, restorer)
    if len({name for name, _, _ in clips}) < len(clips):
        raise RestorationError("Two of these recordings have the same name. Rename one, as scores are kept by names.")
    families = list(dict.fromkeys(options.family or OLD))
    seeds = range(options.seed, options.seed + options.seeds)
    cases = [Case(name, family, seed) for name, _, _ in clips for family in families for seed in seeds]
    make_folder(options.output)
    kept = Kept.at(options.output, conditions(options, restorer, settings), options.overwrite)
    tasks = tasks_of(clips, cases, ways, kept, by_visqol=options.visqol, **settings)
    jobs = options.jobs if options.jobs is not None else len(os.sched_getaffinity(0))
    if not 1 <= jobs <= 256:
        raise RestorationError(f"Between 1 and 256 can be at work at once, not {jobs}.")
    done, count = 0, sum(len(task.ways) for task in tasks)
    try:
        with interruptible() as interrupted, progress_line("evaluate") as show:

            def keep(row: Row) -> None:
                nonlocal done
                kept.add(row)
                done += 1
                show(f"{done} of {count}: {row['way']}, {row['clip']}, {row['family']}")

            run(tasks, partial(restorer_of, options), min(jobs, max(1, len(tasks))), keep, interrupted)
    except Cancelled:
        say(f"stopped after {done} of {count}; the same command goes on.")
        return INTERRUPTED
    report = write_standings(options.output, kept.of(cases, ways))
    print(json.dumps(report, indent=2) if options.json else (options.output / "table.md").read_text("utf-8"), end="")
    return 0


def check(restorer: Restorer, ways: list[Way], settings: dict[str, Any]) -> None:
    """Refuses what no recording could be restored with, before the first one is."""
    reference_of(restorer)
    known: set[str] = set()
    for way in ways:
        if way.method == RATIO:
            continue
        told = way.method == INFORMED
        used = restorer.used(way.method, way.preset, response_known=told, **settings)
        restorer.method(way.method, way.preset, response_known=told, **used)
        known |= used.keys()
    if idle := sorted(settings.keys() - known):
        raise RestorationError(
            f"None of these ways has a setting {', '.join(idle):.80}. `babe2 info --settings` lists all."
        )


def conditions(options: argparse.Namespace, restorer: Restorer, settings: dict[str, Any]) -> dict[str, Any]:
    """What all scores of one folder have in common."""
    return {
        "babe2": __version__,
        "checkpoint": restorer.name,
        "sha256": restorer.sha256,
        "seconds": options.seconds,
        "precision": options.precision,
        "device": options.device,
        "settings": {name: str(value) for name, value in sorted(settings.items())},
    } | ({"visqol": True} if options.visqol else {})


def write_standings(folder: Path, rows: list[Row]) -> dict[str, Any]:
    """Writes all tables and the picture, and returns what `--json` prints."""
    from babe2.evaluation.contest.picture import picture
    from babe2.report import figures

    found = standings(rows)
    report = as_dict(found)
    texts = {
        "standings.json": json.dumps(report, indent=2),
        "table.md": markdown(found),
        "table.tex": latex(found),
        "scores.csv": csv_text(rows),
    }
    for name, text in texts.items():
        save_report(text.rstrip("\n"), folder / name)
    figures.save(picture(found, rows), folder / "standings.png")
    return report
