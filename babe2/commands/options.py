"""Options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from babe2.commands.terminal import fetch_line, pairs_of
from babe2.config import DEFAULT_CHECKPOINT, PRESETS
from babe2.process import PRECISIONS, set_threads
from babe2.restorer import Restorer

Run = Callable[[argparse.Namespace], int]  # a command: its options in, its exit status out


def new_command(subparsers: Any, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    """Adds a command that calls `run` with its options; `about` is its help."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    return parser


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Options that say where checkpoints are looked for."""
    parser.add_argument("--manifest", metavar="FILE", type=Path, help="of further checkpoints, for instance your own")
    parser.add_argument(
        "--cache-dir", metavar="DIR", type=Path, help="where fetched ones live (default: the Hub's cache)"
    )
    parser.add_argument("--offline", action="store_true", help="ask no network")


def add_prior_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs a prior in one preset."""
    add_checkpoint_options(parser)
    parser.add_argument("--preset", choices=PRESETS, default="standard", help="default: standard")
    add_threads_option(parser)


def add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs a prior."""
    parser.add_argument(
        "--checkpoint",
        metavar="SPEC",
        default=DEFAULT_CHECKPOINT,
        help=f"{DEFAULT_CHECKPOINT} (default), another of `babe2 checkpoints list`, a folder, .safetensors, "
        "published .pt, or owner/name on the Hub",
    )
    add_place_options(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same sound (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network")
    parser.add_argument("--save-memory", action="store_true", help="half the memory, half again the time")
    parser.add_argument("--compile", action="store_true", help="fuse small operations; pays from a minute of music on")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="see `babe2 info --settings`")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """How many threads torch computes with; whoever takes the option calls `process.set_threads`."""
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of the processor (default: OMP_NUM_THREADS, or one for each core)"
    )


def restorer_of(options: argparse.Namespace) -> Restorer:
    """The restorer that the options of `add_prior_options` ask for; fetches its checkpoint where needed."""
    set_threads(options.threads)
    with fetch_line(options.checkpoint) as on_transfer:
        return Restorer.from_checkpoint(
            options.checkpoint,
            device=options.device,
            **places_of(options),
            on_transfer=on_transfer,
            precision=options.precision,
            save_memory=options.save_memory,
            compile=options.compile,
        )


def places_of(options: argparse.Namespace) -> dict[str, Any]:
    """Where to look for a checkpoint, as arguments of `Restorer.from_checkpoint` and `checkpoints.load`."""
    return {"cache_dir": options.cache_dir, "offline": options.offline, "manifest": options.manifest}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given with --set, by name."""
    return pairs_of(options.set, "--set")
