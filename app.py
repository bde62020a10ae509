"""The page: layout, words and wiring. Everything that is work happens in babe2/."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import gradio as gr
except ModuleNotFoundError:
    raise SystemExit('The page needs gradio, which a plain install leaves out: pip install ".[page]"') from None

from babe2 import Restoration, RestorationError, audio
from babe2.checkpoints.shelf import Shelf
from babe2.config import GROUPS
from babe2.methods import SOLVER, all_settings, users_of
from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.endpoints import FIRST, add_endpoints
from babe2.page.excerpt import EXCERPT_SECONDS, Excerpt, given
from babe2.page.first_look import FirstLook, first_look, preview, restored_beforehand
from babe2.page.glossary import PRESETS
from babe2.page.job import Moment
from babe2.page.messages import in_a_sentence
from babe2.page.outcome import IMAGINED, KINDS, Outcome
from babe2.page.stop import Stop
from babe2.page.tracks import LTAS_EQ, RECORDING, RESTORED, desk_parts, desk_tracks
from babe2.page.zerogpu import restored
from babe2.process import reuse_memory
from babe2.report import figures

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
LONGEST = float(os.environ.get("BABE2_LONGEST_SECONDS", 600))  # that one may have restored in one go
LARGEST = os.environ.get("BABE2_LARGEST_FILE", "200mb")
WAITING = int(os.environ.get("BABE2_QUEUE", 20))  # who comes when so many wait is told to come back
AT_ONCE = int(os.environ.get("BABE2_AT_ONCE", 1))  # restorations on this machine
NEWS = 1.0  # seconds between pictures of a run under way
RATES = ("as the recording", "44100", "48000", "96000")
SETTINGS = {name: about for name, about in all_settings().items() if name == SOLVER or users_of(name)}
BEFOREHAND = "This example was restored beforehand. Press **Restore** to watch it being done."
INVITATION = (
    "Nothing here yet. Drop a recording or take the example: you see and hear at once what it is like, before anything "
    "is restored."
)

cards = CheckpointCards(Shelf.at(), any_hub_id=os.environ.get("BABE2_ANY_HUB_ID") == "1")


@contextmanager
def private_folder() -> Iterator[Path]:
    """What is left in it after it was shown is gone; Gradio has its own copy of it, for as long as it is wanted."""
    with tempfile.TemporaryDirectory(prefix="babe2-") as folder:
        yield Path(folder)


def typed(more: Sequence[str]) -> dict[str, str]:
    """The settings that were not left to the preset."""
    return {name: text for name, text in zip(SETTINGS, more, strict=True) if text and text.strip()}


# At first sight


@in_a_sentence
def look(recording: str | None, checkpoint: str) -> Iterator[dict[Any, Any]]:
    """Everything that can be said at once; nothing is sampled. What was restored before makes room for it."""
    yield {
        **dict.fromkeys([kept, desk, ltas_picture, spectrograms, response_picture, numbers, papers]),
        **dict.fromkeys([status, warnings, time_needed], ""),
        notice: "" if recording else INVITATION,
        **dict.fromkeys([tabs, take], gr.update(visible=False)),
        go: gr.update(interactive=False),
    }
    if not recording:
        return
    seen = first_look(recording, cards.reference(checkpoint))
    with private_folder() as folder:
        yield sight(seen, recording, checkpoint, folder) | {
            start: round(seen.start, 1),
            duration: gr.update(value=min(EXCERPT_SECONDS, round(seen.seconds, 2))),
            whole: seen.seconds <= EXCERPT_SECONDS,
            go: gr.update(interactive=True),
            tabs: gr.update(selected="ltas", visible=True),
        }


@in_a_sentence
def look_again(recording: str | None, checkpoint: str, outcome: Outcome | None) -> Iterator[dict[Any, Any]]:
    """Beside the music that another checkpoint knows; what was restored stays."""
    if not recording or outcome is not None:
        yield {notice: gr.skip()}
        return
    with private_folder() as folder:
        yield sight(first_look(recording, cards.reference(checkpoint)), recording, checkpoint, folder)


def sight(seen: FirstLook, recording: str, checkpoint: str, folder: Path) -> dict[Any, Any]:
    """What was seen, on the page."""
    sounds, rate = {RECORDING: seen.excerpt}, seen.sample_rate
    curves: dict[str, figures.Sound] = {"recording": (seen.excerpt, rate)}
    if (equalised := preview(seen, cards.here(checkpoint))) is not None:
        sounds[LTAS_EQ], curves["LTAS-EQ"] = equalised, (equalised, rate)
    known = restored_beforehand(seen, recording, EXAMPLES) if checkpoint == FIRST else None
    if known is not None:
        sounds[RESTORED] = known
    return {
        notice: seen.words,
        warnings: "" if known is None else BEFOREHAND,
        desk: desk_tracks(sounds, rate, folder),
        ltas_picture: str(figures.save(figures.ltas_curves(curves, seen.reference), folder / "ltas.png")),
    }


@in_a_sentence
def time_it(
    recording: str | None,
    checkpoint: str,
    preset: str,
    whole: bool,
    start: float | None,
    duration: float | None,
    *more: str,
) -> Iterator[str]:
    excerpt = Excerpt() if whole else Excerpt.chosen(start, duration)
    yield cards.words_on_time(checkpoint, preset, typed(more), recording, excerpt) if recording else ""


def as_preset(checkpoint: str, preset: str, solver: str | None) -> list[Any]:
    """What the empty fields mean; a setting that the method would not use has no field."""
    with suppress(RestorationError):  # a method that does not exist is told of when the time is reckoned
        settings = cards.settings(checkpoint, preset, (solver or "").strip() or None)
        return [gr.update(placeholder=settings.get(name, ""), visible=name in settings) for name in SETTINGS]
    return [gr.skip()] * len(SETTINGS)


# Restoring

STOPS: dict[str, Stop] = {}  # by session: what one visitor stops is nobody else's


@in_a_sentence
def restore_here(
    request: gr.Request,
    recording: str | None,
    checkpoint: str,
    preset: str,
    seed: float | None,
    whole: bool,
    start: float | None,
    duration: float | None,
    *more: str,
) -> Iterator[dict[Any, Any]]:
    """The visitor's run: how it stands, and in the end what came of it."""
    session = str(request.session_hash)
    stop = STOPS.get(session)
    if stop is None:  # who waited has left, or has another recording by now
        yield {status: ""}
        return
    yield {status: bar(0.0, "reading the recording"), running: gr.update(visible=True)}
    source, excerpt = given(recording), Excerpt() if whole else Excerpt.chosen(start, duration)
    sound = excerpt.read(source, LONGEST)
    yield {status: bar(0.0, "beginning" if cards.is_here(checkpoint) else "fetching the checkpoint")}
    restorer = cards.restorer(checkpoint)
    options = {"preset": preset, "seed": int(seed or 0), **typed(more)}
    shown, last = time.monotonic(), None
    with private_folder() as folder, stop:
        for news in restored(checkpoint, sound, options, stop):
            if STOPS.get(session) is not stop:
                yield {status: ""}
                return
            if isinstance(news, Restoration):
                yield all_of(Outcome(Path(source), excerpt, sound, restorer, news), folder)
            elif news.sound is not None and news is not last and time.monotonic() - shown > NEWS:
                shown, last = time.monotonic(), news
                yield {status: bar(news.share, news.words), **glimpse(news, restorer.model.sample_rate, folder)}
            else:
                yield {status: bar(news.share, "stopping; what is finished is kept" if stop() else news.words)}


def bar(share: float, words: str) -> str:
    return f'<div role="status"><progress value="{share:.3f}" max="1"></progress> <span>{words}</span></div>'


def glimpse(moment: Moment, rate: int, folder: Path) -> dict[Any, Any]:
    """The sound under way, to see and to hear."""
    assert moment.sound is not None
    name = f"{moment.segment}-{moment.step}"
    picture = figures.live((moment.sound, rate), moment.equalizer)
    heard = audio.write(folder / f"{name}.wav", moment.sound, rate, subtype="PCM_24")
    return {live_picture: str(figures.save(picture, folder / f"{name}.png")), live_sound: str(heard)}


def all_of(outcome: Outcome, folder: Path) -> dict[Any, Any]:
    """A finished run on the page."""
    pictures = outcome.pictures()
    return {
        kept: outcome,
        status: bar(1.0, outcome.words),
        desk: desk_tracks(outcome.sounds(), outcome.sound.sample_rate, folder),
        spectrograms: tuple(str(figures.save(one, folder / f"{i}.png")) for i, one in enumerate(outcome.pair())),
        ltas_picture: str(figures.save(pictures["ltas"](), folder / "ltas.png")),
        response_picture: str(figures.save(pictures["response"](), folder / "response.png")),
        numbers: outcome.numbers(),
        tabs: gr.update(selected="spectrograms", visible=True),
        take: gr.update(visible=True),
        file: gr.update(interactive=False),
        pack: gr.update(interactive=False),
        papers: None,
        warnings: outcome.warnings,
    }


def get_ready(request: gr.Request) -> tuple[Any, ...]:
    """From here on a run can be stopped, also while it waits for those before it."""
    STOPS[str(request.session_hash)] = Stop.new()
    return bar(0.0, "waiting for its turn"), gr.update(interactive=False), gr.update(interactive=True)


def stop_it(request: gr.Request) -> Any:
    if stop := STOPS.get(str(request.session_hash)):
        stop.ask()
    return gr.update(interactive=False)


def leave(request: gr.Request) -> None:
    """The page, or a recording for another one."""
    if stop := STOPS.pop(str(request.session_hash), None):
        stop.ask()


def rest() -> tuple[Any, ...]:
    """After a run, however it ended."""
    return gr.update(visible=False), gr.update(interactive=True), gr.update(interactive=False)


# Taking it home


@in_a_sentence
def take_home(outcome: Outcome | None, amount: float, kind: str, rate: str) -> Iterator[dict[Any, Any]]:
    if outcome is None:
        return
    with private_folder() as folder:
        home = outcome.take_home(folder, amount, kind, rate)
        yield {file: gr.update(value=str(home.file), interactive=True), pack: gr.update(interactive=False)}
        contents = home.papers(**cards.rights(outcome.restorer.name))
        yield {
            pack: gr.update(value=str(home.pack(contents)), interactive=True),
            papers: [str(path) for path in home.pictures_and_numbers(contents)],
        }


# The page

THEME = gr.themes.Base(
    primary_hue="amber",
    neutral_hue="stone",
    font=["system-ui", "sans-serif"],  # nothing is fetched from elsewhere
    font_mono=["ui-monospace", "monospace"],
).set(input_placeholder_color="*neutral_500", input_placeholder_color_dark="*neutral_400")  # what stands there counts
HEADING = f"""# babe2
Gives old music recordings their sound back. Drop a recording, press **Restore**, and hear the difference at equal
loudness. *{IMAGINED}*"""

with gr.Blocks(title="babe2", analytics_enabled=False, delete_cache=(3600, 21600)) as demo:
    kept = gr.State(None, time_to_live=3600)
    no_sharing: dict[str, Any] = {"buttons": ["download"]}  # Gradio's share button would send a recording elsewhere
    gr.Markdown(HEADING)
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            recording = gr.Audio(
                label="Recording",
                type="filepath",
                sources=["upload", "microphone"],
                editable=False,
                elem_id="recording",
                **no_sharing,
            )
            gr.Examples([[str(EXAMPLES / "old_variation.flac")]], [recording], label="Or an example")
            checkpoint = gr.Dropdown(
                [(row["title"], row["id"]) for row in cards.rows()],
                value=FIRST,
                label="Which music",
                allow_custom_value=cards.any_hub_id,
            )
            card = gr.Markdown(cards.card(FIRST))
            preset = gr.Radio([(words, name) for name, words in PRESETS.items()], value="standard", label="How")
            whole = gr.Checkbox(False, label="The whole recording")
            with gr.Row():
                start = gr.Number(0, step=0.1, label="From", info="Seconds; the liveliest place is proposed")
                duration = gr.Number(EXCERPT_SECONDS, step=0.1, label="For", info="Seconds")
            with gr.Row():
                go = gr.Button("Restore", variant="primary", interactive=False, elem_id="restore")
                cancel = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
            time_needed = gr.Markdown(elem_id="time-needed")
            with gr.Accordion("More", open=False):
                seed = gr.Number(0, precision=0, label="Seed", info="Same seed, same sound")
                gr.Markdown("What is left empty is as the preset has it, in grey. The paper's symbols are in brackets.")
                settings, texts = cards.settings(FIRST, "standard"), []
                for group in GROUPS:
                    with gr.Accordion(group, open=False):
                        texts += [
                            gr.Textbox(
                                label=about.label,
                                info=about.help,
                                placeholder=settings.get(name, ""),
                                visible=name in settings,
                                elem_id=f"set-{name}",
                                max_lines=1,
                            )
                            for name, about in SETTINGS.items()
                            if about.group == group
                        ]
        with gr.Column(scale=3, min_width=320):
            status = gr.HTML(elem_id="status")
            with gr.Column(visible=False) as running:
                live_picture = gr.Image(
                    label="As it stands", show_label=False, type="filepath", buttons=[], elem_id="live-picture"
                )
                live_sound = gr.Audio(
                    label="As it sounds now", type="filepath", interactive=False, elem_id="live-sound", **no_sharing
                )
            notice = gr.Markdown(INVITATION, elem_id="notice")
            desk = gr.HTML(**desk_parts(), apply_default_css=False, elem_id="desk")
            warnings = gr.Markdown(elem_id="warnings")
            with gr.Tabs(selected="ltas", visible=False) as tabs:
                with gr.Tab("Before and after", id="spectrograms"):
                    spectrograms = gr.ImageSlider(
                        label="Recording | restored",
                        show_label=False,
                        type="filepath",
                        format="png",
                        buttons=[],  # they would cover what it shows
                        elem_id="before-and-after",
                    )
                with gr.Tab("Spectrum", id="ltas"):
                    ltas_picture = gr.Image(
                        label="LTAS in third octaves", show_label=False, type="filepath", format="png", **no_sharing
                    )
                with gr.Tab("Machine", id="response"):
                    response_picture = gr.Image(
                        label="Estimated response", show_label=False, type="filepath", format="png", **no_sharing
                    )
                with gr.Tab("Numbers", id="numbers"):
                    numbers = gr.JSON(label="Report")
            with gr.Column(visible=False) as take:
                gr.Markdown("### Take it home")
                amount = gr.Slider(0, 1, 1, step=0.05, label="Amount", info="0 is the recording, 1 the restoration")
                with gr.Row():
                    kind = gr.Dropdown(list(KINDS), value="WAV, 24 bit", label="File")
                    rate = gr.Dropdown(list(RATES), value=RATES[0], label="Sample rate, Hz")
                with gr.Row():
                    file = gr.DownloadButton("Restored file", interactive=False, elem_id="file")
                    pack = gr.DownloadButton("Evidence pack (ZIP)", interactive=False, elem_id="pack")
                with gr.Accordion("Pictures and numbers", open=False, elem_id="papers"):
                    papers = gr.File(show_label=False, file_count="multiple", interactive=False)

    sights = [notice, desk, ltas_picture, warnings]
    shown = [kept, *sights, status, spectrograms, response_picture, numbers, tabs, take, papers]
    unseen: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    at_once = unseen | {"queue": False}
    latest = unseen | {"trigger_mode": "always_last"}

    recording.change(leave, **at_once)
    first = recording.change(look, [recording, checkpoint], [*shown, start, duration, whole, go, time_needed], **latest)
    checkpoint.change(cards.card, [checkpoint], [card], **unseen)
    checkpoint.change(look_again, [recording, checkpoint, kept], sights, **latest)
    solver = texts[list(SETTINGS).index(SOLVER)]
    chosen_method = [checkpoint, preset, solver]
    gr.on([checkpoint.change, preset.change, solver.blur], as_preset, chosen_method, texts, **latest)
    chosen = [recording, checkpoint, preset, whole, start, duration, *texts]
    first.success(time_it, chosen, [time_needed], **unseen)
    places = [each for field in (start, duration) for each in (field.blur, field.submit)]
    choices = [checkpoint.change, preset.change, whole.input, *places, *(text.blur for text in texts)]
    gr.on(choices, time_it, chosen, [time_needed], **latest)
    run = go.click(get_ready, None, [status, go, cancel], **at_once).then(
        restore_here,
        [*chosen[:3], seed, *chosen[3:]],
        [*shown, running, live_picture, live_sound, file, pack],
        concurrency_id="restoration",
        concurrency_limit=AT_ONCE,
        show_progress="minimal",  # the place in the queue
        show_progress_on=status,
        api_visibility="private",
    )
    run.success(rest, None, [running, go, cancel], **at_once)
    run.failure(lambda: ("", *rest()), None, [status, running, go, cancel], **at_once)
    cancel.click(stop_it, None, [cancel], **at_once)
    taken: dict[str, Any] = {"inputs": [kept, amount, kind, rate], "outputs": [file, pack, papers]}
    run.success(take_home, **taken, **unseen)
    gr.on([amount.release, kind.change, rate.change], take_home, **taken, **latest)
    demo.unload(leave)

    add_endpoints(cards, LONGEST, AT_ONCE)

demo.queue(max_size=WAITING, default_concurrency_limit=4)


def serve(**options: Any) -> Any:
    """Starts the page; Gradio takes the address from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    return demo.launch(
        theme=THEME,
        css_paths=HERE / "page.css",
        max_file_size=LARGEST,
        share=False,
        run_history=False,
        show_error=False,
        **options,
    )


if __name__ == "__main__":
    reuse_memory()
    serve()
