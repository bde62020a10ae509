"""`babe2 evaluate`: held-out clips in, a table out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from babe2 import audio
from babe2.commands.options import restorer_of, settings_of, with_prior
from babe2.commands.terminal import INTERRUPTED, interruptible, progress_line, say
from babe2.errors import Cancelled, RestorationError
from babe2.evaluation.clips import clips_of, files_of, knowing
from babe2.evaluation.synthetic import Evaluation, evaluate_synthetic
from babe2.evaluation.table import summary, table


def add_commands(subparsers: Any) -> None:
    about = "Score restorations of recordings whose truth is known."
    evaluate = subparsers.add_parser("evaluate", help=about, description=about)
    kinds = evaluate.add_subparsers(required=True, metavar="KIND")
    about = "Spoil good recordings as an old machine would, restore them blind, print a table against the truth."
    synthetic = kinds.add_parser("synthetic", help=about, description=about)
    synthetic.set_defaults(run=run_synthetic)
    with_prior(synthetic)
    synthetic.add_argument("clips", nargs="+", metavar="FILE|DIR", type=Path, help="recordings kept from training")
    synthetic.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each clip (default 10)")
    synthetic.add_argument("--per-file", type=int, default=1, metavar="N", help="clips, evenly spaced (default 1)")
    synthetic.add_argument("--seeds", type=int, default=1, metavar="N", help="machines per clip (default 1)")
    synthetic.add_argument("--sheets", type=Path, metavar="DIR", help="write each clip's spectrograms there")
    synthetic.add_argument("--report", type=Path, metavar="FILE", help="write there what --json prints")


def run_synthetic(options: argparse.Namespace) -> int:

    check_places(options)
    preset, overrides = options.preset, settings_of(options)
    restorer = restorer_of(options)
    restorer.method(preset=preset, **overrides)  # a wrong setting is better said before the first clip
    restorable = restorer.used(preset=preset, response_known=True, **overrides)
    clips = [clip for path in files_of(options.clips) for clip in clips_of(path, options, restorer.model.sample_rate)]
    with interruptible() as interrupted, progress_line("evaluate") as on_step:
        try:
            evaluation = evaluate_synthetic(
                restorer,
                clips,
                seeds=range(options.seed, options.seed + options.seeds),
                restore_known=knowing(restorer, preset=preset, seed=options.seed, cancelled=interrupted, **restorable),
                on_step=on_step,
                cancelled=interrupted,
                preset=preset,
                **overrides,
            )
        except Cancelled:
            say("stopped before everything was scored.")
            return INTERRUPTED
    found = summary(evaluation) | {"checkpoint": restorer.name, "sha256": restorer.sha256}
    text = json.dumps(found, indent=2)
    try:
        if options.report:
            options.report.write_text(text + "\n", "utf-8")
        if options.sheets:
            draw(evaluation, options.sheets)
    except OSError as error:
        raise RestorationError(f"{error.filename} cannot be written ({error.strerror}).") from None
    print(text if options.json else table(found))
    return 0


def check_places(options: argparse.Namespace) -> None:
    """Says before hours of work what would keep their results from being written."""

    if options.report and options.report.exists() and not options.overwrite:
        raise RestorationError(f"{options.report} exists already. Choose another place or add --overwrite.")
    try:
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            audio.check_target(options.sheets / ".babe2.wav")
        if options.report:
            audio.check_target(options.report.parent / ".babe2.wav")
    except OSError as error:
        raise RestorationError(f"{error.filename} cannot be written ({error.strerror}).") from None


def draw(evaluation: Evaluation, folder: Path) -> None:
    from babe2.evaluation.sheet import sheet
    from babe2.report import figures

    for number, result in enumerate(evaluation.clips, start=1):
        figures.save(sheet(result), folder / f"{number:02}.png")
