"""What a stage is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt
from torch import Tensor

from babe2.recordings.recorded import Audio

Report = dict[str, Any]  # what was done, JSON-able


class Stage(Protocol):
    """A step of a chain, as a function."""

    def __call__(self, audio: npt.ArrayLike | Tensor, sample_rate: int, **settings: Any) -> tuple[Audio, Report]:
        """`audio` (samples,) or (channels, samples) -> (channels, samples) of exactly the same length, and a report."""
