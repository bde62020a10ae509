"""Cutting a recording into segments as the published denoiser and BEHM-GAN do, for comparison with their numbers.

Their cross-fades add up to a little less than one. The published programs leave the end of some recordings out; here
nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SEGMENT, OVERLAP = 110250, 1024  # samples


def in_published_segments(make: Callable[[Tensor, int], Tensor], recording: Tensor) -> Tensor:
    """What is made of a recording (T,), segment by segment.

    `make` is given a segment (1, SEGMENT) and its number, and returns as many samples or more, which are left out.
    """
    window = torch.hann_window(2 * OVERLAP, periodic=False, dtype=torch.float64).to(recording)
    made, segment, start = torch.zeros_like(recording, dtype=torch.float64), 0, 0
    while True:
        last = start + SEGMENT >= len(recording)
        part = recording[start : start + SEGMENT]
        piece = make(F.pad(part, (0, SEGMENT - len(part)))[None], segment)[0, :SEGMENT]
        if start > 0:
            piece[:OVERLAP] *= window[:OVERLAP]
        if not last:
            piece[-OVERLAP:] *= window[OVERLAP:]
        made[start : start + SEGMENT] += piece[: len(part)]
        if last:
            return made.to(recording)
        segment, start = segment + 1, start + SEGMENT - OVERLAP
