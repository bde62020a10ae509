"""The numbers by which certainty is stated: calibrated on known truth (benchmarks/certainty.py, docs/certainty.md)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CLEAR_DB = 10.0  # over its noise, what was recorded in a cell is clear
SAME_DB = 10.0  # samples that have so much more in common than they depart from it are one sound
MEASURED_DB = 6.0  # within so much of the truth, nine times in ten, a clear level counts as measured,
INFERRED_DB = 10.0  # and any level as inferred

NOISE_DB = 12.0  # within which a level is known where the recording is just as strong as its noise; less where clearer
NOTHING_DB = 40.0  # no bound is wider: nothing is known then
PRIOR_DB = 18.0  # within which the level of music is known whose band was not recorded at all
# Of clean recordings bounds of 1 to 2 dB come out, which hold 99 true levels of 100. So bounds from SURE_DB to KEPT_DB
# are narrowed, and WIDEST_DB becomes NARROWED_DB.
SURE_DB, NARROWED_DB, WIDEST_DB, KEPT_DB = 0.8, 1.0, 2.0, 2.5
DRAWN = 1.645 * math.sqrt(2)  # times the spread of samples: nine in ten of them, and of truths, differ by no more


def within_db(spread: Tensor, response: Tensor, clear: Tensor, heard: Tensor) -> Tensor:
    """The bound, dB, within which nine in ten true levels lie (N, K).

    `spread` (N, K) is that of samples, dB; `response` (K,) the bound of the machine's; `clear` (N, K) by how much the
    recording exceeds its noise, dB; and `heard` (N, K) says where the recording tells anything at all.
    """
    told = response.square() + (NOISE_DB * 10 ** (-clear / 20)).square()
    bound = (torch.where(heard, told, PRIOR_DB**2) + (DRAWN * spread).square()).sqrt()
    return narrowed(bound).clamp(max=NOTHING_DB)


def narrowed(bound: Tensor) -> Tensor:
    """The bound that is stated, of one that came out."""
    low = SURE_DB + (bound - SURE_DB) * (NARROWED_DB - SURE_DB) / (WIDEST_DB - SURE_DB)
    high = NARROWED_DB + (bound - WIDEST_DB) * (KEPT_DB - NARROWED_DB) / (KEPT_DB - WIDEST_DB)
    return bound.minimum(low.maximum(high))
