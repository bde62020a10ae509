"""Restoring with any prior, and no gradient through it.

A machine treats every frequency by itself. Divided by its response, a recording is the music plus N / H, noise of a
known level at each frequency; and what the prior says of the music is off by a level that is known as well. Two such
witnesses have a best answer in closed form: their mean, each weighted by how sure it is. Taking it at every noise level
is all that following the recording needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from babe2.config import Column, Model
from babe2.degradations.base import ClosedForm
from babe2.dsp.curves import SampledCurve
from babe2.dsp.spectra import WHITE, ReferenceLtas, at_unit_level, decibels, smooth_octaves
from babe2.methods.base import Session, Span, Work
from babe2.methods.undone import (
    MARGIN,
    UndoneMethod,
    UndoneSession,
    UndoneSettings,
    descend_without_gradient,
    inner_length,
    noise_levels,
)
from babe2.prior import Prior
from babe2.sampler import Constrain, Denoiser, Noise, OnStep, Sampled

# By measurement (docs/solver-notes.md), the noise levels in terms of the level of the music.
STEPS, DRAFT_STEPS = 16, 8
SIGMA_START, SIGMA_MIN = 1.0, 1e-3
VOICE_COLUMN = "voice"


@dataclass(frozen=True)
class ClosedFormSettings(UndoneSettings):
    """By measurement; see `ClosedFormMethod.preset`."""


def wiener_weight(sigma: float, spread: Tensor, level: Tensor) -> Tensor:
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
    degradation: ClosedForm,
    observation: Tensor,
    spread: Tensor,
    settings: ClosedFormSettings,
    noise: Noise,
    *,
    constrain: Constrain = lambda clean: clean,
    on_step: OnStep | None = None,
) -> Sampled:
    """Music (B, T) the prior believes in that is the recording wherever the recording is clear.

    `spread` is the standard deviation of music at each frequency (T // 2 + 1,). `constrain` has the last word on every
    estimate (B, T): it keeps what neighbours have settled.
    """
    recording = degradation.undone(observation)
    heard = torch.fft.rfft(recording.observation) / recording.magnitude

    def consistent(clean: Tensor, sigma: float) -> Tensor:
        """An estimate made at noise `sigma`, weighed against the recording."""
        weight, spectrum = wiener_weight(sigma, spread, recording.level), torch.fft.rfft(clean)
        return constrain(torch.fft.irfft(spectrum + weight * (heard - spectrum), n=clean.shape[-1]))

    def take(x: Tensor, step: int, sigma: float, lower: float) -> tuple[Tensor, Tensor]:
        clean = consistent(prior(x, x.new_tensor(sigma)), sigma)
        return clean + (x - clean) * (lower / sigma), clean

    sigmas = noise_levels(settings.steps, settings.sigma_start, settings.sigma_min)
    clean = consistent(torch.zeros_like(recording.observation), math.inf)
    x = clean + float(sigmas[0]) * noise(clean.shape)
    return descend_without_gradient(x, sigmas, take, recording, degradation.response, on_step)


class ClosedFormMethod(UndoneMethod):
    """For any prior, without a gradient through it."""

    name = "closed-form"
    title = "Closed form"
    does = "weighed up at each step"
    settings_class = ClosedFormSettings
    settings: ClosedFormSettings

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        level = settings.value("level", overrides)
        steps = DRAFT_STEPS if preset == "draft" else STEPS
        return {"steps": steps, "sigma_start": SIGMA_START * level, "sigma_min": SIGMA_MIN * level}

    def span(self, samples: int) -> Span:
        # The network hears as much at once as it was trained on.
        return Span(inner_length(self.settings.segment_length), MARGIN)

    def heard(self, work: Work, segment: Tensor) -> Tensor:
        return work.prior.highpass(segment)  # below, the recording stays as it is

    def doubts(self, model: Model) -> list[str]:
        if model.column != VOICE_COLUMN:
            return []
        return [
            "How the machine coloured this recording was judged by what is known of piano music, which was not tried "
            "on voices yet. The published algorithm (solver = guided, or the preset paper) does without."
        ]

    def begin(self, work: Work) -> Session:
        return ClosedFormSession(self, work) if work.degradation is None else super().begin(work)

    def sample(
        self, session: ClosedFormSession, observation: Tensor, *, noise: Noise, constrain: Constrain, on_step: OnStep
    ) -> Sampled:
        denoise, degradation, spread = session.work.denoise, session.degradation, session.spread
        return restore_closed_form(
            denoise, degradation, observation, spread, self.settings, noise, constrain=constrain, on_step=on_step
        )

    def rehearse_estimate(self, prior: Prior, noisy: Tensor, level: Tensor) -> Tensor:
        return prior(noisy, level[0])


class ClosedFormSession(UndoneSession):
    """A recording whose machine is known, and how much music varies."""

    @cached_property
    def spread(self) -> Tensor:
        """The music's standard deviation at each frequency of a segment, which is the same for all of them."""
        return spread_of(self.work.known_music(), self.method.settings.level, self.work.span.whole).to(self.level)
