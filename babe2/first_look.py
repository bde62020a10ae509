"""What can be said of a recording at once, before anything is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babe2 import audio
from babe2.analysis import ReferenceLtas, analyse, liveliest
from babe2.pipeline import Restorer
from babe2.recorded import Audio

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
    reference: ReferenceLtas | None  # of the checkpoint, where it has one
    equalised: Audio | None  # the excerpt with its average spectrum matched (LTAS-EQ), where the checkpoint has one


def first_look(path: str | Path, restorer: Restorer | None, excerpt_seconds: float) -> FirstLook:
    """Of more than five minutes, evenly spaced blocks are looked at. Without a restorer nothing is compared."""
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
    reference = None if restorer is None else restorer.reference
    return FirstLook(
        found=analyse(seen, rate, reference),
        seconds=seconds,
        looked_at=seen.shape[1] / rate,
        start=start,
        excerpt=excerpt,
        sample_rate=rate,
        reference=reference,
        equalised=_equalised(excerpt, rate, restorer),
    )


def _equalised(excerpt: Audio, sample_rate: int, restorer: Restorer | None) -> Audio | None:
    if restorer is None or restorer.ltas is None or not excerpt.any():
        return None
    return restorer.restore(excerpt, sample_rate, method="ltas-eq").audio
