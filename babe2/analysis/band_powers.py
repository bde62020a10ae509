"""The power of a recording over frequency and time, in which music and noise can be told apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.dsp.bands import Bands
from babe2.dsp.spectra import bin_frequencies, decibels, power_spectra, quantiles

LONG_SECONDS, SHORT_SECONDS, SPLIT_HZ = 0.2, 0.025, 2000.0  # of frames below and above a frequency
MOMENT_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class BandPowers:
    """The power of a recording in bands of a sixth of an octave; its excerpts' DC is left out."""

    bands: Bands
    level: Tensor  # (K,) on average
    moments: Tensor  # (N, K) in every half second that is not silent, between its clicks
    fine_hertz: Tensor  # (F,)
    steady: Tensor  # (F,) in fine resolution, what is there at least half of the time

    @staticmethod
    def of(x: Tensor, sample_rate: int) -> BandPowers:
        """Those of excerpts (channels, excerpts, samples) without DC."""
        bands, cuts = Bands.below_nyquist(sample_rate), x.unbind(dim=1)
        moments = torch.cat([_moments(cut, sample_rate, bands) for cut in cuts])
        # Digital silence between pieces would make steady noise look as if it came and went with the music.
        awake = moments.sum(dim=1) > 1e-6 * moments.sum(dim=1).quantile(0.95)
        fft = power_of_two(min(1.5 * sample_rate, max(64, x.shape[-1] / 4)))
        powers = torch.cat([power for cut in cuts for power in power_spectra(cut, fft, fft // 2)])
        level = powers.mean(dim=0) @ bands.shares(sample_rate, fft // 2 + 1).float()
        steady = quantiles(powers[::2].T.contiguous(), torch.tensor([0.5]))[0]
        return BandPowers(bands, level, moments[awake], bin_frequencies(sample_rate, fft), steady)

    @property
    def floor(self) -> Tensor:
        """The power (K,) that each band holds for nine tenths of the time."""
        return self.moments.quantile(0.1, dim=0) if len(self.moments) else torch.zeros_like(self.level)

    @property
    def quietest_db(self) -> float:
        """The level of the quietest tenth of all moments, dB; -inf where all is silent."""
        powers = self.moments.sum(dim=1).sort().values
        return float(decibels(powers[: math.ceil(len(powers) / 10)].mean())) if len(powers) else -math.inf


def _moments(x: Tensor, sample_rate: int, bands: Bands) -> Tensor:
    """What each half second of x (channels, samples) holds between its clicks, (N, K)."""
    parts = []
    # Short frames see between the clicks, but only long ones tell low bands apart.
    for seconds, some in (
        (LONG_SECONDS, bands.between(0.0, SPLIT_HZ)),
        (SHORT_SECONDS, bands.between(SPLIT_HZ, math.inf)),
    ):
        fft, hop = power_of_two(seconds * sample_rate), round(seconds / 2 * sample_rate)
        shares = some.shares(sample_rate, fft // 2 + 1).float()
        powers = torch.cat([power @ shares for power in power_spectra(x, fft, hop)])
        size = min(round(2 * MOMENT_SECONDS / seconds), len(powers))
        parts.append(powers.unfold(0, size, size).kthvalue(math.ceil(0.3 * size), dim=2).values)
    count = min(map(len, parts))
    return torch.cat([part[:count] for part in parts], dim=1)


def power_of_two(length: float) -> int:
    """The largest power of two that is no more than `length`."""
    return int(2 ** math.floor(math.log2(length)))
