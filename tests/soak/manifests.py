"""Manifests that are broken or mean harm, read by `babe2 checkpoints show`."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

from my_piano import ADDRESS, REPOSITORY, manifest_entry

from soak.children import Try, main, tried

SOURCES = (REPOSITORY, ADDRESS, "bundled: a-folder")
ODD = (
    *(
        "!!bool x",
        "!!int ''",
        "!!timestamp x",
        "!!float x",
        "!!null x",
        "!!binary '==='",
        "!!set {a, b}",
        "!!omap [a: b]",
    ),
    *(
        "0x" + "f" * 50_000,
        "9:59:59:59",
        "9" + ":59" * 10_000,
        "9" * 5_000,
        "-1",
        "1e999",
        ".nan",
        ".inf",
        "0o17",
        "1_000",
    ),
    *(
        "~",
        "null",
        "yes",
        "",
        "''",
        "[]",
        "{}",
        "[[[[x]]]]",
        "{a: {b: c}}",
        "&a [*a]",
        "*nothing",
        "&x y",
        "<<",
        "!x y",
    ),
    *(
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "2026-01-01",
        "2026-13-41",
        "'\\0'",
        "\0",
        "\x85",
    ),
    *(
        '"\\e[2J"',
        '"\\uD800"',
        "x" * 40_000,
        "|\n   a\n   b",
        ">\n a",
        "- a",
        "? a",
        "http://h:99999999/x",
        "http://[::1/x",
        "../x",
    ),
    *("a" * 40, "0" * 64, "%", "@", "`", "\t", "{", "[", '"', "'", "#"),
)


def run(count: int, seed: int) -> dict[str, int]:
    """How so many manifests were taken, by outcome."""

    def make(i: int, folder: Path) -> Try:
        chance = random.Random(f"{seed} {i}")
        content = chance.choice(KINDS)(chance)
        (folder / "manifest.yaml").write_bytes(content)
        return Try(["checkpoints", "list", "--manifest", str(folder / "manifest.yaml"), "--json"])

    return tried(make, count)


def _entries(chance: random.Random, most: int = 5) -> str:
    return "".join(manifest_entry(*SOURCES, name=f"mine-{i}") for i in range(chance.randint(1, most)))


def an_odd_value(chance: random.Random) -> bytes:
    lines = _entries(chance).splitlines()
    for _ in range(chance.randint(1, 3)):
        i = chance.randrange(len(lines))
        lines[i] = lines[i].split(": ")[0] + ": " + chance.choice(ODD)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damaged_bytes(chance: random.Random) -> bytes:
    content = bytearray(_entries(chance).encode())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def damaged_letters(chance: random.Random) -> bytes:
    letters = list(_entries(chance))
    for _ in range(chance.randint(1, 20)):
        letters[chance.randrange(len(letters))] = chance.choice(":-[]{}&*!|>'\"%@`#?,\n\t \\<~0")
    return "".join(letters).encode()


def cut(chance: random.Random) -> bytes:
    content = _entries(chance).encode()
    return content[: chance.randrange(len(content))]


def lines_that_moved(chance: random.Random) -> bytes:
    lines = _entries(chance).splitlines()
    for _ in range(chance.randint(1, 6)):
        line = lines.pop(chance.randrange(len(lines)))
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(("", " ", "  ")) + line)
    return "\n".join(lines).encode()


def nested(chance: random.Random) -> bytes:
    depth = chance.choice((10, 100, 900, 1100, 10_000, 60_000))
    opened, closed = chance.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")))
    return ("a: " + opened * depth + "x" + closed * depth).encode()


def many(chance: random.Random) -> bytes:
    count = chance.choice((10, 1_000, 5_000, 60_000))
    each = chance.choice(("k{}: 1\n", "k{}: {{}}\n", "k: 1\n", "k{}: &a{} x\n", "k{}: [x]\n"))
    return "".join(each.format(i, i) for i in range(count)).encode()


def a_bomb(chance: random.Random) -> bytes:
    width, storeys = chance.randint(2, 9), chance.randint(5, 60)
    lines = ["b0: &b0 [x]"] + [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * width)}]" for i in range(1, storeys)]
    merged = ["b0: &b0 {x: 1}"] + [
        f"b{i}: &b{i} {{<<: [*b{i - 1}, *b{i - 1}], y: *b{i - 1}}}" for i in range(1, storeys)
    ]
    last = f"{_entries(chance, 1)}  more: *b{storeys - 1}\n"
    return ("\n".join(chance.choice((lines, merged))) + "\n" + last).encode()


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *(an_odd_value,) * 6,
    *(damaged_bytes, damaged_letters) * 2,
    *(cut, lines_that_moved, nested, many, a_bomb),
)

if __name__ == "__main__":
    main(run, *sys.argv[1:])
