"""Files that stand under their name whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write under; what is written there takes its place at once."""
    new = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        yield new
        new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as new:
        new.write_text(text, "utf-8")
