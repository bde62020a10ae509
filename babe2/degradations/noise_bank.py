"""Noise from a bank: excerpts of real surfaces, one of which is added at every evaluation.

Their average is what a sampler gets to hear, so that no single excerpt is taken for a part of the music.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from babe2 import audio
from babe2.degradations.base import Degradation
from babe2.degradations.described import Described, Place, Treats
from babe2.dsp.resampling import resample
from babe2.errors import RestorationError

TURNS_A_MINUTE = 78
CROSS_FADE = 0.1  # seconds
LONGEST = 60.0  # seconds that are used of each excerpt
SNR_DB = 20.0
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".w64")


class BankNoise(Degradation):
    """Music with noise of a bank: an excerpt of it drawn for every call, at a level or at a ratio to the music."""

    def __init__(self, bank: Sequence[Tensor], place: Place, *, snr_db: float | None, gain: float | None) -> None:
        self._bank, self._place, self._snr_db, self._gain = bank, place, snr_db, gain

    def __call__(self, clean: Tensor) -> Tensor:
        noise = self.draw(clean.shape[-1]).to(clean)
        if self._gain is not None:
            return clean + self._gain * self._place.gain.to(clean) * noise / noise.square().mean().sqrt()
        assert self._snr_db is not None
        ratio = clean.square().sum(dim=-1, keepdim=True) / noise.square().sum()
        return clean + (10 ** (-self._snr_db / 10) * ratio + 1e-20).sqrt() * noise

    def draw(self, samples: int) -> Tensor:
        """An excerpt (samples,), the same in all channels as on a record that was cut in mono."""
        generator = self._place.generator
        which = int(torch.randint(len(self._bank), (), generator=generator, device=generator.device))
        excerpt = self._bank[which]
        first = int(torch.randint(len(excerpt), (), generator=generator, device=generator.device))
        return looped(excerpt, self._place.sample_rate, first + samples)[first:]


@dataclass(frozen=True)
class NoiseBank(Described):
    """Additive noise, of which a folder holds examples."""

    name: ClassVar[str] = "noise-bank"
    form: ClassVar[str] = f"noise-bank:DIR, then where wished ,snr=DB ({SNR_DB:g}) or ,gain=RMS, full scale being 1"
    folder: str
    snr_db: float | None = SNR_DB
    gain: float | None = None
    files: tuple[tuple[str, str], ...] = ()  # name and SHA-256 of each

    @classmethod
    def of_folder(cls, folder: str, *, snr_db: float | None = None, gain: float | None = None) -> NoiseBank:
        """The sound files in a folder."""
        if snr_db is not None and gain is not None:
            raise RestorationError("Noise has a ratio to the music or a gain, not both. Give snr or gain.")
        if gain is not None and not 0 < gain < math.inf:
            raise RestorationError(f"Noise cannot have the level {gain:g}. Give a gain above 0; 1 is full scale.")
        if snr_db is not None and not abs(snr_db) <= 120:
            raise RestorationError(f"Noise cannot lie {snr_db:g} dB below the music. Give a snr of -120 to 120 dB.")
        try:
            paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise RestorationError(f"{folder} cannot be read ({error.strerror}). Give a folder of noise.") from None
        if not paths:
            raise RestorationError(f"There is no sound file in {folder}. Give a folder of excerpts of noise.")
        files = tuple((path.name, audio.SoundFile(path).sha256()) for path in paths)
        return cls(folder, (SNR_DB if snr_db is None else snr_db) if gain is None else None, gain, files)

    @property
    def treats(self) -> Treats:
        return "sounds"

    @property
    def text(self) -> str:
        level = f"snr={self.snr_db:g}" if self.gain is None else f"gain={self.gain:g}"
        return f"noise-bank:{self.folder},{level}"

    def as_dict(self) -> dict[str, Any]:
        exact = repr([sha256 for _, sha256 in self.files]).encode()
        return {"text": self.text, "files": len(self.files), "sha256": hashlib.sha256(exact).hexdigest()}

    def at(self, place: Place) -> BankNoise:
        bank = bank_of(self.folder, self.files, place.sample_rate)
        return BankNoise(bank, place, snr_db=self.snr_db, gain=self.gain)


@lru_cache(maxsize=2)
def bank_of(folder: str, files: tuple[tuple[str, str], ...], sample_rate: int) -> tuple[Tensor, ...]:
    """The excerpts of a bank, each (n,) at that rate and cut to whole turns."""
    found = []
    for name, _ in files:
        recording = audio.read(Path(folder) / name, duration=LONGEST)
        mono = torch.as_tensor(recording.audio).float().mean(dim=0, keepdim=True)
        excerpt = whole_turns(resample(mono, recording.sample_rate, sample_rate)[0], sample_rate)
        if float(excerpt.abs().max()) > 0:
            found.append(excerpt)
    if not found:
        raise RestorationError(f"All excerpts in {folder} are silent. Give a folder of noise.")
    return tuple(found)


def whole_turns(noise: Tensor, sample_rate: int) -> Tensor:
    """Noise (T,) cut to whole turns of the disc and a cross-fade, so that it can be looped; a shorter one as it is."""
    turn, fade = int(60 / TURNS_A_MINUTE * sample_rate), int(CROSS_FADE * sample_rate)
    rest = len(noise) % turn
    kept = len(noise) - (rest + turn - fade if rest < fade else rest - fade)
    return noise[:kept] if kept > fade else noise


def looped(noise: Tensor, sample_rate: int, samples: int) -> Tensor:
    """The first `samples` of noise (T,) that follows itself again and again, cross-faded."""
    fade = min(int(CROSS_FADE * sample_rate), len(noise) // 4)
    window = torch.hann_window(2 * fade, dtype=noise.dtype, device=noise.device) if fade else noise[:0]
    while len(noise) < samples:
        joined = noise[len(noise) - fade :] * window[fade:] + noise[:fade] * window[:fade]
        noise = torch.cat([noise[: len(noise) - fade], joined, noise[fade:]])
    return noise[:samples]
