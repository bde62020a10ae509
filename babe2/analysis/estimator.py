"""A small network that weighs a recording's evidence: the machine's response with its uncertainty, and its noise.

It sees one recording as a row of bands (`evidence.py`). It was trained on good recordings of pianos and voices that
were spoiled by thousands of made-up machines (degradations/families.py, recipes/response_estimator).
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babe2.analysis.evidence import COUNT, FEATURES

HEADS, EXPAND = 4, 3
# Of each band: response, signal over noise and music, each with its log-scale, and how far what the recording departs
# from the reference is the machine's doing.
OUTPUTS = 7
DB = 10.0  # of one unit of the network's output
WEIGHTS = "response-estimator"


class Guess(NamedTuple):
    """What the network makes of some recordings."""

    response: Tensor  # (B, K) dB
    scale: Tensor  # (B, K) dB: mean absolute error to be expected
    snr: Tensor  # (B, K) dB: music over noise
    snr_scale: Tensor  # (B, K) dB
    music: Tensor  # (B, K) dB, over the reference: how bright this music is, also where nothing of it was recorded
    music_scale: Tensor  # (B, K) dB
    ends: Tensor  # (B,) log odds that a machine, not the music, ended the band


class ResponseNetwork(nn.Module):
    """Bands are tokens; each sees all others."""

    mean: Tensor  # (FEATURES,)
    deviation: Tensor  # (FEATURES,)
    widening: Tensor  # () by which scales are multiplied, so that the stated bands hold what they should

    def __init__(self, width: int = 96, layers: int = 3) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.register_buffer("widening", torch.ones(()))
        self.look = nn.Sequential(nn.Linear(FEATURES, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.place = nn.Parameter(torch.zeros(COUNT, width))
        self.same = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, OUTPUTS)
        self.whole = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, features: Tensor, same: Tensor) -> Guess:
        """features (B, K, FEATURES); same (B,) is 1 where the reference is of the same instrument and room, else 0."""
        x = self.look(((features - self.mean) / self.deviation).clamp(-8, 8))
        x = x + self.place + same[:, None, None] * self.same
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        response, scale, snr, snr_scale, music, music_scale, trust = self.out(x).unbind(dim=-1)
        departure = features[..., 0].clamp(-60, 60)
        ends = self.whole(torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=-1))[:, 0]
        return Guess(
            DB * response + torch.sigmoid(trust) * departure,
            self.widening * 3 * torch.exp(scale.clamp(-4, 4)),
            2 * DB * snr,
            5 * torch.exp(snr_scale.clamp(-4, 4)),
            DB * music,
            3 * torch.exp(music_scale.clamp(-4, 4)),
            ends,
        )


class Layer(nn.Module):
    """Attention over bands, then a step of each for itself; x (B, K, C) -> like x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.give = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.near = nn.Parameter(torch.zeros(HEADS, 2 * COUNT - 1))  # how much bands so far apart mind each other
        self.step = nn.Sequential(
            nn.Linear(width, EXPAND * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(EXPAND * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, bands, width = x.shape
        query, key, value = self.ask(self.first(x)).reshape(batch, bands, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        place = torch.arange(bands, device=x.device)
        bias = self.near[:, place[:, None] - place[None] + bands - 1]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.give(seen.transpose(1, 2).reshape(batch, bands, width))
        return x + self.step(self.second(x))


@cache
def load_network() -> ResponseNetwork:
    """The network that is included."""
    from safetensors.torch import load

    folder = resources.files("babe2") / "bundled" / WEIGHTS
    sizes = json.loads((folder / "config.json").read_text("utf-8"))["network"]
    network = ResponseNetwork(**sizes)
    network.load_state_dict({name: x.float() for name, x in load((folder / "model.safetensors").read_bytes()).items()})
    return network.eval().requires_grad_(False)
