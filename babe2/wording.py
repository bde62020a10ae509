"""Lengths of time as people write them."""

from __future__ import annotations


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
