"""Restoring where a graphics card is lent for each run (ZeroGPU): in another process, so all that goes there and comes
back is pickled. Elsewhere it is done right here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from babe2.audio import Recording
from babe2.certainty.map import runs
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import checked_preset, restorer_of
from babe2.page.underway.job import Moment, follow
from babe2.page.underway.stop import Stop
from babe2.restoration import Restoration
from babe2.wording import format_duration

try:
    import spaces
except ImportError:
    spaces = None

News = Iterator[Moment | Restoration]
Restore = Callable[[str, Recording, dict[str, Any], Stop], News]

START_SECONDS = 20  # until the card is there and the network on it
SECONDS_EACH = {"draft": 1, "standard": 3, "paper": 10}  # that a second of sound takes at most
LONGEST_SECONDS = 120  # for which the platform lends a card in one go, to a visitor it does not know


def card_seconds(checkpoint: str, sound: Recording, options: dict[str, Any], stop: Stop) -> int:
    """For how many seconds a run needs the card."""
    each = runs(options.get("certainty", False)) * SECONDS_EACH[checked_preset(options.get("preset", "standard"))]
    return int(START_SECONDS + each * sound.audio.shape[1] / sound.sample_rate)


def check_lease(sound: Recording, options: dict[str, Any]) -> None:
    """Refuses, where cards are lent, a run that needs one for longer than it is lent."""
    if spaces is None:
        return
    preset = checked_preset(options.get("preset", "standard"))
    most = (LONGEST_SECONDS - START_SECONDS) / SECONDS_EACH[preset] / runs(options.get("certainty", False))
    if sound.audio.shape[1] / sound.sample_rate > most:
        raise RestorationError(
            f"The graphics card is lent for {format_duration(LONGEST_SECONDS)} at most, which is enough for {most:.0f} "
            f"s of sound in the preset {preset}. Choose a shorter excerpt or a quicker preset."
        )


def on_a_lent_card(work: Restore) -> Restore:
    """The same function, which runs on a lent card where cards are lent."""
    lent: Restore = work if spaces is None else spaces.GPU(duration=card_seconds)(work)
    return lent


@on_a_lent_card
def restored(checkpoint: str, sound: Recording, options: dict[str, Any], stop: Stop) -> News:
    """Yields how a restoration stands, and in the end what came of it; `options` are the restorer's."""
    yield from follow(restorer_of(checkpoint), sound.audio, sound.sample_rate, stopped=stop, **options)
