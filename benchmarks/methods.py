"""How well each method restores, clip by clip against `babe2`, on held-out pieces with the bundled prior.

One clip of six seconds of each piece is spoiled by an old machine of its own, of the published family, restored blind,
and scored against the truth. What is in the file already is not done again.

    python benchmarks/methods.py DIR --json benchmarks/results/DATE-methods.json [--pieces 8]
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import Figures, machine
from solvers import LENGTH, WHOLE, scored, table

from babe2 import Restorer
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import EQUALISING, INFORMED, OURS
from babe2.methods.babe import Babe
from babe2.methods.nothing import Nothing

METHODS: dict[str, dict[str, Any]] = {
    Nothing.name: {},
    EQUALISING: {},
    Babe.name: WHOLE,  # one segment, as its low-pass is found with a gradient through the whole of it
    OURS: {},
    INFORMED: {},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recordings", nargs="*", type=Path, help="kept from training; none: only print the table")
    options.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    options.add_argument("--pieces", type=int, default=8)
    options.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    chosen = options.parse_args()
    torch.set_num_threads(1)  # CPU time is the same with more, and other work is disturbed less
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    figures = Figures.at(chosen.json, machine())
    seconds = LENGTH / SCORING_RATE
    places = find_recordings(chosen.recordings)[: chosen.pieces] if chosen.recordings else []
    for (seed, path), method in itertools.product(enumerate(places), chosen.methods):
        (clip,) = clips_of(path, seconds=seconds, count=1, model_rate=SCORING_RATE)
        case = {"solver": method, "clip": clip[0], "seed": seed}
        figures.once(case, partial(scored, restorer, METHODS[method] | {"method": method}, clip, seed))
    print(table(figures.rows, OURS, METHODS))


if __name__ == "__main__":
    main()
