"""The layer nearly all of the network's time goes into: norm, gelu, and a convolution dilated along frequency.

Two things make it cheap. Nothing but the layer's input is kept for the gradient. And on a CPU the three taps along
time are worked by Winograd's minimal filtering (Lavin and Gray 2016): four outputs from six products, not twelve.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = 8  # of the norm
EPSILON = 1e-7
# Winograd F(4, 3): a tile's six products, from three taps, through polynomials at 0, 1, -1, 2, -2 and infinity.
TILE = 4
TAPS_TO_PRODUCTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
FEWEST_CHANNELS = 32  # below this the products are too cheap to pay for the tiles


def activate(x: Tensor, scale: Tensor, margin: int) -> Tensor:
    """Returns gelu(scale * x) of x (B, C, F, T), with `margin` frames of zeros at either end."""
    batch, channels, bins, frames = x.shape
    hidden = x.new_empty(batch, bins, frames + 2 * margin, channels).permute(0, 3, 1, 2)
    if margin:
        hidden[..., :margin] = 0
        hidden[..., -margin:] = 0
    torch.mul(x, plane(scale, x), out=hidden[..., margin : margin + frames])
    return torch.ops.aten.gelu_(hidden)


def activation_slope(slope: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of gelu's input, from that of its output, and of `scale` (B, C)."""
    scaled = x * plane(scale, x)
    torch.ops.aten.gelu_backward.grad_input(slope, scaled, grad_input=slope)
    return slope, torch.mul(slope, x, out=scaled).sum(dim=(2, 3))


def combine(slope: Tensor, x: Tensor, scale: Tensor, shift: Tensor, through_std: Tensor) -> Tensor:
    """Returns the gradient of x: slope * scale + x * through_std + shift."""
    out = torch.addcmul(plane(shift, x), slope, plane(scale, x), out=slope)
    return torch.addcmul(out, x, plane(through_std, x), out=out)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the sums of x (B, C, F, T) and of its square, per channel (B, C)."""
    # Summed in x's own type: asked for another, torch first copies all of x.
    return x.sum(dim=(2, 3)), (x * x).sum(dim=(2, 3))


def to_tiles(x: Tensor, margin: int) -> tuple[Tensor, ...]:
    """Returns the inputs of the six products (B, C, F, T / 4), from x (B, C, F, T + 2 margin), margin 0 or 1."""
    padded = x if margin else F.pad(x, (1, 1))
    tiles = (padded.shape[3] - 2) // TILE
    d0, d1, d2, d3, d4, d5 = (padded[..., i::TILE][..., :tiles] for i in range(TILE + 2))
    even, odd = d4 - d2, d3 - d1
    far_even, far_odd = torch.sub(d4, d2, alpha=4), torch.sub(d3, d1, alpha=4)
    return (
        torch.add(even, d0 - d2, alpha=4),
        far_even + far_odd,
        far_even - far_odd,
        torch.add(even, odd, alpha=2),
        torch.sub(even, odd, alpha=2),
        torch.sub(d5 - d3, odd, alpha=4),
    )


def from_tiles(products: list[Tensor]) -> Tensor:
    """Joins six products (B, C, F, T / 4), which are overwritten, to (B, C, F, T)."""
    m0, m1, m2, m3, m4, m5 = products
    batch, channels, bins, tiles = m0.shape
    near, far = m1 + m2, m3 + m4
    near_gap, far_gap = m1.sub_(m2), m3.sub_(m4)
    out = m0.new_empty(batch, bins, tiles, TILE, channels)
    place = out.permute(0, 4, 1, 2, 3)
    torch.add(m0.add_(near), far, out=place[..., 0])
    torch.add(near_gap, far_gap, alpha=2, out=place[..., 1])
    torch.add(near, far, alpha=4, out=place[..., 2])
    torch.add(m5.add_(near_gap), far_gap, alpha=8, out=place[..., 3])
    return out.flatten(2, 3).permute(0, 3, 1, 2)


class Pointwise(NamedTuple):
    """The arithmetic that is faster compiled; for the rest torch's own kernels are as fast or faster."""

    moments: Callable[[Tensor], tuple[Tensor, Tensor]] = moments
    to_tiles: Callable[[Tensor, int], tuple[Tensor, ...]] = to_tiles


EAGER = Pointwise()


@cache
def compiled() -> Pointwise:
    """Returns the arithmetic with each function compiled into one pass; once, for all layers."""
    return Pointwise(torch.compile(moments, dynamic=True), torch.compile(to_tiles, dynamic=True))


def dilated_conv(x: Tensor, kernel: Tensor, dilation: int, margin: int = 0, pointwise: Pointwise = EAGER) -> Tensor:
    """Convolves x (B, C, F, T + 2 margin), with zeros in the margin, with kernel (C_out, C, f, t): (B, C_out, F, T)."""
    in_tiles = (x.shape[3] - 2 * margin) % TILE == 0 and kernel.shape[3] == 3 and kernel.shape[1] >= FEWEST_CHANNELS
    if in_tiles and x.device.type == "cpu" and x.dtype == torch.float32:
        return winograd_conv(x, kernel, dilation, margin, pointwise)
    padding = (dilation * (kernel.shape[2] // 2), kernel.shape[3] // 2 - margin)
    return F.conv2d(x, kernel, padding=padding, dilation=(dilation, 1))


def winograd_conv(x: Tensor, kernel: Tensor, dilation: int, margin: int, pointwise: Pointwise = EAGER) -> Tensor:
    """Does what `dilated_conv` does, for three taps along time and margin 0 or 1."""
    transform = torch.tensor(TAPS_TO_PRODUCTS, dtype=kernel.dtype)
    kernels = (transform @ kernel.movedim(3, 0).flatten(1)).unflatten(1, kernel.shape[:3])
    padding = (dilation * (kernel.shape[2] // 2), 0)
    products = [
        F.conv2d(seen, k.unsqueeze(-1), padding=padding, dilation=(dilation, 1))
        for seen, k in zip(pointwise.to_tiles(x, margin), kernels, strict=True)
    ]
    return from_tiles(products)


class NormGeluConv(torch.autograd.Function):
    """Computes conv(gelu(gain * x / std(x))), and keeps nothing but x for the gradient.

    Automatic differentiation would keep four pictures of x's size; all of them are cheaper to compute again than to
    hold, but for the convolution, whose result its own gradient does not need.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, kernel: Tensor, dilation: int, pointwise: Pointwise) -> Tensor:
        """x (B, C, F, T), gain (B or 1, C) float32, kernel (C, C, f, t)."""
        mean, std = group_statistics(x, pointwise)
        ctx.save_for_backward(x, gain, kernel, mean, std)
        ctx.dilation, ctx.pointwise = dilation, pointwise
        margin = kernel.shape[3] // 2
        hidden = activate(x, gain / (std + EPSILON), margin)
        return dilated_conv(hidden, kernel, dilation, margin, pointwise)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        x, gain, kernel, mean, std = ctx.saved_tensors
        scale = gain / (std + EPSILON)
        grad_kernel = None
        if ctx.needs_input_grad[2]:
            grad_kernel = kernel_gradient(activate(x, scale, 0), grad, kernel, ctx.dilation)
        mirrored = kernel.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        slope = dilated_conv(grad, mirrored, ctx.dilation, pointwise=ctx.pointwise)
        slope, grad_scale = activation_slope(slope, x, scale)

        # scale = gain / (std + eps), and d std / dx = (x - mean) / ((n - 1) std) for all channels of a group.
        grad_std = each_of_group(by_group(-grad_scale.float() * scale / (std + EPSILON)).sum(-1), x)
        # A constant group has no spread for its members to act on.
        through_std = torch.where(std > 0, grad_std / (std * (group_size(x) - 1)), 0.0)
        grad_x = combine(slope, x, scale, -through_std * mean, through_std)
        grad_gain = (grad_scale.float() / (std + EPSILON)).sum_to_size(gain.shape)
        return grad_x, grad_gain, grad_kernel, None, None


def kernel_gradient(x: Tensor, grad: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """Returns the gradient of the kernel that x was convolved with, from the gradient of the result."""
    padding = [dilation * (kernel.shape[2] // 2), kernel.shape[3] // 2]
    return torch.ops.aten.convolution_backward(
        grad, x, kernel, None, [1, 1], padding, [dilation, 1], False, [0, 0], 1, [False, True, False]
    )[1]


def group_statistics(x: Tensor, pointwise: Pointwise = EAGER) -> tuple[Tensor, Tensor]:
    """Returns mean and unbiased standard deviation (B, C) of x (B, C, F, T), over groups of channels."""
    count = group_size(x)
    exact = torch.float32 if x.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    total, power = (by_group(moment.to(exact)).sum(-1) for moment in pointwise.moments(x))
    mean = total / count
    std = ((power - count * mean.square()) / (count - 1)).clamp(min=0).sqrt()
    return each_of_group(mean.float(), x), each_of_group(std.float(), x)


def by_group(per_channel: Tensor) -> Tensor:
    """Splits channels into groups: (B, C) -> (B, groups, C / groups)."""
    return per_channel.unflatten(-1, (GROUPS, -1))


def each_of_group(per_group: Tensor, x: Tensor) -> Tensor:
    """Repeats a group's number for each of its channels: (B, groups) -> (B, C)."""
    return per_group.repeat_interleave(x.shape[1] // GROUPS, dim=-1)


def group_size(x: Tensor) -> int:
    """Returns how many numbers of each item belong to one group."""
    return x.shape[1] // GROUPS * x.shape[2] * x.shape[3]


def plane(per_channel: Tensor, like: Tensor) -> Tensor:
    """Returns a number per channel as a picture: (B, C) -> (B, C, 1, 1), in the type of `like`."""
    return per_channel[:, :, None, None].to(like.dtype)
