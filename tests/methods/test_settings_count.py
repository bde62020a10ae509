"""Every setting of every method does something, or is refused in a sentence."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from classroom import COMPACT, babbling_network
from conftest import SMALL, SMALL_LENGTH, SMALL_RATE, Vectors, recorded_network
from music import music
from procedural import fill

from babe2 import RestorationError, Restorer
from babe2.config import Model, SpectralArchitecture
from babe2.dsp.spectra import ltas
from babe2.methods import METHODS, all_settings
from babe2.networks.models import next_length
from babe2.networks.spectral import SpectralUNet, shortest_samples

pytestmark = pytest.mark.thorough

# Another value than the one it has, such that somebody who expects a difference should hear one.
OTHER: dict[str, Any] = {
    "steps": 4,
    "sigma_min": 0.02,
    "sigma_start": 0.08,
    "order": 1,
    "rho": 5.0,
    "churn": 0.5,
    "churn_noise": 1.2,
    "churn_min": 0.3,
    "churn_max": 0.06,
    "guidance_strength": 0.4,
    "observation_noise": 0.1,
    "guidance_length": 9000,
    "level": 0.11,
    "added_noise": 0.02,
    "filter_fft": 512,
    "filter_min_hz": 45.0,
    "filter_max_hz": 1900.0,
    "filter_iterations": 1,
    "filter_learning_rate": 2.0,
    "filter_clip": 1e6,
    "filter_tolerance_hz": 1e6,
    "filter_tolerance_db": 1e6,
    "filter_weighting": "cubic",
    "reference_hz": 900.0,
    "breakpoints_above_hz": (1400.0, 2200.0),
    "breakpoints_below_hz": (400.0, 60.0),
    "slope_limit_db": 3.0,
    "outer_slope_db": 60.0,
    "collapse_weight": 1000.0,
    "collapse_decay": 0.001,
    "ltas": "off",
    "ltas_fft": 512,
    "ltas_floor_db": -1.0,
    "overlap": 0.3,
    "mode": "time-invariant",
    "blind_segments": 2,
    "cutoffs_hz": (400.0, 500.0, 600.0, 700.0, 800.0),
    "cutoff_slopes_db": (-2.0, -4.0, -8.0, -16.0, -32.0),
    "cutoff_learning_rate": 10.0,
    "surface_noise": "changing",
}
# Where a method's own value or its band asks for another one.
OF_BABE: dict[str, Any] = {"blind_segments": 1, "filter_min_hz": 500.0, "filter_max_hz": 290.0}
# What is chosen besides, in both cases: quick, and such that every setting has its say.
QUICK: dict[str, Any] = {"steps": 2, "sigma_min": 0.05, "filter_iterations": 3, "churn": 1.0}
BESIDES: dict[str, dict[str, Any]] = {
    "filter_tolerance_hz": {"filter_tolerance_db": 1e6},  # the fit rests when both are small
    "filter_tolerance_db": {"filter_tolerance_hz": 1e6},
    "blind_segments": {"mode": "time-invariant"},
}
# What is seen only where one segment follows another; everything else is asked of a single one.
OF_SEVERAL_SEGMENTS = ("overlap", "mode", "blind_segments", "segment_length")
# What a segment has to be longer than, by method.
MARGINS = {"closed-form": 8192, "behm-gan": shortest_samples()}
CASES = [(method, setting) for method, cls in METHODS.items() for setting in cls.settings_class.names()]


def is_asked_of_guided_too(method: str, setting: str) -> bool:
    """Of methods that sample as `guided` does, what is theirs alone is asked every day."""
    return method == "paper" or (method == "babe" and ("guided", setting) in CASES and setting not in OF_BABE)


@cache
def restorer_for(method: str) -> Restorer:
    if method == "bandwise":
        reference = ltas(torch.from_numpy(music(8, seed=9)), 1024, 512, 256)
        return Restorer(babbling_network(), replace(COMPACT, column="compact"), reference)
    if method == "behm-gan":
        network = SpectralUNet(SpectralArchitecture((4, 4, 8), layers=1, stages=1, weight_norm=True)).eval()
        fill(network, seed=1)
        return Restorer(network.multiply_out(), Model(network.size, SMALL_RATE, SMALL_LENGTH, sigma_data=1.0), None)
    model = Model(SMALL, SMALL_RATE, SMALL_LENGTH, sigma_data=0.063)
    return Restorer(recorded_network(), model, Vectors("ltas_small")["ref"])


def restored(method: str, segments: int = 1, **settings: Any) -> npt.NDArray[np.float32]:
    seconds = 0.45 * segments if method not in MARGINS else 1 + 0.5 * segments
    return restorer_for(method).restore(music(seconds), SMALL_RATE, method=method, **settings).audio


@cache
def before(method: str, beside: str, segments: int) -> npt.NDArray[np.float32]:
    return restored(method, segments, **chosen(method, beside))


def chosen(method: str, setting: str) -> dict[str, Any]:
    segments = {"segment_length": segment_of(method, 4096)}
    names = METHODS[method].settings_class.names()
    wishes = QUICK | segments | BESIDES.get(setting, {})
    return {name: value for name, value in wishes.items() if name in names}


def segment_of(method: str, samples: int) -> int:
    """A length that the method can take."""
    return next_length(restorer_for(method).model, samples + MARGINS.get(method, 0))


def another(method: str, setting: str) -> Any:
    """A value that is not the one in use."""
    if setting == "segment_length":
        return segment_of(method, 6144)
    if setting == "keep_low_band":
        return method == "paper"
    return OTHER[setting] if method != "babe" else OF_BABE.get(setting, OTHER[setting])


@pytest.mark.parametrize(
    ("method", "setting"),
    [pytest.param(*case, marks=[pytest.mark.slow] if is_asked_of_guided_too(*case) else []) for case in CASES],
)
def test_a_setting_changes_the_result_or_is_refused_in_a_sentence(method: str, setting: str) -> None:
    segments = 2 if setting in OF_SEVERAL_SEGMENTS else 1
    same = before(method, setting if setting in BESIDES else "", segments)
    try:
        other = restored(method, segments, **(chosen(method, setting) | {setting: another(method, setting)}))
    except RestorationError as error:
        assert setting in str(error)
        assert setting == "ltas_fft"  # which the checkpoint decides; every other one does something here
    else:
        assert not np.array_equal(same, other)


@pytest.mark.parametrize(
    ("method", "setting"),
    [(method, name) for method in METHODS for name in all_settings() if (method, name) not in CASES],
)
def test_a_setting_of_another_method_is_refused(method: str, setting: str) -> None:
    value = "guided" if setting == "solver" else OTHER.get(setting, 10_240)
    with pytest.raises(RestorationError, match=setting):
        restored(method, **{setting: value})
