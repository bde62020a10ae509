"""CQTdiff's transform: as recorded, without loss at any even length, and with a gradient."""

from __future__ import annotations

import pytest
import torch
from conftest import deviation
from torch import Tensor

from babe2.errors import RestorationError
from babe2.networks.matrix_cqt import MatrixConstantQ, next_length, rows_of
from babe2.networks.models import CQTDIFF

OCTAVES, BINS, HALVINGS = CQTDIFF.octaves, CQTDIFF.bins_per_octave, CQTDIFF.halvings


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def transform(length: int) -> MatrixConstantQ:
    return MatrixConstantQ(length, OCTAVES, BINS, HALVINGS)


@pytest.mark.parametrize(("length", "frames"), [(44100, 474), (66150, 710), (65536, 704)])
def test_segments_have_the_published_number_of_frames(length: int, frames: int) -> None:
    assert rows_of(length, OCTAVES, BINS).frames == frames


@pytest.mark.parametrize("length", [next_length(1, OCTAVES, BINS, HALVINGS), 4098, 5002, 22050, 44100, 65536])
def test_nothing_is_lost_at_any_even_length(length: int) -> None:
    x = noise(2, length)
    found = transform(length)
    # Next to Nyquist there are windows through which hardly anything is seen; without noise there it is a tenth.
    assert deviation(found.inverse(found(x)), x) < 3e-6


def test_lengths_that_do_not_fit_are_told_the_next_one() -> None:
    with pytest.raises(RestorationError, match=r"44101 samples does not fit .* The next length that does is 44102\."):
        transform(44101)
    shortest = next_length(1, OCTAVES, BINS, HALVINGS)
    with pytest.raises(RestorationError, match=f"The next length that does is {shortest}."):
        transform(shortest - 2)
    assert next_length(44100, OCTAVES, BINS, HALVINGS) == 44100
    assert next_length(44099, OCTAVES, BINS, HALVINGS) == 44100


def test_a_gradient_comes_back_through_both_ways() -> None:
    """The published inverse writes into its own result, which current torch refuses."""
    small = MatrixConstantQ(64, 2, 8, 1).double()
    x = noise(1, 64).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: small.inverse(small(x) ** 2), x)
