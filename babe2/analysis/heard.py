"""Music and noise in a recording, told apart by what moves and what stays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.spectra import (
    _EDGE,
    BANDS_PER_OCTAVE,
    band_centres,
    band_weights,
    bin_frequencies,
    decibels,
    power_spectra,
)

_INAUDIBLE_DB = -60.0  # a band this far below the loudest one adds little


def mean_products(x: Tensor) -> Tensor:
    """Every two channels of (channels, excerpts, samples), multiplied and averaged (channels, channels).

    In blocks: no product as long as the recording is written down, and no sum runs for long in float32.
    """
    blocks = x.flatten(1).split(2**16, dim=1)
    return torch.stack([(block @ block.T).double() for block in blocks]).sum(dim=0) / x[0].numel()


# Music and noise, told apart by what moves and what stays


@dataclass(frozen=True, eq=False)
class BandPowers:
    """The power of a recording over frequency and time; its excerpts' DC is left out."""

    centres: Tensor  # (bands,) Hz
    level: Tensor  # (bands,) on average
    spells: Tensor  # (spells, bands) in every half second that is not silent
    steady_hz: Tensor  # (F,)
    steady: Tensor  # (F,) in fine resolution, what is there at least half of the time

    @property
    def floor(self) -> Tensor:
        """The power (bands,) that each band holds for nine tenths of the time."""
        return self.spells.quantile(0.1, dim=0) if len(self.spells) else torch.zeros_like(self.level)

    @property
    def quietest_db(self) -> float:
        """The level of the quietest tenth of all spells."""
        powers = self.spells.sum(dim=1).sort().values
        return _decibels(powers[: math.ceil(len(powers) / 10)].mean()) if len(powers) else -math.inf

    def band(self) -> tuple[float | None, float | None]:
        """The lowest and the highest frequency at which music stands out from the noise, Hz."""
        if not len(self.spells):
            return None, None
        loud, quiet = decibels(self.spells.quantile(0.9, dim=0)), decibels(self.floor)
        # In a narrow band noise comes and goes, too: on white noise by 9 dB at 28 Hz, 5 at 100, 2 at 1000.
        moves = loud - quiet > 6 + 8 / (0.035 * self.centres).sqrt()
        carries = (moves | self._holds_tones()) & (loud > loud.max() + _INAUDIBLE_DB)
        if not carries.any():
            return None, None
        places = carries.nonzero().flatten().numpy()
        # A gap of up to an octave is the music's own; what lies beyond a wider one is a whistle or a rumble.
        groups = np.split(places, np.flatnonzero(np.diff(places) > BANDS_PER_OCTAVE) + 1)
        loudest = int(torch.where(carries, loud, -math.inf).argmax())
        (group,) = (group for group in groups if loudest in group)
        low, high = self.centres[group[0]] / _EDGE, self.centres[group[-1]] * _EDGE
        return round(float(low), 1), round(float(high), 1)

    def _holds_tones(self) -> Tensor:
        """Which bands (bands,) hold a steady tone: music that does not move, an organ's, say."""
        tones = self.steady_hz[_prominence_db(self.steady) > 15]
        if hum := self.hum():
            order = tones / hum["frequency_hz"]
            tones = tones[((order - order.round()).abs() > 0.05) | (order > 10)]
        return ((tones[:, None] > self.centres / _EDGE) & (tones[:, None] < self.centres * _EDGE)).any(dim=0)

    def hum(self) -> dict[str, float] | None:
        """Of the mains: where its tone stands out, or two of the next three do, for most of the time."""
        prominence = _prominence_db(self.steady)
        for mains in (50.0, 60.0):
            # A turntable or a tape off speed by a percent takes the hum along.
            near = [(self.steady_hz - k * mains).abs() <= 0.01 * k * mains for k in range(1, 5)]
            heights = [float(prominence[there].max()) if there.any() else 0.0 for there in near]
            if heights[0] > 10 or sum(height > 10 for height in heights) >= 2:
                return {"frequency_hz": mains, "prominence_db": round(max(heights), 1)}
        return None


def hear(x: Tensor, sample_rate: int) -> BandPowers:
    """From excerpts (channels, excerpts, samples) without DC."""
    centres, cuts = band_centres(sample_rate), x.unbind(dim=1)
    spells = torch.cat([_spells(cut, sample_rate, centres) for cut in cuts])
    # Digital silence between pieces would make steady noise look as if it came and went with the music.
    awake = spells.sum(dim=1) > 1e-6 * spells.sum(dim=1).quantile(0.95)
    fft = _power_of_two(min(1.5 * sample_rate, max(64, x.shape[-1] / 4)))
    powers = torch.cat([power for cut in cuts for power in power_spectra(cut, fft, fft // 2)])
    level = powers.mean(dim=0) @ band_weights(sample_rate, fft // 2 + 1, centres).float()
    steady = powers[::2].median(dim=0).values
    return BandPowers(centres, level, spells[awake], bin_frequencies(sample_rate, fft), steady)


def _spells(x: Tensor, sample_rate: int, centres: Tensor) -> Tensor:
    """What each half second of x (channels, samples) holds between its clicks, (spells, bands)."""
    parts = []
    # Short frames see between the clicks, but only long ones tell low bands apart.
    for frame_seconds, bands in ((0.2, centres[centres < 2000]), (0.025, centres[centres >= 2000])):
        fft, size = _power_of_two(frame_seconds * sample_rate), round(1 / frame_seconds)
        weights = band_weights(sample_rate, fft // 2 + 1, bands).float()
        frames = torch.cat([power @ weights for power in power_spectra(x, fft, round(frame_seconds / 2 * sample_rate))])
        size = min(size, len(frames))
        parts.append(frames.unfold(0, size, size).kthvalue(math.ceil(0.3 * size), dim=2).values)
    count = min(map(len, parts))
    return torch.cat([part[:count] for part in parts], dim=1)


def _prominence_db(power: Tensor) -> Tensor:
    """By how much each bin of a fine spectrum (F,) rises above its surroundings on both sides."""
    tiny = 1e-8 * float(power.sum()) + 1e-30  # what is weaker by 80 dB than the whole stands out for nobody
    around = F.avg_pool1d(power[None], 8, stride=1)[0]  # around[k] covers the bins k to k + 7
    sides = torch.maximum(around[:-17], around[17:])  # of the bin k + 12, at a distance of 5 to 12
    return F.pad(decibels((power[12:-12] + tiny) / (sides + tiny)), (12, 12))


def _power_of_two(length: float) -> int:
    return int(2 ** math.floor(math.log2(length)))


def _decibels(power: Tensor) -> float:
    return float(decibels(power))
