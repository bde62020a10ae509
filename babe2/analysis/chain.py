"""The recording chain that made a recording, as far as it can be told: response, noise, and the band between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.analysis.band import RecordedBand, noise_level_db
from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import amplitude

CLEAR_DB = 40.0  # how far below its highest point the response is undone when the music's level is measured


@dataclass(frozen=True, eq=False)
class RecordingChain:
    """How a recording was made: its response and its noise, as far as they can be told from it."""

    response: Curve
    noise: SampledCurve  # dB, as power per sample
    first_hz: float
    last_hz: float
    ends: bool  # whether the recorded band ends at `last_hz`; else the recording reaches up as far as its music

    uncertainty: SampledCurve | None = None  # dB: nine in ten true responses lie so near; None: nobody can say

    hears: bool = True  # whether anything is stronger than the noise
    music: SampledCurve | None = None  # dB over the reference: how bright this music is, also where none was recorded

    @property
    def band(self) -> RecordedBand:
        """The band that was recorded, as a restorer takes it to be: the one to name in reports."""
        if not self.hears:
            return RecordedBand(None, None, noise_level_db(self.noise))
        return RecordedBand(self.first_hz, self.last_hz, noise_level_db(self.noise), self.ends)

    @property
    def covering(self) -> SampledCurve:
        """The noise, dB, with what covers the music beyond the band: no less than at its ends.

        Where a coder or a denoiser left nothing, the recording does not say that there was no music.
        """
        hertz = torch.cat([self.noise.frequencies, torch.tensor([self.first_hz, self.last_hz], dtype=torch.float64)])
        hertz = hertz.sort().values
        level = self.noise.gain_db(hertz)
        low, high = self.noise.gain_db(torch.tensor([self.first_hz, self.last_hz], dtype=torch.float64))
        level = torch.where(hertz < self.first_hz, level.maximum(low), level)
        if self.ends:
            level = torch.where(hertz > self.last_hz, level.maximum(high), level)
        return SampledCurve(hertz, level)

    def inverse(self, frequencies: Tensor) -> Tensor:
        """The factor (F,) that undoes the response; zero where no music was heard or hardly any could be."""
        response = self.response.gain_db(frequencies)
        heard = (frequencies >= self.first_hz) & (frequencies <= self.last_hz)
        if not heard.any():  # a whistle or a hum
            return torch.ones_like(frequencies)
        highest = response.masked_fill(~heard, -math.inf).amax()
        return torch.where(heard & (response > highest - CLEAR_DB), amplitude(-response), 0.0)
