"""Checkpoints: where they are found, how they are fetched, verified, read, converted and shared."""

from babe2.checkpoints.checkpoint import NETWORKS, Checkpoint, model_of, save
from babe2.checkpoints.loading import load

__all__ = ["NETWORKS", "Checkpoint", "load", "model_of", "save"]
