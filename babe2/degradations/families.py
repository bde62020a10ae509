"""How an old machine spoils a recording: the response of horn, groove and diaphragm, and the noise behind the music.

What is done here on purpose to a good recording is what the rest of the house undoes; so it can be scored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.degradations.response import coloured_by
from babe2.dsp.curves import Curve

Range = tuple[float, float]


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


@dataclass(frozen=True)
class Aging:
    """What happens to a recording, in this order: it is coloured, then noise is added."""

    response: Curve
    noise_db: float | None = -58.0  # RMS of the white noise, relative to that of the coloured recording; None: no noise


@dataclass(frozen=True)
class ResponseFamily:
    """A range of old machines to draw from, each number uniformly. The defaults are those all scores are stated for."""

    low_hz: Range = (90.0, 180.0)
    high_hz: Range = (2700.0, 3500.0)
    order: Range = (4.0, 8.0)
    slope_db: float = 8.0
    bumps: int = 3
    bump_hz: Range = (250.0, 2600.0)  # evenly over the octaves between them
    bump_db: Range = (4.0, 10.0)
    upward: float = 2 / 3  # the share of bumps that are resonances; the others are dips
    bump_octaves: Range = (0.15, 0.45)
    noise_db: float = -58.0

    def draw(self, generator: torch.Generator) -> Aging:
        """One machine; the same for the same state of the generator."""
        response = HornResponse(
            low_hz=_uniform(self.low_hz, generator),
            high_hz=_uniform(self.high_hz, generator),
            order=_uniform(self.order, generator),
            slope_db=self.slope_db,
            bumps=tuple(self._bump(generator) for _ in range(self.bumps)),
        )
        return Aging(response, self.noise_db)

    def _bump(self, generator: torch.Generator) -> Bump:
        lowest, highest = self.bump_hz
        centre = 2 ** _uniform((math.log2(lowest), math.log2(highest)), generator)
        height = _uniform(self.bump_db, generator)
        up = _uniform((0.0, 1.0), generator) < self.upward
        return Bump(centre, height if up else -height, _uniform(self.bump_octaves, generator))


def _uniform(between: Range, generator: torch.Generator) -> float:
    low, high = between
    drawn = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
    return low + (high - low) * float(drawn)


def degrade(audio: Tensor, sample_rate: int, aging: Aging, generator: torch.Generator) -> Tensor:
    """audio (T,) or (C, T) as the machine would have recorded it, in the same shape; one response for all channels.

    The noise is drawn from `generator`, on the audio's device.
    """
    coloured = coloured_by(audio, sample_rate, aging.response)
    if aging.noise_db is None:
        return coloured
    level = coloured.square().mean().sqrt() * 10 ** (aging.noise_db / 20)
    noise = torch.randn(coloured.shape, generator=generator, dtype=coloured.dtype, device=coloured.device)
    return coloured + level * noise
