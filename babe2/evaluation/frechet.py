"""How far the music of one set lies from that of another, by what an embedding hears in both.

An embedding gives each short piece of a clip a row of numbers. The Frechet distance takes the rows of a set for a
Gaussian (Kilgour et al. 2019), the kernel distance for what they are (Chung et al. 2025). Neither asks for a truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from babe2.errors import RestorationError

Rows = npt.NDArray[np.float64]  # (N, D)
KERNEL_SCALE = 100.0  # by which the published kernel distance is multiplied
KERNEL_ROWS = 2000  # of a set, evenly spaced, that the kernel distance looks at: it asks for every pair
SIZES = 15  # of sets, to which the line of FAD-infinity is fitted
DRAWS = 200  # of the weights of clips, for an interval
LEVEL = 0.95  # of the intervals


class Estimate(NamedTuple):
    """A value of some clips, and the bounds of what it would be of endlessly many like them, with a confidence of 95 %.

    The bounds are None where there is but one clip, which tells nothing.
    """

    value: float
    low: float | None
    high: float | None


# Gaussians


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The mean (D,) and the covariance (D, D) of a set of rows."""

    mean: Rows
    covariance: Rows

    @classmethod
    def of(cls, rows: Rows) -> Gaussian:
        """That of two rows or more; the covariance is the unbiased one."""
        mean = rows.mean(axis=0)
        away = rows - mean
        return cls(mean, away.T @ away / (len(rows) - 1))

    @cached_property
    def factor(self) -> Rows:
        """A matrix F (D, D) with F F^T = covariance, which may lack rank."""
        values, vectors = np.linalg.eigh(self.covariance)
        return vectors * np.sqrt(values.clip(min=0))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), of covariances of any rank.

    With C2 = F F^T the product has the eigenvalues of F^T C1 F, which is symmetric: its root needs no square root of a
    matrix that has none, and is real.
    """
    inner = other.factor.T @ one.covariance @ other.factor
    shared = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(min=0)).sum()
    apart = np.square(one.mean - other.mean).sum()
    return max(0.0, float(apart + np.trace(one.covariance) + np.trace(other.covariance) - 2 * shared))


def frechet_infinity(rows: Rows, reference: Gaussian, seed: int = 0) -> float | None:
    """The distance that a set of endlessly many rows like these would have (Chong and Forsyth 2020, Gui et al. 2024).

    A set of N rows lies too far away by about c / N. A line through the distances of smaller parts, over 1 / N, says
    where that ends. None for fewer than four rows for each of their numbers: there the law does not hold.
    """
    count, dimensions = rows.shape
    least = max(count // 4, 2 * dimensions)
    if 2 * least > count:
        return None
    chance = np.random.default_rng(seed)
    sizes = np.round(1 / np.linspace(1 / count, 1 / least, SIZES)).astype(int)
    found = [
        frechet_distance(Gaussian.of(rows[chance.choice(count, size, replace=False)]), reference) for size in sizes
    ]
    return float(np.polyfit(1 / sizes, found, 1)[1])


# Kernels


def kernel(x: Rows, y: Rows, bandwidth: float) -> Rows:
    """exp(-|x - y|^2 / (2 bandwidth^2)) of every pair of rows."""
    return np.exp(-_squared_distances(x, y) / (2 * bandwidth**2))


def _squared_distances(x: Rows, y: Rows) -> Rows:
    found = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return found.clip(min=0)


def median_distance(rows: Rows) -> float:
    """The median distance between two different rows, which is the published bandwidth."""
    return float(np.sqrt(np.median(_squared_distances(rows, rows)[np.triu_indices(len(rows), 1)])))


def kernel_distance(x: Rows, y: Rows, bandwidth: float) -> float:
    """The unbiased squared maximum mean discrepancy (Gretton et al. 2012), times KERNEL_SCALE: around 0 for equals."""
    within = [(kernel(z, z, bandwidth).sum() - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float(KERNEL_SCALE * (within[0] + within[1] - 2 * kernel(x, y, bandwidth).mean()))


def thinned(clips: Sequence[Rows], most: int = KERNEL_ROWS) -> list[Rows]:
    """So many rows of all clips together, or fewer, evenly spaced; each clip keeps one at least."""
    every = max(1.0, sum(map(len, clips)) / most)
    return [clip[np.arange(0, len(clip), every).astype(int)] for clip in clips]


# Sets of clips


@dataclass(frozen=True, eq=False)
class Reference:
    """What the music of a reference is like to an embedding."""

    gaussian: Gaussian
    sample: Rows  # (n, D) of its rows, for the kernel
    bandwidth: float
    count: int  # of all its rows

    @classmethod
    def of(cls, clips: Sequence[Rows]) -> Reference:
        """That of the rows (N, D) of each of its clips."""
        rows = np.concatenate(clips)
        sample = np.concatenate(thinned(clips))
        if len(sample) < 2:
            raise RestorationError("The reference holds next to nothing. Give more recordings, or longer ones.")
        bandwidth = median_distance(sample)
        if bandwidth == 0:
            raise RestorationError("All of the reference sounds the same to the embedding. Give music.")
        return cls(Gaussian.of(rows), sample, bandwidth, len(rows))

    @cached_property
    def likeness(self) -> float:
        """The mean kernel between two of its rows."""
        n = len(self.sample)
        return float((kernel(self.sample, self.sample, self.bandwidth).sum() - n) / (n * (n - 1)))


class Distances(NamedTuple):
    """How far a set lies from the reference."""

    frechet: Estimate
    infinity: float | None  # the Frechet distance of endlessly many rows
    kernel: Estimate
    rows: int


def distances(clips: Sequence[Rows], reference: Reference, seed: int = 0) -> Distances:
    """The distances of a set from the rows (N, D) of each of its clips.

    Intervals are those of the Bayesian bootstrap (Rubin 1981) over clips: each draw gives every clip a weight of its
    own. A draw is poorer than the set, and lies further from the reference than the set by as much as the set lies
    further than endlessly many such clips would: so a draw's excess is taken off, not added (the basic bootstrap), and
    the interval is that of endlessly many clips. The distance of few clips often lies above it.
    """
    rows = np.concatenate(clips)
    if len(rows) < 2:
        raise RestorationError("There is next to nothing to hear in these recordings. Give more, or longer ones.")
    weights = np.random.default_rng(seed).exponential(size=(DRAWS if len(clips) > 1 else 0, len(clips)))
    spread, likeness = Spread.of(clips), Likeness.of(thinned(clips), reference)
    even = np.ones(len(clips))
    return Distances(
        _interval(
            frechet_distance(Gaussian.of(rows), reference.gaussian),
            [frechet_distance(spread.weighted(each), reference.gaussian) for each in weights],
        ),
        frechet_infinity(rows, reference.gaussian, seed),
        _interval(likeness.distance(even, reference), [likeness.distance(each, reference) for each in weights]),
        len(rows),
    )


def _interval(value: float, draws: Sequence[float]) -> Estimate:
    if not draws:
        return Estimate(value, None, None)
    high, low = 2 * value - np.quantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Spread:
    """The sums from which a weighted set's Gaussian follows, clip by clip."""

    centre: Rows  # (D,), near which sums lose nothing
    counts: Rows  # (C,)
    sums: Rows  # (C, D)
    products: Rows  # (C, D, D)

    @classmethod
    def of(cls, clips: Sequence[Rows]) -> Spread:
        centre = np.concatenate(clips).mean(axis=0)
        away = [clip - centre for clip in clips]
        return cls(
            centre,
            np.array([float(len(clip)) for clip in clips]),
            np.stack([clip.sum(axis=0) for clip in away]),
            np.stack([clip.T @ clip for clip in away]),
        )

    def weighted(self, weights: Rows) -> Gaussian:
        """The Gaussian of the clips with a weight (C,) each."""
        share = weights / (weights @ self.counts)
        mean = share @ self.sums
        covariance = np.tensordot(share, self.products, 1) - np.outer(mean, mean)
        count = self.counts.sum()
        return Gaussian(self.centre + mean, covariance * count / (count - 1))


@dataclass(frozen=True, eq=False)
class Likeness:
    """The sums from which a weighted set's kernel distance follows, clip by clip; no row meets itself."""

    within: Rows  # (C, C)
    pairs: Rows  # (C, C), how many
    across: Rows  # (C,), with the reference
    counts: Rows  # (C,)

    @classmethod
    def of(cls, clips: Sequence[Rows], reference: Reference) -> Likeness:
        counts = np.array([float(len(clip)) for clip in clips])
        within = np.array([[kernel(x, y, reference.bandwidth).sum() for y in clips] for x in clips])
        across = np.array([kernel(x, reference.sample, reference.bandwidth).sum() for x in clips])
        return cls(within - np.diag(counts), np.outer(counts, counts) - np.diag(counts), across, counts)

    def distance(self, weights: Rows, reference: Reference) -> float:
        """The kernel distance of the clips with a weight (C,) each."""
        within = weights @ self.within @ weights / (weights @ self.pairs @ weights)
        across = weights @ self.across / (weights @ self.counts * len(reference.sample))
        return float(KERNEL_SCALE * (within + reference.likeness - 2 * across))
