"""What a recording's average spectrum says of the machine that made it.

A spectrum that departs from the music's average does so for two reasons: the machine coloured it, and this music is
not the average. Both are known in kind: machines have resonances a third of an octave wide and a steep end; music
differs in brightness and in the notes that are played. So the most probable response is found in closed form, and
where the recording says nothing the response stays flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import FRAMES, ReferenceLtas, amplitude, decibels, excerpts
from babe2.dsp.tape import Tape

PER_OCTAVE = 6  # knots of the response
LOWEST_HZ = 45.0
HEARD = 2.5  # times the power of the noise: a band is music
QUIET_SHARE, QUIET_OF_NOISE = 0.1, 0.105  # a tenth of all frames of noise have a tenth of its mean power or less
LOUD_SHARE, LOUD_OF_NOISE = 0.9, 2.3  # a tenth have more than so many times it; clicks are rarer and louder
FEWEST_FRAMES = 16  # of fewer nobody can tell what is noise
FEW_BINS = 128  # that are sorted at once
SILENCE = 1e-7  # of the mean power: frames below it are no part of the recording
FAINTEST = 1e-9  # of the mean power: what is weaker comes from rounding and resampling, and is nothing
# A fall of so many dB per octave is a machine's doing where it ends below so many Hz; above, piano music itself may
# fall by 25 dB per octave.
CUTS = ((5500.0, 10.0), (math.inf, 30.0))
BEYOND_DB = 60.0  # per octave, at least, assumed where the recording ends
BELOW_DB = 12.0  # per octave, assumed where it begins
ABRUPT = 2.0  # where it ends at once, the response is taken to fall by so many times what can be seen, in dB
STEP = 2 ** (1 / 36)  # the factor in frequency over which it does
CLEAR_DB = 40.0  # how far below its highest point the response is undone when the music's level is measured

# How much music departs from its average, and machines from flatness: (dB, octaves over which it hangs together).
MUSIC = ((3.5, 0.2), (2.5, 1.0), (2.5, 2.0))
MUSIC_TILT = (5.0, 1000.0)  # dB per octave above so many Hz: brightness differs most
MUSIC_BASS = (4.0, 150.0)  # dB per octave below
HORN = ((5.0, 0.3), (1.5, 1.5))
KNEE, KNEE_DB, KNEE_SPREAD_DB = 0.7, 25.0, 20.0  # so many octaves before its end a band falls, dB per octave
HORN_BASS = (10.0, 180.0)
MODERN = ((0.7, 0.4), (0.7, 1.5))  # a recording that reaches up all the way
ROUGHNESS = 0.5  # dB, of a band's measurement


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What is measured of a recording: power per sample, in bands (K,) and in bins (F,)."""

    hertz: Tensor  # (K,)
    power: Tensor  # (K,)
    noise: Tensor  # (K,) never more than what is heard in the quietest moments
    fine_hertz: Tensor  # (F,)
    fine_power: Tensor  # (F,) without clicks: from what is exceeded a tenth of the time
    faintest: Tensor  # () what is weaker is nothing

    @staticmethod
    def of(x: Tensor | Tape, sample_rate: int, fft: int = 4096) -> Spectrum:
        """x (C, T); of more than five minutes, evenly spaced excerpts are looked at."""
        each = [_powers(channel[0], fft) for channel in excerpts(x, sample_rate)[0].split(1)]
        power, often, quiet = torch.stack(each).mean(dim=0)
        faintest = FAINTEST * power.mean().clamp(min=1e-20)
        # Where the recorded band has ended there is only noise, and most machines' noise is nearly white. Above the
        # band of a file of a low rate there is not even that.
        end = int((power > faintest).nonzero().max()) if (power > faintest).any() else len(power) - 1
        white = quiet[end // 2 : end + 1].median()
        hertz = knots(sample_rate)
        weights = band_weights(hertz, sample_rate, fft)
        noise = (weights @ quiet).minimum(white).maximum(faintest)
        fine_hertz = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64)
        return Spectrum(hertz, weights @ power, noise, fine_hertz, often, faintest)

    @property
    def music(self) -> Tensor:
        return (self.power - self.noise).clamp(min=1e-20)

    @property
    def heard(self) -> tuple[int, int]:
        """The first and the last band of music, going outward from the one next to 1 kHz; all where there is none."""
        clear = self.beyond(0.0) > HEARD * self.noise  # without clicks
        if not clear.any():
            return 0, len(clear) - 1
        away = (self.hertz.log2() - math.log2(1000)).abs()
        first = last = int(away.masked_fill(~clear, math.inf).argmin())
        while first > 0 and clear[first - 1]:
            first -= 1
        while last + 1 < len(clear) and clear[last + 1]:
            last += 1
        return first, last

    def end_hz(self, last: int) -> float:
        """To where the music of the `last` band heard reaches; bands are wide, and see an end from beyond it."""
        place = torch.searchsorted(self.hertz, self.fine_hertz)  # of the band at or above each bin
        noise = self.noise[place.clamp(max=len(self.hertz) - 1)]
        clear = ((place <= last + 1) & (self.fine_power > HEARD * noise)).nonzero()
        return float(self.fine_hertz[clear.max()]) if len(clear) else float(self.hertz[last])

    def beyond(self, hertz: float) -> Tensor:
        """The power in each band (K,), had it looked only at what lies beyond so many Hz."""
        weights = band_weights(self.hertz, 2 * float(self.fine_hertz[-1]), 2 * (len(self.fine_hertz) - 1))
        weights = weights * (self.fine_hertz > hertz)
        return (weights @ self.fine_power / weights.sum(dim=1).clamp(min=1e-30)).maximum(self.faintest)


def _powers(x: Tensor, fft: int) -> Tensor:
    """Of one channel (excerpts, T), per sample and in each bin, on the host: the mean power, what it would be of noise
    that is exceeded as often as the channel's loud moments are, and the same of its quiet moments (3, F)."""
    window, hop = torch.hann_window(fft, device=x.device), fft // 4
    if x.shape[-1] < fft:
        x = torch.nn.functional.pad(x, (0, fft - x.shape[-1]))
    each = (x.shape[-1] - fft) // hop + 1
    frames = x.new_empty(fft // 2 + 1, len(x) * each)
    for excerpt, first in product(range(len(x)), range(0, each, FRAMES)):  # complex spectra of five minutes are large
        last = min(first + FRAMES, each)
        piece = x[excerpt, first * hop : (last - 1) * hop + fft]
        spectra = torch.stft(piece, fft, hop, window=window, center=False, return_complex=True)
        frames[:, excerpt * each + first : excerpt * each + last] = spectra.abs().square_()
    frames.div_(window.square().sum())
    loudness = frames.mean(dim=0)
    if not (sounds := loudness > SILENCE * loudness.mean()).all():
        frames = frames[:, sounds]
    if frames.shape[1] == 0:
        return torch.zeros(3, fft // 2 + 1, dtype=torch.float64)
    mean = frames.mean(dim=1)
    if frames.shape[1] < FEWEST_FRAMES:
        return torch.stack([mean, mean, torch.zeros_like(mean)]).cpu().double()
    shares = frames.new_tensor([QUIET_SHARE, LOUD_SHARE])
    quiet, loud = torch.cat([bins.quantile(shares, dim=1) for bins in frames.split(FEW_BINS)], dim=1)
    return torch.stack([mean, loud / LOUD_OF_NOISE, quiet / QUIET_OF_NOISE]).cpu().double()


@dataclass(frozen=True, eq=False)
class RecordingChain:
    """How a recording was made, as far as it tells."""

    response: Curve
    noise: SampledCurve  # dB, as power per sample
    first_hz: float
    last_hz: float
    ends: bool  # whether the recorded band ends at `last_hz`; else the recording reaches up as far as its music

    def inverse(self, frequencies: Tensor) -> Tensor:
        """What undoes the machine, as a factor (F,); nothing where no music was heard or hardly any could be."""
        response = self.response.gain_db(frequencies)
        heard = (frequencies >= self.first_hz) & (frequencies <= self.last_hz)
        if not heard.any():  # a whistle or a hum
            return torch.ones_like(frequencies)
        highest = response.masked_fill(~heard, -math.inf).amax()
        return torch.where(heard & (response > highest - CLEAR_DB), amplitude(-response), 0.0)


def knots(sample_rate: int) -> Tensor:
    """(K,) Hz"""
    octaves = math.log2(sample_rate / 2 / LOWEST_HZ)
    return LOWEST_HZ * 2.0 ** (torch.arange(int(octaves * PER_OCTAVE) + 1, dtype=torch.float64) / PER_OCTAVE)


def band_weights(hertz: Tensor, sample_rate: float, fft: int) -> Tensor:
    """(K, F): a Gaussian a third of an octave wide around each knot, every octave alike."""
    bins = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64)[1:]
    away = bins.log2()[None] - hertz.log2()[:, None]
    weights = torch.exp(-0.5 * (away * 8) ** 2) / bins
    return torch.nn.functional.pad(weights / weights.sum(dim=1, keepdim=True), (1, 0))


def estimate_response(spectrum: Spectrum, reference: ReferenceLtas) -> RecordingChain:
    """The most probable machine of a recording, given its spectrum and that of the music it should be."""
    hertz, (first, last) = spectrum.hertz, spectrum.heard
    weights = band_weights(hertz, reference.sample_rate, 2 * (len(reference.power) - 1))
    expected = decibels(weights @ reference.power.cpu().double())
    last_hz = max(spectrum.end_hz(last), float(hertz[first]))
    last = int(torch.searchsorted(hertz, last_hz, right=True)) - 1
    departure = decibels(spectrum.music) - expected
    most = decibels(HEARD * spectrum.beyond(last_hz)) - expected
    seen = torch.cat([departure[: last + 1], most[last + 1 :]])
    ends = last + 1 < len(hertz) and steepest_fall(seen, last) > fall_of_machines(last_hz)
    octaves = hertz.log2()
    machine = _horn(octaves, last_hz) if ends else _smooth(octaves, MODERN)
    inside = slice(first, last + 1)
    response = torch.zeros_like(hertz)
    usual = -KNEE_DB * past_knee(octaves, last_hz) if ends else torch.zeros_like(hertz)
    found, level = most_probable((departure - usual)[inside], machine[inside, inside], _music(octaves)[inside, inside])
    response[inside] = usual[inside] + found
    points = hertz
    if ends:
        response[:first] = response[first] - BELOW_DB * (octaves[first] - octaves[:first])
        points, response = _ended(hertz, response, last, last_hz, most - level)
    return RecordingChain(
        SampledCurve(points, response),
        SampledCurve(hertz, decibels(spectrum.noise)),
        float(hertz[first]),
        last_hz,
        ends,
    )


def _ended(hertz: Tensor, response: Tensor, last: int, last_hz: float, most: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies and a response (K,) that goes on until `last_hz` and no further, given the most it may be beyond."""
    beyond = torch.cat([hertz.new_tensor([last_hz * STEP]), hertz[hertz > last_hz * STEP]])
    fall = response[last] - torch.cat([most[last + 1 : last + 2], most[hertz > last_hz * STEP]])
    line = BEYOND_DB * (beyond / last_hz).log2()
    after = response[last] - line.maximum(ABRUPT * fall)
    points = torch.cat([hertz[: last + 1], hertz.new_tensor([last_hz]), beyond])
    return points, torch.cat([response[: last + 1], response[last : last + 1], after])


def most_probable(departure: Tensor, machine: Tensor, music: Tensor) -> tuple[Tensor, float]:
    """The response's part of a departure (K,), and the level, given the covariances (K, K) of responses and of music.

    The level is nobody's: it is estimated with the rest and left out.
    """
    both = machine + music + ROUGHNESS**2 * torch.eye(len(departure), dtype=departure.dtype)
    ones = torch.ones_like(departure)
    weights = torch.linalg.solve(both, torch.stack([ones, departure], dim=1))
    level = (ones @ weights[:, 1]) / (ones @ weights[:, 0])
    return machine @ (weights[:, 1] - level * weights[:, 0]), float(level)


def steepest_fall(departure: Tensor, last: int) -> float:
    """Of the half octaves that end around the last band heard, dB per octave."""
    half = PER_OCTAVE // 2
    ends = range(max(last - half + 1, half), min(last + half, len(departure) - 1) + 1)
    return max((float(departure[k - half] - departure[k]) * PER_OCTAVE / half for k in ends), default=0.0)


def fall_of_machines(last_hz: float) -> float:
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
