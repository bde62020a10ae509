"""Changes the sample rate of audio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor


def resample(x: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resamples x (B, T) from `rate` to `new_rate` (Hz): (B, ceil(T * new_rate / rate)), linear phase."""
    return torch.cat(list(resampled([x], rate, new_rate)), dim=1).to(x.device)


def resampled(blocks: Iterable[Tensor], rate: int, new_rate: int) -> Iterator[Tensor]:
    """Resamples a signal that comes in blocks (B, n); the result does not depend on where they are cut."""
    if rate == new_rate:
        yield from blocks
        return
    import soxr

    stream, taken, given, last = None, 0, 0, np.empty((0, 1), np.float32)
    for block in blocks:
        samples = np.ascontiguousarray(block.T.cpu().numpy(), np.float32)
        stream = stream or soxr.ResampleStream(rate, new_rate, samples.shape[1], dtype="float32", quality="VHQ")
        out = stream.resample_chunk(samples)
        taken, given, last = taken + len(samples), given + len(out), samples[:0]
        yield torch.from_numpy(np.ascontiguousarray(out.T))
    if stream is not None:
        out = stream.resample_chunk(last, last=True)
        left = -(-taken * new_rate // rate) - given
        out = np.pad(out, ((0, max(0, left - len(out))), (0, 0)))[:left]
        yield torch.from_numpy(np.ascontiguousarray(out.T))
