"""How signals reach a command: as an exception, or as a wish that it looks for itself."""

from __future__ import annotations

import os
import signal

import pytest

from babe2.commands.terminal import STOP_SIGNALS, interruptible, stopped_by_signals

pytestmark = pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)


def test_a_signal_that_nobody_looks_for_ends_the_command(number: signal.Signals) -> None:
    with stopped_by_signals() as interruption:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interruption.status == 128 + number


def test_a_first_signal_is_a_wish_and_a_second_one_ends_at_once(number: signal.Signals) -> None:
    with stopped_by_signals() as interruption, interruptible() as asked_to_stop:
        assert not asked_to_stop()
        os.kill(os.getpid(), number)
        assert asked_to_stop() and interruption.status == 128 + number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_afterwards_signals_do_what_they_did_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopped_by_signals():
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before


def test_what_was_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stopped_by_signals() as interruption:
            os.kill(os.getpid(), number)
            assert interruption.number == 0
    finally:
        signal.signal(number, before)
