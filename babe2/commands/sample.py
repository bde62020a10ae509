"""`babe2 sample`: music out of nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from babe2 import Cancelled, audio
from babe2.commands.options import add_prior_options, new_command, restorer_of, settings_of
from babe2.commands.targets import check_recording
from babe2.commands.terminal import INTERRUPTED, interruptible, progress_line, say
from babe2.provenance import sample_tags


def add_command(subparsers: Any) -> None:
    parser = new_command(subparsers, "sample", run_sample, "Let a prior make music out of nothing.")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path("sample.wav"))
    add_prior_options(parser)
    parser.add_argument("--count", type=int, default=1, metavar="N")
    parser.add_argument("--seconds", type=float, metavar="S", help="default: one segment of the prior")


def run_sample(options: argparse.Namespace) -> int:
    targets = sample_targets(options.output, options.count)
    for target in targets:
        check_recording(target, overwrite=options.overwrite)
    restorer = restorer_of(options)
    try:
        with interruptible() as interrupted, progress_line(options.output.name) as show:
            music = restorer.sample(
                options.count,
                options.seconds,
                seed=options.seed,
                preset=options.preset,
                on_step=lambda progress: show(f"step {progress.step}"),
                cancelled=interrupted,
                **settings_of(options),
            )
    except Cancelled:
        say("stopped before anything was finished.")
        return INTERRUPTED
    tags = sample_tags(restorer.name, restorer.sha256)
    for target, piece in zip(targets, music, strict=True):
        audio.write(target, piece[None], restorer.model.sample_rate, tags=tags, overwrite=options.overwrite)
    files = [str(target) for target in targets]
    print(json.dumps({"files": files, "seed": options.seed}) if options.json else "\n".join(files))
    return 0


def sample_targets(output: Path, count: int) -> list[Path]:
    """The file to write, or NAME-1, NAME-2 ... where there are several."""
    if count <= 1 or not output.name:
        return [output]
    return [output.with_name(f"{output.stem}-{i + 1}{output.suffix}") for i in range(count)]
