"""Whoever waits is told how many are before him, as Gradio's own queue has it."""

from __future__ import annotations

from types import SimpleNamespace

import gradio as gr
from gradio.queueing import EventQueue

from babe2.page.line import RESTORATION, before


def test_all_who_restore_are_in_one_line_programs_among_them() -> None:
    with gr.Blocks() as page:
        pass
    assert before("a", page) == before("a") == 0
    line = page._queue.event_queue_per_concurrency_id[RESTORATION] = EventQueue(RESTORATION, 1)
    line.current_concurrency = 1
    line.queue += [SimpleNamespace(session_hash=name) for name in ("program", "a", "b")]  # type: ignore[list-item]
    assert [before(name, page) for name in ("program", "a", "b", "who comes now")] == [1, 2, 3, 4]
