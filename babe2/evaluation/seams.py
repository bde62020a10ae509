"""Whether the joins between the segments of a restoration stand out from the music around them.

A careless join makes a jump in level, a change of colour, or a broken phase. All three happen at every note's onset,
too; so a join is good when its largest jump is one among those found in passages of the same length elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from babe2.dsp.spectra import frames

FRAME_SECONDS = 0.046
FAINT_DB = -60.0  # under the loudest frame's mean: what is softer is no part of a spectrum
STRIDE_SECONDS = 0.25  # between the passages elsewhere


class Seams(NamedTuple):
    """The share of the music elsewhere that jumps less than the joins do: 0.5 where joins cannot be told from it,
    near 1 where they stand out."""

    level: float
    spectrum: float
    phase: float


def seams(x: Tensor, sample_rate: int, joins: Sequence[tuple[float, float]]) -> Seams:
    """How much the joins of a restoration (1, T) stand out; each lasts from a start to an end in `joins`, seconds."""
    fft = 2 ** round(math.log2(FRAME_SECONDS * sample_rate))
    hop = fft // 4
    padded = torch.nn.functional.pad(x, (fft // 2, fft // 2), mode="reflect")
    jumps = torch.stack(_jumps(frames(padded, fft, hop)[0]))  # (3, N), from each frame to the next
    places = [slice(int(start * sample_rate / hop) - 2, int(end * sample_rate / hop) + 3) for start, end in joins]
    length = max(place.stop - place.start for place in places)
    joined = torch.zeros(jumps.shape[1], dtype=torch.bool)
    for place in places:
        joined[max(place.start, 0) : place.stop] = True
    stride = max(1, round(STRIDE_SECONDS * sample_rate / hop))
    elsewhere = [
        jumps[:, first : first + length].amax(dim=1)
        for first in range(0, jumps.shape[1] - length, stride)
        if not joined[first : first + length].any()
    ]
    others = torch.stack(elsewhere, dim=1)  # (3, passages)
    at_joins = [jumps[:, max(place.start, 0) : place.stop].amax(dim=1, keepdim=True) for place in places]
    ranks = [(others < join).double().mean(dim=1) for join in at_joins]
    return Seams(*torch.stack(ranks).mean(dim=0).tolist())


def _jumps(spectrum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By how much each frame of a spectrum (F, N) differs from the one before (N,): the level in dB, the spectrum in
    dB, and what is not where steady partials would have taken it, relative to the frame (Duxbury et al. 2003)."""
    size = spectrum.abs()
    floor = size.mean(dim=0).max() * 10 ** (FAINT_DB / 20)
    level = 20 * size.square().sum(dim=0).sqrt().clamp(min=floor).log10()
    colour = 20 * size.clamp(min=floor).log10()
    turn = torch.polar(torch.ones_like(size), torch.angle(spectrum))
    expected = size[:, 1:-1] * turn[:, 1:-1].square() * turn[:, :-2].conj()
    off = (spectrum[:, 2:] - expected).abs().sum(dim=0) / (size[:, 2:].sum(dim=0) + size.shape[0] * floor)
    return (
        level.diff().abs(),
        (colour.diff(dim=1) - level.diff()).abs().mean(dim=0),
        torch.nn.functional.pad(off, (1, 0)),
    )
