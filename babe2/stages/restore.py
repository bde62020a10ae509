"""Restoring as a stage: what `Restorer.restore` does, by any method."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from torch import Tensor

from babe2.config import DEFAULT_CHECKPOINT
from babe2.recordings.recorded import Audio
from babe2.restorer import Restorer
from babe2.stages.base import Report


def restore(
    audio: npt.ArrayLike | Tensor, sample_rate: int, *, checkpoint: str | Restorer = DEFAULT_CHECKPOINT, **wishes: Any
) -> tuple[Audio, Report]:
    """The restored sound and its report; `wishes` are those of `Restorer.restore`.

    A `checkpoint` may be loaded already.
    """
    restorer = checkpoint if isinstance(checkpoint, Restorer) else Restorer.from_checkpoint(checkpoint)
    restoration = restorer.restore(audio, sample_rate, **wishes)
    return restoration.audio, restoration.report
