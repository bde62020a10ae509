"""Options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babe2.commands.terminal import fetch_line, pairs_of
from babe2.config import PRESETS
from babe2.process import PRECISIONS, fit_threads
from babe2.restorer import Restorer

if TYPE_CHECKING:
    pass

DEFAULT = "piano-small"  # the checkpoint that comes along


def with_places(sub: argparse.ArgumentParser) -> None:
    """Options that say where checkpoints are looked for."""
    sub.add_argument("--manifest", metavar="FILE", type=Path, help="of further checkpoints, for instance your own")
    sub.add_argument("--cache-dir", metavar="DIR", type=Path, help="where fetched ones live (default: the Hub's cache)")
    sub.add_argument("--offline", action="store_true", help="ask no network")


def with_prior(sub: argparse.ArgumentParser) -> None:
    """Options of every command that runs a prior."""
    sub.add_argument(
        "--checkpoint",
        metavar="SPEC",
        default=DEFAULT,
        help=f"{DEFAULT} (default), another of `babe2 checkpoints list`, a folder, .safetensors, published .pt, "
        "or owner/name on the Hub",
    )
    with_places(sub)
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same sound (default 0)")
    sub.add_argument("--preset", choices=PRESETS, default="standard", help="default: standard")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    sub.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network")
    sub.add_argument("--save-memory", action="store_true", help="half the memory, half again the time")
    sub.add_argument("--compile", action="store_true", help="fuse small operations; pays from a minute of music on")
    sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="see `babe2 info --settings`")
    sub.add_argument("--overwrite", action="store_true", help="replace existing files")
    sub.add_argument("--json", action="store_true", help="print the report as JSON")


def restorer_of(options: argparse.Namespace) -> Restorer:
    fit_threads()
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
    """Where to look for a checkpoint."""
    return {"cache_dir": options.cache_dir, "offline": options.offline, "manifest": options.manifest}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    return pairs_of(options.set, "--set")
