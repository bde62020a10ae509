"""`babe2 evaluate`: its kinds, and the one that knows the truth: held-out clips in, a table out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babe2.commands.judging.clips import add_clip_options, clips_asked
from babe2.commands.judging.contest import add_contest
from babe2.commands.judging.recordings import add_recordings
from babe2.commands.judging.table1 import add_table1
from babe2.commands.options import add_prior_options, restorer_of, settings_of
from babe2.commands.targets import check_file, make_folder, save_report
from babe2.commands.terminal import INTERRUPTED, interruptible, progress_line, say
from babe2.errors import Cancelled
from babe2.evaluation.clips import with_known_response
from babe2.evaluation.synthetic import INFORMED, Evaluation, evaluate_synthetic, settings_of_each
from babe2.evaluation.table import summary, table
from babe2.evaluation.visqol import visqol
from babe2.extras import require
from babe2.methods import names


def add_commands(subparsers: Any) -> None:
    about = "Say how good restorations are: against a truth that is known, or beside good recordings."
    evaluate = subparsers.add_parser("evaluate", help=about, description=about)
    kinds = evaluate.add_subparsers(required=True, metavar="KIND")
    about = "Spoil good recordings as an old machine would, restore them blind, print a table against the truth."
    synthetic = kinds.add_parser("synthetic", help=about, description=about)
    synthetic.set_defaults(run=run_synthetic)
    add_prior_options(synthetic)
    add_clip_options(synthetic, "published")
    synthetic.add_argument(
        "--method",
        action="append",
        default=[],
        choices=names(),
        metavar="NAME",
        help=f"a further method to compare babe2 with, may be repeated: {', '.join(names())}; "
        "informed is told the true response",
    )
    synthetic.add_argument("--sheets", type=Path, metavar="DIR", help="write each clip's spectrograms there")
    synthetic.add_argument("--report", type=Path, metavar="FILE", help="write there what --json prints")
    add_contest(kinds)
    add_recordings(kinds)
    add_table1(kinds)


def run_synthetic(options: argparse.Namespace) -> int:
    if options.report:
        check_file(options.report, overwrite=options.overwrite)
    if options.sheets:
        require("plots")
    similarity = visqol() if options.visqol else None
    preset, overrides = options.preset, settings_of(options)
    restorer = restorer_of(options)
    # A wrong setting is better said before the first clip.
    for name, own in settings_of_each(restorer, preset, overrides, options.method).items():
        restorer.method(name, preset, response_known=name == INFORMED, **own)
    restorable = restorer.used(preset=preset, response_known=True, **overrides)
    clips = clips_asked(options, restorer)
    sheets: list[Path] = []
    families = list(dict.fromkeys(options.family or ["published"]))
    if options.sheets:
        count = len(clips) * options.seeds * len(families)
        sheets = [options.sheets / f"{number:02}.png" for number in range(1, count + 1)]
        make_folder(options.sheets)
        for sheet in sheets:
            check_file(sheet, overwrite=options.overwrite)
    try:
        with interruptible() as interrupted, progress_line("evaluate") as on_step:
            evaluation = evaluate_synthetic(
                restorer,
                clips,
                seeds=range(options.seed, options.seed + options.seeds),
                families=families,
                methods=options.method,
                restore_known=with_known_response(
                    restorer, preset=preset, seed=options.seed, cancelled=interrupted, **restorable
                ),
                similarity=similarity,
                on_step=on_step,
                cancelled=interrupted,
                preset=preset,
                **overrides,
            )
    except Cancelled:
        say("stopped before everything was scored.")
        return INTERRUPTED
    report = summary(evaluation) | {"checkpoint": restorer.name, "sha256": restorer.sha256}
    text = json.dumps(report, indent=2)
    if options.report:
        save_report(text, options.report)
    draw(evaluation, sheets)
    print(text if options.json else table(report))
    return 0


def draw(evaluation: Evaluation, sheets: Sequence[Path]) -> None:
    """Writes a picture of each clip that was scored."""
    if not sheets:
        return
    from babe2.evaluation.sheet import sheet
    from babe2.report import figures

    for result, path in zip(evaluation.clips, sheets, strict=True):
        figures.save(sheet(result), path)
