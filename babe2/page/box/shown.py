"""A box as the page shows it: a row for each side, what may be pressed, and how far all of it is."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from babe2.page.box.figures import NONE
from babe2.page.box.sides import Box, Side, State
from babe2.page.callbacks import progress_bar, waiting_words
from babe2.wording import format_duration, format_length

GO, GO_ON, AGAIN = "Restore the box", "Go on", "Try again"
WORDS = {State.UNCHANGED: "nearly unchanged"}


def table_parts() -> dict[str, Any]:
    """The table's markup, style and script, under the names by which `gr.HTML` takes them."""
    names = {"html_template": "table.html", "css_template": "table.css", "js_on_load": "table.js"}
    return {parameter: table_script(name) for parameter, name in names.items()}


def table_script(name: str) -> str:
    """A file beside the table's."""
    return (files("babe2") / "page" / "box" / "table" / name).read_text("utf-8")


def shown(box: Box) -> dict[str, Any]:
    """The rows of the table, as text: the page's script takes no name and no sentence for markup."""
    return {"table": {"sides": [row(side) for side in box.sides]}}


def row(side: Side) -> dict[str, Any]:
    """One line of the table."""
    state = WORDS.get(side.state, str(side.state))
    figures = side.figures
    return {
        "name": side.name,
        "state": side.state,
        "said": f"{state}, {side.share:.0%}" if side.state == State.RUNNING else state,
        "share": side.share,
        "words": side.words,
        "length": format_length(side.seconds) if side.readable else NONE,
        "band": NONE if figures is None else figures.band,
        "level": NONE if figures is None else figures.level,
        "done": side.file is not None,
    }


def controls(box: Box) -> dict[str, Any]:
    """What may be pressed."""
    busy = box.running or box.under_way is not None
    begun = any(side.file is not None for side in box.sides)
    failed = all(side.state == State.FAILED for side in box.open)
    return {
        "below": gr.update(visible=bool(box.sides)),
        "go": gr.update(
            value=(AGAIN if failed and box.open else GO_ON) if begun else GO, interactive=not busy and bool(box.open)
        ),
        "clock": gr.update(active=box.running),
        "stop": gr.update(interactive=box.running),
        "zip": gr.update(interactive=begun),
        "empty": gr.update(interactive=not busy),
    }


def bar(box: Box, spoken: bool = False, before: int = 0) -> str:
    """How far all of it is, as HTML, how many are `before` it, and how long the rest takes at the pace so far."""
    done = sum(side.state in (State.RESTORED, State.UNCHANGED) for side in box.sides)
    failed = sum(side.state == State.FAILED for side in box.sides)
    told = [f"{done} of {len(box.sides)} sides done" + (f", {failed} failed" if failed else "")]
    if box.under_way is None and box.running:
        told.append(waiting_words(before))
    elif box.under_way is not None and not box.running:
        told.append("stopping; what is finished is kept")
    if box.running and (left := box.seconds_left()) is not None:
        told.append(f"{format_duration(left)} left")
    return progress_bar(box.share, "; ".join(told), spoken)
