"""Which recordings are scored, and which parts of them."""

from __future__ import annotations

import argparse
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

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".npy")


def knowing(restorer: Restorer, **options: Any) -> RestoreKnown:
    """Restores with the true response in place of an estimate."""

    def restore(observation: Tensor, sample_rate: int, response: Curve) -> Tensor:
        return torch.from_numpy(restorer.restore(observation, sample_rate, response=response, **options).audio[0])

    return restore


def files_of(paths: list[Path]) -> list[Path]:
    files = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise RestorationError(f"There are no recordings in {path}.")
        files += inside
    return files


def clips_of(path: Path, options: argparse.Namespace, model_rate: int) -> list[Clip]:
    """Evenly spaced clips of a recording, without its beginning and its end."""
    audio, rate = _read(path, model_rate)
    if options.per_file < 1 or not 1 <= options.seconds * rate <= len(audio):
        raise RestorationError(f"{path} holds no clip of {options.seconds:g} s. Ask for one or more, and shorter ones.")
    length = round(options.seconds * rate)
    places = np.linspace(0, len(audio) - length, options.per_file + 2)[1:-1].round().astype(int)
    return [(f"{path.stem} at {place / rate:.0f} s", audio[place : place + length], rate) for place in places]


def _read(path: Path, model_rate: int) -> tuple[Tensor, int]:
    """(T,); arrays are 16-bit at the model's rate, as they are prepared for training."""
    if path.suffix == ".npy":
        try:
            samples = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RestorationError(f"{path} is no array of samples: {error}.") from None
        if samples.ndim != 1 or samples.dtype != np.int16:
            raise RestorationError(f"{path} is no row of 16-bit samples. Give a sound file.")
        return torch.from_numpy(samples.astype(np.float32) / 32768), model_rate

    recording = audio.read(path)
    return torch.as_tensor(recording.audio).float().mean(dim=0), recording.sample_rate
