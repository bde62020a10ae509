"""The level of a signal as a compressor follows it: up fast, down slowly."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 500.0  # nepers by which a block may fall: what float64 can hold
LONGEST = 4096  # samples in a block
MOST_ROUNDS = 200


def smoothing(milliseconds: float, sample_rate: int) -> float:
    """The factor of a one-pole smoother whose cut-off is one in so many milliseconds.

    >>> round(smoothing(10, 44100), 6)
    0.985853
    """
    return math.exp(-2000 * math.pi / (sample_rate * milliseconds))


def settling(factor: float, remains: float = 1e-12) -> int:
    """After how many samples such a smoother has forgotten where it began, but for a share that `remains`."""
    return math.ceil(math.log(remains) / math.log(factor))


def peak_envelope(level: Tensor, attack: float, release: float) -> Tensor:
    """The envelope e (T,) of a level (T,), which is not negative, in float64 and from rest.

    e_n = level_n + c (e_{n-1} - level_n), where c is `attack` if level_n > e_{n-1}, else `release`. Which of the two it
    is at each sample is guessed; the guess makes the recursion linear, and a sum gives it; what comes out of it is a
    better guess. With attack below release e_n is the larger of the two choices, so no round makes any e smaller, and
    the guess that repeats itself is the recursion's own (policy iteration). It takes a few rounds.

    >>> peak_envelope(torch.tensor([1.0, 1.0, 0.0]), 0.5, 0.9)
    tensor([0.5000, 0.7500, 0.6750], dtype=torch.float64)
    """
    x = level.double()
    block = max(1, min(LONGEST, len(x), int(SMALLEST / -math.log(min(attack, release)))))
    padded = F.pad(x, (0, -len(x) % block))
    choices = padded.new_tensor([release, attack])
    rising = padded > 0.5 * padded.mean()
    for _ in range(MOST_ROUNDS):
        factors = choices[rising.long()]
        envelope = _recursion(factors.reshape(-1, block), ((1 - factors) * padded).reshape(-1, block))
        again = padded > F.pad(envelope[:-1], (1, 0))
        if torch.equal(again, rising):
            break
        rising = again
    return envelope[: len(x)]


def _recursion(factors: Tensor, added: Tensor) -> Tensor:
    """e_n = factors_n e_{n-1} + added_n from rest, over blocks (N, B): (N * B,)."""
    falling = factors.cumprod(dim=1)
    from_rest = falling * (added / falling).cumsum(dim=1)
    before, last = [], 0.0
    for fallen, end in zip(falling[:, -1].tolist(), from_rest[:, -1].tolist(), strict=True):
        before.append(last)
        last = fallen * last + end
    return (from_rest + falling * falling.new_tensor(before)[:, None]).flatten()
