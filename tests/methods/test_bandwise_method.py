"""Sampling at the recording's own noise levels, on Gaussian music, whose best denoiser is the Wiener filter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import deviation, seeded
from torch import Tensor

from babe2.config import COMPACT
from babe2.degradations.base import Undone, shaped
from babe2.degradations.response import QUIETEST, NoisyColouring
from babe2.dsp.curves import SampledCurve
from babe2.dsp.tape import MemoryTape
from babe2.errors import RestorationError
from babe2.methods.bandwise import BandwiseDenoiser, BandwiseSettings, restore_bandwise
from babe2.methods.undone import (
    MARGIN,
    SHORTEST,
    faded,
    noise_levels,
    segment_length,
    with_margins,
)
from babe2.networks.folded_cqt import GRAIN
from babe2.sampler import Progress, Sampled, Settled

RATE, LENGTH, ITEMS = 8000, 8192, 8
HERTZ = torch.fft.rfftfreq(LENGTH, 1 / RATE)
# Music: 0.1 per frequency in the bass, 0.01 in the treble. The machine: 6 dB up around 400 Hz, nothing above 2 kHz.
SPREAD = 0.1 * (1 + (HERTZ / 500) ** 2) ** -0.5
FLOOR = 1e-3
CLEAR, LOST = (HERTZ > 50) & (HERTZ < 1200), HERTZ > 2300
SETTINGS = COMPACT.settings(BandwiseSettings, steps=300, sigma_start=3.0, sigma_min=1e-5)


def curve(*points: tuple[float, float]) -> SampledCurve:
    hertz, db = zip(*points, strict=True)
    return SampledCurve(torch.tensor(hertz), torch.tensor(db))


RESPONSE = curve((100.0, 0.0), (400.0, 6.0), (1500.0, -6.0), (2000.0, -20.0), (2200.0, -150.0))
NOISE = curve((20.0, 20 * math.log10(FLOOR)), (4000.0, 20 * math.log10(FLOOR)))
MACHINE = NoisyColouring(RESPONSE, NOISE, RATE)


def wiener(noisy: Tensor, level: Tensor) -> Tensor:
    """What is best for music of this spread, as a prior; like the real one it knows of no DC."""
    gain = SPREAD**2 / (SPREAD**2 + level**2)
    gain[0] = 0
    return shaped(noisy, gain)


def music(seed: int = 0) -> Tensor:
    return shaped(seeded(seed)(torch.Size((ITEMS, LENGTH))), SPREAD)


def recorded(x: Tensor, machine: NoisyColouring = MACHINE, seed: int = 1) -> Undone:
    bare = machine.undone(x)
    return replace(bare, observation=shaped(x, bare.magnitude) + FLOOR * seeded(seed)(x.shape))


def restored(
    recording: Undone,
    settings: BandwiseSettings = SETTINGS,
    seed: int = 2,
    prior: BandwiseDenoiser = wiener,
    machine: NoisyColouring = MACHINE,
    **hooks: Any,
) -> Sampled:
    return restore_bandwise(prior, machine, recording.observation, settings, seeded(seed), **hooks)


def power(x: Tensor, where: Tensor) -> Tensor:
    """Per frequency, as white noise of unit variance has 1 (F,)."""
    return torch.fft.rfft(x).abs().square().mean(dim=0)[where] / LENGTH


def test_clear_bands_are_the_recording_without_its_machine() -> None:
    x = music()
    recording = recorded(x)
    found = restored(recording).audio
    undone = shaped(recording.observation, torch.where(CLEAR, 1 / recording.magnitude, 0.0))
    # What the noise hides is all that may differ: N / H is at most a tenth of the music here.
    assert deviation(shaped(found, CLEAR.float()), undone) < 0.02
    assert deviation(shaped(found, CLEAR.float()), shaped(x, CLEAR.float())) < 0.05


def test_every_band_gets_the_power_of_music() -> None:
    """Clear, half drowned or lost: an octave or so at a time."""
    found = restored(recorded(music())).audio
    for low in (60, 120, 250, 500, 1000, 1500, 1800, 2000, 2300, 3000):
        band = (HERTZ / low > 1) & (HERTZ / low < 1.3)
        ratio = float((power(found, band) / SPREAD[band].square()).mean())
        assert ratio == pytest.approx(1.0, rel=0.05 + 3 * (ITEMS * int(band.sum())) ** -0.5), low


def test_lost_bands_owe_the_recording_nothing() -> None:
    first, other = (restored(recorded(music(s))).audio for s in (0, 5))
    torch.testing.assert_close(shaped(first, LOST.float()), shaped(other, LOST.float()))
    assert not torch.allclose(shaped(first, CLEAR.float()), shaped(other, CLEAR.float()))


def test_churn_changes_the_music_and_not_its_power() -> None:
    recording, stirred = recorded(music()), replace(SETTINGS, churn=30.0)
    plain, churned = (restored(recording, s).audio for s in (SETTINGS, stirred))
    assert deviation(shaped(churned, LOST.float()), shaped(plain, LOST.float())) > 0.5
    ratio = float((power(churned, LOST) / SPREAD[LOST].square()).mean())
    assert ratio == pytest.approx(1.0, rel=0.1)
    # A clear band waits at its own level, and nothing is stirred into it before.
    assert deviation(shaped(churned, CLEAR.float()), shaped(plain, CLEAR.float())) < 0.05


def test_the_same_noise_gives_the_same_music() -> None:
    recording, settings = recorded(music()), replace(SETTINGS, steps=5, churn=2.0)
    again, first = (restored(recording, settings).audio for _ in range(2))
    assert torch.equal(again, first)
    assert not torch.equal(first, restored(recording, settings, seed=3).audio)


def test_the_misfit_is_the_noise() -> None:
    """As the recording was made of music and noise, so the restoration through the machine misses it by the noise."""
    recording = recorded(music())
    sampled = restored(recording)
    level = float(recording.observation.std())
    assert sampled.misfit < 1.5 * FLOOR / level  # and by what it imagined at the end of the band
    assert sampled.misfit == pytest.approx(recording.misfit(sampled.audio))
    assert recording.misfit(torch.zeros_like(recording.observation)) == pytest.approx(1.0)
    assert sampled.equalizer is RESPONSE


def test_known_samples_are_kept_and_their_neighbours_follow() -> None:
    x = music()
    mask = torch.zeros(LENGTH)
    mask[:1000] = 1
    settings = replace(SETTINGS, steps=24, sigma_start=0.1)
    sampled = restored(recorded(x), settings, constrain=Settled(mask * x, mask).over)
    assert torch.equal(sampled.audio[:, :1000], x[:, :1000])
    assert deviation(shaped(sampled.audio, CLEAR.float()), shaped(x, CLEAR.float())) < 0.05


def test_the_prior_is_told_each_frequencys_own_level() -> None:
    told: list[Tensor] = []

    def watched(noisy: Tensor, level: Tensor) -> Tensor:
        told.append(level.clone())
        return wiener(noisy, level)

    recording, settings = recorded(music()), replace(SETTINGS, steps=6)
    steps: list[Progress] = []
    restored(recording, settings, prior=watched, on_step=steps.append)
    sigmas = noise_levels(settings.steps, settings.sigma_start, settings.sigma_min)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(torch.tensor([step.sigma for step in steps]), sigmas[:-1])
    for level, sigma in zip(told, sigmas, strict=False):
        torch.testing.assert_close(level, recording.level.clamp(max=float(sigma)))
    assert steps[-1].misfit < 0.1 and steps[-1].clean.shape == (ITEMS, LENGTH)


@pytest.mark.parametrize("sigma_start", [2e-4, 0.01, 100.0])
def test_a_start_below_or_far_above_the_recordings_levels_gives_music_still(sigma_start: float) -> None:
    settings = replace(SETTINGS, steps=12, sigma_start=sigma_start, sigma_min=1e-4)
    found = restored(recorded(music()), settings).audio
    assert found.isfinite().all() and float(found.std()) < 2 * float(music().std())


def test_noise_levels_fall_in_equal_ratios_and_end_in_silence() -> None:
    sigmas = noise_levels(steps=5, sigma_start=1.0, sigma_min=1e-4)
    torch.testing.assert_close(sigmas, torch.tensor([1.0, 0.1, 0.01, 1e-3, 1e-4, 0.0]), rtol=1e-4, atol=0)


# A recording's own levels


def test_own_levels_are_the_noise_over_the_response() -> None:
    own = NoisyColouring(RESPONSE, NOISE, RATE, gain=3.0).undone(torch.zeros(1, LENGTH))
    for hertz, gain_db in ((400.0, 6.0), (1500.0, -6.0), (2000.0, -20.0)):
        k = int((HERTZ - hertz).abs().argmin())
        assert float(own.magnitude[k]) == pytest.approx(10 ** (gain_db / 20), rel=0.02)
        assert float(own.level[k]) == pytest.approx(3.0 * FLOOR / 10 ** (gain_db / 20), rel=0.02)
    assert own.level[LOST].isinf().all() and not own.above(1e9)[:, 0].isnan().any()


def test_no_level_is_below_what_the_prior_has_learned() -> None:
    quiet = NoisyColouring(RESPONSE, curve((20.0, -300.0), (4000.0, -300.0)), RATE)
    assert float(quiet.undone(torch.zeros(1, LENGTH)).level.min()) == pytest.approx(QUIETEST)


def test_a_response_beyond_all_numbers_is_lost_and_not_a_nan() -> None:
    deep = NoisyColouring(curve((20.0, 0.0), (2000.0, 0.0), (2500.0, -1e5), (4000.0, -1e6)), NOISE, RATE)
    own = deep.undone(music())
    assert not own.above(1.0).isnan().any() and math.isfinite(own.misfit(music()))
    found = restored(own, replace(SETTINGS, steps=4), seed=0, machine=deep).audio
    assert found.isfinite().all()


# Segments and their margins


@pytest.mark.parametrize("samples", [2, 400, MARGIN, MARGIN + 1, 20_000])
def test_margins_go_on_without_a_step_and_end_in_silence(samples: int) -> None:
    time = torch.arange(samples) / RATE
    x = torch.stack([0.5 + torch.sin(2 * torch.pi * 50 * time + 1), time])
    wide = with_margins(MemoryTape(x), -MARGIN, samples + MARGIN)
    assert wide.shape == (2, samples + 2 * MARGIN) and wide.isfinite().all()
    assert torch.equal(wide[:, MARGIN:-MARGIN], x)
    assert float(wide[:, 0].abs().max()) < 1e-3 and float(wide[:, -1].abs().max()) < 1e-3
    if samples > MARGIN:
        steepest = float(x.diff().abs().max())
        assert float(wide.diff().abs().max()) < 1.1 * steepest  # the fade adds a little of its own


def test_a_segment_comes_out_of_silence_and_goes_back() -> None:
    x = torch.ones(2, 3 * MARGIN)
    soft = faded(x)
    assert torch.equal(soft[:, MARGIN : 2 * MARGIN], x[:, MARGIN : 2 * MARGIN])
    assert float(soft[:, 0].max()) == 0 and float(soft[:, -1].max()) < 1e-5
    assert float(soft.diff().abs().max()) < 2 / MARGIN


@pytest.mark.parametrize(
    ("samples", "longest", "expected"),
    [
        (10**6, 221184, 221184),
        (220500, 221184, 221184),
        (100_000, 221184, 100_352),
        (1, 221184, SHORTEST),
        (1, 4096, 4096),
    ],
)
def test_short_recordings_take_short_segments(samples: int, longest: int, expected: int) -> None:
    assert segment_length(samples, longest) == expected
    assert expected % GRAIN == 0


def test_a_segment_the_transform_cannot_take_is_refused_with_one_it_can() -> None:
    with pytest.raises(
        RestorationError, match=r"multiples of 2048 samples, which 200000 is not\. Choose segment_length = 200704\."
    ):
        segment_length(10, 200_000)
