"""What one evaluation of a full-size network costs: time in calibration units, and peak memory.

A unit is a fixed piece of network-like work, measured right before and after, so that figures from different machines
compare. The published program takes, at the piano size, 14.8 units and 11.4 GB with the gradient, 7.5 units without.

    python benchmarks/evaluation.py [--size piano|voice] [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import (
    PUBLISHED,
    SIZES,
    Units,
    alone,
    described,
    machine,
    median_seconds,
    peak_gb,
    untrained,
    use_threads,
)

from babe2.config import Architecture
from babe2.cqt import ConstantQ
from babe2.prior import PublishedPrior
from babe2.process import reuse_memory

CASES = {  # and how they are told
    "forward": "without gradient",
    "forward bfloat16": "without gradient, `--precision bfloat16`",
    "gradient": "with gradient, as sampling needs it",
    "gradient memory": "with gradient, `--save-memory`",
    "gradient compile": "with gradient, `--compile`",
    "gradient bfloat16": "with gradient, `--precision bfloat16`",
}


def measure(size: str, case: str) -> dict[str, float]:
    """Measures one case, in a process of its own so that its peak memory is its own."""
    model = SIZES[size]
    reuse_memory()
    network = untrained(size, "bfloat16" if "bfloat16" in case else "float32")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.save_memory = "memory" in case
    if "compile" in case:
        network.compile_pointwise()
    architecture = model.architecture
    assert isinstance(architecture, Architecture)
    transform = ConstantQ(model.sample_rate, model.segment, architecture.octaves, architecture.bins_per_octave)
    prior = PublishedPrior(network, transform, model.sigma_data)
    noisy = torch.randn(1, model.segment, generator=torch.Generator().manual_seed(1)).requires_grad_()
    sigma = torch.tensor(0.1)

    def evaluate() -> None:
        if case.startswith("forward"):
            with torch.no_grad():
                prior(noisy, sigma)
        else:
            torch.autograd.grad(prior(noisy, sigma).square().sum(), noisy)

    return {"cpu_seconds": median_seconds(evaluate, repeats=3), "peak_gb": peak_gb()}


def transform_seconds(size: str) -> float:
    """Measures the wall time of building the transform's tables."""
    model = SIZES[size]
    architecture = model.architecture
    assert isinstance(architecture, Architecture)
    octaves, bins = architecture.octaves, architecture.bins_per_octave
    return median_seconds(
        lambda: ConstantQ(model.sample_rate, model.segment, octaves, bins), repeats=5, clock=time.perf_counter
    )


def table(found: Mapping[str, Any]) -> str:
    """Each case against the published program, as Markdown."""
    published = PUBLISHED[found["size"]]
    lines = ["| one evaluation | units | published program | faster | CPU s | peak memory |", "| --- " * 6 + "|"]
    for case, said in CASES.items():
        taken = found[case]
        gradient = case.startswith("gradient")
        original = published["gradient" if gradient else "forward"]
        memory = f"{taken['peak_gb']:.1f} GB" + (f" of {published['GB']}" if gradient else "")
        faster = original / taken["units"]
        lines.append(
            f"| {said} | {taken['units']:.1f} | {original} | {faster:.1f} x | {taken['cpu_seconds']:.1f} | {memory} |"
        )
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="piano")
    options.add_argument("--json", type=Path, help="write the figures there, too")
    options.add_argument("--case", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    use_threads()
    if chosen.case:
        print(json.dumps(measure(chosen.size, chosen.case)))
        return

    here = machine()
    found: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "machine": here,
        "size": chosen.size,
        "transform_seconds": round(transform_seconds(chosen.size), 4),
    }
    print(f"{chosen.size} on {described(here)}: transform built in {found['transform_seconds']} s")
    units = Units()
    for case in CASES:
        print(case, file=sys.stderr, flush=True)
        taken = units.of(partial(alone, __file__, "--size", chosen.size, "--case", case))
        found[case] = {key: round(value, 2) for key, value in taken.items()}
    print(table(found))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
