"""A stage in its place in a chain, and how it stands in the chain's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from babe2.errors import RestorationError
from babe2.stages import STAGES, Stage

WHOLE = "recording"  # the track that a chain begins and ends with


@dataclass(frozen=True)
class Link:
    """A stage in its place in a chain."""

    stage: Stage
    track: str = WHOLE  # the track it works on; one that merges works on all
    bypass: bool = False

    @property
    def name(self) -> str:
        """The stage's, with the track where it is one of several."""
        return self.stage.name if self.track == WHOLE else f"{self.stage.name} ({self.track})"

    def as_entry(self) -> str | dict[str, Any]:
        """As it stands in a chain's file; what is as usual is left out."""
        usual = type(self.stage)().as_dict()
        said = {name: value for name, value in self.stage.as_dict().items() if usual.get(name) != value}
        said |= {"track": self.track} if self.track != WHOLE else {}
        said |= {"bypass": True} if self.bypass else {}
        return {self.stage.name: said} if said else self.stage.name

    @staticmethod
    def of_entry(entry: Any) -> Link:
        """What stands in a chain's file: a stage's name, or its name with settings."""
        name: Any = entry
        said: Any = {}
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, said),) = entry.items()
            said = {} if said is None else said
        if not isinstance(name, str) or not isinstance(said, Mapping) or not all(isinstance(key, str) for key in said):
            raise RestorationError("A stage is its name, or its name with settings: `- declick: {strength: 0.5}`.")
        if name not in STAGES:
            raise RestorationError(f"There is no stage {name!r:.80}. Choose from {', '.join(STAGES)}.")
        settings = dict(said)
        track, bypass = settings.pop("track", WHOLE), settings.pop("bypass", False)
        if not isinstance(track, str) or not isinstance(bypass, bool):
            raise RestorationError(f"In {name}, `track` is a name, and `bypass` true or false.")
        return Link(STAGES[name].of(**settings), track, bypass)


def tracks_after(tracks: tuple[str, ...], link: Link) -> tuple[str, ...]:
    """The tracks that there are once a link has done its work on these; one that has nothing to work on is refused."""
    if link.stage.merges:
        if len(tracks) == 1:
            raise RestorationError(f"{link.stage.name} needs several tracks. Put separate before it.")
        return (WHOLE,)
    if link.track not in tracks:
        where = " or ".join(tracks)
        raise RestorationError(f"{link.stage.name} works on {where} there: say so, as in `track: {tracks[0]}`.")
    place = tracks.index(link.track)
    after = (*tracks[:place], *(link.stage.splits_into or (link.track,)), *tracks[place + 1 :])
    if len(set(after)) < len(after):
        raise RestorationError(f"{link.stage.name} would make a track that is there already. Leave it out.")
    return after


def check(links: Iterable[Link]) -> None:
    """Refuses links of which one has nothing to work on, or which do not end with one whole."""
    tracks: tuple[str, ...] = (WHOLE,)
    for link in links:
        tracks = tracks_after(tracks, link)
    if len(tracks) > 1:
        raise RestorationError(f"The chain ends with {' and '.join(tracks)}. Put remix at its end.")
