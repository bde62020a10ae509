"""LTAS-EQ: matching a recording's long-term average spectrum to that of the music a prior knows (section 3.4).

Stockham's method of 1975, here the baseline, the place to begin from, and by default what the sampler follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.config import LtasSettings
from babe2.dsp.curves import SampledCurve
from babe2.dsp.spectra import Equalised, amplitude, at_unit_level, bin_frequencies, decibels, ltas, smooth_octaves
from babe2.dsp.tape import Tape, deviation
from babe2.errors import RestorationError
from babe2.methods.base import Filtered, Method, Work


def ltas_response(
    observation: Tape, reference: Tensor, sample_rate: int, fft: int, floor_db: float, std: Tensor | None = None
) -> Tensor:
    """What a recording (C, T) lacks against the reference spectrum, per FFT bin (fft / 2 + 1,) in dB (Eq. 9).

    Both spectra are smoothed by a third of an octave; no bin is said to lack more than `floor_db`, below zero.
    """
    # The recording is measured at unit level, as the music of the reference was brought to its own; the published
    # window is half the FFT where the paper has all of it, and the ratio is that of amplitudes.
    std = deviation(observation, together=True) if std is None else std
    power = ltas(observation, fft, fft // 2, fft // 4)
    heard = smooth_octaves(power / std.to(power).square(), sample_rate)
    known = smooth_octaves(reference.to(heard), sample_rate)
    return (decibels(heard) - decibels(known)).clamp(min=floor_db)


def ltas_equalise(
    observation: Tape, response_db: Tensor, std: Tensor | None = None, *, as_is: bool = False
) -> tuple[Tape, float]:
    """The recording (C, T) through the inverse of its response (F,), at its own level (Eq. 10).

    Also returns the gain in dB that kept the level: by so much less than its response the recording was changed. The
    published program lets the last samples, of one length in thirty, end in a burst; `as_is` keeps that.
    """
    beyond = 0 if as_is else 1
    fft = 2 * (len(response_db) - 1)
    factor = amplitude(-response_db)
    changed = deviation(Equalised(observation, factor, fft, fft // 2, fft // 4, beyond), together=True)
    std = deviation(observation, together=True) if std is None else std
    gain = std / changed.clamp(min=torch.finfo(changed.dtype).tiny)
    kept_db = 20 * math.log10(float(gain.clamp(min=1e-30)))
    return Equalised(observation, factor * gain.to(factor), fft, fft // 2, fft // 4, beyond), kept_db


@dataclass(frozen=True)
class LtasEqSettings(LtasSettings):
    """The published ones; the resolution follows the checkpoint's average spectrum."""


class LtasEq(Method):
    """The recording through a filter that gives it the average spectrum of the music the prior knows."""

    name = "ltas-eq"
    title = "LTAS-EQ"
    does = "a filter, nothing is imagined"
    settings_class = LtasEqSettings
    takes_response = False
    settings: LtasEqSettings

    @classmethod
    def as_in(cls, preset: str) -> type[Method]:
        return PublishedLtasEq if preset == "paper" else cls

    def begin(self, work: Work) -> Filtered:
        return equalised(work, self.settings)


class PublishedLtasEq(LtasEq):
    """The same as the published program does it."""

    folds = True

    def begin(self, work: Work) -> Filtered:
        return equalised(work, self.settings, as_is=True)


def equalised(work: Work, settings: LtasSettings, *, as_is: bool = False) -> Filtered:
    """The recording (C, T) with its long-term average spectrum matched to the prior's.

    The published program takes the reference `as_is`, and so measures its floor from the level of the training data.
    """
    if work.reference is None:
        raise RestorationError("This checkpoint holds no average spectrum to match. Run it with ltas = off.")
    reference, rate, fft = work.reference.power, work.sample_rate, settings.ltas_fft
    if len(reference) != fft // 2 + 1:
        raise RestorationError(f"This checkpoint's average spectrum needs ltas_fft = {2 * (len(reference) - 1)}.")
    if not as_is:
        reference = at_unit_level(reference)
    std = deviation(work.observation, together=True)  # of all channels, measured once for both
    response_db = ltas_response(work.observation, reference, rate, fft, settings.ltas_floor_db, std)
    tape, kept_db = ltas_equalise(work.observation, response_db, std, as_is=as_is)
    return Filtered(tape, SampledCurve(bin_frequencies(rate, fft)[1:], response_db[1:].cpu() - kept_db))
