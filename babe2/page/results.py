"""Finished restorations that a visitor finds again after the page was loaded anew."""

from __future__ import annotations

import filecmp
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from babe2.page.outcome import Outcome

KEPT_SECONDS = 3600.0
MOST_KEPT = 50
MOST_RUNS = 3  # of each visitor, to be compared on the desk


class Results:
    """The latest outcomes of each visitor, under a token that is drawn for them and that only his browser holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        # By token, the oldest first; of each visitor the newest first.
        self._held: dict[str, tuple[float, tuple[Outcome, ...]]] = {}
        self._timer: threading.Timer | None = None

    def keep(self, outcome: Outcome, former: object = None) -> str:
        """Holds an outcome for an hour, and returns the token by which it is found.

        Those of the same place of its recording that were held under a `former` token stay behind it.
        """
        token = secrets.token_urlsafe(32)
        before = [each for each in self.runs_of(outcome.recording, former) if each.excerpt == outcome.excerpt]
        self.forget(former)
        with self._lock:
            self._held[token] = (self._clock(), (outcome, *before)[:MOST_RUNS])
            while sum(len(runs) for _, runs in self._held.values()) > MOST_KEPT:
                del self._held[next(iter(self._held))]
        self._tidy()
        return token

    def find(self, token: object) -> Outcome | None:
        """The latest outcome that is held under a token; None for whatever is no such token, or not any more."""
        return next(iter(self._runs(token)), None)

    def of(self, recording: str | Path, token: object) -> Outcome | None:
        """The latest outcome that is held under a token, where it is this recording's."""
        return next(iter(self.runs_of(recording, token)), None)

    def runs_of(self, recording: str | Path, token: object) -> tuple[Outcome, ...]:
        """All that are held under a token, the newest first, where they are this recording's."""
        runs = self._runs(token)
        if not runs or not runs[0].recording.exists():
            return ()
        return runs if filecmp.cmp(runs[0].recording, recording, shallow=False) else ()

    def _runs(self, token: object) -> tuple[Outcome, ...]:
        self._tidy()
        with self._lock:
            return self._held.get(token, (0.0, ()))[1] if isinstance(token, str) else ()

    def forget(self, token: object) -> None:
        """Lets go of the outcome under a token."""
        with self._lock:
            if isinstance(token, str):
                self._held.pop(token, None)

    def _tidy(self) -> None:
        """Lets go of what is too old, now and whenever more of it will be, also where nobody comes to the page."""
        with self._lock:
            over = self._clock() - KEPT_SECONDS
            self._held = {token: held for token, held in self._held.items() if held[0] > over}
            if self._held and (self._timer is None or not self._timer.is_alive()):
                self._timer = threading.Timer(KEPT_SECONDS / 6, self._tidy_again)
                self._timer.daemon = True
                self._timer.start()

    def _tidy_again(self) -> None:
        self._timer = None
        self._tidy()
