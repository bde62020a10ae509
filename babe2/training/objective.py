"""What a network is asked to learn: to tell music from noise, at every level of noise.

Two objectives, one for each network. The published one adds white noise of one level and measures the error as Karras
et al. 2022 do. The compact one's noise may have a level of its own in every bin, and its error is told in shares of
what the Wiener filter makes: 1 is no better than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Downsample
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import PATCH, FoldedConstantQ
from babe2.networks.models import Network
from babe2.prior import scaled
from babe2.training.augmentation import Signal, octave_places

Levels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """An excerpt and the noise to tell it from."""

    clean: Signal  # (T,)
    noise: Signal  # (T,) at its level
    sigma: Signal  # (1,), or (K,): a level for each bin
    level: float  # the highest of them


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples, on the device that learns from them."""

    clean: Tensor  # (B, T)
    noise: Tensor  # (B, T)
    sigma: Tensor  # (B, 1) or (B, K)
    level: Tensor  # (B,)

    @classmethod
    def of(cls, examples: Sequence[Example], device: torch.device) -> Batch:
        def stacked(rows: list[Signal]) -> Tensor:
            return torch.from_numpy(np.stack(rows)).to(device, non_blocking=True)

        return cls(
            stacked([example.clean for example in examples]),
            stacked([example.noise for example in examples]),
            stacked([example.sigma for example in examples]),
            torch.tensor([example.level for example in examples], dtype=torch.float32).to(device),
        )


@dataclass(frozen=True, eq=False)
class Losses:
    """How wrong a network was about each example."""

    minimised: Tensor  # (B,)
    error: Tensor  # (B,) without any learned weighting
    octaves: Tensor | None = None  # (B, octaves) of it, lowest first


class Objective(Protocol):
    def __call__(self, network: Callable[..., list[Tensor]], batch: Batch) -> Losses: ...


# Noise


@dataclass(frozen=True)
class NoiseLevels:
    """From which noise levels to learn, and how often from which. The defaults are the published piano column."""

    lowest: float = 1e-5
    highest: float = 10.0
    rho: float | None = 10.0  # larger: more of the low levels; None: every octave of levels as often as the next
    stratified: bool = False  # each batch goes through all levels, evenly
    recorded: float = 0.0  # the share of examples whose noise has a recording's profile, for the compact network only

    def at(self, share: npt.ArrayLike) -> Levels:
        """The level below which lie `1 - share` of all, share in 0..1."""
        u = np.asarray(share, np.float64)
        if self.rho is None:
            return np.asarray(self.highest * (self.lowest / self.highest) ** u)
        top, bottom = self.highest ** (1 / self.rho), self.lowest ** (1 / self.rho)
        return np.asarray((top + u * (bottom - top)) ** self.rho)

    def draw(self, rng: np.random.Generator, count: int) -> Levels:
        """The levels of one batch (count,)."""
        if not self.stratified:
            return self.at(rng.random(count))
        return self.at((rng.permutation(count) + rng.random()) / count)


# What noise levels an old recording has when its equalised spectrum is looked at, as log2 of the level over log2 of the
# frequency. It is clear in its band, where only surface noise stands against the music; above its upper edge, and below
# its lower one, its own noise was raised with everything else, and soon there is nothing but noise.
CLEAR = (5e-5, 2e-2)  # level at 1 kHz, in the band
SLOPE = 0.3  # standard deviation, per octave
HILLS, HILL_HEIGHT, HILL_OCTAVES = 3, 0.6, (0.2, 0.6)  # of resonances taken off: log2 of the level, standard deviation
HILL_HZ = (2**7, 2**13)
UPPER_EDGE_HZ, UPPER_SLOPE = (1000.0, 9000.0), (4.0, 25.0)  # log2 of the level per octave: 24 to 150 dB
LOWER_EDGE_HZ, LOWER_SLOPE, LOWER_SHARE = (40.0, 250.0), (1.0, 8.0), 0.7


@dataclass(frozen=True)
class NoiseProfile:
    """A recording's noise level over frequency."""

    clear: float  # log2 of the level at 1 kHz
    slope: float  # per octave
    hills: tuple[tuple[float, float, float], ...]  # of place, log2 Hz; height; width, octaves
    upper: tuple[float, float]  # edge, log2 Hz; slope
    lower: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> NoiseProfile:
        def evenly_in_octaves(between: tuple[float, float]) -> float:
            return rng.uniform(math.log2(between[0]), math.log2(between[1]))

        return cls(
            clear=evenly_in_octaves(CLEAR),
            slope=rng.normal(0, SLOPE),
            hills=tuple(
                (evenly_in_octaves(HILL_HZ), rng.normal(0, HILL_HEIGHT), rng.uniform(*HILL_OCTAVES))
                for _ in range(HILLS)
            ),
            upper=(evenly_in_octaves(UPPER_EDGE_HZ), 2 ** evenly_in_octaves(UPPER_SLOPE)),
            lower=(evenly_in_octaves(LOWER_EDGE_HZ), rng.uniform(*LOWER_SLOPE) if rng.random() < LOWER_SHARE else 0.0),
        )

    def level(self, octaves: Signal, highest: float) -> Signal:
        """The noise level, nowhere above `highest`, at frequencies given as log2 of Hz (F,)."""
        place = octaves.astype(np.float32)
        level = np.float32(self.clear) + np.float32(self.slope) * (place - np.float32(10))
        for centre, height, width in self.hills:
            level += np.float32(height) * np.exp(-(((place - np.float32(centre)) / np.float32(width)) ** 2))
        level += np.float32(self.upper[1]) * np.maximum(place - np.float32(self.upper[0]), 0)
        level += np.float32(self.lower[1]) * np.maximum(np.float32(self.lower[0]) - place, 0)
        return np.exp2(np.minimum(level, np.float32(math.log2(highest))))


def white_example(clean: Signal, rng: np.random.Generator, level: float) -> Example:
    """clean (T,) and white noise at one level."""
    noise = rng.standard_normal(len(clean), dtype=np.float32) * np.float32(level)
    return Example(clean, noise, np.array([level], np.float32), level)


def bandwise_example(
    clean: Signal, rng: np.random.Generator, level: float, recorded: float, centres: Signal, sample_rate: int
) -> Example:
    """clean (T,) and noise, `recorded` times a recording's, whose level is told at the bins' `centres` (K,), Hz."""
    noise = rng.standard_normal(len(clean), dtype=np.float32)
    if rng.random() >= recorded:
        return Example(clean, noise * np.float32(level), np.full(len(centres), level, np.float32), level)
    profile = NoiseProfile.draw(rng)
    # Beyond the outermost bins' centres the profile goes on as it is there.
    ends = np.log2(centres[0]), np.log2(centres[-1])
    places = np.clip(octave_places(len(clean), sample_rate), *ends)
    coloured = np.fft.irfft(np.fft.rfft(noise) * profile.level(places, level), len(clean))
    sigma = profile.level(np.log2(centres), level)
    return Example(clean, coloured.astype(np.float32, copy=False), sigma, level)


# The published objective


class LossWeight(nn.Module):
    """How much error to expect at a noise level, learned beside the network so that no level outweighs the others.

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
        """Log noise level (B, 1) -> log of the expected error (B,)."""
        angle = 2 * math.pi * (log_sigma * self.w + self.phase)
        return self.linear(torch.cat([angle.sin(), angle.cos()], dim=-1)).squeeze(-1)


class PublishedObjective:
    """The squared error of what the network is left to guess (Karras et al. 2022), over all samples alike."""

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
    """Inside, forward and backward, the pictures are in bfloat16; weights, which move by less, stay in float32."""
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
    """Torch's own initialisation is the published one, but for biases, and for gates, which begin all but closed."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif ".gate" in name:
                parameter.mul_(3**0.5 * 1e-7)


# The compact network's objective


class BandwiseObjective:
    """The squared error in every octave; told over the error that a guess of nothing makes: the Wiener filter's."""

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
        """Means over rows, from groups of (B, rows): (B, octaves)."""
        return torch.cat(rows, dim=1).unflatten(1, (self.octaves, self.rows)).mean(dim=2)

    def _bins_by_octave(self, bins: Tensor) -> Tensor:
        """(B, K) -> (B, octaves)"""
        return bins.unflatten(1, (self.octaves, -1)).mean(dim=2)


def power(group: Tensor) -> Tensor:
    """(B, rows, frames, C) -> (B, rows)"""
    return group.square().mean(dim=(2, 3))


def bin_powers(transform: FoldedConstantQ, x: Tensor) -> Tensor:
    """The mean power of x (B, T) in every bin of the transform (K,)."""
    return torch.cat(
        [group.unflatten(-1, (PATCH, -1)).square().mean(dim=(0, 2, 4)).flatten() for group in transform(x)]
    )


TAMING = 0.25  # power of an excerpt's expected error by which it counts less
SMOOTHED = 13  # bins over which the spread is averaged: a quarter octave of the compact network
LEAST_SPREAD = 1e-6  # where there is no music at all, so that there is something to divide by


def spread_of(powers: Tensor) -> Tensor:
    """The standard deviation of music in every bin (K,), from its mean power (K,), smoothed over neighbours."""
    logs = powers.sqrt().clamp(min=LEAST_SPREAD).log()[None]
    edge = SMOOTHED // 2
    padded = nn.functional.pad(logs, (edge, edge), mode="replicate")
    return nn.functional.avg_pool1d(padded, SMOOTHED, 1)[0].exp()


def hidden_matrices(network: Network) -> list[str]:
    """The parameters that carry from hidden layer to hidden layer, by name: for these Muon was made."""
    if not isinstance(network, BandwiseUNet):
        return []
    between = (".out.", "shrink.", "grow.", ".take.", ".give.")
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim == 4 or (parameter.ndim == 2 and any(part in name for part in between))
    ]
