"""What README.md and docs/ tell people to type, and where they send them."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import site_pages
import write_figures
import yaml

import babe2
from babe2.commands.main import build_parser
from babe2.commands.options import settings_of

ROOT = Path(babe2.__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
COMMANDS = [
    (page.name, line.partition(" #")[0].strip())
    for page in PAGES
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if not language and line.startswith("babe2 ")
]


def test_there_are_commands_to_read() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_every_command_that_is_shown_is_one(page: str, line: str) -> None:
    options = build_parser().parse_args(shlex.split(line)[1:])
    if getattr(options, "set", None) and options.run.__name__ == "run_restore":
        babe2.Restorer.from_checkpoint("piano-small").method(options.method, options.preset, **settings_of(options))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_ours_that_is_named_exists(page: Path) -> None:
    for name in re.findall(r"`((?:babe2|benchmarks|docs|tests|recipes)/[\w/.-]+)`", page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


def slug(heading: str) -> str:
    """The anchor of a heading, as forges and the site make it."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_is_that_of_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text("utf-8")):
        text = (page.parent / target if target else page).read_text("utf-8")
        assert anchor in map(slug, re.findall(r"^#+ (.*)$", text, re.MULTILINE)), f"{target}#{anchor}"


def test_every_page_has_one_place_in_the_site() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    places = re.findall(r"[\w/.-]+\.md", str(nav))
    assert len(places) == len(set(places))
    pages = {path for path in PAGES if path.parent == ROOT / "docs"} | site_pages.brought()
    assert {site_pages.source(uri) for uri in places} == {path for path in pages if path.suffix == ".md"}


def test_links_out_of_the_docs_lead_to_what_is_brought_into_the_site() -> None:
    def moved(text: str, uri: str) -> str:
        return site_pages.moved(f"[a]({text})", uri).removeprefix("[a](").removesuffix(")")

    assert moved("../CONTRIBUTING.md#set-up", "api.md") == "repository/CONTRIBUTING.md#set-up"
    assert moved("docs/api.md", "index.md") == "api.md"
    assert moved("../docs/api.md", "repository/examples/README.md") == "../../api.md"
    assert moved("../README.md", "api.md") == "index.md"
    for same in ("page.md#for-programs", "https://example.org/x.md", "#here"):
        assert moved(same, "api.md") == same


def test_the_interface_names_what_there_is() -> None:
    for name in re.findall(r"^::: (.+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


@pytest.mark.parametrize("page", write_figures.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_tell_what_was_measured(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == write_figures.filled(text), "Write them again: make figures"


def test_all_figures_are_told_and_none_twice_on_a_page() -> None:
    told = [write_figures.MARKED.findall(page.read_text("utf-8")) for page in write_figures.pages()]
    names = [[name for _, name, _, _ in found] for found in told]
    assert {name for found in names for name in found} == set(write_figures.FIGURES)
    assert all(len(found) == len(set(found)) for found in names)


def test_no_kind_of_results_is_left_untold() -> None:
    told = Path(write_figures.__file__).read_text("utf-8")
    kinds = {path.stem.split("-", 3)[3] for path in write_figures.RESULTS.iterdir()}
    assert {kind for kind in kinds if f'"{kind}"' not in told and f"*-{kind}.csv" not in told} == set()


def test_the_readme_can_be_read_in_one_go() -> None:
    _, _, text = (ROOT / "README.md").read_text("utf-8").split("---\n", 2)
    assert len(text.splitlines()) <= 130
