"""Means and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from babe2.evaluation.table import confidence


def test_an_interval_holds_the_mean_and_is_the_same_every_time() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 5.0, 3.0]
    interval = confidence(values)
    assert interval.mean == pytest.approx(sum(values) / 6)
    assert min(values) < interval.low < interval.mean < interval.high < max(values)
    assert confidence(values) == interval
    assert confidence(values, seed=1) != interval


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0]])
def test_what_does_not_scatter_has_no_width(values: list[float]) -> None:
    assert confidence(values) == (3.0, 3.0, 3.0)


def test_an_interval_is_as_wide_as_the_mean_scatters() -> None:
    values = np.random.default_rng(0).standard_normal(400).tolist()
    interval = confidence(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
