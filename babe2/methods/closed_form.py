"""Restoring with any prior, and no gradient through it.

A machine treats every frequency by itself. Divided by its response, a recording is the music plus N / H, noise of a
known level at each frequency; and what the prior says of the music is off by a level that is known as well. Two such
witnesses have a best answer in closed form: their mean, each weighted by how sure it is. Taking it at every noise level
is all that following the recording needs.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from babe2.config import Settings
from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import WHITE, ReferenceLtas, at_unit_level, decibels, smooth_octaves
from babe2.methods.undone import Undone, noise_levels
from babe2.sampler import Agree, Denoiser, Noise, OnStep, Progress, Sampled


def trust(sigma: float, spread: Tensor, level: Tensor) -> Tensor:
    """How much the recording counts at each frequency (F,), from 0 to 1, against an estimate made at noise `sigma`.

    The music has a standard deviation of `spread` there, and the recording, once the machine is undone, noise of
    `level`, which is infinite where nothing was heard.
    """
    unsure = 1 / (sigma**-2 + spread**-2)  # the variance of the best estimate
    return unsure / (unsure + level**2)


def spread_of(reference: ReferenceLtas, level: float, samples: int) -> Tensor:
    """The music's standard deviation at each frequency of a segment (samples // 2 + 1,), when its own is `level`."""
    power = smooth_octaves(at_unit_level(reference.power.cpu().double()), reference.sample_rate) / WHITE
    bins = torch.fft.rfftfreq(2 * (len(power) - 1), 1 / reference.sample_rate, dtype=torch.float64)[1:]
    hertz = torch.fft.rfftfreq(samples, 1 / reference.sample_rate, dtype=torch.float64)[1:]
    found = level * 10 ** (SampledCurve(bins, decibels(power[1:])).gain_db(hertz) / 20)
    return torch.nn.functional.pad(found, (1, 0))  # music has no DC


@torch.no_grad()
def restore_closed_form(
    prior: Denoiser,
    recording: Undone,
    spread: Tensor,
    response: Curve,
    settings: Settings,
    noise: Noise,
    *,
    agree: Agree = lambda clean: clean,
    on_step: OnStep | None = None,
) -> Sampled:
    """Music (B, T) the prior believes in that is the recording wherever the recording is clear.

    `spread` is the standard deviation of music at each frequency (T // 2 + 1,). `agree` has the last word on every
    estimate (B, T): it keeps what neighbours have settled.
    """
    heard = torch.fft.rfft(recording.observation) / recording.magnitude

    def consulted(clean: Tensor, trust: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(clean)
        return agree(torch.fft.irfft(spectrum + trust * (heard - spectrum), n=clean.shape[-1]))

    sigmas = noise_levels(settings)
    clean = consulted(torch.zeros_like(recording.observation), trust(math.inf, spread, recording.level))
    x = clean + float(sigmas[0]) * noise(clean.shape)
    for step, (sigma, lower) in enumerate(pairwise(sigmas.tolist()), start=1):
        clean = consulted(prior(x, x.new_tensor(sigma)), trust(sigma, spread, recording.level))
        x = clean + (x - clean) * (lower / sigma)
        if on_step is not None:
            on_step(Progress(step, sigma, response, clean, partial(recording.misfit, clean)))
    return Sampled(x, response, recording.misfit(x))
