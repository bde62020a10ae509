"""Asked here, heard there."""

from __future__ import annotations

import pickle

from babe2.page.underway.stop import Stop


def test_a_run_goes_on_until_it_is_asked_to_stop() -> None:
    stop, other = Stop.new(), Stop.new()
    assert not stop()
    stop.ask()
    stop.ask()
    assert stop() and not other()
    other.ask()


def test_a_copy_in_another_process_hears_it_too() -> None:
    stop = Stop.new()
    copy = pickle.loads(pickle.dumps(stop))
    assert not copy()
    stop.ask()
    assert copy()


def test_nothing_is_left_behind() -> None:
    with Stop.new() as stop:
        assert stop.going.exists()
    assert stop() and not stop.going.exists()
