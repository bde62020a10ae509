"""A wish to stop that reaches a run in whichever process it is."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stop:
    """Called, it says whether a run shall stop. It goes on while a file is there, at most to the end of a `with`."""

    going: Path

    @classmethod
    def new(cls) -> Stop:
        handle, name = tempfile.mkstemp(prefix="babe2-going-")
        os.close(handle)
        return cls(Path(name))

    def ask(self) -> None:
        self.going.unlink(missing_ok=True)

    def __call__(self) -> bool:
        return not self.going.exists()

    def __enter__(self) -> Stop:
        return self

    def __exit__(self, *_: object) -> None:
        self.ask()
