"""What goes wrong, in words meant for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babe2.pipeline import Restoration


class RestorationError(Exception):
    """The one family of errors meant for people: the fact and the way out, in one or two sentences."""


class Cancelled(Exception):
    """The run was stopped by its caller. `partial` is the finished part, an exact prefix of the result."""

    def __init__(self, partial: Restoration | None = None) -> None:
        super().__init__("The restoration was cancelled.")
        self.partial = partial
