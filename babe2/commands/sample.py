"""`babe2 sample`: music out of nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from babe2 import Cancelled, audio
from babe2.commands.options import restorer_of, settings_of
from babe2.commands.terminal import INTERRUPTED, interruptible, progress_line, say

if TYPE_CHECKING:
    pass


def generate(options: argparse.Namespace) -> int:

    output: Path = options.output
    targets = [output]
    if options.count > 1 and output.name:
        targets = [output.with_name(f"{output.stem}-{i + 1}{output.suffix}") for i in range(options.count)]
    for target in targets:
        audio.check_target(target, overwrite=options.overwrite)
    overrides = settings_of(options)
    restorer = restorer_of(options)
    with interruptible() as interrupted, progress_line(output.name) as on_step:
        try:
            music = restorer.sample(
                options.count,
                options.seconds,
                seed=options.seed,
                preset=options.preset,
                on_step=lambda progress: on_step(f"step {progress.step}"),
                cancelled=interrupted,
                **overrides,
            )
        except Cancelled:
            say("stopped before anything was finished.")
            return INTERRUPTED
    for target, piece in zip(targets, music, strict=True):
        audio.write(target, piece[None], restorer.model.sample_rate, overwrite=options.overwrite)
    files = [str(target) for target in targets]
    print(json.dumps({"files": files, "seed": options.seed}) if options.json else "\n".join(files))
    return 0
