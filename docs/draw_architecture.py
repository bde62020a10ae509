"""Draws the rooms of babe2 and who imports whom: architecture.svg and the table of architecture.md.

Both come from the code itself:

    python docs/draw_architecture.py

A room is a folder of babe2/; the modules beside the folders are grouped into rooms here. An arrow says that some module
of one room imports one of another, at its top or inside a function. A room's floor is the longest way down from it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "babe2"
PICTURE, PAGE = ROOT / "docs" / "architecture.svg", ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by draw_architecture.py -->", "<!-- drawn until here -->"

# The modules beside the folders, and what they are together.
SHELF = {
    "front": (
        "The front door: a recording in, its restoration out.",
        ("restorer", "restoration", "provenance", "run", "estimate"),
    ),
    "paper": ("The paper's method: the loop (Algorithm 1) and the prior.", ("sampler", "prior")),
    "equalizer": ("The paper's equalizer (Figure 1) and its fit.", ("equalizer",)),
    "network": ("The paper's network and the transform that it lives in.", ("network", "cqt", "convolution")),
    "audio": ("Sound files: read and written.", ("audio",)),
    "ground": (
        "What every room may use: settings, errors, wording, the computer (device, threads, memory).",
        ("config", "errors", "extras", "process", "replacing", "version", "wording"),
    ),
}
PUBLIC, APP, COMMANDS = "babe2", "app", "commands"  # the public names; app.py; the command line


@dataclass(frozen=True)
class Import:
    """An import of one of our modules by another."""

    importer: str
    imported: str
    path: Path
    line: int


def modules() -> dict[str, Path]:
    """The files of all modules, app.py among them, by dotted name."""
    found = {APP: ROOT / "app.py"}
    for path in sorted(SOURCE.rglob("*.py")):
        found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


@cache
def imports() -> tuple[Import, ...]:
    """All imports of our modules by our modules, also those inside functions."""
    known = modules()
    return tuple(
        Import(importer, imported, path, node.lineno)
        for importer, path in known.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in _imported(node, known)
    )


def _imported(node: ast.Import | ast.ImportFrom, known: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            if (name := inner if inner in known else node.module) in known:
                yield name
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)


def room_of(module: str) -> str:
    """The room that a module belongs to."""
    _, *inside = module.split(".")
    if not inside:
        return module
    if inside[0] == "__main__":
        return COMMANDS
    return next((room for room, (_, names) in SHELF.items() if inside[0] in names), inside[0])


def rooms() -> dict[str, str]:
    """All rooms, each with its one line."""
    lines = {room: line for room, (line, _) in SHELF.items()}
    lines |= {APP: "The page's layout, labels and wiring.", PUBLIC: "The public names."}
    for folder in sorted(path.parent for path in SOURCE.glob("*/__init__.py")):
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
        assert said, f"{folder.name}/__init__.py does not say in its docstring what the room is."
        lines[folder.name] = " ".join(said.split("\n\n")[0].split())
    return lines


def inside(room: str) -> list[str]:
    """The modules of a room, by their last name; a folder's own `__init__` is not told."""
    names = {name: path for name, path in modules().items() if room_of(name) == room}
    return [path.stem for name, path in names.items() if path.stem not in ("__init__", "__main__") or name == PUBLIC]


def arrows() -> dict[str, set[str]]:
    """For each room the others that it imports from."""
    found: dict[str, set[str]] = {room: set() for room in rooms()}
    for one in imports():
        if room_of(one.importer) != room_of(one.imported):
            found[room_of(one.importer)].add(room_of(one.imported))
    return found


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
    """How high each room lies: 0 where it imports from no other one. There must be no circle."""
    found: dict[str, int] = {}
    while missing := {room: below for room, below in arrows.items() if room not in found}:
        laid = {room for room, below in missing.items() if below <= found.keys()}
        if not laid:
            raise ValueError(f"These import one another in a circle: {' -> '.join(_circle(missing))}.")
        found |= {room: 1 + max((found[one] for one in arrows[room]), default=-1) for room in laid}
    return found


def _circle(arrows: dict[str, set[str]]) -> list[str]:
    """One circle of those arrows; from every room at least one of them leads to another of these rooms."""
    path = [min(arrows)]
    while path.count(path[-1]) < 2:
        path.append(min(arrows[path[-1]] & arrows.keys()))
    return path[path.index(path[-1]) :]


def reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no chain of other arrows implies: enough to see who rests on whom."""
    floors(arrows)  # says where there is a circle, in which the following would not end

    def below(room: str) -> set[str]:
        return arrows[room].union(*map(below, arrows[room]))

    return {room: direct - set().union(*map(below, direct)) for room, direct in arrows.items()}


# The picture

WIDTH, BOX, GAP, LINE, FLOOR_GAP, MARGIN = 1240, 250, 24, 15, 54, 24  # pixels
LETTERS = 35  # in a line of a box
STYLE = """
  text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #292524; }
  .room { font-size: 15px; font-weight: 600; }
  .modules { font-size: 11.5px; fill: #57534e; }
  .box { fill: #fafaf9; stroke: #a8a29e; }
  .arrow { fill: none; stroke: #b45309; stroke-opacity: 0.55; stroke-width: 1.5; }
"""


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    height: float


def wrapped(words: Iterable[str]) -> list[str]:
    """Words in lines that fit into a box."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 1 > LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def placed(arrows: dict[str, set[str]]) -> tuple[dict[str, Box], float]:
    """Where each room's box stands, floor under floor, and the height of the picture."""
    levels = floors(arrows)
    boxes: dict[str, Box] = {}
    y = float(MARGIN)
    for level in sorted(set(levels.values()), reverse=True):
        row = [room for room in arrows if levels[room] == level]
        row.sort(key=lambda room: (_middle_above(room, arrows, boxes), room))
        heights = {room: 34 + LINE * len(wrapped(inside(room))) for room in row}
        left = (WIDTH - len(row) * BOX - (len(row) - 1) * GAP) / 2
        for i, room in enumerate(row):
            boxes[room] = Box(left + i * (BOX + GAP), y, heights[room])
        y += max(heights.values()) + FLOOR_GAP
    return boxes, y - FLOOR_GAP + MARGIN


def _middle_above(room: str, arrows: dict[str, set[str]], boxes: dict[str, Box]) -> float:
    """The middle of the rooms above that rest on this one."""
    above = [box.x for name, box in boxes.items() if room in arrows[name]]
    return sum(above) / len(above) if above else WIDTH / 2


def picture() -> str:
    """The drawing, as SVG."""
    drawn = reduced(arrows())
    boxes, height = placed(arrows())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        'aria-label="The rooms of babe2 and which of them import from which">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#b45309"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for room, below in drawn.items():
        parts += [_arrow(boxes, room, one, drawn) for one in sorted(below)]
    for room, box in boxes.items():
        parts.append(
            f'<rect class="box" x="{box.x:.0f}" y="{box.y:.0f}" width="{BOX}" height="{box.height:.0f}" rx="6"/>'
            f'<text class="room" x="{box.x + 12:.0f}" y="{box.y + 21:.0f}">{escape(room)}</text>'
        )
        for i, line in enumerate(wrapped(inside(room))):
            at = f'x="{box.x + 12:.0f}" y="{box.y + 39 + LINE * i:.0f}"'
            parts.append(f'<text class="modules" {at}>{escape(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _arrow(boxes: dict[str, Box], upper: str, lower: str, drawn: dict[str, set[str]]) -> str:
    """A curve from the bottom of one box to the top of another; arrows at one box keep apart."""

    def port(room: str, partners: list[str], partner: str) -> float:
        partners.sort(key=lambda name: (boxes[name].x, name))
        return boxes[room].x + BOX * (partners.index(partner) + 1) / (len(partners) + 1)

    start = port(upper, list(drawn[upper]), lower), boxes[upper].y + boxes[upper].height
    end = port(lower, [room for room, below in drawn.items() if lower in below], upper), boxes[lower].y
    bend = (end[1] - start[1]) / 2
    return (
        f'<path class="arrow" marker-end="url(#tip)" d="M{start[0]:.0f} {start[1]:.0f} C{start[0]:.0f} '
        f'{start[1] + bend:.0f} {end[0]:.0f} {end[1] - bend:.0f} {end[0]:.0f} {end[1]:.0f}"/>'
    )


# The table


def table() -> str:
    """The rooms from the top floor down, in Markdown."""
    below, lines = arrows(), rooms()
    levels = floors(below)
    rows = ["| floor | room | what it is | imports from |", "| --- | --- | --- | --- |"]
    for room in sorted(lines, key=lambda room: (-levels[room], room)):
        uses = ", ".join(sorted(below[room], key=lambda one: (-levels[one], one))) or "-"
        rows.append(f"| {levels[room]} | `{room}` | {lines[room]} | {uses} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """architecture.md with its table as it is today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
