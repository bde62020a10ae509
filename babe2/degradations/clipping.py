"""Hard clipping: no sample goes beyond a level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.degradations.base import Samplewise
from babe2.degradations.described import Described, Place, Treats
from babe2.errors import RestorationError

SLACK = 2e-3  # of the level: so near to it a sample was clipped, as it was rounded since
RESAMPLED_SLACK = 0.05  # the same where the rate was changed, which bends the corners
SPREAD = 2  # samples on either side of a clipped one that a change of rate has spread it over


class Clipping(Samplewise):
    """Samples beyond the level are at it; of the music there nothing is known but that it was at least as loud."""

    def __init__(self, level: Tensor, *, resampled: bool = False) -> None:
        self._level, self._resampled = level, resampled  # (B, 1) or (B, T)

    def __call__(self, clean: Tensor) -> Tensor:
        return clean.clamp(-self._level, self._level)

    def clipped(self, recording: Tensor) -> Tensor:
        """Where (B, T) a recording (B, T) was clipped."""
        slack = RESAMPLED_SLACK if self._resampled else SLACK
        return recording.abs() >= (1 - slack) * self._level

    def known(self, recording: Tensor) -> Tensor:
        clipped = self.clipped(recording)
        if self._resampled:
            clipped = F.max_pool1d(clipped[:, None].float(), 2 * SPREAD + 1, 1, SPREAD)[:, 0] > 0
        return ~clipped

    def sounds(self, recording: Tensor) -> Tensor:
        return torch.ones_like(recording, dtype=torch.bool)

    def faithful(self, clean: Tensor, recording: Tensor) -> Tensor:
        sign = recording.sign()
        louder = sign * torch.maximum(sign * clean, sign * recording)
        bounded = torch.where(self.clipped(recording), louder, clean)
        return torch.where(self.known(recording), recording, bounded)


@dataclass(frozen=True)
class Clip(Described):
    """Hard clipping at a level, full scale being 1."""

    name: ClassVar[str] = "clip"
    form: ClassVar[str] = "clip:LEVEL, full scale being 1"
    level: float

    def __post_init__(self) -> None:
        if not 0 < self.level < math.inf:
            raise RestorationError(f"Nothing can be clipped at {self.level:g}. Give a level above 0; 1 is full scale.")

    @property
    def treats(self) -> Treats:
        return "samples"

    @property
    def text(self) -> str:
        return f"clip:{self.level:g}"

    def at(self, place: Place) -> Clipping:
        return Clipping(self.level * place.gain, resampled=place.resampled)
