"""The languages that the page speaks beside English, and what of them goes into its head."""

from __future__ import annotations

import json
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

HOME = files("babe2") / "page" / "words"
ENGLISH = ("en", "English")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it


class Language(NamedTuple):
    """What a file of words holds."""

    name: str  # as those call it who speak it
    words: dict[str, str]  # the page's own, by their English
    gradio: dict[str, str]  # those of Gradio that show on the page, as Gradio itself has them in both languages


@lru_cache
def languages() -> dict[str, Language]:
    """The languages there are words for, by their codes."""
    found = sorted((path for path in HOME.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return {path.name.removesuffix(".yaml"): Language(**yaml.load(path.read_text("utf-8"), LOADER)) for path in found}


def script() -> str:
    """What the page's head holds, so that it is in its visitor's language from the first sight on: words and script."""
    words = {code: language._asdict() for code, language in languages().items()}
    data = json.dumps(words, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="words">{data}</script>'
        f"<script>{(HOME / 'words.js').read_text('utf-8')}</script>"
    )


def switch() -> str:
    """The buttons by which a visitor chooses a language; the page comes in English, and its script marks another."""
    named = [ENGLISH, *((code, language.name) for code, language in languages().items())]
    return "".join(
        f'<button type="button" data-language="{code}" lang="{code}" translate="no" '
        f'aria-pressed="{str((code, name) == ENGLISH).lower()}">{escape(name)}</button>'
        for code, name in named
    )
