"""The equalizer: how the old machine coloured the sound (BABE-2, sections 3.1 and 3.2, appendix A.4).

Straight lines on a chart of decibels over octaves, meeting at breakpoints, around a reference frequency where the
gain is 0 dB. `EqualizerFit` finds it while the sampler runs, from nothing but the spectra of estimate and recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from babe2.config import FitSettings, Weighting
from babe2.dsp.curves import Curve
from babe2.dsp.spectra import framed_spectrum, unframed

APART_HZ = 1e-3  # how far neighbouring breakpoints are kept from each other


@dataclass(frozen=True, eq=False)
class Flank:
    """The lines on one side of the reference, nearest first."""

    breakpoints: Tensor  # (K,) Hz
    slopes: Tensor  # (K + 1,) dB per octave, positive when gain rises with frequency


@dataclass(frozen=True, eq=False)
class Equalizer(Curve):
    """A piecewise-linear curve on a dB / octave chart (Figure 1)."""

    reference: Tensor  # () Hz, where the gain is 0 dB
    below: Flank
    above: Flank
    # The published code joins lines at the first FFT bin past a bend. Joining them at the bend itself, as Figure 1
    # draws it (None), moves steep responses by up to a few dB.
    bin_hz: float | None = None

    @property
    def edges(self) -> Tensor:
        """Where lines meet, ascending (K_below + 1 + K_above,) Hz."""
        return torch.cat([self.below.breakpoints.flip(0), self.reference[None], self.above.breakpoints])

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        left, left_level = self._outward(self.below, upward=False)
        right, right_level = self._outward(self.above, upward=True)
        anchor = torch.cat([left.flip(0), right])
        level = torch.cat([left_level.flip(0), right_level])
        slope = torch.cat([self.below.slopes.flip(0), self.above.slopes])
        line = torch.searchsorted(self.edges.detach(), frequencies.to(self.reference.dtype), right=True)
        return level[line] + slope[line] * torch.log2(frequencies / anchor[line])

    def _outward(self, flank: Flank, *, upward: bool) -> tuple[Tensor, Tensor]:
        """Each line's anchor in Hz, and its level there in dB, from the reference outward."""
        anchors, levels = [self.reference], [torch.zeros_like(self.reference)]
        for bend, slope in zip(flank.breakpoints, flank.slopes, strict=False):
            joint = self._first_bin_past(bend, upward)
            levels.append(levels[-1] + slope * torch.log2(joint / anchors[-1]))
            anchors.append(bend)
        return torch.stack(anchors), torch.stack(levels)

    def _first_bin_past(self, bend: Tensor, upward: bool) -> Tensor:
        if self.bin_hz is None:
            return bend
        at_or_above = torch.ceil(bend.detach() / self.bin_hz)
        return (at_or_above if upward else at_or_above - 1).clamp(min=1) * self.bin_hz

    @property
    def parameters(self) -> Tensor:
        """Reference, breakpoints above and below, slopes above and below: the published order, nearest first."""
        parts = [self.above.breakpoints, self.below.breakpoints, self.above.slopes, self.below.slopes]
        return torch.cat([self.reference[None], *parts])

    @staticmethod
    def from_parameters(parameters: Tensor, above: int, below: int, bin_hz: float | None = None) -> Equalizer:
        """The inverse of `parameters`, given how many breakpoints lie above and below."""
        sizes = [1, above, below, above + 1, below + 1]
        reference, high, low, high_slopes, low_slopes = parameters.split(sizes)
        return Equalizer(reference[0], Flank(low, low_slopes), Flank(high, high_slopes), bin_hz)

    def as_dict(self) -> dict[str, float | list[float]]:
        return {
            "reference_hz": float(self.reference),
            "breakpoints_below_hz": self.below.breakpoints.tolist(),
            "slopes_below_db": self.below.slopes.tolist(),
            "breakpoints_above_hz": self.above.breakpoints.tolist(),
            "slopes_above_db": self.above.slopes.tolist(),
        }


def apply_magnitude(magnitude: Tensor, x: Tensor) -> Tensor:
    """Zero-phase filtering of x (B, T) by a factor per FFT bin (F,), in overlapping frames (Eq. 6)."""
    fft = 2 * (len(magnitude) - 1)
    frames = framed_spectrum(x, fft) * magnitude[:, None].to(x)
    return unframed(frames, fft, x.shape[-1])


@dataclass(frozen=True, eq=False)
class BandSums:
    """All the fit needs to know of two signals: per FFT bin, sums over items and frames of |X|^2, |X||Y| and |Y|^2.

    The cost is a sum over frames of (H|X| - |Y|)^2, and H is the same in every frame; so a hundred iterations cost
    vectors and no spectrograms.
    """

    clean: Tensor
    cross: Tensor
    observed: Tensor

    @staticmethod
    def of(clean: Tensor, observation: Tensor, fft: int) -> BandSums:
        """clean, observation (B, T)"""
        x, y = framed_spectrum(clean, fft).abs(), framed_spectrum(observation, fft).abs()
        sums = (product.sum(dim=(0, 2)).cpu().double() for product in (x * x, x * y, y * y))
        return BandSums(*sums)

    def distance(self, magnitude: Tensor, weight: Tensor) -> Tensor:
        """Weighted Euclidean distance between H|X| and |Y| (Eq. 13, un-squared as in the published code)."""
        squared = magnitude.square() * self.clean - 2 * magnitude * self.cross + self.observed
        return (weight.square() * squared).sum().clamp(min=1e-30).sqrt()


def frequency_weight(weighting: Weighting, bins: int) -> Tensor:
    """How much each bin counts in the fit (bins,): W of Eq. 13."""
    u = torch.linspace(0, 1, bins, dtype=torch.float64)
    curves = {
        "none": torch.ones_like(u),
        "linear": u,
        "sqrt": u.sqrt(),
        "log": torch.log2(1 + u),
        "quadratic": u**2,
        "cubic": u**3,
        "logquadratic": torch.log2(1 + u**2),
        "logcubic": torch.log2(1 + u**3),
        "squared": u**4,
    }
    return curves[weighting]


def collapse_cost(equalizer: Equalizer, lowest: float, highest: float, decay: float) -> Tensor:
    """Grows as neighbouring breakpoints near each other (Eq. 7, with the distances' signs dropped as in the code)."""
    ends = equalizer.reference.new_tensor([lowest]), equalizer.reference.new_tensor([highest])
    gaps = torch.cat([ends[0], equalizer.edges, ends[1]]).diff().abs()
    return torch.exp(-decay * gaps).sum()


class EqualizerFit:
    """Adam on the equalizer's parameters, in float64 on the host, its moments kept from one noise level to the next."""

    def __init__(self, settings: FitSettings, sample_rate: int, outer_slope_db: float | None = None) -> None:
        """`outer_slope_db` is where the outer slopes begin, by default at what they are held to."""
        self.settings = settings
        self.sample_rate = sample_rate
        high, low = settings.breakpoints_above_hz, settings.breakpoints_below_hz
        self.above, self.below = len(high), len(low)
        outer = settings.outer_slope_db if outer_slope_db is None else outer_slope_db
        slopes = [0.0] * self.above + [-outer] + [0.0] * self.below + [outer]
        self.parameters = torch.tensor([settings.reference_hz, *high, *low, *slopes], dtype=torch.float64)
        self.momentum = torch.zeros_like(self.parameters)
        self.variance = torch.zeros_like(self.parameters)
        self.iterations = 0
        self.weight = frequency_weight(settings.filter_weighting, settings.filter_fft // 2 + 1)

    @property
    def equalizer(self) -> Equalizer:
        return self._equalizer(self.parameters)

    def _equalizer(self, parameters: Tensor) -> Equalizer:
        bin_hz = self.sample_rate / self.settings.filter_fft
        return Equalizer.from_parameters(parameters, self.above, self.below, bin_hz)

    def update(self, sums: BandSums) -> Equalizer:
        """Moves the equalizer towards the one that turns the clean spectrum into the observed one."""
        for iteration in range(self.settings.filter_iterations):
            before = self.parameters
            self.parameters = project(self._adam(self.gradient(sums)), self.above, self.below, self.settings)
            if iteration > 0 and self._rests(before):
                break
        return self.equalizer

    def cost(self, sums: BandSums, parameters: Tensor) -> Tensor:
        """Eq. 8."""
        settings, equalizer = self.settings, self._equalizer(parameters)
        misfit = sums.distance(equalizer.magnitude(settings.filter_fft, self.sample_rate), self.weight)
        collapse = collapse_cost(equalizer, settings.filter_min_hz, settings.filter_max_hz, settings.collapse_decay)
        return misfit + settings.collapse_weight * collapse

    def gradient(self, sums: BandSums) -> Tensor:
        """Of the cost, no longer than `filter_clip`."""
        parameters = self.parameters.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.cost(sums, parameters), parameters)
        return gradient * min(1.0, self.settings.filter_clip / (float(gradient.norm()) + 1e-6))

    def _adam(self, gradient: Tensor) -> Tensor:
        """Kingma and Ba's step with their defaults."""
        self.iterations += 1
        self.momentum = 0.9 * self.momentum + 0.1 * gradient
        self.variance = 0.999 * self.variance + 0.001 * gradient.square()
        mean = self.momentum / (1 - 0.9**self.iterations)
        spread = (self.variance / (1 - 0.999**self.iterations)).sqrt()
        return self.parameters - self.settings.filter_learning_rate * mean / (spread + 1e-8)

    def _rests(self, before: Tensor) -> bool:
        """Whether no group of parameters still moves, on average, by more than its tolerance."""
        moved = (self.parameters - before).abs()
        groups = moved.split([1, self.above, self.below, self.above + 1, self.below + 1])
        tolerances = [self.settings.filter_tolerance_hz] * 3 + [self.settings.filter_tolerance_db] * 2
        return all(
            float(group.mean()) < tolerance for group, tolerance in zip(groups, tolerances, strict=True) if len(group)
        )


def project(parameters: Tensor, above: int, below: int, settings: FitSettings) -> Tensor:
    """The nearest legal parameters: breakpoints in order and in band, slopes within limits, the outer ones fixed."""
    lowest, highest = settings.filter_min_hz, settings.filter_max_hz
    reference, *rest = parameters.tolist()
    high, low = rest[:above], rest[above : above + below]
    slopes = rest[above + below :]
    reference = min(max(reference, lowest), highest)
    floor = reference
    for i, bend in enumerate(high):
        high[i] = floor = min(max(bend, floor + APART_HZ), highest)
    ceiling = reference
    for i, bend in enumerate(low):
        low[i] = ceiling = min(max(bend, lowest), ceiling - APART_HZ)
    limit = settings.slope_limit_db
    slopes = [min(max(slope, -limit), limit) for slope in slopes]
    slopes[above], slopes[-1] = -settings.outer_slope_db, settings.outer_slope_db
    # Rounded to float32, so that a breakpoint that rests on a bin stays there, as it does in the published code.
    return torch.tensor([reference, *high, *low, *slopes]).to(parameters.dtype)


def noted(curve: Curve | None) -> dict[str, Any] | None:
    """An equalizer as a record, exact to the last bit; other curves follow from the recording and are found again."""
    if not isinstance(curve, Equalizer):
        return None
    return {
        "parameters": curve.parameters.tolist(),
        "dtype": str(curve.parameters.dtype).removeprefix("torch."),
        "above": len(curve.above.breakpoints),
        "below": len(curve.below.breakpoints),
        "bin_hz": curve.bin_hz,
    }


def recalled(record: dict[str, Any] | None, otherwise: Curve | None) -> Curve | None:
    if record is None:
        return otherwise
    parameters = torch.tensor(record["parameters"], dtype=getattr(torch, record["dtype"]))
    return Equalizer.from_parameters(parameters, record["above"], record["below"], record["bin_hz"])
