"""How well the machine of a recording is found: its response, how sure that is said to be, and where its band ends.

    python benchmarks/machines.py HELD_OUT --json benchmarks/results/DATE-machines.json

Excerpts of the held-out recordings go through machines of every family, and are left as they are, too, which is the
kind `clean`. Beside the estimator are the closed form, which knows only how music departs from its average, and the
plain ratio to that average in third octaves. What is in the file already is not done again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from measuring import held_out_and_figures
from torch import Tensor

from babe2 import Restorer
from babe2.analysis.chain import RecordingChain
from babe2.analysis.evidence import band_centres
from babe2.analysis.machine import find_machine
from babe2.analysis.response import estimate_response
from babe2.analysis.spectrum import Spectrum
from babe2.config import DEFAULT_CHECKPOINT
from babe2.degradations.families import FAMILIES
from babe2.dsp.curves import FLAT, Curve
from babe2.dsp.distance import Band
from babe2.dsp.spectra import ReferenceLtas
from babe2.evaluation.baselines import third_octave_ratio
from babe2.evaluation.clips import clips_of
from babe2.evaluation.measures import RECORDED_HZ, SCORING_RATE, response_error
from babe2.evaluation.synthetic import BAND_STEPS_HZ, as_truth, spoiled
from babe2.evaluation.table import confidence

SECONDS, EXCERPTS, MACHINES = 10.0, 3, 2
UNDAMAGED = ("modern", "clean")  # kinds that lost nothing
NEAR_OCTAVES = 1 / 3  # from the truth, of a band's end that was found
ERRORS = ("closed form", "ratio to the reference", "estimator")


def excerpts(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The excerpts of a recording (T,), by name."""
    for name, sound, rate in clips_of(path, seconds=SECONDS, count=EXCERPTS, model_rate=SCORING_RATE):
        yield name, as_truth(sound, rate)


def judged(name: str, truth: Tensor, kind: str, seed: int, reference: ReferenceLtas) -> dict[str, Any]:
    """What is found of one recording, and what was to be found."""
    x, response, band = recorded(name, truth, kind, seed)
    chain = find_machine(x[None], SCORING_RATE, reference)
    plain = estimate_response(Spectrum.of(x[None] / x.std(), SCORING_RATE), reference)
    _, ratio = third_octave_ratio(x, SCORING_RATE, reference)
    responses: tuple[Curve, ...] = (plain.response, ratio, chain.response)
    return {
        **{way: response_error(found, response, band) for way, found in zip(ERRORS, responses, strict=True)},
        "inside": inside(chain, response, band),
        "end_hz": band[1],
        "found_hz": chain.last_hz if chain.ends else None,
    }


def recorded(name: str, truth: Tensor, kind: str, seed: int) -> tuple[Tensor, Curve, Band]:
    """The recording (T,) that a machine makes of the truth, the machine's response, and the band that was recorded."""
    if kind == "clean":
        return truth, FLAT, RECORDED_HZ
    old = spoiled(name, truth, seed, kind)
    return old.observation, old.degradation.response, old.band


def inside(chain: RecordingChain, response: Curve, band: Band) -> float:
    """The share of the true response that lies where nine tenths of it are promised, level taken off."""
    hertz = band_centres()
    hertz = hertz[(hertz > band[0]) & (hertz < band[1])]
    difference = chain.response.gain_db(hertz) - response.gain_db(hertz)
    assert chain.uncertainty is not None
    near = (difference - difference.median()).abs() < chain.uncertainty.gain_db(hertz)
    return float(near.double().mean())


def end_is_found(row: dict[str, Any]) -> bool | None:
    """Whether the end of a band is told right; None where it lies beyond what is looked at."""
    if row["kind"] in UNDAMAGED:
        return row["found_hz"] is None
    if row["end_hz"] >= float(BAND_STEPS_HZ[-1]):
        return None
    return row["found_hz"] is not None and abs(math.log2(row["found_hz"] / row["end_hz"])) < NEAR_OCTAVES


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means by kind of machine, as Markdown."""
    heads = ["kind", *ERRORS, "in the stated band", "band's end"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    groups = {kind: [row for row in rows if row["kind"] == kind] for kind in dict.fromkeys(row["kind"] for row in rows)}
    groups["machines"] = [row for row in rows if row["kind"] not in UNDAMAGED]
    for title, some in groups.items():
        ends = [found for row in some if (found := end_is_found(row)) is not None]
        cells = [f"{mean(row[way] for row in some):.1f}" for way in ERRORS]
        if title == "machines":
            span = confidence([row["estimator"] for row in some])
            cells[-1] = f"{span.mean:.1f} [{span.low:.1f}, {span.high:.1f}]"
        shares = f"{100 * mean(row['inside'] for row in some):.0f} %", f"{sum(ends)} of {len(ends)}"
        lines.append("| " + " | ".join([title, *cells, *shares]) + " |")
    return "\n".join(lines)


def main() -> None:
    recordings, figures = held_out_and_figures(__doc__)
    reference = Restorer.from_checkpoint(DEFAULT_CHECKPOINT, device="cpu").reference
    assert reference is not None
    for path in recordings:
        for name, truth in excerpts(path):
            for kind, seed in [*product(FAMILIES, range(1, MACHINES + 1)), ("clean", 1)]:
                case = {"excerpt": name, "kind": kind, "seed": seed}
                figures.once(case, partial(judged, name, truth, kind, seed, reference))
    print(table(figures.rows))


if __name__ == "__main__":
    main()
