"""Which recordings are scored, and which parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from babe2 import audio
from babe2.dsp.curves import Curve
from babe2.errors import RestorationError
from babe2.evaluation.synthetic import Clip, RestoreKnown
from babe2.restorer import Restorer
from babe2.training.corpus import SHARD, Shard, Skipped, find_files


def with_known_response(restorer: Restorer, **options: Any) -> RestoreKnown:
    """The function that restores with the true response in place of an estimate."""

    def restore(observation: Tensor, sample_rate: int, response: Curve) -> Tensor:
        known = {"response": response, "output_rate": sample_rate, **options}
        return torch.from_numpy(restorer.restore(observation, sample_rate, **known).audio[0])

    return restore


def find_recordings(places: Sequence[Path]) -> list[Path]:
    """The recordings in folders, files and text lists of files, as a training finds them."""
    files: list[Path] = []
    for place in places:
        skipped: list[Skipped] = []
        inside = [path for path, _ in find_files([place], skipped)]
        if skipped:
            raise RestorationError(f"{skipped[0].name!s:.200}: {skipped[0].reason} Give recordings or their folders.")
        if not inside:
            raise RestorationError(f"There are no recordings in {place!s:.200}. Give recordings or their folders.")
        files += [path for path in inside if path not in files]
    return files


def clips_of(path: Path, *, seconds: float, count: int, model_rate: int) -> list[Clip]:
    """Evenly spaced clips of a recording, without its beginning and its end.

    An array is taken to be at `model_rate`, as it was prepared for training.
    """
    sound, rate = whole_of(path, model_rate)
    if count < 1 or not 1 <= seconds * rate <= len(sound):
        raise RestorationError(f"{path} holds no clip of {seconds:g} s. Ask for one or more, and shorter ones.")
    length = round(seconds * rate)
    places = np.linspace(0, len(sound) - length, count + 2)[1:-1].round().astype(int)
    return [(f"{path.stem} at {place / rate:.0f} s", sound[place : place + length], rate) for place in places]


def whole_of(path: Path, model_rate: int) -> tuple[Tensor, int]:
    """The mean of a recording's channels (T,), and its sample rate."""
    if path.suffix == SHARD:
        shard = Shard(path, str(path), model_rate)
        return torch.from_numpy(shard.read(0, shard.samples)[0]), model_rate
    recording = audio.read(path)
    return torch.as_tensor(recording.audio).float().mean(dim=0), recording.sample_rate
