"""Chains that a visitor gives: the text of a file, which may name nothing on this machine but what it offers."""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from pathlib import Path

from babe2.chains import PRESETS, Chain
from babe2.chains.chain import LARGEST
from babe2.errors import RestorationError
from babe2.extras import require
from babe2.page.cleaning import presets

OWN = "own-chain"
NAME = "The chain"
EXAMPLE = """\
stages:
  - declick: {strength: 0.4}
  - denoise
  - restore: {preset: draft, seed: 7}
"""


@lru_cache
def whole_presets() -> dict[str, Chain]:
    """The chains that are more than cleaning before a restoration, and so are run as they stand in their files."""
    return {name: Chain.load(name) for name in PRESETS if name not in presets()}


def choices() -> list[tuple[str, str]]:
    """What there is to do by a chain's file: (what a list shows, its name)."""
    named = [(f"By a chain: {chain.title.lower()}", name) for name, chain in whole_presets().items()]
    return [*named, ("By a chain of your own", OWN)]


def is_whole(what: str) -> bool:
    """Whether a choice of what to do leaves everything to a chain's text."""
    return what == OWN or what in whole_presets()


def text_of(file: str | Path) -> str:
    """The text of a chain's file that was dropped here; one that is no chain is refused."""
    Chain.load(Path(file))
    return Path(file).read_text("utf-8")


def chain_of(text: str | None, offered: Container[str]) -> Chain:
    """The chain in a text, where nothing in it names a file of this machine; `offered` are ids of checkpoints.

    What a stage of it lacks on this machine is told, too.
    """
    if not text or not text.strip():
        raise RestorationError("There is no chain yet. Drop its file on the page, or write it into the field.")
    if len(text.encode()) > LARGEST:
        raise RestorationError(f"This is longer than any chain ({LARGEST} bytes). Take another file.")
    chain = Chain.parse(text, NAME)
    for link in chain.links:
        for setting, value in link.stage.places().items():
            if setting == "checkpoint" and value in offered:
                continue
            way_out = "Take one that is listed here" if setting == "checkpoint" else "Leave it out"
            raise RestorationError(
                f"In {link.stage.name}, {setting} names {value!r:.80}, and a chain may name no file or folder here. "
                f"{way_out}, or run the chain on your own computer."
            )
    for link in chain.active:
        if link.stage.extra:
            require(link.stage.extra)
    return chain
