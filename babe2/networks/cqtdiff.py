"""CQTdiff (Moliner, Lehtinen and Välimäki 2023): a U-Net over the matrix constant-Q transform, whose frames it halves.

Parameter names match the published checkpoints one to one, which is why some of them are what they are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from babe2.config import MatrixArchitecture
from babe2.network import (
    FREQUENCIES,
    HALF_POWER,
    KERNEL,
    Modules,
    NoiseEmbedding,
    Poll,
    as_octave,
    as_picture,
    polling,
)

PARTS = 2  # real and imaginary
CROSSINGS, ROLL_OFF = 6, 0.99  # of the windowed sinc that changes the frame rate: zeros on each side, and its cut-off


class CQTDiff(nn.Module):
    """Rows (B, bins, frames) complex, lowest first, and log noise levels (B or 1, 1) -> rows like these."""

    downs: Modules[nn.ModuleList]  # of [block, decimator, pyramid inlet], from all frames to the fewest
    middle: Modules[nn.ModuleList]  # one [block]
    ups: Modules[nn.ModuleList]  # of [block, interpolator, pyramid outlet], back again

    def __init__(self, size: MatrixArchitecture) -> None:
        super().__init__()
        self.size = size
        self.save_memory = False  # keep only each block's input for the way back, and compute its inside twice
        self.embedding = NoiseEmbedding(size.embedding)
        self.freq_encoding = FrequencyEncoding(size.rows)
        deep = size.channels
        wide = (deep[0], *deep[:-1])  # what a level receives from the one above and gives back to it
        self.init_conv = nn.Conv2d(PARTS + 2 * FREQUENCIES, deep[0], KERNEL, bias=False)

        def block(channels: int, channels_out: int) -> Block:
            return Block(channels, channels_out, size.embedding, size.layers)

        last = len(deep) - 1
        self.downs = Modules(
            nn.ModuleList([block(wide[i], deep[i]), *([Decimator(), Inlet(deep[i])] if i < last else [])])
            for i in range(len(deep))
        )
        self.middle = Modules([nn.ModuleList([block(deep[-1], deep[-1])])])
        self.ups = Modules(
            nn.ModuleList([block(2 * deep[i], wide[i]), *([Interpolator(), Outlet(wide[i])] if i > 0 else [])])
            for i in range(last, -1, -1)
        )

    def forward(self, rows: Tensor, log_sigma: Tensor, poll: Poll | None = None) -> Tensor:
        """Returns the network's answer; `poll` is called between blocks, in the gradient's way back too."""
        embedding = self.embedding(log_sigma)

        def through(block: nn.Module, x: Tensor) -> Tensor:
            x = polling(x, poll)
            if self.save_memory and torch.is_grad_enabled():
                return checkpoint(block, x, embedding, use_reentrant=False)
            return block(x, embedding)

        skips: list[Tensor] = []
        pyramid = as_picture(rows, self.dtype)
        x = self._begun(pyramid)
        for block, *rest in self.downs:
            x = through(block, x)
            skips.append(x)
            for decimator, inlet in [rest] if rest else []:
                pyramid = decimator(pyramid)
                x = inlet(decimator(x), pyramid)
        x = through(self.middle[0][0], x)
        made: Tensor | None = None
        for level, block in enumerate(self.ups):
            kept = skips.pop()
            x = through(block[0], torch.cat([x[..., : kept.shape[-1]], kept], dim=1))
            # The last level has no outlet of its own: as published, it speaks through that of the one before.
            outlet = self.ups[min(level, len(self.ups) - 2)][2]
            made = outlet(x, made)
            if level < len(self.ups) - 1:
                x, made = block[1](x), block[1](made)
        assert made is not None
        return as_octave(made)

    def _begun(self, picture: Tensor) -> Tensor:
        """The first convolution of the picture beside the rows' frequencies, which are the same in all frames."""
        of_sound, of_frequency = self.init_conv.weight.split([PARTS, 2 * FREQUENCIES], dim=1)
        encoding = self.freq_encoding.embeddings.unsqueeze(-1).to(picture.dtype)
        told = F.conv2d(mirrored(encoding, 2, 0), of_frequency.sum(dim=-1, keepdim=True))
        return F.conv2d(mirrored(picture, 2, 1), of_sound) + told

    @property
    def dtype(self) -> torch.dtype:
        """The type the pictures are computed in; the noise embedding stays in float32."""
        return self.init_conv.weight.dtype

    def set_dtype(self, dtype: torch.dtype) -> CQTDiff:
        """Converts the weights that pictures are computed with; returns the network itself."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, Resampler)):
                module.to(dtype)
        return self


class FrequencyEncoding(nn.Module):
    """Tells every row which one it is; a table, kept as it was trained with."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.RFF_freq = nn.Parameter(nn.init.normal_(torch.empty(1, FREQUENCIES), std=16), requires_grad=False)
        self.embeddings = nn.Parameter(torch.empty(1, 2 * FREQUENCIES, rows), requires_grad=False)
        if not self.embeddings.is_meta:
            angle = 2 * math.pi * torch.arange(rows) * self.RFF_freq.T
            self.embeddings.copy_(torch.cat([angle.sin(), angle.cos()]))


class Block(nn.Module):
    """x (B, C, F, T), embedding (B or 1, E) -> (B, C_out, F, T): a stack of gated layers dilated along frequency."""

    def __init__(self, channels: int, channels_out: int, embedding: int, layers: int) -> None:
        super().__init__()
        self.film = Film(embedding, channels)
        self.res_conv = nn.Identity() if channels == channels_out else nn.Conv2d(channels, channels_out, 1, bias=False)
        self.H: Modules[DilatedLayer] = Modules(DilatedLayer(channels_out, 2**i) for i in range(layers))
        self.first_conv = nn.Sequential(nn.GELU(), nn.Conv2d(channels, channels_out, 1, bias=False))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        modulated = x * self.film(embedding)[:, :, None, None].to(x.dtype)
        y = self.first_conv(modulated)
        for layer in self.H:
            y = layer(y)
        return (y + self.res_conv(modulated)).mul_(HALF_POWER)


class Film(nn.Module):
    """A gain for each channel, from the noise level's embedding."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.output_layer = nn.Linear(embedding, channels)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.output_layer(embedding)


class DilatedLayer(nn.Module):
    """x (B, C, F, T) and what a convolution makes of it."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, KERNEL, dilation=(dilation, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (GeluConv.apply(x, self.conv.weight, self.conv.dilation[0]) + x).mul_(HALF_POWER)


class GeluConv(torch.autograd.Function):
    """Computes conv(gelu(x)) of a picture mirrored at its edges, and keeps nothing but x for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.dilation = dilation
        return F.conv2d(mirrored(F.gelu(x), 2 * dilation, 1), kernel, dilation=(dilation, 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        padded = mirrored(F.gelu(x), 2 * ctx.dilation, 1)
        slope, grad_kernel, _ = torch.ops.aten.convolution_backward(
            grads[0], padded, kernel, None, [1, 1], [0, 0], [ctx.dilation, 1], False, [0, 0], 1, wanted
        )
        del padded
        if slope is not None:
            slope = torch.ops.aten.reflection_pad2d_backward(slope, x, [1, 1, 2 * ctx.dilation, 2 * ctx.dilation])
            slope = torch.ops.aten.gelu_backward(slope, x)
        return slope, grad_kernel, None


def mirrored(x: Tensor, rows: int, frames: int) -> Tensor:
    """Returns x (B, C, F, T) continued beyond its edges by so many rows and frames."""
    return F.pad(x, (frames, frames, rows, rows), mode="reflect")


class Inlet(nn.Module):
    """Adds the sound itself, at this level's frame rate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(PARTS, channels, 1, bias=False)

    def forward(self, x: Tensor, pyramid: Tensor) -> Tensor:
        return (self.conv1x1(pyramid) + x).mul_(HALF_POWER)


class Outlet(nn.Module):
    """Adds what this level says to what those of fewer frames have made."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(channels, PARTS, 1, bias=False)
        nn.init.zeros_(self.conv1x1.weight)  # the untrained network says nothing

    def forward(self, x: Tensor, made: Tensor | None) -> Tensor:
        said = self.conv1x1(x)
        return said if made is None else (made[..., : x.shape[-1]] + said).mul_(HALF_POWER)


# Frames are halved and doubled by a windowed sinc


class Resampler(nn.Module):
    """Holds the taps."""

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)


class Decimator(nn.Module):
    """Half the frames: x (B, C, F, T) -> (B, C, F, ceil(T / 2))."""

    def __init__(self) -> None:
        super().__init__()
        self.resample = Resampler(taps(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.resample.kernel
        before = kernel.shape[-1] // 2 - 1
        padded = F.pad(x, (before, before + 1))
        return F.conv2d(padded, kernel.unsqueeze(2).repeat(x.shape[1], 1, 1, 1), stride=(1, 2), groups=x.shape[1])


class Interpolator(nn.Module):
    """Twice the frames: x (B, C, F, T) -> (B, C, F, 2 T)."""

    def __init__(self) -> None:
        super().__init__()
        self.resample = Resampler(taps(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        kernel, channels = self.resample.kernel, x.shape[1]
        padded = F.pad(x, (kernel.shape[-1] // 2, kernel.shape[-1] // 2))
        phases = F.conv2d(padded, kernel.unsqueeze(2).repeat(channels, 1, 1, 1), groups=channels)
        return phases.unflatten(1, (channels, 2)).movedim(2, -1).flatten(-2)


def taps(before: int, after: int) -> Tensor:
    """Returns a filter (after, 1, taps) for each new frame of those that `before` frames become."""
    cut_off = min(before, after) * ROLL_OFF
    reach = math.ceil(CROSSINGS * before / cut_off)
    old, new = np.arange(-reach, reach + before) / before, np.arange(after)[:, None, None] / after
    time = ((old - new) * cut_off).clip(-CROSSINGS, CROSSINGS)
    window = np.cos(time * math.pi / CROSSINGS / 2) ** 2
    return torch.from_numpy((np.sinc(time) * window * cut_off / before).astype(np.float32))
