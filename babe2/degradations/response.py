"""Colouring: music through the response of an old machine, known or to be found, with or without noise behind it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.config import FitSettings
from babe2.degradations.base import ClosedForm, Degradation, Undone, shaped
from babe2.dsp.curves import Curve
from babe2.dsp.spectra import amplitude, bin_frequencies
from babe2.equalizer import BandSums, EqualizerFit, apply_magnitude

QUIETEST = 5e-5  # std; the prior has learned no lower noise level
DEEPEST_DB = -100.0  # no band is raised by more


class Colouring(Degradation):
    """A response that is known, applied in overlapping frames (Eq. 6)."""

    def __init__(self, response: Curve, fft: int, sample_rate: int) -> None:
        self._response, self._fft, self._sample_rate = response, fft, sample_rate

    @property
    def response(self) -> Curve:
        return self._response

    @property
    def linear(self) -> bool:
        return True

    def __call__(self, clean: Tensor) -> Tensor:
        return apply_magnitude(self.response.magnitude(self._fft, self._sample_rate), clean)


class BlindColouring(Colouring):
    """A response that is found while the music is: the equalizer of Figure 1."""

    def __init__(self, settings: FitSettings, sample_rate: int, outer_slope_db: float | None = None) -> None:
        self._equalizer_fit = EqualizerFit(settings, sample_rate, outer_slope_db)
        super().__init__(self._equalizer_fit.equalizer, settings.filter_fft, sample_rate)

    def fit(self, clean: Tensor, observation: Tensor) -> None:
        self._response = self._equalizer_fit.update(BandSums.of(clean, observation, self._fft))


class NoisyColouring(ClosedForm):
    """A response that is known, over the whole segment at once, and stationary noise of a known spectrum behind it."""

    def __init__(self, response: Curve, noise: Curve, sample_rate: int, gain: float = 1.0) -> None:
        """`noise` is in dB, as power per sample; `gain` is what brought the recording to the observation's level."""
        self._response, self._noise, self._sample_rate, self._gain = response, noise, sample_rate, gain

    @property
    def response(self) -> Curve:
        return self._response

    def __call__(self, clean: Tensor) -> Tensor:
        return shaped(clean, self.undone(clean).magnitude)

    def noise_in(self, observation: Tensor) -> Tensor:
        """The level of the noise in a recording (B, T), at every frequency (T // 2 + 1,), as it was recorded."""
        level = amplitude(self._noise.gain_db(self._hertz(observation))) * self._gain
        return F.pad(level, (1, 0), value=QUIETEST).to(observation)

    def _hertz(self, observation: Tensor) -> Tensor:
        return torch.fft.rfftfreq(observation.shape[-1], 1 / self._sample_rate, dtype=torch.float64)[1:]

    def undone(self, observation: Tensor) -> Undone:
        hertz = self._hertz(observation)
        response = self._response.gain_db(hertz)
        level = (amplitude(self._noise.gain_db(hertz) - response) * self._gain).clamp(min=QUIETEST)
        level = torch.where(response < DEEPEST_DB, math.inf, level)
        magnitude, level = (F.pad(x, (1, 0), value=1.0).to(observation) for x in (amplitude(response), level))
        return Undone(observation, magnitude, level)


def coloured_by(audio: Tensor, sample_rate: int, response: Curve) -> Tensor:
    """audio (..., T) through a response, zero-phase: one FFT of the whole clip; nothing passes at DC."""
    length = audio.shape[-1]
    padded = (
        length + sample_rate + (length + sample_rate) % 2
    )  # a second of silence: the end must not ring into the start
    gain_db = response.gain_db(bin_frequencies(sample_rate, padded)[1:].double())
    gain = F.pad(amplitude(gain_db), (1, 0)).to(audio)
    return torch.fft.irfft(torch.fft.rfft(audio, padded) * gain, padded)[..., :length]
