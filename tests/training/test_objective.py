"""What the networks are asked to learn: errors of which the answer is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from classroom import COMPACT, RATE, tune
from conftest import SMALL, Vectors, recorded_network
from torch import Tensor

from babe2.config import BandwiseArchitecture
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import FoldedConstantQ
from babe2.prior import BandwisePrior, PublishedPrior
from babe2.training.noise import Batch
from babe2.training.objective import (
    BandwiseObjective,
    LossWeight,
    PublishedObjective,
    bin_powers,
    hidden_matrices,
    in_bfloat16,
    initialise_as_published,
    spread_of,
)

SIZE = COMPACT.architecture
assert isinstance(SIZE, BandwiseArchitecture)
BINS = SIZE.octaves * SIZE.bins_per_octave


def batch_of(clean: Tensor, sigma: Tensor, seed: int = 0) -> Batch:
    """clean (B, T) with white noise at sigma (B,), told for each bin."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)) * sigma[:, None]
    return Batch(clean, noise, sigma[:, None].expand(-1, BINS), sigma)


@pytest.fixture(scope="module")
def transform() -> FoldedConstantQ:
    return FoldedConstantQ(RATE, 4096, SIZE.octaves, SIZE.bins_per_octave)


@pytest.fixture
def network() -> BandwiseUNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BandwiseUNet(SIZE, RATE)
    network.spread.fill_(0.05)
    return network


def objective(transform: FoldedConstantQ, weights: tuple[float, ...] = (1.0,) * 7) -> BandwiseObjective:
    return BandwiseObjective(transform, SIZE.octaves, SIZE.bins_per_octave, weights)


# The published objective


def test_the_error_is_that_of_the_estimate_over_its_share(vectors: Callable[[str], Vectors]) -> None:
    transform, network = ConstantQ(8000, 13000, 4, 16), recorded_network()
    clean = 0.063 * torch.randn(2, 13000, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([[0.05], [0.8]])
    noise = sigma * torch.randn(2, 13000, generator=torch.Generator().manual_seed(2))
    found = PublishedObjective(transform, 0.063)(network, Batch(clean, noise, sigma, sigma[:, 0])).error
    estimate = PublishedPrior(network, transform, 0.063).denoise(clean + noise, sigma)
    share = sigma * 0.063 / (sigma**2 + 0.063**2).sqrt()
    torch.testing.assert_close(found, ((estimate - clean) / share).square().mean(dim=1), rtol=1e-4, atol=0)


def test_the_learned_weight_is_each_examples_own() -> None:
    weight = LossWeight(torch.Generator().manual_seed(0))
    log_sigma = torch.tensor([[-1.0], [0.2], [-1.0]])
    expected = weight(log_sigma).detach()
    assert expected.shape == (3,) and expected[0] == expected[2] != expected[1]
    # At its best, the weight is the log of the error, and what is minimised is one more than that.
    error = torch.tensor(0.3)
    values = torch.linspace(-3, 1, 401)
    minimised = error * (-values).exp() + values
    assert values[minimised.argmin()] == pytest.approx(float(error.log()), abs=0.01)


def test_bfloat16_multiplies_coarsely_and_learns_finely() -> None:
    transform, network = ConstantQ(8000, 13000, 4, 16), recorded_network()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.endswith("RFF_freq"))
    clean, sigma = torch.from_numpy(tune(2)[:13000])[None].float(), torch.tensor([[0.1]])
    noise = sigma * torch.randn(1, 13000, generator=torch.Generator().manual_seed(2))
    batch = Batch(clean, noise, sigma, sigma[:, 0])
    errors = []
    for precision, save_memory in ((nullcontext(), False), (in_bfloat16(network), False), (in_bfloat16(network), True)):
        network.zero_grad()
        network.save_memory = save_memory
        with precision:
            error = PublishedObjective(transform, 0.063)(network, batch).error.sum()
            error.backward()
        errors.append(float(error.detach()))
        gradients = [one.grad for one in network.parameters() if one.grad is not None]
        assert len(gradients) > 50 and all(one.dtype == torch.float32 and one.isfinite().all() for one in gradients)
    assert errors[1] == pytest.approx(errors[0], rel=0.02) and errors[1] != errors[0]
    assert errors[2] == errors[1] and all(one.dtype == torch.float32 for one in network.state_dict().values())


def test_gates_begin_all_but_closed() -> None:
    network = CQTDiffPlus(SMALL)
    initialise_as_published(network)
    gates = [one for name, one in network.named_parameters() if ".gate" in name and name.endswith("weight")]
    assert gates and all(0 < float(one.detach().abs().max()) < 1e-6 for one in gates)
    assert all(not one.any() for name, one in network.named_parameters() if name.endswith("bias"))
    kernel = network.downs[1][2].H[0].weight.detach()
    assert float(kernel.abs().max()) == pytest.approx((8 * 15) ** -0.5, rel=0.05)


# The compact network's


def test_a_guess_of_nothing_costs_one(transform: FoldedConstantQ, network: BandwiseUNet) -> None:
    """It begins as the Wiener filter, at any level of music and noise and however far the spread is from true."""
    music = torch.from_numpy(np.stack([tune(2, seed)[:4096] for seed in range(64)])).float()
    sigma = torch.logspace(-4, 0, 64)
    with torch.no_grad():
        losses = objective(transform)(network, batch_of(0.3 * music, sigma))
    assert losses.octaves is not None and losses.octaves.shape == (64, 7)
    assert losses.octaves.mean(dim=0).tolist() == pytest.approx([1.0] * 7, abs=0.1)
    assert float(losses.error.mean()) == pytest.approx(1.0, abs=0.03)


def test_the_true_answer_costs_nothing(transform: FoldedConstantQ, network: BandwiseUNet) -> None:
    clean = torch.from_numpy(tune(2)[:4096]).float()[None]
    batch, bandwise = batch_of(clean, torch.tensor([0.02])), objective(transform)
    prior = BandwisePrior(network, transform)

    class Knowing:
        """Answers with what the prior would have to add to its Wiener filter."""

        spread = network.spread

        def __call__(self, heard: list[Tensor], noisiness: Tensor) -> list[Tensor]:
            deviation = (batch.sigma**2 + self.spread**2).sqrt()
            noisy, music = transform(batch.clean + batch.noise), transform(batch.clean)
            wiener = [(self.spread[0] / deviation[0, 0]) ** 2 * one for one in noisy]
            share = batch.sigma[0, 0] * self.spread[0] / deviation[0, 0]
            return [(a - b) / share for a, b in zip(music, wiener, strict=True)]

    assert float(bandwise(Knowing(), batch).error) < 1e-4
    estimate = prior.denoise(batch.clean + batch.noise, batch.sigma)
    assert estimate.shape == clean.shape


def test_octaves_weigh_as_they_are_told(transform: FoldedConstantQ, network: BandwiseUNet) -> None:
    batch = batch_of(torch.from_numpy(tune(2)[:4096]).float()[None], torch.tensor([0.1]))

    def error(*weights: float) -> Tensor:
        return objective(transform, weights)(network, batch).error[0]

    lowest, highest = error(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), error(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert not torch.isclose(lowest, highest)
    torch.testing.assert_close(error(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0), (lowest + 3 * highest) / 4)


@pytest.mark.parametrize(("louder", "weight"), [(0.1, 1.0), (30.0, 30.0**-0.5)])
def test_a_loud_excerpt_counts_less_and_a_quiet_one_not_more(
    transform: FoldedConstantQ, network: BandwiseUNet, louder: float, weight: float
) -> None:
    """The expected error of an excerpt buried in noise is its power over that of the average excerpt."""
    clean = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    batch = batch_of(louder * float(network.spread[0]) * clean, torch.tensor([100.0 * float(network.spread[0])]))
    losses = objective(transform, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))(network, batch)
    assert losses.octaves is not None
    expected = louder**2
    error, told = float(losses.error[0].detach()), float(losses.octaves[0, 6].detach())
    assert error == pytest.approx(weight * expected * told, rel=0.1)


def test_white_noise_is_spread_evenly(transform: FoldedConstantQ) -> None:
    noise = 0.1 * torch.randn(200, 4096, generator=torch.Generator().manual_seed(0))
    spread = spread_of(bin_powers(transform, noise))
    assert spread.shape == (BINS,) and spread.tolist() == pytest.approx([0.1] * BINS, rel=0.1)
    assert float(spread_of(torch.zeros(BINS)).min()) == pytest.approx(1e-6)


def test_muon_is_given_the_matrices_between_hidden_layers(network: BandwiseUNet) -> None:
    hidden = set(hidden_matrices(network))
    assert {"down.0.0.conv.weight", "up.0.0.out.weight", "shrink.0.weight", "harmonics_in.take.weight"} <= hidden
    outside = ("stems", "heads", "tell", "embed", "film", "place", "bias")
    assert not any(part in name for name in hidden for part in outside)
    assert hidden_matrices(CQTDiffPlus(SMALL)) == []
