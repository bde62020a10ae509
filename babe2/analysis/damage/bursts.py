"""Bursts: knocks and scratches that are too long to be taken for clicks, and that no note has begun with.

The second difference of a sound is small where music is and large where something breaks in. A burst stands out of
what it usually reaches before and behind it; the onset of a note stands out of what was before only, since it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.damage.dropouts import AUDIBLE, Place
from babe2.dsp.tape import Tape

BLOCK_SECONDS = 0.002  # the largest second difference of so much sound is its roughness there
AROUND, USUAL = 25, 23  # blocks on either side, and of which, from the least rough on, the roughness is usual
STANDS_OUT, LEAVING = 6.0, 3.0  # times the usual: where a burst is, and where it begins to end
SHORTEST, LONGEST = 4, 15  # blocks
READ = 2**12  # blocks at once


def bursts(recording: Tape, sample_rate: int) -> list[Place]:
    """Where the channels of a recording (C, T) are broken into for 6 to 30 ms."""
    block = max(8, round(BLOCK_SECONDS * sample_rate))
    found = []
    for first in range(0, -(-recording.samples // block), READ):
        begin = first - AROUND
        stop = first + READ + LONGEST + 1 + AROUND
        x = recording.mirrored(begin * block - 1, stop * block + 1)
        rough = x.diff(n=2).abs().unflatten(1, (-1, block)).amax(dim=2)
        for channel, row in enumerate(rough):
            found += [
                Place(channel, (begin + start) * block, (begin + end) * block)
                for start, end in _standing_out(row)
                if AROUND <= start < AROUND + READ and (begin + end) * block <= recording.samples
            ]
    return found


def _standing_out(rough: Tensor) -> Iterator[tuple[int, int]]:
    """The runs of a roughness (N,) that stand out of both sides, from their first block up to the one behind."""
    usual = rough.unfold(0, AROUND, 1).kthvalue(USUAL, dim=1).values.clamp(min=AUDIBLE / STANDS_OUT)
    before = F.pad(usual, (AROUND, 0))  # of the blocks before each
    behind = F.pad(usual[1:], (0, AROUND + 1))  # of those behind the next
    passed = 0
    for start in (rough > STANDS_OUT * before[: len(rough)]).nonzero().flatten().tolist():
        if not max(passed, AROUND) <= start < len(rough) - LONGEST - AROUND:
            continue
        below = (rough[start : start + LONGEST + 1] <= LEAVING * before[start]).nonzero().flatten()
        passed = start + (int(below[0]) if len(below) else LONGEST) + 1
        if len(below) and int(below[0]) >= SHORTEST:
            inside = rough[start : passed - 1]
            if float(inside.median()) > STANDS_OUT * float(torch.maximum(before[start], behind[passed - 1])):
                yield start, passed - 1
