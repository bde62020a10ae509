"""What the benchmarks share: a unit of work, the full-size networks, a description of the machine, kept figures."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from babe2.config import Architecture
from babe2.network import CQTDiffPlus
from babe2.networks.models import MODELS
from babe2.process import has_bfloat16

RESULTS = Path(__file__).parent / "results"
SIZES = {name: MODELS[name] for name in ("piano", "voice")}
PUBLISHED = {  # what the published program takes: units of an evaluation and of a whole segment, and memory
    "piano": {"gradient": 14.8, "forward": 7.5, "segment": 1500, "GB": 11.4},
    "voice": {"gradient": 13.5, "forward": 6.7, "segment": 1360, "GB": 13.6},
}


def untrained(size: str, precision: str = "float32") -> CQTDiffPlus:
    """Returns a full-size network with untrained weights, which are as fast as trained ones."""
    architecture = SIZES[size].architecture
    assert isinstance(architecture, Architecture)
    return CQTDiffPlus(architecture).requires_grad_(False).set_dtype(getattr(torch, precision))


def use_threads() -> None:
    """Sets as many threads as the published program was measured with, unless OMP_NUM_THREADS says otherwise."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(2)


# Time and memory


def unit() -> float:
    """Measures the CPU seconds of the calibration work."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 96, 128, 1024, generator=generator).requires_grad_()
    kernels = [torch.randn(96, 96, 5, 3, generator=generator) / 40 for _ in range(3)]

    def work() -> None:
        y = x
        for i, kernel in enumerate(kernels):
            h = F.gelu(y / (y.std(dim=(1, 2, 3), keepdim=True) + 1e-7))
            y = (y + F.conv2d(h, kernel, padding="same", dilation=(2**i, 1))) / 2**0.5
        torch.autograd.grad(y.square().sum(), x)

    return median_seconds(work, repeats=5)


def median_seconds(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    """Measures the median time after one warm-up; CPU time, unless another clock is given."""
    taken = []
    for _ in range(repeats + 1):
        began = clock()
        work()
        taken.append(clock() - began)
    return statistics.median(taken[1:])


def peak_gb() -> float:
    """Returns the most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def alone(script: str, *arguments: str) -> dict[str, Any]:
    """Runs a script in a process of its own, so that its peak memory is its own; returns the JSON it prints."""
    process = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{process.stderr}")
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def unit_alone() -> float:
    """Measures the unit in a process of its own."""
    return float(alone(__file__)["cpu_seconds"])


class Units:
    """Turns CPU seconds into units, which are measured right before and after; between two measurements once."""

    def __init__(self, unit_now: Callable[[], float] = unit_alone) -> None:
        self.unit_now = unit_now
        self.before: float | None = None

    def of(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Returns what `measure` finds, and its CPU seconds in units."""
        before = self.unit_now() if self.before is None else self.before
        found = measure()
        self.before = self.unit_now()
        per_unit = (before + self.before) / 2
        return {"units": round(found["cpu_seconds"] / per_unit, 2), "unit_seconds": round(per_unit, 3)} | found


# What is kept


def machine() -> dict[str, Any]:
    """Describes this machine."""
    return {
        "processor": processor(),
        "kind": kind_of_processor(getattr(torch.cpu, "get_capabilities", dict)()),  # torch 2.11 and later
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "native_bfloat16": has_bfloat16("cpu"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def kind_of_processor(capabilities: dict[str, Any]) -> str:
    """Names the instructions that decide how fast matrices are multiplied, and above all those of bfloat16."""
    kinds = {"amx_bf16": "AMX bf16", "avx512_bf16": "AVX-512 bf16", "avx512_f": "AVX-512", "avx2": "AVX2"}
    found = (kind for name, kind in kinds.items() if capabilities.get(name))
    return next(found, str(capabilities.get("architecture", platform.machine())))


def described(machine: dict[str, Any]) -> str:
    """Returns a machine as the tables name it: the kind of its processor, threads and cores."""
    # Figures from before the kind was kept tell native bfloat16, which is AMX, and torch's own name of the others.
    kind = machine.get("kind") or ("AMX bf16" if machine["native_bfloat16"] else machine["instructions"])
    return f"{kind}, {machine['threads']} of {machine['cores']} cores"


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Returns the processor's name and architecture."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return f"{value.strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


@dataclass
class Figures:
    """Rows of a JSON file, each of them measured once: a case, and what was measured."""

    path: Path
    machine: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())

    @classmethod
    def at(cls, path: Path, machine: dict[str, Any]) -> Figures:
        """Opens the file, or begins one; figures of another machine are refused."""
        if not path.exists():
            return cls(path, machine)
        kept = json.loads(path.read_text("utf-8"))
        if kept["machine"] != machine:
            raise SystemExit(f"{path} holds figures of another machine: {kept['machine']}. Name another file (--json).")
        return cls(path, machine, kept["rows"], kept["date"])

    def row(self, case: dict[str, Any], measure: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Returns the row of a case; measures and saves it where it is not there yet."""
        for row in self.rows:
            if all(name in row and row[name] == value for name, value in case.items()):
                return row
        self.rows.append(case | measure(case))
        self.save()
        return self.rows[-1]

    def once(self, case: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The same, for what knows its case already."""
        return self.row(case, lambda _: measure())

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        kept = {"date": self.date, "machine": self.machine, "rows": self.rows}
        unfinished = self.path.with_suffix(".new")
        unfinished.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        unfinished.replace(self.path)


def held_out_and_figures(about: str | None) -> tuple[list[Path], Figures]:
    """The recordings and the file of figures that a command line names; what is measured with them has one thread."""
    from babe2.evaluation.clips import find_recordings  # not for a unit, whose memory is measured

    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, required=True, help="where figures are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    return find_recordings(given.held_out), Figures.at(given.json, machine())


if __name__ == "__main__":  # one unit, in a process of its own
    use_threads()
    print(json.dumps({"cpu_seconds": unit()}))
