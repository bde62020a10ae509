"""What anyone could do without a prior: the restorations that ours has to be better than, beside LTAS-EQ."""

from __future__ import annotations

import torch
from torch import Tensor

from babe2.degradations.response import coloured_by
from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import ReferenceLtas, average_power, decibels, octave_smoothed

DEEPEST_DB = -40.0  # no band is raised by more
PER_OCTAVE = 12
FFT = 4096


def third_octave_ratio(observation: Tensor, sample_rate: int, reference: ReferenceLtas) -> tuple[Tensor, Curve]:
    """The recording (T,) divided by the ratio of its spectrum to the reference's in third octaves; and that ratio."""
    top = 0.9 * min(sample_rate, reference.sample_rate) / 2
    octaves = float(torch.log2(torch.tensor(top / 40)))
    hertz = 40 * 2.0 ** (torch.arange(int(octaves * PER_OCTAVE), dtype=torch.float64) / PER_OCTAVE)
    heard = octave_smoothed(average_power(observation[None, None], FFT, FFT // 4), sample_rate, hertz)
    known = octave_smoothed(reference.power.cpu(), reference.sample_rate, hertz)
    ratio_db = decibels(heard) - decibels(known)
    ratio_db = (ratio_db - ratio_db.median()).clamp(min=DEEPEST_DB)
    return coloured_by(observation, sample_rate, SampledCurve(hertz, -ratio_db)), SampledCurve(hertz, ratio_db)
