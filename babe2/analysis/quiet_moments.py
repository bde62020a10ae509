"""How loud the noise of a recording is, as its quietest and its loudest moments tell (published 78-rpm denoiser).

A moment is as long as `MOMENT` samples at the rate of the published network, 0.19 s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOMENT, MOMENT_RATE = 8192, 44100  # samples, and at how many a second
FAINTEST, FAINTEST_FLOOR = 1e-15, 1e-12  # powers below which a floor counts as that
WIDEST_DB, NARROWEST_DB = 43.0, 3.0  # of a range of ratios
NOISE_ALONE = 0.01  # so much of the noise's power the music of a stretch has at least, -20 dB


@dataclass(frozen=True)
class Moments:
    """The mean powers of the quietest and of the loudest moment of each channel."""

    quietest: tuple[float, ...]
    loudest: tuple[float, ...]

    def scaled(self, gain: Tensor) -> Moments:
        """The same of a recording whose channels are multiplied by a gain (C,)."""
        squares = [float(value) ** 2 for value in gain]
        return Moments(*(tuple(p * g for p, g in zip(each, squares, strict=True)) for each in self._both))

    @property
    def _both(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.quietest, self.loudest


def moment(sample_rate: int) -> int:
    """How many samples a moment has at a rate."""
    return round(MOMENT * sample_rate / MOMENT_RATE)


def powers(x: Tensor, window: int) -> Tensor:
    """The mean power (C, T - window + 1) of each stretch of `window` samples of x (C, T), in float64."""
    return _means(x.double().square(), min(window, x.shape[-1]))


def moments(blocks: Iterable[Tensor], window: int, *, silence_counts: bool = False) -> Moments:
    """The moments of a recording that comes in blocks (C, n); digital silence is none unless `silence_counts`.

    Where next to all is silent, the quietest moment has no power.
    """
    held, quietest, loudest = torch.empty(0), torch.empty(0), torch.empty(0)
    for block in blocks:
        held = torch.cat([held, block.cpu()], dim=-1) if held.numel() else block.cpu()
        if held.shape[-1] < window:
            continue
        low, high = _extremes(held, window, silence_counts)
        quietest = torch.minimum(quietest, low) if quietest.numel() else low
        loudest = torch.maximum(loudest, high) if loudest.numel() else high
        held = held[:, held.shape[-1] - window + 1 :]
    if not quietest.numel():  # shorter than a moment
        quietest, loudest = _extremes(held, held.shape[-1], silence_counts)
    return Moments(tuple(quietest.nan_to_num(posinf=0.0).tolist()), tuple(loudest.tolist()))


def _extremes(x: Tensor, window: int, silence_counts: bool) -> tuple[Tensor, Tensor]:
    power = powers(x, window)
    loudest = power.amax(dim=-1)
    if silence_counts:
        return power.amin(dim=-1), loudest
    heard = _means((x != 0).double(), window)
    return torch.where(heard > 0.5, power / heard.clamp(min=0.5), math.inf).amin(dim=-1), loudest


def _means(x: Tensor, window: int) -> Tensor:
    sums = F.pad(x.cumsum(dim=-1), (1, 0))
    return ((sums[..., window:] - sums[..., :-window]) / window).clamp(min=0)


def range_of_ratios(loudest_here: float, quietest: float, loudest: float) -> tuple[float, float]:
    """Between which dB the music of a stretch lies over the noise, by the powers of moments of it and of the whole.

    As published, but where a stretch is no louder than noise is.
    """
    music = max(loudest_here - quietest, NOISE_ALONE * quietest, FAINTEST)
    lowest = 10 * math.log10(music / max(quietest, FAINTEST))
    return lowest, lowest + range_width(quietest, loudest)


def range_width(quietest: float, loudest: float) -> float:
    """How wide that range is, in dB: less where the recording goes further down to its noise."""
    fall = 10 * math.log10(max(quietest, FAINTEST_FLOOR) / max(loudest, FAINTEST_FLOOR))
    return WIDEST_DB + max(NARROWEST_DB - WIDEST_DB, fall)
