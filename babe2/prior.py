"""What music sounds like: a network, preconditioned so that it turns any noisy signal into a clean estimate.

Beside the priors, which know any level of noise, stands a generator that knows one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.config import Model
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Poll
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.cqtdiff import CQTDiff
from babe2.networks.folded_cqt import PATCH, FoldedConstantQ
from babe2.networks.matrix_cqt import MatrixConstantQ
from babe2.networks.models import Network, Transform
from babe2.networks.spectral import SpectralUNet, sound, spectrogram

DROWNING = 5.0  # times the spread of music: noise in which nothing of it is left


@dataclass(frozen=True)
class Prior(ABC):
    """D_theta (Eq. 15): a network behind a transform, limited to the band the transform carries."""

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Estimates the clean music (B, T) in noisy (B, T) at noise level sigma, () or (B, 1)."""
        return self.highpass(self.denoise(noisy, sigma))

    @abstractmethod
    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The same over the whole band, as it was trained."""

    @abstractmethod
    def highpass(self, x: Tensor) -> Tensor:
        """Returns what of x (B, up to T) the transform carries."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""


@dataclass(frozen=True)
class PublishedPrior(Prior):
    """CQT-Diff+ or CQTdiff before it, preconditioned after Karras et al. 2022."""

    network: CQTDiffPlus | CQTDiff
    transform: ConstantQ | MatrixConstantQ
    sigma_data: float  # std of the music it was trained on
    poll: Poll | None = None  # called between the network's levels; what it raises ends the evaluation

    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.to(noisy).reshape(-1, 1)
        variance = sigma**2 + self.sigma_data**2
        coefficients = self.transform(noisy / variance.sqrt())
        guessed = self.transform.inverse(self.network(coefficients, sigma.log() / 4, self.poll))
        return noisy * (self.sigma_data**2 / variance) + guessed * (sigma * self.sigma_data / variance.sqrt())

    def highpass(self, x: Tensor) -> Tensor:
        return self.transform.highpass(x)

    @property
    def device(self) -> torch.device:
        return self.transform.window.device


@dataclass(frozen=True)
class BandwisePrior(Prior):
    """The compact network, preconditioned bin by bin; the noise may have a level of its own in each bin."""

    network: BandwiseUNet
    transform: FoldedConstantQ
    poll: Poll | None = None

    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """`sigma` may also be (K,) or (B, K), a level for each bin, or (B, K, frames), one at each time."""
        return self.transform.inverse(self.estimate(self.transform(noisy), self.levels(noisy, sigma)))

    def at_levels(self, noisy: Tensor, level: Tensor) -> Tensor:
        """The same for noise with a level of its own at every frequency of the segment (T // 2 + 1,); see `in_bins`."""
        return self(noisy, self.in_bins(level))

    def in_bins(self, level: Tensor) -> Tensor:
        """A level for each frequency (T // 2 + 1,) as one for each bin (K,); one for each bin and frame as it is."""
        return level[self.transform.centre_bins] if level.ndim == 1 else level

    def shaped(self, x: Tensor, gain: Tensor) -> Tensor:
        """x (B, T) times a gain in each bin and frame (B, K, frames)."""
        return self.transform.inverse(scaled(self.transform(x), gain))

    def highest_needed(self, level: Tensor) -> float:
        """Returns the noise level from which sampling has to begin, given the recording's (T // 2 + 1,); see `in_bins`.

        It is high enough to drown all music that the recording's noise hides, and where noise hides nothing no lower
        than it is.
        """
        level = self.in_bins(level)
        spread = self.network.spread if level.ndim == 1 else self.network.spread[:, None]
        return float(torch.where(level > spread, DROWNING * spread, level).max())

    def levels(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Returns the noise level of every item and bin (B, K), or (B, K, frames) where it changes with time."""
        if sigma.ndim == 3:
            return sigma.to(noisy).expand(len(noisy), -1, -1)
        return sigma.to(noisy).expand(len(noisy), len(self.network.spread))

    def estimate(self, groups: list[Tensor], sigma: Tensor) -> list[Tensor]:
        """Estimates clean coefficients from noisy ones at noise levels sigma (B, K) or (B, K, frames)."""
        spread = self.network.spread if sigma.ndim == 2 else self.network.spread[:, None]
        deviation = (sigma**2 + spread**2).sqrt()
        guessed = self.network(scaled(groups, 1 / deviation), (sigma / spread).log(), self.poll)
        kept = scaled(groups, (spread / deviation) ** 2)
        return [k + g for k, g in zip(kept, scaled(guessed, sigma * spread / deviation), strict=True)]

    def highpass(self, x: Tensor) -> Tensor:
        return self.transform.highpass(x)

    @property
    def device(self) -> torch.device:
        return self.transform.window.device


@dataclass(frozen=True)
class BandExtender(Prior):
    """BEHM-GAN's generator: its one estimate of the music in a recording of a narrow band, whatever the noise level."""

    network: SpectralUNet
    poll: Poll | None = None

    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=self.network.dtype is torch.bfloat16):
            extended = self.network(spectrogram(noisy), self.poll)
        return sound(extended.to(noisy))[:, : noisy.shape[-1]]

    def highpass(self, x: Tensor) -> Tensor:
        return x  # it makes the whole band

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device


def scaled(groups: list[Tensor], gain: Tensor) -> list[Tensor]:
    """Returns groups (B, rows, frames, C) with every bin times its gain, (B, K) or (B, K, frames)."""
    by_row = gain.reshape(*gain.shape[:2], -1).unflatten(1, (-1, PATCH)).transpose(2, 3).unsqueeze(-1)
    gains = by_row.split([group.shape[1] for group in groups], dim=1)
    return [
        (group.float().unflatten(-1, (PATCH, -1)) * gain).flatten(-2) for group, gain in zip(groups, gains, strict=True)
    ]


def build_prior(model: Model, network: Network, transform: Transform, poll: Poll | None = None) -> Prior:
    """Returns the prior that a model's network is part of."""
    if isinstance(network, BandwiseUNet):
        assert isinstance(transform, FoldedConstantQ)
        return BandwisePrior(network, transform, poll)
    assert not isinstance(transform, FoldedConstantQ)
    return PublishedPrior(network, transform, model.sigma_data, poll)
