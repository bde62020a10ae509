"""Weights that a seed makes, in the names and numbers of the recordings of the denoiser and of BEHM-GAN."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import nn

PARAMETRISED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def fill(network: nn.Module, seed: int) -> str:
    """Gives a network the weights of a seed; the SHA-256 of all of them in turn says whether they are the recorded."""
    digest, own = hashlib.sha256(), network.state_dict()
    for index, (name, ours) in enumerate(sorted(published_names(network).items())):
        if name.endswith("fembeddings"):  # stays as it is made
            continue
        weight = own[ours]
        drawn = np.random.default_rng([seed, index]).standard_normal(tuple(weight.shape), dtype=np.float32)
        if name.endswith("weight_g"):
            drawn = np.float32(0.7) + np.float32(0.1) * drawn
        elif name.endswith("bias"):
            drawn = np.float32(0.02) * drawn
        else:
            fan = np.prod(weight.shape[1:])
            drawn = (0.7 / np.sqrt(fan) * drawn.astype(np.float64)).astype(np.float32)
        digest.update(drawn.tobytes())
        weight.copy_(torch.from_numpy(drawn))
    return digest.hexdigest()


def published_names(network: nn.Module) -> dict[str, str]:
    """What a published file calls each weight, and what we call it."""
    names = {}
    for own in network.state_dict():
        name = own
        for ours, theirs in PARAMETRISED.items():
            name = name.replace(ours, theirs)
        names[name] = own
    return names
