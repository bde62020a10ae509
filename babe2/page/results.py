"""What a visitor finds again after the page was loaded anew, under a token that only his browser holds."""

from __future__ import annotations

import filecmp
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from babe2.page.outcome import Outcome

KEPT_SECONDS = 3600.0
MOST_KEPT = 50
MOST_RUNS = 3  # of each visitor, to be compared on the desk

Thing = TypeVar("Thing")


class Held(Generic[Thing]):
    """Things under tokens that nobody can guess, each for some time after it was last looked for or kept.

    Of those that nobody `needs` the oldest go where more than `most` are held, as `weight` counts them.
    """

    def __init__(
        self,
        seconds: float,
        most: int,
        *,
        weight: Callable[[Thing], int] = lambda _: 1,
        needed: Callable[[Thing], bool] = lambda _: False,
        renewed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`renewed`: whether looking for a thing keeps it for longer."""
        self._seconds, self._most, self._weight, self._needed = seconds, most, weight, needed
        self._renewed, self._clock, self._lock = renewed, clock, threading.Lock()
        self._held: dict[str, tuple[float, Thing]] = {}  # by token, the oldest first
        self._timer: threading.Timer | None = None

    def keep(self, thing: Thing) -> str:
        """Holds a thing, and returns the token by which it is found."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._held[token] = (self._clock(), thing)
            while sum(self._weight(held) for _, held in self._held.values()) > self._most:
                oldest = next((each for each, (_, held) in self._held.items() if not self._needed(held)), token)
                del self._held[oldest]
        self._tidy()
        return token

    def find(self, token: object) -> Thing | None:
        """What is held under a token; None for whatever is no such token, or not any more."""
        self._tidy()
        with self._lock:
            if not isinstance(token, str) or token not in self._held:
                return None
            thing = self._held[token][1]
            if self._renewed:
                del self._held[token]
                self._held[token] = (self._clock(), thing)
            return thing

    def forget(self, token: object) -> None:
        """Lets go of what is under a token."""
        with self._lock:
            if isinstance(token, str):
                self._held.pop(token, None)

    def _tidy(self) -> None:
        """Lets go of what is too old, now and whenever more of it will be, also where nobody comes to the page."""
        with self._lock:
            over = self._clock() - self._seconds
            kept = {token: held for token, held in self._held.items() if held[0] > over or self._needed(held[1])}
            self._held = kept
            if self._held and (self._timer is None or not self._timer.is_alive()):
                self._timer = threading.Timer(self._seconds / 6, self._tidy_again)
                self._timer.daemon = True
                self._timer.start()

    def _tidy_again(self) -> None:
        self._timer = None
        self._tidy()


class Results:
    """The latest outcomes of each visitor, the newest first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._held = Held[tuple[Outcome, ...]](KEPT_SECONDS, MOST_KEPT, weight=len, clock=clock)

    def keep(self, outcome: Outcome, former: object = None) -> str:
        """Holds an outcome for an hour, and returns the token by which it is found.

        Those of the same place of its recording that were held under a `former` token stay behind it.
        """
        before = [each for each in self.runs_of(outcome.recording, former) if each.excerpt == outcome.excerpt]
        self.forget(former)
        return self._held.keep((outcome, *before)[:MOST_RUNS])

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

    def forget(self, token: object) -> None:
        """Lets go of the outcome under a token."""
        self._held.forget(token)

    def _runs(self, token: object) -> tuple[Outcome, ...]:
        return self._held.find(token) or ()
