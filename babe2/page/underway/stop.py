"""A cancel flag that reaches a run in another process, too: a file whose removal is the wish to stop."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stop:
    """Says, when called, whether a run shall stop. It goes on while its file is there, or to the end of a `with`."""

    going: Path

    @classmethod
    def new(cls) -> Stop:
        """A flag of its own, nothing asked yet."""
        handle, name = tempfile.mkstemp(prefix="babe2-going-")
        os.close(handle)
        return cls(Path(name))

    def ask(self) -> None:
        """Asks the run to stop; asking twice does no harm."""
        self.going.unlink(missing_ok=True)

    def __call__(self) -> bool:
        return not self.going.exists()

    def __enter__(self) -> Stop:
        return self

    def __exit__(self, *_: object) -> None:
        self.ask()
