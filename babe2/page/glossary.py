"""The presets in listeners' words; what is said of each setting stands where the setting is declared (config.py)."""

from __future__ import annotations

from collections.abc import Mapping

from babe2.wording import format_duration

PRESETS = {  # from quick to thorough; each name has a line of its own
    "draft": "Draft:\nhear in moments where it goes",
    "standard": "Standard:\nthe best sound per second",
    "paper": "As published:\nfor researchers, slow, mono",
}


def times(seconds: Mapping[str, float]) -> str:
    """What each preset takes, in their order, as Markdown: page.css puts each time below its preset's stop.

    >>> times({"standard": 20.0})
    '**Draft** *\u2013* **Standard** *about 20 seconds* **As published** *\u2013*'
    """
    told = {name: format_duration(seconds[name]) if name in seconds else "\u2013" for name in PRESETS}
    return " ".join(f"**{PRESETS[name].partition(':')[0]}** *{words}*" for name, words in told.items())
