"""A check on the way: held-out music is spoiled like an old recording, restored with the network so far, and scored."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from babe2.degradations.aging import degrade
from babe2.degradations.families import ResponseFamily
from babe2.dsp.distance import at_level, log_spectral_distance
from babe2.networks.models import next_length
from babe2.replacing import write_text
from babe2.restorer import Restorer
from babe2.training.examples import Examples
from babe2.training.progress import finite

SECONDS = 6.0  # of music, or a segment where that is longer
RECORDED_HZ = (100.0, 3000.0)  # what an old recording holds
LOST_FROM_HZ = 3500.0


def check_restoration(
    restorer: Restorer, held_out: Examples, folder: Path, iteration: int, cancelled: Callable[[], bool]
) -> dict[str, float]:
    """Restores an excerpt of held-out music; writes the sounds and scores to `folder`, and returns the scores.

    The scores are log-spectral distances to the truth in dB, of the spoiled recording and of its restoration.
    """
    folder.mkdir(exist_ok=True)
    rate, seeded = restorer.model.sample_rate, torch.Generator().manual_seed(0)
    length = max(restorer.model.segment, next_length(restorer.model, round(SECONDS * rate)))
    longer = replace(held_out, model=replace(held_out.model, segment=length))
    truth = torch.from_numpy(longer.fixed(0, 1).clean)
    observation = degrade(truth, rate, ResponseFamily().draw(seeded), seeded)
    restoration = restorer.restore(observation, rate, preset="draft", segment_length=length, cancelled=cancelled)
    restored = torch.from_numpy(restoration.audio[0])
    for name, sound in {"truth": truth, "recording": observation, f"{iteration:09d}": restored}.items():
        write_wave(folder / f"{name}.wav", sound, rate)
    found = scores({"recording": observation, "restored": restored}, truth, rate)
    write_text(folder / f"{iteration:09d}.json", json.dumps(finite(found), indent=1) + "\n")
    return found


def scores(sounds: dict[str, Tensor], truth: Tensor, sample_rate: int) -> dict[str, float]:
    """Returns each sound's distance to the truth, in the band that was recorded and in the one that was lost, dB."""
    bands = {"recorded": RECORDED_HZ, "lost": (LOST_FROM_HZ, 0.9 * sample_rate / 2)}
    level = float(truth.std())
    return {
        f"lsd_{name}_{band}": log_spectral_distance(at_level(sound, level), truth, sample_rate, hertz)
        for name, sound in sounds.items()
        for band, hertz in bands.items()
        if hertz[0] < hertz[1] < sample_rate / 2
    }


def write_wave(path: Path, x: Tensor, sample_rate: int) -> None:
    """Writes x (T,) as 16-bit integers; what is too loud is turned down."""
    # By Python's own module, as a machine that trains may have no codecs.
    x = x / max(1.0, float(x.abs().max()) / 0.99)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((x.numpy() * 32767).round().astype(np.int16).tobytes())
