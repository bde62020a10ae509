"""Denoising as a stage: what holds whatever the network has learned, the published numbers, and what it is for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from music import music
from spectral_vectors import SMALL, SMALL_SEED, vectors, with_procedural_weights
from torch import Tensor

from babe2 import Cancelled, RestorationError, Restorer, checkpoints
from babe2.audio import read
from babe2.checkpoints.checkpoint import Checkpoint, save
from babe2.config import Model, SpectralArchitecture
from babe2.dsp.tape import MemoryTape
from babe2.networks.spectral import SpectralUNet
from babe2.stages import Bench, Denoise, denoise, make
from babe2.stages.denoise import PriorDenoiser, denoised_as_published, no_more_than_noise

RATE = 22050
EXAMPLES = Path(__file__).parents[2] / "examples"


def noise(samples: int, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A denoiser that takes away half of everything that is no silence: quick, and its answer is known."""
    size = SpectralArchitecture((4, 4, 8), layers=1, stages=1, attention=False, masks=True)
    network = SpectralUNet(size)
    torch.nn.init.zeros_(network.finalblock.conv2.weight)
    network.finalblock.conv2.bias.data = torch.tensor([0.5**0.3 - 1, 0.0])
    weights = {name: value.detach() for name, value in network.state_dict().items()}
    folder = tmp_path_factory.mktemp("halving")
    save(Checkpoint(Model(size, RATE, 24320, 0.1), weights, None, "halving", ""), folder)
    return str(folder)


# What holds for every denoiser


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [(8000, 8.0), (22050, 1e-9), (22050, 0.3), (22050, 8.0), (22051, 2.9), (44100, 0.01), (44100, 6.0), (96000, 2.9)],
)
def test_half_of_everything_is_taken_away_at_any_rate_and_length(untrained: str, rate: int, seconds: float) -> None:
    x = 0.2 * noise(max(1, round(seconds * rate)))
    audio, report = denoise(x, rate, checkpoint=untrained)
    assert audio.shape == x.shape and np.isfinite(audio).all()
    if seconds >= 0.3:
        # Above the denoiser's band too, and at the edge between, and to the last sample.
        assert np.abs(audio - 0.5 * x.numpy()).max() < 0.03
        assert report["removed_db"] == pytest.approx(-6, abs=0.1)


def test_channels_are_worked_on_by_themselves_and_silence_stays(untrained: str) -> None:
    x = torch.cat([0.1 * noise(40000), torch.zeros(1, 40000), 1e-4 * noise(40000, seed=1)])
    audio, _ = denoise(x, 44100, checkpoint=untrained)
    assert not audio[1].any()
    for channel in (0, 2):
        alone, _ = denoise(x[channel], 44100, checkpoint=untrained)
        np.testing.assert_array_equal(audio[channel], alone[0])
    silent, report = denoise(torch.zeros(2, 1000), 8000)
    assert not silent.any() and report["removed_db"] is None


def test_strength_is_the_share_that_is_taken_away(untrained: str) -> None:
    x = 0.1 * noise(20000)
    whole, _ = denoise(x, RATE, checkpoint=untrained)
    half, report = denoise(x, RATE, checkpoint=untrained, strength=0.5)
    np.testing.assert_allclose(half, (x.numpy() + whole) / 2, atol=1e-6)
    nothing, report = denoise(x, RATE, checkpoint=untrained, strength="0")
    np.testing.assert_array_equal(nothing, x.numpy())
    assert report["removed_db"] is None
    with pytest.raises(RestorationError, match="strength"):
        denoise(x, RATE, strength=1.5)


def test_the_level_of_a_recording_changes_nothing_else(untrained: str) -> None:
    x = noise(30000)
    loud, quiet = (denoise(gain * x, RATE, checkpoint=untrained)[0] / gain for gain in (0.5, 1e-5))
    np.testing.assert_allclose(quiet, loud, atol=2e-3)


def test_it_is_the_same_wherever_reading_begins(untrained: str) -> None:
    rate = 32000
    tape = MemoryTape(0.1 * noise(13 * rate))
    stage = Denoise.of(checkpoint=untrained)
    whole = stage.begin(tape, rate, Bench()).read(0, tape.samples)
    staged = stage.begin(tape, rate, Bench())
    for start, stop in ((5 * rate - 10, 5 * rate + 10), (9 * rate, 13 * rate), (17, 1000), (2 * rate, 11 * rate)):
        assert torch.equal(staged.read(start, stop), whole[:, start:stop])


def test_a_crash_changes_nothing(untrained: str, tmp_path: Path) -> None:
    tape = MemoryTape(0.1 * noise(14 * 44100))
    stage, shares = Denoise.of(checkpoint=untrained), list[float]()
    whole = make(stage, tape, 44100, Bench()).tape.read(0, tape.samples)
    with pytest.raises(Cancelled):
        make(stage, tape, 44100, Bench(tmp_path / "j", on_share=shares.append, cancelled=lambda: len(shares) == 2))
    assert len(shares) == 2
    again = make(stage, tape, 44100, Bench(tmp_path / "j", unfinished="resume", on_share=shares.append))
    assert len(shares) == math.ceil(tape.samples / 2**18)
    assert torch.equal(again.tape.read(0, tape.samples), whole)
    again.storage.discard()


# As published


@pytest.mark.parametrize("name", ["x", "x_short"])
def test_the_published_cutting_gives_the_published_sound(name: str) -> None:
    network, _ = with_procedural_weights(SMALL, SMALL_SEED)
    published = vectors("chunked.npz")
    found = denoised_as_published(network, published[name])
    assert found.shape == published[name].shape
    assert (found[::16] - published[name.replace("x", "y")]).abs().max() < 2e-6


def test_the_published_cutting_leaves_nothing_out() -> None:
    network, _ = with_procedural_weights(SMALL, SMALL_SEED)
    found = denoised_as_published(network, 0.1 * noise(112000)[0])
    assert found[-1025:].square().mean() > 0.1 * found.square().mean()


# Checkpoints


def test_bare_weights_of_the_published_kind_are_read(tmp_path: Path) -> None:
    network, _ = with_procedural_weights(SMALL, SMALL_SEED)
    network.freq_encoding.fembeddings.mul_(0.9)  # it is trained with the rest
    torch.save(network.state_dict(), tmp_path / "checkpoint_denoiser")
    checkpoint = checkpoints.load(tmp_path / "checkpoint_denoiser")
    assert checkpoint.model == Model(SMALL, RATE, 110250, sigma_data=0.1)
    found = checkpoint.denoising_network()
    for name, value in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    audio, report = denoise(0.1 * noise(10000), RATE, checkpoint=str(tmp_path / "checkpoint_denoiser"))
    assert np.isfinite(audio).all() and report["found"]["sha256"] == checkpoint.sha256


def test_normalised_weights_are_read_by_their_older_names(tmp_path: Path) -> None:
    size = SpectralArchitecture((4, 4, 8), stages=1, attention=False, weight_norm=True)
    network = SpectralUNet(size)
    parts = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    weights = network.state_dict()
    for new, old in parts.items():
        weights = {key.replace(new, old): value for key, value in weights.items()}
    assert sum(key.endswith("weight_g") for key in weights) == sum(key.endswith("weight_v") for key in weights) > 9
    torch.save(weights, tmp_path / "checkpoint_piano")
    checkpoint = checkpoints.load(tmp_path / "checkpoint_piano")
    assert checkpoint.model.architecture == size
    heard = torch.ones(1, 2, 40, 513)
    with torch.no_grad():
        found = checkpoint.restoring_network()  # the published kind that is normalised extends the band
        assert isinstance(found, SpectralUNet) and torch.equal(found(heard), network(heard))
    with pytest.raises(RestorationError, match="is no denoiser"):
        checkpoint.denoising_network()


def test_a_denoiser_is_no_prior_and_a_prior_no_denoiser(untrained: str) -> None:
    with pytest.raises(RestorationError, match=r"is a denoiser: use it with `babe2 denoise`\."):
        Restorer.from_checkpoint("denoiser-small")
    with pytest.raises(RestorationError, match="is a prior and no denoiser"):
        denoise(noise(1000), RATE, checkpoint="piano-small")
    with pytest.raises(RestorationError, match="is a denoiser"):
        denoise(noise(1000), RATE, checkpoint=untrained, method="prior")


# What it is for


def test_a_good_recording_stays_as_it_is() -> None:
    good = read(EXAMPLES / "variation.flac", start=2.0, duration=4.0)
    audio, report = denoise(good.audio, good.sample_rate)
    np.testing.assert_array_equal(audio, good.audio)
    assert report["removed_db"] is None and report["found"]["noise_db"][0] < -45
    assert "nothing was changed" in report["warnings"][0]


def test_no_more_than_noise_is_taken_but_of_clicks() -> None:
    """A denoiser that takes some of the music, too, gets the hiss and the clicks, and of the music little."""
    x = torch.from_numpy(music(3.0, RATE)).float()
    clicks = torch.zeros(1, x.shape[1])
    clicks[:, 3000::9000] = 2.0
    hiss = 0.003 * noise(x.shape[1])
    power = torch.full((512,), 0.003**2)
    wanted, music_too = hiss + clicks, 0.3 * x
    taken = no_more_than_noise(x + wanted, wanted + music_too, power)
    assert (taken - wanted).norm() < 0.5 * music_too.norm()
    assert taken[:, 3000::9000].min() > 1.8
    assert no_more_than_noise(x, x, power / 1e6).norm() < 1e-3 * x.norm()


def test_behind_loud_noise_a_prior_is_believed_more() -> None:
    prior = PriorDenoiser(Restorer.from_checkpoint("piano-small"))
    x, power = noise(RATE), torch.full((512,), 0.01**2)
    faint, loud, deafening = (
        no_more_than_noise(x, 0.5 * x, power, prior.most(floor)).norm() for floor in (-20.0, -10.0, 30.0)
    )
    assert loud > 5 * faint and deafening == pytest.approx(float(0.5 * x.norm()), rel=1e-3)
    assert prior.most(math.nan) == prior.most(-50.0)  # a recording that is too short to tell


def gains(method: str) -> tuple[float, float]:
    """By how many dB a method brings noisy music nearer to the music, and how far it is from it where there is none."""
    x = torch.from_numpy(music(4.0, RATE)).float().reshape(1, -1)
    x = 0.1 * x / x.std()
    noisy = x + 0.03 * noise(x.shape[1])
    found, same = (torch.from_numpy(denoise(each, RATE, method=method)[0]) for each in (noisy, x))
    gain = 20 * math.log10(float((noisy - x).norm() / (found - x).norm()))
    return gain, 20 * math.log10(max(float((same - x).norm() / x.norm()), 1e-6))


@pytest.mark.parametrize("method", ["two-stage", "prior"])
def test_noise_goes_and_music_stays(method: str) -> None:
    gain, change = gains(method)
    assert gain > 3
    assert change < -20
