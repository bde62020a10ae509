"""What music sounds like: a network, preconditioned so that it turns any noisy signal into a clean estimate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Poll


@dataclass(frozen=True)
class Prior:
    """D_theta (Eq. 15, preconditioning after Karras et al. 2022), limited to the band the transform carries."""

    network: CQTDiffPlus
    transform: ConstantQ
    sigma_data: float  # std of the music it was trained on
    poll: Poll | None = None  # called between the network's levels; what it raises ends the evaluation

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """noisy (B, T) at noise level sigma, () or (B, 1) -> clean (B, T)."""
        return self.highpass(self.denoise(noisy, sigma))

    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The same over the whole band, as it was trained."""
        sigma = sigma.to(noisy).reshape(-1, 1)
        variance = sigma**2 + self.sigma_data**2
        octaves = self.transform(noisy / variance.sqrt())
        guessed = self.transform.inverse(self.network(octaves, sigma.log() / 4, self.poll))
        return noisy * (self.sigma_data**2 / variance) + guessed * (sigma * self.sigma_data / variance.sqrt())

    def highpass(self, x: Tensor) -> Tensor:
        return self.transform.highpass(x)
