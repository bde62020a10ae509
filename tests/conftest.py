"""What the tests share: the published program's recorded numbers, and a network small enough to run in every test."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import programs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from babe2.config import Architecture
from babe2.cqt import ConstantQ
from babe2.methods.paper import PaperSettings
from babe2.network import CQTDiffPlus
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.models import MODELS
from babe2.prior import PublishedPrior
from babe2.sampler import Noise

pytest.register_assert_rewrite("browser", "house", "visitor")  # which tests import before they are plugins

# Pictures this small are done before a second thread has started, and on a busy machine it may start seconds late;
# threads of programs that tests start wait for one another, while other tests use their core.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whoever starts the tests in the background may have signals ignored, and commands rightly leave those alone.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

REFERENCE = Path(__file__).parent / "reference" / "babe2"
CHECKPOINT = str(REFERENCE.parent / "small_checkpoint")
# What makes a command with it quick.
QUICK = ["--set", "solver=guided", "--set", "steps=2", "--set", "filter_iterations=2", "--set", "sigma_min=0.1"]

# Configuration A of the recorded numbers.
SMALL = Architecture((8, 8, 16, 16), (1, 2, 2, 3), 16, 32)
SMALL_RATE = 8000  # Hz
SMALL_LENGTH = 13000  # samples
SMALL_SETTINGS = PaperSettings(
    filter_fft=1024, filter_max_hz=4000.0, guidance_length=13000, segment_length=13000, keep_low_band=False
)
PUBLISHED = {name: size for name, model in MODELS.items() if isinstance(size := model.architecture, Architecture)}
SIZES = {"small": SMALL, **PUBLISHED}
# Of the transform: sample rate, segment, octaves, bins per octave.
TRANSFORMS = {"small": (8000, 13000, 4, 16)} | {
    name: (MODELS[name].sample_rate, MODELS[name].segment, size.octaves, size.bins_per_octave)
    for name, size in PUBLISHED.items()
}


TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks whole kinds of tests, so that `make test` is quick; `make check` runs them all."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"browser", "house"}:  # the page in a process, and who visits it
            item.add_marker("browser")
        if item.path.parent.name == "training" or item.path.name == "test_train.py":
            item.add_marker("training")
        if starts_programs(getattr(item, "function", None)):
            item.add_marker("process")


def starts_programs(test: object) -> bool:
    """Whether a test, or a function of the tests that it calls, uses subprocess, multiprocessing or programs."""
    waiting, seen = [test], set[object]()
    while waiting:
        function = waiting.pop()
        ours = isinstance(function, FunctionType) and Path(function.__code__.co_filename).is_relative_to(TESTS)
        if ours and function not in seen:
            seen.add(function)
            used = [function.__globals__.get(name) for name in names_in(function.__code__)]
            if any(one is starter for one in used for starter in (subprocess, multiprocessing, programs)):
                return True
            waiting += used
    return False


def names_in(code: CodeType) -> set[str]:
    """The global names that a function uses, also inside the functions that it defines."""
    return set(code.co_names).union(*(names_in(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


class Vectors:
    """Numbers recorded from the published program, by name; tests/reference/babe2/README.md tells what is what."""

    def __init__(self, name: str) -> None:
        with np.load(REFERENCE / f"{name}.npz") as arrays:
            self._arrays = {key: arrays[key] for key in arrays.files}

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self._arrays[key])

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def numbered(self, stem: str) -> list[Tensor]:
        """The arrays `stem`0, `stem`1, ..."""
        keys = sorted(key for key in self._arrays if key.startswith(stem) and key[len(stem) :].isdigit())
        return [self[key] for key in keys]

    def named(self, prefix: str) -> dict[str, Tensor]:
        """The arrays whose names begin with `prefix`, without it."""
        return {key[len(prefix) :]: self[key] for key in self._arrays if key.startswith(prefix)}


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Vectors]:
    return cache(Vectors)


def deviation(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest of the expected numbers."""
    assert found.shape == expected.shape
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max())


def state_table(name: str) -> dict[str, tuple[int, ...]]:
    """The published network's parameter names, in order, and their shapes."""
    table = json.loads((REFERENCE / f"state_dict_{name}.json").read_text())
    return {key: tuple(shape) for key, (shape, _) in table.items()}


def filled(network: CQTDiffPlus, base: int = 1000) -> CQTDiffPlus:
    """The network with the deterministic weights under which the published one was recorded."""
    weights = {}
    for i, (key, value) in enumerate(network.state_dict().items()):
        drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(base + i))
        fan = math.prod(value.shape[1:])
        if key.endswith(".kernel"):
            weights[key] = value
        elif key.endswith("RFF_freq"):
            weights[key] = 16 * drawn
        elif key.endswith(".gamma"):
            weights[key] = 1 + 0.2 * drawn
        elif key.endswith("bias"):
            weights[key] = 0.5 + 0.2 * drawn if ".gate" in key else 0.1 * drawn
        else:
            weights[key] = (0.3 if ".gate" in key else 1.0) * drawn / math.sqrt(fan)
    network.load_state_dict(weights)
    return ready(network)


def ready(network: CQTDiffPlus) -> CQTDiffPlus:
    return network.requires_grad_(False).to(memory_format=torch.channels_last)


def recorded_network() -> CQTDiffPlus:
    """The small network as the published one of its size was recorded."""
    network = CQTDiffPlus(SMALL)
    network.load_state_dict(load_file(REFERENCE / "small_ema.safetensors"))
    return ready(network)


def babbling(network: BandwiseUNet, seed: int = 0) -> BandwiseUNet:
    """The compact network with weights that have learned nothing but to say something."""
    for i, parameter in enumerate(network.requires_grad_(False).parameters()):
        drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1000 * seed + i))
        parameter.copy_(0.3 * drawn / math.sqrt(math.prod(parameter.shape[1:])))
    return network


@pytest.fixture
def small_network() -> CQTDiffPlus:
    return recorded_network()


@pytest.fixture(scope="session")
def small_transform() -> ConstantQ:
    return ConstantQ(*TRANSFORMS["small"])


@pytest.fixture
def small_prior(small_network: CQTDiffPlus, small_transform: ConstantQ) -> PublishedPrior:
    return PublishedPrior(small_network, small_transform, sigma_data=0.063)


def some(cases: Iterable[str], *daily: str) -> list[Any]:
    """Cases of a dear test, as parameters: all but those for every day are `slow`."""
    return [pytest.param(case, marks=[] if case in daily else [pytest.mark.slow]) for case in cases]


def seeded(seed: int, dtype: torch.dtype = torch.float32) -> Noise:
    """Unit Gaussian noise, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator, dtype=dtype)


def replayed(draws: Iterable[Tensor]) -> Noise:
    """Recorded noise, draw after draw; asking for more than was recorded is an error."""
    rest = iter(draws)
    return lambda shape: next(rest).reshape(shape)
