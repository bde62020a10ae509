"""How high a recording swings between its samples: true peak after ITU-R BS.1770-4, Annex 2."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLED_RATE, MOST_TIMES = 192_000, 4  # Hz; the standard asks for four times of 48 kHz, and less of higher rates
TAPS = 48  # of the windowed sinc; with the standard's twelve a tone near the band's end reads a little too low
BETA = 8.0


class TruePeak:
    """Follows the true peak of audio that comes block by block; before and behind it lies silence.

    >>> peak = TruePeak(1, 48_000)
    >>> peak.add(torch.tensor([[0.0, 0.5, 0.0]]))
    >>> round(peak.value(), 3)
    0.5
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        times = min(MOST_TIMES, max(1, -(-OVERSAMPLED_RATE // sample_rate)))
        self._weights = _between(times)
        self._held = torch.zeros(channels, TAPS // 2 - 1)
        self._peak = 0.0

    def add(self, block: Tensor) -> None:
        """Hears a block (channels, n)."""
        self._held = torch.cat([self._held, block.cpu().float()], dim=1)
        if self._held.shape[1] >= TAPS:
            self._peak = max(self._peak, self._highest(self._held))
            self._held = self._held[:, -(TAPS - 1) :]

    def value(self) -> float:
        """The highest so far, full scale 1."""
        return max(self._peak, self._highest(F.pad(self._held, (0, TAPS // 2))))

    def _highest(self, x: Tensor) -> float:
        return float(F.conv1d(x[:, None], self._weights).abs().max()) if x.shape[1] >= TAPS else 0.0


def _between(times: int) -> Tensor:
    """The weights (times, 1, TAPS) of the samples around a place, for each of `times` places from one to the next."""
    behind = torch.arange(times, dtype=torch.float64)[:, None] / times
    away = torch.arange(TAPS, dtype=torch.float64) - (TAPS // 2 - 1) - behind
    window = torch.special.i0(BETA * (1 - (2 * away / TAPS).square()).clamp(min=0).sqrt())
    weights = torch.sinc(away) * window / torch.special.i0(torch.tensor(BETA, dtype=torch.float64))
    return weights.float()[:, None]


def true_peak_db(peak: float) -> float:
    """A peak in dBTP; of silence -inf."""
    return 20 * math.log10(peak) if peak > 0 else -math.inf
