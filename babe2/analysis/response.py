"""The response of the recording chain, estimated in closed form from a recording's average spectrum: the baseline.

A spectrum that departs from the music's average does so for two reasons: the recording chain (horn or microphone,
cutter, pressing, transfer) coloured it, and this music is not the average. Both are known in kind: recording chains
have resonances a third of an octave wide and a steep end; music differs in brightness and in the notes that are
played. So the most probable response is found in closed form, and where the recording says nothing it stays flat.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from babe2.analysis.band import HEARD, band_by_level
from babe2.analysis.chain import RecordingChain
from babe2.analysis.spectrum import PER_OCTAVE, Spectrum
from babe2.dsp.bands import octave_means
from babe2.dsp.curves import SampledCurve
from babe2.dsp.spectra import ReferenceLtas, decibels

# A fall of so many dB per octave is a recording chain's doing where it ends below so many Hz; above, piano music itself
# may fall by 25 dB per octave.
CUTS = ((5500.0, 10.0), (math.inf, 30.0))
BEYOND_DB = 60.0  # per octave, at least, assumed where the recording ends
BELOW_DB = 12.0  # per octave, assumed where it begins
ABRUPT = 2.0  # where it ends at once, the response is taken to fall by so many times what can be seen, in dB
STEP = 2 ** (1 / 36)  # the factor in frequency over which it does

# How much music departs from its average, and recording chains from flatness: (dB, octaves over which it hangs
# together).
MUSIC = ((3.5, 0.2), (2.5, 1.0), (2.5, 2.0))
MUSIC_TILT = (5.0, 1000.0)  # dB per octave above so many Hz: brightness differs most
MUSIC_BASS = (4.0, 150.0)  # dB per octave below
HORN = ((5.0, 0.3), (1.5, 1.5))
KNEE, KNEE_DB, KNEE_SPREAD_DB = 0.7, 25.0, 20.0  # so many octaves before its end a band falls, dB per octave
HORN_BASS = (10.0, 180.0)
MODERN = ((0.7, 0.4), (0.7, 1.5))  # a recording that reaches up all the way
ROUGHNESS = 0.5  # dB, of a band's measurement


def estimate_response(spectrum: Spectrum, reference: ReferenceLtas) -> RecordingChain:
    """The most probable recording chain, given a recording's spectrum and that of the music it should be."""
    hertz, band = spectrum.hertz, band_by_level(spectrum)
    assert band.low_hz is not None and band.high_hz is not None  # as that judgement always finds one
    first_hz, last_hz = band.low_hz, band.high_hz
    weights = octave_means(hertz, reference.sample_rate, 2 * (len(reference.power) - 1))
    expected = decibels(weights @ reference.power.cpu().double())
    first = int(torch.searchsorted(hertz, first_hz))
    last = int(torch.searchsorted(hertz, last_hz, right=True)) - 1
    departure = decibels(spectrum.music) - expected
    most = decibels(HEARD * spectrum.beyond(last_hz)) - expected
    seen = torch.cat([departure[: last + 1], most[last + 1 :]])
    ends = last + 1 < len(hertz) and steepest_fall(seen, last) > least_fall(last_hz)
    octaves = hertz.log2()
    chain = _horn(octaves, last_hz) if ends else _smooth(octaves, MODERN)
    inside = slice(first, last + 1)
    response = torch.zeros_like(hertz)
    usual = -KNEE_DB * past_knee(octaves, last_hz) if ends else torch.zeros_like(hertz)
    found, level = most_probable((departure - usual)[inside], chain[inside, inside], _music(octaves)[inside, inside])
    response[inside] = usual[inside] + found
    points = hertz
    if ends:
        response[:first] = response[first] - BELOW_DB * (octaves[first] - octaves[:first])
        points, response = _ended(hertz, response, last, last_hz, most - level)
    return RecordingChain(SampledCurve(points, response), spectrum.noise_curve, first_hz, last_hz, ends)


def _ended(hertz: Tensor, response: Tensor, last: int, last_hz: float, most: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies and a response (K,) that goes on until `last_hz` and no further, given the most it may be beyond."""
    beyond = torch.cat([hertz.new_tensor([last_hz * STEP]), hertz[hertz > last_hz * STEP]])
    fall = response[last] - torch.cat([most[last + 1 : last + 2], most[hertz > last_hz * STEP]])
    line = BEYOND_DB * (beyond / last_hz).log2()
    after = response[last] - line.maximum(ABRUPT * fall)
    points = torch.cat([hertz[: last + 1], hertz.new_tensor([last_hz]), beyond])
    return points, torch.cat([response[: last + 1], response[last : last + 1], after])


def most_probable(departure: Tensor, chain: Tensor, music: Tensor) -> tuple[Tensor, float]:
    """The response's part of a departure (K,), and the level, given the covariances (K, K) of responses and of music.

    The level belongs to neither: it is estimated with the rest and left out.
    """
    both = chain + music + ROUGHNESS**2 * torch.eye(len(departure), dtype=departure.dtype)
    ones = torch.ones_like(departure)
    weights = torch.linalg.solve(both, torch.stack([ones, departure], dim=1))
    level = (ones @ weights[:, 1]) / (ones @ weights[:, 0])
    return chain @ (weights[:, 1] - level * weights[:, 0]), float(level)


def steepest_fall(departure: Tensor, last: int) -> float:
    """The steepest of the half octaves that end around the last band heard, dB per octave."""
    half = PER_OCTAVE // 2
    ends = range(max(last - half + 1, half), min(last + half, len(departure) - 1) + 1)
    return max((float(departure[k - half] - departure[k]) * PER_OCTAVE / half for k in ends), default=0.0)


def least_fall(last_hz: float) -> float:
    """How steep, dB per octave, a fall must be for a recording chain to be its cause, where it ends at so many Hz."""
    return next(fall for below_hz, fall in CUTS if last_hz < below_hz)


def past_knee(octaves: Tensor, last_hz: float) -> Tensor:
    """Octaves (K,) beyond where a band that ends at `last_hz` begins to fall."""
    return (octaves - math.log2(last_hz) + KNEE).clamp(min=0)


def _horn(octaves: Tensor, last_hz: float) -> Tensor:
    return _smooth(octaves, HORN) + _ramp(past_knee(octaves, last_hz), KNEE_SPREAD_DB) + _below(octaves, HORN_BASS)


def _music(octaves: Tensor) -> Tensor:
    slope, above = MUSIC_TILT
    return _smooth(octaves, MUSIC) + _ramp(octaves - math.log2(above), slope) + _below(octaves, MUSIC_BASS)


def _smooth(octaves: Tensor, kinds: tuple[tuple[float, float], ...]) -> Tensor:
    apart = octaves[:, None] - octaves[None]
    return sum((db**2 * torch.exp(-0.5 * (apart / reach) ** 2) for db, reach in kinds), torch.zeros_like(apart))


def _below(octaves: Tensor, kind: tuple[float, float]) -> Tensor:
    slope, hertz = kind
    return _ramp(math.log2(hertz) - octaves, slope)


def _ramp(beyond: Tensor, slope: float) -> Tensor:
    rise = slope * beyond.clamp(min=0)
    return rise[:, None] * rise[None]
