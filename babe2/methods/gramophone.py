"""The 78-rpm diffusion denoiser (Miranda, after Moliner's CQTdiff): a prior, pulled towards recording minus noise.

Noise is drawn from a bank at every evaluation and added to the estimate; what the sum lacks to be the recording pulls
the next estimate. Its level is given or measured, and so is the strength of the pull.

What is as published, and is otherwise in `followed`:

1. The recording is taken for half of music and noise (`Halved`), so the result is twice as loud as the music in it.
2. The measured gain is halved with it, so only half of the noise is accounted for.
3. It is sampled from noise alone, in 279 evaluations, with the recording as loud as it happens to be.
4. The gradient is cut off after its size was measured: where it is cut off, the pull is weaker.
5. What keeps its size from being zero stands beside that size times the noise level, so the pull fades at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NoReturn, Self

import torch
from torch import Tensor

from babe2.analysis.quiet_moments import powers, range_of_ratios
from babe2.config import GuidedSamplerSettings
from babe2.degradations.base import Degradation
from babe2.degradations.noise_bank import AddedNoise, Draw
from babe2.degradations.surface import uniform
from babe2.errors import RestorationError
from babe2.sampler import Denoiser, Noise, OnStep, Progress, descend, noise_schedule, restore

PUBLISHED = GuidedSamplerSettings(
    steps=140, sigma_start=10.0, sigma_min=1e-6, rho=13.0, churn=5.0, guidance_strength=0.35, observation_noise=0.0
)
STEEPEST = 1.0  # of a gradient, as published
WEAKEST = 0.35  # pull that is measured
# From how many dB of music over noise on which pull, as published; None: there is none.
STRENGTHS = ((0, 0.15), (2, 0.2), (4, 0.25), (6, 0.3), (8, 0.35), (15, 1.4), (25, 2.45), (35, 3.5), (45, None))


# How loud the noise is


@dataclass(frozen=True)
class NoiseLevel:
    """By what the noise's level is known: its gain, or how far the music lies over it; measured where not given."""

    by: Literal["gain", "snr"] = "gain"
    given: tuple[float, ...] = ()  # a root mean square, full scale being 1; or dB, from and to

    @classmethod
    def of(cls, text: str) -> Self:
        """From words: gain, snr, gain=RMS, snr=DB or snr=FROM..TO."""
        by, _, said = text.strip().partition("=")
        try:
            given = tuple(float(number) for number in said.split("..")) if said else ()
        except ValueError:
            _refuse_level(text)
        if by == "gain" and (not given or (len(given) == 1 and 0 < given[0] < math.inf)):
            return cls("gain", given)
        if by == "snr" and len(given) <= 2 and list(given) == sorted(given) and all(abs(db) <= 120 for db in given):
            return cls("snr", (given * 2)[:2])
        _refuse_level(text)

    def gain(self, quietest: float, scale: float = 1.0) -> float:
        """The root mean square of the noise in a recording that was multiplied by `scale`."""
        return scale * self.given[0] if self.given else math.sqrt(quietest)

    def in_stretch(
        self, observation: Tensor, quietest: float, loudest: float, window: int, scale: float = 1.0
    ) -> StretchNoise:
        """The noise in a stretch (1, T) of a recording, of whose moments of `window` samples the powers are known."""
        if self.by == "gain":
            return StretchNoise(gain=self.gain(quietest, scale))
        if self.given:
            return StretchNoise(ratios=(self.given[0], self.given[1]))
        here = float(powers(observation, window).max())
        return StretchNoise(ratios=range_of_ratios(here, quietest, loudest))


@dataclass(frozen=True)
class StretchNoise:
    """How loud the noise in a stretch is: one of both is known."""

    gain: float | None = None  # root mean square
    ratios: tuple[float, float] | None = None  # of music to noise, dB

    def added(self, draw: Draw, generator: torch.Generator) -> AddedNoise:
        """What it does to music."""
        if self.gain is not None:
            return AddedNoise(draw, gain=torch.tensor([[self.gain]]))
        assert self.ratios is not None
        low, high = self.ratios
        return AddedNoise(draw, snr_db=lambda: low + (high - low) * uniform(generator))


def _refuse_level(text: str) -> NoReturn:
    raise RestorationError(
        f"A level of noise is not {text!r:.80}. Write gain or snr, which measure it, or gain=0.01 (1 is full scale), "
        "snr=20 or snr=5..30 (dB)."
    )


# How strong the pull is


@dataclass(frozen=True)
class Pull:
    """By what the pull's strength is known."""

    by: Literal["floor", "range", "given"] = "floor"
    strength: float = 0.0

    @classmethod
    def of(cls, text: str) -> Self:
        """From words: auto, range, snr=DB or a number."""
        said = text.strip()
        if said in ("auto", "range"):
            return cls("floor" if said == "auto" else "range")
        try:
            if said.startswith("snr="):
                return cls("given", strength_of_ratio(float(said.removeprefix("snr="))))
            if 0 <= float(said) < math.inf:
                return cls("given", float(said))
        except ValueError:
            pass
        raise RestorationError(
            f"A pull is not {text!r:.80}. Write auto, which measures it, range, snr=12 (dB), or a number such as 0.35."
        )

    def in_stretch(self, noise: StretchNoise, floor: float) -> float:
        """The strength for a stretch with such noise, the recording's being of the power `floor`, as published."""
        if self.by == "range" and noise.ratios is not None:
            return strength_of_range(noise.ratios[0])
        return self.strength if self.by == "given" else strength_of_floor(floor)


def strength_of_ratio(snr_db: float) -> float:
    """The published strength for music that lies so many dB over the noise, as a person has judged it."""
    strength = next((strength for db, strength in reversed(STRENGTHS) if snr_db >= db), None)
    if strength is None:
        raise RestorationError(
            f"There is no published pull for music {snr_db:g} dB over its noise. Give between {STRENGTHS[0][0]} and "
            f"{STRENGTHS[-1][0]} dB, or the pull itself, such as 0.35."
        )
    return strength


def strength_of_floor(floor: float) -> float:
    """The published strength for a noise of such a power."""
    return max(WEAKEST, -1.0245766357 * math.log10(max(floor, 1e-15)) - 4.0884532164)


def strength_of_range(lowest_db: float) -> float:
    """The published strength for music that lies at least so far over the noise."""
    return max(WEAKEST, 0.105 * lowest_db - 0.7)


# Sampling


class Halved(Degradation):
    """Half of what another degradation makes, as published."""

    def __init__(self, whole: Degradation) -> None:
        self._whole = whole

    def __call__(self, clean: Tensor) -> Tensor:
        return self._whole(clean) / 2


def as_published(
    prior: Denoiser,
    degradation: Degradation,
    observation: Tensor,
    settings: GuidedSamplerSettings,
    noise: Noise,
    on_step: OnStep | None = None,
) -> Tensor:
    """Music (B, T) of which, degraded, the observation (B, T) would have come, by the published sampler."""
    clean, distance = observation, math.nan

    def slope(noisy: Tensor, sigma: Tensor) -> Tensor:
        nonlocal clean, distance
        noisy = noisy.detach().requires_grad_()
        with torch.enable_grad():
            estimate = prior(noisy, sigma)
            misfit = (observation - degradation(estimate)).norm()
            (pull,) = torch.autograd.grad(misfit, noisy)
        clean, distance = estimate.detach(), float(misfit.detach())
        size = pull.norm() / pull.shape[-1] ** 0.5 * sigma + 1e-6
        return (noisy.detach() - clean) / sigma + settings.guidance_strength * sigma * pull.clamp(
            -STEEPEST, STEEPEST
        ) / size

    def after(step: int, sigma: float) -> None:
        if on_step is not None:
            found = distance / max(float(observation.norm()), 1e-12)
            on_step(Progress(step, sigma, None, clean, lambda: found))

    sigmas = noise_schedule(settings.steps, settings.sigma_min, settings.sigma_start, settings.rho).to(observation)
    return descend(slope, sigmas[0] * noise(observation.shape), sigmas, settings, noise, after)


def followed(
    prior: Denoiser,
    degradation: Degradation,
    observation: Tensor,
    settings: GuidedSamplerSettings,
    noise: Noise,
    on_step: OnStep | None = None,
) -> Tensor:
    """The same with its defects mended: it begins from the recording, at the level that the prior knows."""
    return restore(prior, degradation, observation, settings, noise, on_step=on_step).audio.detach()
