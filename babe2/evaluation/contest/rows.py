"""What is scored in a contest, and the file in which every score lies as soon as it is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from babe2.errors import RestorationError
from babe2.evaluation.synthetic import EQUALISING, INFORMED, OURS
from babe2.replacing import write_text

RATIO = "ratio"  # a plain third-octave ratio, which is no method, as nobody would listen to it
PRESETS = ("standard", "draft", "paper")
USUAL = (EQUALISING, RATIO, f"{OURS}:draft", OURS, INFORMED)
Row = dict[str, Any]  # clip, family, seed, way, seconds and the scores


class Way(NamedTuple):
    """A method with a preset: one of those that compete."""

    method: str
    preset: str = PRESETS[0]

    @classmethod
    def of(cls, text: str, methods: Sequence[str]) -> Self:
        """From METHOD or METHOD:PRESET, of the methods that there are."""
        method, _, preset = text.partition(":")
        way = cls(method, preset or PRESETS[0])
        if method not in (RATIO, *methods) or way.preset not in PRESETS or (method == RATIO and preset):
            raise RestorationError(
                f"A way is not {text!r:.80}. Write METHOD or METHOD:PRESET, of {', '.join((RATIO, *methods))} and "
                f"{', '.join(PRESETS)}."
            )
        return way

    @property
    def name(self) -> str:
        return self.method if self.preset == PRESETS[0] else f"{self.method}:{self.preset}"


class Case(NamedTuple):
    """One recording whose truth is known: what was spoiled, and by which machine."""

    clip: str
    family: str
    seed: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        return cls(row["clip"], row["family"], row["seed"])


@dataclass
class Kept:
    """The scores in a folder. What was under the same conditions before is not measured again."""

    path: Path
    rows: list[Row]

    @classmethod
    def at(cls, folder: Path, conditions: Mapping[str, Any], overwrite: bool = False) -> Self:
        """Opens a folder, or begins in it; scores of other conditions are refused, or with `overwrite` thrown away."""
        header, scores = folder / "conditions.json", folder / "scores.jsonl"
        text = json.dumps(conditions, indent=2, sort_keys=True) + "\n"
        before = header.read_text("utf-8") if header.exists() else None
        if before not in (None, text) and not overwrite:
            raise RestorationError(
                f"{folder} holds scores of {_told(before, text)}. Choose another folder, or --overwrite them."
            )
        if before != text:
            scores.unlink(missing_ok=True)
            write_text(header, text)
        rows = list(_whole_rows(scores)) if scores.exists() else []
        write_text(scores, "".join(json.dumps(row) + "\n" for row in rows))  # without a line that was cut off
        return cls(scores, rows)

    def missing(self, case: Case, ways: Sequence[Way]) -> list[Way]:
        """The ways that this recording has not gone yet."""
        done = {row["way"] for row in self.rows if Case.of(row) == case}
        return [way for way in ways if way.name not in done]

    def add(self, row: Row) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)

    def of(self, cases: Sequence[Case], ways: Sequence[Way]) -> list[Row]:
        """The rows of all cases and ways, in their order, however they came about."""
        found = {(Case.of(row), row["way"]): row for row in self.rows}
        return [found[case, way.name] for case in cases for way in ways]


def _whole_rows(path: Path) -> Iterator[Row]:
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"clip", "family", "seed", "way"} <= row.keys():
            yield row


def _told(before: str | None, now: str) -> str:
    """In what the conditions were otherwise."""
    try:
        old, new = json.loads(before or ""), json.loads(now)
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    except (ValueError, AttributeError):
        return "another program"
    return "other conditions (" + ", ".join(names) + ")"
