"""The published denoiser's recorded numbers, and a network with the weights that they were recorded with."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.config import SpectralArchitecture
from babe2.networks.spectral import SpectralUNet

REFERENCE = Path(__file__).parent / "reference" / "denoiser"
SMALL = SpectralArchitecture((4, 4, 4, 8, 8, 16, 32))
SMALL_SEED = 101


def vectors(name: str) -> dict[str, Tensor]:
    with np.load(REFERENCE / name) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if file[key].dtype.kind == "f"}


def hash_in(name: str, key: str) -> str:
    with np.load(REFERENCE / name) as file:
        return str(file[key])


def with_procedural_weights(size: SpectralArchitecture, seed: int) -> tuple[SpectralUNet, str]:
    """A network with the weights that the vectors' README describes, and their hash."""
    network, digest = SpectralUNet(size), hashlib.sha256()
    # The published program keeps the weights of the attention also where it does not use it.
    weights = SpectralUNet(replace(size, attention=True)).state_dict()
    for number, key in enumerate(sorted(weights)):
        if key.endswith("fembeddings"):
            continue
        shape = tuple(weights[key].shape)
        r = np.random.default_rng([seed, number]).standard_normal(shape, dtype=np.float32)
        made: npt.NDArray[np.float32] = np.float32(0.02) * r
        if not key.endswith("bias"):
            made = ((0.7 / math.sqrt(math.prod(shape[1:]))) * r.astype(np.float64)).astype(np.float32)
        digest.update(made.tobytes())
        weights[key] = torch.from_numpy(made)
    network.load_state_dict({key: weights[key] for key in network.state_dict()})
    return network.requires_grad_(False).eval(), digest.hexdigest()
