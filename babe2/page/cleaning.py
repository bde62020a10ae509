"""Cleaning before restoring: the stages that a visitor wishes to go first, and what they make of the excerpt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from babe2.audio import Recording
from babe2.chains import PRESETS, Chain, Link
from babe2.chains.suggest import Suggestion, reference_of_default, suggest
from babe2.chains.work import work_on_audio
from babe2.errors import RestorationError
from babe2.recordings.recorded import Audio
from babe2.stages import STAGES
from babe2.stages.restore import Restore

RESTORE, AS_NEEDED = "restore", "as-needed"
CLEANING = ("align", "declick", "fill", "dehum", "rumble", "denoise")  # in the order in which they work


@lru_cache
def presets() -> dict[str, Chain]:
    """The chains whose restoration comes last, after cleaning: those that the page can do."""
    chains = {name: Chain.load(name) for name in PRESETS}
    able = {*CLEANING, Restore.name}
    return {name: chain for name, chain in chains.items() if {link.stage.name for link in chain.links} <= able}


def choices() -> list[tuple[str, str]]:
    """What there is to do: (what a list shows, its name)."""
    named = [(f"Clean and restore: {chain.title.lower()}", name) for name, chain in presets().items()]
    return [("Restore", RESTORE), ("Clean what needs it, then restore", AS_NEEDED), *named]


def stages_of(what: str) -> list[str]:
    """The cleaning stages that a choice stands for, where no recording has to be heard to know."""
    chain = presets().get(what)
    return [] if chain is None else [link.stage.name for link in chain.links if link.stage.name in CLEANING]


def stages_needed(sound: Recording) -> tuple[list[str], Suggestion]:
    """The cleaning stages that a recording needs, and why."""
    suggestion = suggest(sound.audio, sound.sample_rate, reference_of_default())
    return [reason.stage for reason in suggestion.reasons if reason.wanted and reason.stage in CLEANING], suggestion


def links_of(what: str, stages: Sequence[str]) -> tuple[Link, ...]:
    """The cleaning stages that a visitor has ticked, with the settings of the chain that was chosen."""
    if unknown := sorted(set(stages) - set(CLEANING)):
        raise RestorationError(f"There is no cleaning stage {', '.join(unknown):.80}. Choose from the list.")
    chain = presets().get(what)
    known = {} if chain is None else {link.stage.name: link for link in chain.links}
    return tuple(known.get(name, Link(STAGES[name]())) for name in CLEANING if name in stages)


@dataclass(frozen=True, eq=False)
class Cleaned:
    """An excerpt that was cleaned."""

    sound: Recording  # what is left
    links: tuple[Link, ...]
    reports: tuple[dict[str, Any], ...]

    @property
    def words(self) -> str:
        """What was done, in one line; what a stage has to say of it stands in brackets."""
        told = [report["found"].get("statement", "").rstrip(".") for report in self.reports]
        return " → ".join(
            f"{link.name} ({words})" if words else link.name for link, words in zip(self.links, told, strict=True)
        )

    def chain(self, restore: Restore) -> Chain:
        """All that was done, and then restored so, as a chain."""
        return Chain.of(*self.links, restore)


def cleaned(sound: Recording, links: Sequence[Link], stopped: Callable[[], bool]) -> Iterator[str | Cleaned]:
    """Yields the name of each stage as it begins, and last what all have made of an excerpt."""
    audio: Audio = sound.audio
    reports = []
    for link in links:
        yield link.name
        done = work_on_audio((link,), audio, sound.sample_rate, cancelled=stopped)
        if done.audio.shape != sound.audio.shape:
            raise RestorationError(f"{link.name} changes how long or how wide the sound is. Do that beforehand.")
        audio = done.audio
        reports.append(done.steps[0].made.report)
    yield Cleaned(replace(sound, audio=audio), tuple(links), tuple(reports))
