"""The lines of a journal: each carries a digest of itself and all before it, and of the samples that it vouches for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

Record = dict[str, Any]  # what is known of one finished run of the sampler, or of one stretch of a stage
Fields = Mapping[str, Callable[[Any], bool]]  # that a record has at least, and what fits into each


class Written(NamedTuple):
    """Bytes in the file of the finished segments, with their digest."""

    offset: int
    length: int
    sha256: str


class Entry(NamedTuple):
    """A line of the journal: a finished run of the sampler, and what was written since the line before."""

    record: Record
    written: list[Written]


def whole_lines(
    lines: list[bytes], about: dict[str, Any], expected: Fields
) -> tuple[dict[str, Any] | None, list[Entry], int]:
    """Returns how a journal was begun (or None), its entries up to the first damaged line, and that line's number.

    A damaged first line is no loss where the next one vouches for what is asked for now.
    """
    begun, entries, damaged, digest = None, list[Entry](), 0, ""
    for number, line in enumerate(lines):
        fields, own_digest = _parsed(line, number, digest)
        if number == 0:
            begun = fields.get("about")
            if not isinstance(begun, dict):
                damaged, begun = 1, about
                own_digest = line_of({"about": about}, 0, "")[1]
        elif (entry := _entry(fields, expected)) is None:
            damaged = damaged or number + 1
            break
        else:
            entries.append(entry)
        digest = own_digest
    return (begun if lines and (damaged != 1 or entries) else None), entries, damaged


def line_of(fields: dict[str, Any], number: int, before: str) -> tuple[bytes, str]:
    """Returns a line and its digest, which covers the lines before it, too."""
    fields = {"line": number, **fields}
    digest = hashlib.sha256(f"{before}{json.dumps(fields)}".encode()).hexdigest()
    return f"{json.dumps(fields | {'sha256': digest})}\n".encode(), digest


def _parsed(line: bytes, number: int, before: str) -> tuple[dict[str, Any], str]:
    """Returns the fields of a line and its digest; no fields where it is not exactly what was written there."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        fields = json.loads(line.decode())
        digest = str(fields.pop("sha256"))
        if fields.pop("line") == number and line_of(fields, number, before) == (line, digest):
            return fields, digest
    return {}, ""


def _entry(fields: dict[str, Any], expected: Fields) -> Entry | None:
    """Returns the entry of a line, if every field has its type and lies in its range."""
    record, written = fields.get("record"), fields.get("written")
    if not isinstance(record, dict) or not all(
        name in record and fits(record[name]) for name, fits in expected.items()
    ):
        return None
    if not isinstance(written, list) or not all(map(_is_written, written)):
        return None
    return Entry(record, [Written(*it) for it in written])


def _is_written(value: Any) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [int, int, str] and min(value[:2]) >= 0


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_curve(value: Any) -> bool:
    return value is None or isinstance(value, dict)


RUN_FIELDS: Fields = {
    "segments": lambda value: _is_list(value, _is_count),
    "shares": lambda value: _is_list(value, lambda share: type(share) is float and 0 <= share <= 1),
    "misfit": lambda value: type(value) is float,
    "equalizer": _is_curve,
    "history": lambda value: _is_list(value, lambda it: isinstance(it, list) and len(it) == 2 and _is_curve(it[1])),
    "evaluations": _is_count,
    "batch": lambda value: _is_count(value) and value > 0,
}
STRETCH_FIELDS: Fields = {
    "segments": RUN_FIELDS["segments"],
    "stop": _is_count,
    "channels": lambda value: _is_count(value) and value > 0,
    "samples": _is_count,
    "sample_rate": _is_count,
    "found": lambda value: isinstance(value, dict),
    "counts": lambda value: isinstance(value, dict) and all(type(count) in (int, float) for count in value.values()),
    "powers": lambda value: _is_list(value, lambda power: type(power) is float) and len(value) == 2,
    "seconds": lambda value: type(value) is float,
}
