"""What commands say on a terminal, and how they are interrupted."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from babe2.errors import RestorationError
from babe2.run import Step
from babe2.wording import clock

if TYPE_CHECKING:
    from babe2.checkpoints.transfer import Transfer


INTERRUPTED = 130  # the status of a command that Ctrl-C ended


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, and what a machine sends that is to be switched off, ask the run to end; a second one ends it at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        for number, handler in before.items():
            signal.signal(number, handler)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """A line to stderr; line breaks and other control characters in file names are made visible."""
    if sys.stderr is not None:
        visible = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
        print(f"babe2: {visible}", file=sys.stderr, flush=True)


def complain(text: str) -> int:
    say(text)
    return 1


def pairs_of(texts: list[str], option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if odd := [name for name, equals, _ in pairs if not equals]:
        raise RestorationError(f"{option} takes NAME=VALUE, not {odd[0]!r}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks the run to end; a second one ends it at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress_line(name: str) -> Iterator[Callable[[Step | str], None]]:
    """A line on stderr that follows the run: rewritten on a terminal, else a new one every ten seconds."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    last = time.monotonic()

    def show(step: Step | str) -> None:
        nonlocal last
        if isinstance(step, Step):
            place = f"segment {step.segment}/{step.segments}, step {step.step}/{step.steps}"
            step = f"{place}, misfit {step.misfit:.2f}, {clock(step.seconds_left)} left"
        if terminal:
            print(f"\r\033[K{name!a}: {step}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{name}: {step}")

    try:
        yield show
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def fetch_line(name: str) -> Iterator[Callable[[Transfer], None]]:
    """The same for a download."""
    with progress_line(name) as show:

        def follow(transfer: Transfer) -> None:
            whole = f" of {transfer.total / 1e6:.1f}" if transfer.total else ""
            left = f", {clock(transfer.seconds_left)} left" if transfer.seconds_left is not None else ""
            show(f"fetched {transfer.done / 1e6:.1f}{whole} MB{left}")

        yield follow
