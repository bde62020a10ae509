"""What a network is asked to learn: to tell music from noise, at every level of noise.

Two objectives, one for each kind of network. The published one measures the error as Karras et al. 2022 do. The compact
network's measures it in every octave, and reports it relative to the Wiener filter's error: 1 is no better than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Downsample
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import PATCH, FoldedConstantQ
from babe2.networks.models import Network
from babe2.prior import scaled
from babe2.training.noise import Batch

TAMING = 0.25  # power of an excerpt's expected error by which it counts less
SMOOTHED = 13  # bins over which the spread is averaged: a quarter octave of the compact network
LEAST_SPREAD = 1e-6  # where there is no music at all, so that there is something to divide by


@dataclass(frozen=True, eq=False)
class Losses:
    """The losses of a batch, one for each example."""

    minimised: Tensor  # (B,)
    error: Tensor  # (B,) without any learned weighting
    octaves: Tensor | None = None  # (B, octaves) of it, lowest first


class Objective(Protocol):
    """Returns a network's losses on a batch."""

    def __call__(self, network: Callable[..., list[Tensor]], batch: Batch) -> Losses: ...


# The published objective


class LossWeight(nn.Module):
    """The error to expect at a noise level, learned beside the network so that no level outweighs the others.

    Published for the first training of the voices; there every example was weighted with every other's noise level,
    here each with its own.
    """

    w: Tensor
    phase: Tensor

    def __init__(self, generator: torch.Generator, features: int = 32) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(features, generator=generator))
        self.register_buffer("phase", torch.rand(features, generator=generator))
        self.linear = nn.Linear(2 * features, 1, bias=False)
        bound = (2 * features) ** -0.5
        with torch.no_grad():
            self.linear.weight.copy_(bound * (2 * torch.rand(1, 2 * features, generator=generator) - 1))

    def forward(self, log_sigma: Tensor) -> Tensor:
        """The log of the expected error (B,), from the log of the noise level (B, 1)."""
        angle = 2 * math.pi * (log_sigma * self.w + self.phase)
        return self.linear(torch.cat([angle.sin(), angle.cos()], dim=-1)).squeeze(-1)


class PublishedObjective:
    """The mean squared error of the preconditioned network's answer (Karras et al. 2022), over all samples alike."""

    def __init__(self, transform: ConstantQ, sigma_data: float, weight: LossWeight | None = None) -> None:
        self.transform, self.sigma_data, self.weight = transform, sigma_data, weight

    def __call__(self, network: Callable[..., list[Tensor]], batch: Batch) -> Losses:
        sigma, spread = batch.sigma, self.sigma_data
        deviation = (sigma**2 + spread**2).sqrt()
        log_sigma = sigma.log() / 4
        guessed = self.transform.inverse(network(self.transform((batch.clean + batch.noise) / deviation), log_sigma))
        # (clean - c_skip noisy) / c_out, without the cancellation at little noise.
        target = (batch.clean * (sigma / spread) - batch.noise * (spread / sigma)) / deviation
        error = (guessed - target).square().mean(dim=-1)
        if self.weight is None:
            return Losses(error, error)
        expected = self.weight(log_sigma)
        return Losses(error * (-expected).exp() + expected, error)


@contextmanager
def in_bfloat16(network: CQTDiffPlus) -> Iterator[None]:
    """Computes the pictures in bfloat16 inside, forward and backward; weights, which move by less, stay in float32."""
    kept: list[tuple[dict[str, Any], str, Tensor]] = []
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, Downsample)):
            homes: list[dict[str, Any]] = [module._parameters, module._buffers]
            for tensors in homes:
                kept += [(tensors, name, one) for name, one in tensors.items() if one is not None]
    for tensors, name, one in kept:
        tensors[name] = one.bfloat16()  # through which the gradient finds its way to the weight itself
    try:
        yield
    finally:
        for tensors, name, one in kept:
            tensors[name] = one


def initialise_as_published(network: CQTDiffPlus) -> None:
    """Sets biases to zero and gates to nearly zero; everything else torch initialises as published."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif ".gate" in name:
                parameter.mul_(3**0.5 * 1e-7)


# The compact network's objective


class BandwiseObjective:
    """The squared error in every octave, reported relative to the Wiener filter's: that of an answer of nothing."""

    def __init__(
        self, transform: FoldedConstantQ, octaves: int, bins_per_octave: int, weights: Sequence[float]
    ) -> None:
        self.transform = transform
        self.rows, self.octaves = bins_per_octave // PATCH, octaves
        self.weights = torch.tensor(weights, device=transform.window.device) / sum(weights)

    def __call__(self, network: Callable[..., list[Tensor]], batch: Batch) -> Losses:
        sigma, spread = batch.sigma, network.spread  # type: ignore[attr-defined]
        with torch.no_grad():
            clean, noise = self.transform(batch.clean), self.transform(batch.noise)
            deviation = (sigma**2 + spread**2).sqrt()
            noisy = [scaled_one + other for scaled_one, other in zip(clean, noise, strict=True)]
            heard = scaled(noisy, 1 / deviation)
            music = scaled(clean, sigma / (spread * deviation))
            masking = scaled(noise, spread / (sigma * deviation))
            target = [one - other for one, other in zip(music, masking, strict=True)]
            expected = self.by_octave([power(part) for part in music]) + self._bins_by_octave((spread / deviation) ** 2)
        guessed = network(heard, (sigma / spread).log())
        errors = [
            (guess.float() - wanted).square().mean(dim=(2, 3)) for guess, wanted in zip(guessed, target, strict=True)
        ]
        octaves = self.by_octave(errors)
        # Loud and bright excerpts would drown out the others. But errors divided by what was expected of them teach
        # that all music is dull: where brightness cannot be told, the dull excerpts would count a hundred times.
        error = (octaves / expected.clamp(min=1) ** TAMING) @ self.weights
        return Losses(error, error, octaves / expected)

    def by_octave(self, rows: list[Tensor]) -> Tensor:
        """The mean over each octave's rows (B, octaves), from groups of (B, rows)."""
        return torch.cat(rows, dim=1).unflatten(1, (self.octaves, self.rows)).mean(dim=2)

    def _bins_by_octave(self, bins: Tensor) -> Tensor:
        """The mean over each octave's bins: (B, K) -> (B, octaves)."""
        return bins.unflatten(1, (self.octaves, -1)).mean(dim=2)


def power(group: Tensor) -> Tensor:
    """The mean power of each row: (B, rows, frames, C) -> (B, rows)."""
    return group.square().mean(dim=(2, 3))


def bin_powers(transform: FoldedConstantQ, x: Tensor) -> Tensor:
    """The mean power of x (B, T) in every bin of the transform (K,)."""
    return torch.cat(
        [group.unflatten(-1, (PATCH, -1)).square().mean(dim=(0, 2, 4)).flatten() for group in transform(x)]
    )


def spread_of(powers: Tensor) -> Tensor:
    """The standard deviation of music in every bin (K,), from its mean power (K,), smoothed over neighbours."""
    logs = powers.sqrt().clamp(min=LEAST_SPREAD).log()[None]
    edge = SMOOTHED // 2
    padded = nn.functional.pad(logs, (edge, edge), mode="replicate")
    return nn.functional.avg_pool1d(padded, SMOOTHED, 1)[0].exp()


def hidden_matrices(network: Network) -> list[str]:
    """Names of the parameters between hidden layers, which Muon was made for; the published networks use Adam only."""
    if not isinstance(network, BandwiseUNet):
        return []
    between = (".out.", "shrink.", "grow.", ".take.", ".give.")
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim == 4 or (parameter.ndim == 2 and any(part in name for part in between))
    ]
