"""The page: layout, words and wiring. Everything that is work happens in babe2/."""

from __future__ import annotations

import filecmp
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import gradio as gr

from babe2 import Cancelled, Restoration, RestorationError, Restorer, analysis, audio, evidence, figures
from babe2.checkpoints_command import described, told_state
from babe2.config import PRESETS
from babe2.estimate import Pace, calibrate, estimate, told
from babe2.first_look import FirstLook, first_look
from babe2.glossary import GLOSSARY
from babe2.job import Moment, follow
from babe2.listening import LTAS_EQ, RECORDING, RESTORED, desk_parts, desk_tracks
from babe2.pipeline import mixed
from babe2.process import fit_threads, reuse_memory
from babe2.recorded import Audio
from babe2.shelf import Shelf
from babe2.waveform import clock

try:
    import spaces  # where a graphics card is lent for each run (ZeroGPU)
except ImportError:
    spaces = None

log = logging.getLogger(__name__)

EXAMPLES = Path(__file__).parent / "examples"
FIRST = "piano-small"
EXCERPT = 10.0  # seconds
LONGEST = float(os.environ.get("BABE2_LONGEST_SECONDS", 600))  # that one may have restored in one go
LARGEST = os.environ.get("BABE2_LARGEST_FILE", "200mb")
WAITING = int(os.environ.get("BABE2_QUEUE", 20))  # who comes when so many wait is told to come back
AT_ONCE = int(os.environ.get("BABE2_AT_ONCE", 1))  # restorations on this machine
ANY_HUB_ID = os.environ.get("BABE2_ANY_HUB_ID") == "1"  # whether a visitor may have anything fetched from the Hub
NEWS = 1.0  # seconds between pictures of a run under way
PRESET_WORDS = {
    "standard": "Standard: the best sound per second",
    "draft": "Draft: hear in moments where it goes",
    "paper": "As published: for researchers, slow, mono",
}
RATES = ("as the recording", "44100", "48000", "96000")
KINDS = {"WAV, 24 bit": ("wav", "PCM_24"), "FLAC, 24 bit": ("flac", "PCM_24"), "WAV, 32-bit float": ("wav", "FLOAT")}
SETTINGS = [name for group in GLOSSARY.values() for name in group]
CURVES = ("recording", "LTAS-EQ", "restored")
BEFOREHAND = "\n\nThis example was restored beforehand. Press **Restore** to watch it being done."
INVITATION = (
    "Nothing here yet. Drop a recording or take the example: you see and hear at once what it is like, before anything "
    "is restored."
)
IMAGINED = "What the recording had lost is imagined by the model: plausible, not recovered."


@dataclass(frozen=True, eq=False)
class Result:
    """What a visitor has before them."""

    name: str  # of their file
    source: Path
    recording: audio.Recording
    start: float
    duration: float | None  # None: to its end
    restorer: Restorer
    restoration: Restoration


# Errors, files, checkpoints


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
    """Uploads lie in folders that are nobody's business: only a file's name is told."""
    return re.sub(r"(?<![\w./:])/(?:[^/\s]+/)+", "", sentence)


@contextmanager
def private_folder() -> Iterator[Path]:
    """What is left in it after it was shown is gone; Gradio has its own copy of it, for as long as it is wanted."""
    with tempfile.TemporaryDirectory(prefix="babe2-") as folder:
        yield Path(folder)


@lru_cache(maxsize=2)  # a published prior takes a fifth of a gigabyte
def restorer_of(checkpoint: str) -> Restorer:
    return Restorer.from_checkpoint(checkpoint)


@lru_cache(maxsize=32)
def pace_of(checkpoint: str, preset: str) -> Pace:
    restorer = restorer_of(checkpoint)
    return calibrate(restorer, restorer.settings(preset))


def checked(checkpoint: str) -> str:
    """A checkpoint a visitor may use: one of the manifest, not a path on this machine."""
    if checkpoint in Shelf.at().manifest or (ANY_HUB_ID and "/" in checkpoint and not Path(checkpoint).exists()):
        return checkpoint
    raise RestorationError(f"There is no checkpoint {checkpoint!r:.80} here. Choose one of the list.")


def states() -> list[dict[str, Any]]:
    shelf = Shelf.at()
    rows = [described(shelf, entry) for entry in shelf.manifest.values()]
    return [{name: value for name, value in row.items() if name != "path"} for row in rows]  # of this machine


def checkpoint_card(checkpoint: str) -> str:
    row = next((row for row in states() if row["id"] == checkpoint), None)
    if row is None:
        return "A repository on the Hugging Face Hub, at your own risk: nothing in it is executed."
    state = told_state(row)
    return f"{row['description']} *{state[0].upper()}{state[1:]}. Licence: {row['licence']}. {row['credit']}.*"


def rights(checkpoint: str) -> dict[str, str]:
    row = next((row for row in states() if row["id"] == checkpoint), {"licence": "", "credit": ""})
    return {"licence": row["licence"], "credit": row["credit"]}


def place_of(whole: bool, start: float | None, duration: float | None) -> tuple[float, float | None]:
    """Where an excerpt begins and how long it lasts; a field that was emptied means its default."""
    return (0.0, None) if whole else (max(0.0, start or 0.0), EXCERPT if duration is None else duration)


def given(recording: str | None) -> str:
    if not recording:
        raise RestorationError("There is no recording yet. Drop one on the page, or take the example.")
    return recording


def read_excerpt(recording: str | None, begin: float, seconds: float | None) -> audio.Recording:
    _, samples, rate = audio.measure(given(recording))
    wanted = min(seconds or samples / rate, max(0.0, samples / rate - begin))
    if wanted > LONGEST:
        raise RestorationError(
            f"That is {clock(wanted)} of sound; here at most {clock(LONGEST)} are restored at once. Choose an excerpt, "
            "or run babe2 on your own computer."
        )
    return audio.read(given(recording), start=begin, duration=seconds)


# At first sight


@in_a_sentence
def look(recording: str | None, checkpoint: str, preset: str) -> Iterator[dict[Any, Any]]:
    """Everything that can be said at once; nothing is sampled. What was restored before makes room for it."""
    yield {
        **dict.fromkeys([kept, desk, ltas_picture, spectrograms, response_picture, numbers]),
        **dict.fromkeys([status, warnings, time_needed], ""),
        notice: "" if recording else INVITATION,
        **dict.fromkeys([tabs, take], gr.update(visible=False)),
        go: gr.update(interactive=False),
    }
    if not recording:
        return
    seen = first_look(recording, here(checkpoint), EXCERPT)
    with private_folder() as folder:
        yield sight(seen, recording, checkpoint, folder) | {
            start: round(seen.start, 1),
            duration: gr.update(value=min(EXCERPT, round(seen.seconds, 2))),
            whole: seen.seconds <= EXCERPT,
            go: gr.update(interactive=True),
            tabs: gr.update(selected="ltas", visible=True),
        }
    shape = len(seen.excerpt), seen.sample_rate
    yield {time_needed: words_on_time(checkpoint, preset, {}, min(EXCERPT, seen.seconds), *shape)}


@in_a_sentence
def look_again(recording: str | None, checkpoint: str, result: Result | None) -> Iterator[dict[Any, Any]]:
    """Beside the music that another checkpoint knows; what was restored stays."""
    if not recording or result is not None:
        yield {notice: gr.skip()}
    else:
        with private_folder() as folder:
            yield sight(first_look(recording, here(checkpoint), EXCERPT), recording, checkpoint, folder)


def here(checkpoint: str) -> Restorer | None:
    """Looking fetches nothing: None where a checkpoint is not on this machine yet."""
    return None if to_be_fetched(checked(checkpoint)) else restorer_of(checkpoint)


def to_be_fetched(checkpoint: str) -> bool:
    return all(row["state"] == "remote" for row in states() if row["id"] == checkpoint)


def sight(seen: FirstLook, recording: str, checkpoint: str, folder: Path) -> dict[Any, Any]:
    """What was seen, on the page."""
    sounds = {RECORDING: seen.excerpt} | ({LTAS_EQ: seen.equalised} if seen.equalised is not None else {})
    curves = {
        title: (sound, seen.sample_rate)
        for title, sound in zip(("recording", "LTAS-EQ"), sounds.values(), strict=False)
    }
    words = first_words(seen)
    beforehand = restored_beforehand(recording) if checkpoint == FIRST else None
    if beforehand is not None:
        first = round(seen.start * seen.sample_rate)
        sounds[RESTORED] = beforehand[:, first : first + seen.excerpt.shape[1]]
        words += BEFOREHAND
    return {
        notice: words,
        desk: desk_tracks(sounds, seen.sample_rate, folder),
        ltas_picture: str(figures.save(figures.ltas_curves(curves, seen.reference), folder / "ltas.png")),
    }


def restored_beforehand(recording: str) -> Audio | None:
    """An example's restoration, which plays at once."""
    for known in EXAMPLES.glob("*.restored.flac"):
        example = known.with_name(known.name.replace(".restored", ""))
        if filecmp.cmp(example, recording, shallow=False):
            return audio.read(known).audio
    return None


def first_words(seen: FirstLook) -> str:
    found, clips = seen.found, seen.found["clipping"]["runs"]
    facts = {
        "loudness": (found["loudness_lufs"], 1, "LUFS"),
        "peak": (found["peak_dbfs"], 1, "dBFS"),
        "music up to": (found["bandwidth_high_hz"], 1000, "kHz"),
        "noise floor": (found["noise_floor_dbfs"], 1, "dBFS"),
    }
    said = [f"length **{long(seen.seconds)}**"]
    said += [
        f"{name} **{value / scale:.1f} {unit}**" for name, (value, scale, unit) in facts.items() if value is not None
    ]
    said += [f"clipping **{clips} places**" if clips else "no clipping"]
    if seen.looked_at < seen.seconds - 1:
        said += [f"looked at {clock(seen.looked_at)} of it, evenly spaced"]
    return "\n\n".join([" · ".join(said), *(f"- {advice}" for advice in found["advice"])])


def long(seconds: float) -> str:
    return clock(seconds) if seconds >= 60 else f"{seconds:.{0 if seconds >= 10 else 1}f} s"


def words_on_time(
    checkpoint: str, preset: str, overrides: dict[str, str], seconds: float, channels: int, sample_rate: int
) -> str:
    restorer = here(checkpoint)
    if restorer is None:
        return "**Restore** fetches this checkpoint first; how long a restoration takes can be told from then on."
    settings = restorer.settings(preset, **overrides)
    needed = estimate(
        pace_of(checkpoint, preset),
        settings,
        restorer.model,
        seconds=seconds,
        channels=channels,
        sample_rate=sample_rate,
    )
    return f"{long(seconds)} of sound will take {told(needed.seconds)} on this machine."


@in_a_sentence
def time_it(
    recording: str | None, checkpoint: str, preset: str, whole: bool, duration: float | None, *more: str
) -> Iterator[str]:
    if not recording:
        yield ""
        return
    channels, samples, rate = audio.measure(recording)
    _, wanted = place_of(whole, 0.0, duration)
    seconds = min(wanted or samples / rate, samples / rate)
    yield words_on_time(checkpoint, preset, typed(more), max(seconds, 0.1), channels, rate)


def typed(more: Sequence[str]) -> dict[str, str]:
    """The settings that were not left to the preset."""
    return {name: text for name, text in zip(SETTINGS, more, strict=True) if text and text.strip()}


# Restoring

STOPS: dict[str, threading.Event] = {}  # by session: what one visitor stops is nobody else's


def on_a_card(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Lends a graphics card where they are lent by the run, for as long as the excerpt and the preset need one."""
    if spaces is None:
        return work

    def seconds(_: Any, sound: audio.Recording, options: dict[str, Any], *__: Any) -> int:
        each = {"draft": 1, "standard": 3, "paper": 10}[options["preset"]]
        return int(20 + each * sound.audio.shape[1] / sound.sample_rate)

    return spaces.GPU(duration=seconds)(work)


@on_a_card
def restored(
    restorer: Restorer, sound: audio.Recording, options: dict[str, Any], stopped: Callable[[], bool]
) -> Iterator[Moment | Restoration]:
    fit_threads()
    yield from follow(restorer, sound.audio, sound.sample_rate, stopped=stopped, **options)


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
    stop = STOPS.setdefault(session, threading.Event())
    yield {status: bar(0.0, "reading the recording"), running: gr.update(visible=True)}
    place = place_of(whole, start, duration)
    sound = read_excerpt(recording, *place)
    yield {status: bar(0.0, "fetching the checkpoint" if to_be_fetched(checked(checkpoint)) else "beginning")}
    restorer = restorer_of(checkpoint)
    options = {"preset": preset, "seed": int(seed or 0), **typed(more)}
    shown, last = time.monotonic(), None
    with private_folder() as folder:
        for news in restored(restorer, sound, options, stop.is_set):
            if STOPS.get(session) is not stop:  # another recording is before the visitor by now
                yield {status: ""}
                return
            if isinstance(news, Restoration):
                source = Path(given(recording))
                yield all_of(Result(source.name, source, sound, *place, restorer, news), folder)
            elif news.sound is not None and news is not last and time.monotonic() - shown > NEWS:
                shown, last = time.monotonic(), news
                yield {status: bar(news.share, words_on(news)), **glimpse(news, restorer, folder)}
            else:
                words = "stopping; what is finished is kept" if stop.is_set() else words_on(news)
                yield {status: bar(news.share, words)}


def words_on(moment: Moment) -> str:
    if not moment.step:
        return "finding out how the recording was made"
    left = "" if moment.seconds_left is None else f", {told(moment.seconds_left)} left"
    return f"segment {moment.segment} of {moment.segments}, step {moment.step} of {moment.steps}{left}"


def bar(share: float, words: str) -> str:
    return f'<div role="status"><progress value="{share:.3f}" max="1"></progress> <span>{words}</span></div>'


def glimpse(moment: Moment, restorer: Restorer, folder: Path) -> dict[Any, Any]:
    """The sound under way, to see and to hear."""
    rate, name = restorer.model.sample_rate, f"{moment.segment}-{moment.step}"
    picture = figures.live((moment.sound, rate), moment.equalizer)
    heard = audio.write(folder / f"{name}.wav", moment.sound, rate, subtype="PCM_24")
    return {live_picture: str(figures.save(picture, folder / f"{name}.png")), live_sound: str(heard)}


def all_of(result: Result, folder: Path) -> dict[Any, Any]:
    """A finished run on the page."""
    restoration, sound = result.restoration, result.recording
    before, after = (sound.audio, sound.sample_rate), (restoration.audio, restoration.sample_rate)
    length = restoration.audio.shape[1]
    sounds = {RECORDING: sound.audio[:, :length], RESTORED: restoration.audio}
    if result.restorer.ltas is not None and len(restoration.audio) == len(sound.audio):
        equalised = result.restorer.restore(sound.audio, sound.sample_rate, method="ltas-eq").audio
        sounds[LTAS_EQ] = equalised[:, :length]
    if len(restoration.audio) != len(sound.audio):  # the published program folds channels to one
        sounds[RECORDING] = sounds[RECORDING].mean(axis=0, keepdims=True)
    pair = figures.spectrogram_pair(before, after)
    curves = {"recording": before, "restored": after}
    drawn = {
        "ltas": figures.ltas_curves(curves, result.restorer.reference),
        "response": figures.response(restoration.history, restoration.response, sound.sample_rate),
    }
    pictures = {name: str(figures.save(figure, folder / f"{name}.png")) for name, figure in drawn.items()}
    done = (
        f"done: {long(length / restoration.sample_rate)} of sound in {restoration.report['seconds']:.1f} s. {IMAGINED}"
    )
    return {
        kept: result,
        status: bar(1.0, done),
        desk: desk_tracks(sounds, restoration.sample_rate, folder),
        spectrograms: tuple(str(figures.save(one, folder / f"{i}.png")) for i, one in enumerate(pair)),
        ltas_picture: pictures["ltas"],
        response_picture: pictures["response"],
        numbers: restoration.report | {"analysis": analysis.analyse(restoration.audio, restoration.sample_rate)},
        tabs: gr.update(selected="spectrograms", visible=True),
        take: gr.update(visible=True),
        file: gr.update(interactive=False),
        pack: gr.update(interactive=False),
        warnings: "\n".join(f"- {warning}" for warning in restoration.report["warnings"]),
    }


def get_ready(request: gr.Request) -> tuple[Any, ...]:
    """From here on a run can be stopped, also while it waits for those before it."""
    STOPS[str(request.session_hash)] = threading.Event()
    return bar(0.0, "waiting for its turn"), gr.update(interactive=False), gr.update(interactive=True)


def stop_it(request: gr.Request) -> Any:
    if stop := STOPS.get(str(request.session_hash)):
        stop.set()
    return gr.update(interactive=False)


def leave(request: gr.Request) -> None:
    """The page, or a recording for another one."""
    if stop := STOPS.pop(str(request.session_hash), None):
        stop.set()


def rest() -> tuple[Any, ...]:
    """After a run, however it ended."""
    return gr.update(visible=False), gr.update(interactive=True), gr.update(interactive=False)


# Taking it home


@in_a_sentence
def take_home(result: Result | None, amount: float, kind: str, rate: str) -> Iterator[tuple[Any, Any]]:
    if result is None:
        return
    sound, restoration = result.recording, result.restoration
    other = int(rate) if rate.isdigit() and int(rate) != restoration.sample_rate else None
    restoration = restoration.at_rate(other) if other else restoration
    if amount < 1:
        restoration = mixed(restoration, sound.audio, sound.sample_rate, amount)
    extension, subtype = KINDS[kind]
    with private_folder() as folder:
        stem = evidence.plain_name(Path(result.name).stem)
        file = folder / f"{stem}.restored.{extension}"
        audio.write(file, restoration.audio, restoration.sample_rate, subtype=subtype, tags=sound.tags)
        yield gr.update(value=str(file), interactive=True), gr.update(interactive=False)
        of_what = {"start": result.start, "duration": result.duration}
        command = evidence.command_line(
            restoration.report,
            result.restorer,
            recording=result.name,
            rate=other,
            subtype=subtype,
            output=file.name,
            **of_what,
        )
        pack = evidence.pack(
            folder / f"{stem}.babe2.zip",
            recording=result.source,
            name=result.name,
            restoration=restoration,
            restored=file,
            command=command,
            reference=result.restorer.reference,
            **of_what,
            **rights(result.restorer.name),
        )
        yield gr.skip(), gr.update(value=str(pack), interactive=True)


# For programs: gradio_client and MCP


@in_a_sentence
def restore(
    recording: str,
    checkpoint: str = FIRST,
    preset: str = "standard",
    seed: int = 0,
    start: float = 0.0,
    duration: float = EXCERPT,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio hands it over)
) -> Iterator[tuple[str | None, dict[str, Any], list[str]]]:
    """Restore an old music recording: imagine what the recording machine lost, undo how it coloured the rest.

    Args:
        recording: a sound file (WAV, FLAC, OGG, MP3, AIFF)
        checkpoint: which music the model knows; /checkpoints lists them
        preset: draft, standard or paper
        seed: same seed, same sound
        start: where the excerpt begins, seconds
        duration: of the excerpt, seconds

    Returns:
        The restored file (24-bit or float), a report, and pictures. While it runs, the report says how it stands.
    """
    sound = read_excerpt(recording, *place_of(False, start, duration))
    restorer = restorer_of(checked(checkpoint))
    options = {"preset": preset, "seed": int(seed)}
    with private_folder() as folder:
        for news in restored(restorer, sound, options, lambda: False):
            if isinstance(news, Moment):
                progress(news.share, desc=words_on(news))
                yield None, {"share": news.share, "state": words_on(news)}, []
                continue
            stem = evidence.plain_name(Path(recording).stem)
            file = news.save(folder / f"{stem}.restored.wav")
            before, after = (sound.audio, sound.sample_rate), (news.audio, news.sample_rate)
            drawn = {
                "spectrogram": figures.spectrograms(before, after),
                "ltas": figures.ltas_curves({"recording": before, "restored": after}, restorer.reference),
                "response": figures.response(news.history, news.response, sound.sample_rate),
            }
            pictures = [str(figures.save(figure, folder / f"{stem}.{name}.png")) for name, figure in drawn.items()]
            yield str(file), news.report, pictures


@in_a_sentence
def analyse(recording: str, checkpoint: str = FIRST) -> Iterator[dict[str, Any]]:
    """Say what a recording is like, without restoring it: level, clipping, bandwidth, noise floor, average spectrum,
    how that differs from the music a checkpoint knows, and advice.

    Args:
        recording: a sound file (WAV, FLAC, OGG, MP3, AIFF); five minutes and more are looked at in spaced blocks
        checkpoint: which music to compare it with; /checkpoints lists them

    Returns:
        Plain numbers, lists and sentences.
    """
    yield first_look(given(recording), restorer_of(checked(checkpoint)), EXCERPT).found


def checkpoints() -> list[dict[str, Any]]:
    """List the checkpoints: what music each knows, where it is from, its licence, and whether it is here already.

    Returns:
        One description for each.
    """
    return states()


# The page

THEME = gr.themes.Base(
    primary_hue="amber",
    neutral_hue="stone",
    font=["system-ui", "sans-serif"],  # nothing is fetched from elsewhere
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container { max-width: 1180px !important; margin: auto; }
#status progress { appearance: none; width: 12rem; height: 0.6rem; vertical-align: middle; color: var(--primary-500);
    border: 0; border-radius: 1rem; background: var(--border-color-primary); overflow: hidden; }
#status progress::-webkit-progress-bar { background: none; }
#status progress::-webkit-progress-value { background: currentcolor; }
#status progress::-moz-progress-bar { background: currentcolor; }
#status { min-height: 1.6rem; }
#recording, #live-sound { contain: inline-size; } /* or a long waveform widens a phone's page */
footer { opacity: 0.7; }
"""
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
                [(row["title"], row["id"]) for row in states()],
                value=FIRST,
                label="Which music",
                allow_custom_value=ANY_HUB_ID,
            )
            card = gr.Markdown(checkpoint_card(FIRST))
            preset = gr.Radio(
                [(words, name) for name, words in PRESET_WORDS.items() if name in PRESETS],
                value="standard",
                label="How",
            )
            whole = gr.Checkbox(False, label="The whole recording")
            with gr.Row():
                start = gr.Number(0, step=0.1, label="From", info="Seconds; the liveliest place is proposed")
                duration = gr.Number(EXCERPT, step=0.1, label="For", info="Seconds")
            with gr.Row():
                go = gr.Button("Restore", variant="primary", interactive=False, elem_id="restore")
                cancel = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
            time_needed = gr.Markdown(elem_id="time-needed")
            with gr.Accordion("More", open=False):
                seed = gr.Number(0, precision=0, label="Seed", info="Same seed, same sound")
                gr.Markdown("What is left empty is as the preset has it. The paper's symbols are in brackets.")
                texts = []
                for group, words in GLOSSARY.items():
                    with gr.Accordion(group, open=False):
                        texts += [
                            gr.Textbox(label=said.label, info=said.hint, elem_id=f"set-{name}", max_lines=1)
                            for name, said in words.items()
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
            warnings = gr.Markdown()
            with gr.Tabs(selected="ltas", visible=False) as tabs:
                with gr.Tab("Before and after", id="spectrograms"):
                    spectrograms = gr.ImageSlider(
                        label="Recording | restored", show_label=False, type="filepath", format="png"
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

    sights = [notice, desk, ltas_picture]
    shown = [kept, *sights, status, warnings, spectrograms, response_picture, numbers, tabs, take]
    unseen: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    at_once = unseen | {"queue": False}
    latest = unseen | {"trigger_mode": "always_last"}

    recording.change(leave, **at_once)
    recording.change(look, [recording, checkpoint, preset], [*shown, start, duration, whole, go, time_needed], **latest)
    checkpoint.change(checkpoint_card, [checkpoint], [card], **unseen)
    checkpoint.change(look_again, [recording, checkpoint, kept], sights, **latest)
    gr.on(
        [checkpoint.change, preset.change, whole.input, duration.blur, duration.submit, *(text.blur for text in texts)],
        time_it,
        [recording, checkpoint, preset, whole, duration, *texts],
        [time_needed],
        **latest,
    )
    run = go.click(get_ready, None, [status, go, cancel], **at_once).then(
        restore_here,
        [recording, checkpoint, preset, seed, whole, start, duration, *texts],
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
    taken = {"inputs": [kept, amount, kind, rate], "outputs": [file, pack]}
    run.success(take_home, **taken, **unseen)
    gr.on([amount.release, kind.change, rate.change], take_home, **taken, **latest)
    demo.unload(leave)

    with gr.Group(visible=False):  # what programs see
        sound_in = gr.Audio(label="recording", type="filepath")
        which, how, number = gr.Textbox(FIRST), gr.Textbox("standard"), gr.Number(0, precision=0)
        begin, length = gr.Number(0.0), gr.Number(EXCERPT)
        sound_out, report, pictures = (
            gr.File(label="restored"),
            gr.JSON(),
            gr.File(file_count="multiple", label="pictures"),
        )
        asked = gr.Button()
        asked.click(
            restore,
            [sound_in, which, how, number, begin, length],
            [sound_out, report, pictures],
            api_name="restore",
            concurrency_id="restoration",
            concurrency_limit=AT_ONCE,
        )
        asked.click(analyse, [sound_in, which], [report], api_name="analyse")
        asked.click(checkpoints, None, [report], api_name="checkpoints")

demo.queue(max_size=WAITING, default_concurrency_limit=4)


def serve(**options: Any) -> Any:
    """Starts the page; Gradio takes the address from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    return demo.launch(
        theme=THEME,
        css=CSS,
        max_file_size=LARGEST,
        share=False,
        run_history=False,
        show_error=False,
        **options,
    )


if __name__ == "__main__":
    reuse_memory()
    serve()
