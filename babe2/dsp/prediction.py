"""Linear prediction: what a sample is, going by those around it, and what it was where it is lost."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WHITE_FLOOR = 1e-9  # of the power, added as white noise: no model is sharper than 90 dB


def predictors(frames: Tensor, order: int) -> Tensor:
    """The prediction error filters (N, order + 1) of frames (N, L), in float64; the first coefficient is one.

    By the autocorrelation method, so that every filter is stable, and the same runs backwards in time.
    """
    length = frames.shape[1]
    window = torch.hann_window(length, periodic=False, dtype=torch.float64, device=frames.device)
    power = torch.fft.rfft(frames.double() * window, 2 * length).abs().square()
    correlation = torch.fft.irfft(power)[:, : order + 1]
    correlation[:, 0] = correlation[:, 0] * (1 + WHITE_FLOOR) + 1e-30
    return levinson(correlation)


def levinson(correlation: Tensor) -> Tensor:
    """The prediction error filters (N, P + 1) that belong to autocorrelations (N, P + 1)."""
    filters = torch.zeros_like(correlation)
    filters[:, 0] = 1
    error = correlation[:, 0].clone()
    for m in range(1, correlation.shape[1]):
        reflection = -(filters[:, :m] * correlation[:, 1 : m + 1].flip(1)).sum(dim=1) / error
        filters[:, 1 : m + 1] = filters[:, 1 : m + 1] + reflection[:, None] * filters[:, :m].flip(1)
        error = error * (1 - reflection.square()).clamp(min=1e-12)
    return filters


def interpolated(x: Tensor, missing: Tensor, filters: Tensor) -> Tensor:
    """x (N, G + 2 P) with the samples that are `missing` (N, G + 2 P) as predictors (N, P + 1) expect them.

    The least-squares solution: no others make the prediction error smaller, from whichever side one predicts. The
    outer P samples on either side are none of the missing.
    """
    order, length = filters.shape[1] - 1, x.shape[1]
    response = torch.fft.rfft(filters, length + order).abs().square()  # of predicting from both sides
    wanted = -torch.fft.irfft(torch.fft.rfft(x.masked_fill(missing, 0), length + order) * response, length + order)
    inner = slice(order, length - order)
    lags = (torch.arange(length - 2 * order)[:, None] - torch.arange(length - 2 * order)).abs()
    matrix = F.pad(torch.fft.irfft(response, length + order)[:, : order + 1], (0, max(0, length - 3 * order - 1)))[
        :, lags
    ]
    lost = missing[:, inner]
    matrix = torch.where(lost[:, :, None] & lost[:, None, :], matrix, torch.eye(len(lags), dtype=x.dtype))
    factor, _ = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(wanted[:, inner, None].masked_fill(~lost[:, :, None], 0), factor)[:, :, 0]
    return torch.where(missing, F.pad(found, (order, order)), x)
