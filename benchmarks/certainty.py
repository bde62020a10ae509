"""Whether a restoration's stated certainty holds: cells of time and frequency against known truth, family by family.

    python benchmarks/certainty.py --held-out PIECE ... --calibrating PIECE ... --output benchmarks/results

The numbers of babe2/certainty/stated.py were chosen on the calibrating pieces; of the held-out ones they know nothing.
Every clip is spoiled by a machine of its own, restored with `certainty`, and each cell's stated bound is held against
the truth. A recording does not tell how loud it was made, so of each clip the median error of what is called measured
is taken off. Prints the table of docs/certainty.md; every figure is kept as soon as it is there, and a second call goes
on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import Figures, machine

from babe2 import Restorer
from babe2.certainty import KINDS, CertaintyMap
from babe2.certainty.cells import held
from babe2.certainty.spread import levels
from babe2.degradations.families import FAMILIES
from babe2.dsp.tape import MemoryTape
from babe2.evaluation.clips import clips_of
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import as_truth, spoiled

UNSPOILED = "unspoiled"
PLACES = 5  # of each piece
Case = dict[str, Any]


def cases(pieces: Sequence[Path], half: str, seeds: Sequence[int], given: argparse.Namespace) -> Iterator[Case]:
    """Each piece with each family; the place in it changes from family to family."""
    for seed in seeds:
        for number, family in enumerate([*FAMILIES, UNSPOILED]):
            for piece in pieces:
                place = (number + 2 * seed) % PLACES
                common = {"seconds": given.seconds, "steps": given.steps}
                yield {"half": half, "piece": piece.stem, "family": family, "seed": seed, "place": place, **common}


def measured(restorer: Restorer, path: Path, case: Case) -> Case:
    """How many cells of each kind there are in one clip, and in how many the truth lies within what is stated."""
    found = clips_of(path, seconds=case["seconds"], count=PLACES, model_rate=SCORING_RATE)
    name, sound, rate = found[case["place"]]
    truth, family = as_truth(sound, rate), case["family"]
    recording = truth if family == UNSPOILED else spoiled(name, truth, case["seed"], family).observation
    began = time.process_time()
    restoration = restorer.restore(
        recording, SCORING_RATE, preset="draft", steps=case["steps"], seed=case["seed"], certainty=True
    )
    seconds = time.process_time() - began
    assert restoration.certainty is not None
    return {"cpu_seconds": round(seconds, 1), "kinds": counted(restoration.certainty, truth)}


def counted(certainty: CertaintyMap, truth: torch.Tensor) -> dict[str, dict[str, float]]:
    """Of each kind: cells, those within the stated bound, the mean bound and the mean error, dB."""
    true_db = levels(held([MemoryTape(truth[None])], certainty.grid.sample_rate).power)[0]
    error = certainty.level_db - true_db
    sure = certainty.sounding & (certainty.kind == KINDS.index("measured"))
    error = error - error[sure if sure.any() else certainty.sounding].median()
    rows = {}
    for kind, name in enumerate(KINDS):
        here = certainty.sounding & (certainty.kind == kind)
        off, within = error[here].abs(), certainty.within_db[here]
        cells = len(off)
        rows[name] = {
            "cells": cells,
            "inside": int((off <= within).sum()),
            "within_db": round(float(within.mean()), 2) if cells else 0.0,
            "error_db": round(float(off.mean()), 2) if cells else 0.0,
        }
    return rows


def table(rows: Sequence[Case]) -> str:
    """As Markdown, family by family."""
    lines = [
        "| pieces | family | clips | measured | inferred | imagined | inside: measured | inferred | both | imagined |",
        "| --- " * 10 + "|",
    ]
    for half in ("held-out", "calibrating"):
        for family in [*FAMILIES, UNSPOILED, "all but unspoiled"]:
            some = [
                row
                for row in rows
                if row["half"] == half
                and (row["family"] == family or (family[:3] == "all" and row["family"] != UNSPOILED))
            ]
            if some:
                lines.append(line(half, family, some))
    return "\n".join(lines)


def line(half: str, family: str, rows: Sequence[Case]) -> str:
    """One family's: the shares of what sounds, and how often the truth lies within what is stated."""
    cells = {name: sum(row["kinds"][name]["cells"] for row in rows) for name in KINDS}
    inside = {name: sum(row["kinds"][name]["inside"] for row in rows) for name in KINDS}
    everything = sum(cells.values())
    shares = [f"{100 * cells[name] / everything:.0f} %" for name in KINDS]
    known = ("measured", "inferred")
    both = (sum(inside[name] for name in known), sum(cells[name] for name in known))
    counts = [(inside["measured"], cells["measured"]), (inside["inferred"], cells["inferred"]), both]
    counts.append((inside["imagined"], cells["imagined"]))
    told = [f"{100 * n / of:.0f} %" if of else "-" for n, of in counts]
    return f"| {half} | `{family}` | {len(rows)} | {' | '.join([*shares, *told])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", nargs="+", type=Path, required=True)
    parser.add_argument("--calibrating", nargs="*", type=Path, default=[])
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--steps", type=int, default=3, help="of the sampler; where the recording tells, few suffice")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures, as DATE-certainty.json")
    given = parser.parse_args()
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    figures = Figures.at(given.output / f"{time.strftime('%Y-%m-%d')}-certainty.json", machine())
    paths = {path.stem: path for path in [*given.held_out, *given.calibrating]}
    wanted = [
        case
        for seed in given.seeds
        for half, pieces in (("held-out", given.held_out), ("calibrating", given.calibrating))
        for case in cases(pieces, half, [seed], given)
    ]
    for case in wanted:
        row = figures.row(case, lambda case: measured(restorer, paths[case["piece"]], case))
        print(f"{case['family']:10} {case['piece'][:28]:28} {row['cpu_seconds']:5.1f} s", flush=True)
    print(table(figures.rows))


if __name__ == "__main__":
    main()
