"""What a visitor chose, and what becomes of it: a run from its beginning to its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babe2 import audio
from babe2.chains import Chain, Chained, Link
from babe2.config import GROUPS
from babe2.methods import all_settings, solvers, users_of
from babe2.page.chained import ChainOutcome
from babe2.page.checkpoint_cards import CheckpointCards, checked_preset
from babe2.page.cleaning import Cleaned, cleaned
from babe2.page.excerpt import Excerpt, checked_recording, checked_seed, with_room
from babe2.page.outcome import Outcome, Restored
from babe2.page.own_chain import chain_of, is_whole
from babe2.page.underway.job import Moment, follow_chain
from babe2.page.underway.stop import Stop
from babe2.page.underway.zerogpu import check_lease, restored
from babe2.page.words.languages import languages
from babe2.restoration import Restoration
from babe2.restorer import Restorer

SETTINGS = {  # that a visitor may choose, in the order of their groups
    name: about
    for group in GROUPS
    for name, about in all_settings().items()
    if about.group == group and not set(solvers()).isdisjoint(users_of(name))
}
LONGEST_REFERENCE = 300.0  # seconds of a reference are listened to


def tells_of(name: str, sought: str) -> bool:
    """Whether a setting's name and what the page's languages say of it hold all that somebody seeks, word by word."""
    about = SETTINGS[name]
    english = (about.group, about.label, about.hint)
    others = [language.words.get(words, "") for language in languages().values() for words in english]
    said = " ".join((name, *english, about.symbol, *others)).casefold()
    return all(word in said for word in sought.casefold().split())


@dataclass(frozen=True)
class Choice:
    """What a visitor chose, as the form's fields hold it."""

    recording: str | None
    what: str  # to do
    chain: str  # the text of a chain's file
    method: str
    checkpoint: str
    preset: str
    excerpt: Excerpt
    settings: dict[str, str]  # that were not left to the preset
    cleaning: tuple[Link, ...] = ()  # before it is restored

    @classmethod
    def of(
        cls,
        recording: str | None,
        what: str,
        chain: str | None,
        method: str,
        checkpoint: str,
        preset: str,
        whole: bool,
        start: float | None,
        duration: float | None,
        texts: Sequence[str],
    ) -> Choice:
        """The fields' values, checked as far as they can be without the recording."""
        settings = {name: text for name, text in zip(SETTINGS, texts, strict=True) if text and text.strip()}
        excerpt = Excerpt() if whole else Excerpt.chosen(start, duration)
        return cls(recording, what, chain or "", method, checkpoint, preset, excerpt, settings)


@dataclass(frozen=True, eq=False)
class Begun:
    """A run whose sound has been read, and cleaned where that was wished for."""

    sound: audio.Recording
    recorded: audio.Recording  # what is being restored
    restorer: Restorer | None  # None where a chain has its own


@dataclass(frozen=True, eq=False)
class Progress:
    """How a run stands."""

    share: float
    words: str
    spoken: bool = False  # whether a screen reader is to hear it
    moment: Moment | None = None  # of a restoration


Wishes = dict[str, Any]  # options of `Restorer.restore`


@dataclass(frozen=True)
class Maker:
    """Makes what visitors chose, `longest` seconds of sound at most."""

    cards: CheckpointCards
    longest: float

    def used(self, choice: Choice) -> dict[str, str]:
        """The settings that were filled in and whose fields are there: another method's fields keep their text."""
        used = self.cards.settings(choice.checkpoint, choice.preset, choice.method)
        return {name: text for name, text in choice.settings.items() if not used or name in used}

    def chain(self, text: str) -> Chain:
        """The chain that a visitor has given, where it can be run here."""
        return chain_of(text, self.cards.shelf.manifest)

    def wishes(self, choice: Choice, seed: Any, brightness: Any, like: Any, certainty: Any) -> Wishes:
        """What was wished of a restoration beside its method and settings."""
        wished = {"seed": checked_seed(seed), **self._sounding(choice, brightness, like)}
        return wished | ({"certainty": True} if certainty else {})

    def _sounding(self, choice: Choice, brightness: Any, like: Any) -> Wishes:
        """How it is to sound, where anything was said of that and the method can be told."""
        methods = self.cards.methods(choice.checkpoint, choice.preset)
        if choice.method in methods and not methods[choice.method].takes_brightness:
            return {}
        wished: Wishes = {"brightness": float(brightness)} if brightness else {}
        if like:
            known = audio.read(checked_recording(like), duration=LONGEST_REFERENCE)
            wished["reference"] = self.cards.restorer(choice.checkpoint).reference_of(known.audio, known.sample_rate)
        return wished

    def made(
        self, choice: Choice, wished: Wishes, like: str | None, stop: Stop
    ) -> Iterator[Begun | Progress | Outcome]:
        """A run from its beginning to its outcome, which comes last."""
        return self._chained(choice, stop) if is_whole(choice.what) else self._restored(choice, wished, like, stop)

    def _restored(
        self, choice: Choice, wished: Wishes, like: str | None, stop: Stop
    ) -> Iterator[Begun | Progress | Outcome]:
        source, checkpoint = str(choice.recording), choice.checkpoint
        options = {"preset": checked_preset(choice.preset), "method": choice.method, **wished, **self.used(choice)}
        sound = choice.excerpt.read(source, self.longest)
        check_lease(sound, options)
        words = "beginning" if self.cards.is_here(checkpoint) else "fetching the checkpoint"
        yield Progress(0.0, words, spoken=True)
        restorer = self.cards.restorer(checkpoint)
        sound = with_room(sound, restorer)
        clean: Cleaned | None = None
        for stage in cleaned(sound, choice.cleaning, stop) if choice.cleaning else ():
            if isinstance(stage, Cleaned):
                clean = stage
            else:
                yield Progress(0.0, f"cleaning: {stage}")
        recorded = sound if clean is None else clean.sound
        yield Begun(sound, recorded, restorer)
        for news in restored(checkpoint, recorded, options, stop):
            if isinstance(news, Restoration):
                if "reference" in wished:
                    news.report["reference_file"] = Path(str(like)).name
                if clean is not None:
                    news.report.update(cleaned=clean.words, stages=list(clean.reports))
                yield Restored.of(
                    Path(source), choice.excerpt, checkpoint, sound, news, restorer.reference, cleaned=clean
                )
                return
            words = "stopping; what is finished is kept" if stop() else news.words
            yield Progress(news.share, words, moment=news)

    def _chained(self, choice: Choice, stop: Stop) -> Iterator[Begun | Progress | Outcome]:
        """The same by a chain's file."""
        source, chain = str(choice.recording), self.chain(choice.chain)
        sound = choice.excerpt.read(source, self.longest)
        links, restorer_of_chain = chain.active, self.cards.restorer_of_chain
        yield Progress(0.0, "beginning", spoken=True)
        yield Begun(sound, sound, None)
        for news in follow_chain(links, sound.audio, sound.sample_rate, stopped=stop, restorer_of=restorer_of_chain):
            if isinstance(news, Chained):
                yield ChainOutcome.of(Path(source), choice.excerpt, sound, chain, news)
                return
            words = "stopping" if stop() else f"{news.name}, stage {news.link} of {news.links}"
            yield Progress((news.link - 1 + news.share) / news.links, words)
