"""What can be said of a recording at once, before anything is sampled."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.analysis.liveliest import liveliest
from babe2.dsp.spectra import ReferenceLtas
from babe2.page.excerpt import EXCERPT_SECONDS
from babe2.recordings.recorded import Audio
from babe2.restorer import Restorer
from babe2.wording import clock, format_length

WHOLE_SECONDS = 300.0  # up to here all of a recording is looked at
BLOCKS, BLOCK_SECONDS = 15, 10.0  # of a longer one, so many evenly spaced ones


@dataclass(frozen=True, eq=False)
class FirstLook:
    """A recording at first sight."""

    found: dict[str, Any]  # what `analyse` found
    seconds: float  # of the whole recording
    looked_at: float  # seconds of it
    start: float  # of the liveliest excerpt, seconds
    excerpt: Audio  # (channels, samples)
    sample_rate: int
    reference: ReferenceLtas | None  # what it was compared with

    @property
    def words(self) -> str:
        """Facts and advice, as Markdown."""
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
        return "\n\n".join([" · ".join(said), *(f"- {advice}" for advice in self.found["advice"])])


def first_look(
    path: str | Path, reference: ReferenceLtas | None = None, excerpt_seconds: float = EXCERPT_SECONDS
) -> FirstLook:
    """Of more than five minutes, evenly spaced blocks are looked at. Without a reference nothing is compared."""
    _, samples, rate = audio.measure(path)
    seconds = samples / rate
    places = [0.0]
    if seconds <= WHOLE_SECONDS:
        recording = audio.read(path)
        seen, rate = recording.audio, recording.sample_rate
        seconds = seen.shape[1] / rate
        start = liveliest(seen, rate, excerpt_seconds)
        first = round(start * rate)
        excerpt = seen[:, first : first + round(excerpt_seconds * rate)]
    else:
        places = np.linspace(0, seconds - BLOCK_SECONDS, BLOCKS).tolist()
        blocks = [audio.read(path, start=place, duration=BLOCK_SECONDS).audio for place in places]
        seen = np.concatenate(blocks, axis=1)
        start = places[min(int(liveliest(seen, rate, BLOCK_SECONDS) / BLOCK_SECONDS + 0.5), BLOCKS - 1)]
        excerpt = audio.read(path, start=start, duration=excerpt_seconds).audio
    return FirstLook(
        found=analyse(seen, rate, reference),
        seconds=seconds,
        looked_at=seen.shape[1] / rate,
        start=start,
        excerpt=excerpt,
        sample_rate=rate,
        reference=reference,
    )


def preview(seen: FirstLook, restorer: Restorer | None) -> Audio | None:
    """The excerpt with its average spectrum matched (LTAS-EQ), where the checkpoint has one to match."""
    if restorer is None or restorer.ltas is None or not seen.excerpt.any():
        return None
    return restorer.restore(seen.excerpt, seen.sample_rate, method="ltas-eq").audio


def restored_beforehand(seen: FirstLook, path: str | Path, examples: Path) -> Audio | None:
    """The excerpt of an example's restoration, which lies beside the example."""
    for restored in examples.glob("*.restored.flac"):
        example = restored.with_name(restored.name.replace(".restored", ""))
        if filecmp.cmp(example, path, shallow=False):
            return audio.read(restored, start=seen.start, duration=seen.excerpt.shape[1] / seen.sample_rate).audio
    return None
