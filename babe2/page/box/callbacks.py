"""What the page does when somebody touches the box. As elsewhere, each callback yields new values of parts by name."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any

import gradio as gr

from babe2.errors import Cancelled
from babe2.page.box.figures import Figures
from babe2.page.box.shown import bar, controls, shown
from babe2.page.box.sides import Box, Limits, Order, Side, State
from babe2.page.box.taken import packed
from babe2.page.callbacks import Callbacks, looked_at, part_of, private_folder, progress_bar
from babe2.page.choice import Begun, Choice, Maker, Progress
from babe2.page.cleaning import AS_NEEDED, RESTORE, links_of, stages_needed
from babe2.page.excerpt import EXCERPT_SECONDS
from babe2.page.first_look import check_sounding
from babe2.page.messages import on_the_page, sentence_of
from babe2.page.own_chain import is_whole
from babe2.page.results import Held
from babe2.page.underway.line import before, waits
from babe2.page.underway.stop import Stop
from babe2.page.underway.updates import Update
from babe2.wording import format_duration, format_length

KEPT_SECONDS = 6 * 3600.0  # after a box was last looked into
MOST_BOXES = 8  # full ones, whose sound is kept in files
HOW_MUCH = {"All of it": None, f"Its liveliest {EXCERPT_SECONDS:.0f} s, to try": EXCERPT_SECONDS}
AS_IT_IS: Update = {"status": gr.skip()}  # Gradio wants at least one part
TURNS = "One side per turn: others who wait have theirs in between."


@dataclass(frozen=True)
class BoxCallbacks:
    """The box's callbacks, which do to each side what those of the page would."""

    page: Callbacks
    limits: Limits
    sessions: dict[str, Box] = field(default_factory=dict)  # whose run ends when its page goes

    @cached_property
    def boxes(self) -> Held[Box]:
        """By token, those of all visitors."""
        most = round(MOST_BOXES * self.limits.seconds)  # of sound
        return Held(
            KEPT_SECONDS, most, weight=lambda box: round(box.seconds), needed=lambda box: box.running, renewed=True
        )

    @property
    def maker(self) -> Maker:
        """What makes what visitors chose."""
        return self.page.maker

    # What is in it

    def come_back(self, token: str | None) -> Update:
        """A visitor's box after the page was loaded anew."""
        box = self.boxes.find(token)
        if box is None:
            return AS_IT_IS
        return {**shown(box), **controls(box), "place": gr.update(open=True)}

    @on_the_page
    def add(self, files: Sequence[str] | None, token: str | None) -> Iterator[Update]:
        """Puts files into a visitor's box."""
        if not files:
            return
        box, update = self.boxes.find(token), Update(files=None)
        if box is None:
            box = Box(self.limits)
            update["token"] = self.boxes.keep(box)
        told = box.add(files)
        yield {**update, **shown(box), **controls(box), "problem": " ".join(map(_text, told))}

    @on_the_page
    def empty(self, token: str | None) -> Iterator[Update]:
        """Lets go of all that is in it."""
        if (box := self.boxes.find(token)) is not None:
            box.halt()
            self.boxes.forget(token)
            for session in [each for each, held in self.sessions.items() if held is box]:
                del self.sessions[session]
        nothing = Box(self.limits)
        yield {"token": None, **shown(nothing), **controls(nothing), "status": "", "time_needed": ""}

    @on_the_page
    def time(self, token: str | None, how_much: str, certainty: bool, *fields: Any) -> Iterator[Update]:
        """Says how long all that is open in it will take."""
        box = self.boxes.find(token)
        if box is None or not box.open or box.running:
            yield {"time_needed": ""}
            return
        choice, most, sides = _choice(*fields), HOW_MUCH.get(how_much), box.open
        sounds = [(side.wanted(most), side.channels, side.sample_rate) for side in sides]
        length = format_length(sum(seconds for seconds, *_ in sounds))
        told = f"{len(sides)} {'side' if len(sides) == 1 else 'sides'}, {length} of sound"
        if not is_whole(choice.what):
            lasts = self.page.lasting(choice, sounds, certainty)
            if lasts is not None:
                told += f", will take {format_duration(lasts)} on this machine"
        yield {"time_needed": f"{told}. {TURNS}"}

    # Its run

    @on_the_page
    def begin(self, request: gr.Request, token: str | None, how_much: str, kind: str, *fields: Any) -> Iterator[Update]:
        """Begins a run through all that is open, with what is chosen on the page now."""
        box = self.boxes.find(token)
        if box is None or not box.open:
            return
        yield {"go": gr.update(interactive=False), "time_needed": "", "status": progress_bar(0.0, "getting ready")}
        try:
            order = self._order(how_much, kind, *fields)
        except Exception:
            yield {"status": "", **controls(box)}
            raise
        turn = box.begin(order)
        self.sessions[str(request.session_hash)] = box
        yield {**shown(box), **controls(box), "status": bar(box, spoken=True), "turn": turn}

    def _order(self, how_much: str, kind: str, *fields: Any) -> Order:
        """What is chosen on the page, where it can be done."""
        seed, brightness, like, certainty, stages, *others = fields
        choice, wished = _choice(*others), {}
        if is_whole(choice.what):
            self.maker.chain(choice.chain)
        else:
            links_of(choice.what, stages)
            wished = self.maker.wishes(choice, seed, brightness, like, certainty)
        return Order(choice, HOW_MUCH.get(how_much), tuple(stages), wished, like, kind)

    def take_turn(self, token: str | None, turn: str) -> Iterator[Update]:
        """Restores the side whose turn it is. Then it is another visitor's turn, and after that this box's again."""
        box = self.boxes.find(token)
        if box is None or (taken := box.take(turn)) is None:
            yield AS_IT_IS
            return
        side, stop, order = taken
        following = ""
        try:
            for _ in self._restored(side, stop, order):
                yield {**shown(box), **controls(box), "status": bar(box)}
        except Cancelled:
            side.wait()
        except Exception as error:
            side.fail(sentence_of(error, str(side.recording)))
        finally:
            if side.state == State.RUNNING:  # nobody listens any more
                side.wait()
            following = box.done_with(side, stop)
        yield {**shown(box), **controls(box), "status": bar(box, spoken=True)} | (
            {"turn": following} if following else {}
        )

    def wait(self, request: gr.Request, token: str | None) -> Update:
        """How many are still before a box that waits; a side that has begun speaks for itself."""
        box = self.boxes.find(token)
        if box is None or not box.running:
            return {"clock": gr.update(active=False)}
        if box.under_way:
            return AS_IT_IS
        session = str(request.session_hash)
        lost = self.sessions.get(session) is box and not waits(session)  # the line was full when its turn came there
        again = box.again() if lost else ""
        return {"status": bar(box, before=before(session))} | ({"turn": again} if again else {})

    def _restored(self, side: Side, stop: Stop, order: Order) -> Iterator[None]:
        """Brings a side from its beginning to what came of it."""
        cards, path, choice = self.page.cards, str(side.recording), order.choice
        yield
        seen = looked_at(path, choice.checkpoint if cards.is_here(choice.checkpoint) else None)
        check_sounding(seen)
        choice = replace(choice, recording=path, excerpt=order.excerpt(side, seen.start))
        if not is_whole(choice.what):
            stages: Sequence[str] = () if choice.what == RESTORE else order.stages
            if choice.what == AS_NEEDED:  # each side as it needs, whatever the one on the desk does
                stages, _ = stages_needed(part_of(path, choice.excerpt, None)[0])
            choice = replace(choice, cleaning=links_of(choice.what, stages))
        for news in self.maker.made(choice, order.wished, order.like, stop):
            if isinstance(news, Progress):
                side.share, side.words = news.share, news.words
                yield
            elif not isinstance(news, Begun):
                home = news.take_home(side.recording.parent, cards.restorer(news.checkpoint), kind=order.kind)
                figures = Figures.of(side.recording, choice.excerpt, home.file, cards.reference(news.checkpoint))
                side.finish(news, home.file, figures)

    def stop_it(self, token: str | None) -> Update:
        """The visitor's wish to stop. What is done stays, and so does what is finished of the side under way."""
        box = self.boxes.find(token)
        if box is None:
            return AS_IT_IS
        box.halt()
        return {**shown(box), **controls(box), "status": bar(box, spoken=True)}

    def leave(self, request: gr.Request) -> None:
        """Ends the run of a session whose page has gone; the box itself is kept."""
        if box := self.sessions.pop(str(request.session_hash), None):
            box.halt()

    # What came of it

    @on_the_page
    def touch(self, touched: gr.EventData, token: str | None, mine: str | None) -> Iterator[Update]:
        """Puts a side on the desk, or hands over its file."""
        box, number = self.boxes.find(token), touched._data.get("side")
        if box is None or not isinstance(number, int) or not 0 <= number < len(box.sides):
            return
        side = box.sides[number]
        if side.outcome is None or side.file is None:
            return
        if touched._data.get("does") == "hear":
            held = self.page.results.keep(side.outcome, mine)
            yield {"mine": held, "recording": str(side.recording), "checkpoint": side.outcome.checkpoint}
        else:
            yield {"parcel": parcel(str(side.file), side.file.name)}

    @on_the_page
    def pack(self, token: str | None) -> Iterator[Update]:
        """Hands over all that is done as one ZIP."""
        if (box := self.boxes.find(token)) is None:
            return
        yield {"zip": gr.update(interactive=False)}
        try:
            with private_folder() as folder:
                path = packed(box, folder)
                yield {"parcel": parcel(str(path), path.name)}
        finally:
            yield controls(box)


def parcel(path: str, name: str) -> dict[str, Any]:
    """A file on its way to the visitor's computer, as Gradio describes files."""
    return {"file": {"path": path, "meta": {"_type": "gradio.FileData"}}, "name": name, "mark": secrets.token_hex(8)}


def _choice(recording: str | None, *fields: Any) -> Choice:
    """The form's choice without the place of the recording that is on the desk."""
    what, chain, method, checkpoint, preset, _, _, _, *texts = fields
    return Choice.of(None, what, chain, method, checkpoint, preset, True, None, None, texts)


def _text(sentence: str) -> str:
    return escape(sentence, quote=False)
