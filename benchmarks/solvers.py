"""How well each solver restores, and for how much work, on held-out pieces with the bundled prior or another one.

Clips of six seconds are spoiled as old machines would, restored blind, and scored against the truth. All solvers but
`bandwise` tell the prior one noise level for all bands, as the published networks take it, so that it stands in for
them. What is in the file already is not done again.

    python benchmarks/solvers.py DIR --json benchmarks/results/DATE-solvers.json [--clips 2] [--seeds 2]
    python benchmarks/solvers.py DIR --json benchmarks/results/DATE-narrow.json --checkpoint FOLDER
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from babe2 import Restorer
from babe2.config import DEFAULT_CHECKPOINT, PIANO
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import Clip, as_truth, reference_of, restoring, score, spoiled
from babe2.evaluation.table import confidence
from babe2.methods.guided import GuidedSettings
from babe2.methods.paper import BORROWED
from babe2.methods.undone import MARGIN

LENGTH = 133_120  # samples of a clip, which the transforms of all solvers can stand on
WHOLE = {"segment_length": LENGTH}
PUBLISHED = {name: getattr(PIANO.settings(GuidedSettings), name) for name in BORROWED}  # steps, noise levels, ...
MENDED = WHOLE | PUBLISHED | {"solver": "guided"}
CLOSED_FORM = {"solver": "closed-form", "segment_length": LENGTH + 2 * MARGIN}
SOLVERS: dict[str, dict[str, Any]] = {
    "LTAS-EQ": {"method": "ltas-eq"},
    "paper": {"preset": "paper", "guidance_length": LENGTH, **WHOLE},
    "guided, mended": MENDED,
    "guided, 10 steps": MENDED | {"steps": 10, "sigma_min": 0.01},
    "closed-form standard": CLOSED_FORM,
    "closed-form draft": CLOSED_FORM | {"preset": "draft"},
    "bandwise standard": {},
    "bandwise draft": {"preset": "draft"},
}


class Measure(NamedTuple):
    """What solvers are compared by."""

    title: str
    less: bool = True  # is better
    digits: int = 1


MEASURES = {
    "lsd_recorded": Measure("LSD 0.1-3 kHz", digits=2),
    "response_error": Measure("response error to 6 kHz", digits=2),
    "level_error": Measure("level error 5-8 kHz"),
    "haze": Measure("haze"),
    "ltas_distance": Measure("LTAS distance", digits=2),
    "envelope_correlation": Measure("envelope corr.", less=False, digits=2),
    "lsd_lost": Measure("LSD above 3 kHz", digits=2),
    "si_sdr_gain": Measure("SI-SDR gain", less=False),
    "cpu_seconds": Measure("CPU s", digits=2),
}


def row(restorer: Restorer, solver: str, clip: Clip, seed: int) -> dict[str, Any]:
    """Spoils a clip, restores it with a solver, and returns the scores."""
    return {"solver": solver, "clip": clip[0], "seed": seed} | scored(restorer, SOLVERS[solver], clip, seed)


def scored(restorer: Restorer, options: Mapping[str, Any], clip: Clip, seed: int) -> dict[str, Any]:
    """Spoils a clip, restores it and returns the scores."""
    name, audio, rate = clip
    degraded = spoiled(name, as_truth(audio, rate), seed)
    began = time.process_time()
    audio, response = restoring(restorer, **options)(degraded.observation, seed)
    taken = time.process_time() - began
    scores = asdict(score(audio, response, degraded, reference_of(restorer)).scores)
    scores["haze"] = max(0.0, scores.pop("flatness_excess"))
    return {"cpu_seconds": round(taken, 2), **scores}


def compared(rows: list[dict[str, Any]], measure: str, solver: str, against: str) -> str:
    """Returns the mean, and a 95 % interval of its difference from another solver's on the same clips and seeds."""
    ours, theirs = (
        {(r["clip"], r["seed"]): r[measure] for r in rows if r["solver"] == name and r[measure] is not None}
        for name in (solver, against)
    )
    if not ours:
        return "-"
    digits = MEASURES[measure].digits
    told = f"{round(sum(ours.values()) / len(ours), digits) + 0.0:.{digits}f}"  # no -0.0
    shared = sorted(ours.keys() & theirs.keys())
    if solver == against or len(shared) < 2 or measure == "cpu_seconds":
        return told
    _, low, high = confidence([ours[key] - theirs[key] for key in shared])
    return f"{told} [{low:+.{digits}f}, {high:+.{digits}f}]"


def table(rows: list[dict[str, Any]], against: str) -> str:
    """Returns the table of all solvers, in brackets how far each is from another one on the same clips."""
    lines = ["| | clips | " + " | ".join(measure.title for measure in MEASURES.values()) + " |"]
    lines.append("|" + " --- |" * (len(MEASURES) + 2))
    for solver in dict.fromkeys(row["solver"] for row in rows):
        cells = [compared(rows, measure, solver, against) for measure in MEASURES]
        count = sum(r["solver"] == solver for r in rows)
        lines.append(f"| `{solver}` | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recordings", nargs="*", type=Path, help="kept from training; none: only print the table")
    options.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    options.add_argument("--clips", type=int, default=2, help="of each recording")
    options.add_argument("--seeds", type=int, default=2, help="old machines for each clip")
    options.add_argument("--solvers", default="|".join(SOLVERS), help="some of: " + "|".join(SOLVERS))
    options.add_argument("--against", default="paper", choices=SOLVERS)
    options.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="a prior's name or folder")
    chosen = options.parse_args()
    torch.set_num_threads(1)  # CPU time is the same with more, and other work is disturbed less
    restorer = Restorer.from_checkpoint(chosen.checkpoint, device="cpu")
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "prior": restorer.name, "rows": []}
    if chosen.json.exists():
        found = json.loads(chosen.json.read_text("utf-8"))
        if found["prior"] != restorer.name:
            raise SystemExit(f"{chosen.json} holds figures of {found['prior']}. Name another file (--json).")
    done = {(r["solver"], r["clip"], r["seed"]) for r in found["rows"]}
    cut = {"seconds": LENGTH / SCORING_RATE, "count": chosen.clips, "model_rate": SCORING_RATE}
    clips = [clip for path in find_recordings(chosen.recordings) for clip in clips_of(path, **cut)]
    for seed, clip, solver in itertools.product(range(chosen.seeds), clips, chosen.solvers.split("|")):
        if (solver, clip[0], seed) not in done:
            found["rows"].append(row(restorer, solver, clip, seed))
            chosen.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(table(found["rows"], chosen.against))


if __name__ == "__main__":
    main()
