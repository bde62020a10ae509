"""Weighing every estimate against the recording, on Gaussian music, whose best denoiser is the Wiener filter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import SMALL_LENGTH, SMALL_RATE, deviation, seeded
from torch import Tensor

from babe2.config import PIANO
from babe2.degradations.base import ClosedForm, Undone, shaped
from babe2.dsp.curves import SampledCurve
from babe2.dsp.spectra import ReferenceLtas, ltas
from babe2.methods import choose
from babe2.methods.closed_form import ClosedFormSettings, restore_closed_form, spread_of, wiener_weight
from babe2.prior import PublishedPrior
from babe2.sampler import Progress, Sampled, Settled

RATE, LENGTH, ITEMS = 8000, 4096, 16
HERTZ = torch.fft.rfftfreq(LENGTH, 1 / RATE)
# Music: 0.1 per frequency in the bass, 0.01 in the treble. The machine: 6 dB up around 400 Hz, nothing above 2 kHz.
SPREAD = torch.where(HERTZ > 0, 0.1 * (1 + (HERTZ / 500) ** 2) ** -0.5, 0.0)
RESPONSE = SampledCurve(
    torch.tensor([100.0, 400.0, 1500.0, 2000.0, 2200.0]), torch.tensor([0.0, 6.0, -6.0, -20.0, -150.0])
)
FLOOR = 3e-3
CLEAR, DIM, LOST = (HERTZ > 50) & (HERTZ < 1200), (HERTZ > 1800) & (HERTZ < 2000), HERTZ > 2300
FINE = ClosedFormSettings(steps=300, sigma_start=3.0, sigma_min=1e-5)


def wiener(noisy: Tensor, sigma: Tensor) -> Tensor:
    return shaped(noisy, SPREAD**2 / (SPREAD**2 + sigma**2))


def music(seed: int = 0) -> Tensor:
    return shaped(seeded(seed)(torch.Size((ITEMS, LENGTH))), SPREAD)


def recorded(x: Tensor, seed: int = 1) -> Undone:
    response = torch.nn.functional.pad(RESPONSE.gain_db(HERTZ[1:]), (1, 0))
    magnitude = 10 ** (response / 20)
    level = torch.where(response < -100, math.inf, FLOOR / magnitude)
    return Undone(shaped(x, magnitude) + FLOOR * seeded(seed)(x.shape), magnitude, level)


class Given(ClosedForm):
    """A recording whose machine is undone already."""

    response = RESPONSE

    def __init__(self, recording: Undone) -> None:
        self.recording = recording

    def __call__(self, clean: Tensor) -> Tensor:
        return shaped(clean, self.recording.magnitude)

    def undone(self, observation: Tensor) -> Undone:
        return replace(self.recording, observation=observation)


def restored(
    recording: Undone, settings: ClosedFormSettings = FINE, seed: int = 2, settled: Settled | None = None, **hooks: Any
) -> Sampled:
    given, observation = Given(recording), recording.observation
    hooks |= {} if settled is None else {"constrain": settled.over}
    return restore_closed_form(wiener, given, observation, SPREAD, settings, seeded(seed), **hooks)


def power(x: Tensor, where: Tensor) -> Tensor:
    """Per frequency, as white noise of unit variance has 1 (F,)."""
    return torch.fft.rfft(x).abs().square().mean(dim=0)[where] / LENGTH


def band(x: Tensor, where: Tensor) -> Tensor:
    return shaped(x, where.float())


def test_two_witnesses_are_weighed_by_how_sure_they_are() -> None:
    spread, level = torch.tensor([0.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, math.inf, 0.5])
    # Silence needs no witness; one without noise is believed, one that heard nothing is not.
    torch.testing.assert_close(wiener_weight(1.0, spread, level), torch.tensor([0.0, 1.0, 0.0, 2 / 3]))
    # With no estimate to weigh it against, the music's own spread stands for one: the Wiener filter.
    torch.testing.assert_close(wiener_weight(math.inf, spread, level), torch.tensor([0.0, 1.0, 0.0, 0.8]))


def test_with_a_known_response_restorations_scatter_around_the_posterior_mean() -> None:
    """For Gaussian music that mean is the Wiener filter of the recording; nothing else is as near to the truth."""
    truth = music()
    recording = recorded(truth)
    found = torch.stack([restored(recording, seed=seed).audio for seed in range(6)]).mean(dim=0)
    gain = torch.where(
        recording.level.isfinite(), SPREAD**2 / (SPREAD**2 + recording.level**2) / recording.magnitude, 0
    )
    best = shaped(recording.observation, gain)
    assert deviation(band(found, CLEAR), band(best, CLEAR)) < 0.03
    for where in (DIM, LOST):  # there a mean of six still scatters by the sixth part of the posterior's variance
        level = recording.level[where]
        variance = 1 / (SPREAD[where] ** -2 + level**-2)
        ratio = power(found - best, where).mean() / variance.mean()
        assert float(ratio) == pytest.approx(1 / 6, rel=0.15)


def test_every_band_gets_the_power_of_music() -> None:
    """Clear, half drowned or lost: an octave or so at a time."""
    found = restored(recorded(music())).audio
    for low in (60, 120, 250, 500, 1000, 1500, 1800, 2000, 2300, 3000):
        where = (HERTZ / low > 1) & (HERTZ / low < 1.3)
        ratio = float((power(found, where) / SPREAD[where].square()).mean())
        assert ratio == pytest.approx(1.0, rel=0.05 + 3 * (ITEMS * int(where.sum())) ** -0.5), low


@pytest.mark.parametrize("preset", ["standard", "draft"])
def test_few_steps_keep_what_was_heard(preset: str) -> None:
    truth = music()
    recording, settings = recorded(truth), choose("babe2", preset, PIANO, {"level": float(truth.std())}).settings
    found = restored(recording, settings)
    assert deviation(band(found.audio, CLEAR), band(truth, CLEAR)) < 0.15
    # Through the machine it misses the recording by the noise and by what was imagined at the end of the band.
    assert found.misfit < 2 * FLOOR / float(recording.observation.std())
    assert found.misfit == pytest.approx(recording.misfit(found.audio))


@pytest.mark.parametrize("steps", [3, 10])
def test_bass_that_the_prior_does_not_carry_never_overshoots(small_prior: PublishedPrior, steps: int) -> None:
    """The trap of few steps: what the prior's high-pass takes off is taken off once, whatever the noise levels."""
    samples = small_prior.highpass(seeded(0)(torch.Size((1, SMALL_LENGTH)))) * 0.07
    bins, carried = SMALL_LENGTH // 2 + 1, small_prior.transform.pass_band
    bass = (carried < 1e-3) & (torch.arange(bins) < bins // 2)
    assert int(bass.sum()) > 100
    recording = Undone(samples, torch.ones(bins), torch.full((bins,), 1e-3))
    settings = choose("babe2", "standard", PIANO, {"steps": steps}).settings
    spread = torch.full((bins,), 0.07)
    seen: list[float] = []

    def watched(noisy: Tensor, sigma: Tensor) -> Tensor:
        seen.append(float(band(noisy, bass).std()) / float(sigma))
        return small_prior(noisy, sigma)

    found = restore_closed_form(watched, Given(recording), samples, spread, settings, seeded(1)).audio
    assert seen == pytest.approx([seen[0]] * steps, rel=0.05)  # of the noise its share, and no more
    assert float(band(found, bass).std()) < 1e-3 * float(samples.std())


def test_settled_samples_stay_and_the_rest_agrees_with_them() -> None:
    truth = music()
    mask = (torch.arange(LENGTH) < 1000).float()
    found = restored(recorded(truth), settled=Settled(mask * truth, mask)).audio
    assert torch.equal(found[:, :1000], truth[:, :1000])
    assert deviation(band(found, CLEAR)[:, 1500:3500], band(truth, CLEAR)[:, 1500:3500]) < 0.15


def test_a_batch_is_its_items_alone() -> None:
    recording, settings = recorded(music()), replace(FINE, steps=5)
    drawn = seeded(2)(torch.Size((ITEMS, LENGTH)))

    def sampled(items: slice) -> Tensor:
        some = recording.observation[items]
        return restore_closed_form(wiener, Given(recording), some, SPREAD, settings, lambda shape: drawn[items]).audio

    together = sampled(slice(None))
    for i in (0, ITEMS - 1):
        torch.testing.assert_close(sampled(slice(i, i + 1))[0], together[i])


def test_the_same_noise_gives_the_same_music() -> None:
    recording, settings = recorded(music()), replace(FINE, steps=5)
    assert torch.equal(restored(recording, settings).audio, restored(recording, settings).audio)
    assert not torch.equal(restored(recording, settings).audio, restored(recording, settings, seed=3).audio)


def test_every_step_is_told() -> None:
    told: list[Progress] = []
    recording, settings = recorded(music()), replace(FINE, steps=4)
    found = restored(recording, settings, on_step=told.append)
    assert [progress.step for progress in told] == [1, 2, 3, 4]
    assert [told[0].sigma, told[-1].sigma] == pytest.approx([3.0, 1e-5])
    assert all(progress.equalizer is RESPONSE for progress in told)
    assert torch.equal(told[-1].clean, found.audio) and told[-1].misfit == pytest.approx(found.misfit)


def test_the_spread_of_music_is_read_off_its_average_spectrum() -> None:
    """Whatever the level at which the average was taken."""
    x = shaped(seeded(0)(torch.Size((8, 2**17))), torch.linspace(2, 0, 2**16 + 1))
    reference = ReferenceLtas(ltas(x, 1024, 1024, 256), SMALL_RATE)
    found = spread_of(reference, level=0.07, samples=1000)
    expected = torch.linspace(2, 0, 501) * 0.07 / float(x.std())
    torch.testing.assert_close(found[20:300].float(), expected[20:300], rtol=0.06, atol=0)
    assert found[0] == 0 and len(found) == 501
