"""Damages files as disks, networks and people do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random


def flipped(raw: bytes, chance: Random) -> bytes:
    """Flips one bit, or a few."""
    damaged = bytearray(raw)
    for _ in range(chance.choice((1, 1, 3, 20))):
        damaged[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def head_flipped(raw: bytes, chance: Random) -> bytes:
    """Changes a few bytes among the first hundred."""
    return changed(raw[:100], chance) + raw[100:]


def changed(raw: bytes, chance: Random) -> bytes:
    """Changes a few bytes."""
    damaged = bytearray(raw)
    for _ in range(chance.choice((1, 2, 5))):
        damaged[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(damaged)


def cut(raw: bytes, chance: Random) -> bytes:
    """Ends the file early: anywhere, near its beginning, or just before its end."""
    return raw[: chance.choice((chance.randrange(len(raw)), chance.randrange(64), len(raw) - 1 - chance.randrange(64)))]


def zeroed(raw: bytes, chance: Random) -> bytes:
    """Fills a block with zeros, as a disk does that never wrote it."""
    start, size = chance.randrange(len(raw)), chance.choice((1, 64, 512, 4096, len(raw)))
    end = min(start + size, len(raw))
    return raw[:start] + bytes(end - start) + raw[end:]


def scrambled(raw: bytes, chance: Random) -> bytes:
    """Fills a block with noise."""
    start, size = chance.randrange(len(raw)), chance.choice((16, 512, 4096))
    end = min(start + size, len(raw))
    return raw[:start] + chance.randbytes(end - start) + raw[end:]


def lost(raw: bytes, chance: Random) -> bytes:
    """Leaves a block out."""
    start = chance.randrange(len(raw))
    return raw[:start] + raw[start + chance.choice((1, 7, 512, 4096)) :]


def doubled(raw: bytes, chance: Random) -> bytes:
    """Has a block twice."""
    start = chance.randrange(len(raw))
    return raw[:start] + raw[start : start + 512] + raw[start:]


DAMAGES: dict[str, Callable[[bytes, Random], bytes]] = {
    damage.__name__: damage for damage in (flipped, head_flipped, changed, cut, zeroed, scrambled, lost, doubled)
}
