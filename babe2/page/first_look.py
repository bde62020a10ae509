"""What can be said of a recording at once, before anything is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.analysis.liveliest import liveliest
from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import RestorationError
from babe2.page.excerpt import EXCERPT_SECONDS
from babe2.provenance import already_made
from babe2.recordings.recorded import SILENT, Audio
from babe2.restorer import Restorer
from babe2.wording import clock, format_length

WHOLE_SECONDS = 300.0  # up to here all of a recording is looked at
BLOCKS, BLOCK_SECONDS = 15, 10.0  # of a longer one, so many evenly spaced ones


@dataclass(frozen=True, eq=False)
class FirstLook:
    """A recording at first sight."""

    found: dict[str, Any]  # what `analyse` found, and warnings
    seconds: float  # of the whole recording
    looked_at: float  # seconds of it
    start: float  # of the liveliest excerpt, seconds
    sample_rate: int
    channels: int  # in which there is something to restore
    reference: ReferenceLtas | None  # what it was compared with

    @property
    def words(self) -> str:
        """Facts, warnings and advice, as Markdown."""
        clips = self.found["clipping"]["runs"]
        facts = {
            "loudness": (self.found["loudness_lufs"], 1, "LUFS"),
            "peak": (self.found["peak_dbfs"], 1, "dBFS"),
            "music up to": (self.found["bandwidth_high_hz"], 1000, "kHz"),
            "noise floor": (self.found["noise_floor_dbfs"], 1, "dBFS"),
        }
        said = [f"length **{format_length(self.seconds)}**"]
        said += [
            f"{name} **{value / scale:.1f} {unit}**"
            for name, (value, scale, unit) in facts.items()
            if value is not None
        ]
        said += [f"clipping **{clips} {'place' if clips == 1 else 'places'}**" if clips else "no clipping"]
        if self.looked_at < self.seconds - 1:
            said += [f"looked at {clock(self.looked_at)} of it, evenly spaced"]
        sentences = [*self.found["warnings"], *self.found["advice"]]
        return "\n\n".join([" · ".join(said), *(f"- {sentence}" for sentence in sentences)])


def first_look(
    path: str | Path, reference: ReferenceLtas | None = None, excerpt_seconds: float = EXCERPT_SECONDS
) -> FirstLook:
    """What a recording is like; of more than five minutes, evenly spaced blocks are looked at.

    Without a reference nothing is compared.
    """
    _, samples, rate = audio.measure(path)
    seconds = samples / rate
    places = [0.0]
    if seconds <= WHOLE_SECONDS:
        recording = audio.read(path)
        seen, rate = recording.audio, recording.sample_rate
        seconds = seen.shape[1] / rate
        start = liveliest(seen, rate, excerpt_seconds)
    else:
        places = np.linspace(0, seconds - BLOCK_SECONDS, BLOCKS).tolist()
        blocks = [audio.read(path, start=place, duration=BLOCK_SECONDS).audio for place in places]
        seen = np.concatenate(blocks, axis=1)
        start = places[min(int(liveliest(seen, rate, BLOCK_SECONDS) / BLOCK_SECONDS + 0.5), BLOCKS - 1)]
    return FirstLook(
        found=analyse(seen, rate, reference) | {"warnings": already_made(audio.SoundFile(path).tags)},
        seconds=seconds,
        looked_at=seen.shape[1] / rate,
        start=start,
        sample_rate=rate,
        channels=_sounding(seen),
        reference=reference,
    )


def check_sounding(seen: FirstLook) -> None:
    """Refuses a recording in which nothing sounds."""
    if not seen.channels:
        raise RestorationError("This recording is silent, so there is nothing to restore in it. Choose another one.")


def _sounding(audio: Audio) -> int:
    """In how many channels (C, T) something sounds beside the loudest one."""
    loudness = np.array([float(channel.std(dtype=np.float64)) for channel in audio])
    return int((loudness > SILENT * loudness.max()).sum()) if loudness.max() > 1e-8 else 0


def equalised(sound: Audio, sample_rate: int, restorer: Restorer) -> Audio | None:
    """A sound with its average spectrum matched to the music that a checkpoint knows, where it has one to match."""
    if restorer.ltas is None or not sound.any():
        return None
    return restorer.restore(sound, sample_rate, output_rate=sample_rate, method="ltas-eq").audio
