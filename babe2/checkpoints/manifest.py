"""What checkpoints there are: `checkpoints_manifest.yaml`, and manifests of people's own.

Every value is read as a text and turned into what its field wants by one check: see OF_AN_ENTRY and OF_A_SOURCE.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from babe2.config import COLUMNS
from babe2.dsp.waveform import SAMPLE_RATES
from babe2.errors import RestorationError

NAME = "checkpoints_manifest.yaml"
ENVIRONMENT = "BABE2_MANIFEST"  # further manifests, separated as PATH is
LARGEST = 2**16  # bytes of a manifest: some 80 entries
LONGEST_ID, LONGEST_PATH = 60, 250  # letters, bytes
MOST_MISTAKES = 3  # that a sentence lists
PACKAGE = Path(__file__).parents[1]

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
REPO = re.compile(r"(?!.*(--|\.\.|[.-]/|\.git$))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?<![.-])", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint can be had: in babe2 itself, in a Hub repository at a commit, or from a web address."""

    bundled: str | None = None  # a folder's path within the manifest's own
    repo: str | None = None
    revision: str | None = None
    file: str | None = None
    url: str | None = None


KINDS = ({"bundled"}, {"repo", "revision", "file"}, {"url"})  # which fields a source has


@dataclass(frozen=True)
class Entry:
    """One checkpoint: what a careful stranger asks before downloading, and nothing the code can work out."""

    id: str
    base: Path = field(repr=False)  # what `bundled` starts from
    title: str
    description: str  # one sentence for listeners
    sources: tuple[Source, ...]
    sha256: str | None  # of the first source's file; None: recorded on first use
    bytes: int | None  # of the same file
    sample_rate: int  # Hz
    segment: int  # samples
    settings: str | None  # which column of settings; None: it is no prior, so there are none
    parameters: int
    licence: str
    credit: str
    training_data: str
    intended: str
    sigma_data: float | None = None  # std of what it was trained on, where the file may not say it
    spectrum: str | None = None  # id of a bundled one, whose average spectrum stands in where the file has none

    def stated(self) -> dict[str, Any]:
        """What this says of a file that does not say it itself, as fields of a Model."""
        said = {"sample_rate": self.sample_rate, "segment": self.segment}
        perhaps = {"column": self.settings, "sigma_data": self.sigma_data}
        return said | {name: value for name, value in perhaps.items() if value is not None}

    @property
    def seconds(self) -> float:
        """The length of a segment."""
        return self.segment / self.sample_rate

    def bundled(self) -> Path | None:
        """The folder of a checkpoint that comes with babe2, or with the manifest."""
        for source in self.sources:
            if source.bundled is not None and (self.base / source.bundled).is_dir():
                return self.base / source.bundled
        return None


# What each field may be


def leads_inside(path: str) -> bool:
    """Whether a name from elsewhere can be a path, and leads nowhere but below where it starts, on any system."""
    plain = path.isprintable() and not set(path) & set('\\:*?"<>|') and not {"", ".", ".."} & set(path.split("/"))
    return plain and len(path.encode()) <= LONGEST_PATH


def is_web_address(url: str) -> bool:
    """Whether this is a plain http or https address, without a name and password."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0  # it may be no number
    except ValueError:
        return False
    return plain and "@" not in parts.netloc and url.isprintable() and " " not in url


def _between(lowest: int, highest: int) -> Callable[[str], bool]:
    return lambda text: re.fullmatch("[0-9]{1,15}", text) is not None and lowest <= int(text) <= highest


def _small_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,9})?", text) is not None and 0 < float(text) <= 10


def _letters(most: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= most


@dataclass(frozen=True)
class Check:
    """What a field wants: in words, as a rule for the text that stands there, and as the type it becomes."""

    wanted: str
    rule: Callable[[str], Any]
    becomes: Callable[[str], Any] = str
    or_null: bool = False

    def __call__(self, value: Any, what: str, mistakes: list[str]) -> Any:
        """The field's value; None, and a mistake noted, where it is not what is wanted."""
        text = " ".join(value.split()) if isinstance(value, str) else None  # folded or not, it is shown in one line
        if text in NULL and self.or_null:
            return None
        if text is not None and text not in NULL and text.isprintable() and self.rule(text):
            return self.becomes(text)
        quoted = f", not {text!r:.80}" if text else ""
        mistakes.append(f"{what} must be {self.wanted}{' or null' if self.or_null else ''}{quoted}")
        return None


NULL = ("", "~", "null")
FieldCheck = Callable[[Any, str, list[str]], Any]
OF_A_SOURCE: dict[str, FieldCheck] = {
    "bundled": Check("a folder's path within the manifest's own", leads_inside),
    "repo": Check("owner/name", REPO.fullmatch),
    "revision": Check("a commit, 40 hexadecimal digits", COMMIT.fullmatch, or_null=True),  # null: the latest
    "file": Check("a file's name in the repository", leads_inside),
    "url": Check("an http or https address", is_web_address),
}
OF_AN_ENTRY: dict[str, FieldCheck] = {
    "title": Check("a text in plain letters, at most 80", _letters(80)),
    "description": Check("a text in plain letters, one sentence for listeners", _letters(300)),
    "sources": lambda value, what, mistakes: _sources(value, what, mistakes),
    "sha256": Check("64 hexadecimal digits", SHA256.fullmatch, or_null=True),
    "bytes": Check("a positive whole number", _between(1, 2**40), int, or_null=True),
    "sample_rate": Check("a rate in Hz", _between(*SAMPLE_RATES), int),
    "segment": Check("a number of samples", _between(1, 2**24), int),
    "sigma_data": Check("a number above 0 and up to 10", _small_number, float, or_null=True),
    "spectrum": Check("another checkpoint's id", ID.fullmatch, or_null=True),
    "settings": Check(f"one of {', '.join(COLUMNS)}", COLUMNS.__contains__, or_null=True),
    "parameters": Check("a positive whole number", _between(1, 2**40), int),
    "licence": Check("a text in plain letters", _letters(300)),
    "credit": Check("a text in plain letters", _letters(1000)),
    "training_data": Check("a text in plain letters", _letters(1000)),
    "intended": Check("a text in plain letters", _letters(1000)),
}
MAY_LACK = ("sigma_data", "spectrum")


# Reading

Manifest = dict[str, Entry]


def collection(extra: str | Path | None = None) -> Manifest:
    """The entries of babe2's own manifest and of further ones: that named by `extra`, else those of BABE2_MANIFEST."""
    found = read(own_manifest(), PACKAGE.parent)
    others = (
        [Path(extra)] if extra else [Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    )
    for path in others:
        more = read(path.expanduser(), path.expanduser().absolute().parent)
        if twice := sorted(found.keys() & more.keys()):
            raise RestorationError(f"{path} gives the name {twice[0]!r:.80} a second time. Choose another id there.")
        found |= more
    return found


def own_manifest() -> Path:
    """The file that comes with babe2: beside the package in a checkout, in it where it is installed."""
    beside = PACKAGE.parent / NAME
    return beside if beside.is_file() else PACKAGE / NAME


def read(path: Path, base: Path) -> Manifest:
    """The entries of one manifest, by id."""
    mistakes: list[str] = []
    content = _parsed(path, mistakes) or {}
    entries: Manifest = {}
    if not isinstance(content, dict):
        raise RestorationError(f"{path} must be a mapping from ids to checkpoints.")
    for name, fields in content.items():
        if not ID.fullmatch(name) or len(name) > LONGEST_ID:
            mistakes.append(f"{name!r:.60} cannot be an id, which is made of at most {LONGEST_ID} a-z, 0-9 and hyphens")
        elif entry := _entry(fields, name, base, mistakes):
            entries[name] = entry
    if mistakes:
        more = f"; and {len(mistakes) - MOST_MISTAKES} more" if len(mistakes) > MOST_MISTAKES else ""
        raise RestorationError(f"{path} has mistakes: {'; '.join(mistakes[:MOST_MISTAKES])}{more}.")
    return entries


def _parsed(path: Path, mistakes: list[str]) -> Any:
    """The YAML of a file: mappings, lists and texts. Keys that stand twice are noted as mistakes."""
    import yaml

    try:
        if path.stat().st_size > LARGEST:
            raise RestorationError(f"{path} is too large for a manifest, which may have {LARGEST // 1024} kB.")
        text = path.read_text("utf-8")
    except OSError as error:
        raise RestorationError(f"The manifest {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise RestorationError(f"The manifest {path} is not UTF-8 text.") from None

    class Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
        """Knows no types, so that no value can mean more than its letters. The one in C is ten times as quick."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep=deep)
            if len(found) < len(node.value):
                mistakes.append(f"a name stands a second time in what begins in line {node.start_mark.line + 1}")
            return found

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f", line {mark.line + 1}," if mark else ""
        reason = f" ({problem:.100})" if problem and problem.isprintable() else ""
        raise RestorationError(f"{path}{where} is not YAML{reason}.") from None


def _entry(content: Any, name: str, base: Path, mistakes: list[str]) -> Entry | None:
    """The checkpoint that a mapping describes; None where something is wrong with it."""
    before, fields = len(mistakes), _fields(content, name, OF_AN_ENTRY, mistakes)
    if fields and (lacking := OF_AN_ENTRY.keys() - fields - set(MAY_LACK)):
        mistakes.append(f"{name} lacks {', '.join(key for key in OF_AN_ENTRY if key in lacking)}")
    values = {key: OF_AN_ENTRY[key](value, f"{name}.{key}", mistakes) for key, value in fields.items()}
    return Entry(id=name, base=base, **values) if len(mistakes) == before else None


def _sources(content: Any, what: str, mistakes: list[str]) -> tuple[Source, ...]:
    if not isinstance(content, list) or not content:
        mistakes.append(f"{what} must be a list of at least one source")
        return ()
    sources = []
    for item in content:
        fields = _fields(item, what, OF_A_SOURCE, mistakes)
        if fields and fields.keys() not in KINDS:
            mistakes.append(f"{what} must be {{bundled}}, {{repo, revision, file}} or {{url}}")
        values = {key: OF_A_SOURCE[key](value, f"{what}.{key}", mistakes) for key, value in fields.items()}
        sources.append(Source(**values))
    return tuple(sources)


def _fields(content: Any, what: str, known: Mapping[str, Any], mistakes: list[str]) -> dict[str, Any]:
    """The fields of a mapping that are known; others are mistakes."""
    if not isinstance(content, dict) or not content:
        mistakes.append(f"{what} must be a mapping")
        return {}
    for key in content:
        if key not in known:
            mistakes.append(f"{what} has no field {key!r:.60}, there are {', '.join(known)}")
    return {key: content[key] for key in known if key in content}
