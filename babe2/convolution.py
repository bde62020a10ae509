"""The layer nearly all of the network's time goes into: norm, gelu, and a convolution dilated along frequency.

Two things make it cheap. Nothing but the layer's input is kept for the gradient. And on a CPU the three taps along
time are worked by Winograd's minimal filtering (Lavin and Gray 2016): four outputs from six products, not twelve.
"""

from __future__ import annotations

from typing import Any

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


def dilated_conv(x: Tensor, kernel: Tensor, dilation: int, margin: int = 0) -> Tensor:
    """x (B, C, F, T + 2 margin) with zeros in the margin, kernel (C_out, C, f, t) -> (B, C_out, F, T)."""
    tiles = (x.shape[3] - 2 * margin) % TILE == 0 and kernel.shape[3] == 3 and kernel.shape[1] >= FEWEST_CHANNELS
    if tiles and x.device.type == "cpu" and x.dtype == torch.float32:
        return winograd_conv(x if margin else F.pad(x, (1, 1)), kernel, dilation)
    padding = (dilation * (kernel.shape[2] // 2), kernel.shape[3] // 2 - margin)
    return F.conv2d(x, kernel, padding=padding, dilation=(dilation, 1))


def winograd_conv(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """`dilated_conv` for three taps along time; x (B, C, F, T + 2) already has its margin of one."""
    frames = x.shape[3] - 2
    transform = torch.tensor(TAPS_TO_PRODUCTS, dtype=kernel.dtype)
    kernels = (kernel.movedim(3, 0).flatten(1).T @ transform.T).T.unflatten(1, kernel.shape[:3])
    padding = (dilation * (kernel.shape[2] // 2), 0)
    d0, d1, d2, d3, d4, d5 = (x[..., i::TILE][..., : frames // TILE] for i in range(TILE + 2))
    near, far, odd = d4 - d2, torch.sub(d4, d2, alpha=4), d3 - d1
    far_odd = torch.sub(d3, d1, alpha=4)
    seen = (
        torch.add(near, d0 - d2, alpha=4),
        far + far_odd,
        far - far_odd,
        torch.add(near, odd, alpha=2),
        torch.sub(near, odd, alpha=2),
        torch.sub(d5 - d3, odd, alpha=4),
    )
    m0, m1, m2, m3, m4, m5 = (
        F.conv2d(part, k.unsqueeze(-1), padding=padding, dilation=(dilation, 1))
        for part, k in zip(seen, kernels, strict=True)
    )
    batch, channels, bins, _ = m0.shape
    out = x.new_empty(batch, bins, frames // TILE, TILE, channels).permute(0, 4, 1, 2, 3)
    inner_sum, inner_gap, outer_sum, outer_gap = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    torch.add(m0.add_(inner_sum), outer_sum, out=out[..., 0])
    torch.add(inner_gap, outer_gap, alpha=2, out=out[..., 1])
    torch.add(inner_sum, outer_sum, alpha=4, out=out[..., 2])
    torch.add(m5.add_(inner_gap), outer_gap, alpha=8, out=out[..., 3])
    return out.flatten(3)


class NormGeluConv(torch.autograd.Function):
    """conv(gelu(gain * x / std(x))), keeping nothing but x for the way back.

    Automatic differentiation would keep four pictures of x's size; all of them are cheaper to compute again than to
    hold, but for the convolution, whose result its own gradient does not need.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        """x (B, C, F, T), gain (B or 1, C) float32, kernel (C, C, f, t)."""
        mean, std = group_statistics(x)
        ctx.save_for_backward(x, gain, kernel, mean, std)
        ctx.dilation = dilation
        margin = kernel.shape[3] // 2
        hidden = with_margin(x, margin)
        torch.mul(x, plane(gain / (std + EPSILON), x), out=within(hidden, margin))
        return dilated_conv(torch.ops.aten.gelu_(hidden), kernel, dilation, margin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        x, gain, kernel, mean, std = ctx.saved_tensors
        scale = gain / (std + EPSILON)
        scaled = x * plane(scale, x)
        grad_kernel = kernel_gradient(F.gelu(scaled), grad, kernel, ctx.dilation) if ctx.needs_input_grad[2] else None
        mirrored = kernel.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        slope = dilated_conv(grad, mirrored, ctx.dilation)
        torch.ops.aten.gelu_backward.grad_input(slope, scaled, grad_input=slope)

        # scale = gain / (std + eps), and d std / dx = (x - mean) / ((n - 1) std) for all channels of a group.
        grad_scale = total(torch.mul(slope, x, out=scaled)).float()
        grad_std = (
            by_group(-grad_scale * scale / (std + EPSILON)).sum(-1).repeat_interleave(x.shape[1] // GROUPS, dim=-1)
        )
        through_std = grad_std / (std * (group_size(x) - 1))
        torch.addcmul(plane(-through_std * mean, x), slope, plane(scale, x), out=slope)
        torch.addcmul(slope, x, plane(through_std, x), out=slope)
        return slope, (grad_scale / (std + EPSILON)).sum_to_size(gain.shape), grad_kernel, None


def kernel_gradient(x: Tensor, grad: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    padding = [dilation * (kernel.shape[2] // 2), kernel.shape[3] // 2]
    found: Tensor = torch.ops.aten.convolution_backward(
        grad, x, kernel, None, [1, 1], padding, [dilation, 1], False, [0, 0], 1, [False, True, False]
    )[1]
    return found


def group_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation (B, C) of x (B, C, F, T) over groups of channels, told to each channel."""
    count = group_size(x)
    mean = by_group(total(x)).sum(-1) / count
    power = by_group(total(x * x)).sum(-1)
    std = ((power - count * mean.square()) / (count - 1)).clamp(min=0).sqrt()
    members = x.shape[1] // GROUPS
    return mean.float().repeat_interleave(members, dim=-1), std.float().repeat_interleave(members, dim=-1)


def by_group(per_channel: Tensor) -> Tensor:
    """(B, C) -> (B, groups, C / groups)"""
    return per_channel.unflatten(-1, (GROUPS, -1))


def total(x: Tensor) -> Tensor:
    """(B, C, F, T) -> (B, C) in float64. Summed in x's own type: asked for another, torch first copies all of x."""
    return x.sum(dim=(2, 3)).double()


def group_size(x: Tensor) -> int:
    return x.shape[1] // GROUPS * x.shape[2] * x.shape[3]


def plane(per_channel: Tensor, like: Tensor) -> Tensor:
    """(B, C) -> (B, C, 1, 1) in the picture's type."""
    return per_channel[:, :, None, None].to(like.dtype)


def with_margin(like: Tensor, margin: int) -> Tensor:
    """An empty picture like x (B, C, F, T), with zeros on `margin` more frames at either end; channels last."""
    batch, channels, bins, frames = like.shape
    picture = like.new_empty(batch, bins, frames + 2 * margin, channels).permute(0, 3, 1, 2)
    if margin:
        picture[..., :margin] = 0
        picture[..., -margin:] = 0
    return picture


def within(picture: Tensor, margin: int) -> Tensor:
    return picture[..., margin : picture.shape[3] - margin]
