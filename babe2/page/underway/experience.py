"""How long restorations have lately taken on this machine, by which the next one like them is promised.

The machine's pace (`babe2.estimate`) is tried on an evaluation or two, in an instant at which the machine may have been
busier or quieter than it is; and it knows nothing of what a page does beside restoring.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from statistics import fmean

RUNS, LATELY_SECONDS = 3, 1800.0  # so many runs of a kind, of so short a time ago, tell of the next one
KEPT = 32  # runs of all kinds
SHOWING_SECONDS = 3.0  # what pictures, desk and file of a result take, before any was made


@dataclass(frozen=True)
class _Run:
    ended: float
    kind: Hashable
    per_second: float  # seconds for each second of sound
    showing: float  # seconds until its result could be seen


@dataclass(frozen=True)
class Experience:
    """What the last runs tell of the next one."""

    clock: Callable[[], float] = time.monotonic
    _runs: deque[_Run] = field(default_factory=lambda: deque(maxlen=KEPT))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: Hashable, sound: float, taken: float, showing: float) -> None:
        """A run of some kind has `taken` so many seconds for so many of `sound`, and its result others."""
        if sound > 0:
            with self._lock:
                self._runs.append(_Run(self.clock(), kind, taken / sound, showing))

    def lasting(self, kind: Hashable, sound: float, told: float) -> float:
        """The seconds until the result of a run is there, of which the machine's pace has `told`.

        >>> experience = Experience()
        >>> experience.note("draft", sound=10, taken=20, showing=4)
        >>> experience.lasting("draft", sound=30, told=15), experience.lasting("standard", sound=30, told=15)
        (64.0, 19.0)
        """
        now = self.clock()
        with self._lock:
            lately = [run for run in self._runs if now - run.ended < LATELY_SECONDS]
        showing = fmean([run.showing for run in lately[-RUNS:]] or [SHOWING_SECONDS])
        alike = [run.per_second for run in lately if run.kind == kind][-RUNS:]
        return (sound * fmean(alike) if alike else told) + showing
