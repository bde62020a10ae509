"""The noise behind an old recording: the groove's surface, its crackle, hum and rumble."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.dsp.curves import FLAT, Curve, SampledCurve
from babe2.dsp.spectra import amplitude, bin_frequencies

# Third-octave levels from 62.5 Hz on, dB over that at 1 kHz, measured on run-out grooves, dust, crackle and film (CC0,
# freesound users through consint/Tumult and sonic-pi).
MEASURED = {
    "hiss": (13, 12, 11, 10, 9, 8, 7, 6, 4, 3, 2, 1, 0, -1, -3, -5, -8, -10, -13, -16, -19, -22, -25, -28, -29, -32),
    "film": (11, 4, 4, 7, 2, 4, 1, 1, 1, 0, 1, 0, 0, -1, -3, -4, -6, -9, -12, -15, -17, -19, -20, -21, -23, -26),
    "run-out": (15, 11, 5, 8, 6, 6, 3, 2, 2, 2, 1, 1, 0, -1, -2, -2, -2, -3, -6, -7, -8, -13, -19, -30, -31, -36),
    "dust": (
        -31,
        -31,
        -27,
        -17,
        -13,
        -8,
        -1,
        2,
        2,
        3,
        3,
        2,
        0,
        0,
        -1,
        -2,
        -3,
        -6,
        -10,
        -15,
        -21,
        -28,
        -35,
        -42,
        -50,
        -66,
    ),
    "crackle": (15, 11, 17, 14, 9, 4, 4, 1, 1, 1, -1, -1, 0, 1, 1, 1, 1, 0, -1, -2, -4, -5, -5, -5, -13, -18),
}
LOWEST_HZ = 62.5
KNEE_HZ = 60.0  # below it parametric noise falls no further and rises no more


def measured(name: str) -> SampledCurve:
    """The spectrum of a real surface, dB."""
    levels = torch.tensor(MEASURED[name], dtype=torch.float64)
    return SampledCurve(LOWEST_HZ * 2 ** (torch.arange(len(levels)) / 3), levels)


@dataclass(frozen=True)
class Sloping(Curve):
    """Noise whose spectrum rises or falls by so many dB per octave, bent at one frequency."""

    slope_db: float
    bend_hz: float = 3000.0
    further_db: float = 0.0  # per octave, above the bend, besides

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        octaves = torch.log2(frequencies.clamp(min=KNEE_HZ) / 1000)
        return self.slope_db * octaves + self.further_db * torch.log2(frequencies / self.bend_hz).clamp(min=0)


@dataclass(frozen=True)
class Hum:
    """A line of the mains and its harmonics, each weaker than the one before."""

    hertz: float  # 50 or 60, and somewhat off where the disc runs at another speed
    level_db: float  # of the first line, over the music's RMS
    fall_db: float = 8.0  # from one harmonic to the next
    count: int = 5


@dataclass(frozen=True)
class Surface:
    """Everything that sounds beside the music. Levels are RMS, relative to that of the coloured music."""

    noise_db: float | None = -58.0  # None: no noise
    spectrum: Curve = FLAT  # dB; white where flat
    swell_db: float = 0.0  # by so much the noise rises and falls with each turn of the disc, peak to peak
    turns_hz: float = 1.3  # of the disc: 78 a minute
    clicks: float = 0.0  # per second
    click_db: float = 12.0  # peak of a middling click over the music's RMS
    hum: Hum | None = None
    rumble_db: float | None = None  # below 60 Hz


WHITE = Surface()


def surface_noise(music: Tensor, sample_rate: int, surface: Surface, generator: torch.Generator) -> Tensor:
    """The noise (..., T) behind coloured music (..., T): drawn from the generator, on the music's device."""
    level = music.square().mean().sqrt()
    noise = torch.zeros_like(music)
    if surface.noise_db is not None:
        white = torch.randn(music.shape, generator=generator, dtype=music.dtype, device=music.device)
        if surface.spectrum is not FLAT:
            white = _shaped(white, sample_rate, surface.spectrum)
        if surface.swell_db:
            white = white * _swell(music, sample_rate, surface, generator)
        noise = level * 10 ** (surface.noise_db / 20) * white
    if surface.clicks:
        noise = noise + level * _clicks(music, sample_rate, surface, generator)
    if surface.hum is not None:
        noise = noise + level * _hum(music, sample_rate, surface.hum, generator)
    if surface.rumble_db is not None:
        white = torch.randn(music.shape, generator=generator, dtype=music.dtype, device=music.device)
        rumble = _shaped(white, sample_rate, Sloping(0.0, 40.0, -18.0))
        noise = noise + level * 10 ** (surface.rumble_db / 20) * rumble
    return noise


def _shaped(white: Tensor, sample_rate: int, spectrum: Curve) -> Tensor:
    """Noise (..., T) of a given spectrum and unit RMS."""
    length = white.shape[-1]
    gain_db = spectrum.gain_db(bin_frequencies(sample_rate, length)[1:].double())
    gain = torch.nn.functional.pad(amplitude(gain_db - gain_db.amax()), (1, 0)).to(white)
    shaped = torch.fft.irfft(torch.fft.rfft(white) * gain, length)
    return shaped / shaped.square().mean().sqrt().clamp(min=1e-20)


def _swell(music: Tensor, sample_rate: int, surface: Surface, generator: torch.Generator) -> Tensor:
    phase = 2 * math.pi * uniform(generator)
    seconds = torch.arange(music.shape[-1], device=music.device) / sample_rate
    turns = torch.sin(2 * math.pi * surface.turns_hz * seconds + phase)
    return amplitude(surface.swell_db / 2 * turns).to(music)


def _clicks(music: Tensor, sample_rate: int, surface: Surface, generator: torch.Generator) -> Tensor:
    """Clicks of a fraction of a millisecond each, some much louder than others; the same in all channels."""
    samples = music.shape[-1]
    count = max(1, round(surface.clicks * samples / sample_rate))
    place = torch.randint(samples, (count,), generator=generator, device=music.device)
    loudness = torch.randn(count, generator=generator, dtype=music.dtype, device=music.device) * 6 + surface.click_db
    sign = torch.randint(2, (count,), generator=generator, device=music.device).to(music) * 2 - 1
    impulses = torch.zeros(samples, dtype=music.dtype, device=music.device)
    impulses.index_add_(0, place, amplitude(loudness) * sign)
    width = max(2, round(sample_rate * 3e-4))
    shape = torch.hann_window(width + 2, periodic=False, dtype=music.dtype, device=music.device)[1:-1]
    spectrum = torch.fft.rfft(impulses, samples + width) * torch.fft.rfft(shape, samples + width)
    return torch.fft.irfft(spectrum, samples + width)[:samples].expand_as(music)


def _hum(music: Tensor, sample_rate: int, hum: Hum, generator: torch.Generator) -> Tensor:
    seconds = torch.arange(music.shape[-1], dtype=torch.float64, device=music.device) / sample_rate
    lines = torch.zeros_like(seconds)
    for order in range(1, hum.count + 1):
        level = math.sqrt(2) * 10 ** ((hum.level_db - hum.fall_db * (order - 1)) / 20)
        lines += level * torch.sin(2 * math.pi * (hum.hertz * order * seconds + uniform(generator)))
    return lines.to(music).expand_as(music)


def uniform(generator: torch.Generator) -> float:
    """A number between 0 and 1."""
    return float(torch.rand((), generator=generator, dtype=torch.float64, device=generator.device))
