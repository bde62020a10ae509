"""The response of an old recording machine: a band with two edges, and resonances between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.curves import Curve


@dataclass(frozen=True)
class Bump:
    """A resonance of the horn, or where upside down a dip: a Gaussian over log-frequency."""

    centre_hz: float
    height_db: float
    octaves: float  # standard deviation


@dataclass(frozen=True)
class HornResponse(Curve):
    """The response of an acoustic recording machine: a band with two edges, and resonances between them.

    The upper edge falls as a Butterworth low pass of `order`, -10 log10(1 + (f / high)^(2 order)) dB, and by
    `slope_db` per octave more: at order 4 by 32 dB/octave, at order 8 by 56. The lower edge is a Butterworth high pass
    of second order, 12 dB/octave. An edge that is None does not exist.
    """

    low_hz: float | None = None  # 3 dB down
    high_hz: float | None = None  # 3 dB down
    order: float = 6.0  # of the upper edge
    slope_db: float = 8.0  # per octave above the upper edge, besides that of its order
    bumps: tuple[Bump, ...] = ()

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        gain = torch.zeros_like(frequencies)
        if self.low_hz is not None:
            gain = gain - _edge_db(torch.log2(self.low_hz / frequencies), order=2)
        if self.high_hz is not None:
            octaves = torch.log2(frequencies / self.high_hz)
            gain = gain - _edge_db(octaves, self.order) - self.slope_db * octaves.clamp(min=0)
        for bump in self.bumps:
            away = torch.log2(frequencies / bump.centre_hz) / bump.octaves
            gain = gain + bump.height_db * torch.exp(-away.square() / 2)
        return gain


def _edge_db(octaves: Tensor, order: float) -> Tensor:
    """What a Butterworth filter takes off so many octaves beyond its edge, dB."""
    # log(1 + e^x) in place of a power that would overflow far beyond the edge.
    return 10 / math.log(10) * F.softplus(2 * order * math.log(2) * octaves, threshold=50)
