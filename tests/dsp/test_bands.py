"""Bands and weights of octaves, on spectra whose sums are known."""

from __future__ import annotations

import math

import pytest
import torch

from babe2.dsp.bands import Bands, octave_means


@pytest.mark.parametrize("rate", [1000, 8000, 44_100])
def test_bands_lie_side_by_side_from_25_hz_to_nyquist_with_one_at_1_khz(rate: int) -> None:
    bands = Bands.below_nyquist(rate)
    torch.testing.assert_close(bands.low[1:], bands.high[:-1])
    assert 25 <= bands.centres[0] < 25 * 2 ** (1 / 6)
    assert rate / 2 / 2 ** (1 / 6) < bands.high[-1] <= rate / 2
    if rate > 2100:
        assert float((bands.centres - 1000).abs().min()) == pytest.approx(0)


def test_the_power_in_the_bands_adds_up_to_the_power_between_their_edges() -> None:
    bands, power = Bands.below_nyquist(8000), torch.ones(401, dtype=torch.float64)  # 10 Hz to a bin
    inside = float(bands.high[-1] - bands.low[0]) / 10
    assert float((power @ bands.shares(8000, 401)).sum()) == pytest.approx(inside)
    at_1_khz = torch.zeros(401, dtype=torch.float64)
    at_1_khz[100] = 7.0
    (band,) = (at_1_khz @ bands.shares(8000, 401)).nonzero().flatten().tolist()
    assert float(bands.centres[band]) == pytest.approx(1000)


def test_a_frequency_is_held_by_the_band_around_it_and_no_other() -> None:
    bands = Bands.below_nyquist(8000)
    held = bands.holding(torch.tensor([1000.0, 1050.0, 10.0, 5000.0]))
    assert held.sum(dim=1).tolist() == [1, 1, 0, 0]
    assert float(bands.centres[held[1]]) == pytest.approx(1000)


def test_between_two_frequencies_are_the_bands_centred_there() -> None:
    some = Bands.below_nyquist(44_100).between(200, 3000)
    assert some.centres.min() >= 200 and some.centres.max() < 3000
    assert len(some.centres) == math.floor(6 * math.log2(3000 / 1000)) + math.floor(6 * math.log2(1000 / 200)) + 1


def test_means_over_octaves_see_a_third_of_an_octave_and_no_dc() -> None:
    hertz = 45 * 2 ** (torch.arange(40, dtype=torch.float64) / 6)
    weights = octave_means(hertz, 22_050, 4096)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(40, dtype=torch.float64))
    assert not weights[:, 0].any()
    bins = torch.fft.rfftfreq(4096, 1 / 22_050)
    near = (bins > hertz[30] / 1.26) & (bins < hertz[30] * 1.26)
    assert float(weights[30][near].sum()) > 0.99


def test_where_a_spectrum_has_no_bin_near_a_mean_over_octaves_is_zero() -> None:
    assert torch.equal(octave_means(torch.tensor([45.0], dtype=torch.float64), 22_050, 2), torch.zeros(1, 2).double())
