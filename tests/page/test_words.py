"""The page's words in other languages: all are there, none is left over, and their places agree.

Nothing is started: what the page says is read from its code. Whether it says so is asked of a browser (test_app.py).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path

import pytest
import yaml

from babe2.checkpoints.shelf import Shelf
from babe2.methods import METHODS
from babe2.page.choice import SETTINGS, tells_of
from babe2.page.cleaning import CLEANING
from babe2.page.words.languages import languages, script, switch
from babe2.stages import STAGES

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "babe2"
PLACE = re.compile(r"\{(?:n|words|name)\d?\}")
PAGE = [ROOT / "app.py", *(HOUSE / "page").rglob("*.py")]
ENDPOINTS = HOUSE / "page" / "endpoints.py"  # for programs, in English
BELOW = [HOUSE / name for name in ("analysis/advice.py", "chains/suggest.py", "report/tracks.py", "report/verdict.py")]
MARKUP = [*(HOUSE / "page").rglob("*.html"), HOUSE / "report/desk/desk.html"]
SCRIPTS = [ROOT / "page.js", HOUSE / "report/desk/desk.js", *(HOUSE / "page").rglob("*.js")]
IN_ENGLISH = (  # what stands in files, on a terminal or in a log
    "Old recordings of the same singer or instrument",
    "A visitor met a fault of ours",
    "The page needs gradio, which a plain install leaves out",
    "pip install",
    "My singer",
)
IS_CODE = re.compile(
    r"=>|\bimport |\) \{|!important|^@|[\w)\]]\.\w+\(|[a-z]=\"|use strict|^\W*stages:|:not\(|\[\w+=|#\w+ "
)

every_language = pytest.mark.parametrize("code", languages())


def said_in(path: Path) -> Iterator[str]:
    """The texts in a module that somebody may read; "{}" stands where something is filled in."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    left_out = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} | {
        id(node.value) for node in nodes if isinstance(node, ast.Expr)
    }
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def said_by_objects() -> Iterator[str]:
    """What is said of settings, stages, methods, checkpoints and examples."""
    for about in SETTINGS.values():
        yield from (about.group, about.label, about.hint)
    yield from (STAGES[name].does for name in CLEANING)
    for method in METHODS.values():
        yield from (method.title, method.does)
    for entry in Shelf.at().manifest.values():
        if entry.settings is not None:
            yield from (entry.title, entry.description)
    for card in yaml.safe_load((ROOT / "examples/gallery.yaml").read_text("utf-8")):
        yield from (re.sub(r"\d+\.\d+", "{}", card[name]) for name in ("title", "did", "credit"))


def fragments(text: str) -> Iterator[str]:
    """The parts of a text that no tag, no mark of Markdown and nothing that is filled in interrupts, sentence by
    sentence."""
    for part in re.split(r"<[^>]*>|\*\*|\*(?=\w)|(?<=[.\w])\*|\{\}|\n\n|^## |^- |\.\.\.", " ".join(text.split(" "))):
        for sentence in re.split(r"(?<=[.!?\u2026]) |; |: ", " ".join(unescape(part).split())):
            words = sentence.strip(" .,;:()\u2026\u00b7\u201c\u201d'\"")
            if re.search(r"[A-Za-z]{2,}[,;:]? [a-z]", words) and not IS_CODE.search(words):
                yield words


def plainly(text: str) -> str:
    """A text of a script with the letters that are escaped there."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)


@cache
def keys(code: str) -> str:
    return "\n".join([*languages()[code].words, *languages()[code].gradio])


def said_on_the_page() -> Iterator[tuple[str, str]]:
    """(where it is said, a text), of all there is."""
    for path in {*PAGE, *BELOW} - {ENDPOINTS}:
        yield from ((path.name, text) for text in said_in(path))
    yield from (("an object", text) for text in said_by_objects())
    for path in MARKUP:
        tagged = re.findall(r">([^<]+)<|(?:label|title)=\"([^\"]+)\"", path.read_text("utf-8"))
        yield from ((path.name, text) for texts in tagged for text in texts)
    for path in SCRIPTS:
        yield from ((path.name, plainly(text)) for text in re.findall(r"\"([^\"\n]+)\"", path.read_text("utf-8")))


@every_language
def test_whatever_the_page_says_is_translated(code: str) -> None:
    missing = sorted(
        f"{where}: {part}"
        for where, text in said_on_the_page()
        if not IS_CODE.search(text)
        for part in fragments(text)
        if part not in keys(code) and not part.startswith(IN_ENGLISH)
    )
    assert missing == [], f"Say these in babe2/page/words/{code}.yaml, too."


@every_language
def test_what_is_filled_in_has_its_place_in_both_languages_and_nothing_is_left_empty(code: str) -> None:
    language = languages()[code]
    for english, said in [*language.words.items(), *language.gradio.items()]:
        assert sorted(PLACE.findall(english)) == sorted(PLACE.findall(said)), english
        assert isinstance(said, str) and (said.strip() or english == ", too"), english
        assert english == " ".join(english.split()), f"{english!r} would never be found: spaces are one each."


@every_language
def test_no_words_are_left_over_of_what_the_page_does_not_say_any_more(code: str) -> None:
    files = [ROOT / "app.py", *SCRIPTS, *MARKUP, *HOUSE.rglob("*.py"), HOUSE / "checkpoints_manifest.yaml"]
    files += [ROOT / "examples/gallery.yaml", *(HOUSE / "chains/presets").glob("*.yaml")]
    written = plainly("\n".join(path.read_text("utf-8") for path in files))
    written = unescape(
        re.sub(r"[\"']\s*\n?\s*\+?=?\s*f?[\"']", "", written)
    )  # a text may be written over several lines
    written = " ".join(written.replace("**", "").casefold().split())
    left_over = []
    for english in languages()[code].words:
        parts = [part.casefold().split() for part in re.split(rf"{PLACE.pattern}|[\u201c\u201d]", english)]
        longest = max(map(len, parts))  # a sentence may be put together of parts: three words of it tell it
        few = max(1, min(3, longest - 1))
        runs = [" ".join(part[i : i + few]) for part in parts for i in range(len(part) - few + 1)]
        if not any(run.strip(".,:;()%") in written for run in runs):
            left_over.append(english)
    assert left_over == [], f"These stand in {code}.yaml only."


def test_each_text_has_one_translation() -> None:
    for code in languages():
        lines = (HOUSE / f"page/words/{code}.yaml").read_text("utf-8").partition("\ngradio:")
        for part in (lines[0], lines[2]):
            found = re.findall(r"^  (\"(?:[^\"\\]|\\.)*\"): ", part, re.MULTILINE)
            assert len(found) == len(set(found)), sorted(each for each in found if found.count(each) > 1)


def test_a_setting_is_found_by_a_word_of_any_language() -> None:
    assert tells_of("churn", "rauschen") and tells_of("churn", "noise") and not tells_of("churn", "rauschen bass")


def test_what_goes_into_the_head_ends_no_script_early_and_names_each_language_in_itself() -> None:
    assert script().count("</script>") == script().count("<script") == 2
    assert 'lang="de" translate="no" aria-pressed="false">Deutsch<' in switch()
