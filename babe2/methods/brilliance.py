"""How loud what is generated should be: brought to the level that such music has above the recorded band.

A prior that has learned from few recordings fills in what belongs there, but tends to be too soft. How bright this
music is can be judged better from all that the recording tells (analysis/estimator.py). Notes, partials and moments
are the prior's; only their level is changed, by a smooth gain above the band's end that is the same throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from babe2.analysis.chain import RecordingChain
from babe2.analysis.evidence import band_centres, frame_length, reference_levels
from babe2.dsp.bands import octave_means
from babe2.dsp.curves import Curve, SampledCurve, WeightedSum
from babe2.dsp.spectra import Equalised, ReferenceLtas, average_power, decibels
from babe2.dsp.tape import Tape

FFT = 1024  # in which the gain is applied, long enough for a smooth one
REACH = FFT  # samples beyond a place on which its sound depends
MOST_DB, LEAST_DB = 12.0, -10.0  # of the gain
LOW = (0.5, 0.85)  # of the band's end: what is recorded there tells how bright these moments are
RAMP = 2 ** (1 / 6)  # from so far below the band's end, as a factor, to so far above it the gain sets in
SMOOTHING = 1.5  # bands, standard deviation


class Brilliance:
    """The gain that what is generated is given."""

    def __init__(self, chain: RecordingChain, reference: ReferenceLtas, brightness: float = 0.0) -> None:
        """`brightness` is what a listener wishes on top, dB per octave."""
        self._chain, self._reference, self._brightness = chain, reference, brightness

    @property
    def wanted(self) -> bool:
        """Whether a listener wishes it brighter, or there is a band's end and somebody who knows what lies above."""
        return bool(self._brightness) or self._lifts

    @property
    def _lifts(self) -> bool:
        return self._chain.ends and self._chain.music is not None

    def applied(self, tape: Tape, start: int, stop: int) -> Tape:
        """A restored tape (C, T) with its gain; it is measured between two places, where the music is finished."""
        rate = self._reference.sample_rate
        gain: Curve = brightened(self._brightness)
        if self._lifts:
            gain = WeightedSum((gain, self.gain(tape.read(start, min(stop, tape.samples)), rate)), (1.0, 1.0))
        return Equalised(tape, gain.magnitude(FFT, rate).float(), FFT, FFT, FFT // 4)

    def gain(self, restored: Tensor, sample_rate: int) -> SampledCurve:
        """The gain, dB, for sound like this (C, T)."""
        hertz, end_hz = band_centres(), self._chain.last_hz
        fft = frame_length(sample_rate)
        power = average_power(restored[:, None], fft, fft // 4).double()
        found = decibels(octave_means(hertz, sample_rate, fft) @ power)
        assert self._chain.music is not None
        missing = reference_levels(self._reference) + self._chain.music.gain_db(hertz) - found
        below = (hertz > LOW[0] * end_hz) & (hertz < LOW[1] * end_hz) & (hertz > self._chain.first_hz)
        if not below.any() or not torch.isfinite(missing).all():
            return SampledCurve(hertz, torch.zeros_like(hertz))
        lift = (missing - missing[below].mean()).clamp(LEAST_DB, MOST_DB)
        return SampledCurve(hertz, _smoothed(lift) * _ramp(hertz, end_hz))


def brightened(slope: float) -> Curve:
    """A gain of so many dB per octave above 1 kHz."""
    return SampledCurve(torch.tensor([1000.0, 16000.0]), torch.tensor([0.0, 4 * slope]))


def _smoothed(lift: Tensor) -> Tensor:
    """Averaged over neighbouring bands (K,)."""
    reach = int(3 * SMOOTHING)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=lift.dtype) / SMOOTHING) ** 2)
    padded = torch.nn.functional.pad(lift[None, None], (reach, reach), mode="replicate")
    return torch.nn.functional.conv1d(padded, (weights / weights.sum())[None, None])[0, 0]


def _ramp(hertz: Tensor, end_hz: float) -> Tensor:
    """From 0 below the band's end to 1 above it (K,)."""
    octaves = torch.log2(hertz / (end_hz / RAMP)) / torch.log2(torch.tensor(RAMP**2, dtype=torch.float64))
    return octaves.clamp(0, 1)
