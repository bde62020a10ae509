"""What checkpoints there are: `checkpoints_manifest.yaml`, read with every mistake named by its line.

The two dataclasses are the one definition of what may stand there; the reader follows their types.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from babe2.config import COLUMNS
from babe2.dsp.waveform import SAMPLE_RATES
from babe2.errors import RestorationError

NAME = "checkpoints_manifest.yaml"
ENVIRONMENT = "BABE2_MANIFEST"  # further manifests, separated as PATH is
LARGEST = 2**20  # bytes of a manifest
PACKAGE = Path(__file__).parents[1]

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
REPO = re.compile(r"(?!.*(--|\.\.|[.-]/|\.git$))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?<![.-])", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def _checked(rule: Callable[[Any], bool], wanted: str) -> dict[str, Any]:
    return {"rule": rule, "wanted": wanted}


def leads_inside(path: str) -> bool:
    """Whether a name from elsewhere can be a path, and lead nowhere but below where it starts, on any system."""
    return path.isprintable() and not set(path) & set('\\:*?"<>|') and not {"", ".", ".."} & set(path.split("/"))


def _address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        return False


@dataclass(frozen=True)
class Source:
    """Where a checkpoint can be had: it comes along, in a Hub repository pinned to a commit, or from an address."""

    bundled: str | None = field(
        default=None, metadata=_checked(leads_inside, "a folder's path within the manifest's own")
    )
    repo: str | None = field(default=None, metadata=_checked(lambda repo: bool(REPO.fullmatch(repo)), "owner/name"))
    revision: str | None = field(
        default=None,
        metadata=_checked(lambda commit: bool(COMMIT.fullmatch(commit)), "a commit, 40 hexadecimal digits"),
    )
    file: str | None = field(default=None, metadata=_checked(leads_inside, "a file's name in the repository"))
    url: str | None = field(default=None, metadata=_checked(_address, "an http or https address"))

    @property
    def kind(self) -> str:
        given = frozenset(part.name for part in fields(self) if getattr(self, part.name) is not None)
        return KINDS.get(given, "")


KINDS = {
    frozenset({"bundled"}): "bundled",
    frozenset({"repo", "revision", "file"}): "hub",
    frozenset({"url"}): "url",
}


@dataclass(frozen=True)
class Entry:
    """One checkpoint: what a careful stranger asks before downloading, and nothing the code can work out."""

    id: str
    base: Path = field(repr=False)  # what `bundled` starts from
    title: str = field(metadata=_checked(lambda text: len(text) <= 80, "at most 80 letters"))
    description: str = field(metadata=_checked(lambda text: len(text) <= 300, "one sentence for listeners"))
    sources: tuple[Source, ...] = field(metadata=_checked(bool, "at least one source"))
    sha256: str | None = field(  # of the first source's file; None: recorded on first use
        metadata=_checked(lambda digest: bool(SHA256.fullmatch(digest)), "64 hexadecimal digits, or null")
    )
    bytes: int | None = field(metadata=_checked(lambda size: size > 0, "a positive number, or null"))
    sample_rate: int = field(metadata=_checked(lambda rate: SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1], "a rate in Hz"))
    segment: int = field(metadata=_checked(lambda samples: 0 < samples <= 2**24, "a number of samples"))
    settings: str = field(metadata=_checked(COLUMNS.__contains__, f"one of {', '.join(COLUMNS)}"))
    parameters: int = field(metadata=_checked(lambda count: count > 0, "a positive number"))
    licence: str
    credit: str
    training_data: str
    intended: str

    @property
    def seconds(self) -> float:
        """Of sound in one segment."""
        return self.segment / self.sample_rate

    def bundled(self) -> Path | None:
        """Its folder, where it comes along."""
        for source in self.sources:
            if source.bundled is not None and (self.base / source.bundled).is_dir():
                return self.base / source.bundled
        return None


OF_THE_READER = ("id", "base")  # fields of an entry that are not written in it

Manifest = dict[str, Entry]


def collection(extra: str | Path | None = None) -> Manifest:
    """The house's manifest and whatever else was named: by `extra`, else by the environment."""
    found = read(house(), PACKAGE.parent)
    others = (
        [Path(extra)] if extra else [Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    )
    for path in others:
        more = read(path.expanduser(), path.expanduser().absolute().parent)
        if twice := sorted(found.keys() & more.keys()):
            raise RestorationError(f"{path} gives the name {twice[0]!r} a second time. Choose another id there.")
        found |= more
    return found


def house() -> Path:
    """The manifest that comes along: beside the package in a checkout, among its shared files where installed."""
    beside = PACKAGE.parent / NAME
    if beside.is_file():
        return beside
    try:
        installed = importlib.metadata.files("babe2") or []
    except importlib.metadata.PackageNotFoundError:
        installed = []
    recorded = [Path(str(file.locate())) for file in installed if file.name == NAME]
    shared = Path("share") / "babe2" / NAME  # of an installation into a folder, whose record is of another one
    for place in (*recorded, PACKAGE.parent / shared, Path(sys.prefix) / shared):
        if place.is_file():
            return place
    raise RestorationError(f"{NAME} is missing from this installation. Install babe2 again.")


def read(path: Path, base: Path) -> Manifest:
    """The entries of one manifest, by id."""
    import yaml

    try:
        if path.stat().st_size > LARGEST:
            raise RestorationError(f"{path} is too large for a manifest.")
        text = path.read_text("utf-8")
    except OSError as error:
        raise RestorationError(f"The manifest {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise RestorationError(f"The manifest {path} is not UTF-8 text.") from None
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise RestorationError(
            f"{path}, {where}not YAML ({getattr(error, 'problem', None) or error!s:.100})."
        ) from None
    mistakes: list[str] = []
    entries = _Reader(mistakes, base).manifest(root)
    if mistakes:
        raise RestorationError(f"{path} has mistakes. " + " ".join(f"{mistake}." for mistake in mistakes))
    return entries


class _Reader:
    """Goes through the YAML's nodes, which know their lines, and notes every mistake."""

    def __init__(self, mistakes: list[str], base: Path) -> None:
        self.mistakes, self.base = mistakes, base

    def wrong(self, node: Any, text: str) -> None:
        self.mistakes.append(f"Line {node.start_mark.line + 1}: {text}")

    def manifest(self, root: Any) -> Manifest:
        if root is None:
            return {}
        entries: Manifest = {}
        for name, (key, node) in self.pairs(root, "the manifest").items():
            if not ID.fullmatch(name):
                self.wrong(key, f"{name!r:.60} cannot be an id, which is made of a-z, 0-9 and hyphens")
            values = self.record(node, Entry, name, OF_THE_READER)
            if values is not None:
                entries[name] = Entry(id=name, base=self.base, **values)
        return entries

    def pairs(self, node: Any, what: str) -> dict[str, tuple[Any, Any]]:
        """Key -> the nodes of key and value."""
        if node.id != "mapping":
            self.wrong(node, f"{what} must be a mapping")
            return {}
        found: dict[str, tuple[Any, Any]] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in found:
                self.wrong(key, f"{name!r:.60} stands here a second time in {what}")
                continue
            found[name] = (key, value)
        return found

    def record(self, node: Any, kind: type, what: str, given: tuple[str, ...] = ()) -> dict[str, Any] | None:
        """A mapping's values by the fields of `kind`; None where something is wrong with it."""
        before = len(self.mistakes)
        pairs, hints = self.pairs(node, what), typing.get_type_hints(kind)
        known = {part.name: part for part in fields(kind) if part.name not in given}
        for name in pairs.keys() - known.keys():
            self.wrong(pairs[name][0], f"{what} has no field {name!r:.60}; there are {', '.join(known)}")
        values: dict[str, Any] = {}
        for name, part in known.items():
            if name in pairs:
                values[name] = self.value(pairs[name][1], hints[name], f"{what}.{name}", part.metadata)
            elif part.default is MISSING and node.id == "mapping":
                self.wrong(node, f"{what} lacks {name}")
        return values if len(self.mistakes) == before else None

    def value(self, node: Any, hint: Any, what: str, metadata: typing.Mapping[str, Any]) -> Any:
        """A node's value as the field's type wants it."""
        if typing.get_origin(hint) is tuple:
            value: Any = self.sources(node, what)
        else:
            value = self.scalar(node, hint, what)
        if value is not None and metadata and not metadata["rule"](value):
            self.wrong(node, f"{what} must be {metadata['wanted']}, not {value!r:.80}")
        return value

    def sources(self, node: Any, what: str) -> tuple[Source, ...] | None:
        if node.id != "sequence":
            self.wrong(node, f"{what} must be a list")
            return None
        found = []
        for item in node.value:
            values = self.record(item, Source, what)
            if values is None:
                continue
            source = Source(**values)
            if source.kind:
                found.append(source)
            else:
                self.wrong(item, f"{what} takes {{bundled}}, {{repo, revision, file}} or {{url}}")
        return tuple(found)

    def scalar(self, node: Any, hint: Any, what: str) -> Any:
        import yaml

        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        names = {str: "a text in plain letters", int: "a whole number", type(None): "null"}
        value = None
        if node.id == "scalar":
            try:
                value = yaml.SafeLoader("").construct_object(node, deep=True)
            except (yaml.YAMLError, ValueError):
                value = node
        if isinstance(value, str):
            value = " ".join(value.split())  # folded or not, it is told in one line
            value = value if value.isprintable() else ""  # what a terminal would act upon
        if node.id != "scalar" or type(value) not in options or value == "":
            self.wrong(node, f"{what} must be {' or '.join(names[option] for option in options)}")
            return None
        return value
