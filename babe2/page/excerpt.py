"""Which part of a recording is meant."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babe2 import audio
from babe2.dsp.resampling import resample
from babe2.errors import RestorationError
from babe2.recordings.recorded import SHORTEST_SECONDS
from babe2.restorer import Restorer
from babe2.wording import clock, format_length

EXCERPT_SECONDS = 10.0  # unless somebody wishes otherwise
COLUMNS, FINEST = 600, 16  # of an outline, and how many samples one of them has at least
HIGHEST = 127  # of an outline's values


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a recording."""

    start: float = 0.0
    duration: float | None = None  # None: to the recording's end

    @classmethod
    def chosen(cls, start: object, duration: object) -> Excerpt:
        """The excerpt that two fields of a form ask for; an empty one means its default."""
        return cls(
            0.0 if start is None else checked_seconds("start", start),
            EXCERPT_SECONDS if duration is None else checked_seconds("duration", duration),
        )

    def seconds_of(self, whole: float) -> float:
        """How many seconds it is of a recording that has `whole`."""
        rest = max(0.0, whole - self.start)
        return rest if self.duration is None else min(self.duration, rest)

    def check(self, whole: float, longest: float) -> None:
        """Refuses what cannot be restored of a recording that lasts `whole` seconds, `longest` at once."""
        if self.start > 0 and self.start >= whole - SHORTEST_SECONDS:
            raise RestorationError(
                f"The excerpt begins at {clock(self.start)}, where this recording of {format_length(whole)} is over. "
                "Choose an earlier place."
            )
        wanted = self.seconds_of(whole)
        if wanted < min(SHORTEST_SECONDS, whole):
            raise RestorationError("The excerpt has no length. Choose a duration above 0 s.")
        if wanted > longest:
            raise RestorationError(
                f"That is {clock(wanted)} of sound; here at most {clock(longest)} are restored at once. Choose an "
                "excerpt, or run babe2 on your own computer."
            )

    def read(self, recording: str | Path, longest: float) -> audio.Recording:
        """Its sound, where it is no more than `longest` seconds."""
        _, samples, rate = audio.measure(recording)
        self.check(samples / rate, longest)
        return audio.read(recording, start=self.start, duration=self.duration)


def with_room(sound: audio.Recording, restorer: Restorer) -> audio.Recording:
    """A sound at a rate that holds what a restorer makes of it: its own, or the model's where that is higher."""
    rate = restorer.model.sample_rate
    if sound.sample_rate >= rate:
        return sound
    raised = resample(torch.from_numpy(sound.audio), sound.sample_rate, rate)
    return replace(sound, audio=raised.numpy(), sample_rate=rate)


def checked_seconds(name: str, value: object) -> float:
    """A time in seconds, not before the beginning."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise RestorationError(f"The {name} is a number of seconds, 0 or more, so it cannot be {value!r:.80}.")


def checked_recording(recording: str | None) -> str:
    """The path of a recording that has to be there."""
    if not recording:
        raise RestorationError("There is no recording yet. Drop one on the page, or take the example.")
    return recording


def checked_seed(seed: object) -> int:
    """The seed of a form or a program; an empty field means 0."""
    if seed is None:
        return 0
    if isinstance(seed, (int, float)) and not isinstance(seed, bool) and seed == seed // 1 and 0 <= seed < 2**63:
        return int(seed)
    raise RestorationError(f"A seed is a whole number between 0 and 2**63 - 1, so it cannot be {seed!r:.80}.")


# The whole recording as a strip, on which an excerpt is laid


def outline(recording: str | Path) -> dict[str, Any]:
    """A whole recording's lowest and highest values in each of about COLUMNS columns, read block by block, as the strip
    shows them: whole numbers, of which the one that is farthest from 0 is HIGHEST away."""
    _, promised, rate = audio.measure(recording)
    each, samples = max(FINEST, -(-promised // COLUMNS)), 0
    lows: list[float] = []
    highs: list[float] = []
    file = audio.SoundFile(recording)
    held = np.zeros((file.channels, 0), np.float32)
    for block in file.blocks():
        samples += block.shape[1]
        held = np.concatenate([held, block], axis=1)
        whole = held.shape[1] // each * each
        columns = held[:, :whole].reshape(len(held), -1, each)
        lows += columns.min(axis=(0, 2)).tolist()
        highs += columns.max(axis=(0, 2)).tolist()
        held = held[:, whole:]
    if held.shape[1]:
        lows.append(float(held.min()))
        highs.append(float(held.max()))
    scale = HIGHEST / max(1e-9, *highs, *(-low for low in lows))
    shape = {
        "lows": [round(min(0, low) * scale) for low in lows],
        "highs": [round(max(0, high) * scale) for high in highs],
    }
    return {"name": Path(recording).name, "seconds": samples / rate, **shape}


def strip_parts() -> dict[str, Any]:
    """The strip's markup, style and script, under the names by which `gr.HTML` takes them."""
    strip = files("babe2") / "page" / "strip"
    names = {"html_template": "strip.html", "css_template": "strip.css", "js_on_load": "strip.js"}
    return {parameter: (strip / name).read_text("utf-8") for parameter, name in names.items()}
