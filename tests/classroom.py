"""What the tests of training and of compact networks share: a little music, and networks that learn within seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from conftest import SMALL, SMALL_LENGTH, babbling

from babe2.checkpoints.checkpoint import NETWORKS
from babe2.config import BandwiseArchitecture, Model
from babe2.networks.bandwise import BandwiseUNet

RATE = 8000  # Hz
COMPACT = Model(BandwiseArchitecture((16, 16), (1, 1), 7, 16, 8), RATE, 4096, sigma_data=0.08)
PUBLISHED = Model(SMALL, RATE, SMALL_LENGTH, sigma_data=0.063)
SHORT_PUBLISHED = replace(PUBLISHED, segment=SMALL_LENGTH // 4)  # for what is not compared with recorded numbers
QUICK = ["--set", "ltas_batches=2", "--set", "spread_batches=2", "--set", "ltas_fft=1024", "--device", "cpu"]


def compact_network() -> BandwiseUNet:
    """Untrained, so that it guesses nothing; the music it is made for is louder in the bass."""
    size = COMPACT.architecture
    assert isinstance(size, BandwiseArchitecture)
    network = BandwiseUNet(size, RATE).requires_grad_(False)
    network.spread.copy_(0.2 * torch.logspace(0, -2, len(network.spread)))
    return network


def babbling_network() -> BandwiseUNet:
    """The same, but it says something."""
    network, spread = compact_network(), compact_network().spread
    babbling(network).spread.copy_(spread)
    return network


def tune(seconds: float, seed: int = 0, rate: int = RATE) -> npt.NDArray[np.float64]:
    """(T,) Notes of a decaying, harmonic sound, two a second."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(0.5 * rate)) / rate
    notes = []
    for _ in range(round(2 * seconds)):
        pitch = 110 * 2 ** (rng.integers(0, 24) / 12)
        partials = [np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k**1.5 for k in range(1, 15)]
        notes.append(sum(partials) * np.exp(-4 * time))
    sound = np.concatenate(notes)
    return 0.1 * sound / sound.std()


def shard(path: Path, seconds: float = 12.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.round(tune(seconds, seed) * 32767).clip(-32768, 32767).astype(np.int16))
    return path


def described(model: Model, path: Path) -> Path:
    """A configuration that `--network` takes."""
    network = NETWORKS[type(model.architecture)]
    path.write_text(json.dumps({"format": "babe2", "network": network, "model": asdict(model)}))
    return path


def python(*arguments: str) -> subprocess.Popen[str]:
    """Another Python, computing as this one does."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
