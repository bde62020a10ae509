"""`babe2 evaluate table1`: restores recordings by each method of the paper's Table 1, and compares what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from babe2.commands import restore
from babe2.commands.judging.recordings import add_measuring_options, measure
from babe2.commands.options import add_place_options, add_threads_option, new_command, restorer_of
from babe2.commands.targets import make_folder, save_report
from babe2.commands.terminal import INTERRUPTED, pairs_of, say
from babe2.config import DEFAULT_CHECKPOINT
from babe2.errors import RestorationError
from babe2.evaluation.recordings import ORIGINAL
from babe2.restorer import Restorer

RESTORED, RECIPE = "restored", "table1.json"  # the folder of all restorations; in each, how they were made


class Method(NamedTuple):
    """A row of the table: its title, and how recordings are restored for it."""

    title: str
    method: str
    preset: str
    settings: tuple[str, ...] = ()


METHODS = {
    "ltas-eq": Method("LTAS-EQ", "ltas-eq", "paper"),
    "behm-gan": Method("BEHM-GAN", "behm-gan", "paper"),
    "babe": Method("BABE", "babe", "standard"),
    "babe2": Method("BABE-2", "babe2", "paper", ("ltas=off",)),
    "babe2-no-noise": Method("BABE-2 w/o noise reg.", "babe2", "paper", ("ltas=off", "observation_noise=0")),
    "babe2-init": Method("BABE-2 w/ LTAS-EQ init.", "babe2", "paper", ("ltas=init",)),
    "babe2-obj": Method("BABE-2 w/ LTAS-EQ obj.", "babe2", "paper", ("ltas=objective",)),
    "guided": Method("BABE-2, mended", "guided", "standard"),
    "standard": Method("ours, standard", "babe2", "standard"),
    "draft": Method("ours, draft", "babe2", "draft"),
}
OF_THE_PAPER = ("ltas-eq", "babe", "babe2", "babe2-no-noise", "babe2-init", "babe2-obj")  # with one checkpoint
GENERATOR = "behm-gan"  # which has a checkpoint of its own


def add_table1(kinds: Any) -> None:
    about = (
        "The paper's Table 1: restore recordings by each of its methods, and compare them; goes on where it stopped."
    )
    parser = new_command(kinds, "table1", run_table1, about)
    parser.add_argument("--recordings", type=Path, required=True, metavar="DIR", help="old recordings, denoised")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="good recordings of such music")
    parser.add_argument(
        "--checkpoints",
        default=DEFAULT_CHECKPOINT,
        metavar="SPEC,...",
        help=f"one or more, as --checkpoint of `babe2 restore` takes them (default {DEFAULT_CHECKPOINT})",
    )
    parser.add_argument(
        "--methods",
        default=",".join(OF_THE_PAPER),
        metavar="NAME,...",
        help=f"rows of the table: {', '.join(METHODS)} (default {', '.join(OF_THE_PAPER)})",
    )
    parser.add_argument("--generator", default="behm-gan-piano", metavar="SPEC", help="the checkpoint of behm-gan")
    add_measuring_options(parser)
    add_place_options(parser)
    parser.add_argument("--device", default="auto", help="for restoring: auto, cpu, cuda or mps")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for every method that has it")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same sound (default 0)")
    add_threads_option(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace the table; restorations that are there stay")


class Restoring(NamedTuple):
    """One row: its folder, and the arguments of `babe2 restore`."""

    name: str
    title: str
    folder: Path
    arguments: list[str]


def run_table1(options: argparse.Namespace) -> int:
    rows = rows_of(options)
    make_folder(options.out / RESTORED)
    for row in rows:
        check_recipe(row)
    failed = False
    for row in rows:
        say(f"{row.title}: restoring into {row.folder}")
        make_folder(row.folder)
        save_report(json.dumps(row.arguments, indent=1), row.folder / RECIPE)
        with redirect_stdout(sys.stderr):  # the table is the result, what is restored on the way is not
            status = restore.run_restore(parser_of_restore().parse_args(row.arguments))
        if status == INTERRUPTED:
            say("stopped; the same command goes on from there.")
            return INTERRUPTED
        failed = failed or status != 0
    folders = {ORIGINAL: options.recordings, **{row.title: row.folder for row in rows}}
    return measure(folders, options) or int(failed)


def rows_of(options: argparse.Namespace) -> list[Restoring]:
    """The rows that are wished for, each method with each checkpoint."""
    if not options.recordings.is_dir():
        raise RestorationError(f"{options.recordings} is no folder. Give the folder of the old recordings.")
    checkpoints, methods = (_listed(text) for text in (options.checkpoints, options.methods))
    if unknown := [name for name in methods if name not in METHODS]:
        raise RestorationError(f"There is no method {unknown[0]!r:.80} in the table. Choose of {', '.join(METHODS)}.")
    if not checkpoints or not methods:
        raise RestorationError("The table has no row. Choose --methods and --checkpoints.")
    rows = []
    for spec in dict.fromkeys([*checkpoints, options.generator] if GENERATOR in methods else checkpoints):
        own = [name for name in methods if (spec in checkpoints) != (name == GENERATOR)]
        restorer = restorer_of(parser_of_restore().parse_args(_arguments(spec, options)))
        rows += [_row(name, spec, restorer, options, several=len(checkpoints) > 1) for name in own]
    if len({row.folder for row in rows}) < len(rows):
        raise RestorationError("Two rows of the table are the same. Give each method and each checkpoint once.")
    return sorted(rows, key=lambda row: methods.index(row.name))


def _row(name: str, checkpoint: str, restorer: Restorer, options: argparse.Namespace, *, several: bool) -> Restoring:
    method, short = METHODS[name], Path(checkpoint).name
    told = several and name != GENERATOR
    title, folder = (f"{method.title} ({short})", f"{name}-{short}") if told else (method.title, name)
    place = options.out / RESTORED / folder
    settings: dict[str, Any] = pairs_of([*options.set, *method.settings], "--set")
    used = restorer.used(method.method, method.preset, **settings)
    restorer.method(method.method, method.preset, **used)  # what is wrong is better said before hours of work
    sets = [text for setting in used for text in ("--set", f"{setting}={settings[setting]}")]
    kind = ["--output", str(place), "--method", method.method, "--preset", method.preset]
    return Restoring(name, title, place, [*_arguments(checkpoint, options), *kind, *sets])


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _arguments(checkpoint: str, options: argparse.Namespace) -> list[str]:
    """What `babe2 restore` is told, whatever the method."""
    told: Mapping[str, object] = {
        "--checkpoint": checkpoint,
        "--seed": options.seed,
        "--device": options.device,
        "--duration": options.seconds,
        "--threads": options.threads,
        "--manifest": options.manifest,
        "--cache-dir": options.cache_dir,
    }
    given = [text for name, value in told.items() if value is not None for text in (name, str(value))]
    return ["restore", str(options.recordings), *given, *(["--offline"] if options.offline else [])]


def check_recipe(row: Restoring) -> None:
    """Refuses a folder whose restorations were made otherwise."""
    place = row.folder / RECIPE
    if not place.exists():
        return
    try:
        before = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    if before is not None and _what_counts(before) != _what_counts(row.arguments):
        raise RestorationError(
            f"{row.folder} holds restorations that were made with other settings. Choose another --out, or remove it."
        )


def _what_counts(arguments: Sequence[str]) -> list[str]:
    """The arguments that decide on the sound."""
    words = iter(arguments)
    return [
        word for word in words if word != "--offline" and not (word in ("--threads", "--cache-dir") and next(words))
    ]


def parser_of_restore() -> argparse.ArgumentParser:
    """The parser of `babe2 restore` alone."""
    parser = argparse.ArgumentParser(prog="babe2")
    restore.add_command(parser.add_subparsers())
    return parser
