"""The checkpoints as a visitor of the page finds them: what is said of each, what it costs, and how one has it."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import escape
from importlib.util import find_spec
from threading import Lock
from typing import Any

from babe2.checkpoints import manifest
from babe2.checkpoints.checkpoint import WEIGHTS, spectrum_of
from babe2.checkpoints.hub import fetch_from_hub
from babe2.checkpoints.listing import entry_as_dict, format_state
from babe2.checkpoints.shelf import FILES, Shelf
from babe2.checkpoints.transfer import Caller
from babe2.config import PRESETS, Architecture, BandwiseArchitecture, Model, as_text, column_of
from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import RestorationError
from babe2.estimate import Pace, calibrate, estimate
from babe2.methods import BABE2, Method, able, choose
from babe2.page.portrait import portrait
from babe2.page.singer.own import OWN, PREFIX
from babe2.restorer import Restorer
from babe2.wording import format_duration, format_length

# Where graphics cards are lent for each run (zerogpu.py), all that is not lent is computed on the processor.
DEVICE = "cpu" if find_spec("spaces") else "auto"
FRESH_SECONDS = 600.0  # after which a machine's pace is measured again: it may have been busy with others
USUAL = "Restore, as suits the checkpoint"
WAY_OUT = "Choose one that is on this machine already."
REVISION = re.compile(r"[\w][\w./-]{0,99}", re.ASCII)

_loading: defaultdict[str, Lock] = defaultdict(Lock)


def restorer_of(checkpoint: str, device: str = "auto") -> Restorer:
    """The restorer of a checkpoint that `CheckpointCards.checked` let pass, loaded once for all visitors.

    No folder of this machine can be meant: what is not in the manifest, and no visitor's own, is looked for on the Hub
    and nowhere else.
    """
    if CheckpointCards.is_somebodys_own(checkpoint) and OWN.find(checkpoint) is None:  # it may still be loaded
        raise RestorationError("This checkpoint of your own is not kept any more. Choose another one.")
    with _loading[checkpoint]:  # who comes while it is being loaded waits for it
        return _loaded(checkpoint, device)


@lru_cache(maxsize=2)  # a published prior takes a fifth of a gigabyte
def _loaded(checkpoint: str, device: str) -> Restorer:
    if own := OWN.find(checkpoint):
        restorer = Restorer.from_checkpoint(own.folder, device=device)
        restorer.name = own.title
        return restorer
    named = repository(checkpoint)
    if named is None:
        return Restorer.from_checkpoint(checkpoint, device=device)
    folder = fetch_from_hub(*named, FILES, Shelf.at().cache, Caller())
    restorer = Restorer.from_checkpoint(folder, device=device)
    restorer.name = f"{named[0]}@{folder.name}"  # the commit that was used
    return restorer


def repository(name: str) -> tuple[str, str | None] | None:
    """The repository and revision of a Hub name, `owner/name[@revision]`; None for anything else."""
    repo, at, revision = name.partition("@")
    if not manifest.REPO.fullmatch(repo) or (at and not REVISION.fullmatch(revision)):
        return None
    return repo, revision or None


@lru_cache(maxsize=32)
def pace_of(
    checkpoint: str, preset: str, overrides: tuple[tuple[str, Any], ...], period: int, method: str = BABE2
) -> Pace:
    """How fast this machine is with these settings, in a period of ten minutes."""
    restorer = restorer_of(checkpoint, DEVICE)
    return calibrate(restorer, restorer.method(method, preset, **dict(overrides)))


@dataclass(frozen=True)
class CheckpointCards:
    """The priors a visitor may use. The manifest is read once; their states are looked up on every call."""

    shelf: Shelf
    any_hub_id: bool = False  # whether a visitor may have anything fetched from the Hub

    @cached_property
    def priors(self) -> manifest.Manifest:
        """The entries of the manifest that something can be restored with."""
        return {name: entry for name, entry in self.shelf.manifest.items() if entry.settings is not None}

    def rows(self) -> list[dict[str, Any]]:
        """One description for each, without the place where this machine keeps it."""
        return [self.row(name) for name in self.priors]

    def row(self, checkpoint: str) -> dict[str, Any]:
        """The description of one checkpoint of the manifest."""
        row = entry_as_dict(self.shelf, self.shelf.entry(checkpoint))
        return {name: value for name, value in row.items() if name != "path"}

    def choices(self, own: object = None) -> list[tuple[str, str]]:
        """(what a list shows, id) of each, and of all of a visitor's of which one is `own`; what is not on this
        machine is marked."""
        choices = []
        for row in self.rows():
            size = f", {row['bytes'] / 1e6:.0f} MB" if row["bytes"] else ""
            absent = "not on this machine" if offline() else "to be fetched first"
            mark = f" ({absent}{size})" if row["state"] == "remote" else ""
            choices.append((row["title"] + mark, row["id"]))
        mine = [(f"{one.title} (yours, {one.steps} steps)", one.name) for one in OWN.beside(own)]
        return [*mine, *choices]

    def checked(self, checkpoint: object) -> str:
        """The name of a checkpoint that a visitor may use: one of the manifest, his own or, where allowed, one on the
        Hub.

        Whether there is such a folder on this machine changes nothing in the answer.
        """
        if isinstance(checkpoint, str):
            if checkpoint in self.priors or OWN.find(checkpoint):
                return checkpoint
            if self.any_hub_id and repository(checkpoint):
                return checkpoint
        raise RestorationError(f"There is no checkpoint {checkpoint!r:.80} here. Choose one of the list.")

    @staticmethod
    def is_somebodys_own(checkpoint: str) -> bool:
        """Whether a name is one of a visitor's checkpoints, kept or not any more."""
        return checkpoint.startswith(PREFIX)

    def card(self, checkpoint: str) -> str:
        """What a listener should know before choosing it, as HTML, with a portrait of the music that it knows."""
        if own := OWN.find(checkpoint):
            told, aside = (
                own.about,
                "Only you see it, and it is deleted some hours after your last visit: take it home.",
            )
        elif checkpoint not in self.priors:
            told, aside = "A repository on the Hugging Face Hub, at your own risk: nothing in it is executed.", ""
        else:
            row = self.row(checkpoint)
            state = format_state(row)
            told = row["description"]
            aside = f"{state[0].upper()}{state[1:]}. Licence: {row['licence']}. {row['credit']}."
        aside = f" <em>{escape(aside)}</em>" if aside else ""
        return f"<p>{escape(told)}{aside}</p>{self.portrait(checkpoint)}"

    def portrait(self, checkpoint: str) -> str:
        """The average spectrum of the music it knows, as SVG; "" where its file is not here or holds none.

        Of the file nothing else is read.
        """
        own, entry = OWN.find(checkpoint), self.priors.get(checkpoint)
        found = self.shelf.at_hand(entry) if entry else None
        path = own.folder / WEIGHTS if own else found.path if found else None
        try:
            known = None if path is None else spectrum_of(path)
        except (RestorationError, OSError):  # which is told when it is used
            return ""
        return "" if known is None else portrait(known)

    def advice(self, checkpoint: str, found: Mapping[str, Any]) -> str:
        """What speaks against a checkpoint for a recording of which `analyse` `found` this, as Markdown."""
        entry = self.priors.get(checkpoint)
        if entry is None or "piano" not in entry.intended.lower() or not found["sung"]:
            return ""
        return (
            "- **This sounds sung, bowed or blown, and this checkpoint knows the piano only: it would change the "
            "sound.** Choose a voice under \u201cWhich music\u201d, or try the draft first."
        )

    def rights(self, checkpoint: str) -> dict[str, str]:
        """Licence and credit of a checkpoint of the manifest."""
        entry = self.priors.get(checkpoint)
        return {"licence": entry.licence, "credit": entry.credit} if entry else {}

    def is_here(self, checkpoint: str) -> bool:
        """Whether a checkpoint of the manifest, or of a visitor, is on this machine."""
        entry = self.priors.get(self.checked(checkpoint))
        return OWN.find(checkpoint) is not None or (entry is not None and self.shelf.at_hand(entry) is not None)

    def here(self, checkpoint: str) -> Restorer | None:
        """The restorer of a checkpoint that is on this machine, else None: looking fetches nothing."""
        return restorer_of(checkpoint, DEVICE) if self.is_here(checkpoint) else None

    def reference(self, checkpoint: str) -> ReferenceLtas | None:
        """The average spectrum of the music it knows, where that is at hand."""
        restorer = self.here(checkpoint)
        return None if restorer is None else restorer.reference

    def restorer(self, checkpoint: str) -> Restorer:
        """The restorer of a checkpoint, which is fetched where it is not on this machine.

        A visitor has no paths to give: what is said when that fails names the ways out on the page.
        """
        if self.is_here(checkpoint):
            return restorer_of(checkpoint, DEVICE)
        if offline():
            raise RestorationError(f"This checkpoint is not on this machine, which may use no network. {WAY_OUT}")
        try:
            return restorer_of(checkpoint, DEVICE)
        except RestorationError as error:
            fact, *_ = str(error).split(". ")
            raise RestorationError(f"{fact.rstrip('.')}. {WAY_OUT} Or try again later.") from None

    def methods(self, checkpoint: str, preset: str) -> dict[str, type[Method]]:
        """The methods by which a checkpoint, on this machine or not, restores in a preset, by the names to ask for
        them."""
        model = self._model(checkpoint)
        return able(checked_preset(preset), column_of(model, None), model)

    def method_choices(self, checkpoint: str, preset: str) -> list[tuple[str, str]]:
        """(what a list shows, name) of each."""
        told = {name: f"{method.title}: {method.does}" for name, method in self.methods(checkpoint, preset).items()}
        return [(words, name) for name, words in (told | {BABE2: USUAL}).items()]

    def restorer_of_chain(self, checkpoint: str) -> Restorer:
        """The same for a stage of a chain, which may take any checkpoint of the manifest."""
        return self.restorer(checkpoint) if checkpoint in self.priors else restorer_of(checkpoint, DEVICE)

    def settings(self, checkpoint: str, preset: str, method: str = BABE2) -> dict[str, str]:
        """What a preset means for a checkpoint of the manifest, on this machine or not: the settings that a method
        uses, as text."""
        if checkpoint not in self.priors and OWN.find(checkpoint) is None:
            return {}
        chosen = choose(method, preset, column_of(self._model(checkpoint), None), {})
        return {name: as_text(value) for name, value in chosen.settings.as_dict().items()}

    def _model(self, checkpoint: str) -> Model:
        """What the manifest says of a checkpoint's network; its sizes it does not know."""
        own = OWN.find(checkpoint)
        known = own.parent if own else checkpoint
        entry = self.priors.get(known) or self.priors["piano"]  # those of the Hub are mostly like it
        architecture = BandwiseArchitecture((), ()) if entry.settings == "compact" else Architecture((), (), 0)
        return Model(architecture, entry.sample_rate, entry.segment, entry.sigma_data or 0.0, str(entry.settings))

    def time_words(self, checkpoint: str, length: float, needed: float | None) -> str:
        """A sentence on how long restoring so many seconds of sound will take on this machine, which is `needed`."""
        if needed is not None:
            return f"{format_length(length)} of sound will take {format_duration(needed)} on this machine."
        if self.is_here(checkpoint):
            return f"{format_length(length)} of sound will be restored on a graphics card that is lent for it."
        return "This checkpoint is fetched first; how long a restoration takes can be told from then on."

    def seconds_needed(
        self,
        checkpoint: str,
        preset: str,
        overrides: Mapping[str, Any],
        sounds: Sequence[tuple[float, int, int]],
        name: str = BABE2,
    ) -> float | None:
        """How long restoring sounds of (seconds, channels, sample rate) will take on this machine.

        None where nobody can tell: the checkpoint is fetched first, or another machine's card is lent for it.
        """
        if not self.is_here(checkpoint):
            if offline():
                self.restorer(checkpoint)  # which says why it cannot be had
            return None
        restorer = restorer_of(checkpoint, DEVICE)
        method = restorer.method(name, checked_preset(preset), **overrides)
        if find_spec("spaces"):
            return None
        period = int(time.monotonic() / FRESH_SECONDS)
        pace = pace_of(checkpoint, preset, tuple(sorted(overrides.items())), period, name)
        return sum(
            estimate(pace, method, restorer.model, seconds=seconds, channels=channels, sample_rate=sample_rate).seconds
            for seconds, channels, sample_rate in sounds
        )


def checked_preset(preset: object) -> str:
    """The name of a preset."""
    if preset not in PRESETS:
        raise RestorationError(f"There is no preset {preset!r:.80}. Choose {', '.join(PRESETS)}.")
    return str(preset)


def offline() -> bool:
    """Whether nothing may be fetched."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
