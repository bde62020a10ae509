"""Places where a recording was louder than its medium could hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

SHORTEST_RUN = 3  # samples; music seldom rests so long at its highest value


def clipping(x: Tensor, starts: list[float], sample_rate: int) -> dict[str, Any]:
    """How much of excerpts (channels, excerpts, samples) is clipped, and where the first places are, in seconds.

    Clipped are runs of at least three samples at a channel's highest or lowest value.
    """
    samples, times = 0, []
    for channel in x.numpy():
        limits = channel.max(), channel.min()
        for excerpt, start in zip(channel, starts, strict=True):
            pinned = np.flatnonzero(((excerpt == limits[0]) | (excerpt == limits[1])) & (excerpt != 0))
            first = np.flatnonzero(np.diff(pinned, prepend=-2) > 1)  # the first of each run, among the pinned
            lengths = np.diff(first, append=len(pinned))
            samples += int(lengths[lengths >= SHORTEST_RUN].sum())
            times += [start + place / sample_rate for place in pinned[first[lengths >= SHORTEST_RUN]].tolist()]
    return {
        "share": round(samples / x.numel(), 8),
        "runs": len(times),
        "first_times_seconds": [round(time, 3) for time in sorted(times)[:10]],
    }


def clipped_moments(moments: Tensor) -> Tensor:
    """The numbers of those moments (channels, moments, samples) that rest at a channel's highest or lowest value."""
    low, high = moments.aminmax(dim=2)
    lowest, highest = low.amin(dim=1, keepdim=True), high.amax(dim=1, keepdim=True)
    channel, place = ((low == lowest) | (high == highest)).nonzero(as_tuple=True)
    there = moments[channel, place]
    pinned = ((there == lowest[channel]) | (there == highest[channel])) & (there != 0)
    return place[pinned.sum(dim=1) >= SHORTEST_RUN]
