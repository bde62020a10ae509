"""A recording as the bandwise sampler hears it: music under noise whose level stays, or changes with time.

Noise that changes has a level of its own in each bin and frame of the prior's transform, and the prior is told it
there; its clicks are samples that are missing. Both are in one posterior with the response that is undone: where and
when the noise is loud, the prior knows more of the music than the recording does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from babe2.analysis.changing_noise import Parts, averaged, follow
from babe2.analysis.damage.clicks import Mender
from babe2.degradations.base import Undone, shaped
from babe2.degradations.response import QUIETEST, NoisyColouring
from babe2.prior import BandwisePrior

ROUNDS = 1  # of asking the prior what of a recording is noise
SOFTEST = 0.01  # by no less a machine's response is divided where noise is looked for: 40 dB


class Heard(Protocol):
    """What the sampler asks of a recording."""

    level: Tensor  # of its noise, at every frequency or in each bin and frame, once the machine is undone

    def shaped(self, x: Tensor, gain: Tensor) -> Tensor:
        """x (B, T) times a gain wherever there is a level."""

    def above(self, quietest: float) -> Tensor:
        """The music (B, T) wherever the noise level is no higher than `quietest`."""

    def heard_anew(self, x: Tensor, clean: Tensor, level: Tensor) -> Tensor:
        """The sampler's state x (B, T) at a `level`, with what an estimate says of samples that are missing."""


class Steady:
    """A recording under noise that stays."""

    def __init__(self, undone: Undone) -> None:
        self._undone, self.level = undone, undone.level

    def shaped(self, x: Tensor, gain: Tensor) -> Tensor:
        return shaped(x, gain)

    def above(self, quietest: float) -> Tensor:
        return self._undone.above(quietest)

    def heard_anew(self, x: Tensor, clean: Tensor, level: Tensor) -> Tensor:
        return x


@dataclass(frozen=True, eq=False)
class ChangingNoise:
    """Noise that changes, over one recording of a machine."""

    level: Tensor  # (B, K, frames) once the machine is undone; infinite where nothing was heard
    missing: Tensor  # (B, T) where clicks were
    shaped: Callable[[Tensor, Tensor], Tensor]  # x (B, T) and a gain (B, K, frames)


class Changing:
    """A recording under noise that changes."""

    def __init__(self, undone: Undone, noise: ChangingNoise) -> None:
        self._magnitude, self._missing, self._filled = undone.magnitude, noise.missing, undone.observation
        self._inverse = torch.where(undone.level < math.inf, 1 / undone.magnitude, 0.0)
        self.level, self.shaped = noise.level, noise.shaped

    def above(self, quietest: float) -> Tensor:
        return self.shaped(shaped(self._filled, self._inverse), (self.level <= quietest).to(self._filled))

    def heard_anew(self, x: Tensor, clean: Tensor, level: Tensor) -> Tensor:
        if not self._missing.any():
            return x
        change = (shaped(clean, self._magnitude) - self._filled) * self._missing
        self._filled = self._filled + change
        # As much of the recording is left in the state as of its noise.
        return x + self.shaped(shaped(change, self._inverse), level / self.level)


def under_changing_noise(
    prior: BandwisePrior, degradation: NoisyColouring, observation: Tensor, mender: Mender
) -> tuple[Tensor, ChangingNoise]:
    """A recording (B, T) with its clicks filled for the time being, and what is known of the noise on it."""
    mended = mender.without_clicks(observation.cpu())  # Apple's cards know no float64
    filled, missing = mended.sound.to(observation), mended.marked.to(observation.device)
    undone = degradation.undone(filled)
    soft = undone.magnitude.clamp(min=SOFTEST)
    between = prior.in_bins(degradation.noise_in(filled) / soft)
    followed = noise_level(prior, shaped(filled, 1 / soft), between)
    louder = torch.where(undone.level < math.inf, soft / undone.magnitude, math.inf)
    level = (followed * prior.in_bins(louder)[:, None]).clamp(min=QUIETEST)
    return filled, ChangingNoise(level, missing, prior.shaped)


def noise_level(prior: BandwisePrior, noisy: Tensor, level: Tensor) -> Tensor:
    """The level (B, K, frames) of noise on music (B, T) that is of a `level` (K,) between its bursts."""

    def parted(power: Tensor) -> Parts:
        clean = prior(noisy, power.sqrt())
        return Parts(prior.transform.power(noisy - clean), prior.transform.power(clean))

    least = QUIETEST**2
    found = follow(
        level.square().clamp(min=least), prior.transform.power(noisy), prior.transform.numbers, parted, ROUNDS
    )
    return found.clamp(min=least).sqrt()


@torch.no_grad()
def estimate_through(prior: BandwisePrior, noisy: Tensor, noise: NoisyColouring) -> Tensor:
    """The music (B, T) in a recording, as its machine left it."""
    level = prior.in_bins(noise.noise_in(noisy))
    below = noisy - prior.highpass(noisy)  # of which the prior knows nothing
    return prior(noisy, noise_level(prior, noisy, level)) + below


def bank_spectrum(prior: BandwisePrior, excerpts: Sequence[Tensor]) -> Tensor:
    """The level (K,) between its bursts of such noise as a bank's excerpts (T,) at the prior's rate, of unit RMS."""
    found = []
    for excerpt in excerpts:
        whole = excerpt.repeat(-(-prior.transform.length // len(excerpt)))[None, : prior.transform.length]
        power = averaged(prior.transform.power(whole / excerpt.square().mean().sqrt().clamp(min=1e-12)))
        found.append(power[0].median(dim=-1).values)
    return torch.stack(found).mean(dim=0).sqrt()


def as_loud_as(spectrum: Tensor, level: Tensor) -> Tensor:
    """A bank's spectrum (K,) at the level of noise that was found in a recording (K,)."""
    return spectrum * (level / spectrum.clamp(min=QUIETEST)).median()
