"""Who waits for a restoration before somebody, on the page or by a program, as Gradio's queue has it."""

from __future__ import annotations

from gradio.blocks import Blocks
from gradio.context import LocalContext
from gradio.queueing import EventQueue

RESTORATION = "restoration"  # the name under which all restorations wait in one line


def before(session: str, blocks: Blocks | None = None) -> int:
    """How many restorations are under way or wait before the one of a session; before all that it may ask for where
    none of its own waits. `blocks` is the page that is asked.
    """
    line = _line(blocks)
    if line is None:
        return 0
    waiting = [event.session_hash for event in list(line.queue)]
    return line.current_concurrency + (waiting.index(session) if session in waiting else len(waiting))


def waits(session: str, blocks: Blocks | None = None) -> bool:
    """Whether a restoration of a session is in line; it is not where the line was full when it came."""
    line = _line(blocks)
    return line is not None and any(event.session_hash == session for event in list(line.queue))


def _line(blocks: Blocks | None) -> EventQueue | None:
    page = blocks or LocalContext.blocks.get(None)
    return None if page is None else page._queue.event_queue_per_concurrency_id.get(RESTORATION)
