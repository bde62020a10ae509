"""What a run reports on its way: to whoever watches, to log.jsonl and, where it is installed, to TensorBoard."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)

LOG = "log.jsonl"


@dataclass(frozen=True)
class Progress:
    """Where a run is, and its means since the last report."""

    iteration: int
    iterations: int
    loss: float  # what is minimised
    error: float  # the same without a learned weight
    levels: tuple[float | None, ...]  # error by noise level, lowest first; None where no example fell
    octaves: tuple[float, ...]  # by octave, lowest first; for the compact network only
    gradient_norm: float
    slowing: float  # factor of the learning rates in the decay at the end
    items_per_second: float
    hours_heard: float  # of audio, since the run began
    seconds: float  # since the run began
    seconds_left: float
    skipped_steps: int  # since the run began
    validation: float | None = None  # error on held-out examples


class ProgressLog:
    """Appends each report to log.jsonl in a run's folder, and to TensorBoard's file where tensorboard is installed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self._writer = summary_writer(folder)

    def write(self, progress: Progress) -> None:
        """Adds one line, which is valid JSON whatever the numbers: one that is not finite is null."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(asdict(progress)), allow_nan=False) + "\n")
        if self._writer:
            for name, value in scalars(progress).items():
                self._writer.add_scalar(name, value, progress.iteration)
            self._writer.flush()  # a run that is killed has told all it knew

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def summary_writer(folder: Path) -> SummaryWriter | None:
    """Returns TensorBoard's writer, or None where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.debug("tensorboard is not installed: the run is told in %s only", LOG)
        return None
    return SummaryWriter(str(folder))


def finite(value: Any) -> Any:
    """Returns a value for JSON with None in place of every number that JSON does not know: infinity and NaN."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scalars(progress: Progress) -> dict[str, float]:
    """Returns the numbers of a report by the names under which TensorBoard draws their curves."""
    found = {
        "loss": progress.loss,
        "error": progress.error,
        "gradient_norm": progress.gradient_norm,
        "slowing": progress.slowing,
        "items_per_second": progress.items_per_second,
        "skipped_steps": float(progress.skipped_steps),
    }
    found |= {f"level/{i}": value for i, value in enumerate(progress.levels) if value is not None}
    found |= {f"octave/{i}": value for i, value in enumerate(progress.octaves)}
    return found if progress.validation is None else found | {"validation": progress.validation}
