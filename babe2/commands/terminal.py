"""What commands say on a terminal, and how signals stop them."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from babe2.errors import RestorationError
from babe2.run import Step
from babe2.wording import clock

if TYPE_CHECKING:
    from babe2.checkpoints.transfer import Transfer

INTERRUPTED = 130  # what a command returns that was asked to stop; `main` turns it into 128 + the signal's number
STOP_SIGNALS = [  # Ctrl-C; what is sent before a machine goes down; what is sent when a terminal is closed
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
]
OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)  # at which spectra and responses are told


# Signals


class Interruption:
    """Which signal asked this command to stop, and whether the command looks for itself if one did."""

    def __init__(self) -> None:
        self.number = 0  # of the signal; 0 until one comes
        self.polled = False

    @property
    def status(self) -> int:
        """The exit status of a stopped command: 130 after Ctrl-C, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    def __call__(self, number: int, frame: object) -> None:
        """The handler of all these signals; a second one ends a command that takes long to stop."""
        first, self.number = not self.number, number
        if not (first and self.polled):
            raise KeyboardInterrupt


_interruption = Interruption()


@contextmanager
def stopped_by_signals() -> Iterator[Interruption]:
    """Inside, a signal that asks to stop raises KeyboardInterrupt, or is noted where `interruptible` looks for it."""
    global _interruption
    outer, _interruption = _interruption, Interruption()
    before = {}
    if threading.current_thread() is threading.main_thread():  # only there signals can be handled
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                before[number] = signal.signal(number, _interruption)
    try:
        yield _interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _interruption = outer


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether a signal asked to stop; a second signal ends everything at once."""
    interruption = _interruption
    interruption.polled = True
    try:
        yield lambda: interruption.number != 0
    finally:
        interruption.polled = False


# Words


def say(text: str) -> None:
    """Writes a line to stderr; line breaks and other control characters in file names are made visible."""
    visible = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    _to_stderr(f"babe2: {visible}\n")


def _to_stderr(text: str) -> None:
    with suppress(OSError):  # a terminal that was closed costs no result
        if sys.stderr is not None:
            print(text, end="", file=sys.stderr, flush=True)


def complain(text: str) -> int:
    """Says what went wrong, and returns the exit status for it."""
    say(text)
    return 1


def pairs_of(texts: list[str], option: str) -> dict[str, str]:
    """The names and values of an option that takes NAME=VALUE."""
    pairs = [text.partition("=") for text in texts]
    if odd := [name for name, equals, _ in pairs if not equals]:
        raise RestorationError(f"{option} takes NAME=VALUE, not {odd[0]!r:.80}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


# Progress


@contextmanager
def progress_line(name: str) -> Iterator[Callable[[Step | str], None]]:
    """Yields a function that shows how a run stands, in one line of stderr.

    On a terminal the line is rewritten; elsewhere a new one is written every ten seconds.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    last = time.monotonic()

    def show(step: Step | str) -> None:
        nonlocal last
        if isinstance(step, Step):
            place = f"segment {step.segment}/{step.segments}, step {step.step}/{step.steps}"
            step = f"{place}, misfit {step.misfit:.2f}, {clock(step.seconds_left)} left"
        if terminal:
            _to_stderr(f"\r\033[K{name!a}: {step}")
        elif time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{name}: {step}")

    try:
        yield show
    finally:
        if terminal:
            _to_stderr("\r\033[K")


@contextmanager
def fetch_line(name: str) -> Iterator[Callable[[Transfer], None]]:
    """The same for a download."""
    with progress_line(name) as show:

        def follow(transfer: Transfer) -> None:
            whole = f" of {transfer.total / 1e6:.1f}" if transfer.total else ""
            left = f", {clock(transfer.seconds_left)} left" if transfer.seconds_left is not None else ""
            show(f"fetched {transfer.done / 1e6:.1f}{whole} MB{left}")

        yield follow
