"""What is new on the page while a callback works: updates of its parts, none of which the next one takes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Update = dict[str, Any]  # new values of parts by name, or Gradio's own updates of them
KIND = "__type__"  # by which Gradio knows its own
VISITORS = {"value", "open", "selected"}  # of a part, what its visitor may have changed meanwhile


def lasting(updates: Iterable[Update]) -> Iterator[Update]:
    """The same updates, each with what those before it said of a part, but for what is its visitor's.

    A browser gets what has changed since the update before, and Gradio's client writes that into the earlier one. If
    that still waits to be shown, what is not said again would be lost: a button would never appear.
    """
    said: Update = {}
    for update in updates:
        own = {name: value for name, value in update.items() if isinstance(value, dict) and KIND in value}
        full = {name: said.get(name, {}) | value for name, value in own.items()}
        yield said | update | full
        said |= {
            name: {key: each for key, each in value.items() if key not in VISITORS} for name, value in full.items()
        }
