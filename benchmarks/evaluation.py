"""What one evaluation of a full-size network costs: time in calibration units, and peak memory.

A unit is a fixed piece of network-like work, measured right before and after, so that figures from different machines
compare. The published program takes, at the piano size, 14.8 units and 11.4 GB with the gradient, 7.5 units without.

    python benchmarks/evaluation.py [--size piano|voice] [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from functools import partial
from pathlib import Path

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

CASES = ("forward", "forward bfloat16", "gradient", "gradient memory", "gradient compile", "gradient bfloat16")


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

    published = PUBLISHED[chosen.size]
    here = machine()
    found: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "machine": here,
        "size": chosen.size,
        "transform_seconds": round(transform_seconds(chosen.size), 4),
    }
    print(f"{chosen.size} on {described(here)}: transform built in {found['transform_seconds']} s")
    print(f"{'case':20}{'units':>8}{'CPU s':>8}{'peak GB':>9}   against the published program")
    units = Units()
    for case in CASES:
        taken = units.of(partial(alone, __file__, "--size", chosen.size, "--case", case))
        original = published["forward" if case.startswith("forward") else "gradient"]
        found[case] = {key: round(value, 2) for key, value in taken.items()}
        memory = f", {taken['peak_gb'] / published['GB']:.0%} of its memory" if "gradient" in case else ""
        line = f"{case:20}{taken['units']:8.2f}{taken['cpu_seconds']:8.1f}{taken['peak_gb']:9.2f}"
        print(f"{line}   1/{original / taken['units']:.1f} of its time{memory}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
