"""The machine that made a recording: found by weighing all that the recording tells (evidence.py, estimator.py).

The closed form (response.py), which knows a recording's average spectrum only, is the baseline that this has to beat,
and what a recording too short for anything else is judged by.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from babe2.analysis.chain import RecordingChain
from babe2.analysis.estimator import Guess, load_network
from babe2.analysis.evidence import Evidence, band_centres, beside, evidence_of_channels, reference_levels
from babe2.analysis.response import estimate_response
from babe2.analysis.spectrum import FAINTEST, Spectrum
from babe2.dsp.bands import run_around
from babe2.dsp.curves import SampledCurve
from babe2.dsp.excerpts import excerpts, excerpts_and_deviation
from babe2.dsp.spectra import ReferenceLtas, decibels
from babe2.dsp.tape import Tape

BEYOND_DB = 60.0  # per octave, by which the response falls beyond where the band ends
BEHIND_WALL_DB, WALL_OCTAVES = 80.0, 1 / 12  # so much it falls first behind a wall, where silence says nothing
BELOW_DB = 12.0  # and below where it begins
CORE_HZ = (200.0, 1500.0)  # where the response is 0 dB on average
SURE, VERY_SURE, FALL_DB = 2.0, 6.0, 6.0  # log odds and dB: by them a band is taken to be ended by a machine
HIGHEST_HZ = 9500.0  # a band that reaches up so far has no end to speak of
WITHIN = math.log(10)  # of a Laplace distribution, nine in ten lie within so many scales


def find_machine(
    x: Tensor | Tape, sample_rate: int, reference: ReferenceLtas, *, same_room: bool = False
) -> RecordingChain:
    """The recording chain of x (C, T); of more than five minutes, evenly spaced excerpts are looked at.

    `reference` is the average spectrum of such music; `same_room` says that it was played by the same instrument and in
    the same room, so that the recording's own music can be expected to sound like it.
    """
    return find_machine_of_channels(list(excerpts(x, sample_rate).audio), sample_rate, reference, same_room=same_room)


def find_machine_at_unit_level(
    tape: Tape, sample_rate: int, reference: ReferenceLtas, *, same_room: bool = False
) -> tuple[RecordingChain, Tensor]:
    """The same of a tape, each channel brought to a standard deviation of one; and those it had (C,).

    The tape is read once. No channel may be silent.
    """
    found, deviation = excerpts_and_deviation(tape, sample_rate)
    unit = [channel * gain for channel, gain in zip(found.audio, (1 / deviation).to(found.audio), strict=True)]
    return find_machine_of_channels(unit, sample_rate, reference, same_room=same_room), deviation


def find_machine_of_channels(
    channels: list[Tensor], sample_rate: int, reference: ReferenceLtas, *, same_room: bool = False
) -> RecordingChain:
    """The same of channels (excerpts, T), each as loud as it is to count."""
    evidence = evidence_of_channels(channels, sample_rate)
    if evidence is None:
        return estimate_response(Spectrum.of_channels(channels, sample_rate), reference)
    return weighed(evidence, reference, same_room)


@torch.no_grad()
def weighed(evidence: Evidence, reference: ReferenceLtas, same_room: bool = False) -> RecordingChain:
    """What follows from the evidence."""
    features = beside(evidence, reference_levels(reference))
    guess = load_network()(features[None].float(), torch.tensor([float(same_room)]))
    return chain_of(Guess(*(column[0].double() for column in guess)), evidence.power, evidence.wall_hz)


def chain_of(guess: Guess, power: Tensor, wall_hz: float = math.inf) -> RecordingChain:
    """A guess as curves; `power` (K,) is the recording's in each band, of which nothing is left above the wall.

    Between music and noise that a wall took away alike, the guess still sees the music in front.
    """
    hertz = band_centres()
    noise = (power / (1 + 10 ** (guess.snr / 10))).clamp(min=max(float(FAINTEST * power.mean()), 1e-20))
    curve = SampledCurve(hertz, decibels(noise))
    first_hz, last_hz = heard_band(guess.snr)
    walled = wall_hz < last_hz
    last_hz = min(last_hz, wall_hz)
    ends = last_hz < HIGHEST_HZ and (walled or is_ended(guess, first_hz, last_hz))
    inside = (hertz >= first_hz) & (hertz <= last_hz)
    core = inside & (hertz > CORE_HZ[0]) & (hertz < CORE_HZ[1])
    response = guess.response - guess.response[core if core.any() else inside].mean()
    points, response = _continued(hertz, response, first_hz, last_hz, ends, walled)
    unsure = SampledCurve(hertz, WITHIN * guess.scale)
    music = SampledCurve(hertz, guess.music)
    hears = bool((guess.snr > 0).any())
    return RecordingChain(SampledCurve(points, response), curve, first_hz, last_hz, ends, unsure, hears, music)


def is_ended(guess: Guess, first_hz: float, last_hz: float) -> bool:
    """Whether a machine ended the band at `last_hz`, and not the music: the response falls there, or it is very sure.

    A dark piano under hiss ends as high as an old machine; but then the response stays level.
    """
    curve = SampledCurve(band_centres(), guess.response)
    inside = torch.linspace(max(first_hz, CORE_HZ[0]), max(last_hz / 1.2, CORE_HZ[0] + 1), 50, dtype=torch.float64)
    at_end = curve.gain_db(torch.tensor([last_hz], dtype=torch.float64))
    fall = float(curve.gain_db(inside).median() - at_end)
    return bool(guess.ends > VERY_SURE) or (bool(guess.ends > SURE) and fall > FALL_DB)


def heard_band(snr: Tensor) -> tuple[float, float]:
    """Where music is stronger than noise, around 1 kHz, Hz; the whole where it is nowhere. snr (K,) is in dB."""
    hertz = band_centres()
    octaves = hertz.log2()
    clear = snr > 0
    if not clear.any():
        return float(hertz[0]), float(hertz[-1])
    first, last = run_around(clear, int((octaves - math.log2(1000)).abs().masked_fill(~clear, math.inf).argmin()))
    return _crossing(octaves, snr, first, first - 1), _crossing(octaves, snr, last, last + 1)


def _crossing(octaves: Tensor, snr: Tensor, inside: int, outside: int) -> float:
    """Where music and noise are equally strong between two neighbouring bands, Hz."""
    if not 0 <= outside < len(snr):
        return float(2 ** octaves[inside])
    share = float(snr[inside] / (snr[inside] - snr[outside]))
    return float(2 ** (octaves[inside] + share * (octaves[outside] - octaves[inside])))


def _continued(
    hertz: Tensor, response: Tensor, first_hz: float, last_hz: float, ends: bool, walled: bool
) -> tuple[Tensor, Tensor]:
    """Frequencies and response (P,) that go on as machines do where nothing is heard, and walls."""
    known = SampledCurve(hertz, response)
    inside = hertz[(hertz > first_hz) & (hertz < last_hz)]
    points = torch.cat([hertz.new_tensor([first_hz]), inside, hertz.new_tensor([last_hz])])
    levels = known.gain_db(points)
    below = hertz[hertz < first_hz]
    points, levels = (
        torch.cat([below, points]),
        torch.cat([levels[0] + BELOW_DB * (below / first_hz).log2(), levels]),
    )
    if not ends:
        return points, levels
    octaves, end_db = torch.linspace(0.25, 4, 16, dtype=torch.float64), levels[-1]
    if walled:
        octaves, end_db = torch.cat([octaves.new_tensor([WALL_OCTAVES]), octaves]), end_db - BEHIND_WALL_DB
    beyond = last_hz * 2.0**octaves
    return torch.cat([points, beyond]), torch.cat([levels, end_db - BEYOND_DB * (beyond / last_hz).log2()])
