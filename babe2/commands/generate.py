"""`babe2 generate-test-clips`: music to try a restoration or a mastering on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from babe2 import audio
from babe2.commands.options import add_threads_option, new_command
from babe2.commands.targets import check_recording, make_folder
from babe2.commands.terminal import progress_line
from babe2.errors import RestorationError
from babe2.generation.instruments import RATE
from babe2.generation.musicgen import REPOSITORIES, MusicGen
from babe2.generation.pieces import KINDS, synthesised
from babe2.process import set_threads
from babe2.provenance import clip_tags
from babe2.restorer import checked_seed

SYNTHESIS = "synthesis"
MOST = 999  # clips, so that their names sort


def add_command(subparsers: Any) -> None:
    about = "Make clips of ten kinds of music as MusicGen leaves them: 32 kHz, mono, a little dull and smeared."
    parser = new_command(subparsers, "generate-test-clips", run_generate, about)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="for sample_001.wav, ...")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="kind after kind (default 10)")
    parser.add_argument("--seconds", "--duration", type=float, default=10.0, metavar="S", help="of each (default 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same clips (default 0)")
    parser.add_argument(
        "--model",
        choices=[SYNTHESIS, *REPOSITORIES],
        default=SYNTHESIS,
        help="synthesis (default) is quick and needs nothing; MusicGen is fetched once, and minutes a clip here",
    )
    parser.add_argument("--device", default="cpu", help="of MusicGen: cpu (default), cuda or mps")
    parser.add_argument("--offline", action="store_true", help="ask no network for MusicGen")
    add_threads_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run_generate(options: argparse.Namespace) -> int:
    seed = checked_seed(options.seed)
    if not 1 <= options.count <= MOST:
        raise RestorationError(f"Between 1 and {MOST} clips can be made, not {options.count}.")
    set_threads(options.threads)
    targets = [options.output / f"sample_{number:03}.wav" for number in range(1, options.count + 1)]
    if options.output.exists():  # before anything is fetched
        check_targets(targets, options.overwrite)
    repository = REPOSITORIES.get(options.model)
    model = MusicGen.load(repository, options.device, options.offline) if repository else None
    check_targets(targets, options.overwrite)
    made = []
    with progress_line(options.output.name) as show:
        for target, (prompt, x, rate) in zip(targets, clips(options, seed, model), strict=True):
            tags = clip_tags(prompt, repository)
            audio.write(target, x[None].numpy(), rate, tags=tags, overwrite=options.overwrite)
            made.append({"file": str(target), "prompt": prompt})
            show(f"{len(made)} of {options.count} clips")
    about = {"model": options.model, "seed": seed, "seconds": options.seconds, "sample_rate": rate}
    lines = (f"{clip['file']}: {clip['prompt']}" for clip in made)
    print(json.dumps(about | {"clips": made}, indent=2) if options.json else "\n".join(lines))
    return 0


def check_targets(targets: Sequence[Path], overwrite: bool) -> None:
    """Makes their folder, and refuses what could not be written there."""
    make_folder(targets[0].parent)
    for target in targets:
        check_recording(target, overwrite=overwrite)


def clips(options: argparse.Namespace, seed: int, model: MusicGen | None) -> Iterator[tuple[str, Tensor, int]]:
    """Each clip (T,) with its prompt and its sample rate, as it is made; without a model by synthesis."""
    for number in range(options.count):
        prompt = KINDS[number % len(KINDS)].prompt
        if model is None:
            yield prompt, synthesised(number, options.seconds, seed), RATE
        else:
            yield prompt, model.clip(prompt, options.seconds, (seed + number) % 2**63), model.sample_rate
