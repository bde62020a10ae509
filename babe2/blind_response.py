"""What a recording's average spectrum says of the machine that made it.

A spectrum that departs from the music's average does so for two reasons: the machine coloured it, and this music is
not the average. Both are known in kind: machines have resonances a third of an octave wide and a steep end; music
differs in brightness and in the notes that are played. So the most probable response is found in closed form, and
where the recording says nothing the response stays flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.analysis import ReferenceLtas
from babe2.equalizer import Curve, SampledCurve
from babe2.transforms import amplitude, decibels

PER_OCTAVE = 6  # knots of the response
LOWEST_HZ = 45.0
HEARD_DB = 6.0  # above the noise, a band is music
QUIET_SHARE, QUIET_OF_NOISE = 0.1, 0.105  # the tenth quietest frame of noise has a tenth of its mean power
# A fall of so many dB per octave is a machine's doing where it ends below so many Hz; above, piano music itself may fall
# by 25 dB per octave.
CUTS = ((5500.0, 10.0), (math.inf, 30.0))
BEYOND_DB = 60.0  # per octave, assumed where the recording ends
BELOW_DB = 12.0  # per octave, assumed where it begins

# How much music departs from its average, and machines from flatness: (dB, octaves over which it hangs together).
MUSIC = ((2.5, 0.2), (2.5, 1.0), (2.5, 2.0))
MUSIC_TILT = (5.0, 1000.0)  # dB per octave above so many Hz: brightness differs most
MUSIC_BASS = (4.0, 150.0)  # dB per octave below
HORN = ((4.0, 0.3), (1.5, 1.5))
HORN_KNEE = 30.0  # dB per octave towards the end of its band
HORN_BASS = (10.0, 180.0)
MODERN = ((0.7, 0.4), (0.7, 1.5))  # a recording that reaches up all the way
ROUGHNESS = 0.5  # dB, of a band's measurement


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What is measured of a recording in bands (K,)."""

    hertz: Tensor
    power: Tensor
    noise: Tensor  # never more than what is heard in the quietest moments

    @staticmethod
    def of(x: Tensor, sample_rate: int, fft: int = 4096) -> Spectrum:
        """x (C, T)"""
        window = torch.hann_window(fft, device=x.device)
        frames = torch.stft(x, fft, fft // 4, window=window, center=False, return_complex=True).abs().square()
        frames = frames.double().cpu() / float(window.square().sum())
        hertz = knots(sample_rate)
        weights = band_weights(hertz, sample_rate, fft)
        quiet = weights @ frames.quantile(QUIET_SHARE, dim=-1).mean(dim=0) / QUIET_OF_NOISE
        # Where the recorded band has ended there is only noise, and most machines' noise is nearly white.
        noise = quiet.minimum(quiet[-PER_OCTAVE:].median())
        return Spectrum(hertz, weights @ frames.mean(dim=(0, -1)), noise)

    @property
    def music(self) -> Tensor:
        return (self.power - self.noise).clamp(min=1e-20)

    @property
    def heard(self) -> tuple[int, int]:
        """The first and the last band of music, going outward from 1 kHz."""
        clear = decibels(self.power) - decibels(self.noise) > HEARD_DB
        first = last = int((self.hertz.log2() - math.log2(1000)).abs().argmin())
        while first > 0 and clear[first - 1]:
            first -= 1
        while last + 1 < len(clear) and clear[last + 1]:
            last += 1
        return first, last


@dataclass(frozen=True, eq=False)
class Machine:
    """How a recording was made, as far as it tells."""

    response: Curve
    noise: SampledCurve  # dB, as power per sample
    first_hz: float
    last_hz: float
    ends: bool  # whether the recorded band ends at `last_hz`; else the recording reaches up as far as its music

    def inverse(self, frequencies: Tensor) -> Tensor:
        """What undoes the machine, as a factor (F,); nothing where nothing was recorded."""
        response = self.response.gain_db(frequencies)
        heard = frequencies <= self.last_hz if self.ends else torch.ones_like(frequencies, dtype=torch.bool)
        return torch.where(heard, amplitude(-response), 0.0)


def knots(sample_rate: int) -> Tensor:
    """(K,) Hz"""
    octaves = math.log2(sample_rate / 2 / LOWEST_HZ)
    return LOWEST_HZ * 2.0 ** (torch.arange(int(octaves * PER_OCTAVE) + 1, dtype=torch.float64) / PER_OCTAVE)


def band_weights(hertz: Tensor, sample_rate: int, fft: int) -> Tensor:
    """(K, F): a Gaussian a third of an octave wide around each knot, every octave alike."""
    bins = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64)[1:]
    away = bins.log2()[None] - hertz.log2()[:, None]
    weights = torch.exp(-0.5 * (away * 8) ** 2) / bins
    return torch.nn.functional.pad(weights / weights.sum(dim=1, keepdim=True), (1, 0))


def find_machine(spectrum: Spectrum, reference: ReferenceLtas) -> Machine:
    """The most probable machine of a recording, given its spectrum and that of the music it should be."""
    hertz = spectrum.hertz
    expected = band_weights(hertz, reference.sample_rate, 2 * (len(reference.power) - 1)) @ reference.power.double()
    departure = decibels(spectrum.music) - decibels(expected)
    first, last = spectrum.heard
    ends = last + 1 < len(hertz) and steepest_fall(departure, last) > fall_of_machines(float(hertz[last]))
    octaves = hertz.log2()
    machine = _horn(octaves, float(hertz[last])) if ends else _smooth(octaves, MODERN)
    inside = slice(first, last + 1)
    response = torch.zeros_like(hertz)
    response[inside] = most_probable(departure[inside], machine[inside, inside], _music(octaves)[inside, inside])
    if ends:
        response[last + 1 :] = response[last] - BEYOND_DB * (octaves[last + 1 :] - octaves[last])
        response[:first] = response[first] - BELOW_DB * (octaves[first] - octaves[:first])
    return Machine(
        SampledCurve(hertz, response),
        SampledCurve(hertz, decibels(spectrum.noise)),
        float(hertz[first]),
        float(hertz[last]),
        ends,
    )


def most_probable(departure: Tensor, machine: Tensor, music: Tensor) -> Tensor:
    """The response's part of a departure (K,), given the covariances (K, K) of responses and of music.

    The level is nobody's: it is estimated with the rest and left out.
    """
    both = machine + music + ROUGHNESS**2 * torch.eye(len(departure), dtype=departure.dtype)
    ones = torch.ones_like(departure)
    weights = torch.linalg.solve(both, torch.stack([ones, departure], dim=1))
    level = (ones @ weights[:, 1]) / (ones @ weights[:, 0])
    return machine @ (weights[:, 1] - level * weights[:, 0])


def steepest_fall(departure: Tensor, last: int) -> float:
    """Of the half octaves that end near the last band heard, dB per octave."""
    half = PER_OCTAVE // 2
    ends = range(max(last - half + 1, half), last + 1)
    return max((float(departure[k - half] - departure[k]) * PER_OCTAVE / half for k in ends), default=0.0)


def fall_of_machines(last_hz: float) -> float:
    return next(fall for below_hz, fall in CUTS if last_hz < below_hz)


def _horn(octaves: Tensor, last_hz: float) -> Tensor:
    knee = math.log2(last_hz) - 0.7
    return _smooth(octaves, HORN) + _ramp(octaves - knee, HORN_KNEE) + _below(octaves, HORN_BASS)


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
