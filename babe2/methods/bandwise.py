"""Restoring with a prior that takes a noise level of its own in every band.

Divided by its response, a recording is the music plus the machine's noise over the response, N / H. That is a sample
of the very diffusion the prior was trained on, at a level that differs from band to band: low where the recording is
clear, beyond all bounds where its band has ended. So nothing has to be pulled towards the recording: sampling begins
at the recording's own levels, and each band waits until the sampler's level has come down to its own. This is the
closed form of consistency with the recording, and it needs no gradient through the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from babe2.analysis.chain import RecordingChain
from babe2.analysis.damage.clicks import Mender, Unclicked
from babe2.analysis.machine import find_machine
from babe2.config import SAMPLING, BandwiseArchitecture, ChurnSettings, Column, Model, setting
from babe2.degradations.base import ClosedForm
from babe2.degradations.response import NoisyColouring
from babe2.dsp.overlap_add import OverlapAdd
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.methods.base import Span, Work
from babe2.methods.heard import (
    ROUNDS,
    Changing,
    ChangingNoise,
    Heard,
    Steady,
    estimate_through,
    under_changing_noise,
)
from babe2.methods.undone import (
    MARGIN,
    UndoneMethod,
    UndoneSession,
    UndoneSettings,
    descend_without_gradient,
    noise_levels,
    segment_length,
)
from babe2.prior import BandwisePrior, Prior
from babe2.sampler import Constrain, Noise, OnStep, Sampled, churn_factors

BandwiseDenoiser = Callable[[Tensor, Tensor], Tensor]  # (noisy (B, T), level (T // 2 + 1,)) -> clean (B, T)
HighestNeeded = Callable[[Tensor], float]  # noise levels of a recording (T // 2 + 1,) -> where sampling has to begin


TELLING_DB = -20.0  # noise beside the whole recording: fainter noise does not hide its machine

RecordingsNoise = Literal["steady", "changing"]


@dataclass(frozen=True)
class BandwiseSettings(UndoneSettings, ChurnSettings):
    """By measurement; the defaults are the piano column's, the compact one has its own."""

    surface_noise: RecordingsNoise = setting(  # noqa: RUF009
        "steady",
        SAMPLING,
        "Noise of the recording",
        "steady: as strong at all times; changing: swells, crackle and clicks are followed and heard through",
    )


@torch.no_grad()
def restore_bandwise(
    prior: BandwiseDenoiser,
    degradation: ClosedForm,
    observation: Tensor,
    settings: BandwiseSettings,
    noise: Noise,
    *,
    changing: ChangingNoise | None = None,
    highest_needed: HighestNeeded = lambda level: math.inf,
    constrain: Constrain = lambda clean: clean,
    on_step: OnStep | None = None,
) -> Sampled:
    """Music (B, T) the prior believes in that is the recording wherever the recording is clear.

    `prior` takes one noise level per frequency. Sampling begins at `settings.sigma_start`, or lower where the
    recording's noise levels need less. `constrain` has the last word on every estimate: it keeps what neighbours have
    settled. Noise that changes with time has levels (B, K, frames) instead of (T // 2 + 1,).
    """
    heard = degradation.undone(observation)
    recording: Heard = Steady(heard) if changing is None else Changing(heard, changing)
    start = min(max(highest_needed(recording.level), 2 * settings.sigma_min), settings.sigma_start)
    sigmas = noise_levels(settings.steps, start, settings.sigma_min)
    churn, highest, own = churn_factors(sigmas, settings).tolist(), float(sigmas[0]), recording.level
    level = own.clamp(max=highest)

    def take(x: Tensor, step: int, sigma: float, lower: float) -> tuple[Tensor, Tensor]:
        nonlocal level
        raised = level
        if churn[step - 1] > 0:
            raised = own.minimum(level * (1 + churn[step - 1]))
            stirred = settings.churn_noise * (raised**2 - level**2).clamp(min=0).sqrt()
            x = x + recording.shaped(noise(x.shape), stirred)
        clean = constrain(prior(x, raised))
        level = own.clamp(max=lower)
        # Each frequency goes on its own straight way to the estimate.
        x = clean + recording.shaped(x - clean, level / raised)
        return recording.heard_anew(x, clean, level), clean

    x = constrain(recording.above(highest))
    x = x + recording.shaped(noise(x.shape), torch.where(own > highest, level, 0.0))
    return descend_without_gradient(x, sigmas, take, heard, degradation.response, on_step)


class Bandwise(UndoneMethod):
    """The compact network's own method."""

    name = "bandwise"
    title = "Bandwise"
    does = "a noise level for each band"
    settings_class = BandwiseSettings
    settings: BandwiseSettings

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        return {"steps": 10} if preset == "draft" else {}

    def check(self, model: Model) -> None:
        super().check(model)
        if not isinstance(model.architecture, BandwiseArchitecture):
            raise RestorationError("This checkpoint takes no noise level per band. Run it with solver = guided.")

    def measured(self, work: Work, mender: Mender) -> Tape:
        return Unclicked(work.observation, mender) if self._follows else work.observation

    def machine(self, work: Work, recording: Tape) -> tuple[RecordingChain, Tensor]:
        chain, loudness = super().machine(work, recording)
        if self._follows and work.response is None and chain.band.floor_db > TELLING_DB:
            chain = self._machine_behind(chain, loudness, work, recording)
        return chain, loudness

    def _machine_behind(self, noisy: RecordingChain, loudness: Tensor, work: Work, recording: Tape) -> RecordingChain:
        """The machine as a recording tells of it once the prior has taken its noise away."""
        level = self.settings.level / loudness
        noise = NoisyColouring(noisy.response, noisy.noise, work.sample_rate, self.settings.level)
        prior = _bandwise(work.prior)

        def estimate(x: Tensor, _: int) -> Tensor:
            work.evaluations += 1
            return estimate_through(prior, (x * level[:, None]).to(work.device), noise).cpu() / self.settings.level

        music = OverlapAdd(recording, work.span.whole, MARGIN, estimate)
        found = find_machine(music, work.sample_rate, work.known_music(), same_room=work.same_room)
        return replace(found, noise=noisy.noise, hears=noisy.hears) if found.hears else noisy

    @property
    def _follows(self) -> bool:
        return self.settings.surface_noise == "changing"

    @property
    def evaluations(self) -> int:
        return self.steps + (ROUNDS if self._follows else 0)

    def span(self, samples: int) -> Span:
        return Span(segment_length(samples, self.settings.segment_length), MARGIN)

    def sample(
        self, session: UndoneSession, observation: Tensor, *, noise: Noise, constrain: Constrain, on_step: OnStep
    ) -> Sampled:
        work, prior = session.work, _bandwise(session.work.prior)
        changing = None
        if self._follows:
            observation, changing = under_changing_noise(prior, session.degradation, observation, session.mender)
            work.evaluations += ROUNDS

        def denoise(noisy: Tensor, level: Tensor) -> Tensor:
            work.evaluations += 1
            return prior.at_levels(noisy, level)

        return restore_bandwise(
            denoise,
            session.degradation,
            observation,
            self.settings,
            noise,
            changing=changing,
            highest_needed=prior.highest_needed,
            constrain=constrain,
            on_step=on_step,
        )

    def rehearse_estimate(self, prior: Prior, noisy: Tensor, level: Tensor) -> Tensor:
        return _bandwise(prior).at_levels(noisy, level)


def _bandwise(prior: Prior) -> BandwisePrior:
    assert isinstance(prior, BandwisePrior)  # `check` refuses any other
    return prior
