"""`babe2 listening-test`: versions of recordings in, a test for listeners out; and their answers, analysed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from babe2.commands.options import new_command
from babe2.commands.targets import check_file, make_folder, save_report
from babe2.errors import RestorationError
from babe2.evaluation.answers import Key, analysed, answers_of, as_table
from babe2.evaluation.listening_test import REFERENCE, Kind, ListeningTest, trials_of


def add_command(subparsers: Any) -> None:
    about = "Make a listening test of several versions of recordings, or say what listeners have answered."
    parser = new_command(subparsers, "listening-test", run_listening_test, about)
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=PLACE",
        help="a version to be heard: a file, or a folder of files named alike in every condition; repeated",
    )
    parser.add_argument("--reference", type=Path, metavar="PLACE", help="the original, where there is one")
    parser.add_argument("--kind", choices=("mushra", "ab"), help="default: mushra where there is a reference, else ab")
    parser.add_argument("--title", default="Listening test", help="what stands above it (default: Listening test)")
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="where the excerpts begin (default 0)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each recording (default 10)")
    parser.add_argument("--no-anchors", action="store_true", help="without the reference through low-passes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all orders and names (default 0)")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where the test is written")
    parser.add_argument("--analyse", nargs="+", type=Path, metavar="CSV", help="files that listeners have saved")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the key.json of the test that they took")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write there what --json prints")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--overwrite", action="store_true")


def run_listening_test(options: argparse.Namespace) -> int:
    if options.report:
        check_file(options.report, overwrite=options.overwrite)
    return _analyse(options) if options.analyse else _make(options)


def _make(options: argparse.Namespace) -> int:
    if options.output is None:
        raise RestorationError("Say where the test is written (-o DIR), or which answers are analysed (--analyse).")
    if not 0.5 <= options.seconds <= 60 or not options.start >= 0:
        raise RestorationError("Excerpts last 0.5 to 60 seconds and begin at 0 or later. Choose --start and --seconds.")
    if (options.output / "key.json").exists() and not options.overwrite:
        raise RestorationError(f"There is a test in {options.output} already. Choose another place or add --overwrite.")
    conditions = dict(_named(each) for each in options.condition)
    if len(conditions) < len(options.condition):
        raise RestorationError("Two conditions have one name. Give each its own.")
    kind: Kind = options.kind or ("mushra" if options.reference else "ab")
    if options.reference:
        conditions[REFERENCE] = options.reference
    trials = trials_of(conditions)
    make_folder(options.output)
    test = ListeningTest(kind, options.title, options.seconds, options.start, options.seed, not options.no_anchors)
    page = test.write(trials, options.output)
    told = {"kind": kind, "page": str(page), "key": str(options.output / "key.json"), "recordings": len(trials)}
    _tell(
        options,
        told,
        f"{len(trials)} recordings, {len(conditions)} conditions.\n"
        f"Give away {page.parent} (it opens from {page.name}) and keep {told['key']}.",
    )
    return 0


def _analyse(options: argparse.Namespace) -> int:
    if options.key is None:
        raise RestorationError("Which sound is which stands in the key.json of the test. Give it with --key.")
    key = Key.read(options.key)
    found = analysed(answers_of(options.analyse, key), key, options.seed)
    _tell(options, found, as_table(found))
    return 0


def _named(text: str) -> tuple[str, Path]:
    name, given, place = text.partition("=")
    if not (given and name.strip() and place):
        raise RestorationError(f"{text:.80} is no condition. Write it as NAME=PLACE, for example babe2=restored/.")
    if name.strip() == REFERENCE:
        raise RestorationError("The reference is given with --reference, not as a condition.")
    return name.strip(), Path(place)


def _tell(options: argparse.Namespace, found: dict[str, Any], words: str) -> None:
    text = json.dumps(found, indent=2)
    if options.report:
        save_report(text, options.report)
    print(text if options.json else words)
