"""Distances between sets against what is known of Gaussians, and of few clips."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from babe2.errors import RestorationError
from babe2.evaluation.frechet import (
    KERNEL_SCALE,
    Gaussian,
    Reference,
    Rows,
    distances,
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    median_distance,
)


def rows(count: int, dimensions: int = 4, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((count, dimensions))


def covariance(seed: int, dimensions: int = 6, rank: int = 6) -> Rows:
    factor = np.random.default_rng(seed).standard_normal((dimensions, rank))
    return factor @ factor.T


def test_gaussians_with_one_axis_each_are_as_far_apart_as_their_means_and_deviations() -> None:
    """Where covariances commute, the distance is |m1 - m2|^2 + |s1 - s2|^2 over their axes."""
    one = Gaussian(np.array([1.0, 0.0, 0.0]), np.diag([4.0, 9.0, 0.0]))
    other = Gaussian(np.zeros(3), np.diag([1.0, 25.0, 16.0]))
    assert frechet_distance(one, other) == pytest.approx(1 + 1 + 4 + 16)


@pytest.mark.parametrize("rank", [6, 2], ids=["full", "poor"])
def test_turned_gaussians_are_as_far_apart_as_the_root_of_their_product_says(rank: int) -> None:
    one, other = Gaussian(np.zeros(6), covariance(0, rank=rank)), Gaussian(np.ones(6), covariance(1))
    root = np.trace(sqrtm(one.covariance @ other.covariance).real)
    expected = 6 + np.trace(one.covariance) + np.trace(other.covariance) - 2 * root
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-5)


def test_a_set_is_nowhere_but_at_itself_even_with_fewer_rows_than_numbers() -> None:
    poor = Gaussian.of(rows(3, 50))
    assert frechet_distance(poor, poor) == pytest.approx(0, abs=1e-5)


def test_a_small_set_lies_too_far_and_endlessly_many_rows_would_not() -> None:
    reference = Gaussian(np.zeros(16), np.eye(16))
    found = [rows(200, 16, seed) for seed in range(20)]
    plain = np.mean([frechet_distance(Gaussian.of(x), reference) for x in found])
    endless = np.mean([frechet_infinity(x, reference) for x in found])
    assert plain > 0.35  # of a set that the reference itself has drawn
    assert abs(endless) < 0.05
    assert frechet_infinity(found[0][:60], reference) is None  # fewer than four for each number


def test_the_kernel_distance_of_points_is_that_of_its_sums() -> None:
    """Two pairs of points: within a pair a distance of 1 and 3, across 2 (three times) and 4 along a line."""
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [5.0]])

    def k(distance: float) -> float:
        return np.exp(-(distance**2) / 8)

    expected = k(1) + k(3) - 2 * (k(2) + k(5) + k(1) + k(4)) / 4
    assert kernel_distance(x, y, bandwidth=2.0) == pytest.approx(KERNEL_SCALE * expected)
    assert median_distance(np.array([[0.0], [1.0], [5.0]])) == 4


def test_the_kernel_distance_of_gaussians_is_the_integral() -> None:
    """Points that lie N(m, v) apart have a mean kernel of b / sqrt(b^2 + v) exp(-m^2 / 2 (b^2 + v))."""
    x, y = 2 * rows(1000, 1, 1), 1 + rows(1000, 1, 2)

    def meeting(variance: float, move: float) -> float:
        return np.sqrt(1 / (1 + variance)) * np.exp(-(move**2) / 2 / (1 + variance))

    expected = meeting(8, 0) + meeting(2, 0) - 2 * meeting(5, 1)
    assert kernel_distance(x, y, bandwidth=1.0) == pytest.approx(KERNEL_SCALE * expected, abs=1.5)


def test_intervals_tell_what_many_clips_would_give_and_one_clip_tells_none() -> None:
    reference = Reference.of([rows(40, seed=seed) for seed in range(20)])
    chance = np.random.default_rng(5)
    clips = [rows(20, seed=100 + k) + 0.4 * chance.standard_normal(4) + 0.5 for k in range(20)]
    found = distances(clips, reference)
    true = 4 * (0.5**2 + (np.sqrt(1 + 0.4**2) - 1) ** 2)
    assert found.frechet.low is not None and found.frechet.high is not None
    assert found.frechet.low < true < found.frechet.high
    assert found.kernel.value == pytest.approx(
        kernel_distance(np.concatenate(clips), reference.sample, reference.bandwidth)
    )
    assert distances(clips[:1], reference).frechet.low is None
    assert distances(clips, reference) == found  # the same seed


def test_a_reference_in_which_nothing_happens_is_refused_in_a_sentence() -> None:
    with pytest.raises(RestorationError, match="sounds the same"):
        Reference.of([np.zeros((5, 3))])
    with pytest.raises(RestorationError, match="next to nothing"):
        Reference.of([rows(1)])
