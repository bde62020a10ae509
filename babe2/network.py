"""CQT-Diff+, the paper's network: a U-Net over the octaves of a constant-Q transform.

It begins with the highest octave, which has the most frames. Each level halves the frames and adds the next octave at
the bottom of the picture, until all octaves share the lowest one's frames; on the way back each level returns its
octave. Parameter names match the published checkpoints one to one, which is why some of them are what they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from babe2.config import Architecture
from babe2.convolution import EAGER, EPSILON, NormGeluConv, Pointwise, compiled, group_statistics, plane

KERNEL = (5, 3)  # frequency, time
HALF_POWER = math.sqrt(0.5)  # two unit-variance signals sum to variance 2
# Low-pass for changing the frame rate by two. It sums to one both ways, so going up halves the level, as published.
RESAMPLER = (-0.01171875, -0.03515625, 0.11328125, 0.43359375, 0.43359375, 0.11328125, -0.03515625, -0.01171875)
FREQUENCIES = 32  # of the noise embedding

Poll = Callable[[], None]  # called in between; what it raises ends the evaluation
M = TypeVar("M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[M]):
    """A ModuleList that tells a type checker what it holds."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[M]: ...

        def __getitem__(self, index: int) -> M: ...  # type: ignore[override]


class CQTDiffPlus(nn.Module):
    """Octaves (B, bins, frames) complex, lowest first, and log noise levels (B or 1, 1) -> octaves like these."""

    downs: Modules[Modules[nn.Module]]  # of [inlet, pyramid convolution, block], from the highest octave down
    middle: Modules[Modules[nn.Module]]  # one [outlet, block]
    ups: Modules[Modules[nn.Module]]  # of [outlet, block], from the lowest octave up

    def __init__(self, size: Architecture) -> None:
        super().__init__()
        self.size = size
        self.save_memory = False  # keep only each block's input for the way back, and compute its inside twice
        self.embedding = NoiseEmbedding(size.embedding)
        self.downsamplerT = Downsample()
        self.upsamplerT = Upsample()

        def outlet(channels: int) -> ResidualBlock:
            return ResidualBlock(channels, 2, size.embedding, kernel=(1, 1), project_last=True)

        def block(channels: int, channels_out: int, level: int, place: int) -> ResidualBlock:
            attention = None
            if size.attention and size.attention[place]:
                bins = (level + 1) * size.bins_per_octave
                attention = (bins, size.attention_heads, size.attention_buckets, size.attention_distance)
            return ResidualBlock(channels, channels_out, size.embedding, layers=size.layers[level], attention=attention)

        deep = size.channels
        wide = (deep[0], *deep[:-1])  # what a level receives from the one above and gives back to it
        levels = range(size.octaves)
        self.downs = Modules(
            Modules(
                [
                    ResidualBlock(2, wide[i], size.embedding, kernel=(1, 1)),
                    nn.Conv2d(2, deep[i], KERNEL, padding="same", bias=False),
                    block(wide[i], deep[i], i, i),
                ]
            )
            for i in levels
        )
        self.middle = Modules([Modules([outlet(deep[-1]), block(deep[-1], deep[-1], size.octaves - 1, -1)])])
        self.ups = Modules(Modules([outlet(wide[i]), block(2 * deep[i], wide[i], i, i)]) for i in reversed(levels))

    def forward(self, octaves: list[Tensor], log_sigma: Tensor, poll: Poll | None = None) -> list[Tensor]:
        """Returns the network's answer; `poll` is called between levels, in the gradient's way back too."""
        embedding = self.embedding(log_sigma)
        bins, deepest = self.size.bins_per_octave, self.size.octaves - 1

        def through(block: nn.Module, x: Tensor) -> Tensor:
            if self.save_memory and torch.is_grad_enabled():
                return checkpoint(block, x, embedding, use_reentrant=False)
            return block(x, embedding)

        skips: list[Tensor] = []
        x = pyramid = torch.empty(0)
        for i, (inlet, pyramid_conv, block) in enumerate(self.downs):
            octave = as_picture(octaves[deepest - i], self.dtype)
            x = through(inlet, octave) if i == 0 else torch.cat([through(inlet, octave), x], dim=2)
            x = through(block, polling(x, poll))
            skips.append(x)
            if i < deepest:  # the lowest octave is not decimated any more
                x, octave = self.downsamplerT(x), self.downsamplerT(octave)
                pyramid = self.downsamplerT(pyramid) if i > 0 else pyramid
            pyramid = torch.cat([octave, pyramid], dim=2) if i > 0 else octave
            x = (x + pyramid_conv(pyramid)).mul_(HALF_POWER)

        outlet, block = self.middle[0]
        x = through(block, polling(x, poll))
        out = through(outlet, x)

        result: list[Tensor] = []
        for i, (outlet, block) in zip(range(deepest, -1, -1), self.ups, strict=True):
            x = through(block, torch.cat([polling(x, poll), skips.pop()], dim=1))
            out = (out + through(outlet, x)).mul_(HALF_POWER)
            result.append(as_octave(out[:, :, :bins]))
            if i > 0:
                x, out = self.upsamplerT(above(x, bins)), self.upsamplerT(above(out, bins))
        return result

    @property
    def dtype(self) -> torch.dtype:
        """The type the pictures are computed in; noise embedding and norms stay in float32."""
        return self.downsamplerT.kernel.dtype

    def set_dtype(self, dtype: torch.dtype) -> CQTDiffPlus:
        """Converts the weights that pictures are computed with; returns the network itself."""
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Conv2d, Downsample, Upsample)):
                module.to(dtype)
        return self

    @property
    def is_compiled(self) -> bool:
        """Whether the arithmetic between convolutions is compiled."""
        return any(isinstance(module, ResidualBlock) and module.pointwise is not EAGER for module in self.modules())

    def compile_pointwise(self) -> CQTDiffPlus:
        """Compiles the arithmetic between convolutions; the first evaluation then takes half a minute longer."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.pointwise = compiled()
        return self


class NoiseEmbedding(nn.Module):
    """Log noise level (B, 1) -> (B, E): random Fourier features, frozen, then three layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.RFF_freq = nn.Parameter(nn.init.normal_(torch.empty(1, FREQUENCIES), std=16), requires_grad=False)
        self.MLP = nn.ModuleList([nn.Linear(2 * FREQUENCIES, 128), nn.Linear(128, 256), nn.Linear(256, width)])

    def forward(self, log_sigma: Tensor) -> Tensor:
        angle = 2 * math.pi * log_sigma * self.RFF_freq
        x = torch.cat([angle.sin(), angle.cos()], dim=-1)
        for layer in self.MLP:
            x = F.relu(layer(x))
        return x


class ResidualBlock(nn.Module):
    """x (B, C, F, T), embedding (B or 1, E) -> (B, C_out, F, T): a stack of gated layers dilated along frequency.

    Dilated along frequency, because a partial's neighbours are octaves away while time is only a few frames.
    `project_last` changes the number of channels behind the stack instead of before it.
    """

    H: Modules[nn.Conv2d]
    affine: Modules[nn.Linear]
    gate: Modules[nn.Linear]
    norm: Modules[Norm]
    pointwise: Pointwise

    def __init__(
        self,
        channels: int,
        channels_out: int,
        embedding: int,
        layers: int = 1,
        kernel: tuple[int, int] = KERNEL,
        project_last: bool = False,
        attention: tuple[int, int, int, int] | None = None,
    ) -> None:
        super().__init__()
        width = channels if project_last else channels_out

        def pointwise(c_in: int, c_out: int) -> nn.Module:
            return nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1, bias=False)

        self.proj_out = pointwise(width, channels_out)
        self.res_conv = pointwise(channels, channels_out)
        self.proj_in = pointwise(channels, width)
        self.attends = attention is not None
        self.pointwise = EAGER
        if attention:
            self.norm2 = Norm(width)
            self.affine2 = nn.Linear(embedding, width)
            self.gate2 = nn.Linear(embedding, width)
            self.attn_block = TimeAttention(width, *attention)
        self.H = Modules(
            nn.Conv2d(width, width, kernel, padding="same", dilation=(2**i, 1), bias=False) for i in range(layers)
        )
        self.affine = Modules(nn.Linear(embedding, width) for _ in range(layers))
        self.gate = Modules(nn.Linear(embedding, width) for _ in range(layers))
        self.norm = Modules(Norm(width) for _ in range(layers))

    def forward(self, inp: Tensor, embedding: Tensor) -> Tensor:
        x = self.proj_in(inp)
        if self.attends:
            gain = self.norm2.gain(self.affine2(embedding))
            y = self.attn_block(normalised(x, gain)) * plane(self.gate2(embedding), x)
            x = (x + y) * HALF_POWER
        for conv, affine, gate, norm in zip(self.H, self.affine, self.gate, self.norm, strict=True):
            gain = norm.gain(affine(embedding))
            weight = gate(embedding) * HALF_POWER
            if len(weight) == 1:  # one noise level for all: the gate is part of the kernel
                kernel = conv.weight * weight[0, :, None, None, None].to(conv.weight.dtype)
                y = NormGeluConv.apply(x, gain, kernel, conv.dilation[0], self.pointwise)
            else:
                y = NormGeluConv.apply(x, gain, conv.weight, conv.dilation[0], self.pointwise) * plane(weight, x)
            x = torch.add(y, x, alpha=HALF_POWER)
        return (self.proj_out(x) + self.res_conv(inp)).mul_(HALF_POWER)


class Norm(nn.Module):
    """Holds the gains of a group norm without bias and, as published, without subtracting the mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))

    def gain(self, modulation: Tensor) -> Tensor:
        """modulation (B, C) -> gain (B, C)"""
        return self.gamma.flatten() * (1 + modulation)


def normalised(x: Tensor, gain: Tensor) -> Tensor:
    """Returns x (B, C, F, T) over the spread of its group of channels, times gain (B, C)."""
    _, std = group_statistics(x)
    return x * plane(gain / (std + EPSILON), x)


class TimeAttention(nn.Module):
    """Attention among the frames of x (B, C, bins, T); each head sees all bins of its one channel at a time."""

    def __init__(self, channels: int, bins: int, heads: int, buckets: int, distance: int) -> None:
        super().__init__()
        self.bins, self.heads = bins, heads
        self.qk = nn.Conv1d(heads * bins, 2 * heads * bins, 1, bias=False)
        self.proj_in = nn.Conv2d(channels, heads, 1, bias=False)
        self.proj_out = nn.Conv2d(heads, channels, 1, bias=False)
        self.rel_pos = RelativePosition(heads, buckets, distance)

    def forward(self, x: Tensor) -> Tensor:
        value = self.proj_in(x)  # (B, heads, bins, T), not projected any further
        query, key = self.qk(value.flatten(1, 2)).unflatten(1, (self.heads, 2 * self.bins)).chunk(2, dim=2)
        bias = self.rel_pos(x.shape[-1]).to(x.dtype)
        logits = (query.transpose(-1, -2) @ key + bias) * self.bins**-0.5  # published: the bias is scaled too
        attended = value @ logits.softmax(dim=-1).transpose(-1, -2)
        return self.proj_out(attended)


class RelativePosition(nn.Module):
    """Frames -> attention bias (heads, T, T) by distance, exact when near and in logarithmic buckets when far."""

    def __init__(self, heads: int, buckets: int, distance: int) -> None:
        super().__init__()
        self.distance = distance
        self.relative_attention_bias = nn.Embedding(buckets, heads)

    def forward(self, frames: int) -> Tensor:
        table = self.relative_attention_bias.weight
        place = torch.arange(frames, device=table.device)
        offset = place[None, :] - place[:, None]  # key - query
        half = len(table) // 2
        near = half // 2
        far = near + (offset.abs().clamp(min=1) / near).log() / math.log(self.distance / near) * (half - near)
        bucket = torch.where(offset.abs() < near, offset.abs(), far.long().clamp(max=half - 1))
        return table[bucket + half * (offset >= 0)].movedim(-1, 0)


class Downsample(nn.Module):
    """Half the frames: x (B, C, F, T) -> (B, C, F, T / 2)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor(RESAMPLER))

    def forward(self, x: Tensor) -> Tensor:
        margin = len(self.kernel) // 2 - 1
        return F.conv2d(
            F.pad(x, (margin, margin, 0, 0), mode="reflect"), self.per_channel(x), stride=(1, 2), groups=x.shape[1]
        )

    def per_channel(self, x: Tensor) -> Tensor:
        return self.kernel.expand(x.shape[1], 1, 1, -1)


class Upsample(Downsample):
    """Twice the frames: x (B, C, F, T) -> (B, C, F, 2 T), at half the level."""

    def forward(self, x: Tensor) -> Tensor:
        margin = len(self.kernel) // 4
        padded = F.pad(x, (margin, margin, 0, 0), mode="reflect")
        return F.conv_transpose2d(
            padded, self.per_channel(x), stride=(1, 2), padding=(0, 2 * len(self.kernel) - 9), groups=x.shape[1]
        )


class Polling(torch.autograd.Function):
    """Returns x unchanged, and calls `poll` there in both directions, so that it may interrupt."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, poll: Poll) -> Tensor:
        poll()
        ctx.poll = poll
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        ctx.poll()
        return grads[0], None


def polling(x: Tensor, poll: Poll | None) -> Tensor:
    """Returns x; where it is computed, and where its gradient is, `poll` is called."""
    return x if poll is None else Polling.apply(x, poll)


def above(x: Tensor, bins: int) -> Tensor:
    """Returns x (B, C, F, T) without its lowest rows. Cropped by padding: a slice's gradient loses channels-last."""
    return F.pad(x, (0, 0, -bins, 0))


def as_picture(octave: Tensor, dtype: torch.dtype) -> Tensor:
    """Complex (B, bins, frames) -> (B, 2, bins, frames)."""
    picture = torch.view_as_real(octave).permute(0, 3, 1, 2)
    return picture.to(dtype).contiguous(memory_format=torch.channels_last)


def as_octave(picture: Tensor) -> Tensor:
    """(B, 2, bins, frames) -> complex (B, bins, frames)."""
    return torch.view_as_complex(picture.float().permute(0, 2, 3, 1).contiguous())
