"""The page for programs: gradio_client and MCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from babe2.config import DEFAULT_CHECKPOINT
from babe2.page.checkpoint_cards import CheckpointCards, checked_preset
from babe2.page.excerpt import EXCERPT_SECONDS, Excerpt, checked_recording, checked_seed
from babe2.page.first_look import first_look
from babe2.page.messages import in_a_sentence
from babe2.page.outcome import as_long
from babe2.page.underway.job import Moment
from babe2.page.underway.line import RESTORATION
from babe2.page.underway.stop import Stop
from babe2.page.underway.zerogpu import check_lease, restored
from babe2.report import figures
from babe2.report.recipe import fingerprint
from babe2.wording import plain_name


@dataclass(frozen=True)
class Endpoints:
    """What programs may call; restorations of `longest` seconds at most."""

    cards: CheckpointCards
    longest: float

    @in_a_sentence
    def restore(
        self,
        recording: str,
        checkpoint: str = DEFAULT_CHECKPOINT,
        preset: str = "standard",
        seed: int = 0,
        start: float = 0.0,
        duration: float = EXCERPT_SECONDS,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio hands it over)
    ) -> Iterator[tuple[str | None, dict[str, Any], list[str]]]:
        """Restore an old music recording: imagine what the recording machine lost, undo how it coloured the rest.

        Args:
            recording: a sound file (WAV, FLAC, OGG, MP3, AIFF), or the address of one that everybody can reach
            checkpoint: which music the model knows; /checkpoints lists them
            preset: draft, standard or paper
            seed: same seed, same sound
            start: where the excerpt begins, seconds
            duration: of the excerpt, seconds

        Returns:
            The restored file (24-bit or float), a report, and pictures. While it runs, the report says how it stands.
        """
        options = {"preset": checked_preset(preset), "seed": checked_seed(seed)}
        checkpoint = self.cards.checked(checkpoint)
        sound = Excerpt.chosen(start, duration).read(checked_recording(recording), self.longest)
        check_lease(sound, options)
        reference = self.cards.restorer(checkpoint).reference
        with TemporaryDirectory(prefix="babe2-") as folder, Stop.new() as stop:
            for news in restored(checkpoint, sound, options, stop):
                if isinstance(news, Moment):
                    progress(news.share, desc=news.words)
                    yield None, {"share": news.share, "state": news.words}, []
                    continue
                place = f"{folder}/{plain_name(Path(recording).stem)}"
                file = news.save(f"{place}.restored.wav", tags=sound.tags)
                before, after = as_long(sound, news), (news.audio, news.sample_rate)
                drawn = figures.of_restoration(before, after, news, reference)
                pictures = [str(figures.save(picture(), f"{place}.{name}.png")) for name, picture in drawn.items()]
                result = {"name": file.name, **fingerprint(file)}
                yield str(file), news.report | {"result": result, "statement": news.provenance.statement}, pictures

    @in_a_sentence
    def analyse(self, recording: str, checkpoint: str = DEFAULT_CHECKPOINT) -> Iterator[dict[str, Any]]:
        """Say what a recording is like, without restoring it: level, clipping, bandwidth, noise floor, average
        spectrum, how that differs from the music a checkpoint knows, and advice.

        Args:
            recording: a sound file (WAV, FLAC, OGG, MP3, AIFF); five minutes and more are looked at in spaced blocks
            checkpoint: which music to compare it with; /checkpoints lists them

        Returns:
            Plain numbers, lists and sentences.
        """
        reference = self.cards.restorer(self.cards.checked(checkpoint)).reference
        yield first_look(checked_recording(recording), reference).found

    def checkpoints(self) -> list[dict[str, Any]]:
        """List the checkpoints: what music each knows, where it is from, its licence, and whether it is here already.

        Returns:
            One description for each.
        """
        return self.cards.rows()


def told_of_addresses(fetch: Callable[[Any], Awaitable[str | None]]) -> Callable[[Any], Awaitable[str | None]]:
    """The same, where an address that leads nowhere, or into somebody's own network, is an error in a sentence."""

    async def fetched(place: Any) -> str | None:
        try:
            return await fetch(place)
        except Exception as error:
            if not str(place).startswith(("http://", "https://")):
                raise
            told = "There is no file to be had from this address. Give one that everybody can reach, or send the file."
            raise gr.Error(told, print_exception=False) from error

    return fetched


def add_endpoints(endpoints: Endpoints, at_once: int) -> None:
    """Within `gr.Blocks`: makes them callable, `at_once` restorations at a time."""
    with gr.Group(visible=False):
        recording = gr.Audio(label="recording", type="filepath")
        fetch = "async_move_resource_to_block_cache"  # Gradio's own, of which only a traceback would tell
        setattr(recording, fetch, told_of_addresses(getattr(recording, fetch)))
        checkpoint = gr.Textbox(DEFAULT_CHECKPOINT, label="checkpoint")
        preset = gr.Textbox("standard", label="preset")
        seed = gr.Number(0, precision=0, label="seed")
        start, duration = gr.Number(0.0, label="start"), gr.Number(EXCERPT_SECONDS, label="duration")
        sound, pictures = gr.File(label="restored"), gr.File(file_count="multiple", label="pictures")
        report, found, rows = gr.JSON(label="report"), gr.JSON(label="analysis"), gr.JSON(label="checkpoints")
        asked = gr.Button()
    asked.click(
        endpoints.restore,
        [recording, checkpoint, preset, seed, start, duration],
        [sound, report, pictures],
        api_name="restore",
        concurrency_id=RESTORATION,
        concurrency_limit=at_once,
    )
    asked.click(endpoints.analyse, [recording, checkpoint], [found], api_name="analyse")
    asked.click(endpoints.checkpoints, None, [rows], api_name="checkpoints")
