"""Orthogonal steps: what they are, and that they get there."""

from __future__ import annotations

import pytest
import torch

from babe2.training.muon import Muon, orthogonal


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_all_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    found = torch.linalg.svdvals(orthogonal(drawn(*shape)))
    assert found.min() > 0.5 and found.max() < 1.3  # as the quintic is published to reach, and bfloat16's rounding


def test_the_singular_vectors_stay() -> None:
    matrix = drawn(12, 20)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ orthogonal(matrix) @ vh.T
    assert (inside - inside.diag().diag()).abs().max() < 0.1


def test_the_first_step_is_the_rate_times_the_orthogonal_gradient() -> None:
    kernel = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
    kernel.grad = drawn(8, 4, 3, 3)
    Muon([kernel], lr=0.1).step()
    expected = -0.1 * orthogonal(kernel.grad.reshape(8, -1)).reshape(kernel.shape)
    # The gradient counts 1.95 times on the first step, which changes nothing but bfloat16's rounding.
    torch.testing.assert_close(kernel.detach(), expected, atol=4e-3, rtol=0)


def test_tall_matrices_move_further() -> None:
    def step(gradient: torch.Tensor) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.zeros_like(gradient))
        weight.grad = gradient
        Muon([weight], lr=1.0).step()
        return weight.detach()

    wide = drawn(16, 64)
    torch.testing.assert_close(step(wide.T.contiguous()), 2 * step(wide).T, atol=1e-6, rtol=0)


def test_it_finds_the_least_squares() -> None:
    weight, target, inputs = torch.nn.Parameter(torch.zeros(6, 10)), drawn(6, 10), drawn(10, 200, seed=1)
    optimiser = Muon([weight], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        ((weight - target) @ inputs).square().mean().backward()
        optimiser.step()
    # It steps by the same length however small the gradient, so it stays within a step or so.
    assert (weight - target).abs().max() < 0.15
