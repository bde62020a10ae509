"""The page: layout, words and wiring. Everything that is work happens in babe2/page."""

from __future__ import annotations

import gc

gc.disable()  # until the page stands: all of this stays, and looking through it for garbage takes a fifth of the time

import os
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any

from babe2.page.quick_import import import_gradio

try:
    import_gradio()
    import gradio as gr
except ModuleNotFoundError:
    raise SystemExit('The page needs gradio, which a plain install leaves out: pip install ".[page]"') from None

from babe2.checkpoints.shelf import Shelf
from babe2.config import DEFAULT_CHECKPOINT, GROUPS
from babe2.extras import has
from babe2.methods import BABE2
from babe2.page import markup, own_chain
from babe2.page.beforehand import Card
from babe2.page.box.block import Chosen, lay_out_box, wire_box
from babe2.page.box.callbacks import BoxCallbacks
from babe2.page.box.sides import Limits
from babe2.page.callbacks import INVITATION, MAKE_PACK, Callbacks
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.choice import SETTINGS
from babe2.page.cleaning import CLEANING, RESTORE, choices
from babe2.page.endpoints import Endpoints, add_endpoints
from babe2.page.excerpt import EXCERPT_SECONDS, strip_parts
from babe2.page.glossary import PRESETS
from babe2.page.outcome import IMAGINED, KINDS
from babe2.page.singer.block import lay_out_singer, wire_singer
from babe2.page.singer.callbacks import Singer
from babe2.page.singer.callbacks import is_allowed as singer_is_allowed
from babe2.page.theme import THEME
from babe2.page.underway.line import RESTORATION
from babe2.page.underway.updates import lasting
from babe2.page.words import languages
from babe2.process import reuse_memory, set_threads
from babe2.report.tracks import desk_parts
from babe2.stages import STAGES

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
LONGEST = float(os.environ.get("BABE2_LONGEST_SECONDS", 600))  # that one may have restored in one go
LARGEST = os.environ.get("BABE2_LARGEST_FILE", "200mb")
WAITING = int(os.environ.get("BABE2_QUEUE", 20))  # who comes when so many wait is told to come back
AT_ONCE = int(os.environ.get("BABE2_AT_ONCE", 1))  # restorations on this machine
BOX_SIDES = int(os.environ.get("BABE2_BOX_SIDES", 50))  # that one box may hold
BOX_SECONDS = float(os.environ.get("BABE2_BOX_SECONDS", 3600))  # of sound in one box
RATES = ("as the recording", "44100", "48000", "96000")
# The strip shows the excerpt that the fields say, and the other way round.
STRIP = "document.querySelector('#strip .strip').parentElement.strip"
LAY, LAID = f"(...place) => {{ {STRIP}.lay(...place); }}", f"() => {STRIP}.place()"

PROMISE = "Gives old music recordings their sound back"
PICK = """element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (card) trigger("click", { name: card.dataset.example });
})"""  # which example was clicked in the gallery
READS = "films" if has("formats") else "sound"  # a film's sound, too
# Gradio hides the page for programs on phones. What stands in page.css does not reach down to the foot of the page.
FOOT = "@media (max-width: 640px) { footer .show-api.show-api, footer .show-api-divider { display: flex !important; } }"
OURS = f"<script data-reads={READS}>{(HERE / 'page.js').read_text('utf-8')}</script>"
HEAD = f"<style>{FOOT}</style>{languages.script()}{OURS}"

callbacks = Callbacks(
    CheckpointCards(Shelf.at(), any_hub_id=os.environ.get("BABE2_ANY_HUB_ID") == "1"), LONGEST, EXAMPLES
)
cards = callbacks.cards
box_callbacks = BoxCallbacks(callbacks, Limits(BOX_SIDES, BOX_SECONDS))

with gr.Blocks(title="babe2: old recordings restored", analytics_enabled=False, delete_cache=(3600, 21600)) as demo:
    kept = gr.State(None, time_to_live=3600)
    mine = gr.BrowserState(None, storage_key="babe2")  # the token of what the visitor has restored
    clock = gr.Timer(3, active=False)  # goes while its visitor waits in line
    dark = gr.Checkbox(False, label="Dark page", elem_id="dark")  # page.js keeps it right
    gr.HTML(markup.head(PROMISE, IMAGINED, languages.switch()), elem_id="head", padding=False)
    with gr.Row(elem_id="columns"):
        with gr.Column(scale=3, min_width=320, elem_id="listen"):
            warnings = gr.Markdown(elem_id="warnings")
            strip = gr.HTML(**strip_parts(), apply_default_css=False, elem_id="strip")
            desk = gr.HTML(callbacks.shown_first, **desk_parts(), apply_default_css=False, elem_id="desk")
            with gr.Column(visible=False) as running:
                live_picture = gr.Image(
                    label="As it stands",
                    show_label=False,
                    type="filepath",
                    buttons=[],
                    alt_text="Spectrogram of the restoration so far, and the estimated response of the old machine",
                    elem_id="live-picture",
                )
            entire = gr.Button("Restore the whole recording", size="sm", visible=False, elem_id="entire")
            notice = gr.Markdown(INVITATION, elem_id="notice")
        with gr.Column(scale=2, min_width=300, elem_id="bring"):
            recording = gr.Audio(
                label="Recording",
                type="filepath",
                sources=["upload", "microphone"],
                editable=False,
                elem_id="recording",
                buttons=["download"],  # Gradio's share button would send a recording elsewhere
            )
            another = gr.UploadButton("Another recording", file_types=["audio", "video"], size="sm", elem_id="another")
            gallery = gr.HTML(markup.gallery(Card.all_in(EXAMPLES), EXAMPLES), js_on_load=PICK, elem_id="gallery")
    with gr.Row(elem_id="below"):
        with gr.Column(scale=3, min_width=320, elem_id="results"):
            with gr.Tabs(selected="ltas", visible=False, elem_id="tabs") as tabs:
                with gr.Tab("Before and after", id="spectrograms", visible=False) as before_tab:
                    spectrograms = gr.ImageSlider(
                        label="Recording | restored",
                        show_label=False,
                        type="filepath",
                        format="png",
                        buttons=[],  # they would cover what it shows
                        elem_id="before-and-after",
                    )
                picture: dict[str, Any] = {"show_label": False, "type": "filepath", "format": "png", "buttons": []}
                with gr.Tab("Spectrum", id="ltas"):
                    ltas_picture = gr.Image(
                        alt_text="Average spectra of the sounds on the desk, in third octaves",
                        label="Average spectra",
                        elem_id="ltas",
                        **picture,
                    )
                with gr.Tab("Machine", id="response", visible=False, render_children=True) as response_tab:
                    response_picture = gr.Image(
                        alt_text="How the old machine coloured the sound: gain over frequency",
                        label="Estimated response",
                        elem_id="response",
                        **picture,
                    )
                with gr.Tab("Certainty", id="certainty", visible=False, render_children=True) as certainty_tab:
                    certainty_picture = gr.Image(
                        alt_text="Spectrogram of the restoration; over it, what was measured, inferred and imagined",
                        label="What was measured, inferred and imagined",
                        elem_id="certainty-picture",
                        **picture,
                    )
                with gr.Tab("Numbers", id="numbers", visible=False) as numbers_tab:
                    numbers = gr.HTML(elem_id="numbers", padding=False)
                    report = gr.DownloadButton("All of them (JSON)", size="sm", elem_id="report")
            with gr.Column(visible=False) as take:
                gr.Markdown("## Take it home")
                amount = gr.Slider(
                    0, 1, 1, step=0.05, label="Amount", info="0 is the recording, 1 the restoration", elem_id="amount"
                )
                imagined = gr.Slider(
                    0,
                    1,
                    1,
                    step=0.05,
                    label="What was imagined",
                    info="1 leaves it, 0 fades it out of the sound",
                    visible=False,
                    elem_id="imagined",
                )
                loud = gr.Checkbox(
                    False,
                    label="As loud as the recording",
                    info="As the desk plays it; a restoration is often softer",
                    elem_id="loud",
                )
                with gr.Row():
                    kind = gr.Dropdown(list(KINDS), value="WAV, 24 bit", label="File", min_width=220, filterable=False)
                    rate = gr.Dropdown(
                        list(RATES), value=RATES[0], label="Sample rate, Hz", min_width=220, filterable=False
                    )
                with gr.Row():
                    file = gr.DownloadButton("Restored file", interactive=False, elem_id="file")
                    pack_button = gr.Button(MAKE_PACK, elem_id="make-pack")
                    pack = gr.DownloadButton("Evidence pack (ZIP)", visible=False, elem_id="pack")
                chain_taken = gr.DownloadButton("The same as a chain (YAML)", size="sm", elem_id="chain-taken")
                said = gr.HTML(elem_id="said", padding=False)
                with gr.Accordion("A page of it all, pictures and numbers", open=False, elem_id="papers"):
                    papers = gr.File(show_label=False, file_count="multiple", interactive=False, visible=False)
        with gr.Column(scale=2, min_width=300, elem_id="wishes"):
            gr.Markdown("## What is to be done")
            with gr.Row(elem_id="chosen"):
                with gr.Column(min_width=260):
                    to_do = [*choices(), *own_chain.choices()]
                    what = gr.Dropdown(to_do, value=RESTORE, label="What to do", filterable=False, elem_id="what")
                    stages = gr.CheckboxGroup(
                        [(f"{name}: {STAGES[name].does}", name) for name in CLEANING],
                        value=[],
                        label="Cleaned first",
                        visible=False,
                        elem_id="stages",
                    )
                    reasons = gr.Markdown(elem_id="reasons")
                    with gr.Column(visible=False, elem_id="chain-place") as chain_place:
                        chain = gr.Textbox(
                            label="Chain",
                            info="What its file says is done, and nothing else: which music, how, with which seed",
                            placeholder=own_chain.EXAMPLE,
                            lines=8,
                            max_lines=24,
                            elem_id="chain",
                        )
                        chain_file = gr.UploadButton(
                            "Take a chain's file", file_types=[".yaml", ".yml"], size="sm", elem_id="chain-file"
                        )
                    whole = gr.Checkbox(False, label="The whole recording")
                    with gr.Row(elem_id="place"):
                        start = gr.Number(0, step=0.1, label="From", info="Seconds; the liveliest place is proposed")
                        duration = gr.Number(EXCERPT_SECONDS, step=0.1, label="For", info="Seconds")
                with gr.Column(scale=2, min_width=260) as by_hand, gr.Row(elem_id="by-hand"):
                    with gr.Column(min_width=220):
                        checkpoint = gr.Dropdown(
                            cards.choices(),
                            value=DEFAULT_CHECKPOINT,
                            label="Which music",
                            allow_custom_value=cards.any_hub_id,
                            filterable=cards.any_hub_id,
                        )
                        card = gr.HTML(cards.card(DEFAULT_CHECKPOINT), elem_id="card", padding=False)
                    with gr.Column(min_width=220):
                        preset = gr.Radio(
                            [(words, name) for name, words in PRESETS.items()],
                            value="standard",
                            label="How",
                            elem_id="how",
                        )
            with gr.Accordion("More", open=False, elem_id="more") as more:
                methods = cards.method_choices(DEFAULT_CHECKPOINT, "standard")
                method = gr.Dropdown(methods, value=BABE2, label="By which method", filterable=False, elem_id="method")
                brightness = gr.Slider(
                    -3,
                    3,
                    0,
                    step=0.5,
                    label="Brightness",
                    info="The recording cannot tell how bright the instrument was: 0 is most probable, less is darker",
                    elem_id="brightness",
                )
                with gr.Accordion("Make it sound like another recording", open=False) as like_place:
                    like = gr.Audio(
                        label="A good recording of the same instrument",
                        type="filepath",
                        sources=["upload"],
                        editable=False,
                        buttons=[],
                        elem_id="like",
                    )
                certainty = gr.Checkbox(
                    False,
                    label="Show what was measured and what imagined",
                    info="Takes three times as long; then the imagined part can be faded out",
                    elem_id="certainty",
                )
                seed = gr.Number(0, precision=0, label="Seed", info="Same seed, same sound")
                gr.Markdown("What is left empty is as the preset has it, in grey. The paper's symbols are in brackets.")
                sought = gr.Textbox(
                    label="Find a setting",
                    placeholder="noise, bass, steps",
                    info="A word of its name or of what it does",
                    elem_id="sought",
                    max_lines=1,
                )
                unknown = gr.Markdown("No setting tells of that. Fewer letters find more.", visible=False)
                defaults, texts = cards.settings(DEFAULT_CHECKPOINT, "standard"), []
                groups = [gr.Accordion(group, open=False) for group in GROUPS]
                for i, group in enumerate(GROUPS):
                    with groups[i]:
                        texts += [
                            gr.Textbox(
                                label=about.label,
                                info=about.help,
                                placeholder=defaults.get(name, ""),
                                visible=name in defaults,
                                elem_id=f"set-{name}",
                                max_lines=1,
                            )
                            for name, about in SETTINGS.items()
                            if about.group == group
                        ]
    box = lay_out_box(box_callbacks)
    section = lay_out_singer(cards) if singer_is_allowed() else None
    gr.HTML(markup.foot(os.environ.get("SPACE_ID")), js_on_load=markup.COPY, elem_id="foot", padding=False)
    with gr.Group(elem_id="bar"):  # always in view
        gr.HTML('<p id="refusal" role="alert"></p>', elem_id="refused", padding=False)  # page.js fills it
        problem = gr.HTML(html_template='<p role="alert">${value}</p>', elem_id="problem", padding=False)
        with gr.Row():
            with gr.Column(scale=3, min_width=160):
                gr.HTML("Drop a recording of your own, then:", elem_id="first", padding=False)
                status = gr.HTML(elem_id="status", padding=False)
                time_needed = gr.Markdown(elem_id="time-needed")
            go = gr.Button("Restore", variant="primary", interactive=False, elem_id="restore", scale=1, min_width=120)
            leave = gr.Button("Stop waiting", visible=False, elem_id="leave", scale=1, min_width=120)
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop", scale=1, min_width=120)

    parts = {
        name: part
        for name, part in list(globals().items())
        if isinstance(part, gr.blocks.Block) and not isinstance(part, (gr.Blocks, gr.UploadButton))
    }
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    at_once = private | {"queue": False}
    # Only one answer to an event may ask for the latest: two would call each other without end, once both were late.
    latest, each_time = private | {"trigger_mode": "always_last"}, private | {"trigger_mode": "multiple"}

    def shown(work: Callable[..., Any], parts: Mapping[str, Any] = parts) -> dict[str, Any]:
        """A callback's function and outputs: the values that it yields by name go to the parts of these names."""

        @wraps(work)
        def once(*inputs: Any) -> dict[Any, Any]:
            return {parts[name]: value for name, value in work(*inputs).items()}

        @wraps(work)
        def again(*inputs: Any) -> Iterator[dict[Any, Any]]:
            for update in lasting(work(*inputs)):
                yield {parts[name]: value for name, value in update.items()}

        return {"fn": again if isgeneratorfunction(work) else once, "outputs": list(parts.values())}

    def only(*names: str) -> dict[str, Any]:
        """Some of the parts. A browser looks after every part that an answer could go to, whether it does or not."""
        return {name: parts[name] for name in names}

    example, found = only("recording", "desk"), only("dark", "recording", "checkpoint")
    time = shown(callbacks.time, only("problem", "status", "time_needed", "go", "preset"))
    homely = only("problem", "status", "file", "chain_taken", "said", "pack", "papers")
    place: list[Any] = [whole, start, duration]
    chosen = [recording, what, chain, method, checkpoint, preset, *place, *texts]
    timed = [certainty, *chosen]
    seen = [recording, checkpoint, *place, kept]
    wished = [kept, amount, kind, rate, loud, imagined]
    is_dark = "(token) => [token, document.body.classList.contains('dark')]"

    gallery.click(**shown(callbacks.take_example, example), **private)
    another.upload(lambda path: path, [another], [recording], **private)
    recording.change(callbacks.leave, **at_once, trigger_mode="multiple")
    first = recording.change(inputs=[recording, checkpoint, mine, dark], **shown(callbacks.look), **latest)
    recording.change(inputs=[recording], **shown(callbacks.unroll, only("strip", "recording")), **each_time)
    first.then(inputs=timed, **time, **private)
    first.then(inputs=wished, **shown(callbacks.take_found_home, homely), **private)
    demo.load(inputs=[mine, dark], js=is_dark, **shown(callbacks.come_back, found), **private)
    dark.change(inputs=[*seen, dark], **shown(callbacks.draw_again), **latest)
    checkpoint.change(callbacks.card, [checkpoint], [card], **each_time)
    asked, meant = [checkpoint, preset, method, sought], [method, brightness, like_place, unknown, *groups, *texts]
    offered = [checkpoint.change, preset.change, method.input]
    gr.on(offered, callbacks.preset_values, asked, meant, **each_time)
    sought.change(callbacks.preset_values, asked, meant, **latest)
    places = [whole.input, *(each for field in (start, duration) for each in (field.blur, field.submit))]
    again: dict[str, Any] = {"inputs": [*seen, mine, dark], **shown(callbacks.look_again)}
    elsewhere = gr.on([checkpoint.change, *places], **again, **latest)
    laid = [strip.change, whole.change, start.change, duration.change]
    gr.on(laid, None, place, js=LAY, **private)
    moved = strip.input(None, None, place, js=LAID, **private)
    touched = [preset.change, method.change, certainty.input, chain.blur, *(text.blur for text in texts)]
    for step in (elsewhere, moved.then(**again, **latest)):
        step.then(inputs=timed, **time, **latest)
        step.then(inputs=wished, **shown(callbacks.take_example_home, homely), **private)
    gr.on(touched, inputs=timed, **time, **latest)

    decided = what.change(inputs=[what, recording, *place], **shown(callbacks.what_to_do), **latest)
    given = chain_file.upload(inputs=[chain_file], **shown(callbacks.take_chain), **private)
    for step in (decided, given):
        step.success(inputs=timed, **time, **private)
    pressed = go.click(**shown(callbacks.get_ready), **at_once)
    run = pressed.then(
        inputs=[mine, dark, seed, brightness, like, certainty, stages, *chosen],
        **shown(callbacks.restore_excerpt),
        **private,
        concurrency_id=RESTORATION,
        concurrency_limit=AT_ONCE,
    )
    widened = entire.click(inputs=timed, **shown(callbacks.take_all), **private)
    widened.success(js="() => document.querySelector('#restore').click()", **at_once)
    run.then(**shown(callbacks.rest), **at_once)
    clock.tick(**shown(callbacks.wait, only("clock", "status")), **at_once)
    stop.click(**shown(callbacks.stop_it), **at_once)
    leave.click(**shown(callbacks.leave_queue), **at_once, cancels=[run])
    run.then(inputs=wished, **shown(callbacks.take_home, homely), **private)
    slid = gr.on(
        [amount.change, imagined.change],
        inputs=[kept, mine, amount, imagined],
        **shown(callbacks.hear_amount),
        **latest,
    )
    slid.then(inputs=wished, **shown(callbacks.take_home, homely), **latest)
    gr.on([kind.change, rate.change, loud.change], inputs=wished, **shown(callbacks.take_home, homely), **latest)
    pack_button.click(inputs=wished, **shown(callbacks.make_pack), **private)
    demo.unload(callbacks.leave)

    if section:
        wire_singer(Singer(cards), section, checkpoint, shown, demo)
    taken = Chosen(parts, [seed, brightness, like, certainty, stages], chosen, certainty, [checkpoint.change, *touched])
    wire_box(box_callbacks, box, taken, shown, demo, AT_ONCE)
    add_endpoints(Endpoints(cards, LONGEST), AT_ONCE)

demo.queue(max_size=WAITING, default_concurrency_limit=4)
gc.freeze()  # nothing of what stands is looked through again
gc.enable()


def serve() -> None:
    """Starts the page; Gradio takes the address from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    demo.launch(
        theme=THEME,
        css_paths=HERE / "page.css",
        head=HEAD,
        max_file_size=LARGEST,
        share=False,
        run_history=False,
        show_error=False,
        prevent_thread_lock=True,
    )
    # What is shown of a link to this page; Gradio only knows it of pages that it has laid out itself.
    demo.config["simple_description"] = f"{PROMISE}. {IMAGINED}"
    demo.block_thread()


if __name__ == "__main__":
    reuse_memory()
    set_threads()  # once: what runs later finds them so
    serve()
