"""What an embedding is, and how a sound of any length is cut for it."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

AT_ONCE = 16  # windows
FAINTEST = 1e-6  # deviation of a sound, as long as it is, that is none


class Embedding(Protocol):
    """Gives each window of a sound a row of numbers, or several."""

    @property
    def name(self) -> str:
        """As it is chosen."""
        ...

    @property
    def identity(self) -> str:
        """Which weights it has: rows of different ones are not to be mixed."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hz; what lies above half of it is not heard."""
        ...

    @property
    def window(self) -> int:
        """Samples that it hears at once."""
        ...

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        ...

    def __call__(self, windows: Tensor) -> Tensor:
        """The rows (B * k, D) of windows (B, window), k for each of them."""
        ...


def embedded(embedding: Embedding, blocks: Iterable[Tensor]) -> npt.NDArray[np.float32]:
    """The rows (N, D) of a sound that comes in blocks (n,) at the embedding's rate.

    A last window that is not full is left out; a sound shorter than one window is repeated until it fills it.
    """
    rows, held = [], list[Tensor]()
    with torch.inference_mode():
        for window in _windows(blocks, embedding.window, embedding.hop):
            held.append(window)
            if len(held) == AT_ONCE:
                rows.append(embedding(torch.stack(held)).float().cpu().numpy())
                held.clear()
        if held:
            rows.append(embedding(torch.stack(held)).float().cpu().numpy())
    return np.concatenate(rows)


def _windows(blocks: Iterable[Tensor], window: int, hop: int) -> Iterator[Tensor]:
    held, whole = torch.zeros(0), False
    for block in blocks:
        held = torch.cat([held, block])
        count = max(0, (len(held) - window) // hop + 1)
        yield from (held[i * hop : i * hop + window] for i in range(count))
        held, whole = held[count * hop :], whole or count > 0
    if not whole and len(held):
        yield held.repeat(-(-window // len(held)))[:window]


def found_beside(package: str, *places: str) -> Path | None:
    """A file that an installed package brings along, found without importing it; None where it is not there."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]).joinpath(*places)
    return path if path.exists() else None


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
