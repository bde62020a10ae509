"""Whether a restoration's stated certainty holds: cells of time and frequency against known truth, family by family.

    python benchmarks/certainty.py PIECE ... --output benchmarks/results

Every clip is spoiled by a machine of its own, restored with `certainty`, and each cell's stated bound is held against
the truth. A recording does not tell how loud it was made, so of each clip the median error of what is called measured
is taken off. What is measured needs no sampling, as all samples are one sound there: so many more machines are held
against the truth with nothing but their estimated response undone. Prints the tables of docs/certainty.md; every figure
is kept as soon as it is there, and a second call goes on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import Figures, machine
from torch import Tensor

from babe2 import Restorer
from babe2.analysis.machine import find_machine_at_unit_level
from babe2.certainty import KINDS, CertaintyMap
from babe2.certainty.cells import held
from babe2.certainty.map import certainty_of
from babe2.certainty.recording import Recording
from babe2.certainty.spread import levels
from babe2.degradations.families import FAMILIES
from babe2.dsp.spectra import bin_frequencies, equalise
from babe2.dsp.tape import MemoryTape
from babe2.evaluation.clips import clips_of
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import as_truth, spoiled

RESTORED, UNDONE, CLEAN = "restored", "undone", "clean"  # whole restorations, many machines, and none
CLEAN_SECONDS = 20.0
UNSPOILED, ALL = "unspoiled", "all"
PLACES = 5  # of each piece
FFT = 4096
Case = dict[str, Any]


def cases(part: str, pieces: Sequence[Path], seeds: Sequence[int], **common: Any) -> Iterator[Case]:
    """Each piece with each family; the place in it changes from family to family."""
    families = {RESTORED: [*FAMILIES, UNSPOILED], UNDONE: FAMILIES, CLEAN: [UNSPOILED]}[part]
    for seed in seeds:
        for number, family in enumerate(families):
            for piece in pieces:
                place = (number + 2 * seed) % PLACES
                yield {"part": part, "piece": piece.stem, "family": family, "seed": seed, "place": place, **common}


def measured(restorer: Restorer, path: Path, case: Case) -> Case:
    """How many cells of each kind there are in one clip, and in how many the truth lies within what is stated."""
    found = clips_of(path, seconds=case["seconds"], count=PLACES, model_rate=SCORING_RATE)
    name, sound, rate = found[case["place"]]
    truth, family = as_truth(sound, rate), case["family"]
    recording = truth if family == UNSPOILED else spoiled(name, truth, case["seed"], family).observation
    began = time.process_time()
    certainty = restored(restorer, recording, case) if case["part"] == RESTORED else undone(restorer, recording)
    return {"cpu_seconds": round(time.process_time() - began, 1), "kinds": counted(certainty, truth)}


def restored(restorer: Restorer, recording: Tensor, case: Case) -> CertaintyMap:
    """The certainty of a whole restoration."""
    wishes = {"preset": "draft", "steps": case["steps"], "seed": case["seed"]}
    found = restorer.restore(recording, SCORING_RATE, certainty=True, **wishes).certainty
    assert found is not None
    return found


def undone(restorer: Restorer, recording: Tensor) -> CertaintyMap:
    """That of a recording (T,) with only its response undone, which is all that is heard where it is clear."""
    tape = MemoryTape(recording[None])
    assert restorer.reference is not None
    chain, _ = find_machine_at_unit_level(tape, SCORING_RATE, restorer.reference)
    inverse = F.pad(chain.inverse(bin_frequencies(SCORING_RATE, FFT)[1:]), (1, 0)).float()
    heard = MemoryTape(equalise(recording[None], inverse, FFT, FFT, FFT // 4))
    return certainty_of([heard] * 3, Recording.of(tape, chain, chain.response, given=False), SCORING_RATE)


def counted(certainty: CertaintyMap, truth: Tensor) -> dict[str, dict[str, float]]:
    """Of each kind: cells, those within the stated bound, the mean bound and the mean error, dB."""
    true_db = levels(held([MemoryTape(truth[None])], certainty.grid.sample_rate).power)[0]
    error = certainty.level_db - true_db
    sure = certainty.sounding & (certainty.kind == KINDS.index("measured"))
    error = error - error[sure if sure.any() else certainty.sounding].median()
    rows = {}
    for name in KINDS:
        here = torch.from_numpy(certainty.of_kind(name)) > 0
        off, within = error[here].abs(), certainty.within_db[here]
        rows[name] = {
            "cells": len(off),
            "inside": int((off <= within).sum()),
            "within_db": round(float(within.mean()), 2) if len(off) else 0.0,
            "error_db": round(float(off.mean()), 2) if len(off) else 0.0,
        }
    return rows


# Told


def by_family(rows: Sequence[Case], part: str) -> Iterator[tuple[str, list[Case]]]:
    """The rows of each family, and of all."""
    some = [row for row in rows if row["part"] == part]
    for family in [*FAMILIES, UNSPOILED]:
        if found := [row for row in some if row["family"] == family]:
            yield f"`{family}`", found
    yield ALL, [row for row in some if row["family"] != UNSPOILED]


def summed(rows: Sequence[Case], what: str, *kinds: str) -> int:
    """Cells of some kinds in all rows."""
    return sum(row["kinds"][kind][what] for row in rows for kind in kinds)


def inside(rows: Sequence[Case], *kinds: str) -> str:
    """In how many of the cells of some kinds the truth lies within what is stated."""
    cells = summed(rows, "cells", *kinds)
    return f"{100 * summed(rows, 'inside', *kinds) / cells:.0f} %" if cells else "-"


def table(rows: Sequence[Case]) -> str:
    """Whole restorations, as Markdown."""
    heads = [*KINDS, *(f"{name}: inside" for name in KINDS), "measured and inferred: inside"]
    lines = [f"| machines | clips | {' | '.join(heads)} |", f"{'| --- ' * (len(heads) + 2)}|"]
    for family, some in by_family(rows, RESTORED):
        everything = summed(some, "cells", *KINDS)
        shares = [f"{100 * summed(some, 'cells', name) / everything:.0f} %" for name in KINDS]
        told = [*(inside(some, name) for name in KINDS), inside(some, *KINDS[:2])]
        lines.append(f"| {family} | {len(some)} | {' | '.join([*shares, *told])} |")
    return "\n".join(lines)


def table_of_undone(rows: Sequence[Case]) -> str:
    """What is measured with many machines, as Markdown."""
    lines = ["| machines | clips | measured cells | inside | mean bound, dB | mean error, dB |", f"{'| --- ' * 6}|"]
    for family, some in by_family(rows, UNDONE):
        cells = summed(some, "cells", "measured")
        means = [
            sum(row["kinds"]["measured"][what] * row["kinds"]["measured"]["cells"] for row in some) / max(cells, 1)
            for what in ("within_db", "error_db")
        ]
        lines.append(
            f"| {family} | {len(some)} | {cells} | {inside(some, 'measured')} | {means[0]:.1f} | {means[1]:.1f} |"
        )
    return "\n".join(lines)


def clean(rows: Sequence[Case]) -> str:
    """How much of recordings that no machine has spoiled is measured."""
    shares = [
        100 * row["kinds"]["measured"]["cells"] / summed([row], "cells", *KINDS) for row in rows if row["part"] == CLEAN
    ]
    return f"Of {CLEAN_SECONDS:g} s that nothing has spoiled, measured: {', '.join(f'{x:.1f} %' for x in shares)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--steps", type=int, default=3, help="of the sampler; where the recording tells, few suffice")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--machines", type=int, default=6, help="undone without sampling, for each piece and family")
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures, as DATE-certainty.json")
    given = parser.parse_args()
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    figures = Figures.at(given.output / f"{time.strftime('%Y-%m-%d')}-certainty.json", machine())
    paths = {path.stem: path for path in given.pieces}
    more = range(100, 100 + given.machines)
    wanted = [
        *cases(UNDONE, given.pieces, more, seconds=2 * given.seconds),
        *cases(CLEAN, given.pieces, [0], seconds=CLEAN_SECONDS),
        *cases(RESTORED, given.pieces, given.seeds, seconds=given.seconds, steps=given.steps),
    ]
    for case in wanted:
        row = figures.row(case, lambda case: measured(restorer, paths[case["piece"]], case))
        print(f"{case['part']} {case['family']:10} {case['piece'][:28]:28} {row['cpu_seconds']:5.1f} s", flush=True)
    print(table(figures.rows), table_of_undone(figures.rows), clean(figures.rows), sep="\n\n")


if __name__ == "__main__":
    main()
