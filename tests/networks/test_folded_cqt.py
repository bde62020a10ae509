"""The folded transform: nothing is lost, noise has one level everywhere, and any multiple of 2048 samples will do."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import deviation
from torch import Tensor

from babe2.errors import RestorationError
from babe2.networks.folded_cqt import GRAIN, HOP, PATCH, FoldedConstantQ, folds, next_length

# Sample rate, length, octaves, bins per octave: the bundled network's, a test's, and others at their limits.
SIZES = [
    (22050, 221184, 8, 48),
    (22050, 2048, 8, 48),
    (8000, 4096, 7, 16),
    (44100, 3 * 2048, 9, 24),
    (8000, 5 * 2048, 8, 48),  # its lowest bins lie below 20 Hz
    (1000, 2048, 5, 12),
    (96000, 7 * 2048, 10, 16),
]
RATE, LENGTH, OCTAVES, BINS = 8000, 8192, 7, 24


@pytest.fixture(scope="module")
def transform() -> FoldedConstantQ:
    return FoldedConstantQ(RATE, LENGTH, OCTAVES, BINS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tone(hertz: float, length: int = LENGTH, rate: int = RATE) -> Tensor:
    """A cosine (1, length), whole periods in a segment."""
    cycles = round(hertz * length / rate)
    return torch.cos(2 * math.pi * cycles * torch.arange(length, dtype=torch.float64) / length).float()[None]


def by_bin(groups: list[Tensor]) -> list[Tensor]:
    """Each bin's coefficients (B, frames, 2 fold), lowest bin first."""
    return [bin_ for group in groups for row in group.unbind(1) for bin_ in row.unflatten(-1, (PATCH, -1)).unbind(2)]


@pytest.mark.parametrize(("rate", "length", "octaves", "bins"), SIZES)
def test_inverse_after_forward_is_highpass(rate: int, length: int, octaves: int, bins: int) -> None:
    transform, x = FoldedConstantQ(rate, length, octaves, bins), noise(2, length)
    assert deviation(transform.inverse(transform(x)), transform.highpass(x)) < 1e-6


@pytest.mark.parametrize("grains", [1, 2, 3, 5, 7, 11, 16])
def test_every_multiple_of_the_grain_is_a_segment(grains: int) -> None:
    length = grains * GRAIN
    transform, x = FoldedConstantQ(RATE, length, OCTAVES, BINS), noise(1, length)
    groups = transform(x)
    assert {group.shape[2] for group in groups} == {length // HOP}
    assert sum(group.shape[1] for group in groups) == OCTAVES * BINS // PATCH
    assert deviation(transform.inverse(groups), transform.highpass(x)) < 1e-6


@pytest.mark.parametrize("length", [0, -2048, 1, 2047, 2049, 13000])
def test_another_length_is_refused_with_the_next_that_will_do(length: int) -> None:
    following = next_length(length)
    assert following % GRAIN == 0 and following >= max(length, GRAIN) and following - GRAIN < max(length, 1)
    with pytest.raises(
        RestorationError, match=rf"segment of {length} samples .* next length that does is {following}\."
    ):
        FoldedConstantQ(RATE, length, OCTAVES, BINS)


@pytest.mark.parametrize(("rate", "octaves"), [(8000, 6), (22050, 7), (44100, 7), (1000, 4)])
def test_octaves_that_end_too_high_are_refused(rate: int, octaves: int) -> None:
    with pytest.raises(RestorationError, match=f"{octaves} octaves leave too much to the lowest bin. Take more"):
        FoldedConstantQ(rate, LENGTH, octaves, 48)
    FoldedConstantQ(rate, LENGTH, octaves + 1, 48)


@pytest.mark.parametrize(("rate", "length", "octaves", "bins"), SIZES)
def test_white_noise_has_its_level_in_every_coefficient(rate: int, length: int, octaves: int, bins: int) -> None:
    transform = FoldedConstantQ(rate, length, octaves, bins)
    # Re and Im of white noise's DFT have a variance of length / 2; a row is the inverse DFT of the windowed ones.
    sizes = [transform.frames * fold for fold in folds(rate, octaves, bins)]
    windows = transform.window.double().split(sizes)
    variances = [float(w.square().sum()) * length / 2 / len(w) ** 2 for w in windows if w.any()]
    assert len(variances) > len(sizes) / 2  # where a segment is short, some bins see no frequency at all
    torch.testing.assert_close(torch.tensor(variances), torch.ones(len(variances)), atol=1e-5, rtol=0)


def test_white_noise_keeps_its_standard_deviation(transform: FoldedConstantQ) -> None:
    for bin_ in by_bin(transform(0.3 * noise(64, LENGTH)))[BINS:]:
        # 64 items with at least three independent numbers each.
        assert float(bin_.std()) == pytest.approx(0.3, rel=0.25)
    top = transform(0.3 * noise(8, LENGTH))[-1]
    assert float(top.std()) == pytest.approx(0.3, rel=0.02)


def test_inverse_is_the_adjoint(transform: FoldedConstantQ) -> None:
    """In the product that counts each bin by the noise it holds, and but for DC and Nyquist."""
    x = noise(1, LENGTH)
    fastest = torch.tensor([1.0, -1.0]).repeat(LENGTH // 2)
    x = x - x.mean() - (x * fastest).mean() * fastest
    groups = [noise(*group.shape, seed=1 + i) for i, group in enumerate(transform(x))]
    sizes = [transform.frames * fold for fold in folds(RATE, OCTAVES, BINS)]
    halves = zip(transform.window.split(sizes), transform.dual.split(sizes), strict=True)
    shares = [float((window * dual).sum()) / len(window) for window, dual in halves]
    pairs = zip(by_bin(transform(x)), by_bin(groups), shares, strict=True)
    inside = sum(share * float((seen.double() * given).sum()) for seen, given, share in pairs)
    outside = float((x.double() * transform.inverse(groups)).sum())
    assert inside == pytest.approx(outside, rel=1e-4, abs=1e-2)


def test_nothing_is_carried_below_20_hz_and_everything_above_25(transform: FoldedConstantQ) -> None:
    hertz = torch.fft.rfftfreq(LENGTH, 1 / RATE)
    assert not transform.pass_band[hertz <= 20].any()
    torch.testing.assert_close(transform.pass_band[hertz >= 25], torch.ones(int((hertz >= 25).sum())))
    steady = torch.full((1, LENGTH), 3.0)
    assert transform.highpass(steady).abs().max() < 1e-6
    assert all(group.abs().max() < 1e-5 for group in transform(steady))


def test_highpass_takes_shorter_sounds(transform: FoldedConstantQ) -> None:
    x = tone(500)[:, :3000]
    found = transform.highpass(x)
    assert found.shape == x.shape
    assert deviation(found, x) < 0.02  # cut off, it has a little below 20 Hz


@pytest.mark.parametrize("hertz", [100, 440, 1000, 2500, 3900])
def test_a_tone_sounds_only_in_the_bins_around_it(hertz: float, transform: FoldedConstantQ) -> None:
    energy = torch.stack([bin_.square().sum() for bin_ in by_bin(transform(tone(hertz)))])
    near = torch.from_numpy(abs(transform.centres / hertz - 1) < 2 ** (1.1 / BINS) - 1)
    assert 1 <= int(near.sum()) <= 3
    assert float(energy[near].sum()) > 0.9999 * float(energy.sum())


def test_a_click_sounds_when_it_happens(transform: FoldedConstantQ) -> None:
    click = torch.zeros(1, LENGTH)
    click[:, 11 * HOP] = 1
    loudness = by_bin(transform(click))[-1].square().sum(dim=(0, 2))
    assert int(loudness.argmax()) in (10, 11) and float(loudness[9:13].sum()) > 0.95 * float(loudness.sum())


def test_items_of_a_batch_do_not_meet(transform: FoldedConstantQ) -> None:
    x = noise(3, LENGTH)
    together = transform(x)
    for i in range(3):
        for group, alone in zip(together, transform(x[i : i + 1]), strict=True):
            assert deviation(group[i : i + 1], alone) < 1e-6
        assert deviation(transform.inverse(together)[i : i + 1], transform.highpass(x[i : i + 1])) < 1e-6


def test_coarse_numbers_are_laid_back_as_fine_ones(transform: FoldedConstantQ) -> None:
    groups = [group.bfloat16() for group in transform(noise(1, LENGTH))]
    found = transform.inverse(groups)
    assert found.dtype == torch.float32
    assert torch.equal(found, transform.inverse([group.float() for group in groups]))


def test_gradients_pass_both_ways(transform: FoldedConstantQ) -> None:
    x, weight = noise(1, LENGTH).requires_grad_(), noise(1, LENGTH, seed=1)
    (gradient,) = torch.autograd.grad((transform.inverse(transform(x)) * weight).sum(), x)
    assert deviation(gradient, transform.highpass(weight)) < 1e-6  # a highpass of zero phase is its own adjoint


def test_a_transform_has_no_state_in_a_checkpoint(transform: FoldedConstantQ) -> None:
    assert not transform.state_dict()
