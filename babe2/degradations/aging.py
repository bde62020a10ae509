"""What happened to old recordings, from the horn to the file: one description, by which good ones are spoiled.

What is done here on purpose to a good recording is what the rest of the house undoes; so it can be scored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.degradations.response import coloured_by
from babe2.degradations.surface import WHITE, Surface, surface_noise
from babe2.degradations.transfer import (
    Coding,
    Denoiser,
    Gate,
    saturated,
    stepped,
    tilted,
)
from babe2.dsp.curves import Curve


@dataclass(frozen=True)
class Aging:
    """What happens to a recording, in this order."""

    response: Curve  # of horn, cutter, pressing and needle
    drive: float | None = None  # mild saturation; see `saturated`
    surface: Surface = WHITE
    askew: float = 0.0  # seconds by which the second channel comes late
    gate: Gate | None = None
    denoiser: Denoiser | None = None
    coding: Coding | None = None
    bits: int | None = None

    @property
    def wall_hz(self) -> float:
        """Above which nothing was left."""
        return math.inf if self.coding is None else self.coding.wall_hz


@dataclass(frozen=True, eq=False)
class Aged:
    """An old recording in its parts: what is left of the music, and all else."""

    music: Tensor  # (..., T)
    noise: Tensor  # (..., T)

    @property
    def recording(self) -> Tensor:
        """What is heard (..., T)."""
        return self.music + self.noise


def age(audio: Tensor, sample_rate: int, aging: Aging, generator: torch.Generator) -> Aged:
    """audio (T,) or (C, T) as the machine would have recorded it, in parts; one response for all channels.

    Noise is drawn from `generator`, on the audio's device.
    """
    music = coloured_by(audio, sample_rate, aging.response)
    noise = surface_noise(music, sample_rate, aging.surface, generator)
    if aging.drive is not None:
        noise = noise + (saturated(music, aging.drive) - music)
    if aging.askew:
        music, noise = (tilted(part, sample_rate, aging.askew) for part in (music, noise))
    for later in (aging.denoiser, aging.gate, aging.coding):
        if later is not None:
            through = later.for_sound(music + noise, noise, sample_rate)
            music, noise = through(music), through(noise)
    if aging.bits is not None:
        mixed = music + noise
        noise = noise + (stepped(mixed, aging.bits) - mixed)
    return Aged(music, noise)


def degrade(audio: Tensor, sample_rate: int, aging: Aging, generator: torch.Generator) -> Tensor:
    """audio (T,) or (C, T) as the machine would have recorded it, in the same shape."""
    return age(audio, sample_rate, aging, generator).recording
