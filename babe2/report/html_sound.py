"""The sound of a report's page: which part of a recording is heard there, and its tracks as they lie in the page."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2 import audio
from babe2.analysis.liveliest import liveliest
from babe2.dsp.resampling import resample
from babe2.errors import RestorationError
from babe2.methods import METHODS
from babe2.report.finished import HEARD_SECONDS, FinishedRun, shown
from babe2.report.tracks import RECORDING, RESTORED, tracks_on_desk
from babe2.wording import clock, format_length

LOOKED_SECONDS = 180.0  # from the beginning, at most, are measured and drawn: a side of a 78
LARGEST_SOUND = 24_000_000  # bytes of all tracks before they are packed; a longer excerpt is cut to it
HIGHEST_RATE = 48_000  # Hz, that every browser plays
KIND = "audio/flac"
Read = tuple[npt.NDArray[np.float32], int]  # (channels, samples), and the sample rate in Hz
_FULL = 1 - 2.0**-15  # the highest value of 16 bits


@dataclass(frozen=True, eq=False)
class Heard:
    """What was found of a run's sound: as much as is looked at, and where in it the part begins that is heard."""

    before: Read | None
    after: Read | None
    whole: float  # seconds of the longer of the two
    start: float  # seconds into what was restored
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def there(self) -> Read | None:
        """The one that is there, the restoration rather."""
        return self.after or self.before

    def part(self, sound: Read | None) -> Read | None:
        """The part of a sound that is heard."""
        if sound is None:
            return None
        (x, rate), first = sound, round(self.start * sound[1])
        return x[:, first : first + max(1, round(self.seconds * rate))], rate

    @property
    def is_part(self) -> bool:
        return self.seconds < self.whole - 0.05

    @property
    def is_looked_at_in_part(self) -> bool:
        return self.whole > LOOKED_SECONDS + 0.05


def heard(run: FinishedRun, seconds: float = HEARD_SECONDS) -> Heard:
    """Reads of a run's sounds as much as is looked at; what cannot be read is missing, with a sentence."""
    warnings: list[str] = []
    after, whole = _read(run.restored, 0.0, LOOKED_SECONDS, warnings)
    limit = LOOKED_SECONDS if after is None else min(LOOKED_SECONDS, whole)
    before, length = _read(run.recording, run.start, limit, warnings)
    whole = whole if after is not None else length
    chosen = before or after
    if chosen is None:
        return Heard(None, None, 0.0, 0.0, 0.0, tuple(warnings))
    x, rate = chosen
    tracks = 3 if before and after else 1
    room = LARGEST_SOUND / (2 * tracks * min(2, len(x)) * min(rate, HIGHEST_RATE))
    held = x.shape[1] / rate
    wanted = min(seconds, room, held)
    start = liveliest(x, rate, wanted) if wanted < held else 0.0
    return Heard(before, after, whole, start, wanted, tuple(warnings))


def _read(path: Path | None, start: float, seconds: float, warnings: list[str]) -> tuple[Read | None, float]:
    """The sound of a file from `start` on, and how many seconds there are of it in all."""
    if path is None:
        return None, 0.0
    try:
        found = audio.read(path, start=start, duration=seconds)
        _, samples, rate = audio.measure(path)
    except RestorationError as error:
        warnings.append(shown(str(error)).replace(shown(str(path)), shown(path.name)))
        return None, 0.0
    return (found.audio, found.sample_rate), max(samples / rate - start, found.audio.shape[1] / found.sample_rate)


@dataclass(frozen=True, eq=False)
class Playable:
    """What a page plays: the desk's value, and the sound of each track by its key."""

    desk: dict[str, Any]
    sounds: dict[str, bytes]  # FLAC
    notes: list[str]  # what a listener should know of them


def playable(found: Heard, report: Mapping[str, Any], start: float = 0.0) -> Playable | None:
    """The tracks of the part that is heard, of one rate and as many channels; `start` is where in the recording its
    restoration, of which the `report` tells, begins. None where there is no sound.
    """
    notes, parts = [], {RECORDING: found.part(found.before), RESTORED: found.part(found.after)}
    there = {key: part for key, part in parts.items() if part is not None and part[0].shape[1]}
    if not there:
        return None
    rate = min(HIGHEST_RATE, list(there.values())[-1][1])
    sounds = {key: resample(torch.as_tensor(np.asarray(x)), old, rate) for key, (x, old) in there.items()}
    if any(old != rate for _, old in there.values()):
        notes.append(f"Here all is heard at {rate} Hz.")
    widths = {len(x) for x in sounds.values()}
    if len(widths) > 1 or max(widths) > 2:
        sounds = {key: x.mean(dim=0, keepdim=True) for key, x in sounds.items()}
        notes.append("Here all channels are heard as one.")
    length = min(x.shape[1] for x in sounds.values())
    sounds = {key: x[:, :length] for key, x in sounds.items()}
    peak = max(float(x.abs().max()) for x in _with_difference(sounds))
    if peak > _FULL:
        softer = 20 * np.log10(peak / _FULL)
        sounds = {key: x * (_FULL / peak) for key, x in sounds.items()}
        notes.append(f"Peaks pass full scale, so all is {softer:.1f} dB softer here.")
    packed: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="babe2-") as folder:
        desk = tracks_on_desk(
            sounds,
            rate,
            partial(_packed, packed, Path(folder)),
            start=start + found.start,
            amount=report.get("amount", 1.0),
            words=_words(report),
        )
    return Playable(desk, packed, notes)


def _words(report: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What is said of a restoration in which nothing is imagined."""
    method = METHODS.get(str(report.get("solver")))
    if method is None or report.get("generates"):
        return {}
    return {RESTORED: (method.title, f"{method.does[0].upper()}{method.does[1:]}.")}


def _with_difference(sounds: dict[str, Tensor]) -> list[Tensor]:
    """The sounds, and what the second has that the first has not: it is a track, too."""
    held = list(sounds.values())
    return [*held, held[1] - held[0]] if len(held) > 1 else held


def _packed(
    kept: dict[str, bytes], folder: Path, key: str, track: npt.NDArray[np.float32], sample_rate: int
) -> dict[str, Any]:
    path = audio.write(folder / f"{key}.flac", track, sample_rate, subtype="PCM_16")
    kept[key] = path.read_bytes()
    return {"key": key}  # by which the page's script finds the sound


def told(found: Heard, start: float, playing: Playable) -> list[str]:
    """Sentences on what is heard; `start` is where in the recording its restoration begins."""
    words = []
    if found.is_part:
        among = f"of the first {clock(LOOKED_SECONDS)} " if found.is_looked_at_in_part else ""
        words.append(
            f"Heard here: {format_length(found.seconds)} of {format_length(found.whole)}, from "
            f"{clock(start + found.start)} on; {among}it is the part in which most sounds and sets in."
        )
    rate = playing.desk["sample_rate"]
    words.append(f"The sound in this page has 16 bits at {rate} Hz and is packed without loss (FLAC).")
    return [*words, *playing.notes]
