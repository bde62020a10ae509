"""What listeners have answered, and what follows from it.

The question that matters is whether other listeners and other pieces would say the same. So intervals are those of the
bootstrap over listeners, and conditions are compared by the differences that each listener made within each trial.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from babe2.errors import RestorationError
from babe2.evaluation.table import Interval

HIDDEN = "hidden reference"
ATTENTIVE, FORGIVEN = (
    90.0,
    0.15,
)  # who rates the hidden reference lower in more than this share is not counted (BS.1534)
DRAWS = 2000
LARGEST_FILE = 10_000_000  # bytes; a listener's answers take some thousand
COLUMNS = ("listener", "question", "trial", "sound", "rating")


@dataclass(frozen=True)
class Answer:
    """What one listener said of one sound."""

    listener: str
    question: str
    condition: str
    rating: float  # 0 to 100; of two sounds 1 the preferred one, 0 the other


@dataclass(frozen=True)
class Key:
    """Which sound is which."""

    kind: str
    conditions: Mapping[str, str]  # by the names of sounds

    @classmethod
    def read(cls, path: Path) -> Key:
        try:
            held = json.loads(_text(path))
            sounds = {str(sound["sound"]): str(sound["condition"]) for sound in held["sounds"]}
            return cls(str(held["kind"]), sounds)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RestorationError(
                f"{path} is no key of a listening test. Give the key.json that was made with it."
            ) from None


def answers_of(paths: Iterable[Path], key: Key) -> list[Answer]:
    """The answers in the files that listeners have saved; a listener who saved twice counts as he said last."""
    found: dict[tuple[str, str, str], tuple[str, Answer]] = {}
    for path in paths:
        rows = csv.DictReader(io.StringIO(_text(path), newline=""))
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise RestorationError(
                f"{path} holds no answers. Give files that the page of the listening test has saved."
            )
        for number, row in enumerate(rows, 2):
            if row["sound"] not in key.conditions:
                raise RestorationError(f"{path}, line {number}: {row['sound']!s:.40} is no sound of this test.")
            answer = Answer(row["listener"], row["question"], key.conditions[row["sound"]], _rating(path, number, row))
            if not math.isnan(answer.rating):
                place, saved = (answer.listener, answer.question, row["sound"]), row.get("saved") or ""
                found[place] = max(found.get(place, (saved, answer)), (saved, answer), key=lambda each: each[0])
    if not found:
        raise RestorationError("There is no answer in these files. Give files in which something was rated.")
    return [answer for _, answer in found.values()]


def _rating(path: Path, number: int, row: Mapping[str, str | None]) -> float:
    text = (row["rating"] or "").strip()
    try:
        rating = float(text) if text not in ("", "undefined") else math.nan
    except ValueError:
        rating = math.inf
    if rating < 0 or rating > 100:
        raise RestorationError(f"{path}, line {number}: {text:.20} is no rating. Ratings go from 0 to 100.")
    return rating


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RestorationError(f"{path} is too large for what it should be.")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise RestorationError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise RestorationError(f"{path} is no text.") from None


def analysed(answers: Sequence[Answer], key: Key, seed: int = 0) -> dict[str, Any]:
    """Ratings by condition, and how sure it is which one is better. JSON-able."""
    inattentive = _inattentive(answers) if key.kind == "mushra" else []
    counted = [answer for answer in answers if answer.listener not in inattentive]
    if not counted:
        raise RestorationError("No listener recognised the hidden reference, so nothing can be said.")
    listeners = sorted({answer.listener for answer in counted})
    conditions = sorted({answer.condition for answer in counted})
    told = {name: _by_listener(listeners, [a for a in counted if a.condition == name]) for name in conditions}
    intervals = {name: _interval(told[name], seed) for name in conditions}
    best_first = sorted(conditions, key=lambda name: -intervals[name]["mean"])
    return {
        "kind": key.kind,
        "listeners": len(listeners),
        "left_out": inattentive,
        "conditions": [{"condition": name, **intervals[name]} for name in best_first],
        "differences": _differences(counted, listeners, best_first, seed),
    }


def _inattentive(answers: Sequence[Answer]) -> list[str]:
    missed: defaultdict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        if answer.condition == HIDDEN:
            missed[answer.listener].append(answer.rating < ATTENTIVE)
    return sorted(listener for listener, each in missed.items() if sum(each) > FORGIVEN * len(each))


def _by_listener(listeners: Sequence[str], answers: Iterable[Answer]) -> list[list[float]]:
    return _grouped(listeners, ((answer.listener, answer.rating) for answer in answers))


def _grouped(listeners: Sequence[str], values: Iterable[tuple[str, float]]) -> list[list[float]]:
    groups: dict[str, list[float]] = {listener: [] for listener in listeners}
    for listener, value in values:
        groups[listener].append(value)
    return [group for group in groups.values() if group]


def _differences(
    answers: Sequence[Answer], listeners: Sequence[str], conditions: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """Each condition against each that stands below it, from the questions that heard both."""
    ratings = {(answer.listener, answer.question, answer.condition): answer.rating for answer in answers}
    asked = {(listener, question) for listener, question, _ in ratings}
    found = []
    for better, worse in combinations(conditions, 2):
        pairs = [
            (listener, ratings[listener, question, better] - ratings[listener, question, worse])
            for listener, question in sorted(asked)
            if {(listener, question, better), (listener, question, worse)} <= ratings.keys()
        ]
        if pairs:
            interval = _interval(_grouped(listeners, pairs), seed)
            sure = interval["low"] > 0 or interval["high"] < 0
            found.append({"better": better, "worse": worse, **interval, "sure": sure})
    return found


def _interval(groups: Sequence[Sequence[float]], seed: int) -> dict[str, float]:
    """The mean of all ratings, and between which bounds it lies with 95 %: listeners are drawn again, and within each
    of them ratings."""
    sample, draw = [np.asarray(group, float) for group in groups], np.random.default_rng(seed)
    means = np.empty(DRAWS)
    for i in range(DRAWS):
        drawn = [sample[j] for j in draw.integers(len(sample), size=len(sample))]
        means[i] = np.mean(np.concatenate([group[draw.integers(len(group), size=len(group))] for group in drawn]))
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(np.concatenate(sample).mean()), float(low), float(high))._asdict()


def as_table(found: Mapping[str, Any]) -> str:
    """What was found, for people."""
    scale = 1 if found["kind"] == "mushra" else 100
    unit = "rating, 0 to 100" if found["kind"] == "mushra" else "preferred, per cent"
    rows = [("", unit, "95 %")] + [
        (row["condition"], f"{row['mean'] * scale:.1f}", f"{row['low'] * scale:.1f} to {row['high'] * scale:.1f}")
        for row in found["conditions"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{name:{widths[0]}}  {mean:>{widths[1]}}  {bounds:>{widths[2]}}".rstrip() for name, mean, bounds in rows]
    lines.append("")
    for each in found["differences"]:
        by = f"by {each['mean'] * scale:.1f} [{each['low'] * scale:.1f}, {each['high'] * scale:.1f}]"
        lines.append(f"{each['better']} over {each['worse']} {by}: {'sure' if each['sure'] else 'not sure'}")
    lines.append(f"{found['listeners']} listener{'s' * (found['listeners'] != 1)}.")
    if found["left_out"]:
        lines.append(f"Left out, as they did not recognise the hidden reference: {', '.join(found['left_out'])}.")
    return "\n".join(lines)
