"""A little music, made of numbers, for tests that restore."""

from __future__ import annotations

import numpy as np
from conftest import SMALL_RATE


def music(seconds: float, sample_rate: int = SMALL_RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Decaying partials over a little noise: (channels, samples)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    sound = 0.002 * rng.standard_normal((channels, len(time)))
    for pitch in (131.0, 196.0, 330.0, 523.0):
        for partial in range(1, 6):
            gains = rng.uniform(0.2, 1, (channels, 1)) * 0.08 / partial
            phase = 2 * np.pi * (pitch * partial * time + rng.uniform())
            sound = sound + gains * np.sin(phase) * np.exp(-3 * (time % 0.5))
    return sound.astype(np.float32)


def chord(seconds: float = 0.6, rate: int = 8000, channels: int = 1) -> np.ndarray:
    """(samples, channels), as soundfile has it."""
    time = np.arange(int(seconds * rate))[:, None] / rate
    pitches = 220 * np.arange(1, 8)
    sound = sum(np.sin(2 * np.pi * pitch * time) / pitch for pitch in pitches)
    drift = 1 + 0.2 * np.arange(channels)[None]
    return 20 * sound * drift / drift.max() * np.exp(-2 * time)
