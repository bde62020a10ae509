"""What the page's section does when somebody touches it. Each callback yields new values of parts by their names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import gradio as gr

from babe2.config import DEFAULT_CHECKPOINT, MatrixArchitecture
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import DEVICE, FRESH_SECONDS, CheckpointCards, offline, pace_of, restorer_of
from babe2.page.messages import on_the_page
from babe2.page.singer.lesson import Lesson, Wish
from babe2.page.singer.material import as_table, hear_all, kept, seconds_of, verdict
from babe2.page.singer.own import OWN, OwnCheckpoint
from babe2.page.singer.school import School
from babe2.page.singer.sharing import Said, cut, is_at_home, share, take_home, token_for
from babe2.page.singer.view import curve, standing
from babe2.page.underway.updates import Update
from babe2.training.settings import tuning_settings
from babe2.wording import clock, format_duration

SWITCH = "BABE2_TRAINING"  # 1 switches this on, 0 off; on a Space it is off, elsewhere on
LEAST_MINUTES, USUAL_MINUTES, MOST_MINUTES = 1, 10, 240
SMALL = "compact"  # the settings of the small network
# A step on an excerpt takes about so many evaluations: forth, back twice as long, and preparing it (measured: 4.9).
EVALUATIONS_EACH = 5.0
FEW_STEPS = 100
UNNAMED = "My singer"
LONGEST_TITLE = 80


def is_allowed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether visitors may train here: on one's own machine, and on a Space where its owner has switched it on."""
    switch = environment.get(SWITCH, "")
    return switch == "1" if switch else not on_a_space(environment)


def on_a_space(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a Space on the Hugging Face Hub."""
    return bool(environment.get("SPACE_ID"))


@dataclass(frozen=True)
class Singer:
    """The section's callbacks; `token` is that of a visitor's lesson."""

    cards: CheckpointCards
    school: School = field(default_factory=School)
    extra: tuple[str, ...] = ()  # further options of `babe2 finetune`

    # What is shown

    def come_back(self, token: object) -> Update:
        """The lesson that a visitor has left, as it stands."""
        lesson = self.school.find(token)
        if lesson is None:
            return {"others": self.school.busy(None)}
        lesson.shown = None  # the new page has heard nothing yet
        own = {"checkpoint": gr.update(choices=self.cards.choices(lesson.own))} if lesson.own else {}
        return {**self._material(lesson), **self._standing(lesson), **own}

    def tick(self, token: object) -> Update:
        """How it stands by now."""
        lesson = self.school.find(token)
        return {"timer": gr.Timer(active=False)} if lesson is None else self._standing(lesson)

    def _material(self, lesson: Lesson) -> Update:
        shown = gr.update(visible=True)
        return {"heard": as_table(lesson.heard), "verdict": verdict(lesson.heard), "learning": shown}

    def _standing(self, lesson: Lesson) -> Update:
        busy, there = lesson.is_learning, lesson.has_learned
        sounds = lesson.sounds()
        update: Update = {
            "standing": standing(lesson),
            "curve": curve(lesson.progress()),
            "others": self.school.busy(lesson),
            "base": gr.update(interactive=True),
            "hearing": gr.update(visible=bool(sounds)),
            "begin": gr.update(value="Go on" if lesson.has_begun else "Learn", visible=not busy, interactive=True),
            "stop": gr.update(visible=busy, interactive=not lesson.is_stopping),
            "keeping": gr.update(visible=there and not busy),
            "forget": gr.update(visible=True),
            "timer": gr.Timer(active=busy),
            "skipped": "\n".join(f"- {escape(words, quote=False)}" for words in lesson.skipped()),
        }
        if lesson.has_begun and lesson.wish is not None:  # it goes on from what it was begun from
            update["base"] = gr.update(value=lesson.wish.checkpoint, interactive=False)
        if sounds and sounds["restored"].name != lesson.shown:
            lesson.shown = sounds["restored"].name
            update |= {f"{name}_sound": str(path) for name, path in sounds.items()}
        return update

    # What is given

    @on_the_page
    def hear(self, files: list[str] | None, token: object) -> Iterator[Update]:
        """Hears what was given, one recording after the other, and says what it is fit for."""
        if not files:
            return
        lesson = self.school.find(token)
        if lesson is not None and (lesson.is_learning or lesson.has_learned):
            raise RestorationError("Something was learned from other recordings. Forget that first.")
        yield {"verdict": "Listening to them\u2026", "heard": "", "learning": gr.update(visible=False)}
        heard = []
        reference = restorer_of(DEFAULT_CHECKPOINT, DEVICE).reference
        for one in hear_all([Path(file) for file in files], reference):
            heard.append(one)
            yield {"heard": as_table(heard), "verdict": f"Heard {len(heard)} of {len(files)}\u2026"}
        yield {"verdict": verdict(heard)}
        if not kept(heard):
            return
        if lesson is None:
            token, lesson = self.school.enrol()
        lesson.take_in(heard)
        yield {"token": token, **self._material(lesson), **self._standing(lesson)}

    # Learning

    @on_the_page
    def expect(self, base: str, minutes: float, token: object) -> Iterator[Update]:
        """Says what to expect of so many minutes on this machine."""
        yield {"expected": "Finding out how fast this machine is\u2026"}
        if self.school.find(token) is None:
            yield {"expected": ""}
            return
        yield {"expected": expectation(self.steps(self._checked(base), minutes), minutes)}

    def _checked(self, base: object) -> str:
        base = self.cards.checked(base)
        if self.cards.is_somebodys_own(base):
            raise RestorationError("Go on with what you have, or begin from a checkpoint of the list.")
        if not self.cards.is_here(base):
            if offline():
                self.cards.restorer(base)  # which says why it cannot be had
            return base
        if isinstance(restorer_of(base, DEVICE).model.architecture, MatrixArchitecture):
            raise RestorationError("CQTdiff is there to restore with, not to be trained. Choose another checkpoint.")
        return base

    def steps(self, base: str, minutes: float) -> int | None:
        """How many steps will be done in so many minutes, roughly; None where the checkpoint is not here yet."""
        if not self.cards.is_here(base):
            return None
        model = restorer_of(base, DEVICE).model
        pace = pace_of(base, "draft", (), int(time.monotonic() / FRESH_SECONDS))
        each = EVALUATIONS_EACH * tuning_settings(model).batch * pace.evaluation.at(model.segment)
        return round(60 * minutes / each) if each > 0 else None

    @on_the_page
    def begin(self, base: str, minutes: float, token: object) -> Iterator[Update]:
        """Begins to learn, or goes on."""
        lesson = self._lesson(token)
        minutes = checked_minutes(minutes)
        yield {"begin": gr.update(interactive=False), "standing": '<div role="status">getting ready</div>'}
        try:
            base = lesson.wish.checkpoint if lesson.wish and lesson.has_begun else self._checked(base)
            entry = self.cards.priors.get(base)
            compact = entry is not None and entry.settings == SMALL
            wish = Wish(base, minutes, compact, self.steps(base, minutes), self.extra)
            self.school.begin(lesson, wish)
        except RestorationError:
            yield self._standing(lesson)
            raise
        yield self._standing(lesson)

    def stop(self, token: object) -> Update:
        """Asks it to stop; what was learned so far is kept."""
        if (lesson := self.school.find(token)) is None:
            return {}
        lesson.stop()
        return self._standing(lesson)

    def forget(self, token: object, chosen: str) -> Update:
        """Deletes all of it, now."""
        lesson = self.school.find(token)
        was_chosen = lesson is not None and chosen in {one.name for one in OWN.beside(lesson.own)}
        self.school.dismiss(token)
        hidden, choices = gr.update(visible=False), self.cards.choices()
        return {
            "token": None,
            **dict.fromkeys(["heard", "verdict", "standing", "curve", "skipped", "problem", "published"], ""),
            **dict.fromkeys(["learning", "hearing", "keeping", "forget", "stop"], hidden),
            "others": self.school.busy(None),
            "timer": gr.Timer(active=False),
            "checkpoint": gr.update(choices=choices, value=DEFAULT_CHECKPOINT)
            if was_chosen
            else gr.update(choices=choices),
        }

    # What was learned

    @on_the_page
    def use(self, title: str, token: object) -> Iterator[Update]:
        """Makes it a choice of this visitor, and chooses it."""
        own = self._own(self._lesson(token), title)
        yield {
            "checkpoint": gr.update(choices=self.cards.choices(own.name), value=own.name),
            "used": f"\u201c{escape(own.title)}\u201d is chosen under \u201cWhich music\u201d now.",
        }

    @on_the_page
    def take(self, title: str, token: object) -> Iterator[Update]:
        """A ZIP of it, with its card."""
        lesson = self._lesson(token)
        own = self._own(lesson, title)
        yield {"pack": gr.update(value=str(take_home(own, lesson.folder)), visible=True)}

    @on_the_page
    def publish(
        self,
        request: gr.Request,
        signed_in: gr.OAuthToken | None,
        title: str,
        repo: str,
        licence: str,
        credit: str,
        may: bool,
        private: bool,
        typed: str,
        token: object,
    ) -> Iterator[Update]:
        """Publishes it on the Hub with its card. What was typed as a token is used once and kept nowhere."""
        yield {"hub_token": "", "published": "Publishing\u2026"}
        try:
            lesson = self._lesson(token)
            by = token_for(typed, signed_in, is_at_home(request, on_a_space()))
            own = self._own(lesson, title)
            done = share(own, repo or "", Said(licence, credit), may=bool(may), private=bool(private), token=by)
        except BaseException:
            yield {"published": ""}
            raise
        link = f'<a href="{escape(done.url)}" target="_blank" rel="noopener">{escape(done.repo)}</a>'
        yield {"published": f'<p role="status">Published as {link}.</p>'}

    def _lesson(self, token: object) -> Lesson:
        lesson = self.school.find(token)
        if lesson is None:
            raise RestorationError("Give good recordings first; what was here before is not kept any more.")
        return lesson

    def _own(self, lesson: Lesson, title: object) -> OwnCheckpoint:
        """What the visitor has learned so far, as a checkpoint of his: the same one as long as nothing has changed."""
        if lesson.is_learning or not lesson.has_learned or lesson.wish is None:
            raise RestorationError("There is nothing to use yet. Let it learn, and stop it or wait for its end.")
        title = cut(title)[:LONGEST_TITLE] or UNNAMED
        known, reports = OWN.find(lesson.own), lesson.progress()
        steps = int(reports[-1]["iteration"]) if reports else 0
        if known is not None and known.title == title and known.steps == steps:
            return known
        parent, length = lesson.wish.checkpoint, clock(seconds_of(kept(lesson.heard)))
        about = f"Trained further from {parent} on {length} of recordings, {steps} steps."
        own = OWN.add(lesson.run, lesson.folder, title, parent, about, steps)
        lesson.own = own.name
        return own


def checked_minutes(minutes: object) -> float:
    """For how long it shall learn."""
    if isinstance(minutes, (int, float)) and 0 < minutes <= MOST_MINUTES:
        return float(minutes)
    raise RestorationError(f"It can learn for up to {MOST_MINUTES} minutes, so not for {minutes!r:.80}.")


def expectation(steps: int | None, minutes: float) -> str:
    """What to expect of so many steps, in a sentence or two."""
    if steps is None:
        return "This checkpoint is fetched first; how far it comes can be told from then on."
    said = (
        f"In {format_duration(60 * minutes).removeprefix('about ')} this machine does roughly {max(steps, 1)} steps. "
    )
    if steps < FEW_STEPS:
        return said + (
            "That is too few to hear much of: let it learn for longer, take the small network, or a machine with a "
            "graphics card."
        )
    return said + "The balance of their sound is learned at once, their timbre in hundreds to thousands of steps."
