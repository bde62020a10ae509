"""Noise from a bank: excerpts of real surfaces, one of which is added at every evaluation.

Their average is what a sampler gets to hear, so that no single excerpt is taken for a part of the music. An excerpt is
looped at whole turns of the disc, so that it goes on as the record would.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterator
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

TURNS_A_MINUTE = 78.0
CROSS_FADE = 0.1  # seconds
LONGEST = 60.0  # seconds that are used of each excerpt, from its beginning on
ALL_TOGETHER = 1200.0  # seconds; a bank of many excerpts uses less of each
SHORTEST = 2.0  # seconds of each are used in any case
SNR_DB = 20.0
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".w64")
SAID_IN = ("bank.csv", "bank.json")  # in the folder: what is said of the excerpts
TURNS = (10.0, 200.0)  # a minute, of any disc or cylinder

Draw = Callable[[int], Tensor]  # so many samples (T,) of noise, for every call others


class AddedNoise(Degradation):
    """Music with noise that is drawn for every call, at a level or at a ratio to the music."""

    def __init__(self, draw: Draw, *, gain: Tensor | None = None, snr_db: Callable[[], float] | None = None) -> None:
        """`gain` (B, 1) or (B, T) is the noise's root mean square; `snr_db` is asked at every call."""
        assert (gain is None) != (snr_db is None)
        self._draw, self._gain, self._snr_db = draw, gain, snr_db

    def __call__(self, clean: Tensor) -> Tensor:
        noise = self._draw(clean.shape[-1]).to(clean)
        if self._gain is not None:
            return clean + self._gain.to(clean) * noise / noise.square().mean().sqrt().clamp(min=1e-12)
        assert self._snr_db is not None
        ratio = clean.square().sum(dim=-1, keepdim=True) / noise.square().sum().clamp(min=1e-20)
        return clean + (10 ** (-self._snr_db() / 10) * ratio + 1e-20).sqrt() * noise


@dataclass(frozen=True)
class Excerpt:
    """A sound file of a bank, and what is said of it."""

    name: str
    sha256: str
    title: str = ""
    turns: float = TURNS_A_MINUTE


@dataclass(frozen=True, eq=False)
class Bank:
    """The excerpts of a folder at one rate, cut to whole turns."""

    excerpts: tuple[tuple[Excerpt, Tensor], ...]
    sample_rate: int

    def choose(self, generator: torch.Generator) -> tuple[Excerpt, Tensor]:
        """One of them, each as likely as another."""
        return self.excerpts[_index(len(self.excerpts), generator)]

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """Noise (samples,) that begins anywhere in an excerpt; the same for all channels, as of a mono record."""
        return self.anywhere(self.choose(generator)[1], samples, generator)

    def anywhere(self, excerpt: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """The same of one excerpt (T,)."""
        first = _index(len(excerpt), generator)
        return looped(excerpt, self.sample_rate, first + samples)[first:]

    def draw_from_beginning(self, samples: int, generator: torch.Generator) -> Tensor:
        """The same from the beginning of an excerpt, as published."""
        return looped(self.choose(generator)[1], self.sample_rate, samples)


@dataclass(frozen=True)
class NoiseBank(Described):
    """Additive noise, of which a folder holds examples."""

    name: ClassVar[str] = "noise-bank"
    form: ClassVar[str] = f"noise-bank:DIR, then where wished ,snr=DB ({SNR_DB:g}) or ,gain=RMS, full scale being 1"
    folder: str
    snr_db: float | None = SNR_DB
    gain: float | None = None
    files: tuple[Excerpt, ...] = ()
    unread: tuple[str, ...] = ()  # files that are called as if they were sound, and are not

    @classmethod
    def of_folder(cls, folder: str, *, snr_db: float | None = None, gain: float | None = None) -> NoiseBank:
        """The sound files in a folder."""
        if snr_db is not None and gain is not None:
            raise RestorationError("Noise has a ratio to the music or a gain, not both. Give snr or gain.")
        if gain is not None and not 0 < gain < math.inf:
            raise RestorationError(f"Noise cannot have the level {gain:g}. Give a gain above 0; 1 is full scale.")
        if snr_db is not None and not abs(snr_db) <= 120:
            raise RestorationError(f"Noise cannot lie {snr_db:g} dB below the music. Give a snr of -120 to 120 dB.")
        found, unread = excerpts_in(Path(folder))
        return cls(folder, (SNR_DB if snr_db is None else snr_db) if gain is None else None, gain, found, unread)

    @property
    def treats(self) -> Treats:
        return "sounds"

    @property
    def text(self) -> str:
        level = f"snr={self.snr_db:g}" if self.gain is None else f"gain={self.gain:g}"
        return f"noise-bank:{self.folder},{level}"

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, **self.as_folder()}

    def as_folder(self) -> dict[str, Any]:
        """The same without a level: how many files, and what tells them from others."""
        exact = repr([(each.sha256, each.turns) for each in self.files]).encode()
        told = {"files": len(self.files), "sha256": hashlib.sha256(exact).hexdigest()}
        return told | ({"unread": list(self.unread)} if self.unread else {})

    def bank(self, sample_rate: int) -> Bank:
        """The excerpts themselves, at a rate."""
        return bank_of(self.folder, self.files, sample_rate)

    def at(self, place: Place) -> AddedNoise:
        bank = self.bank(place.sample_rate)
        return self.added(lambda samples: bank.draw(samples, place.generator), place.gain)

    def added(self, draw: Draw, scale: Tensor) -> AddedNoise:
        """Noise that is drawn so, at this level in a recording that was multiplied by a `scale` (B, 1)."""
        if self.gain is not None:
            return AddedNoise(draw, gain=self.gain * scale)
        assert self.snr_db is not None
        ratio = self.snr_db
        return AddedNoise(draw, snr_db=lambda: ratio)


def excerpts_in(folder: Path) -> tuple[tuple[Excerpt, ...], tuple[str, ...]]:
    """The sound files of a folder by name, and the names of those that are none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    except OSError as error:
        raise RestorationError(f"{folder} cannot be read ({error.strerror}). Give a folder of noise.") from None
    said, found, unread = _said_in(folder), list[Excerpt](), list[str]()
    for path in paths:
        try:
            sha256 = audio.SoundFile(path).sha256()
        except RestorationError:
            unread.append(path.name)
            continue
        found.append(Excerpt(path.name, sha256, **said.get(path.name, {})))
    if not found:
        but = f", and {', '.join(unread):.200} is none" if unread else ""
        raise RestorationError(f"There is no sound file in {folder}{but}. Give a folder of excerpts of noise.")
    return tuple(found), tuple(unread)


def _said_in(folder: Path) -> dict[str, dict[str, Any]]:
    """What is said of the excerpts, by their names: rows of `file`, and where wished `title` and `rpm`."""
    for name in SAID_IN:
        if (folder / name).is_file():
            return dict(_rows_of(folder / name))
    return {}


def _rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    wants = f"{path} says of each excerpt its `file`, and where wished its `title` and its `rpm`"
    try:
        text = path.read_text("utf-8-sig")
        rows = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
        for row in rows if isinstance(rows, list) else [rows]:
            turns = float(row.get("rpm") or TURNS_A_MINUTE)
            if not TURNS[0] <= turns <= TURNS[1]:
                raise RestorationError(f"{wants}: {turns:g} turns a minute are none of a record.")
            yield str(row["file"]), {"title": str(row.get("title") or ""), "turns": turns}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error):
        raise RestorationError(f"{wants}; it cannot be read so. Mend it, or take it away.") from None


@lru_cache(maxsize=2)
def bank_of(folder: str, files: tuple[Excerpt, ...], sample_rate: int) -> Bank:
    """A bank, of which no more is read than is used."""
    seconds, found = min(LONGEST, max(SHORTEST, ALL_TOGETHER / len(files))), []
    for each in files:
        recording = audio.read(Path(folder) / each.name, duration=seconds)
        mono = torch.as_tensor(recording.audio).float().mean(dim=0, keepdim=True)
        sound = whole_turns(resample(mono, recording.sample_rate, sample_rate)[0], sample_rate, each.turns)
        if float(sound.abs().max()) > 0:
            found.append((each, sound))
    if not found:
        raise RestorationError(f"All excerpts in {folder} are silent. Give a folder of noise.")
    return Bank(tuple(found), sample_rate)


def whole_turns(noise: Tensor, sample_rate: int, turns: float = TURNS_A_MINUTE) -> Tensor:
    """Noise (T,) cut to whole turns of the disc and a cross-fade, so that it can be looped; a shorter one as it is."""
    turn, fade = int(60 / turns * sample_rate), int(CROSS_FADE * sample_rate)
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


def _index(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator, device=generator.device))
