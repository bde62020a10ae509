"""The compact network, with weights that have learned nothing: what holds whatever they are."""

from __future__ import annotations

import pytest
import torch
from classroom import COMPACT, RATE
from conftest import babbling, deviation
from torch import Tensor

from babe2.config import BandwiseArchitecture
from babe2.networks.bandwise import HARMONICS, BandwiseUNet, Harmonics, doubled, halved
from babe2.networks.folded_cqt import PATCH

SIZE = COMPACT.architecture
assert isinstance(SIZE, BandwiseArchitecture)
DEEP = BandwiseArchitecture((16, 24, 32), (2, 1, 2), 7, 16, 8)
BINS = SIZE.octaves * SIZE.bins_per_octave


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(network: BandwiseUNet, items: int = 1, frames: int = 16) -> list[Tensor]:
    """What the folded transform would hand over."""
    shapes = [(items, bins // PATCH, frames, 2 * PATCH * fold) for bins, fold in network.groups]
    return [noise(*shape, seed=i) for i, shape in enumerate(shapes)]


@pytest.fixture(params=[SIZE, DEEP], ids=["two levels", "three levels"])
def network(request: pytest.FixtureRequest) -> BandwiseUNet:
    return babbling(BandwiseUNet(request.param, RATE))


def test_it_answers_in_the_shape_it_is_asked(network: BandwiseUNet) -> None:
    for frames in (4, 8, 12, 20):
        asked = pictures(network, 2, frames)
        answered = network(asked, torch.zeros(2, BINS))
        assert [group.shape for group in answered] == [group.shape for group in asked]
        assert all(group.isfinite().all() for group in answered)


def test_untrained_it_guesses_nothing() -> None:
    network = BandwiseUNet(SIZE, RATE)
    assert not any(group.any() for group in network(pictures(network), torch.zeros(1, BINS)))


def test_items_of_a_batch_do_not_meet(network: BandwiseUNet) -> None:
    asked, told = pictures(network, 3), 3 * noise(3, BINS)
    together = network(asked, told)
    for i in range(3):
        alone = network([group[i : i + 1] for group in asked], told[i : i + 1])
        assert all(deviation(a[i : i + 1], b) < 1e-5 for a, b in zip(together, alone, strict=True))


def test_it_hears_how_noisy_each_bin_is(network: BandwiseUNet) -> None:
    asked = pictures(network)
    for k in (0, BINS // 2, BINS - 1):
        told = torch.zeros(1, BINS)
        told[:, k] = 2.0
        pairs = zip(network(asked, torch.zeros(1, BINS)), network(asked, told), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs)


def test_noise_may_change_with_time(network: BandwiseUNet) -> None:
    """Told frame by frame, noise that stays gives the same answer; noise that swells is heard where it does."""
    asked, told = pictures(network, frames=96), noise(1, BINS)
    by_frame = told[..., None].repeat(1, 1, 96)
    swelled = by_frame.clone()
    swelled[..., 44:48] += 3.0
    steady, same, changed = (network(asked, each) for each in (told, by_frame, swelled))
    for a, b, c in zip(steady, same, changed, strict=True):
        assert deviation(b, a) < 1e-5
        assert deviation(c[:, :, 44:48], a[:, :, 44:48]) > 1e-3 and deviation(c[:, :, :8], a[:, :, :8]) < 1e-5


@pytest.mark.parametrize("noisiness", [-1e4, -20.0, 20.0, 1e4])
def test_no_noise_level_is_too_low_or_too_high(network: BandwiseUNet, noisiness: float) -> None:
    answered = network(pictures(network), torch.full((1, BINS), noisiness))
    assert all(group.isfinite().all() for group in answered)


def test_what_happens_later_sounds_later(network: BandwiseUNet) -> None:
    """Away from the ends, where pictures are padded, moving the music moves the answer."""
    frames, shift = 96, 8
    asked = [torch.zeros(1, bins // PATCH, frames, 2 * PATCH * fold) for bins, fold in network.groups]
    for group, there in zip(asked, pictures(network, frames=8), strict=True):
        group[:, :, 40:48] = there
    moved = [group.roll(shift, dims=2) for group in asked]
    told = noise(1, BINS)
    for here, there in zip(network(asked, told), network(moved, told), strict=True):
        assert deviation(there[:, :, 32:72], here.roll(shift, dims=2)[:, :, 32:72]) < 1e-4


def test_halving_and_doubling_are_inverses() -> None:
    x = noise(2, 6, 8, 3)
    assert halved(x).shape == (2, 3, 4, 12)
    assert torch.equal(doubled(halved(x)), x)
    # A quarter's channels stay together: rows and frames 0 and 1 of the first corner.
    assert torch.equal(halved(x)[:, 0, 0], x[:, :2, :2].flatten(1))


def test_harmonics_reach_exactly_the_rows_of_other_partials() -> None:
    harmonics = Harmonics(4).requires_grad_(False)
    x = noise(1, 64, 1, 4)
    for row in (0, 20, 63):
        struck = x.clone()
        struck[:, row] = noise(1, 4, seed=1)
        moved = ((harmonics(struck) - harmonics(x)).abs().amax(dim=(0, 2, 3)) > 1e-6).nonzero().flatten().tolist()
        assert moved == sorted(place for place in {row, *(row - shift for shift in HARMONICS)} if 0 <= place < 64)


def test_a_poll_is_asked_before_every_block_and_may_end_it(network: BandwiseUNet) -> None:
    calls: list[int] = []
    network(pictures(network), torch.zeros(1, BINS), lambda: calls.append(1))
    assert len(calls) == sum(len(blocks) for blocks in (*network.down, *network.up))  # type: ignore[arg-type]

    class Stop(Exception):
        pass

    def stop() -> None:
        if len(calls) == 2:
            raise Stop
        calls.append(1)

    calls.clear()
    with pytest.raises(Stop):
        network(pictures(network), torch.zeros(1, BINS), stop)


def test_bfloat16_is_nearly_float32_and_leaves_the_weights(network: BandwiseUNet) -> None:
    asked, told = pictures(network), noise(1, BINS)
    fine = network(asked, told)
    coarse = network.set_dtype(torch.bfloat16)(asked, told)
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    for a, b in zip(coarse, fine, strict=True):
        assert float((a.float() - b).std() / b.std()) < 0.03  # eight bits, a few layers deep


def test_gradients_reach_every_weight_and_the_music(network: BandwiseUNet) -> None:
    network.requires_grad_()
    asked = [group.requires_grad_() for group in pictures(network)]
    sum(group.square().sum() for group in network(asked, noise(1, BINS))).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())
    assert all(group.grad is not None and group.grad.any() for group in asked)
