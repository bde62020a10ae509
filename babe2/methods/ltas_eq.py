"""LTAS-EQ: matching a recording's long-term average spectrum to that of the music a prior knows (section 3.4).

Stockham's method of 1975, here the baseline, the place to begin from, and by default what the sampler follows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from babe2.dsp.spectra import Equalised, amplitude, decibels, ltas, smooth_octaves
from babe2.dsp.tape import Tape, deviation


def ltas_response(observation: Tape, reference: Tensor, sample_rate: int, fft: int, floor_db: float) -> Tensor:
    """What a recording (C, T) lacks against the reference spectrum, per FFT bin (fft / 2 + 1,) in dB (Eq. 9).

    Both spectra are smoothed by a third of an octave; no bin is said to lack more than `floor_db`, below zero.
    """
    # The recording is measured at unit level, as the music of the reference was brought to its own; the published
    # window is half the FFT where the paper has all of it, and the ratio is that of amplitudes.
    power = ltas(observation, fft, fft // 2, fft // 4)
    heard = smooth_octaves(power / deviation(observation, together=True).to(power).square(), sample_rate)
    known = smooth_octaves(reference.to(heard), sample_rate)
    return (decibels(heard) - decibels(known)).clamp(min=floor_db)


def ltas_equalise(observation: Tape, response_db: Tensor) -> tuple[Tape, float]:
    """The recording (C, T) through the inverse of its response (F,), at its own level (Eq. 10).

    Also returns the gain in dB that kept the level: by so much less than its response the recording was changed.
    """
    fft = 2 * (len(response_db) - 1)
    factor = amplitude(-response_db)
    changed = deviation(Equalised(observation, factor, fft, fft // 2, fft // 4), together=True)
    gain = deviation(observation, together=True) / changed.clamp(min=torch.finfo(changed.dtype).tiny)
    kept_db = 20 * math.log10(float(gain.clamp(min=1e-30)))
    return Equalised(observation, factor * gain.to(factor), fft, fft // 2, fft // 4), kept_db
