"""Restoring where a graphics card is lent for each run (ZeroGPU): in another process, so all that goes there and comes
back is pickled. Elsewhere it is done right here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from babe2.audio import Recording
from babe2.page.checkpoint_cards import restorer_of
from babe2.page.job import Moment, follow
from babe2.page.stop import Stop
from babe2.process import set_threads
from babe2.restoration import Restoration

try:
    import spaces
except ImportError:
    spaces = None

News = Iterator[Moment | Restoration]
Restore = Callable[[str, Recording, dict[str, Any], Stop], News]

START_SECONDS = 20  # until the card is there and the network on it
SECONDS_EACH = {"draft": 1, "standard": 3, "paper": 10}  # that a second of sound takes at most


def card_seconds(checkpoint: str, sound: Recording, options: dict[str, Any], stop: Stop) -> int:
    """For how long a run needs the card."""
    return int(START_SECONDS + SECONDS_EACH[options["preset"]] * sound.audio.shape[1] / sound.sample_rate)


def on_a_lent_card(work: Restore) -> Restore:
    lent: Restore = work if spaces is None else spaces.GPU(duration=card_seconds)(work)
    return lent


@on_a_lent_card
def restored(checkpoint: str, sound: Recording, options: dict[str, Any], stop: Stop) -> News:
    """How a restoration stands, and in the end what came of it; `options` are the restorer's."""
    set_threads()
    yield from follow(restorer_of(checkpoint), sound.audio, sound.sample_rate, stopped=stop, **options)
