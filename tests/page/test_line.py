"""Whoever waits is told how many are before him, as Gradio's own queue has it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gradio.queueing import EventQueue

from babe2.page.underway.line import RESTORATION, before, waits


def test_all_who_restore_are_in_one_line_programs_among_them() -> None:
    line = EventQueue(RESTORATION, 1)
    page: Any = SimpleNamespace(_queue=SimpleNamespace(event_queue_per_concurrency_id={}))
    assert before("a", page) == before("a") == 0
    page._queue.event_queue_per_concurrency_id[RESTORATION] = line
    line.current_concurrency = 1
    line.queue += [SimpleNamespace(session_hash=name) for name in ("program", "a", "b")]  # type: ignore[list-item]
    assert [before(name, page) for name in ("program", "a", "b", "who comes now")] == [1, 2, 3, 4]
    assert waits("a", page) and not waits("who comes now", page)
