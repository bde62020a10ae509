"""Writes files that appear under their name whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a hidden name beside `path` to write under; at the end, that file takes the place of `path` at once."""
    new = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        yield new
        new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as new:
        new.write_text(text, "utf-8")
