"""Lengths of time as people write them, and names of files that are fit to be shown."""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 200  # bytes; most file systems take 255


def format_duration(seconds: float) -> str:
    """How long something will take, roughly: "about 20 seconds", "about 3 minutes"."""
    count, unit = seconds, "second"
    for larger in ("minute", "hour"):
        if count >= 57.5:  # it would be rounded to 60
            count, unit = count / 60, larger
    count = max(1, round(count) if count < 10 else 5 * round(count / 5))
    if count == 1:
        return "about an hour" if unit == "hour" else f"about a {unit}"
    return f"about {count} {unit}s"


def clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them: 83 s are "1:23"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def format_length(seconds: float) -> str:
    """How long a sound is: "4.2 s", "12 s", "1:23"."""
    return clock(seconds) if seconds >= 60 else f"{seconds:.{0 if seconds >= 10 else 1}f} s"


def plain_name(name: str) -> str:
    """A file name as a person gave it, fit for any folder: no path, nothing that cannot be seen."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join("_" if letter in '<>:"|?*' else letter for letter in name if letter.isprintable())
    name = name.strip(" .") or "recording"
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, suffix = name, ""
    room = LONGEST_NAME - len(f"{dot}{suffix}".encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    return f"{stem}.{suffix}" if suffix else stem
