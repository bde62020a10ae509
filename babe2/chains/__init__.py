"""Chains: several stages after one another, as one saved file. `Chain.load("shellac-piano")(audio, sample_rate)`."""

from babe2.chains.chain import PRESETS, Chain
from babe2.chains.link import Link
from babe2.chains.work import Chained, LinkProgress

__all__ = ["PRESETS", "Chain", "Chained", "Link", "LinkProgress"]
