"""What the page does when somebody touches it. Each callback yields new values of the page's parts by their names."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from babe2 import audio
from babe2.certainty.map import runs
from babe2.config import DEFAULT_CHECKPOINT, GROUPS
from babe2.errors import RestorationError
from babe2.methods import BABE2
from babe2.page.beforehand import Card, Example
from babe2.page.checkpoint_cards import DEVICE, CheckpointCards, restorer_of
from babe2.page.choice import SETTINGS, Begun, Choice, Maker, Wishes, tells_of
from babe2.page.cleaning import AS_NEEDED, CLEANING, RESTORE, links_of, stages_needed, stages_of
from babe2.page.excerpt import EXCERPT_SECONDS, Excerpt, checked_recording, outline, with_room
from babe2.page.first_look import FirstLook, check_sounding, equalised, first_look
from babe2.page.glossary import times
from babe2.page.messages import on_the_page
from babe2.page.outcome import Earlier, Outcome, drawn
from babe2.page.own_chain import is_whole, text_of, whole_presets
from babe2.page.results import Results
from babe2.page.underway.experience import Experience
from babe2.page.underway.line import before
from babe2.page.underway.live import Live
from babe2.page.underway.stop import Stop
from babe2.page.underway.updates import Update
from babe2.recordings.recorded import Audio
from babe2.report import figures
from babe2.report.tracks import LTAS_EQ, RECORDING, RESTORED, desk_tracks
from babe2.wording import format_length, plain_name

INVITATION = (
    "Nothing here yet is yours. Play this: a piano as a horn of 1910 heard it, and the same restored; it was made "
    "beforehand. Press **1** and **2** to switch while it plays."
)
SHOWN_FIRST = {  # titles and hints of what is on the desk when the page opens
    RECORDING: ("Before", "A piano, spoiled as an acoustic machine of 1910 would have: a horn, its resonances, hiss."),
    RESTORED: ("After", "The same, restored. What the horn could not hear is imagined from what it did."),
}
MAKE_PACK = "Make the evidence pack"
Sounding = tuple[float, int, int]  # seconds, channels and sample rate of a sound
QUICK_PRESETS, LONG_SECONDS = ("draft", "standard"), 300.0  # what takes longer is not tried in other presets, too
PUBLISHED, SHORT_SECONDS = "paper", 120.0  # of which an evaluation may take minutes; tried where standard is quicker
SEEN_SECONDS = 120.0  # of a long recording's beginning, which are put on the desk when all of it is chosen


@dataclass(frozen=True)
class Callbacks:
    """The page's callbacks; each visitor's run can be stopped by its session."""

    cards: CheckpointCards
    longest: float  # seconds that may be restored at once
    examples: Path
    runs: dict[str, Stop] = field(default_factory=dict)  # by session: what one visitor stops is nobody else's
    waiting: set[str] = field(default_factory=set)  # the sessions whose run has not begun
    results: Results = field(default_factory=Results)  # by token
    experience: Experience = field(default_factory=Experience)
    packed: WeakKeyDictionary[Outcome, tuple[Any, ...]] = field(default_factory=WeakKeyDictionary)  # with which wishes

    @property
    def maker(self) -> Maker:
        """What makes what visitors chose."""
        return Maker(self.cards, self.longest)

    # At first sight

    @cached_property
    def shown_first(self) -> Update:
        """What is on the desk before anybody has brought anything: an example, before and after."""
        name = Card.all_in(self.examples)[0].name
        sounds, rate = Example(self.examples, name).sounds()
        return desk_tracks(sounds, rate, self._folder, select=RECORDING, words=SHOWN_FIRST)

    def _heard_at_once(self, recording: str) -> Update | None:
        """An example on the desk, until all that is known of it is there; None for any other recording."""
        if (example := Example.of(recording, self.examples)) is None:
            return None
        sounds, rate = example.sounds()
        return desk_tracks(sounds, rate, self._folder, select=RESTORED)

    @cached_property
    def _folder(self) -> Path:
        """For the sounds of examples."""
        folder = Path(tempfile.mkdtemp(prefix="babe2-examples-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def take_example(self, event: gr.EventData) -> Update:
        """An example of the gallery, as if it had been dropped; its sounds need not wait for the look."""
        name = str(event._data.get("name")) if isinstance(event._data, dict) else ""
        if name not in [card.name for card in Card.all_in(self.examples)]:
            return {}
        recording = str(self.examples / f"{name}.flac")
        return {"recording": recording, "desk": self._heard_at_once(recording)}

    def come_back(self, token: str | None, dark: bool) -> Update:
        """What a visitor had restored before the page was loaded anew: its recording, which is looked at again."""
        outcome = self.results.find(token)
        if outcome is None or not outcome.recording.exists():
            return {"dark": dark}
        chosen: Any = outcome.checkpoint
        if self.cards.is_somebodys_own(chosen):  # the list of a new page does not have it yet
            there = chosen in dict(self.cards.choices(chosen)).values()
            value = chosen if there else DEFAULT_CHECKPOINT
            chosen = gr.update(choices=self.cards.choices(chosen), value=value)
        return {"dark": dark, "recording": str(outcome.recording), "checkpoint": chosen}

    def unroll(self, recording: str | None) -> Iterator[Update]:
        """The whole recording on the strip, on which an excerpt is laid; it is drawn when all of it has been read."""
        yield {"strip": None, "recording": gr.update(label=Path(recording).name if recording else "Recording")}
        if recording:
            with suppress(RestorationError):  # of which the first look tells
                yield {"strip": outline(recording)}

    @on_the_page
    def look(self, recording: str | None, checkpoint: str, token: str | None, dark: bool) -> Iterator[Update]:
        """Says at once all that can be said of a new recording; nothing is sampled, and what was there goes.

        What was restored of the same recording, by its visitor or beforehand, is shown.
        """
        yield {
            **dict.fromkeys(["kept", "ltas_picture", "spectrograms", "response_picture", "numbers", "report"]),
            "desk": self._heard_at_once(recording) if recording else self.shown_first,
            **dict.fromkeys(["status", "warnings", "time_needed"], ""),
            "certainty_picture": None,
            "notice": "Listening to it\u2026" if recording else INVITATION,
            **dict.fromkeys(["tabs", "take", "running", "pack", "papers", "entire"], gr.update(visible=False)),
            "go": gr.update(interactive=False, visible=True),
            **dict.fromkeys(["leave", "stop"], gr.update(visible=False)),
        }
        mine = self.results.of(recording, token) if recording else None
        if mine is None:
            self.results.forget(token)
            yield {"mine": None}
        if not recording:
            return
        try:
            seen = self._seen(recording, checkpoint)
        except Exception:
            yield {"notice": ""}
            raise
        outcome = mine or self._beforehand(recording, checkpoint)
        excerpt = Excerpt() if seen.seconds <= EXCERPT_SECONDS else Excerpt(round(seen.start, 1), EXCERPT_SECONDS)
        excerpt = outcome.excerpt if outcome else excerpt
        whole = excerpt.duration is None
        with private_folder() as folder:
            fields = {
                "start": gr.update(value=excerpt.start, interactive=not whole),
                "duration": gr.update(
                    value=excerpt.duration or min(EXCERPT_SECONDS, round(seen.seconds, 2)), interactive=not whole
                ),
                "whole": whole,
            }
            shown = self._outcome(outcome, dark, folder, earlier=self._before(outcome, token)) if outcome else {}
            sight = self._sight(seen, recording, checkpoint, excerpt, dark, folder)
            # All at once: Gradio may forget the picture of a tab that has only just appeared when more follows.
            yield sight | fields | shown | {"go": gr.update(interactive=seen.channels > 0)}
        check_sounding(seen)

    @on_the_page
    def look_again(
        self,
        recording: str | None,
        checkpoint: str,
        whole: bool,
        start: float | None,
        duration: float | None,
        outcome: Outcome | None,
        token: str | None,
        dark: bool,
    ) -> Iterator[Update]:
        """Shows the recording beside the music that another checkpoint knows, or another place of it.

        What a visitor has restored stays.
        """
        yield dict.fromkeys(["start", "duration"], gr.update(interactive=not whole))
        if not recording:
            return
        outcome = outcome or self.results.of(recording, token)
        if outcome is not None and not outcome.beforehand:
            return
        excerpt = Excerpt() if whole else Excerpt.chosen(start, duration)
        seen = self._seen(recording, checkpoint)
        excerpt.check(seen.seconds, float("inf"))
        known = self._beforehand(recording, checkpoint) if whole else None
        with private_folder() as folder:
            shown = self._outcome(known, dark, folder) if known else {}
            yield self._sight(seen, recording, checkpoint, excerpt, dark, folder) | shown

    @on_the_page
    def draw_again(
        self,
        recording: str | None,
        checkpoint: str,
        whole: bool,
        start: float | None,
        duration: float | None,
        outcome: Outcome | None,
        dark: bool,
    ) -> Iterator[Update]:
        """The same pictures for a page that has turned dark or light."""
        if not recording:
            return
        with private_folder() as folder:
            if outcome is not None:
                yield self._pictures(outcome, self._heard(outcome)[0], dark, folder)
                return
            excerpt = Excerpt() if whole else Excerpt.chosen(start, duration)
            sight = self._sight(self._seen(recording, checkpoint), recording, checkpoint, excerpt, dark, folder)
            yield {"ltas_picture": sight["ltas_picture"]}

    @on_the_page
    def what_to_do(
        self, what: str, recording: str | None, whole: bool, start: float | None, duration: float | None
    ) -> Iterator[Update]:
        """Ticks the cleaning stages that a choice stands for; of what a recording needs, it is told why.

        A chain's text takes the place of all that it says itself.
        """
        by_chain = is_whole(what)
        yield {
            "stages": gr.update(value=stages_of(what), visible=what != RESTORE and not by_chain),
            "reasons": "",
            "chain_place": gr.update(visible=by_chain),
            **({"chain": chain.text()} if (chain := whole_presets().get(what)) else {}),
            **dict.fromkeys(["by_hand", "more"], gr.update(visible=not by_chain)),
        }
        if what != AS_NEEDED:
            return
        if not recording:
            yield {"reasons": "Drop a recording first: then it is heard what it needs."}
            return
        excerpt = Excerpt() if whole else Excerpt.chosen(start, duration)
        ticked, suggestion = stages_needed(part_of(recording, excerpt, None)[0])
        told = [f"- {reason.stage}: {reason.words}" for reason in suggestion.reasons if reason.stage in CLEANING]
        yield {"stages": gr.update(value=ticked), "reasons": "\n".join(told)}

    @on_the_page
    def take_chain(self, file: str) -> Iterator[Update]:
        """Writes the chain of a file that was dropped into the field."""
        yield {"chain": text_of(file)}

    def card(self, checkpoint: str) -> str:
        """What a listener should know of a checkpoint."""
        return self.cards.card(checkpoint)

    @on_the_page
    def time(self, certainty: bool, *fields: Any) -> Iterator[Update]:
        """Says how long a restoration will take, or why it cannot be; only what can be may be begun."""
        recording, what, chain, method, checkpoint, preset, whole, start, duration, *texts = fields
        by_chain = is_whole(what)
        try:
            told = self.maker.chain(chain) if by_chain and chain else None
            if not recording or (by_chain and told is None):
                yield {"time_needed": "", "go": gr.update(interactive=False)}
                return
            choice = Choice.of(recording, what, chain, method, checkpoint, preset, whole, start, duration, texts)
            seen = self._seen(recording, checkpoint)
            check_sounding(seen)
            choice.excerpt.check(seen.seconds, self.longest)
            length = choice.excerpt.seconds_of(seen.seconds)
            sound = (length, seen.channels, seen.sample_rate)
            if told is not None:
                words = f"{format_length(length)} of sound, {told.words}."
            else:
                needed = self.lasting(choice, [sound], certainty)
                words = self.cards.time_words(checkpoint, length, needed)
        except RestorationError:
            yield {"time_needed": "", "go": gr.update(interactive=False)}
            raise
        yield {"time_needed": words, "go": gr.update(interactive=True)}
        if told is None:
            yield {"preset": gr.update(info=self._times(choice, sound, certainty, needed) if needed else "")}

    def lasting(self, choice: Choice, sounds: Sequence[Sounding], certainty: bool) -> float | None:
        """How long runs on sounds of (seconds, channels, sample rate) will take on this machine, results and all; None
        where nobody can tell."""
        used, amount = self.maker.used(choice), sum(seconds * channels for seconds, channels, _ in sounds)
        told = self.cards.seconds_needed(choice.checkpoint, choice.preset, used, sounds, choice.method)
        if told is None:
            return None
        return self.experience.lasting(self.kind_of(choice, certainty), amount, runs(certainty) * told)

    def _times(self, choice: Choice, sound: Sounding, certainty: bool, needed: float) -> str:
        """What the presets take beside each other, as far as that is soon tried; the chosen one takes `needed`."""
        told = {choice.preset: needed}
        soon = needed < LONG_SECONDS or choice.preset == PUBLISHED  # the slowest: whoever has tried it can try them all
        for preset in QUICK_PRESETS if soon else ():
            told |= self._tried(choice, preset, sound, certainty)
        if told.get("standard", SHORT_SECONDS) < SHORT_SECONDS and not self.maker.used(choice):
            told |= self._tried(choice, PUBLISHED, sound, certainty)
        return times(told)

    def _tried(self, choice: Choice, preset: str, sound: Sounding, certainty: bool) -> dict[str, float]:
        """What another preset takes, by its name; nothing where what was filled in does not suit it."""
        with suppress(RestorationError):
            if seconds := self.lasting(replace(choice, preset=preset), [sound], certainty):
                return {preset: seconds}
        return {}

    @on_the_page
    def take_all(self, certainty: bool, *fields: Any) -> Iterator[Update]:
        """Means all of the recording from now on, and says how long that will take."""
        place = {"whole": True, **dict.fromkeys(["start", "duration"], gr.update(interactive=False))}
        recording, what, chain, method, checkpoint, preset, _, *others = fields
        yield place
        yield from self.time(certainty, recording, what, chain, method, checkpoint, preset, True, *others)

    def preset_values(self, checkpoint: str, preset: str, method: str, sought: str | None = None) -> list[Any]:
        """The methods there are, whether they can be told how it is to sound, whether any setting is as is sought, and
        the groups of settings with what their empty fields mean.

        A setting that the method would not use has no field, nor has one that tells nothing of what is sought.
        """
        methods, sought = self.cards.methods(checkpoint, preset), sought or ""  # None before the field is first seen
        method = method if method in methods else BABE2
        settings, told = self.cards.settings(checkpoint, preset, method), methods[method].takes_brightness
        found = [name for name in SETTINGS if name in settings and tells_of(name, sought)]
        groups, seeks = {SETTINGS[name].group for name in found}, bool(sought.strip())
        return [
            gr.update(choices=self.cards.method_choices(checkpoint, preset), value=method),
            gr.update(visible=told),
            gr.update(visible=told),
            gr.update(visible=seeks and not found),
            *(gr.update(open=group in groups) if seeks else gr.skip() for group in GROUPS),
            *(gr.update(placeholder=settings.get(name, ""), visible=name in found) for name in SETTINGS),
        ]

    def _seen(self, recording: str, checkpoint: str) -> FirstLook:
        return looked_at(recording, checkpoint if self.cards.is_here(checkpoint) else None)

    def _beforehand(self, recording: str, checkpoint: str) -> Outcome | None:
        """What lies ready of an example, where this checkpoint has made it."""
        if checkpoint != DEFAULT_CHECKPOINT or (known := Example.of(recording, self.examples)) is None:
            return None
        return known.outcome(Path(recording), checkpoint, self.cards.reference(checkpoint))

    def _sight(
        self, seen: FirstLook, recording: str, checkpoint: str, excerpt: Excerpt, dark: bool, folder: Path
    ) -> Update:
        """What was seen of an excerpt, on the page; nothing of it is restored."""
        some = Excerpt(excerpt.start, min(SEEN_SECONDS, excerpt.seconds_of(seen.seconds)))
        sound, same = part_of(recording, some, checkpoint if self.cards.is_here(checkpoint) else None)
        rate = sound.sample_rate
        sounds, curves = {RECORDING: sound.audio}, {"recording": (sound.audio, rate)}
        if same is not None:
            sounds[LTAS_EQ], curves["LTAS-EQ"] = same, (same, rate)
        picture = figures.ltas_curves(curves, seen.reference)
        hidden = gr.update(visible=False)
        return {
            "kept": None,
            "notice": f"{seen.words}\n\n{self.cards.advice(checkpoint, seen.found)}".rstrip(),
            "warnings": "",
            "tabs": gr.update(selected="ltas", visible=True),
            **dict.fromkeys(["before_tab", "response_tab", "certainty_tab", "numbers_tab", "take", "entire"], hidden),
            "desk": desk_tracks(sounds, rate, folder, start=excerpt.start),
            "ltas_picture": drawn(picture, folder / "ltas.png", dark),
        }

    # Restoring

    def get_ready(self, request: gr.Request) -> Update:
        """From here on a run can be stopped, also while it waits for those before it."""
        session = str(request.session_hash)
        if former := self.runs.get(session):
            former.ask()
        self.runs[session] = Stop.new()
        self.waiting.add(session)
        return {
            "problem": "",
            "status": progress_bar(0.0, waiting_words(before(session)), spoken=True),
            "clock": gr.update(active=True),
            "time_needed": "",
            "go": gr.update(visible=False),
            "leave": gr.update(visible=True),
        }

    def wait(self, request: gr.Request) -> Update:
        """How many are still before a run that waits; one that has begun speaks for itself."""
        session = str(request.session_hash)
        if session not in self.waiting:
            return {"clock": gr.update(active=False)}
        return {"status": progress_bar(0.0, waiting_words(before(session)))}

    @on_the_page
    def restore_excerpt(self, request: gr.Request, token: str | None, dark: bool, *fields: Any) -> Iterator[Update]:
        """The visitor's run: how it stands, and in the end what came of it; `token` is that of his last result."""
        seed, brightness, like, certainty, stages, recording, *others = fields
        what, chain, method, checkpoint, preset, whole, start, duration, *texts = others
        session = str(request.session_hash)
        stop = self.runs.get(session)
        self.waiting.discard(session)
        if stop is None or stop():  # who waited has left, or has another recording by now
            yield {"status": ""}
            return
        try:
            with stop, private_folder() as folder:
                begun = progress_bar(0.0, "reading the recording", spoken=True)
                yield {
                    "clock": gr.update(active=False),
                    "status": begun,
                    "leave": gr.update(visible=False),
                    "stop": gr.update(visible=True),
                }
                source = checked_recording(recording)
                choice = Choice.of(source, what, chain, method, checkpoint, preset, whole, start, duration, texts)
                earlier = self._earlier(choice, token)
                wished: Wishes = {}
                if not is_whole(what):
                    choice = replace(choice, cleaning=links_of(what, [] if what == RESTORE else stages))
                    wished = self.maker.wishes(choice, seed, brightness, like, certainty)
                for update in self._made(choice, wished, like, stop, dark, folder, earlier):
                    if self.runs.get(session) is not stop:
                        yield {"status": ""}
                        return
                    if "kept" in update:
                        update["mine"] = self.results.keep(update["kept"], token)
                    yield update
        except RestorationError:
            yield {"status": ""}
            raise

    def _earlier(self, choice: Choice, token: str | None) -> list[Earlier]:
        """What the visitor's last runs have made of the same excerpt, the latest first."""
        runs = self.results.runs_of(str(choice.recording), token)
        return [run.as_earlier() for run in runs if run.excerpt == choice.excerpt]

    def _before(self, outcome: Outcome, token: str | None) -> list[Earlier]:
        """The same of the runs before one that is the latest."""
        latest, *others = self.results.runs_of(outcome.recording, token) or (None,)
        return [run.as_earlier() for run in others if run is not None] if latest is outcome else []

    def _made(
        self,
        choice: Choice,
        wished: Wishes,
        like: str | None,
        stop: Stop,
        dark: bool,
        folder: Path,
        earlier: Sequence[Earlier],
    ) -> Iterator[Update]:
        """A run on the page, from its beginning to its outcome."""
        live: Live | None = None
        began = time.monotonic()
        for news in self.maker.made(choice, wished, like, stop):
            if isinstance(news, Begun):
                sound, equal = news.sound, None
                if news.restorer is not None:
                    equal = equalised(news.recorded.audio, news.recorded.sample_rate, news.restorer)
                    rate = news.restorer.model.sample_rate
                    live = Live(sound, equal, rate, choice.excerpt.start, folder, dark=dark)
            elif isinstance(news, Outcome):
                made = time.monotonic()
                update = self._outcome(news, dark, folder, (sound, equal), earlier)
                if not (stop() or choice.cleaning or is_whole(choice.what)):  # what is told is restoring alone
                    kind = self.kind_of(choice, wished.get("certainty"))
                    seen = self._seen(str(choice.recording), choice.checkpoint)
                    amount = sound.audio.shape[1] / sound.sample_rate * seen.channels  # a silent one takes no time
                    self.experience.note(kind, amount, made - began, time.monotonic() - made)
                yield update
            else:
                update = {"status": progress_bar(news.share, news.words, news.spoken)}
                if live is not None and news.moment is not None and live.is_due(news.moment):
                    update |= {"running": gr.update(visible=True), **live.shown(news.moment)}
                yield update

    def kind_of(self, choice: Choice, certainty: object) -> Hashable:
        """What makes runs alike, which take as long as one another for the same sound."""
        used = frozenset(self.maker.used(choice).items())
        return choice.checkpoint, choice.preset, choice.method, used, bool(certainty)

    def stop_it(self, request: gr.Request) -> Update:
        """The visitor's wish to stop: a run under way ends soon, one that waits does not begin."""
        if stop := self.runs.get(str(request.session_hash)):
            stop.ask()
        return {"stop": gr.update(interactive=False)}

    def leave_queue(self, request: gr.Request) -> Update:
        """A run that waited is not wanted any more."""
        self.leave(request)
        return {"status": "", **self.rest()}

    def leave(self, request: gr.Request) -> None:
        """Ends a session's run, whose page has gone or has another recording now."""
        self.waiting.discard(str(request.session_hash))
        if stop := self.runs.pop(str(request.session_hash), None):
            stop.ask()

    def rest(self) -> Update:
        """The page after a run, however it ended."""
        hidden = gr.update(visible=False)
        return {
            "running": hidden,
            "clock": gr.update(active=False),
            "go": gr.update(visible=True, interactive=True),
            "leave": hidden,
            "stop": gr.update(visible=False, interactive=True),
        }

    def _outcome(
        self,
        outcome: Outcome,
        dark: bool,
        folder: Path,
        heard: tuple[audio.Recording, Audio | None] | None = None,
        earlier: Sequence[Earlier] = (),
    ) -> Update:
        """A finished run on the page; `heard` is its excerpt, and the same with its average spectrum matched; `earlier`
        is what the runs before have made of it."""
        sound, equal = heard or self._heard(outcome)
        shown = gr.update(visible=True)
        name = f"{plain_name(outcome.recording.stem)}.report.json"
        table, report = outcome.numbers_files(folder / name)
        status = progress_bar(outcome.seconds / outcome.wanted, outcome.words, spoken=True)
        return {
            "kept": outcome,
            "status": "" if outcome.beforehand else status,
            "desk": outcome.desk(folder, sound, equal, earlier, select=RESTORED),
            **self._pictures(outcome, sound, dark, folder),
            "numbers": table,
            "report": str(report),
            "tabs": gr.update(selected="spectrograms", visible=True),
            **dict.fromkeys(["before_tab", "numbers_tab", "take"], shown),
            "response_tab": gr.update(visible=outcome.has_response),
            "certainty_tab": gr.update(visible=outcome.is_certain),
            "amount": gr.update(value=1, visible=outcome.mixable),
            "imagined": gr.update(value=1, visible=outcome.is_certain),
            **dict.fromkeys(["loud", "rate"], gr.update(visible=outcome.mixable)),
            **dict.fromkeys(["file", "chain_taken"], gr.update(interactive=False)),
            **dict.fromkeys(["pack", "papers"], gr.update(visible=False)),
            "warnings": outcome.verdict,
            "entire": gr.update(visible=self._goes_on(outcome)),
        }

    def _goes_on(self, outcome: Outcome) -> bool:
        """Whether there is more of the recording than was restored, and no more than may be."""
        if outcome.excerpt.duration is None:
            return False
        _, samples, rate = audio.measure(outcome.recording)
        return outcome.wanted + 0.05 < samples / rate <= self.longest

    def _heard(self, outcome: Outcome) -> tuple[audio.Recording, Audio | None]:
        """The excerpt of a finished run, and the same with its average spectrum matched."""
        part = Excerpt(outcome.excerpt.start, outcome.wanted)
        return part_of(str(outcome.recording), part, outcome.checkpoint)

    def _pictures(self, outcome: Outcome, sound: audio.Recording, dark: bool, folder: Path) -> Update:
        """The pictures of a finished run."""
        made = outcome.pictures(sound, self.cards.reference(outcome.checkpoint))
        paths = {name: drawn(figure, folder / f"final-{name}.png", dark) for name, figure in made.items()}
        return {
            "spectrograms": (paths["before"], paths["after"]),
            "ltas_picture": paths["ltas"],
            "response_picture": paths.get("response"),
            "certainty_picture": paths.get("certainty"),
        }

    # Taking it home

    @on_the_page
    def take_home(self, outcome: Outcome | None, *wishes: Any) -> Iterator[Update]:
        """Makes the file anew, as is wished for now (`Outcome.take_home`); the evidence pack of another one goes."""
        if outcome is None:
            return
        others = [] if self.packed.get(outcome) == wishes else ["pack", "papers"]  # somebody may have been quick
        waiting = dict.fromkeys(["file", "chain_taken"], gr.update(interactive=False))
        yield {**waiting, **dict.fromkeys(others, gr.update(visible=False)), "said": ""}
        with private_folder() as folder:
            restorer = self.cards.restorer(outcome.checkpoint)
            home = outcome.take_home(folder, restorer, *wishes)
            yield {
                "file": gr.update(value=str(home.file), interactive=True),
                "chain_taken": gr.update(value=str(home.chain_file()), interactive=True),
                "said": home.words,
            }

    def take_found_home(self, outcome: Outcome | None, *wishes: Any) -> Iterator[Update]:
        """The same where something was found with a recording; where nothing was, a problem stays to be read."""
        yield {"file": gr.update()}
        if outcome is not None:
            yield from self.take_home(outcome, *wishes)

    def take_example_home(self, outcome: Outcome | None, *wishes: Any) -> Iterator[Update]:
        """The same for an example's outcome only; a visitor's own has its file already."""
        yield from self.take_found_home(outcome if outcome and outcome.beforehand else None, *wishes)

    @on_the_page
    def hear_amount(
        self, outcome: Outcome | None, token: str | None, amount: float, imagined: float = 1.0
    ) -> Iterator[Update]:
        """Puts as much of the restoration, and of what is imagined in it, on the desk as is wished for."""
        if outcome is None:
            return
        before = self._before(outcome, token)
        with private_folder() as folder:
            yield {"desk": outcome.desk(folder, *self._heard(outcome), before, amount, imagined=imagined)}

    @on_the_page
    def make_pack(self, outcome: Outcome | None, *wishes: Any) -> Iterator[Update]:
        """Packs the file with all that tells how it came about, which takes some seconds."""
        if outcome is None:
            return
        yield {"pack_button": gr.update(value="Packing\u2026", interactive=False)}
        again = gr.update(value=MAKE_PACK, interactive=True)
        try:
            with private_folder() as folder:
                restorer = self.cards.restorer(outcome.checkpoint)
                home = outcome.take_home(folder, restorer, *wishes)
                papers = home.papers(**self.cards.rights(outcome.checkpoint))
                beside = [home.report_page(papers), *home.pictures_and_numbers(papers)]
                self.packed[outcome] = wishes
                yield {
                    "pack": gr.update(value=str(home.pack(papers)), visible=True),
                    "papers": gr.update(value=list(map(str, beside)), visible=True),
                    "pack_button": again,
                }
        except RestorationError:
            yield {"pack_button": again}
            raise


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for files on their way to the page. It goes soon, as Gradio has its own copy while it is wanted."""
    with tempfile.TemporaryDirectory(prefix="babe2-") as folder:
        yield Path(folder)


def waiting_words(before: int) -> str:
    """What who waits is told, when so many are before him."""
    return f"waiting for its turn, {before} before it" if before else "waiting for its turn"


def progress_bar(share: float, words: str, spoken: bool = False) -> str:
    """How far a run is, as HTML. A screen reader speaks what is `spoken`, so as not to be told of every step."""
    role = ' role="status"' if spoken else ""
    bar = f'<progress aria-label="Progress of the restoration" value="{share:.3f}" max="1"></progress>'
    return f"<div{role}>{bar} <span>{words}</span></div>"


# What was seen and read of a visitor's recording is kept for the next question about it.

_reading = threading.Lock()


def looked_at(recording: str, checkpoint: str | None) -> FirstLook:
    """The first look at a recording beside the music of a checkpoint that is here, taken once."""
    with _reading:
        return _looked_at(recording, checkpoint)


def part_of(recording: str, excerpt: Excerpt, checkpoint: str | None) -> tuple[audio.Recording, Audio | None]:
    """An excerpt's sound, and the same with its average spectrum matched to a checkpoint's music.

    It is made once, but for what is too long to be kept.
    """
    with _reading:
        kept = excerpt.duration is not None and excerpt.duration <= SEEN_SECONDS
        return (_part_of if kept else _part_of.__wrapped__)(recording, excerpt, checkpoint)


@lru_cache(maxsize=16)
def _looked_at(recording: str, checkpoint: str | None) -> FirstLook:
    return first_look(recording, None if checkpoint is None else restorer_of(checkpoint, DEVICE).reference)


@lru_cache(maxsize=2)
def _part_of(recording: str, excerpt: Excerpt, checkpoint: str | None) -> tuple[audio.Recording, Audio | None]:
    sound = audio.read(recording, start=excerpt.start, duration=excerpt.duration)
    if checkpoint is None:
        return sound, None
    restorer = restorer_of(checkpoint, DEVICE)
    sound = with_room(sound, restorer)
    return sound, equalised(sound.audio, sound.sample_rate, restorer)
