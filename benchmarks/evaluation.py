"""What one evaluation of a full-size network costs: time in calibration units, and peak memory.

A unit is a fixed piece of network-like work, measured right before and after, so that figures from different machines
compare. The published program takes, at the piano size, 14.8 units and 11.4 GB with the gradient, 7.5 units without.

    python benchmarks/evaluation.py [--size piano|voice] [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from babe2.config import Architecture, Model
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus
from babe2.prior import PublishedPrior
from babe2.process import reuse_memory

SIZES = {
    "piano": Model(Architecture((64, 96, 96, 128, 128, 256, 256), (2, 3, 4, 5, 6, 7, 7), 64), 22050, 184184, 0.063),
    "voice": Model(
        Architecture((32, 32, 64, 64, 128, 128, 256, 256), (1, 3, 4, 5, 5, 6, 6, 7), 32), 44100, 262144, 1.0, "voice"
    ),
}
PUBLISHED = {
    "piano": {"gradient": 14.8, "forward": 7.5, "GB": 11.4},
    "voice": {"gradient": 13.5, "forward": 6.7, "GB": 13.6},
}
CASES = ("forward", "forward bfloat16", "gradient", "gradient memory", "gradient compile", "gradient bfloat16")


def unit() -> float:
    """CPU seconds of the calibration work."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 96, 128, 1024, generator=generator).requires_grad_()
    kernels = [torch.randn(96, 96, 5, 3, generator=generator) / 40 for _ in range(3)]

    def work() -> None:
        y = x
        for i, kernel in enumerate(kernels):
            h = F.gelu(y / (y.std(dim=(1, 2, 3), keepdim=True) + 1e-7))
            y = (y + F.conv2d(h, kernel, padding="same", dilation=(2**i, 1))) / 2**0.5
        torch.autograd.grad(y.square().sum(), x)

    return median_cpu(work, repeats=5)


def median_cpu(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds, the median after one warm-up."""
    taken = []
    for _ in range(repeats + 1):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken[1:])


def measure(size: str, case: str) -> dict[str, float]:
    """One case, in a process of its own so that its peak memory is its own."""
    model = SIZES[size]
    reuse_memory()
    network = CQTDiffPlus(model.architecture).requires_grad_(False).to(memory_format=torch.channels_last)
    network.save_memory = "memory" in case
    if "compile" in case:
        network.compile_pointwise()
    if "bfloat16" in case:
        network.set_dtype(torch.bfloat16)
    transform = ConstantQ(
        model.sample_rate, model.segment, model.architecture.octaves, model.architecture.bins_per_octave
    )
    prior = PublishedPrior(network, transform, model.sigma_data)
    noisy = torch.randn(1, model.segment, generator=torch.Generator().manual_seed(1)).requires_grad_()
    sigma = torch.tensor(0.1)

    def evaluate() -> None:
        if case.startswith("forward"):
            with torch.no_grad():
                prior(noisy, sigma)
        else:
            torch.autograd.grad(prior(noisy, sigma).square().sum(), noisy)

    cpu = median_cpu(evaluate, repeats=3)
    return {"cpu_seconds": cpu, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def transform_seconds(size: str) -> float:
    """Wall time of building the transform's tables."""
    model = SIZES[size]
    octaves, bins = model.architecture.octaves, model.architecture.bins_per_octave
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        ConstantQ(model.sample_rate, model.segment, octaves, bins)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def alone(*arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="piano")
    options.add_argument("--json", type=Path, help="write the figures there, too")
    options.add_argument("--case", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    torch.set_num_threads(2)
    if chosen.case == "unit":
        print(json.dumps({"cpu_seconds": unit()}))
        return
    if chosen.case:
        print(json.dumps(measure(chosen.size, chosen.case)))
        return

    published = PUBLISHED[chosen.size]
    found: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, 2 threads",
        "torch": torch.__version__,
        "size": chosen.size,
        "transform_seconds": round(transform_seconds(chosen.size), 4),
    }
    print(f"{chosen.size}: transform built in {found['transform_seconds']} s")
    print(f"{'case':20}{'units':>8}{'CPU s':>8}{'peak GB':>9}   against the published program")
    for case in CASES:
        before = alone("--case", "unit")["cpu_seconds"]
        taken = alone("--size", chosen.size, "--case", case)
        per_unit = (before + alone("--case", "unit")["cpu_seconds"]) / 2
        units = taken["cpu_seconds"] / per_unit
        original = published["forward" if case.startswith("forward") else "gradient"]
        found[case] = {"units": round(units, 2), **{key: round(value, 2) for key, value in taken.items()}}
        memory = f", {taken['peak_gb'] / published['GB']:.0%} of its memory" if "gradient" in case else ""
        line = f"{case:20}{units:8.2f}{taken['cpu_seconds']:8.1f}{taken['peak_gb']:9.2f}"
        print(f"{line}   1/{original / units:.1f} of its time{memory}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
