"""The page's section in which a visitor brings his own singer: its parts and their wiring, in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from babe2.config import DEFAULT_CHECKPOINT
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.singer.callbacks import LEAST_MINUTES, MOST_MINUTES, UNNAMED, USUAL_MINUTES, Singer
from babe2.page.singer.sharing import LICENCES

STORED = "babe2-singer"  # where a browser keeps the token
PERIOD_SECONDS = 2.0
INTRODUCTION = """Give good recordings of one pianist or one singer: clean, with all of their treble, ten minutes if you
have them. A checkpoint learns from them on this machine; then it restores old recordings in their manner. What you give
is heard by nobody else, and deleted some hours after your last visit."""
RIGHTS = "I may use these recordings for this, and publish what was learned from them"

Shown = Callable[[Callable[..., Any], Mapping[str, Any]], dict[str, Any]]


def lay_out_singer(cards: CheckpointCards) -> dict[str, Any]:
    """Within `gr.Blocks`, where the section is to stand; returns its parts by name."""
    token = gr.BrowserState(None, storage_key=STORED)
    timer = gr.Timer(PERIOD_SECONDS, active=False)
    with gr.Accordion("Bring your own singer or pianist", open=False, elem_id="singer"):
        gr.Markdown(INTRODUCTION)
        others = gr.Markdown(elem_id="singer-others")
        files = gr.UploadButton(
            "Choose good recordings", file_count="multiple", file_types=["audio"], elem_id="singer-files"
        )
        verdict = gr.Markdown(elem_id="singer-verdict")
        heard = gr.HTML(elem_id="singer-heard", padding=False)
        with gr.Column(visible=False) as learning:
            with gr.Row():
                base = gr.Dropdown(
                    cards.choices(),
                    value=DEFAULT_CHECKPOINT,
                    label="Begin from",
                    info="What is nearest to them",
                    allow_custom_value=cards.any_hub_id,
                    filterable=cards.any_hub_id,
                    elem_id="singer-base",
                )
                minutes = gr.Slider(
                    LEAST_MINUTES,
                    MOST_MINUTES,
                    USUAL_MINUTES,
                    step=1,
                    label="For how many minutes",
                    info="In the second half it settles; stopping earlier keeps what is there",
                    elem_id="singer-minutes",
                )
            expected = gr.Markdown(elem_id="singer-expected")
            with gr.Row():
                begin = gr.Button("Learn", variant="primary", elem_id="singer-begin")
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="singer-stop")
        problem = gr.HTML(html_template='<p role="alert">${value}</p>', elem_id="singer-problem", padding=False)
        standing = gr.HTML(elem_id="singer-standing", padding=False)
        curve = gr.HTML(elem_id="singer-curve", padding=False)
        skipped = gr.Markdown(elem_id="singer-skipped")
        with gr.Column(visible=False) as hearing:
            gr.Markdown("What was kept apart, as an old machine might have recorded it, and restored by now:")
            with gr.Row():
                sounds = [
                    gr.Audio(label=label, type="filepath", interactive=False, buttons=[], elem_id=f"singer-{name}")
                    for name, label in (
                        ("recording", "As an old recording"),
                        ("restored", "Restored by now"),
                        ("truth", "As it was"),
                    )
                ]
        with gr.Column(visible=False) as keeping:
            title = gr.Textbox(UNNAMED, label="What it is called", max_lines=1, elem_id="singer-title")
            with gr.Row():
                use = gr.Button("Use it", variant="primary", elem_id="singer-use")
                make = gr.Button("Make a file to take home", elem_id="singer-make")
                pack = gr.DownloadButton("Checkpoint and card (ZIP)", visible=False, elem_id="singer-pack")
            used = gr.Markdown(elem_id="singer-used")
            with gr.Accordion("Publish it on the Hugging Face Hub", open=False):
                with gr.Row():
                    repo = gr.Textbox(label="Owner and name", placeholder="me/my-singer", max_lines=1)
                    licence = gr.Dropdown(list(LICENCES), value=LICENCES[0], label="Licence", filterable=False)
                    credit = gr.Textbox(label="Whom to thank", info="Who plays or sings; it stands in the card")
                may = gr.Checkbox(False, label=RIGHTS, elem_id="singer-may")
                private = gr.Checkbox(False, label="For my eyes only")
                if os.environ.get("OAUTH_CLIENT_ID"):  # a Space whose README asks for logins
                    gr.LoginButton()
                hub_token = gr.Textbox(
                    label="Token of the Hub that may write",
                    info="Used once and kept nowhere; not needed by who is signed in, here or on this machine",
                    type="password",
                    max_lines=1,
                    elem_id="singer-token",
                )
                publish = gr.Button("Publish", elem_id="singer-publish")
                published = gr.HTML(elem_id="singer-published", padding=False)
        forget = gr.Button("Forget all of it", visible=False, size="sm", elem_id="singer-forget")
    recording_sound, restored_sound, truth_sound = sounds
    return {name: part for name, part in locals().items() if isinstance(part, gr.blocks.Block)}


def wire_singer(
    singer: Singer, section: Mapping[str, Any], checkpoint: gr.Dropdown, shown: Shown, demo: gr.Blocks
) -> None:
    """Within `gr.Blocks`, behind all layout: what happens when somebody touches a part of the section, whose
    checkpoints become choices of `checkpoint`.

    `shown` makes function and outputs of a callback that yields new values of parts by their names.
    """
    parts = {"checkpoint": checkpoint, **section}
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    at_once = private | {"queue": False}
    of = parts.__getitem__
    token, title = of("token"), of("title")
    changing = {name: part for name, part in parts.items() if not isinstance(part, gr.UploadButton)}

    def does(work: Callable[..., Any]) -> dict[str, Any]:
        return shown(work, changing)

    demo.load(inputs=[token], **does(singer.come_back), **at_once)
    of("timer").tick(inputs=[token], **does(singer.tick), **at_once)
    given = of("files").upload(inputs=[of("files"), token], **does(singer.hear), **private)
    asked = [of("base"), of("minutes"), token]
    given.success(inputs=asked, **does(singer.expect), **private)
    changed = [of("base").change, of("minutes").release]
    gr.on(changed, inputs=asked, **does(singer.expect), **private, trigger_mode="always_last")
    of("begin").click(inputs=asked, **does(singer.begin), **private)
    of("stop").click(inputs=[token], **does(singer.stop), **at_once)
    of("use").click(inputs=[title, token], **does(singer.use), **private)
    of("make").click(inputs=[title, token], **does(singer.take), **private)
    said = [title, *map(of, ("repo", "licence", "credit", "may", "private", "hub_token"))]
    of("publish").click(inputs=[*said, token], **does(singer.publish), **private)
    of("forget").click(inputs=[token, of("checkpoint")], **does(singer.forget), **private)
