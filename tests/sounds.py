"""Sounds made of numbers for tests of the stages: notes that begin, ring and end, and a voice."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

RATE = 8000


def seconds(length: float, rate: int = RATE) -> Tensor:
    return torch.arange(round(length * rate), dtype=torch.float64) / rate


def hiss(samples: int, level: float = 1e-3, channels: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return level * torch.randn(channels, samples, generator=generator, dtype=torch.float64)


def piano(length: float, rate: int = RATE, hertz: tuple[float, ...] = (131.0, 196.0, 330.0)) -> Tensor:
    """Struck notes, two a second, with a knock of some milliseconds at each beginning: (1, T)."""
    time = seconds(length, rate)
    since = time % 0.5
    ringing = sum(torch.sin(2 * math.pi * f * k * time) / k for f in hertz for k in range(1, 7)) * torch.exp(-4 * since)
    knock = hiss(len(time), 0.5, seed=7)[0] * torch.exp(-since / 0.004)
    begun = 1 - torch.exp(-since / 0.002)
    return (0.05 * begun * (ringing + knock) + hiss(len(time), 3e-4)[0])[None]


def voice(length: float, rate: int = RATE, hertz: float = 120.0) -> Tensor:
    """Pulses of a voice with vibrato through two formants: (1, T)."""
    time = seconds(length, rate)
    phase = hertz * time + 0.5 * torch.sin(2 * math.pi * 5 * time)
    pulses = torch.diff(phase.floor(), prepend=phase[:1].floor()).clamp(min=0)
    ring = seconds(0.02, rate)
    tract = sum(torch.exp(-90 * ring * n) * torch.sin(2 * math.pi * f * ring) for n, f in ((1, 700.0), (2, 1800.0)))
    fft = len(time) + len(ring)
    sound = torch.fft.irfft(torch.fft.rfft(pulses, fft) * torch.fft.rfft(tract, fft), fft)[: len(time)]
    return (0.2 * sound + hiss(len(time), 3e-4)[0])[None]


def level_db(x: Tensor, beside: Tensor) -> float:
    return float(10 * torch.log10(x.double().square().sum() / beside.double().square().sum()))


SONG_RATE = 22_050  # Hz
SUNG_HZ = (262, 330, 392, 523, 440, 349, 294, 247)


def song(struck: bool, vibrato_cents: float = 0.0, speed_cents: float = 0.0) -> np.ndarray:
    """Eight notes of a second with four partials each: struck ones die away, others swell and fade."""
    t = np.arange(SONG_RATE) / SONG_RATE
    level = np.exp(-3 * t) if struck else np.sin(np.pi * t) ** 0.5 * (1 + 0.3 * np.sin(2 * np.pi * 5.5 * t))
    sound = []
    for number, hertz in enumerate(SUNG_HZ):
        whole = t + number
        cents = vibrato_cents * np.sin(2 * np.pi * 5.5 * t) + speed_cents * np.sin(2 * np.pi * 1.3 * whole)
        turns = np.cumsum(hertz * 2 ** (cents / 1200)) / SONG_RATE
        sound.append(level * sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 5)))
    return 0.1 * np.concatenate(sound)
