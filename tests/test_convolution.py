"""The layer norm, gelu, convolution: its shortcuts against the plain formula and automatic differentiation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from conftest import deviation
from torch import Tensor

from babe2.convolution import (
    EAGER,
    EPSILON,
    FEWEST_CHANNELS,
    GROUPS,
    NormGeluConv,
    compiled,
    dilated_conv,
    group_statistics,
    winograd_conv,
)

# Float32 sums of some hundred products in another order; measured at most 3e-6 of the largest value.
SINGLE = 1e-5
# Wide enough for Winograd's filtering, and too narrow or too odd for it.
SHAPES = [(32, 7, 12), (64, 5, 8), (8, 16, 20), (32, 6, 9)]


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def layer(x: Tensor, gain: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    found: Tensor = NormGeluConv.apply(x, gain, kernel, dilation, EAGER)
    return found


def plain(x: Tensor, gain: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """The layer as the specification says it (section 2.1): the mean is in the spread and stays in the signal."""
    grouped = x.unflatten(1, (GROUPS, -1))
    spread = grouped.std(dim=(2, 3, 4), keepdim=True).expand_as(grouped).flatten(1, 2)
    hidden = F.gelu(x / (spread + EPSILON) * gain[:, :, None, None])
    return F.conv2d(hidden, kernel, padding="same", dilation=(dilation, 1))


@pytest.mark.parametrize("kernel_size", [(5, 3), (1, 1)])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("batch_of_gains", [1, 3])
@pytest.mark.parametrize(("channels", "bins", "frames"), SHAPES)
def test_layer_and_its_gradients_agree_with_the_plain_formula(
    channels: int, bins: int, frames: int, batch_of_gains: int, dilation: int, kernel_size: tuple[int, int]
) -> None:
    x = 3 * drawn(3, channels, bins, frames) + 0.5  # a mean, because the norm must not take it away
    gain = 1 + 0.3 * drawn(batch_of_gains, channels, seed=1)
    kernel = drawn(channels, channels, *kernel_size, seed=2) / channels**0.5
    weight = drawn(3, channels, bins, frames, seed=3)
    arguments = [part.requires_grad_() for part in (x, gain, kernel)]
    doubles = [part.detach().double().requires_grad_() for part in arguments]
    found, expected = layer(*arguments, dilation), plain(*doubles, dilation)
    assert deviation(found, expected.float()) < SINGLE
    gradients = torch.autograd.grad((found * weight).sum(), arguments)
    exact = torch.autograd.grad((expected * weight).sum(), doubles)
    for gradient, reference in zip(gradients, exact, strict=True):
        assert deviation(gradient, reference.float()) < SINGLE


def test_gradients_agree_with_finite_differences() -> None:
    shapes, dilation = [(2, 8, 3, 2), (2, 8), (8, 8, 3, 1)], 2
    parts = [drawn(*shape, seed=i, dtype=torch.float64).requires_grad_() for i, shape in enumerate(shapes)]
    # The spread is kept in float32, which puts steps of 1e-7 into the function; differences over 1e-3 see 1e-4 of them.
    assert torch.autograd.gradcheck(lambda *p: layer(*p, dilation), parts, eps=1e-3, atol=2e-3, rtol=1e-3)


def test_kernel_gradient_is_computed_only_where_somebody_asks() -> None:
    x = drawn(1, 32, 4, 8).requires_grad_()
    found = layer(x, torch.ones(1, 32), drawn(32, 32, 5, 3), 1)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.shape == x.shape


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dilation", [1, 2, 8, 64])  # the last reaches past the picture on both sides
@pytest.mark.parametrize(("channels", "out", "bins", "frames"), [(32, 32, 16, 4), (48, 40, 9, 8), (64, 32, 5, 128)])
def test_winograd_equals_direct_convolution(
    channels: int, out: int, bins: int, frames: int, dilation: int, batch: int
) -> None:
    x = drawn(batch, channels, bins, frames)
    kernel = drawn(out, channels, 5, 3, seed=1) / channels**0.5
    direct = F.conv2d(x.double(), kernel.double(), padding="same", dilation=(dilation, 1))
    assert deviation(winograd_conv(F.pad(x, (1, 1)), kernel, dilation, margin=1), direct.float()) < SINGLE


def test_winograd_places_every_tap() -> None:
    """One impulse at each frame in turn gives the kernel back, mirrored, around that frame."""
    taps = torch.tensor([1.0, 2.0, 4.0])
    kernel = torch.zeros(1, 1, 1, 3)
    kernel[0, 0, 0] = taps
    for frame in range(8):
        x = torch.zeros(1, 1, 1, 8)
        x[..., frame] = 1
        expected = torch.zeros(10)
        expected[frame : frame + 3] = taps.flip(0)
        found = winograd_conv(x, kernel, dilation=1, margin=0).flatten()
        torch.testing.assert_close(found, expected[1:-1], atol=4e-6, rtol=0)  # sixths are rounded


@pytest.mark.parametrize("channels", [FEWEST_CHANNELS // 2, FEWEST_CHANNELS])
@pytest.mark.parametrize("frames", [8, 9])
@pytest.mark.parametrize("kernel_size", [(5, 3), (1, 1)])
def test_either_way_a_margin_is_where_zeros_would_be(channels: int, frames: int, kernel_size: tuple[int, int]) -> None:
    margin = kernel_size[1] // 2
    x = drawn(2, channels, 6, frames)
    kernel = drawn(channels, channels, *kernel_size, seed=1) / channels**0.5
    expected = F.conv2d(x.double(), kernel.double(), padding="same", dilation=(2, 1)).float()
    assert deviation(dilated_conv(x, kernel, 2), expected) < SINGLE
    assert deviation(dilated_conv(F.pad(x, (margin, margin)), kernel, 2, margin), expected) < SINGLE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_are_convolved_directly_and_keep_their_type(dtype: torch.dtype) -> None:
    x, kernel = drawn(1, 32, 6, 8, dtype=dtype), drawn(32, 32, 5, 3, seed=1, dtype=dtype)
    assert torch.equal(dilated_conv(x, kernel, 1), F.conv2d(x, kernel, padding="same"))


def test_a_layer_does_not_change_with_the_level_it_hears() -> None:
    gain, kernel = torch.ones(1, 32), drawn(32, 32, 5, 3) / 12
    x = drawn(1, 32, 6, 8)
    quiet, loud = (layer(level * x, gain, kernel, 1) for level in (0.01, 100.0))
    assert deviation(quiet, loud) < 2e-5  # the spread's 1e-7 of safety is 1e-5 of the quiet one


def test_group_statistics_are_those_of_each_group() -> None:
    x = drawn(2, 16, 4, 9) + torch.linspace(-2, 2, 16)[:, None, None]
    mean, std = group_statistics(x)
    groups = x.reshape(2, GROUPS, -1)
    torch.testing.assert_close(mean, groups.mean(-1).repeat_interleave(2, -1))
    torch.testing.assert_close(std, groups.std(-1).repeat_interleave(2, -1))


def test_silence_passes_a_layer_as_silence() -> None:
    x = torch.zeros(1, 8, 4, 6)
    assert not layer(x, torch.ones(1, 8), drawn(8, 8, 5, 3), 1).any()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [8, FEWEST_CHANNELS])
def test_compiling_the_arithmetic_changes_nothing(channels: int) -> None:
    x = drawn(2, channels, 6, 8).requires_grad_()
    gain, kernel = 1 + 0.3 * drawn(2, channels, seed=1), drawn(channels, channels, 5, 3, seed=2) / channels**0.5
    eager, fused = (NormGeluConv.apply(x, gain, kernel, 2, arithmetic) for arithmetic in (EAGER, compiled()))
    assert deviation(fused, eager) < SINGLE
    gradients = [torch.autograd.grad(found.square().sum(), x)[0] for found in (fused, eager)]
    assert deviation(*gradients) < SINGLE
