"""How well each solver restores, and for how much work, on held-out pieces with the bundled prior.

Clips of six seconds are spoiled as old machines would, restored blind, and scored against the truth. All solvers but
`bandwise` tell the prior one noise level for all bands, as the published networks take it, so that it stands in for
them. What is in the file already is not done again.

    python benchmarks/solvers.py DIR --json benchmarks/results/DATE-solvers.json [--clips 2] [--seeds 2]
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from babe2 import Restorer
from babe2.config import PIANO
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import INFORMED, OURS, Clip, as_truth, restoring, score, spoiled
from babe2.evaluation.table import confidence
from babe2.methods.guided import GuidedSettings
from babe2.methods.nothing import Nothing
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
MEASURES = {  # and whether less is better
    "lsd_recorded": True,
    "si_sdr_gain": False,
    "response_error": True,
    "level_error": True,
    "envelope_correlation": False,
    "haze": True,
    "ltas_distance": True,
    "lsd_lost": True,
    "cpu_seconds": True,
}


def row(restorer: Restorer, solver: str, clip: Clip, seed: int) -> dict[str, Any]:
    """Spoils a clip, restores it with a solver, and returns the scores."""
    return {"solver": solver, "clip": clip[0], "seed": seed} | scored(restorer, SOLVERS[solver], clip, seed)


def scored(restorer: Restorer, options: Mapping[str, Any], clip: Clip, seed: int) -> dict[str, Any]:
    """Spoils a clip, restores it and returns the scores; `informed` is told the true response."""
    assert restorer.reference is not None
    name, audio, rate = clip
    degraded = spoiled(name, as_truth(audio, rate), seed)
    method = options.get("method", OURS)
    told = {"response": degraded.degradation.response} if method == INFORMED else {}
    began = time.process_time()
    audio, response = restoring(restorer, **options, **told)(degraded.observation, seed)
    taken = time.process_time() - began
    found = method not in (INFORMED, Nothing.name)
    scores = asdict(score(audio, response if found else None, degraded, restorer.reference).scores)
    scores["haze"] = max(0.0, scores.pop("flatness_excess"))
    return {"cpu_seconds": round(taken, 2), **scores}


def compared(rows: list[dict[str, Any]], measure: str, solver: str, against: str) -> str:
    """Returns the mean, and its difference from another solver's on the same clips and seeds, with a 95 % interval."""
    ours, theirs = (
        {(r["clip"], r["seed"]): r[measure] for r in rows if r["solver"] == name and r[measure] is not None}
        for name in (solver, against)
    )
    if not ours:
        return "-"
    told = f"{sum(ours.values()) / len(ours):.2f}"
    shared = sorted(ours.keys() & theirs.keys())
    if solver == against or len(shared) < 2:
        return told
    mean, low, high = confidence([ours[key] - theirs[key] for key in shared])
    return f"{told} ({mean:+.2f} [{low:+.2f}, {high:+.2f}])"


def table(rows: list[dict[str, Any]], against: str, solvers: Iterable[str] = SOLVERS) -> str:
    """Returns the table of all solvers."""
    lines = [f"| solver (against {against} on the same clips) | clips | " + " | ".join(MEASURES) + " |"]
    lines.append("|" + " --- |" * (len(MEASURES) + 2))
    for solver in solvers:
        cells = [compared(rows, measure, solver, against) for measure in MEASURES]
        count = sum(r["solver"] == solver for r in rows)
        lines.append(f"| {solver} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recordings", nargs="*", type=Path, help="kept from training; none: only print the table")
    options.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    options.add_argument("--clips", type=int, default=2, help="of each recording")
    options.add_argument("--seeds", type=int, default=2, help="old machines for each clip")
    options.add_argument("--solvers", default="|".join(SOLVERS), help="some of: " + "|".join(SOLVERS))
    options.add_argument("--against", default="paper", choices=SOLVERS)
    chosen = options.parse_args()
    torch.set_num_threads(1)  # CPU time is the same with more, and other work is disturbed less
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "prior": "piano-small", "rows": []}
    if chosen.json.exists():
        found = json.loads(chosen.json.read_text("utf-8"))
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
