"""All lessons of this machine: found again by their visitors, one at a time at work, deleted after some hours."""

from __future__ import annotations

import atexit
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from babe2.errors import RestorationError
from babe2.page.singer.lesson import Lesson, Wish
from babe2.page.singer.own import OWN
from babe2.wording import format_duration

KEPT_SECONDS = 6 * 3600.0  # after its visitor was last seen, or it has last learned
MOST_LESSONS = 10
PATIENCE = 2.0  # seconds in which a lesson may stop of itself when the page ends


class School:
    """The lessons, each under a token that is drawn for its visitor and that only his browser holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.RLock()
        self._held: dict[str, tuple[float, Lesson]] = {}  # when each was last asked for
        self._timer: threading.Timer | None = None
        atexit.register(self.close)

    def enrol(self) -> tuple[str, Lesson]:
        """A new lesson and its token."""
        token, lesson = secrets.token_urlsafe(32), Lesson(Path(tempfile.mkdtemp(prefix="babe2-singer-")))
        with self._lock:
            self._tidy()
            self._held[token] = self._clock(), lesson
            for name in list(self._held):  # the oldest first; who learns stays
                if len(self._held) > MOST_LESSONS and not self._held[name][1].is_learning and name != token:
                    self.dismiss(name)
        return token, lesson

    def find(self, token: object) -> Lesson | None:
        """The lesson under a token; None for whatever is no such token, or not any more."""
        with self._lock:
            self._tidy()
            if not isinstance(token, str) or token not in self._held:
                return None
            lesson = self._held.pop(token)[1]
            self._held[token] = self._clock(), lesson
            return lesson

    def begin(self, lesson: Lesson, wish: Wish) -> None:
        """Lets it learn, if no other one does."""
        with self._lock:
            if (other := self.learning()) is not None and other is not lesson:
                raise RestorationError(f"{self.busy(lesson)} Your recordings are kept meanwhile.")
            lesson.begin(wish)

    def learning(self) -> Lesson | None:
        """The lesson at work."""
        with self._lock:
            return next((lesson for _, lesson in self._held.values() if lesson.is_learning), None)

    def busy(self, mine: Lesson | None) -> str:
        """What is told to others than the one whose lesson is at work; "" where there are none."""
        other = self.learning()
        if other is None or other is mine:
            return ""
        reports = other.progress()
        left = reports[-1]["seconds_left"] if reports else 60 * other.wish.minutes if other.wish else None
        until = "" if left is None else f", for {format_duration(left)} more"
        return f"Somebody else's recordings are being learned from{until}; one at a time is what this machine can do."

    def dismiss(self, token: object) -> None:
        """Ends and deletes the lesson under a token, and what was learned in it."""
        with self._lock:
            lesson = self._held.pop(token, (0.0, None))[1] if isinstance(token, str) else None
        if lesson is not None:
            OWN.remove(lesson.folder)
            lesson.forget()

    def close(self) -> None:
        """Ends them all."""
        with self._lock:
            for _, lesson in self._held.values():
                lesson.stop()
            for _, lesson in self._held.values():
                lesson.stop(patience=PATIENCE)
            for token in list(self._held):
                self.dismiss(token)

    def _tidy(self) -> None:
        """Deletes what is too old, now and every now and then, also where nobody comes to the page."""
        with self._lock:
            over = self._clock() - KEPT_SECONDS
            for token, (seen, lesson) in list(self._held.items()):
                if lesson.is_learning:
                    self._held[token] = self._clock(), lesson
                elif seen <= over:
                    self.dismiss(token)
            if self._held and (self._timer is None or not self._timer.is_alive()):
                self._timer = threading.Timer(KEPT_SECONDS / 12, self._tidy_again)
                self._timer.daemon = True
                self._timer.start()

    def _tidy_again(self) -> None:
        self._timer = None
        self._tidy()
