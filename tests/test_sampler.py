"""Algorithm 1: the recorded runs, replayed draw by draw, and runs on Gaussian music, whose best denoiser is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from conftest import SMALL_RATE, SMALL_SETTINGS, Vectors, replayed
from torch import Tensor

from babe2.config import Settings
from babe2.equalizer import Equalizer
from babe2.prior import Prior
from babe2.sampler import (
    Denoiser,
    Known,
    Noise,
    Progress,
    Sampled,
    restore,
)

RATE = SMALL_RATE
BIN_HZ = SMALL_RATE / SMALL_SETTINGS.filter_fft

# The recorded runs. W is the well-conditioned variant: with the released numbers some runs are chaotic.
W = replace(SMALL_SETTINGS, steps=3, sigma_min=0.02, filter_learning_rate=1.0, filter_iterations=15)
RUNS = {
    "run_blind": replace(SMALL_SETTINGS, steps=4),
    "run_blind_order1": replace(SMALL_SETTINGS, steps=3, order=1),
    "run_blind_init": W,
    "run_blind_voicehp": replace(W, sigma_start=10.0, sigma_min=0.5, observation_noise=1.0, guidance_strength=0.5),
    "run_ar": W,
    "run_ar_init": W,
    "run_informed": W,
    "run_informed_ar": W,
}
# Of the largest sample: the recorded numbers' own tolerances, estimated from how far a last bit of the input carries.
# Measured at 9e-6 for the blind run, 2e-6 for the others.
SOUND = {name: 1e-3 if name == "run_blind" else 1e-4 for name in RUNS}
# Hz and dB per octave; measured at 4e-4 with the released fit, 6e-5 with the well-conditioned one.
PARAMETERS = {name: 1e-2 if name in ("run_blind", "run_blind_order1") else 1e-3 for name in RUNS}


@dataclass
class Watched:
    """A prior that remembers what it was asked, what it answered, and what gradient came back through it."""

    prior: Denoiser
    noisy: list[Tensor] = field(default_factory=list)
    sigmas: list[Tensor] = field(default_factory=list)
    clean: list[Tensor] = field(default_factory=list)
    pulls: list[Tensor] = field(default_factory=list)

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        if noisy.requires_grad:
            noisy.register_hook(self.pulls.append)
        clean = self.prior(noisy, sigma)
        self.noisy.append(noisy.detach())
        self.sigmas.append(sigma)
        self.clean.append(clean.detach())
        return clean


@dataclass
class Counted:
    """Noise that remembers how often and for what shapes it was drawn."""

    noise: Noise
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, shape: torch.Size) -> Tensor:
        self.shapes.append(tuple(shape))
        return self.noise(shape)


@dataclass
class Replay:
    settings: Settings
    recorded: Vectors
    observation: Tensor
    target: Tensor
    noise: Tensor  # (draws, L)
    watched: Watched
    steps: list[Progress]
    counted: Counted
    result: Sampled


@pytest.fixture(params=RUNS)
def replay(request: pytest.FixtureRequest, small_prior: Prior, vectors: Callable[[str], Vectors]) -> Replay:
    """A recorded run, run again on the recorded draws."""
    name, settings = request.param, RUNS[request.param]
    recorded, inputs = vectors(name), vectors("run_inputs")
    observation = recorded["y"] if "y" in recorded else inputs["y"]
    known = Known(inputs["y_masked"][None], inputs["mask"]) if "_ar" in name else None
    equalizer = None
    if "filt" in recorded:
        equalizer = Equalizer.from_parameters(recorded["filt"].double(), above=2, below=2, bin_hz=BIN_HZ)
    prior = replace(small_prior, sigma_data=1.0) if name == "run_blind_voicehp" else small_prior
    draws = inputs["noise"][: int(recorded["draws"])]
    watched, counted, steps = Watched(prior), Counted(replayed(draws)), list[Progress]()
    result = restore(
        watched,
        observation,
        settings,
        SMALL_RATE,
        counted,
        start=inputs["x_init"] if "_init" in name else None,
        known=known,
        equalizer=equalizer,
        on_step=steps.append,
    )
    target = observation if known is None else known.over(observation)
    return Replay(settings, recorded, observation, target, draws, watched, steps, counted, result)


def name_of(replay: Replay) -> str:
    return next(name for name, settings in RUNS.items() if settings is replay.settings)


def test_recorded_runs_end_where_they_ended(replay: Replay, request: pytest.FixtureRequest) -> None:
    pass
