"""Mains hum in a recording."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.spectra import decibels

MAINS_HZ = (50.0, 60.0)
PARTIALS = range(1, 5)
OFF_SPEED = 0.01  # a turntable or a tape off speed by a percent takes the hum along
HUM_DB = 10.0  # a tone that stands out by so much is heard


def mains_hum(hertz: Tensor, steady: Tensor) -> dict[str, float] | None:
    """The mains whose hum is in a recording, and by how much it stands out; None where it does not.

    `steady` (F,) is what is there for most of the time at `hertz` (F,). It is hum where the mains' own tone stands
    out, or two of the next three do.
    """
    prominence = prominence_db(steady)
    for mains in MAINS_HZ:
        near = [(hertz - k * mains).abs() <= OFF_SPEED * k * mains for k in PARTIALS]
        heights = [float(prominence[there].max()) if there.any() else 0.0 for there in near]
        if heights[0] > HUM_DB or sum(height > HUM_DB for height in heights) >= 2:
            return {"frequency_hz": mains, "prominence_db": round(max(heights), 1)}
    return None


def prominence_db(power: Tensor) -> Tensor:
    """By how many dB each bin of a fine spectrum (F,) rises above its surroundings on both sides."""
    tiny = 1e-8 * float(power.sum()) + 1e-30  # what is weaker by 80 dB than the whole is not heard
    around = F.avg_pool1d(power[None], 8, stride=1)[0]  # around[k] covers the bins k to k + 7
    sides = torch.maximum(around[:-17], around[17:])  # of the bin k + 12, at a distance of 5 to 12
    return F.pad(decibels((power[12:-12] + tiny) / (sides + tiny)), (12, 12))
