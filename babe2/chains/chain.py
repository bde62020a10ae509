"""What a chain is: a short file that lists stages, and what is read from it.

    title: Shellac voice
    why: A singer with orchestra on a disc of the 1910s.
    stages:
      - declick
      - denoise: {strength: 0.8}
      - separate
      - restore: {checkpoint: melba, track: vocals}
      - remix: {accompaniment: -3}

A stage works on the whole recording, or, once that is parted, on one `track` of it. `bypass: true` passes one over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Self

from babe2.chains.link import Link, check
from babe2.chains.work import Chained, work_on_audio, work_on_file
from babe2.errors import RestorationError
from babe2.recordings.recorded import Audio
from babe2.stages import Report, Stage

LARGEST = 2**16  # bytes of a chain's file
MOST_LINKS = 32
SUFFIX = ".yaml"
_FOLDER = resources.files("babe2.chains") / "presets"
PRESETS: tuple[str, ...] = tuple(sorted(each.name.removesuffix(SUFFIX) for each in _FOLDER.iterdir()))


@dataclass(frozen=True)
class Chain:
    """Stages after one another."""

    title: str
    links: tuple[Link, ...]
    why: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.links) <= MOST_LINKS:
            raise RestorationError(f"A chain has 1 to {MOST_LINKS} stages, not {len(self.links)}.")
        check(self.active)

    @classmethod
    def of(cls, *stages: Stage | Link, title: str = "", why: str = "") -> Self:
        """A chain of these stages."""
        links = tuple(each if isinstance(each, Link) else Link(each) for each in stages)
        return cls(title or _named(links), links, why)

    @classmethod
    def load(cls, place: str | Path) -> Self:
        """A chain by the name of one that babe2 brings along (`PRESETS`), or from a file."""
        if str(place) in PRESETS:
            return cls.parse((_FOLDER / f"{place}{SUFFIX}").read_text("utf-8"), str(place))
        path = Path(place)
        try:
            if path.stat().st_size > LARGEST:
                raise RestorationError(f"{path} is larger than any chain ({LARGEST} bytes). Choose another file.")
            text = path.read_text("utf-8")
        except FileNotFoundError:
            known = ", ".join(PRESETS)
            raise RestorationError(f"There is no chain {str(place)!r:.200}: give a file, or one of {known}.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise RestorationError(f"The chain {path} cannot be read ({reason}). Choose another file.") from None
        return cls.parse(text, path.name)

    @classmethod
    def parse(cls, text: str, name: str = "The chain") -> Self:
        """A chain from the text of its file, whose `name` complaints give."""
        import yaml  # which a machine that only trains may lack

        try:
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):  # a few would be gigabytes
                raise RestorationError(f"{name} is no chain: in it nothing stands for something else (&, *).")
            content = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            raise RestorationError(f"{name} is no chain: it is not written as YAML{where}.") from None
        try:
            return cls._read(content)
        except RestorationError as error:
            raise RestorationError(f"{name}: {error}") from None

    @classmethod
    def _read(cls, content: Any) -> Self:
        if not isinstance(content, dict) or not isinstance(content.get("stages"), list):
            raise RestorationError("A chain is a file with a list `stages`. `babe2 suggest` writes one.")
        if odd := sorted(map(str, content.keys() - {"title", "why", "stages"})):
            raise RestorationError(f"A chain has title, why and stages, but no {', '.join(odd):.80}. Leave it out.")
        links = tuple(map(Link.of_entry, content["stages"]))
        return cls(str(content.get("title") or _named(links)), links, str(content.get("why") or ""))

    def text(self) -> str:
        """The chain as a file."""
        import yaml

        said = {"title": self.title} | ({"why": self.why} if self.why else {})
        entries = {"stages": [link.as_entry() for link in self.links]}
        return yaml.safe_dump(said | entries, sort_keys=False, allow_unicode=True, width=100)

    @property
    def active(self) -> tuple[Link, ...]:
        """The links that are not passed over."""
        return tuple(link for link in self.links if not link.bypass)

    @property
    def words(self) -> str:
        """How many stages it has that are not passed over."""
        count = len(self.active)
        return f"{count} {'stage' if count == 1 else 'stages'}"

    def without(self, names: Sequence[str]) -> Self:
        """The same, with some stages passed over."""
        known = sorted({link.stage.name for link in self.links})
        if unknown := sorted(set(names) - set(known)):
            raise RestorationError(f"{self.title} has no stage {', '.join(unknown):.80}, only {', '.join(known)}.")
        links = tuple(replace(link, bypass=link.bypass or link.stage.name in names) for link in self.links)
        return replace(self, links=links)

    def __call__(self, audio: Any, sample_rate: int) -> tuple[Audio, Report]:
        """What it makes of audio (samples,) or (channels, samples), and the report of it."""
        done = self.apply(audio, sample_rate)
        return done.audio, done.report

    def apply(self, audio: Any, sample_rate: int, **hooks: Any) -> Chained:
        """The same, with all that its stages have made; `hooks` are those of `work_on_audio`."""
        return work_on_audio(self.active, audio, sample_rate, **hooks)

    def restore_file(self, path: str | Path, journal: str | Path, **hooks: Any) -> Chained:
        """The same of a file of any length, in the memory of a stretch; `hooks` are those of `work_on_file`."""
        return work_on_file(self.active, path, journal, **hooks)


def _named(links: Sequence[Link]) -> str:
    return " → ".join(link.name for link in links)
