"""Preconditioning around the network: recorded estimates, and each coefficient through a network of known answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from classroom import COMPACT, RATE, babbling_network, compact_network
from conftest import SMALL, SMALL_LENGTH, TRANSFORMS, Vectors, deviation
from torch import Tensor

from babe2.config import Model
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Poll
from babe2.networks.folded_cqt import GRAIN, PATCH, FoldedConstantQ
from babe2.networks.models import build_network, build_transform, next_length
from babe2.prior import BandwisePrior, Prior, PublishedPrior, build_prior, scaled

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
    recorded, x = vectors("edm_small"), vectors("cqt_small")["x"][:1]
    prior, sigma = PublishedPrior(small_network, small_transform, SIGMA_DATA[column]), recorded["sigmas"][j]
    assert deviation(prior.denoise(x * sigma.float(), sigma), recorded[f"den_{column}_{j}"]) < ESTIMATE


def test_estimates_at_a_level_of_their_own_are_the_published_ones(
    small_network: CQTDiffPlus, small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded, x = vectors("edm_small"), vectors("cqt_small")["x"][:1]
    prior, places = PublishedPrior(small_network, small_transform, SIGMA_DATA["voice"]), [1, 2, 3]
    sigmas = recorded["sigmas"][places][:, None]
    found = prior.denoise(x * sigmas.float(), sigmas)
    for j, estimate in zip(places, found, strict=True):
        assert deviation(estimate[None], recorded[f"den_voice_{j}"]) < ESTIMATE


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


# What holds at any length

SHORT = SMALL_LENGTH // 4


@pytest.fixture
def small_prior(small_network: CQTDiffPlus) -> PublishedPrior:
    rate, _, octaves, bins = TRANSFORMS["small"]
    return PublishedPrior(small_network, ConstantQ(rate, SHORT, octaves, bins), sigma_data=0.063)


def test_almost_no_noise_leaves_almost_everything(small_prior: PublishedPrior) -> None:
    x = 0.063 * noise(1, SHORT)
    found = small_prior.denoise(x, torch.tensor(1e-6))
    assert float((found - x).abs().max()) < 2e-5  # the network's answer at 1e-6, a dozen times its deviation


def test_estimates_hold_nothing_the_transform_does_not_carry(small_prior: PublishedPrior) -> None:
    x, sigma = noise(1, SHORT) + 3.0, torch.tensor(0.3)
    found = small_prior(x, sigma)
    assert torch.equal(found, small_prior.highpass(small_prior.denoise(x, sigma)))
    assert abs(float(found.mean())) < 1e-6 < abs(float(small_prior.denoise(x, sigma).mean()))


def test_each_item_has_its_own_noise_level(small_prior: PublishedPrior) -> None:
    x, sigmas = noise(3, SHORT), torch.tensor([[0.01], [0.3], [5.0]])
    together = small_prior(x, sigmas)
    for i in range(3):
        alone = small_prior(x[i : i + 1], sigmas[i])
        assert deviation(together[i : i + 1], alone) < ESTIMATE


def test_the_gradient_of_an_estimate_goes_through_the_network(small_prior: PublishedPrior) -> None:
    x, weight = 0.3 * noise(1, SHORT), noise(1, SHORT, seed=1)
    direction = small_prior.highpass(noise(1, SHORT, seed=2))
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


# The compact network, bin by bin

LENGTH = 3 * GRAIN


@pytest.fixture(scope="module")
def folded() -> FoldedConstantQ:
    transform = build_transform(COMPACT, LENGTH)
    assert isinstance(transform, FoldedConstantQ)
    return transform


@pytest.fixture
def wiener(folded: FoldedConstantQ) -> BandwisePrior:
    """An untrained network's."""
    return BandwisePrior(compact_network(), folded)


@pytest.fixture
def babble(folded: FoldedConstantQ) -> BandwisePrior:
    return BandwisePrior(babbling_network(), folded)


@pytest.mark.parametrize("sigma", [1e-5, 1e-3, 0.05, 1.0, 100.0])
def test_untrained_the_compact_network_is_the_wiener_filter_of_its_spread(wiener: BandwisePrior, sigma: float) -> None:
    noisy, spread = noise(2, LENGTH), wiener.network.spread
    gain = spread**2 / (spread**2 + sigma**2)
    expected = wiener.transform.inverse(scaled(wiener.transform(noisy), gain.expand(2, -1)))
    assert deviation(wiener.denoise(noisy, torch.tensor(sigma)), expected) < 1e-5
    wiener.network.spread.fill_(0.1)  # the same for all: the filter is a factor
    factor = 0.01 / (0.01 + sigma**2)
    assert deviation(wiener.denoise(noisy, torch.tensor(sigma)), factor * wiener.highpass(noisy)) < 1e-5


def test_a_level_for_all_is_that_level_for_each(babble: BandwisePrior) -> None:
    noisy, bins = noise(2, LENGTH), len(babble.network.spread)
    sigma = torch.tensor(0.07)
    expected = babble(noisy, sigma)
    for told in (sigma.expand(2, 1), sigma.expand(bins), sigma.expand(2, bins), sigma.double()):
        assert deviation(babble(noisy, told), expected) < 1e-6
    assert deviation(babble.at_levels(noisy, sigma.expand(LENGTH // 2 + 1)), expected) < 1e-6


def test_items_may_have_noise_levels_of_their_own(babble: BandwisePrior) -> None:
    noisy, sigmas = noise(3, LENGTH), torch.tensor([[0.001], [0.05], [2.0]])
    together = babble(noisy, sigmas)
    for i in range(3):
        assert deviation(together[i : i + 1], babble(noisy[i : i + 1], sigmas[i])) < 1e-4


def test_each_bin_is_cleaned_at_the_level_of_its_frequency(wiener: BandwisePrior) -> None:
    """Noise below 1 kHz, none to speak of above: below, little is left, above, everything."""
    hertz = torch.fft.rfftfreq(LENGTH, 1 / RATE)
    level = torch.where(hertz < 1000, 10.0, 1e-6)
    noisy = noise(1, LENGTH)
    spectra = [torch.fft.rfft(x).abs().square()[0] for x in (wiener.at_levels(noisy, level), noisy)]
    low, high = hertz < 900, hertz > 1100
    assert float(spectra[0][low].sum() / spectra[1][low].sum()) < 1e-4
    assert float(spectra[0][high].sum() / spectra[1][high].sum()) == pytest.approx(1.0, abs=1e-3)


def test_almost_no_noise_leaves_everything_the_compact_transform_carries(babble: BandwisePrior) -> None:
    noisy = 0.1 * noise(1, LENGTH)
    assert deviation(babble.denoise(noisy, torch.tensor(1e-7)), babble.highpass(noisy)) < 1e-4


def test_what_the_compact_network_hears_is_of_unit_variance(folded: FoldedConstantQ) -> None:
    network, heard = compact_network(), []

    class Listening(torch.nn.Module):
        spread = network.spread

        def forward(self, groups: list[Tensor], noisiness: Tensor, poll: Poll | None = None) -> list[Tensor]:
            heard.append((groups, noisiness))
            return groups

    prior = BandwisePrior(cast(Any, Listening()), folded)
    music = folded.inverse(scaled(folded(noise(8, LENGTH)), network.spread.expand(8, -1)))
    for sigma in (1e-4, 0.02, 3.0):
        prior.denoise(music + sigma * noise(8, LENGTH, seed=1), torch.tensor(sigma))
        groups, noisiness = heard.pop()
        # Laid back and taken up again, a bin leaks a little into its neighbours; the lowest have too few.
        assert all(float(group[:, -4:].std()) == pytest.approx(1.0, rel=0.15) for group in groups[1:])
        torch.testing.assert_close(noisiness, (sigma / network.spread).log().expand(8, -1))


def test_sampling_need_not_begin_above_what_drowns_the_hidden_music(wiener: BandwisePrior) -> None:
    spread, hertz = wiener.network.spread, torch.fft.rfftfreq(LENGTH, 1 / RATE)
    clear = torch.full((LENGTH // 2 + 1,), 1e-4)
    assert wiener.highest_needed(clear) == pytest.approx(1e-4)
    lost = torch.where(hertz > 2000, math.inf, clear)
    above = spread[torch.from_numpy(wiener.transform.centres > 2010)]
    assert wiener.highest_needed(lost) == pytest.approx(5 * float(above.max()), rel=0.1)
    # Where a lot of noise hides nothing, as the music is louder still, what was recorded must not be thrown away.
    boomy = torch.where(hertz < 60, 0.1, lost)
    assert wiener.highest_needed(boomy) == pytest.approx(0.1)


def test_compact_estimates_hold_nothing_below_20_hz(babble: BandwisePrior) -> None:
    x, sigma = noise(1, LENGTH) + 3.0, torch.tensor(0.3)
    found = babble(x, sigma)
    assert abs(float(found.mean())) < 1e-6
    assert deviation(found, babble(x - 3.0, sigma)) < 1e-4


def test_gradients_pass_the_compact_prior(babble: BandwisePrior) -> None:
    """The published algorithm needs them of any prior."""
    x, weight, direction = (0.1 * noise(1, LENGTH, seed=seed) for seed in range(3))
    leaf, sigma = x.clone().requires_grad_(), torch.tensor(0.1)
    (gradient,) = torch.autograd.grad((babble(leaf, sigma) * weight).sum(), leaf)
    ahead, behind = (babble(x + step * direction, sigma) for step in (1e-2, -1e-2))
    slope = float(((ahead - behind).double() * weight).sum() / 2e-2)
    assert float((gradient * direction).double().sum()) == pytest.approx(slope, rel=0.02)


def test_bfloat16_estimates_are_nearly_float32_ones(babble: BandwisePrior) -> None:
    noisy, sigma = 0.1 * noise(1, LENGTH), torch.tensor(0.05)
    fine = babble(noisy, sigma)
    babble.network.set_dtype(torch.bfloat16)
    coarse = babble(noisy, sigma)
    assert coarse.dtype == torch.float32
    assert float((coarse - fine).std() / fine.std()) < 0.02


def test_a_poll_ends_the_compact_estimate(folded: FoldedConstantQ) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        BandwisePrior(compact_network(), folded, poll=stop)(noise(1, LENGTH), torch.tensor(0.1))


def test_scaling_is_bin_by_bin(folded: FoldedConstantQ) -> None:
    groups = folded(noise(2, LENGTH))
    gain = torch.rand(2, len(compact_network().spread), generator=torch.Generator().manual_seed(0))
    bins = [row.unflatten(-1, (PATCH, -1)) for group in scaled(groups, gain) for row in group.unbind(1)]
    plain = [row.unflatten(-1, (PATCH, -1)) for group in groups for row in group.unbind(1)]
    for k in (0, 17, gain.shape[1] - 1):
        row, place = divmod(k, PATCH)
        torch.testing.assert_close(bins[row][:, :, place], plain[row][:, :, place] * gain[:, k, None, None])


# Either kind is built from a model


@pytest.mark.parametrize(
    ("model", "length", "kind"),
    [(COMPACT, LENGTH, BandwisePrior), (Model(SMALL, 8000, SMALL_LENGTH, 0.063), SMALL_LENGTH, PublishedPrior)],
    ids=["compact", "published"],
)
def test_a_prior_is_built_as_its_model_says(model: Model, length: int, kind: type[Prior]) -> None:
    prior = build_prior(model, build_network(model), build_transform(model, length))
    assert isinstance(prior, kind) and prior.device == torch.device("cpu")
    with torch.no_grad():
        assert prior(noise(1, length), torch.tensor(0.1)).shape == (1, length)
    assert next_length(model, length) == length < next_length(model, length + 1)
