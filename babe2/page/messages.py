"""What goes wrong on the page, as its visitor hears of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from babe2 import audio
from babe2.errors import Cancelled, RestorationError

log = logging.getLogger(__name__)

# What a command is told to do, and where it is done here.
HERE = {audio.AS_FLOATS: "\u201cWAV, 32-bit float\u201d under File"}
OURS = "This failed for a reason that is ours, not yours. Try again, or another file."
STOPPED = "Stopped before anything was finished."


def sentence_of(error: BaseException, *paths: object) -> str:
    """What a visitor may read of an error; `paths` are the files it may be about, of which only the name is told.

    Without such paths nothing that could be a folder's name is let through.
    """
    if not isinstance(error, RestorationError):
        log.error("A visitor met a fault of ours.", exc_info=error)
        return OURS
    sentence = str(error)
    for path in paths:
        if isinstance(path, (str, Path)) and str(path):
            sentence = sentence.replace(str(path), Path(path).name)
    return for_visitors(nameless(sentence))


def in_a_sentence(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """For programs: what goes wrong reaches them as one sentence, without a path or a traceback."""

    @wraps(work)
    def run(*inputs: Any, **named: Any) -> Iterator[Any]:
        try:
            yield from work(*inputs, **named)
        except Cancelled:
            raise gr.Error(STOPPED, print_exception=False) from None
        except gr.Error:
            raise
        except Exception as error:
            sentence = sentence_of(error, *inputs, *named.values())
            raise gr.Error(sentence, print_exception=False) from None

    return run


def on_the_page(work: Callable[..., Iterator[dict[str, Any]]]) -> Callable[..., Iterator[dict[str, Any]]]:
    """For visitors: what goes wrong stands on the page as `problem`, until the next thing that is done."""

    @wraps(work)
    def run(*inputs: Any, **named: Any) -> Iterator[dict[str, Any]]:
        try:
            yield {"problem": ""}
            yield from work(*inputs, **named)
        except Cancelled:
            yield {"status": STOPPED}
        except Exception as error:
            sentence = sentence_of(error, *inputs, *named.values())
            yield {"problem": escape(sentence, quote=False)}  # it may repeat what stands in somebody's file

    return run


def nameless(sentence: str) -> str:
    """The sentence without this machine's folders: of a path only the file's name stays.

    A folder's name may hold spaces, so a path is taken to reach as far as the last slash before the sentence ends.
    """
    return re.sub(r"""(?<![\w./:])(?:~|[A-Za-z]:)?[/\\]+(?:[^/\\\n"'<>|]+[/\\]+)+""", "", sentence)


def for_visitors(sentence: str) -> str:
    """The sentence without what only helps at a command line, or with what helps here."""
    for there, here in HERE.items():
        sentence = sentence.replace(there, here)
    kept = [part for part in re.split(r"(?<=[.!?]) ", sentence) if "`babe2" not in part]
    return " ".join(kept) if kept else sentence
