"""Networks beside the paper's, and the list of all networks by name: MODELS, and how each is built."""

from babe2.networks.models import MODELS, Network, Transform, build_network, build_transform, next_length

__all__ = ["MODELS", "Network", "Transform", "build_network", "build_transform", "next_length"]
