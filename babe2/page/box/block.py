"""The box on the page: its layout, its words, and what is wired to what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from babe2.page.box.callbacks import HOW_MUCH, BoxCallbacks
from babe2.page.box.shown import GO, table_parts, table_script
from babe2.page.outcome import KINDS
from babe2.page.underway.line import RESTORATION
from babe2.wording import clock

Parts = Mapping[str, Any]
Shown = Callable[[Callable[..., Any], Parts], dict[str, Any]]  # a callback's function and outputs


@dataclass(frozen=True)
class Chosen:
    """What a box takes from the rest of the page."""

    parts: Parts  # by name; a side that is to be heard goes to some of them
    wished: Sequence[Any]  # seed, brightness, a recording like it, certainty, stages
    chosen: Sequence[Any]  # all that says what is to be done, the recording first
    certainty: Any
    touched: Sequence[Any]  # events after which it takes another time


def lay_out_box(callbacks: BoxCallbacks) -> Parts:
    """Within `gr.Blocks`, where the box is to stand; returns its parts by name."""
    limits = callbacks.limits
    # These are needed while the accordion is closed, too, when nothing of what is in it is there.
    token = gr.BrowserState(None, storage_key="babe2-box")
    turn = gr.Textbox(label="Turn", visible="hidden", elem_id="box-turn")
    beat = gr.Timer(5, active=False)  # goes while a run goes on
    parcel = gr.HTML(html_template="", js_on_load=table_script("parcel.js"), elem_id="box-parcel", padding=False)
    with gr.Accordion("A box of records", open=False, elem_id="box") as place:
        gr.Markdown(
            f"Several sides at once, up to {limits.sides} of them and {clock(limits.seconds)} of sound, restored one "
            "after the other as is chosen above. What is done can be heard and taken while the rest goes on. When the "
            "page is loaded anew, it is here again."
        )
        files = gr.File(
            label="Sides", file_count="multiple", type="filepath", height=140, elem_id="box-files", buttons=[]
        )
        problem = gr.HTML(html_template='<p role="alert">${value}</p>', elem_id="box-problem", padding=False)
        table = gr.HTML(**table_parts(), apply_default_css=False, elem_id="box-table", padding=False)
        with gr.Column(visible=False) as below:
            with gr.Row():
                how_much = gr.Dropdown(
                    list(HOW_MUCH),
                    value=next(iter(HOW_MUCH)),
                    label="How much of each",
                    filterable=False,
                    elem_id="box-how-much",
                )
                kind = gr.Dropdown(
                    list(KINDS), value=next(iter(KINDS)), label="Files", filterable=False, elem_id="box-kind"
                )
            time_needed = gr.Markdown(elem_id="box-time")
            status = gr.HTML(elem_id="box-status", padding=False)
            with gr.Row():
                go = gr.Button(GO, variant="primary", elem_id="box-go", min_width=120)
                stop = gr.Button("Stop the box", variant="stop", interactive=False, elem_id="box-stop", min_width=120)
                archive = gr.Button("All that is done (ZIP)", interactive=False, elem_id="box-zip", min_width=120)
                empty = gr.Button("Empty the box", elem_id="box-empty", min_width=120)
    return {
        "token": token,
        "place": place,
        "clock": beat,
        "files": files,
        "problem": problem,
        "table": table,
        "below": below,
        "how_much": how_much,
        "kind": kind,
        "time_needed": time_needed,
        "status": status,
        "go": go,
        "stop": stop,
        "zip": archive,
        "empty": empty,
        "turn": turn,
        "parcel": parcel,
    }


def wire_box(callbacks: BoxCallbacks, box: Parts, page: Chosen, shown: Shown, demo: gr.Blocks, at_once: int) -> None:
    """Within `gr.Blocks`, behind all layout: what answers to what. A turn waits as a restoration does."""
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    token, how_much = box["token"], box["how_much"]
    timed = [token, how_much, page.certainty, *page.chosen]

    demo.load(inputs=[token], **shown(callbacks.come_back, box), **private)
    added = box["files"].upload(inputs=[box["files"], token], **shown(callbacks.add, box), **private)
    added.then(inputs=timed, **shown(callbacks.time, box), **private)
    box["empty"].click(inputs=[token], **shown(callbacks.empty, box), **private)
    touched = [*page.touched, how_much.input]  # the page asks for the latest itself, and only one may
    gr.on(touched, inputs=timed, **shown(callbacks.time, box), **private, trigger_mode="multiple")

    asked = [token, how_much, box["kind"], *page.wished, *page.chosen]
    box["go"].click(inputs=asked, **shown(callbacks.begin, box), **private)
    box["turn"].change(
        inputs=[token, box["turn"]],
        **shown(callbacks.take_turn, box),
        **private,
        trigger_mode="multiple",
        concurrency_id=RESTORATION,
        concurrency_limit=at_once,
    )
    box["stop"].click(inputs=[token], **shown(callbacks.stop_it, box), **private, queue=False)
    box["clock"].tick(inputs=[token], **shown(callbacks.wait, box), **private, queue=False)
    demo.unload(callbacks.leave)

    heard = {name: page.parts[name] for name in ("mine", "recording", "checkpoint")}
    touched = [token, page.parts["mine"]]
    box["table"].click(inputs=touched, **shown(callbacks.touch, {**box, **heard}), **private)
    box["zip"].click(inputs=[token], **shown(callbacks.pack, box), **private)
