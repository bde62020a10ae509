"""The compact network: a U-Net over (rows, frames) of the folded transform, with a noise level for each bin as input.

Usual diffusion has one noise level for all frequencies. With a level per bin a recording can be given as it is: little
noise where it is loud and clear, nothing but noise above its cut-off. Every bin is preconditioned by the spread
(standard deviation) of music in that bin, so the untrained network already is the Wiener filter of the music's average
spectrum, whatever the noise's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babe2.config import BandwiseArchitecture
from babe2.network import Modules, Poll
from babe2.networks.folded_cqt import PATCH, groups_of

# Rows (a semitone each, at 48 bins per octave) where a tone's other partials lie: two octaves, a twelfth, an octave and
# a fifth below, a fifth and an octave above.
HARMONICS = (-24, -19, -12, -7, 7, 12)
HARMONIC_CHANNELS = 32
LEVELS = 30  # overlapping steps that a row's noise level is encoded by, one every factor of 1.7


class BandwiseUNet(nn.Module):
    """Pictures are (B, rows, frames, C): channels last, where they are multiplied."""

    spread: Tensor  # (K,) std of the music in each bin

    def __init__(self, size: BandwiseArchitecture, sample_rate: int) -> None:
        super().__init__()
        self.groups = groups_of(sample_rate, size.octaves, size.bins_per_octave)
        self.dtype = torch.float32
        bins, first, last = size.octaves * size.bins_per_octave, size.channels[0], len(size.channels) - 1
        self.stems: Modules[nn.Linear] = Modules(
            nn.Linear(2 * PATCH * fold, first, bias=False) for _, fold in self.groups
        )
        self.heads: Modules[nn.Linear] = Modules(
            nn.Linear(first, 2 * PATCH * fold, bias=False) for _, fold in self.groups
        )
        self.place = nn.Parameter(torch.zeros(bins // PATCH, first))
        self.tell = nn.Linear(PATCH, first, bias=False)
        width = size.embedding
        self.embed = nn.Sequential(nn.Linear(LEVELS + 2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.down: Modules[Modules[Block]] = Modules()
        self.up: Modules[Modules[Block]] = Modules()
        self.shrink: Modules[nn.Linear] = Modules()
        self.grow: Modules[nn.Linear] = Modules()
        for level, (channels, count) in enumerate(zip(size.channels, size.blocks, strict=True)):
            # Each block reaches twice as far over the rows as the one before; at the bottom over time, too.
            spans = [(2**i, 1 if level < last else 2**i) for i in range(count)]
            self.down.append(Modules(Block(channels, width, span) for span in spans))
            if level < last:
                self.up.append(Modules(Block(channels, width, span) for span in reversed(spans)))
                self.shrink.append(nn.Linear(4 * channels, size.channels[level + 1], bias=False))
                self.grow.append(nn.Linear(size.channels[level + 1], 4 * channels, bias=False))
        self.harmonics_in = Harmonics(first)
        self.harmonics_out = Harmonics(first)
        self.register_buffer("spread", torch.ones(bins))
        for head in self.heads:
            nn.init.zeros_(head.weight)  # the untrained network is the Wiener filter

    def forward(self, groups: list[Tensor], noisiness: Tensor, poll: Poll | None = None) -> list[Tensor]:
        """Returns groups like the given ones (B, rows, frames, 2 fold PATCH), which are of unit variance.

        noisiness is the log of the noise level over the spread of music, (B, K), or (B, K, frames) where it changes
        with time; `poll` is called before each block.
        """
        with torch.autocast(noisiness.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self._forward(groups, noisiness, poll)

    def _forward(self, groups: list[Tensor], noisiness: Tensor, poll: Poll | None) -> list[Tensor]:
        x = torch.cat([stem(group) for stem, group in zip(self.stems, groups, strict=True)], dim=1)
        by_row = noisiness.reshape(*noisiness.shape[:2], -1).unflatten(1, (-1, PATCH)).transpose(2, 3)
        x = x + (self.place.unsqueeze(1) + at_places(self.tell, by_row / 4)).to(x.dtype)
        levels = [self._embedded(by_row.mean(dim=-1, keepdim=True))]
        kept: list[Tensor] = []
        for level in range(len(self.down)):
            if level:
                kept.append(x)
                x = self.shrink[level - 1](halved(x))
                levels.append(halved_levels(levels[-1]))
            for index, block in enumerate(self.down[level]):
                if poll is not None:
                    poll()
                x = block(x, levels[level])
                if level == index == 0:
                    x = self.harmonics_in(x)
        for level in reversed(range(len(self.up))):
            x = doubled(self.grow[level](x)) + kept[level]
            blocks = self.up[level]
            for index, block in enumerate(blocks):
                if poll is not None:
                    poll()
                if level == 0 and index == len(blocks) - 1:
                    x = self.harmonics_out(x)
                x = block(x, levels[level])
        x = F.silu(F.layer_norm(x, x.shape[-1:]))
        parts = x.split([bins // PATCH for bins, _ in self.groups], dim=1)
        return [head(part) for head, part in zip(self.heads, parts, strict=True)]

    def _embedded(self, noisiness: Tensor) -> Tensor:
        """The embedding of a row's mean noisiness: (B, rows, frames or 1, 1) -> (B, rows, frames or 1, E)."""
        steps = torch.linspace(-4.0, 4.0, LEVELS, device=noisiness.device)
        near = torch.exp(-2 * (noisiness.clamp(-8, 8) / 2 - steps) ** 2)
        told = torch.cat([near, noisiness / 4, torch.ones_like(noisiness)], dim=-1)
        return at_places(self.embed, told)

    def set_dtype(self, dtype: torch.dtype) -> BandwiseUNet:
        """Sets the type the network multiplies in; its weights stay as they are. Returns the network itself."""
        self.dtype = dtype
        return self


class Block(nn.Module):
    """A residual block: x (B, rows, frames, C), noise (B, rows, frames or 1, E) -> like x."""

    def __init__(self, channels: int, embedding: int, dilation: tuple[int, int]) -> None:
        super().__init__()
        self.film = Film(embedding, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)
        nn.init.normal_(self.out.weight, std=0.3 * channels**-0.5)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        y = F.silu(self.film(F.layer_norm(x, x.shape[-1:]), noise))
        y = self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # in memory channels stay last
        return x + self.out(F.silu(y))


class Film(nn.Module):
    """Gain and offset per channel (FiLM), from the embedding of how noisy each row is, and when."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        gain, offset = at_places(self.linear, noise).chunk(2, dim=-1)
        return torch.addcmul(offset, x, 1 + gain)


class Harmonics(nn.Module):
    """Lets every row see the rows where the other partials of its tones lie."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.take = nn.Linear(channels, HARMONIC_CHANNELS, bias=False)
        self.give = nn.Linear(HARMONIC_CHANNELS * len(HARMONICS), channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, reach = x.shape[1], max(map(abs, HARMONICS))
        padded = F.pad(self.take(F.layer_norm(x, x.shape[-1:])), (0, 0, 0, 0, reach, reach))
        seen = [padded[:, reach + shift : reach + shift + rows] for shift in HARMONICS]
        return x + self.give(F.silu(torch.cat(seen, dim=-1)))


def at_places(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer of the last dimension, at every row and frame of x (B, rows, frames, C).

    In three dimensions torch rounds otherwise than in four, and noise that does not change has always been in three.
    """
    told: Tensor = layer(x.flatten(1, 2))
    return told.unflatten(1, x.shape[1:3])


def halved(x: Tensor) -> Tensor:
    """Half the rows and frames, four times the channels: (B, rows, frames, C) -> (B, rows / 2, frames / 2, 4 C)."""
    batch, rows, frames, channels = x.shape
    quarters = x.reshape(batch, rows // 2, 2, frames // 2, 2, channels).transpose(2, 3)
    return quarters.reshape(batch, rows // 2, frames // 2, 4 * channels)


def halved_levels(noise: Tensor) -> Tensor:
    """The embedding for half the rows, and half the frames where it changes with time: a mean of each two."""
    noise = (noise[:, ::2] + noise[:, 1::2]) / 2
    return noise if noise.shape[2] == 1 else (noise[:, :, ::2] + noise[:, :, 1::2]) / 2


def doubled(x: Tensor) -> Tensor:
    """The inverse of `halved`."""
    batch, rows, frames, channels = x.shape
    quarters = x.reshape(batch, rows, frames, 2, 2, channels // 4).transpose(2, 3)
    return quarters.reshape(batch, 2 * rows, 2 * frames, channels // 4)
