"""Where a training's randomness comes from: one generator for each purpose and place.

Everything random about item i of iteration n comes from a generator seeded with (seed, purpose, n, i). So nothing
depends on how often a run was stopped, on how many processes share its batches, or on which of them is early.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn. The numbers are part of every seed: changing one changes every training."""

    TRAINING = 0
    VALIDATION = 1
    SPREAD = 2
    SPECTRUM = 3
    LEVEL = 4
    WEIGHTS = 5


def generator(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """Returns the one generator for this purpose at this place (iteration, item, ...)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), *place)))


def torch_seed(seed: int, purpose: Purpose, *place: int) -> int:
    """Returns a seed for a generator of torch's."""
    return int(generator(seed, purpose, *place).integers(2**62))
