"""Checkpoints: where they are found, how they are fetched, verified, read, converted and shared.

`load(spec)` gives a `Checkpoint` (a model, its weights, the average spectrum of its music) by any name that people have
for it; `save` writes one into a folder; `model_of` reads the model out of a config.json; `NETWORKS` names the kinds.
"""

from babe2.checkpoints.checkpoint import NETWORKS, Checkpoint, model_of, save
from babe2.checkpoints.loading import load

__all__ = ["NETWORKS", "Checkpoint", "load", "model_of", "save"]
