"""Preconditioning around the network: recorded estimates, and each coefficient through a network of known answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from conftest import SMALL, SMALL_LENGTH, Vectors, deviation
from torch import Tensor

from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Poll
from babe2.prior import PublishedPrior

SIGMA_DATA = {"piano": 0.063, "voice": 1.0}
# The recorded numbers' own tolerance; measured at 5e-7.
ESTIMATE = 1e-5
RECORDED = [("piano", 0), ("piano", 1), ("piano", 2), ("voice", 1), ("voice", 2), ("voice", 3)]
COEFFICIENTS = [(column, j) for column in SIGMA_DATA for j in range(4)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Echo(torch.nn.Module):
    """A network that answers with what it hears, times a factor, and remembers at which noise level."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.log_sigma = torch.empty(0)

    def forward(self, octaves: list[Tensor], log_sigma: Tensor, poll: Poll | None = None) -> list[Tensor]:
        self.log_sigma = log_sigma
        return [self.factor * octave for octave in octaves]


def around(echo: Echo, transform: ConstantQ, sigma_data: float) -> PublishedPrior:
    return PublishedPrior(cast(CQTDiffPlus, echo), transform, sigma_data)


@pytest.mark.parametrize(("column", "j"), RECORDED)
def test_estimates_are_the_published_ones(
    column: str, j: int, small_network: CQTDiffPlus, small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded, x = vectors("edm_small"), vectors("cqt_small")["x"]
    prior, sigma = PublishedPrior(small_network, small_transform, SIGMA_DATA[column]), recorded["sigmas"][j]
    expected = recorded[f"den_{column}_{j}"]
    noisy = x * sigma.float()
    assert deviation(prior.denoise(noisy, sigma)[:1], expected) < ESTIMATE
    # A level for all, or one for each item.
    assert deviation(prior.denoise(noisy, sigma.expand(2, 1))[:1], expected) < ESTIMATE


@pytest.mark.parametrize(("column", "j"), COEFFICIENTS)
def test_coefficients_are_the_published_ones(
    column: str, j: int, small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded = vectors("edm_small")
    skip, out, inside, log_sigma, weight = recorded[f"pre_{column}_{j}"].tolist()
    sigma, x = recorded["sigmas"][j], noise(1, SMALL_LENGTH)

    mute = around(Echo(0.0), small_transform, SIGMA_DATA[column])
    assert deviation(mute.denoise(x, sigma), skip * x) < 1e-6  # float32 rounding

    echo = Echo(1.0)
    heard = small_transform.inverse(small_transform(x))
    found = around(echo, small_transform, SIGMA_DATA[column]).denoise(x, sigma)
    assert deviation(found, skip * x + out * inside * heard) < 1e-6
    assert float(echo.log_sigma) == pytest.approx(log_sigma, rel=1e-6)
    # The last recorded number weighs the training loss: what is left of the coefficient before the network's answer.
    assert weight == pytest.approx(1 / out**2, rel=1e-6)


@pytest.mark.parametrize("sigma_data", SIGMA_DATA.values())
def test_the_network_hears_and_answers_at_unit_level_whatever_the_noise(
    sigma_data: float, small_transform: ConstantQ
) -> None:
    """Music of std sigma_data under noise of std sigma goes in at 1; what is left to tell is at most of size sigma."""
    for sigma in (1e-4, 1e-2, 1.0, 100.0):
        total = (sigma_data**2 + sigma**2) ** 0.5
        x = total * noise(1, SMALL_LENGTH)
        echo, mute = (around(Echo(factor), small_transform, sigma_data) for factor in (1.0, 0.0))
        level = torch.tensor(sigma)
        answer = echo.denoise(x, level) - mute.denoise(x, level)
        # The echo loses the band below the transform's: 3 % of white noise.
        assert float(answer.std()) == pytest.approx(sigma * sigma_data / total, rel=0.05)


def test_almost_no_noise_leaves_almost_everything(small_prior: PublishedPrior) -> None:
    x = 0.063 * noise(1, SMALL_LENGTH)
    found = small_prior.denoise(x, torch.tensor(1e-6))
    assert float((found - x).abs().max()) < 2e-5  # the network's answer at 1e-6, a dozen times its deviation


def test_estimates_hold_nothing_the_transform_does_not_carry(small_prior: PublishedPrior) -> None:
    x, sigma = noise(1, SMALL_LENGTH) + 3.0, torch.tensor(0.3)
    found = small_prior(x, sigma)
    assert torch.equal(found, small_prior.highpass(small_prior.denoise(x, sigma)))
    assert abs(float(found.mean())) < 1e-6 < abs(float(small_prior.denoise(x, sigma).mean()))


def test_each_item_has_its_own_noise_level(small_prior: PublishedPrior) -> None:
    x, sigmas = noise(3, SMALL_LENGTH), torch.tensor([[0.01], [0.3], [5.0]])
    together = small_prior(x, sigmas)
    for i in range(3):
        alone = small_prior(x[i : i + 1], sigmas[i])
        assert deviation(together[i : i + 1], alone) < ESTIMATE


def test_the_gradient_of_an_estimate_goes_through_the_network(small_prior: PublishedPrior) -> None:
    x, weight = 0.3 * noise(1, SMALL_LENGTH), noise(1, SMALL_LENGTH, seed=1)
    direction = small_prior.highpass(noise(1, SMALL_LENGTH, seed=2))
    sigma = torch.tensor(0.3)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((small_prior(leaf, sigma) * weight).sum(), leaf)
    ahead, behind = (small_prior(x + step * direction, sigma) for step in (1e-3, -1e-3))
    slope = float(((ahead - behind).double() * weight).sum() / 2e-3)
    # Float32 leaves 1e-7 in each of 13000 terms, over 2e-3: some 1e-2 of a slope of order 10.
    assert float((gradient * direction).double().sum()) == pytest.approx(slope, rel=0.02)


def test_what_a_poll_raises_ends_the_estimate(small_network: CQTDiffPlus, small_transform: ConstantQ) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    prior = PublishedPrior(small_network, small_transform, 0.063, poll=stop)
    with pytest.raises(Stop):
        prior(noise(1, SMALL_LENGTH), torch.tensor(0.1))
    calls: list[int] = []
    PublishedPrior(small_network, small_transform, 0.063, poll=lambda: calls.append(1))(
        noise(1, SMALL_LENGTH), torch.tensor(0.1)
    )
    assert len(calls) == 2 * SMALL.octaves + 1
