"""Music with noise to be told from it: which noise levels a network learns from, and what an example is made of.

The published training adds white noise of one level. The compact network's noise may have a level of its own in every
bin, as an old recording's has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.training.augmentation import Signal, log2_frequencies

Levels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """An excerpt of music and the noise that is added to it."""

    clean: Signal  # (T,)
    noise: Signal  # (T,) at its level
    sigma: Signal  # (1,), or (K,): a level for each bin
    level: float  # the highest of them


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples stacked, on the device that learns from them."""

    clean: Tensor  # (B, T)
    noise: Tensor  # (B, T)
    sigma: Tensor  # (B, 1) or (B, K)
    level: Tensor  # (B,)

    @classmethod
    def of(cls, examples: Sequence[Example], device: torch.device) -> Batch:
        """Stacks examples and moves them to the device."""

        def stacked(rows: list[Signal]) -> Tensor:
            return torch.from_numpy(np.stack(rows)).to(device, non_blocking=True)

        return cls(
            stacked([example.clean for example in examples]),
            stacked([example.noise for example in examples]),
            stacked([example.sigma for example in examples]),
            torch.tensor([example.level for example in examples], dtype=torch.float32).to(device),
        )


@dataclass(frozen=True)
class NoiseLevels:
    """Which noise levels to learn from, and how often from each. The defaults are the published piano column."""

    lowest: float = 1e-5
    highest: float = 10.0
    rho: float | None = 10.0  # larger: more of the low levels; None: every octave of levels as often as the next
    stratified: bool = False  # each batch goes through all levels, evenly
    recorded: float = 0.0  # the share of examples whose noise has a recording's profile, for the compact network only

    def at(self, share: npt.ArrayLike) -> Levels:
        """The quantiles of the noise levels, highest first: share 0 is the highest level, 1 the lowest."""
        u = np.asarray(share, np.float64)
        if self.rho is None:
            return np.asarray(self.highest * (self.lowest / self.highest) ** u)
        top, bottom = self.highest ** (1 / self.rho), self.lowest ** (1 / self.rho)
        return np.asarray((top + u * (bottom - top)) ** self.rho)

    def draw(self, rng: np.random.Generator, count: int) -> Levels:
        """Draws the levels of one batch (count,)."""
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
    """The noise level over frequency of an old recording whose spectrum was equalised."""

    clear: float  # log2 of the level at 1 kHz
    slope: float  # per octave
    hills: tuple[tuple[float, float, float], ...]  # of place, log2 Hz; height; width, octaves
    upper: tuple[float, float]  # edge, log2 Hz; slope
    lower: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> NoiseProfile:
        """Draws the profile of some recording."""

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
    """Adds white noise of one level to clean (T,)."""
    noise = rng.standard_normal(len(clean), dtype=np.float32) * np.float32(level)
    return Example(clean, noise, np.array([level], np.float32), level)


def bandwise_example(
    clean: Signal, rng: np.random.Generator, level: float, recorded: float, centres: Signal, sample_rate: int
) -> Example:
    """Adds white noise to clean (T,) or, with probability `recorded`, noise with a recording's profile.

    The example's sigma is the noise level at the bins' `centres` (K,), Hz.
    """
    noise = rng.standard_normal(len(clean), dtype=np.float32)
    if rng.random() >= recorded:
        return Example(clean, noise * np.float32(level), np.full(len(centres), level, np.float32), level)
    profile = NoiseProfile.draw(rng)
    # Beyond the outermost bins' centres the profile goes on as it is there.
    ends = np.log2(centres[0]), np.log2(centres[-1])
    places = np.clip(log2_frequencies(len(clean), sample_rate), *ends)
    coloured = np.fft.irfft(np.fft.rfft(noise) * profile.level(places, level), len(clean))
    sigma = profile.level(np.log2(centres), level)
    return Example(clean, coloured.astype(np.float32, copy=False), sigma, level)
