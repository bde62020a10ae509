"""Augmentation: one excerpt becomes many, at another pitch, level and polarity, through another room and microphone.

All of it is done in one Fourier transform: it is cut or padded to another length, which changes the excerpt's sample
rate and its pitch; it is weighted, which equalises the excerpt; and it is transformed back.
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
    """How far excerpts are changed at most. The defaults change nothing."""

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
        """Whether the spectrum is weighted."""
        return self.tilt_db != 0 or bool(self.bumps)


def draw_change(augmentation: Augmentation, rng: np.random.Generator) -> Change:
    """Draws what is done to one excerpt."""
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
    """How an excerpt is made of its source's samples: resampled, and changed."""

    length: int  # samples of the excerpt
    sample_rate: int  # Hz, of the excerpt
    source_rate: int  # Hz
    change: Change

    @property
    def only_scaled(self) -> bool:
        """Whether nothing but its level and polarity is changed."""
        return self.sample_rate == self.source_rate and self.change.speed == 1 and not self.change.equalises

    @property
    def padded_length(self) -> int:
        """Samples of the excerpt with its margins."""
        return -(-(self.length + 2 * MARGIN) // GRAIN) * GRAIN

    @property
    def source_length(self) -> int:
        """Samples of the source that are needed."""
        if self.only_scaled:
            return self.length
        ratio = self.change.speed * self.source_rate / self.sample_rate
        return max(1, round(self.padded_length * ratio / QUICK)) * QUICK

    def made_from(self, x: Signal) -> Signal:
        """Returns the excerpt (length,) made of its source x (source_length,)."""
        if self.only_scaled:
            return x * np.float32(self.change.factor)
        spectrum = np.fft.rfft(faded(x, MARGIN * self.source_length // self.padded_length))
        kept = np.zeros(self.padded_length // 2 + 1, np.complex64)
        both = min(len(spectrum), len(kept))
        kept[:both] = spectrum[:both]
        kept *= np.float32(self.change.factor * self.padded_length / self.source_length)
        if self.change.equalises:
            kept *= 10 ** (self._gain_db() / 20)
        out: Signal = np.fft.irfft(kept, self.padded_length).astype(np.float32, copy=False)
        return out[MARGIN : MARGIN + self.length]

    def _gain_db(self) -> Signal:
        """The equaliser's gain at every bin (padded_length / 2 + 1,)."""
        octaves = log2_frequencies(self.padded_length, self.sample_rate)
        gain = np.float32(self.change.tilt_db) * np.clip(octaves - np.float32(math.log2(TILT_HZ)), 0, TILT_OCTAVES)
        for hertz, height, width in self.change.bumps:
            gain += np.float32(height) * np.exp(-(((octaves - np.float32(math.log2(hertz))) / np.float32(width)) ** 2))
        return gain


@lru_cache(maxsize=8)
def log2_frequencies(length: int, sample_rate: int) -> Signal:
    """Returns log2 of each FFT bin's frequency in Hz (length / 2 + 1,); DC counts as 1 Hz."""
    return np.log2(np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), 1)).astype(np.float32)


def faded(x: Signal, margin: int) -> Signal:
    """Returns x (T,) faded in and out over `margin` samples."""
    rise = (np.sin(np.pi / 2 * (np.arange(margin) + 0.5) / margin) ** 2).astype(np.float32)
    x = x.copy()
    x[:margin] *= rise
    x[len(x) - margin :] *= rise[::-1]
    return x
