"""ViSQOL (Chinen et al. 2020), a listener made of numbers: how like the truth a sound is, from 1 to 5.

It learned from listeners' marks of coded speech and music: an opinion that hiss sways far more than lost treble does.
The package visqol-python (Apache-2.0, with its weights) is the extra `quality`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from babe2.dsp.resampling import resample
from babe2.extras import require

EXTRA = "quality"
SAMPLE_RATE = 48_000  # Hz, of its marks for music
SHORTEST_SECONDS = 1.0  # it hears 0.6 s at once, and needs some of it

Similarity = Callable[[Tensor, Tensor, int], float | None]  # (sound (T,), truth (T,), sample rate) -> mark


@cache  # one listener hears everything
def visqol() -> Similarity:
    """ViSQOL's mark for music; it has none for what is silent or shorter than SHORTEST_SECONDS."""
    require(EXTRA)
    from visqol import VisqolApi

    listener = VisqolApi()
    listener.create(mode="audio")

    def mark(x: Tensor, truth: Tensor, sample_rate: int) -> float | None:
        if not (x.any() and truth.any()) or len(truth) < SHORTEST_SECONDS * sample_rate:
            return None
        heard = resample(torch.stack([truth, x]).float(), sample_rate, SAMPLE_RATE).double().numpy()
        found = float(listener.measure_from_arrays(heard[0], heard[1], SAMPLE_RATE).moslqo)
        return found if np.isfinite(found) else None

    return mark
