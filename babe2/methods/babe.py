"""BABE, the predecessor of BABE-2: the machine is taken for a low-pass (E. Moliner et al., IEEE/ACM TASLP, 2024).

The low-pass is found on a few segments together, and the whole recording is then restored with it. How segments are
cut, overlap and are joined is as in all methods here, as is what becomes of silence and of the lowest bass; what the
published program does to the first segment it is given is done here, to the number (tests/methods/test_babe.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from babe2.config import Column, LowPassSettings
from babe2.degradations.base import Degradation
from babe2.degradations.lowpass import BlindLowPass, LowPass, LowPassFit
from babe2.dsp.curves import Curve
from babe2.equalizer import BandSums
from babe2.methods.guided import FIT_TRIED, FollowingMethod, FollowingSettings

# As published for denoised piano recordings; what other instruments take otherwise stands in their column.
PUBLISHED: dict[str, Any] = {
    "steps": 35,
    "order": 2,
    "sigma_start": 0.2,
    "sigma_min": 1e-4,
    "rho": 8.0,
    "churn": 20.0,
    "guidance_strength": 0.2,
    "filter_min_hz": 20.0,
    "filter_tolerance_hz": 5e-3,
    "filter_tolerance_db": 5e-3,
    "slope_limit_db": 50.0,
    "blind_segments": 2,
}


@dataclass(frozen=True)
class BabeSettings(LowPassSettings, FollowingSettings):
    """The published ones; see PUBLISHED."""


class Babe(FollowingMethod):
    """Follows a recording that is taken for low-passed."""

    name = "babe"
    title = "BABE"
    does = "BABE-2's predecessor"
    settings_class = BabeSettings
    settings: BabeSettings

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        published = PUBLISHED | dict(column.babe)
        own = replace(settings, **published)
        return published | super().preset(column, own, preset, overrides)

    def blind(self, sample_rate: int) -> Degradation:
        return BlindLowPass(self.settings, sample_rate)

    def known(self, response: Curve, sample_rate: int) -> Degradation:
        return LowPass(response, self.settings.filter_fft, sample_rate)

    @property
    def hooks(self) -> dict[str, Any]:
        return {"cost": distances}

    def rehearse_fit(self, sums: BandSums, sample_rate: int) -> tuple[Callable[[], object], float]:
        tried = replace(self.settings, filter_iterations=FIT_TRIED, filter_tolerance_hz=0.0, filter_tolerance_db=0.0)
        # Plain descent swings about for as long as it may.
        return lambda: LowPassFit(tried, sample_rate).update(sums), self.settings.filter_iterations / FIT_TRIED


def distances(difference: Tensor) -> Tensor:
    """The Euclidean norm of each item of (B, T), added up: BABE does not square it."""
    return difference.norm(dim=-1).sum()
