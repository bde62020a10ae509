"""Noise that changes with time: how strong it is in every band at every moment.

What a recording tells of its noise as a whole (machine.py) is how strong it is between the clicks, on average. A groove
swells with every turn, dust crackles, a scratch comes back. Here that average is made to follow the recording, in a
picture (B, K, N) of the noise's power in each band and frame, as precisely as a prior of music can hear it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

NEAR, FAR = 3, 8  # frames on either side with which a moment is compared; a band's own ringing reaches to the nearest
LOUDER = 2.0  # times the power of before and behind: more than this is a burst of noise
MOST = 10.0  # times the noise between the bursts: the knock of a hammer is as short, and under little noise far louder
AROUND = 24  # bands on either side that change together: half an octave
DOUBT = 0.5  # numbers of noise exactly as strong as was thought, added to those that are heard


class Parts(NamedTuple):
    """The power (B, K, N) of what a prior left, and of what it took for music."""

    left: Tensor
    music: Tensor


def follow(noise: Tensor, power: Tensor, count: Tensor, parted: Callable[[Tensor], Parts], rounds: int = 1) -> Tensor:
    """The power (B, K, N) of noise that is `noise` (K,) between its bursts, in a recording of some `power` (B, K, N).

    A band holds `count` (K,) independent numbers in a frame. `parted` parts the recording under a picture of noise, and
    is asked once for every round.
    """
    found = noise[:, None] + bursts(power).minimum(MOST * noise[:, None])
    for _ in range(rounds):
        found = corrected(found, count, parted(found))
    return found


def bursts(power: Tensor) -> Tensor:
    """By how much a recording (B, K, N) is louder at a moment than both before and behind, half an octave at a time.

    A note that begins is louder than what was before only.
    """
    level = averaged(power)
    around = F.pad(level, (FAR, FAR), mode="replicate").unfold(-1, 2 * FAR + 1, 1)
    far = FAR - NEAR + 1
    usual = around[..., :far].median(dim=-1).values.maximum(around[..., -far:].median(dim=-1).values)
    return (level - LOUDER * usual).clamp(min=0)


def corrected(noise: Tensor, count: Tensor, parts: Parts) -> Tensor:
    """The most probable power of noise, given what a prior left under `noise` (B, K, N), half an octave at a time.

    What the prior left is the noise less what of it music has hidden: where music is louder by far it tells nothing.
    One step of expectation and maximisation.
    """
    told = 1 - parts.music / (parts.music + noise)
    count = count[:, None]
    return noise * (averaged(count * parts.left / noise) + DOUBT) / (averaged(count * told) + DOUBT)


def averaged(picture: Tensor) -> Tensor:
    """A picture (B, K, N) with each band the mean of those around it."""
    padded = F.pad(picture, (0, 0, AROUND, AROUND), mode="replicate")
    sums = F.pad(padded.double().cumsum(dim=1), (0, 0, 1, 0))
    width = 2 * AROUND + 1
    return ((sums[:, width:] - sums[:, :-width]) / width).clamp(min=0).to(picture)
