"""Noise schedule, guidance, steps, and the loop that is Algorithm 1 of the paper.

The prior and the degradation come in as functions and all noise as an argument, so everything here can be tried
without weights, against music whose best denoiser is known by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.config import ChurnSettings, DescentSettings, GuidedSamplerSettings, SampleSettings
from babe2.degradations.base import Degradation
from babe2.dsp.curves import Curve

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (noisy (B, T), sigma ()) -> clean (B, T)
Slope = Callable[[Tensor, Tensor], Tensor]  # (noisy, sigma) -> dx / dsigma
Noise = Callable[[torch.Size], Tensor]  # unit Gaussian noise of a shape
Constrain = Callable[[Tensor], Tensor]  # an estimate (B, T) -> the same, true to what is settled around it
Size = Callable[[Tensor], Tensor]  # a gradient (B, T) -> how large it is, () or (B, 1)
Cost = Callable[[Tensor], Tensor]  # objective minus degraded estimate (B, T) -> what following seeks to lessen ()
Last = Callable[[Tensor, Tensor], Tensor]  # (before a last step, where it arrived) -> what it makes


@dataclass(frozen=True, eq=False)
class Settled:
    """Samples that neighbouring segments have already settled."""

    audio: Tensor  # (B, T), zero elsewhere
    mask: Tensor  # (T,) or (B, T), one where settled

    def over(self, x: Tensor) -> Tensor:
        """x (B, T) with the settled samples in place."""
        return self.mask * self.audio + (1 - self.mask) * x

    @property
    def kept(self) -> Tensor:
        """The settled samples (B, T), and silence elsewhere."""
        return self.mask * self.audio

    def open(self, shortest: int) -> slice:
        """The stretch not settled yet, or everything where that is shorter than `shortest` samples."""
        places = (self.mask.reshape(-1, self.mask.shape[-1]).amin(dim=0) == 0).nonzero().flatten()
        if len(places) < shortest:
            return slice(None)
        return slice(int(places[0]), int(places[-1]) + 1)


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a run stands after a step."""

    step: int  # from 1
    sigma: float
    equalizer: Curve | None
    clean: Tensor  # (B, T) the current estimate
    distance: Callable[[], float]  # asked for only where somebody wants to know: a graphics card would have to wait

    @property
    def misfit(self) -> float:
        """Distance of the degraded estimate from the recording, relative to the recording."""
        return self.distance()


OnStep = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a run of the sampler came to."""

    audio: Tensor  # (B, T)
    equalizer: Curve
    misfit: float


def noise_schedule(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Noise levels from `sigma_max` through `sigma_min` to 0 (steps + 1,) (Eq. 16)."""
    ramp = torch.arange(steps) / (steps - 1)
    warped = sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))
    return torch.cat([warped**rho, torch.zeros(1)])


def churn_factors(sigmas: Tensor, settings: ChurnSettings) -> Tensor:
    """By how much each level is raised before its step (steps,)."""
    # The published code shares the churn among T + 1 steps, where Karras et al. count T.
    factor = min(settings.churn / len(sigmas), 2**0.5 - 1)
    stirred = (sigmas > settings.churn_min) & (sigmas < settings.churn_max)
    return torch.where(stirred, factor, 0.0)[:-1]


def heun_step(slope: Slope, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """One second-order step down in noise (Karras et al. 2022, Algorithm 2)."""
    first = slope(x, sigma)
    proposal = x + (sigma_next - sigma) * first
    return x + (sigma_next - sigma) * (first + slope(proposal, sigma_next)) / 2


def euler_step(slope: Slope, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    return x + (sigma_next - sigma) * slope(x, sigma)


def descend(
    slope: Slope,
    x: Tensor,
    sigmas: Tensor,
    settings: DescentSettings,
    noise: Noise,
    after: Callable[[int, float], None],
    last: Last = lambda before, arrived: arrived,
) -> Tensor:
    """Follows the slope from x (B, T) at `sigmas[0]` down to no noise, stirring fresh noise in on the way.

    `last` says what a last step makes of what was there before and of where it arrived.
    """
    for step, (sigma, sigma_next, churn) in enumerate(
        zip(sigmas[:-1], sigmas[1:], churn_factors(sigmas, settings), strict=True), start=1
    ):
        raised = sigma * (1 + churn)
        stirred = x + (raised**2 - sigma**2).sqrt() * settings.churn_noise * noise(x.shape)
        if sigma_next > 0:
            take = heun_step if settings.order == 2 else euler_step
            x = take(slope, stirred, raised, sigma_next)
        else:  # the slope divides by sigma: the last step stays first order
            x = last(x, euler_step(slope, stirred, raised, sigma_next))
        after(step, float(sigma))
    return x


def unit_rms(pull: Tensor) -> Tensor:
    """The root mean square of each item (B, 1), so that one strength serves every noise level and every loudness."""
    return pull.square().mean(dim=-1, keepdim=True).sqrt()


def half_squared(difference: Tensor) -> Tensor:
    """Eq. 12, halved to tidy its gradient."""
    return difference.square().sum() / 2


def guidance(misfit: Tensor, noisy: Tensor, strength: float, size: Size = unit_rms) -> Tensor:
    """The pull towards the recording (Eqs. 5 and 17), a gradient (B, T) brought to the size `strength`."""
    (pull,) = torch.autograd.grad(misfit, noisy)
    return strength * pull / (size(pull) + 1e-6)


def restore(
    prior: Denoiser,
    degradation: Degradation,
    observation: Tensor,
    settings: GuidedSamplerSettings,
    noise: Noise,
    *,
    start: Tensor | None = None,
    settled: Settled | None = None,
    heard: slice = slice(None),
    cost: Cost = half_squared,
    size: Size = unit_rms,
    last: Last = lambda before, arrived: arrived,
    on_step: OnStep | None = None,
) -> Sampled:
    """Algorithm 1: music the prior believes in that, degraded, sounds like the observation (B, T).

    The run begins at `start` (the observation itself when None). A blind `degradation` is fitted along the way, jointly
    for all items, to what is `heard` of them. `settled` samples are kept (block-autoregressive, Eq. 20).
    """
    target = observation if settled is None else settled.over(observation)
    trusted = degradation.trusted(target)
    # What is no sound cannot be compared sample by sample with what neighbours have settled: it comes behind it.
    apart = trusted.shape != target.shape
    if apart:
        heard = slice(None)
        if settled is not None:
            trusted = torch.cat([trusted, Settled(target, settled.mask).kept], dim=-1)
    misfit, clean = float("nan"), observation

    def slope(noisy: Tensor, sigma: Tensor) -> Tensor:
        nonlocal misfit, clean
        noisy = noisy.detach().requires_grad_()
        with torch.enable_grad():
            estimate = prior(noisy, sigma)
            clean = estimate.detach()
            degradation.fit(clean[:, heard], target[:, heard])
            degraded = degradation(estimate)
            if settled is not None:
                ours = Settled(estimate, settled.mask)
                degraded = torch.cat([degraded, ours.kept], dim=-1) if apart else ours.over(degraded)
            distance = (degraded.detach() - trusted)[:, heard].norm()
            misfit = float(distance / trusted[:, heard].norm().clamp(min=1e-12))
            if settings.guidance_strength == 0:
                return (noisy.detach() - clean) / sigma
            objective = trusted
            if settings.observation_noise > 0:
                objective = trusted + settings.observation_noise * noise(trusted.shape)  # section 3.3
            pull = guidance(cost(objective - degraded), noisy, settings.guidance_strength, size)
        return (noisy.detach() - clean) / sigma + pull

    def after(step: int, sigma: float) -> None:
        if on_step is not None:
            found = misfit
            on_step(Progress(step, sigma, degradation.response, clean, lambda: found))

    sigmas = noise_schedule(settings.steps, settings.sigma_min, settings.sigma_start, settings.rho)
    x = (target if start is None else start) + sigmas[0] * noise(target.shape)
    x = descend(slope, x, sigmas, settings, noise, after, last)
    return Sampled(x, degradation.response, misfit)


@torch.no_grad()
def sample(
    prior: Denoiser,
    shape: torch.Size,
    settings: SampleSettings,
    noise: Noise,
    *,
    last: Last = lambda before, arrived: arrived,
    on_step: OnStep | None = None,
) -> Tensor:
    """Music the prior believes in, from nothing (B, T)."""
    clean = torch.empty(0)

    def slope(noisy: Tensor, sigma: Tensor) -> Tensor:
        nonlocal clean
        clean = prior(noisy, sigma)
        return (noisy - clean) / sigma

    def after(step: int, sigma: float) -> None:
        if on_step is not None:
            on_step(Progress(step, sigma, None, clean, lambda: float("nan")))

    sigmas = noise_schedule(settings.steps, settings.sigma_min, settings.sigma_max, settings.rho)
    return descend(slope, sigmas[0] * noise(shape), sigmas, settings, noise, after, last)
