"""What a program that restores asks of its machine: a device, threads, memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch

from babe2.errors import RestorationError
from babe2.version import __version__

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16")
DEVICES = ("cpu", "cuda", "mps")
ROOT = Path("/")
MOST_THREADS = 1024


def versions() -> dict[str, str]:
    """The versions of babe2, torch and Python, for reports."""
    return {"babe2": __version__, "torch": torch.__version__, "python": platform.python_version()}


# Threads


def set_threads(wished: int | None = None) -> int:
    """Lets torch compute with `wished` threads, or else one for each usable core; returns how many.

    OMP_NUM_THREADS is stronger than the default. The number decides in which order sums are rounded, so that it is
    chosen from what does not change while the machine runs, never from how busy the machine is at the moment.
    """
    if wished is not None:
        if not 1 <= wished <= MOST_THREADS:
            raise RestorationError(f"A computer can use 1 to {MOST_THREADS} threads, not {wished}.")
        torch.set_num_threads(wished)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    return torch.get_num_threads()


def usable_cores(root: Path = ROOT) -> int:
    """How many processor cores this program may use: those of its CPU set, at most what its control group may spend.

    A container with `--cpus=2` on a machine of 64 cores sees all 64 of them; 64 threads would spend its quota in an
    instant and then wait for one another. `root` is where the files of the system are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The CPU quotas, in cores, of this program's control group and of those it lies in (Linux, version 1 and 2)."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers not in ("", *_CPU_CONTROLLERS):
                continue
            mount = root / "sys/fs/cgroup" / controllers
            inside = Path(group.lstrip("/"))
            # In a container the path is often that of the host; what counts is then at the mount itself.
            for folder in (mount / inside, *(mount / parent for parent in inside.parents)):
                yield from _quota(folder)


_CPU_CONTROLLERS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def _quota(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()  # version 2: "max 100000" where nothing is limited
        yield float(quota) / float(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if float(quota) > 0:  # -1 where nothing is limited
            yield float(quota) / float(period)


class _Inside(threading.local):
    """What the current thread of this program is inside of."""

    count: int | None = None


_INSIDE = _Inside()
_DOOR = threading.Lock()  # held by work that has a number of its own, and in passing by whoever enters
_SHARING = threading.Condition()
_sharing = 0  # how many compute with the program's number
_usual: int | None = None  # the program's number, while work has another
_POLLED_SECONDS = 0.1


def thread_count() -> int:
    """The number of threads that new work computes with: torch's, but for what work of another number has set it to."""
    return _INSIDE.count or _usual or torch.get_num_threads()


@contextmanager
def threads(count: int, poll: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Torch computes with `count` threads inside, whatever else runs in this program.

    Torch has one number for the whole program, or for each of its threads, of which a new one begins with the number
    that was set last. So work with the program's own number goes on side by side, and work with another one is alone:
    it waits until nobody else computes, and whoever comes later waits for it. `poll` is called while this one waits;
    what it raises ends the waiting.
    """
    if _INSIDE.count is not None:
        if count != _INSIDE.count:
            raise RestorationError(
                f"Work with {count} threads cannot be done in the middle of work with {_INSIDE.count}. Do it after it."
            )
        yield
        return
    with _alone(count, poll) if count != thread_count() else _shared(count, poll):
        _INSIDE.count = count
        try:
            yield
        finally:
            _INSIDE.count = None


@contextmanager
def _shared(count: int, poll: Callable[[], None]) -> Iterator[None]:
    """Inside nobody changes the number of threads, which is `count`."""
    global _sharing
    _wait(lambda: _DOOR.acquire(timeout=_POLLED_SECONDS), poll)
    with _SHARING:
        _sharing += 1
    _DOOR.release()
    try:
        if torch.get_num_threads() != count:  # this thread was new while other work was alone
            torch.set_num_threads(count)
        yield
    finally:
        with _SHARING:
            _sharing -= 1
            _SHARING.notify_all()


@contextmanager
def _alone(count: int, poll: Callable[[], None]) -> Iterator[None]:
    """Inside nobody else computes; torch does so with `count` threads, and with as many as before afterwards."""
    global _usual
    _wait(lambda: _DOOR.acquire(timeout=_POLLED_SECONDS), poll)
    try:
        _wait(_nobody_shares, poll)
        _usual = torch.get_num_threads()
        torch.set_num_threads(count)
        yield
    finally:
        if _usual is not None:
            torch.set_num_threads(_usual)
            _usual = None
        _DOOR.release()


def _nobody_shares() -> bool:
    """Whether nobody computes with the program's number, now or in a moment."""
    with _SHARING:
        return _SHARING.wait_for(lambda: _sharing == 0, _POLLED_SECONDS)


def _wait(came: Callable[[], bool], poll: Callable[[], None]) -> None:
    """Returns when it came; until then it is asked again and again, and `poll` is called in between."""
    while not came():
        poll()


# Memory


def reuse_memory() -> None:
    """Asks the C library to keep freed memory for what is asked for next, instead of handing it back to the system.

    Torch has no cache on a CPU: each evaluation's pictures are handed back to the system and cleared anew, which takes
    a fifth of the time. All threads share what is kept: else each that has ever restored anything keeps as much of its
    own, and a page has many. Only glibc understands this; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        trim_threshold, mmap_threshold, arenas = -1, -3, -8
        for parameter in (trim_threshold, mmap_threshold):
            library.mallopt(parameter, 2**31 - 1)
        library.mallopt(arenas, 1)


def memory_now(device: torch.device) -> int:
    """Bytes in use, on a graphics card or by this process; 0 where the system does not say."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _status("VmRSS")


def peak_memory(device: torch.device) -> int:
    """The most bytes in use since `forget_peak_memory`; 0 where the system does not say."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def forget_peak_memory(device: torch.device) -> None:
    """Begins a new measurement of `peak_memory`."""
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory did not suffice, which torch says in several ways."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


@contextmanager
def enough_memory(
    way_out: str = "Save memory (--save-memory), restore one channel at a time or choose a shorter excerpt.",
) -> Iterator[None]:
    """Turns torch's page of text about memory into a `RestorationError` of one sentence and the way out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise RestorationError(f"There is not enough memory for this. {way_out}") from None
        raise


# Devices


def choose_device(device: str) -> str:
    """The torch device to compute on; "auto" is a CUDA card, else Apple's, else the processor."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if torch.device(device).type not in DEVICES:
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise RestorationError(f"There is no device {device!r:.80} on this machine. Choose auto or cpu.") from None
    return device


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies matrices of bfloat16 several times faster than of float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 and later
    return torch.device(device).type == "cpu" and bool(capabilities.get("amx_bf16", False))
