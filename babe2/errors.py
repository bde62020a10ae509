"""What goes wrong, in words meant for people."""

from __future__ import annotations

from typing import Any


class RestorationError(Exception):
    """The one family of errors meant for people: the fact and the way out, in one or two sentences."""


class Cancelled(Exception):
    """The run was stopped by its caller. `partial` is the `Restoration` of the finished part, an exact prefix of the
    result, or None where nothing was finished."""

    def __init__(self, partial: Any = None) -> None:
        super().__init__("The restoration was cancelled.")
        self.partial = partial
