"""The checkpoints as a visitor of the page finds them: what is said of each, what it costs, and how one has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from babe2 import audio
from babe2.checkpoints.listing import entry_as_dict, format_state
from babe2.checkpoints.shelf import Shelf
from babe2.config import as_text, column_for
from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import RestorationError
from babe2.estimate import Pace, calibrate, estimate
from babe2.methods import BABE2, SOLVER, choose
from babe2.page.excerpt import Excerpt
from babe2.recordings.recorded import SHORTEST_SECONDS
from babe2.restorer import Restorer
from babe2.wording import format_duration, format_length

WAY_OUT = "Choose one that comes along or is on this machine."

# No visitor waits for what another one has loaded or measured before.


@lru_cache(maxsize=2)  # a published prior takes a fifth of a gigabyte
def restorer_of(checkpoint: str) -> Restorer:
    return Restorer.from_checkpoint(checkpoint)


@lru_cache(maxsize=32)
def pace_of(checkpoint: str, preset: str) -> Pace:
    restorer = restorer_of(checkpoint)
    return calibrate(restorer, restorer.method(preset=preset))


@dataclass(frozen=True)
class CheckpointCards:
    """The manifest is read once; how its checkpoints stand is looked up whenever it is asked for."""

    shelf: Shelf
    any_hub_id: bool = False  # whether a visitor may have anything fetched from the Hub

    def rows(self) -> list[dict[str, Any]]:
        """One description for each, without the place where this machine keeps it."""
        return [self.row(name) for name in self.shelf.manifest]

    def row(self, checkpoint: str) -> dict[str, Any]:
        row = entry_as_dict(self.shelf, self.shelf.entry(checkpoint))
        return {name: value for name, value in row.items() if name != "path"}

    def checked(self, checkpoint: str) -> str:
        """A checkpoint that a visitor may use: one of the manifest, not a path on this machine."""
        on_the_hub = "/" in checkpoint and not Path(checkpoint).exists()
        if checkpoint in self.shelf.manifest or (self.any_hub_id and on_the_hub):
            return checkpoint
        raise RestorationError(f"There is no checkpoint {checkpoint!r:.80} here. Choose one of the list.")

    def card(self, checkpoint: str) -> str:
        """What a listener should know before choosing it."""
        if checkpoint not in self.shelf.manifest:
            return "A repository on the Hugging Face Hub, at your own risk: nothing in it is executed."
        row = self.row(checkpoint)
        state = format_state(row)
        return f"{row['description']} *{state[0].upper()}{state[1:]}. Licence: {row['licence']}. {row['credit']}.*"

    def rights(self, checkpoint: str) -> dict[str, str]:
        entry = self.shelf.manifest.get(checkpoint)
        return {"licence": entry.licence, "credit": entry.credit} if entry else {}

    def is_here(self, checkpoint: str) -> bool:
        entry = self.shelf.manifest.get(self.checked(checkpoint))
        return entry is not None and self.shelf.at_hand(entry) is not None

    def here(self, checkpoint: str) -> Restorer | None:
        """Looking fetches nothing: None where a checkpoint is not on this machine yet."""
        return restorer_of(checkpoint) if self.is_here(checkpoint) else None

    def reference(self, checkpoint: str) -> ReferenceLtas | None:
        """The average spectrum of the music it knows, where that is at hand."""
        restorer = self.here(checkpoint)
        return None if restorer is None else restorer.reference

    def restorer(self, checkpoint: str) -> Restorer:
        """Fetched, where it is not on this machine. A visitor has no paths to give: the ways out are others here."""
        from huggingface_hub import constants

        if self.is_here(checkpoint):
            return restorer_of(checkpoint)
        if constants.HF_HUB_OFFLINE:
            raise RestorationError(f"This checkpoint is not on this machine, which may use no network. {WAY_OUT}")
        try:
            return restorer_of(checkpoint)
        except RestorationError as error:
            fact, *_ = str(error).split(". ")
            raise RestorationError(f"{fact.rstrip('.')}. {WAY_OUT} Or try again later.") from None

    def settings(self, checkpoint: str, preset: str, solver: str | None = None) -> dict[str, str]:
        """What a preset means for a checkpoint of the manifest, on this machine or not: the settings that its method
        uses, as text."""
        entry = self.shelf.manifest.get(checkpoint)
        if entry is None:
            return {}
        column = column_for(entry.settings, entry.sample_rate, None if entry.settings == "compact" else entry.segment)
        method = choose(BABE2, preset, column, {SOLVER: solver} if solver else {})
        return {SOLVER: method.name} | {name: as_text(value) for name, value in method.settings.as_dict().items()}

    def words_on_time(
        self, checkpoint: str, preset: str, overrides: dict[str, Any], recording: str | Path, excerpt: Excerpt
    ) -> str:
        """How long a restoration of an excerpt will take, on this machine."""
        restorer = self.here(checkpoint)
        if restorer is None:
            return "**Restore** fetches this checkpoint first; how long a restoration takes can be told from then on."
        channels, samples, sample_rate = audio.measure(recording)
        seconds = max(SHORTEST_SECONDS, excerpt.seconds_of(samples / sample_rate))
        needed = estimate(
            pace_of(checkpoint, preset),
            restorer.method(preset=preset, **overrides),
            restorer.model,
            seconds=seconds,
            channels=channels,
            sample_rate=sample_rate,
        )
        return f"{format_length(seconds)} of sound will take {format_duration(needed.seconds)} on this machine."
