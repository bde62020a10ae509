"""Speed: pitch to a fraction of a cent, length to the sample."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from babe2 import RestorationError
from babe2.stages import speed
from babe2.stages.speed import factor_of


@pytest.mark.parametrize(
    ("text", "factor"),
    [("1.02", 1.02), ("80/78.26", 80 / 78.26), ("-35 cents", 2 ** (-35 / 1200)), ("+2 semitones", 2 ** (1 / 6))],
)
def test_a_tone_is_as_much_higher_as_it_is_faster(text: str, factor: float) -> None:
    rate = 8000
    time = torch.arange(rate, dtype=torch.float64) / rate
    made, report = speed(torch.sin(2 * math.pi * 440 * time), rate, factor=text)
    assert made.shape[1] == round(Fraction(rate) / factor_of(text))
    expected = torch.sin(2 * math.pi * 440 * factor * torch.arange(made.shape[1], dtype=torch.float64) / rate)
    inside = slice(200, -200)
    np.testing.assert_allclose(made[0, inside], expected[inside], atol=3e-5)
    assert report["found"]["factor"] == pytest.approx(factor)


def test_what_no_longer_fits_is_left_out() -> None:
    time = torch.arange(8000, dtype=torch.float64) / 8000
    made, _ = speed(torch.sin(2 * math.pi * 3500 * time), 8000, factor="1.5")
    assert np.abs(made[:, 300:-300]).max() < 1e-4


def test_the_same_speed_changes_no_sample() -> None:
    sound = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(speed(sound, 8000, factor="2/2")[0], sound)


@pytest.mark.parametrize("text", ["", "fast", "0", "1/0", "9", "-1", "400 semitones", "1e3"])
def test_other_speeds_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(RestorationError, match="The speed cannot be"):
        speed(torch.ones(1, 10), 8000, factor=text)
