"""The seams: a method or a degradation of one's own is one class, and nothing else has to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CHECKPOINT, seeded
from music import music
from torch import Tensor

from babe2 import RestorationError, Restorer, Step
from babe2.config import FOLLOWING, SegmentSettings, Settings, setting
from babe2.degradations.base import Degradation
from babe2.dsp.curves import FLAT
from babe2.dsp.tape import MemoryTape
from babe2.methods import METHODS, Method
from babe2.methods.base import Filtered, Group, SegmentMethod, Session, Span, Work
from babe2.methods.guided import GuidedSettings
from babe2.sampler import Progress, Sampled, restore


@dataclass(frozen=True)
class SofterSettings(Settings):
    """A setting that no other method has."""

    softness: float = setting(0.5, FOLLOWING, "Softness", "More is softer", "s", lambda softness: 0 < softness <= 1)


class Softer(Method):
    """Makes a recording softer."""

    name = "softer"
    settings_class = SofterSettings
    settings: SofterSettings

    def begin(self, work: Work) -> Filtered:
        whole = work.observation.read(0, work.observation.samples)
        return Filtered(MemoryTape(self.settings.softness * whole), FLAT)


@dataclass(frozen=True)
class DenoisingSettings(SegmentSettings):
    """How segments are cut, and one setting more."""

    sigma: float = setting(0.05, FOLLOWING, "Noise", "Of so much the recording is freed", "s", lambda sigma: sigma > 0)


class Denoising(SegmentMethod):
    """Asks the prior once for each group of segments."""

    name = "denoising"
    settings_class = DenoisingSettings
    settings: DenoisingSettings

    def span(self, samples: int) -> Span:
        return Span(self.settings.segment_length)

    @property
    def steps(self) -> int:
        return 1

    def begin(self, work: Work) -> Session:
        return DenoisingSession(self, work)


class DenoisingSession(Session):
    """Order, overlap, silence and the journal are none of its business."""

    def __init__(self, method: Denoising, work: Work) -> None:
        self.method, self.work = method, work
        self.level = work.level_factor(work.observation, method.settings.level)

    def group(self, waiting: list[int], batch: int) -> list[int]:
        return waiting[:batch]

    def sample(self, group: Group) -> Sampled:
        noisy = torch.cat([self.work.cut(self.work.observation, i) * self.level for i in group.segments])
        clean = self.work.denoise(noisy, torch.tensor(self.method.settings.sigma))
        group.on_step(Progress(1, self.method.settings.sigma, FLAT, clean, lambda: 0.0))
        return Sampled(clean if group.settled is None else group.settled.over(clean), FLAT, 0.0)


@pytest.fixture
def restorer(monkeypatch: pytest.MonkeyPatch) -> Restorer:
    for method in (Softer, Denoising):
        monkeypatch.setitem(METHODS, method.name, method)
    return Restorer.from_checkpoint(CHECKPOINT, device="cpu")


def test_a_new_method_is_one_class_and_its_name(restorer: Restorer) -> None:
    recording = music(1.0)
    restoration = restorer.restore(recording, 8000, method="softer", softness="0.25")
    np.testing.assert_allclose(restoration.audio, 0.25 * recording, rtol=1e-6)
    assert restoration.report["settings"] == {"softness": 0.25} and restoration.report["evaluations"] == 0


def test_a_new_method_that_works_by_segments_has_overlap_batches_and_silence_from_the_run(restorer: Restorer) -> None:
    recording = np.concatenate([music(3.0), np.zeros((1, 32_000), np.float32), music(3.0, seed=1)], axis=1)
    steps: list[Step] = []
    one = restorer.restore(recording, 8000, method="denoising", sigma=0.01, on_step=steps.append)
    two = restorer.restore(recording, 8000, method="denoising", sigma=0.01, batch=2)
    found = [segment["start"] for segment in one.report["segments"]]
    assert len(found) == one.report["evaluations"] == len(steps) and steps[0].segments > len(found)  # one is silent
    assert steps[-1].share == 1.0 and two.report["evaluations"] < one.report["evaluations"]
    assert one.audio.shape == two.audio.shape == recording.shape
    assert float(np.abs(one.audio - recording).max()) > 1e-3  # the prior had its say
    as_solver = restorer.restore(recording, 8000, solver="denoising", sigma=0.01)
    np.testing.assert_array_equal(as_solver.audio, one.audio)
    assert as_solver.report["solver"] == "denoising"


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"method": "softer", "softness": 2}, "softness = 2"),
        ({"method": "softer", "steps": 3}, "steps changes nothing with the method softer"),
        ({"softness": 0.5}, "softness changes nothing with the method closed-form. softer use"),
    ],
)
def test_its_settings_are_its_own(restorer: Restorer, wishes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RestorationError, match=sentence):
        restorer.restore(music(1.0), 8000, **wishes)


class Clipping(Degradation):
    """What is louder than a limit is cut off."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, clean: Tensor) -> Tensor:
        return clean.clamp(-self.limit, self.limit)


def test_a_new_degradation_is_one_class_and_the_solver_follows_it() -> None:
    """Of clipped Gaussian music, what comes back is nearer to it than what was recorded."""
    spread, length = 0.07, 8000
    frequencies = torch.fft.rfftfreq(length)
    amplitude = (frequencies < 0.1) * 5**0.5 * spread  # one fifth of the band: clipped samples have neighbours

    def wiener(noisy: Tensor, sigma: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(noisy) * amplitude**2 / (amplitude**2 + sigma**2), n=length)

    truth = torch.fft.irfft(torch.fft.rfft(seeded(3)(torch.Size((1, length)))) * amplitude, n=length)
    clipping = Clipping(0.08)
    settings = GuidedSettings(steps=41, observation_noise=0.0)
    found = restore(wiener, clipping, clipping(truth), settings, seeded(0))
    clipped = truth.abs() > clipping.limit
    assert 0.1 < float(clipped.float().mean()) < 0.4
    lost, left = (clipping(truth) - truth)[clipped].norm(), (found.audio - truth)[clipped].norm()
    assert float(left / lost) < 0.5
    assert found.equalizer is FLAT and found.misfit < 0.05
