"""Checkpoints that are broken or mean harm, taken by `babe2 checkpoints convert`: .pt, .safetensors and config.json."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import random
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from soak.children import Try, main, tried

REFERENCE = Path(__file__).parents[1] / "reference"
PUBLISHED = REFERENCE / "babe2" / "small_ckpt_original_format.pt"
SMALL = REFERENCE / "small_checkpoint"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**63,
        2**70,
        0.5,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\0",
        "\ud800",
        "9" * 5000,
    ),
    *([], {}, [[]], [None], [1.5], [-1], [8] * 10_000, [2**40] * 3, {"a": {"b": 1}}, ["8", "8"], [True, False]),
)


def run(count: int, seed: int) -> dict[str, int]:
    """How so many checkpoints were taken, by outcome."""

    def make(i: int, folder: Path) -> Try:
        chance = random.Random(f"{seed} {i}")
        spec = chance.choice(KINDS)(chance, folder)
        output = folder / "out"
        return Try(["checkpoints", "convert", str(spec), "-o", str(output)], output)

    return tried(make, count)


def _damaged(content: bytes, chance: random.Random) -> bytes:
    """With some bytes changed, cut off, put in, repeated or zeroed."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at, length = chance.randrange(len(damaged) + 1), chance.choice((1, 1, 2, 8, 100))
        match chance.randrange(6):
            case 0:
                damaged[at : at + 1] = chance.randbytes(1)
            case 1:
                damaged[at : at + length] = chance.randbytes(length)
            case 2:
                del damaged[at : at + length]
            case 3:
                damaged[at:at] = damaged[at : at + length] * chance.randint(1, 5)
            case 4:
                damaged[at : at + length] = bytes(length)
            case 5 if chance.random() < 0.2:
                del damaged[at:]
    return bytes(damaged)


# .pt


@cache
def _parts() -> dict[str, bytes]:
    with zipfile.ZipFile(PUBLISHED) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _of_parts(path: Path, parts: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _with_pickle(path: Path, instructions: bytes) -> Path:
    return _of_parts(
        path, {name: instructions if name.endswith("data.pkl") else part for name, part in _parts().items()}
    )


def _instructions() -> bytes:
    return next(part for name, part in _parts().items() if name.endswith("data.pkl"))


@cache
def _pieces() -> list[bytes]:
    """The published pickle, instruction by instruction."""
    content = _instructions()
    starts = [position for _, _, position in pickletools.genops(content)] + [len(content)]
    return [content[start:end] for start, end in pairwise(starts)]


def a_damaged_file(chance: random.Random, folder: Path) -> Path:
    (folder / "it.pt").write_bytes(_damaged(PUBLISHED.read_bytes(), chance))
    return folder / "it.pt"


def a_damaged_directory(chance: random.Random, folder: Path) -> Path:
    """The zip's directory stands at the end."""
    content = PUBLISHED.read_bytes()
    at = content.index(b"PK\x01\x02")
    (folder / "it.pt").write_bytes(content[:at] + _damaged(content[at:], chance))
    return folder / "it.pt"


def a_damaged_pickle(chance: random.Random, folder: Path) -> Path:
    return _with_pickle(folder / "it.pt", _damaged(_instructions(), chance))


def shuffled_instructions(chance: random.Random, folder: Path) -> Path:
    pieces = list(_pieces())
    for _ in range(chance.choice((1, 2, 5, 50))):
        at, length = chance.randrange(len(pieces)), chance.choice((1, 1, 3, 30))
        taken = pieces[at : at + length]
        match chance.randrange(4):
            case 0:
                del pieces[at : at + length]
            case 1:
                pieces[at:at] = taken
            case 2:
                pieces[at : at + length] = chance.choices(_pieces(), k=length)
            case 3:
                pieces[at:at] = [chance.choice(FURTHER)]
    return _with_pickle(folder / "it.pt", b"".join(pieces))


FURTHER = (
    *(
        b")",
        b"]",
        b"}",
        b"(",
        b"N",
        b"\x85",
        b"\x86",
        b"\x87",
        b"t",
        b"R",
        b"b",
        b"s",
        b"u",
        b"a",
        b"e",
        b"0",
        b"2",
        b".",
    ),
    *(
        b"\x81",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x93",
        b"Q",
        b"K\x00",
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"\x8a\x08" + b"\xff" * 8,
    ),
    *(
        b"\x8b\xff\xff\xff\x7f",
        b"X\xff\xff\xff\xff",
        b"U\x03abc",
        b"G\x7f\xf8\0\0\0\0\0\0",
        b"h\x00",
        b"j\xff\xff\xff\xff",
        b"q\x00",
    ),
    *(
        b"cbuiltins\ngetattr\n",
        b"cos\nsystem\n",
        b"ccollections\nOrderedDict\n",
        b"c__builtin__\nlist\n",
        b"c__builtin__\nlong\n",
    ),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"comegaconf.dictconfig\nDictConfig\n"),
)


def random_instructions(chance: random.Random, folder: Path) -> Path:
    pieces = chance.choices((*FURTHER, *_pieces()[:200]), k=chance.choice((3, 30, 300, 3000)))
    return _with_pickle(folder / "it.pt", b"\x80\x02" + b"".join(pieces) + b".")


def a_tower(chance: random.Random, folder: Path) -> Path:
    """Something simple, far too often."""
    n = chance.choice((10, 100, 1_000, 30_000, 200_000, 2_000_000))
    long_number = pickle.encode_long((2**61 - 1) * chance.randrange(1, 1000))
    keys = b"".join(
        b"\x8a" + bytes([len(long_number)]) + pickle.encode_long((2**61 - 1) * i) + b"N"
        for i in range(1, min(n, 30_000))
    )
    deep = chance.choice(
        (b")" + b"\x85" * n, b"]" * n + b"a" * (n - 1), b"}" * 1 + b"N}" * 1 + b"s", b"N" + b"\x85" * n)
    )
    body = chance.choice(
        (
            deep,
            b"}" + deep + b"Ns",
            b"}X\x04\x00\x00\x00args" + deep + b"s",
            b"}X\x03\x00\x00\x00ema" + deep + b"s",
            b"}(" + keys + b"u",
            b"ccollections\nOrderedDict\n](" + deep + b"N\x86e\x85R",
            b"c__builtin__\nlist\nq\x00](" + b"N" * n + b"eq\x01](" + b"h\x00h\x01\x85R" * min(n, 50_000) + b"e",
            b"}(" + b"X\x01\x00\x00\x00aN" * n + b"u",
            b"(" + b"K\x01" * n + b"t",
            b"ccollections\nOrderedDict\n)R}" + deep + b"Nsb",
        )
    )
    return _with_pickle(folder / "it.pt", b"\x80\x02" + body + b".")


def an_odd_zip(chance: random.Random, folder: Path) -> Path:
    parts = dict(_parts())
    names = list(parts)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(names)
        odd = chance.choice(
            (name.upper(), "../" + name, "/" + name, name.replace("archive", "other"), name + "\0", "a" * 5000)
        )
        content = parts.pop(name, b"")
        if chance.random() < 0.7:
            parts[chance.choice((odd, name))] = chance.choice((content, b"", content * 2, bytes(100_000)))
    return _of_parts(folder / "it.pt", parts, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def something_else(chance: random.Random, folder: Path) -> Path:
    path = folder / chance.choice(("it.pt", "it.safetensors", "it.ckpt"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    kinds = (
        b"",
        b"PK",
        b"\x80\x02}.",
        pickle.dumps({"ema": {}}),
        chance.randbytes(1000),
        bytes(10**6),
        packed.getvalue(),
    )
    path.write_bytes(chance.choice(kinds))
    return path


# Our own format


def _ours(folder: Path) -> Path:
    shutil.copytree(SMALL, folder / "it")
    return folder / "it"


def damaged_weights(chance: random.Random, folder: Path) -> Path:
    weights = _ours(folder) / WEIGHTS
    weights.write_bytes(_damaged(weights.read_bytes(), chance))
    return folder / "it"


def a_damaged_header(chance: random.Random, folder: Path) -> Path:
    weights = _ours(folder) / WEIGHTS
    content = weights.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length]
    if chance.random() < 0.5:
        described = json.loads(header)
        _oddly_changed(described, chance)
        header = json.dumps(described).encode("utf-8", "surrogatepass")
    else:
        header = _damaged(header, chance)
    said = len(header) if chance.random() < 0.8 else chance.choice((0, 1, length + 1, 2**63, 2**64 - 1))
    weights.write_bytes(struct.pack("<Q", said) + header + content[8 + length :])
    return folder / "it"


def a_damaged_configuration(chance: random.Random, folder: Path) -> Path:
    config = _ours(folder) / CONFIG
    config.write_bytes(_damaged(config.read_bytes(), chance))
    return folder / "it"


def an_odd_configuration(chance: random.Random, folder: Path) -> Path:
    config = _ours(folder) / CONFIG
    described = json.loads(config.read_text("utf-8"))
    for _ in range(chance.randint(1, 3)):
        _oddly_changed(described, chance)
    text = json.dumps(described)
    if chance.random() < 0.1:
        text = '{"a": ' * 100_000 + text
    config.write_bytes(text.encode("utf-8", "surrogatepass"))
    return folder / "it"


def _oddly_changed(described: Any, chance: random.Random) -> None:
    """One value somewhere inside is replaced, removed or joined by another."""
    inside = described
    while True:
        key = chance.choice(list(inside)) if isinstance(inside, dict) else chance.randrange(len(inside))
        deeper = inside[key]
        if not (isinstance(deeper, dict | list) and deeper and chance.random() < 0.8):
            break
        inside = deeper
    if chance.random() < 0.2 and len(inside) > 1:
        del inside[key]
    else:
        inside[key] = chance.choice(ODD)


KINDS: tuple[Callable[[random.Random, Path], Path], ...] = (
    a_damaged_file,
    a_damaged_directory,
    *(a_damaged_pickle, shuffled_instructions, random_instructions, a_tower) * 2,
    an_odd_zip,
    something_else,
    damaged_weights,
    *(a_damaged_header, an_odd_configuration) * 2,
    a_damaged_configuration,
)

if __name__ == "__main__":
    main(run, *sys.argv[1:])
