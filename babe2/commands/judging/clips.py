"""Options that say which clips are spoiled, and by which machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from babe2.degradations.families import FAMILIES
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.synthetic import Clip
from babe2.restorer import Restorer


def add_clip_options(parser: argparse.ArgumentParser, usual: str) -> None:
    """The recordings, the clips of each, and the machines; `usual` says which families there are by default."""
    parser.add_argument("clips", nargs="+", metavar="FILE|DIR", type=Path, help="recordings kept from training")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each clip (default 10)")
    parser.add_argument("--per-file", type=int, default=1, metavar="N", help="clips, evenly spaced (default 1)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="machines of each kind per clip (default 1)")
    parser.add_argument(
        "--family",
        action="append",
        choices=list(FAMILIES),
        metavar="NAME",
        help=f"kind of machines, may be repeated: {', '.join(FAMILIES)} (default {usual})",
    )
    parser.add_argument("--visqol", action="store_true", help="also ask ViSQOL how like the truth each sound is: slow")


def clips_asked(options: argparse.Namespace, restorer: Restorer) -> list[Clip]:
    """The clips that these options ask for."""
    cut = {"seconds": options.seconds, "count": options.per_file, "model_rate": restorer.model.sample_rate}
    return [clip for path in find_recordings(options.clips) for clip in clips_of(path, **cut)]
