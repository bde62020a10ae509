"""What goes wrong on the page, as its visitor hears of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import gradio as gr

from babe2.errors import Cancelled, RestorationError

log = logging.getLogger(__name__)


def in_a_sentence(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """What goes wrong reaches the visitor as one sentence, without a path or a traceback."""

    @wraps(work)
    def run(*given: Any, **named: Any) -> Iterator[Any]:
        try:
            yield from work(*given, **named)
        except RestorationError as error:
            raise gr.Error(nameless(str(error)), duration=20, print_exception=False) from None
        except Cancelled:
            raise gr.Error("Stopped before anything was finished.", duration=8, print_exception=False) from None
        except gr.Error:
            raise
        except Exception:
            log.exception("A visitor met a fault of ours.")
            raise gr.Error("This failed for a reason that is ours, not yours. Try again, or another file.") from None

    return run


def nameless(sentence: str) -> str:
    """This machine's folders are nobody's business: only a file's name is told."""
    return re.sub(r"(?<![\w./:])/(?:[^/\s]+/)+", "", sentence)
