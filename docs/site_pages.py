"""Brings into the site what the pages of docs/ link to elsewhere: README.md is its first page, all else lies below
repository/. MkDocs calls these functions (mkdocs.yml); the links themselves stay as they are where the source is read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(?=\))")
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # of README.md, for a Space; of model cards, for the Hub
CARDS, RECIPES = sorted(ROOT.glob("babe2/bundled/*/README.md")), sorted(ROOT.glob("recipes/*/README.md"))
HOME = {"README.md": "index.md"}


def place(path: Path) -> str:
    """Where a file of the repository lies in the site."""
    within = path.relative_to(ROOT).as_posix()
    return HOME.get(within) or (within.removeprefix("docs/") if within.startswith("docs/") else f"repository/{within}")


def source(uri: str) -> Path:
    """Which file of the repository lies there."""
    if uri in HOME.values():
        return ROOT / next(path for path, at in HOME.items() if at == uri)
    return ROOT / uri.removeprefix("repository/") if uri.startswith("repository/") else ROOT / "docs" / uri


def linked(page: Path) -> Iterator[Path]:
    """The files that a page links to."""
    for _, target, _ in LINK.findall(page.read_text("utf-8")):
        found = (page.parent / target).resolve()
        if found.is_file() and found.is_relative_to(ROOT):
            yield found


def brought() -> set[Path]:
    """All files outside docs/ that pages of the site lead to."""
    found: set[Path] = set()
    waiting = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *CARDS, *RECIPES]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        if not page.is_relative_to(ROOT / "docs"):
            found.add(page)
        if page.suffix == ".md":
            waiting += [path for path in linked(page) if not path.is_relative_to(ROOT / "docs")]
    return found


def moved(text: str, uri: str) -> str:
    """A page's text with its links as they lead in the site."""
    page = source(uri)

    def to(found: re.Match[str]) -> str:
        begin, target, anchor = found.groups(default="")
        path = (page.parent / target).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            return found[0]
        return begin + posixpath.relpath(place(path), posixpath.dirname(uri)) + anchor

    return LINK.sub(to, text)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for path in sorted(brought()):
        content = path.read_bytes()
        if path.suffix == ".md":
            content = FRONT_MATTER.sub("", content.decode("utf-8")).encode("utf-8")
        files.append(File.generated(config, place(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return moved(markdown, page.file.src_uri)
