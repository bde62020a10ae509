"""Instruments of a few lines each: a pitch and a length in, a mono sound (T,) of about unit loudness out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE = 32_000  # Hz, MusicGen's
TABLE = 4096  # samples of a period


def time(seconds: float) -> Tensor:
    """The seconds (T,) at each sample of a sound so long; at least one."""
    return torch.arange(max(1, round(seconds * RATE))) / RATE


def noise(count: int, generator: torch.Generator) -> Tensor:
    """White noise (T,) of unit variance."""
    return torch.randn(count, generator=generator)


def periodic(turns: Tensor, gains: Tensor) -> Tensor:
    """A wave whose partials have these gains (K,), at each phase (T,) in turns."""
    spectrum = torch.zeros(TABLE // 2 + 1, dtype=torch.complex64)
    spectrum[1 : len(gains) + 1] = -0.5j * TABLE * gains
    table = torch.fft.irfft(spectrum)
    place = turns.frac() * TABLE
    index = place.long()
    return torch.lerp(table[index], table[(index + 1) % TABLE], place - index)


def partials(hertz: float, steepness: float, most: int = 60) -> Tensor:
    """The gains (K,) of partials that fall with their number to a power, as many as the sample rate holds."""
    count = max(1, min(most, int(0.48 * RATE / hertz)))
    return torch.arange(1, count + 1) ** -steepness


def swelling(t: Tensor, attack: float, release: float) -> Tensor:
    """A level that rises within `attack` and falls within `release` seconds before the end."""
    left = t[-1] - t
    return (t / attack).clamp(max=1) * (left / release).clamp(max=1)


def piano(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """A struck string: partials a little too high, the higher the sooner gone, and the hammer's knock."""
    t = time(seconds)
    number = torch.arange(1, max(2, min(10, int(0.48 * RATE / hertz))))[:, None]
    frequency = hertz * number * (1 + 4e-4 * number.square()).sqrt()
    decay = torch.exp(-t * (0.6 + 0.35 * number) * (hertz / 220) ** 0.4)
    sound = (torch.sin(2 * math.pi * frequency * t) * decay * number**-1.3).sum(dim=0)
    knock = 0.25 * noise(len(t), generator) * torch.exp(-t / 0.006)
    return (sound + knock) * (t / 0.002).clamp(max=1) * swelling(t, 1e-4, 0.03)


def strings(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """Three players in near unison, each with a vibrato of his own."""
    t = time(seconds)
    gains, sound = partials(hertz, 1.1), torch.zeros_like(t)
    for detune, speed in zip(torch.randn(3, generator=generator).tolist(), (5.1, 5.6, 6.0), strict=True):
        vibrato = 0.0035 / speed * torch.sin(speed * 2 * math.pi * t + detune)
        sound += periodic(hertz * (1 + 0.0015 * detune) * (t + vibrato) + 10, gains)
    return 0.4 * sound * swelling(t, 0.25, 0.3)


def plucked(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """A plucked string after Karplus and Strong: noise that runs round a loop and loses its edge."""
    samples, period = len(time(seconds)), max(2, round(RATE / hertz))
    turn = noise(period, generator)
    turn = turn - turn.mean()
    for _ in range(3):  # a finger is softer than noise
        turn = 0.6 * (turn + turn.roll(1))
    turns = []
    for _ in range(-(-samples // period)):
        turns.append(turn)
        turn = 0.498 * (turn + turn.roll(1))
    return 0.6 * torch.cat(turns)[:samples] * swelling(time(seconds), 1e-3, 0.02)


def brass(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """A blown tube: the louder the brighter."""
    t = time(seconds)
    level = swelling(t, 0.06, 0.08) * (1 - 0.3 * torch.exp(-t / 0.15))
    turns = hertz * t + 0.002 * hertz / 5 * torch.sin(2 * math.pi * 5 * t)
    dull, bright = (periodic(turns + 1, partials(hertz, steepness)) for steepness in (2.2, 0.9))
    breath = 0.01 * noise(len(t), generator)
    return level * (torch.lerp(dull, 0.7 * bright, level.square()) + breath)


def organ(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """Three ranks of pipes, an octave apart, with their wind."""
    t = time(seconds)
    ranks = sum(periodic(hertz * foot * t + 1, partials(hertz * foot, 1.6, most=12)) for foot in (1, 2, 4))
    return swelling(t, 0.04, 0.06) * (0.35 * ranks + 0.01 * noise(len(t), generator))


def bell(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """A struck bar: partials that are no multiples."""
    t = time(seconds)
    ratio = torch.tensor([1.0, 2.76, 5.40, 8.93])[:, None]
    ratio = ratio[ratio[:, 0] * hertz < 0.48 * RATE]
    rings = torch.sin(2 * math.pi * hertz * ratio * t) * torch.exp(-t * (2 + 1.5 * ratio)) / ratio.sqrt()
    click = 0.1 * noise(len(t), generator) * torch.exp(-t / 0.002)
    return (rings.sum(dim=0) + click) * swelling(t, 5e-4, 0.01)


def pad(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """Five saws slightly out of tune that open and close slowly."""
    t = time(seconds)
    gains = partials(hertz, 1.0) * torch.exp(-torch.arange(len(partials(hertz, 1.0))) / 8)
    detunes = (0.004 * torch.randn(5, generator=generator)).tolist()
    sound = torch.stack([periodic(hertz * (1 + detune) * t + 1, gains) for detune in detunes]).sum(dim=0)
    return 0.3 * sound * swelling(t, 0.4, 0.5)


def lead(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """A bright synthesizer: a pulse, which has odd partials only."""
    t = time(seconds)
    gains = partials(hertz, 1.0)
    gains[1::2] = 0
    detune = 1 + 0.001 * float(torch.randn((), generator=generator))
    return 0.6 * periodic(hertz * detune * t, gains) * torch.exp(-2 * t) * swelling(t, 0.004, 0.02)


def bass(hertz: float, seconds: float, generator: torch.Generator) -> Tensor:
    """A plucked bass: few partials, a finger's thump."""
    t = time(seconds)
    thump = 0.2 * noise(len(t), generator).cumsum(0) * torch.exp(-t / 0.008) / 10
    ringing = torch.exp(-3 * t) * swelling(t, 4e-3, 0.03)
    return 1.2 * (periodic(hertz * t, partials(hertz, 1.8, most=10)) + thump) * ringing


# Percussion


def kick(generator: torch.Generator) -> Tensor:
    """A bass drum, whose pitch falls."""
    t = time(0.35)
    turns = 48 * t + 120 * 0.03 * (1 - torch.exp(-t / 0.03))
    return 1.4 * torch.sin(2 * math.pi * turns) * torch.exp(-t / 0.1) + 0.3 * _sharp(0.35, 0.003, generator)


def snare(generator: torch.Generator) -> Tensor:
    """A skin and its wires."""
    t = time(0.25)
    skin = torch.sin(2 * math.pi * 190 * t) * torch.exp(-t / 0.05)
    return 0.6 * skin + 0.5 * noise(len(t), generator) * torch.exp(-t / 0.07)


def hat(generator: torch.Generator) -> Tensor:
    """Two closed cymbals."""
    return 0.35 * _sharp(0.1, 0.025, generator)


def ride(generator: torch.Generator) -> Tensor:
    """A cymbal that rings."""
    t = time(0.7)
    rings = sum(torch.sin(2 * math.pi * hertz * t) for hertz in (3110.0, 4273.0, 5891.0, 7717.0, 9337.0))
    return 0.12 * (rings * torch.exp(-t / 0.25) + 3 * _sharp(0.7, 0.08, generator))


def _sharp(seconds: float, fading: float, generator: torch.Generator) -> Tensor:
    """Noise without its lows that fades."""
    t = time(seconds)
    white = noise(len(t) + 1, generator)
    return white.diff() * 0.7 * torch.exp(-t / fading)
