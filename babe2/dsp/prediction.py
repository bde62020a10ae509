"""Linear prediction: what a sample is, going by those around it, and what it was where it is lost."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WHITE_FLOOR = 1e-9  # of the power, added as white noise: no model is sharper than 90 dB
MEDIAN_OF_SQUARES = 0.4549  # of unit Gaussian noise


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
    wanted, weights = _normal_equations(x.masked_fill(missing, 0), filters, length + order)
    inner = slice(order, length - order)
    lags = (torch.arange(length - 2 * order)[:, None] - torch.arange(length - 2 * order)).abs()
    matrix = F.pad(weights, (0, max(0, length - 3 * order - 1)))[:, lags]
    lost = missing[:, inner]
    matrix = torch.where(lost[:, :, None] & lost[:, None, :], matrix, torch.eye(len(lags), dtype=x.dtype))
    factor, _ = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(wanted[:, inner, None].masked_fill(~lost[:, :, None], 0), factor)[:, :, 0]
    return torch.where(missing, F.pad(found, (order, order)), x)


def interpolated_run(pieces: Tensor, length: int, order: int) -> tuple[Tensor, Tensor]:
    """The middle samples (N, length) of pieces (N, T), and how far they may be off (standard deviation).

    The same solution for one run of any length. The matrix of the normal equations is Toeplitz there, so that its
    inverse is two products of triangular ones (Gohberg and Semencul), whose first columns Levinson's recursion finds.
    """
    filters = predictors(pieces, order)
    around = (pieces.shape[1] - length) // 2
    middle = slice(around, around + length)
    spectrum = torch.fft.rfft(filters, pieces.shape[1])
    residual = torch.fft.irfft(torch.fft.rfft(pieces) * spectrum, pieces.shape[1])
    excitation = torch.cat([residual[:, order:around], residual[:, around + length + order :]], dim=1)
    # Of most of the time: an onset somewhere around says nothing of the gap.
    power = excitation.square().median(dim=1, keepdim=True).values / MEDIAN_OF_SQUARES
    known = pieces.clone()
    known[:, middle] = 0
    wanted, weights = _normal_equations(known, filters, pieces.shape[1])
    wanted = wanted[:, middle]
    lags = F.pad(weights, (0, max(0, length - order - 1)))[:, :length]
    lags = torch.cat([lags[:, :1] * (1 + WHITE_FLOOR), lags[:, 1:]], dim=1)
    column = levinson(lags)
    scale = (lags * column).sum(dim=1, keepdim=True)
    other = F.pad(column[:, 1:].flip(1), (1, 0))
    found = sum(
        sign * _lower(one, _lower(one, wanted, transposed=True)) for one, sign in ((column, 1.0), (other, -1.0))
    )
    variance = (column.square().cumsum(dim=1) - other.square().cumsum(dim=1)) / scale
    return found / scale, (power * variance.clamp(min=0)).sqrt()


def _normal_equations(known: Tensor, filters: Tensor, fft: int) -> tuple[Tensor, Tensor]:
    """What the missing samples have to come to, for all places (N, fft), and how one weighs for those from itself on:
    (N, P + 1). Of sound (N, T) that is zero where it is missing; what its ends do to each other lies beyond it.
    """
    both = torch.fft.rfft(filters, fft).abs().square()  # of predicting from both sides
    wanted = -torch.fft.irfft(torch.fft.rfft(known, fft) * both, fft)
    return wanted, torch.fft.irfft(both, fft)[:, : filters.shape[1]]


def _lower(column: Tensor, x: Tensor, transposed: bool = False) -> Tensor:
    """x (N, G) times the lower triangular Toeplitz matrix with a first column (N, G), or times its transpose."""
    size = 2 * x.shape[1]
    x = x.flip(1) if transposed else x
    product = torch.fft.irfft(torch.fft.rfft(column, size) * torch.fft.rfft(x, size), size)[:, : x.shape[1]]
    return product.flip(1) if transposed else product
