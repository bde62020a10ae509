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


class Results:
    """The latest outcome of each visitor, under a token that is drawn for it and that only his browser holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._held: dict[str, tuple[float, Outcome]] = {}  # by token, the oldest first
        self._timer: threading.Timer | None = None

    def keep(self, outcome: Outcome) -> str:
        """Holds an outcome for an hour, and returns the token by which it is found."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._held[token] = (self._clock(), outcome)
            while len(self._held) > MOST_KEPT:
                del self._held[next(iter(self._held))]
        self._tidy()
        return token

    def find(self, token: object) -> Outcome | None:
        """The outcome that is held under a token; None for whatever is no such token, or not any more."""
        self._tidy()
        with self._lock:
            _, outcome = self._held.get(token, (0.0, None)) if isinstance(token, str) else (0.0, None)
            return outcome

    def of(self, recording: str | Path, token: object) -> Outcome | None:
        """The outcome that is held under a token, where it is this recording's."""
        outcome = self.find(token)
        if outcome is None or not outcome.recording.exists():
            return None
        return outcome if filecmp.cmp(outcome.recording, recording, shallow=False) else None

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
