"""Muon: an optimiser with momentum whose steps are orthogonal matrices (Jordan et al. 2024).

A hidden layer's gradient is dominated by few directions; making all its singular values alike lets the others learn
too. On the compact network this halves the iterations that Adam needs. It is for hidden matrices only: what reads the
input, what writes the output, and everything one-dimensional is better off with Adam.

Why not torch.optim.Muon: it takes matrices only and refuses the kernels of convolutions, four-dimensional parameters
that hold most of the compact network's weights; here they are folded into matrices for the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from babe2.process import has_bfloat16

MOMENTUM = 0.95  # published
ITERATIONS = 5  # of Newton and Schulz, published
# A quintic whose iterates come near to one quickly and then stay between 0.7 and 1.2, which is near enough.
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """The optimiser. Parameters (rows, ...) are taken as matrices (rows, columns); kernels as (C_out, C_in * taps)."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = MOMENTUM) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum_buffer"]
        momentum.mul_(group["momentum"]).add_(gradient)
        ahead = gradient.add(momentum, alpha=group["momentum"])  # Nesterov's
        direction = orthogonal(ahead.reshape(len(ahead), -1))
        rows, columns = direction.shape
        # A tall matrix has more outputs than an orthogonal step of unit singular values would move.
        parameter.add_(direction.reshape(parameter.shape), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Returns matrix (R, C) with all its singular values near one, by Newton and Schulz's iteration.

    In bfloat16, which is enough; but a processor that does not multiply it natively takes twenty times as long for it.
    """
    x = matrix.bfloat16() if has_bfloat16(matrix.device.type) else matrix.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).float()
