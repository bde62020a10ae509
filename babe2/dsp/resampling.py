"""Changes the sample rate of audio, or its speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from babe2.dsp.tape import Tape

Quality = Literal["VHQ", "HQ"]  # soxr's: exact to 28 bits, or to 20


def resample(x: Tensor, rate: int, new_rate: int, quality: Quality = "VHQ") -> Tensor:
    """Resamples x (B, T) from `rate` to `new_rate` (Hz): (B, ceil(T * new_rate / rate)), linear phase."""
    return torch.cat(list(resampled([x], rate, new_rate, quality)), dim=1).to(x.device)


def resampled(blocks: Iterable[Tensor], rate: int, new_rate: int, quality: Quality = "VHQ") -> Iterator[Tensor]:
    """Resamples a signal that comes in blocks (B, n); the result does not depend on where they are cut."""
    if rate == new_rate:
        yield from blocks
        return
    import soxr

    stream, taken, given, last = None, 0, 0, np.empty((0, 1), np.float32)
    for block in blocks:
        samples = np.ascontiguousarray(block.T.cpu().numpy(), np.float32)
        stream = stream or soxr.ResampleStream(rate, new_rate, samples.shape[1], dtype="float32", quality=quality)
        out = stream.resample_chunk(samples)
        taken, given, last = taken + len(samples), given + len(out), samples[:0]
        yield torch.from_numpy(np.ascontiguousarray(out.T))
    if stream is not None:
        out = stream.resample_chunk(last, last=True)
        left = -(-taken * new_rate // rate) - given
        out = np.pad(out, ((0, max(0, left - len(out))), (0, 0)))[:left]
        yield torch.from_numpy(np.ascontiguousarray(out.T))


# At any places

TAPS, PHASES = 128, 2048  # of the windowed sinc: flat up to nine tenths of the band, images 100 dB down
BETA = 10.0
_AT_ONCE = 2**11  # places: their weights take 2 MB


def at_places(tape: Tape, places: Tensor, ratio: float = 1.0) -> Tensor:
    """A tape between its samples: (C, n) at `places` (n,), ascending, in samples. Band-limited, in float64.

    Where they lie further apart than the samples do, by the `ratio`, what they cannot carry is left out.
    """
    table = _sinc_table(max(1.0, ratio))
    # In one piece from the beginning: parts between the large weights would keep those' room from being used again.
    found = torch.empty(tape.channels, len(places), dtype=torch.float64)
    for part, some in zip(found.split(_AT_ONCE, dim=1), places.split(_AT_ONCE), strict=True):
        part.copy_(_weighted(tape, some, table))
    return found


def _weighted(tape: Tape, places: Tensor, table: Tensor) -> Tensor:
    """A tape at some neighbouring places (C, n), by weights from a table."""
    reach = table.shape[1] // 2
    whole = places.floor().long()
    phase = (places - whole) * PHASES
    row = phase.long().clamp(max=PHASES - 1)
    weights = torch.lerp(table[row], table[row + 1], (phase - row)[:, None])
    first = int(whole[0]) - reach + 1
    x = tape.read(first, int(whole[-1]) + reach + 1).double()
    near = x.unfold(1, 2 * reach, 1)[:, whole - reach + 1 - first]
    return torch.einsum("cnt,nt->cn", near, weights)


@lru_cache(maxsize=4)
def _sinc_table(ratio: float) -> Tensor:
    """The weights (PHASES + 1, taps) of the samples around a place, by how far it lies behind one of them."""
    taps = 2 * math.ceil(TAPS * ratio / 2)
    cutoff = (1 - 6.4 / TAPS) / ratio  # of half the rate: what is beyond it by half the filter's slope is gone
    behind = torch.arange(PHASES + 1, dtype=torch.float64)[:, None] / PHASES
    away = torch.arange(taps, dtype=torch.float64) - (taps // 2 - 1) - behind
    window = torch.special.i0(BETA * (1 - (2 * away / taps).square()).clamp(min=0).sqrt())
    weights = torch.sinc(cutoff * away) * window
    return weights / weights.sum(dim=1, keepdim=True)
