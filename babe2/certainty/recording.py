"""What is known of the recording behind a restoration: its noise, its band, and how sure its machine's response is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.analysis.chain import RecordingChain
from babe2.certainty.cells import Grid, held
from babe2.dsp.curves import FLAT, Curve, SampledCurve
from babe2.dsp.spectra import decibels
from babe2.dsp.tape import Tape, deviation

UNSTATED_DB = 8.0  # of a response that was judged by its average spectrum alone: its mean error is 3.3 dB


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording (C, T) at the model's rate, and what is known of how it was made."""

    tape: Tape
    within: Curve  # dB: nine times in ten the true response lies so near to the one that was undone
    noise: Curve | None = None  # dB, as power per sample, at the recording's level; None: there is none
    low_hz: float = 0.0  # between these it holds music
    high_hz: float = math.inf

    @staticmethod
    def of(tape: Tape, chain: RecordingChain | None, found: Curve, given: bool) -> Recording:
        """A recording whose machine was judged to be `chain`, restored with a response that was `found` or `given`."""
        within = FLAT if given else response_within(found, chain)
        if chain is None:
            return Recording(tape, within)
        level_db = decibels(deviation(tape).double().square().mean())
        noise = SampledCurve(chain.covering.frequencies, chain.covering.decibels + level_db)
        return Recording(tape, within, noise, chain.first_hz, chain.last_hz)

    def clearness_db(self, grid: Grid) -> Tensor:
        """By how much what was recorded in each cell is stronger than its noise is on average (N, K), dB."""
        recorded = decibels(held([self.tape], grid.sample_rate).power[0])
        if self.noise is None:
            return torch.full_like(recorded, math.inf)
        return recorded - (self.noise.gain_db(grid.hertz) + decibels(grid.white)).float()

    def holds(self, grid: Grid) -> Tensor:
        """Which bands (K,) lie within the recorded one."""
        return (grid.hertz >= self.low_hz) & (grid.hertz <= self.high_hz)


def response_within(found: Curve, chain: RecordingChain | None) -> Curve:
    """Within how many dB of the true response the `found` one lies, nine times in ten, at any frequency.

    The chain was judged with an uncertainty of its own. Where a method found another response than that, the true one
    still lies so near to the chain's.
    """
    if chain is None or chain.uncertainty is None:
        return SampledCurve(torch.tensor([1.0]), torch.tensor([UNSTATED_DB]))
    if found is chain.response:
        return chain.uncertainty
    hertz = chain.uncertainty.frequencies
    apart = found.gain_db(hertz) - chain.response.gain_db(hertz)
    heard = (hertz >= chain.first_hz) & (hertz <= chain.last_hz)
    level = apart[heard].median() if heard.any() else apart.median()
    return SampledCurve(hertz, (apart - level).abs() + chain.uncertainty.decibels)
