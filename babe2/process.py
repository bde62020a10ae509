"""What a program that restores asks of its machine: to keep memory, and no more threads than there are idle cores."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from babe2.version import __version__

if TYPE_CHECKING:
    import torch
import platform
from typing import TYPE_CHECKING, Any, Literal

import torch

from babe2.errors import RestorationError

if TYPE_CHECKING:
    pass

LOOK_SECONDS = 0.1
STAT = Path("/proc/stat")


def reuse_memory() -> None:
    """Asks the C library to keep what is freed for what is asked for next, as this program mostly restores.

    Torch has no cache on a CPU: each evaluation's pictures are handed back to the system and cleared anew, which takes
    a fifth of the time. Only glibc understands this; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        for parameter in (trim_threshold, mmap_threshold):
            library.mallopt(parameter, 2**31 - 1)


def fit_threads() -> int:
    """Lets torch use as many threads as cores are idle now; returns how many.

    Threads that wait for one another on a core that somebody else uses make everything ten times slower than a single
    thread would be. Who sets OMP_NUM_THREADS knows better.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), round(idle_cores()))))
    return torch.get_num_threads()


def idle_cores() -> float:
    """How many of the cores this process may use have nothing to do."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    with suppress(OSError, ValueError, KeyError, ZeroDivisionError):
        before = _ticks()
        time.sleep(LOOK_SECONDS)
        after = _ticks()
        spent = {core: [b - a for a, b in zip(before[core], after[core], strict=True)] for core in usable}
        return sum(idle / whole for idle, whole in spent.values())
    return float(len(usable))


def _ticks() -> dict[int, tuple[int, int]]:
    """Of each core: the time it was idle, and all time."""
    found = {}
    for line in STAT.read_text().splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            counts = [int(number) for number in numbers[:8]]  # guests are counted in what precedes them
            found[int(name[3:])] = (counts[3] + counts[4], sum(counts))
    return found


def memory_now(device: torch.device) -> int:
    """Bytes in use, on a graphics card or by this process; 0 where nobody tells."""
    import torch

    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _status("VmRSS")


def peak_memory(device: torch.device) -> int:
    """The most since it was forgotten."""
    import torch

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def forget_peak_memory(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])
    return 0


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch computes with so many, and afterwards with as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_out_of_memory(error: BaseException) -> bool:
    """What torch says in many ways."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16")
DEVICES = ("cpu", "cuda", "mps")


@contextmanager
def enough_memory(
    way_out: str = "Save memory (--save-memory), restore one channel at a time or choose a shorter excerpt.",
) -> Iterator[None]:
    """Says in a sentence what torch says in a page."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise RestorationError(f"There is not enough memory for this. {way_out}") from None
        raise


def choose_device(device: str) -> str:
    """ "auto" is a CUDA card, else Apple's, else the processor."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if torch.device(device).type not in DEVICES:
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise RestorationError(f"There is no device {device!r} on this machine. Choose auto or cpu.") from None
    return device


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies matrices of bfloat16 several times faster than of float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 and later
    return torch.device(device).type == "cpu" and bool(capabilities.get("amx_bf16", False))


def versions() -> dict[str, str]:
    return {"babe2": __version__, "torch": torch.__version__, "python": platform.python_version()}
