"""Making one excerpt of music into many: at another pitch, level and polarity, through another room and microphone.

One spectrum does it all. An excerpt's Fourier transform is cut or padded to another length, which changes its sample
rate and its pitch; it is weighted, which equalises it; and transformed back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]
MARGIN = 1024  # samples on either side, faded out: a Fourier transform takes an excerpt's end for its beginning
GRAIN = 2048  # samples: lengths of which an FFT is quick are multiples of this
QUICK = 32  # the same for the length before the change of rate, which must be met to a fraction of a cent
TILT_HZ, TILT_OCTAVES = 2000.0, 3.0  # where a tilt begins, and over how much it goes on
BUMP_HZ, BUMP_OCTAVES = (80.0, 8000.0), (0.5, 1.5)


@dataclass(frozen=True)
class Augmentation:
    """How far excerpts are changed. The defaults change nothing."""

    gain_db: float = 0.0  # evenly within so much up or down; 3 for the published voices
    gain_spread_db: float = 0.0  # and a Gaussian one of this standard deviation; ours for the compact network: 3
    flip: bool = False  # every other excerpt upside down
    pitch_semitones: float = 0.0  # evenly within so much up or down; ours: half a semitone, 3 %
    tilt_db: float = 0.0  # standard deviation, dB per octave from 2 kHz on: microphones, and how far away they stand
    bumps: int = 0  # broad resonances and dips
    bump_db: float = 0.0  # standard deviation of their height


@dataclass(frozen=True)
class Change:
    """What is done to one excerpt."""

    factor: float = 1.0  # level and polarity
    speed: float = 1.0  # above 1 the pitch is higher
    tilt_db: float = 0.0  # per octave
    bumps: tuple[tuple[float, float, float], ...] = ()  # of centre, Hz; height, dB; width, octaves

    @property
    def equalises(self) -> bool:
        return self.tilt_db != 0 or bool(self.bumps)


def draw_change(augmentation: Augmentation, rng: np.random.Generator) -> Change:
    gain = rng.uniform(-augmentation.gain_db, augmentation.gain_db) + rng.normal(0, 1) * augmentation.gain_spread_db
    upside_down = augmentation.flip and rng.random() < 0.5
    semitones = rng.uniform(-augmentation.pitch_semitones, augmentation.pitch_semitones)
    tilt = rng.normal(0, 1) * augmentation.tilt_db
    bumps = tuple(
        (
            math.exp(rng.uniform(math.log(BUMP_HZ[0]), math.log(BUMP_HZ[1]))),
            rng.normal(0, 1) * augmentation.bump_db,
            rng.uniform(*BUMP_OCTAVES),
        )
        for _ in range(augmentation.bumps)
    )
    return Change(10 ** (gain / 20) * (-1 if upside_down else 1), 2 ** (semitones / 12), tilt, bumps)


@dataclass(frozen=True)
class Excerpt:
    """Where in a row of samples the wanted ones come from, and what is done on their way."""

    length: int  # samples that come out
    sample_rate: int  # Hz, of what comes out
    source_rate: int  # Hz, of what goes in
    change: Change

    @property
    def as_it_is(self) -> bool:
        return self.sample_rate == self.source_rate and self.change.speed == 1 and not self.change.equalises

    @property
    def padded(self) -> int:
        """Samples that come out, with the margins."""
        return -(-(self.length + 2 * MARGIN) // GRAIN) * GRAIN

    @property
    def needed(self) -> int:
        """Samples that must go in."""
        if self.as_it_is:
            return self.length
        ratio = self.change.speed * self.source_rate / self.sample_rate
        return max(1, round(self.padded * ratio / QUICK)) * QUICK

    def made_of(self, x: Signal) -> Signal:
        """x (needed,) -> (length,)"""
        if self.as_it_is:
            return x * np.float32(self.change.factor)
        spectrum = np.fft.rfft(faded(x, MARGIN * self.needed // self.padded))
        kept = np.zeros(self.padded // 2 + 1, np.complex64)
        both = min(len(spectrum), len(kept))
        kept[:both] = spectrum[:both]
        kept *= np.float32(self.change.factor * self.padded / self.needed)
        if self.change.equalises:
            kept *= 10 ** (self._gain_db() / 20)
        out: Signal = np.fft.irfft(kept, self.padded).astype(np.float32, copy=False)
        return out[MARGIN : MARGIN + self.length]

    def _gain_db(self) -> Signal:
        """The equaliser's gain at every bin (padded / 2 + 1,)."""
        octaves = octave_places(self.padded, self.sample_rate)
        gain = np.float32(self.change.tilt_db) * np.clip(octaves - np.float32(math.log2(TILT_HZ)), 0, TILT_OCTAVES)
        for centre, height, width in self.change.bumps:
            gain += np.float32(height) * np.exp(-(((octaves - np.float32(math.log2(centre))) / np.float32(width)) ** 2))
        return gain


@lru_cache(maxsize=8)
def octave_places(length: int, sample_rate: int) -> Signal:
    """log2 of each FFT bin's frequency in Hz (length / 2 + 1,); DC counts as 1 Hz."""
    return np.log2(np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), 1)).astype(np.float32)


def faded(x: Signal, margin: int) -> Signal:
    """x (T,) rising and falling over `margin` samples at its ends."""
    rise = (np.sin(np.pi / 2 * (np.arange(margin) + 0.5) / margin) ** 2).astype(np.float32)
    x = x.copy()
    x[:margin] *= rise
    x[len(x) - margin :] *= rise[::-1]
    return x
