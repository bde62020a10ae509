"""The page for programs: gradio_client and MCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from babe2.page.checkpoint_cards import CheckpointCards
from babe2.page.excerpt import EXCERPT_SECONDS, Excerpt, given
from babe2.page.first_look import first_look
from babe2.page.job import Moment
from babe2.page.messages import in_a_sentence
from babe2.page.outcome import Outcome
from babe2.page.stop import Stop
from babe2.page.zerogpu import restored
from babe2.report.figures import save
from babe2.report.recipe import plain_name

FIRST = "piano-small"


def add_endpoints(cards: CheckpointCards, longest: float, at_once: int) -> None:
    """Within `gr.Blocks`: what programs may call, `at_once` restorations of `longest` seconds at most."""

    @in_a_sentence
    def restore(
        recording: str,
        checkpoint: str = FIRST,
        preset: str = "standard",
        seed: int = 0,
        start: float = 0.0,
        duration: float = EXCERPT_SECONDS,
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
        excerpt = Excerpt.chosen(start, duration)
        sound = excerpt.read(given(recording), longest)
        restorer = cards.restorer(checkpoint)
        with TemporaryDirectory(prefix="babe2-") as folder, Stop.new() as stop:
            for news in restored(checkpoint, sound, {"preset": preset, "seed": int(seed)}, stop):
                if isinstance(news, Moment):
                    progress(news.share, desc=news.words)
                    yield None, {"share": news.share, "state": news.words}, []
                    continue
                place = f"{folder}/{plain_name(Path(recording).stem)}"
                file = news.save(f"{place}.restored.wav")
                drawn = Outcome(Path(recording), excerpt, sound, restorer, news).pictures()
                pictures = [str(save(picture(), f"{place}.{name}.png")) for name, picture in drawn.items()]
                yield str(file), news.report, pictures

    @in_a_sentence
    def analyse(recording: str, checkpoint: str = FIRST) -> Iterator[dict[str, Any]]:
        """Say what a recording is like, without restoring it: level, clipping, bandwidth, noise floor, average
        spectrum, how that differs from the music a checkpoint knows, and advice.

        Args:
            recording: a sound file (WAV, FLAC, OGG, MP3, AIFF); five minutes and more are looked at in spaced blocks
            checkpoint: which music to compare it with; /checkpoints lists them

        Returns:
            Plain numbers, lists and sentences.
        """
        yield first_look(given(recording), cards.restorer(checkpoint).reference).found

    def checkpoints() -> list[dict[str, Any]]:
        """List the checkpoints: what music each knows, where it is from, its licence, and whether it is here already.

        Returns:
            One description for each.
        """
        return cards.rows()

    with gr.Group(visible=False):
        recording = gr.Audio(label="recording", type="filepath")
        checkpoint, preset, seed = gr.Textbox(FIRST), gr.Textbox("standard"), gr.Number(0, precision=0)
        start, duration = gr.Number(0.0), gr.Number(EXCERPT_SECONDS)
        sound, pictures = gr.File(label="restored"), gr.File(file_count="multiple", label="pictures")
        report, asked = gr.JSON(), gr.Button()
    asked.click(
        restore,
        [recording, checkpoint, preset, seed, start, duration],
        [sound, report, pictures],
        api_name="restore",
        concurrency_id="restoration",
        concurrency_limit=at_once,
    )
    asked.click(analyse, [recording, checkpoint], [report], api_name="analyse")
    asked.click(checkpoints, None, [report], api_name="checkpoints")
