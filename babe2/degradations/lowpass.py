"""BABE's low-pass: what the predecessor of BABE-2 took an old machine for, and how it is found.

Nothing is taken off below the first cut-off; from each cut-off on the response falls along a line of its own. On a
chart of decibels over octaves that is an equalizer without a lower side (equalizer.py), and is one here. The fit is
plain descent with a projection, as published. Cut-offs move through the lines that they anchor only, not through the
bins that pass from one line to the next, and begin less than a bin apart, so they often stay side by side: the
"breakpoint collapse" that BABE-2 was given a cost against.
"""

from __future__ import annotations

import torch
from torch import Tensor

from babe2.config import LowPassSettings
from babe2.degradations.response import Colouring
from babe2.equalizer import BandSums, Equalizer, Flank, apply_magnitude, frequency_weight

APART_HZ = 1.0  # how far neighbouring cut-offs are kept from each other
GENTLEST_DB = -1.0  # per octave: the least that the first line falls


def low_pass(cutoffs: Tensor, slopes: Tensor, bin_hz: float | None = None) -> Equalizer:
    """0 dB below the first of `cutoffs` (S,), Hz; `slopes` (S,), dB per octave, from each of them on.

    `bin_hz` joins the lines at FFT bins, as the published program does.
    """
    nothing = Flank(cutoffs.new_zeros(0), slopes.new_zeros(1))
    return Equalizer(cutoffs[0], nothing, Flank(cutoffs[1:], slopes), bin_hz)


class LowPass(Colouring):
    """A known response by which DC is left as it is."""

    def __call__(self, clean: Tensor) -> Tensor:
        magnitude = self.response.magnitude(self._fft, self._sample_rate)
        return apply_magnitude(torch.cat([torch.ones_like(magnitude[:1]), magnitude[1:]]), clean)


class BlindLowPass(LowPass):
    """A low-pass that is found while the music is."""

    def __init__(self, settings: LowPassSettings, sample_rate: int) -> None:
        self._low_pass_fit = LowPassFit(settings, sample_rate)
        super().__init__(self._low_pass_fit.low_pass, settings.filter_fft, sample_rate)

    def fit(self, clean: Tensor, observation: Tensor) -> None:
        self._response = self._low_pass_fit.update(BandSums.of(clean, observation, self._fft))


class LowPassFit:
    """Plain descent on the low-pass's parameters, in float64 on the host, from one noise level to the next."""

    def __init__(self, settings: LowPassSettings, sample_rate: int) -> None:
        self.settings = settings
        self.sample_rate = sample_rate
        begun = [settings.cutoffs_hz, settings.cutoff_slopes_db]
        self.parameters = torch.tensor(begun, dtype=torch.float64)  # (2, S): cut-offs and slopes
        speeds = [settings.cutoff_learning_rate, settings.filter_learning_rate]
        self.speeds = torch.tensor(speeds, dtype=torch.float64)[:, None]
        self.tolerances = torch.tensor([settings.filter_tolerance_hz, settings.filter_tolerance_db]).double()
        self.weight = frequency_weight(settings.filter_weighting, settings.filter_fft // 2 + 1)

    @property
    def low_pass(self) -> Equalizer:
        return self._low_pass(self.parameters)

    def _low_pass(self, parameters: Tensor) -> Equalizer:
        return low_pass(parameters[0], parameters[1], self.sample_rate / self.settings.filter_fft)

    def update(self, sums: BandSums) -> Equalizer:
        """Moves the low-pass towards the one that turns the clean spectrum into the observed one."""
        for _ in range(self.settings.filter_iterations):
            before = self.parameters
            self.parameters = project(before - self.speeds * self.gradient(sums), self.settings)
            if ((self.parameters - before).abs().mean(dim=1) < self.tolerances).all():
                break
        return self.low_pass

    def cost(self, sums: BandSums, parameters: Tensor) -> Tensor:
        """The weighted distance between the spectra of the filtered estimate and of the recording."""
        magnitude = self._low_pass(parameters).magnitude(self.settings.filter_fft, self.sample_rate)
        return sums.distance(torch.cat([torch.ones_like(magnitude[:1]), magnitude[1:]]), self.weight)

    def gradient(self, sums: BandSums) -> Tensor:
        """Of the cost (2, S)."""
        parameters = self.parameters.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.cost(sums, parameters), parameters)
        return gradient


def project(parameters: Tensor, settings: LowPassSettings) -> Tensor:
    """The nearest legal parameters (2, S): cut-offs in order and in band, slopes that fall the steeper the later."""
    cutoffs, slopes = parameters.tolist()
    floor = settings.filter_min_hz
    for i, cutoff in enumerate(cutoffs):
        cutoffs[i] = min(max(cutoff, floor), settings.filter_max_hz)
        floor = cutoffs[i] + APART_HZ
    gentlest = GENTLEST_DB
    for i, slope in enumerate(slopes):
        slopes[i] = gentlest = max(min(slope, gentlest), -settings.slope_limit_db)
    # Rounded to float32, so that a cut-off that rests on a bin stays there.
    return torch.tensor([cutoffs, slopes]).to(parameters.dtype)
