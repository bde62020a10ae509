"""BEHM-GAN behind the front door, against numbers recorded from the published program."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from conftest import CHECKPOINT
from music import music
from procedural import fill, published_names

from babe2 import Cancelled, RestorationError, Restorer, Step
from babe2.checkpoints import load
from babe2.checkpoints.published import convert
from babe2.config import Model, SpectralArchitecture
from babe2.network import Poll
from babe2.networks.published_segments import OVERLAP, SEGMENT, in_published_segments
from babe2.networks.spectral import SpectralUNet, sound, spectrogram
from babe2.prior import BandExtender
from babe2.sampler import Noise

REFERENCE = Path(__file__).parents[1] / "reference" / "behm_gan"
RATE = 22050
EVERY = 16  # of the recorded outputs
DENOISERS_CHANNELS, DENOISERS_SEED = (4, 4, 4, 8, 8, 16, 32), 101
SHORT = 9216  # samples of a segment, for tests that need no recorded numbers
Sound = npt.NDArray[np.float32]


@cache
def generator() -> SpectralUNet:
    sizes = json.loads((REFERENCE / "small_config.json").read_text("utf-8"))
    widths = tuple(sizes["Ns"][: sizes["depth"] + 1])
    network = SpectralUNet(SpectralArchitecture(widths, stages=1, weight_norm=True)).eval().requires_grad_(False)
    assert fill(network, sizes["seed"]) == sizes["sha256_of_weights"]
    return network.multiply_out()


@cache
def restorer() -> Restorer:
    return Restorer(generator(), Model(generator().size, RATE, SEGMENT, sigma_data=1.0), None)


class Echo(SpectralUNet):
    """A generator that gives back what it hears."""

    def forward(self, spectrogram: torch.Tensor, poll: Poll | None = None) -> torch.Tensor:
        return spectrogram


def extended(recording: Sound, sample_rate: int = RATE, **wishes: object) -> Sound:
    short = {"segment_length": SHORT} if wishes.get("preset") != "paper" else {}
    return restorer().restore(recording, sample_rate, method="behm-gan", **{**short, **wishes}).audio  # type: ignore[arg-type]


@cache
def recorded() -> dict[str, Sound]:
    return dict(np.load(REFERENCE / "chunked.npz"))


def test_the_generator_makes_what_the_published_one_makes() -> None:
    published = np.load(REFERENCE / "small_io.npz")
    x = torch.from_numpy(published["x"])[None]
    seen = spectrogram(x)
    np.testing.assert_allclose(seen[:, :, ::8, ::4], published["stft"], atol=1e-5 * np.abs(published["stft"]).max())
    made = generator()(seen)
    scale = float(published["scale"])
    np.testing.assert_allclose(made[:, :, ::8, ::4], published["pred"], atol=5e-6 * scale)
    np.testing.assert_allclose(sound(made)[:, : x.shape[1]], published["y"], atol=5e-6 * scale)


def test_segments_cut_as_published_give_the_published_programs_sound() -> None:
    extender = BandExtender(generator())
    x = torch.from_numpy(recorded()["x"])
    silence = torch.zeros(1, 1)
    found = in_published_segments(lambda part, _: extender(part, silence), x)
    expected = recorded()["y_bwe"]
    np.testing.assert_allclose(found[::EVERY], expected, atol=5e-6 * np.abs(expected).max())


@pytest.mark.thorough
def test_a_recording_that_is_denoised_before_gives_the_published_programs_sound() -> None:
    """Where the published program passes on what the denoiser makes beyond the end of a segment."""
    denoiser = SpectralUNet(SpectralArchitecture(DENOISERS_CHANNELS)).eval().requires_grad_(False)
    fill(denoiser, DENOISERS_SEED)
    expected = recorded()["y_denoise_bwe"]

    def make(part: torch.Tensor, _: int) -> torch.Tensor:
        return sound(generator()(spectrogram(sound(denoiser(spectrogram(part))))))

    found = in_published_segments(make, torch.from_numpy(recorded()["x"]))
    np.testing.assert_allclose(found[::EVERY], expected, atol=5e-6 * np.abs(expected).max())


# At the front door the cross-fades add up to one, which those of the published program do not quite.
def test_the_preset_paper_gives_the_published_programs_sound_but_for_its_cross_fades() -> None:
    found = restorer().restore(recorded()["x"], RATE, method="behm-gan", preset="paper", noise=recorded_noise())
    expected = recorded()["y_bwe_noise"]
    places = np.arange(0, len(recorded()["x"]), EVERY)
    apart = np.abs(found.audio[0, ::EVERY] - expected)
    joined = (places >= SEGMENT - OVERLAP) & (places < SEGMENT)
    scale = np.abs(expected).max()
    assert apart[~joined].max() < 5e-6 * scale
    assert apart[joined].max() < 1e-3 * scale
    assert [segment["start"] for segment in found.report["segments"]] == [0.0, (SEGMENT - OVERLAP) / RATE]
    assert found.report["settings"]["added_noise"] == 0.001 and found.report["generates"]


def recorded_noise() -> Noise:
    draws = iter(range(99))
    seed = int(recorded()["noise_seed"])

    def draw(shape: torch.Size) -> torch.Tensor:
        numbers = np.random.default_rng([seed, next(draws)]).standard_normal(tuple(shape))
        return torch.from_numpy(numbers.astype(np.float32))

    return draw


@pytest.mark.parametrize("samples", [2500, SHORT, SHORT + 1, 2 * SHORT - OVERLAP, 2 * SHORT, 30_000])
def test_segments_are_joined_without_a_seam_to_the_end_of_a_recording_of_any_length(samples: int) -> None:
    network = Echo(SpectralArchitecture((4, 4), stages=1, weight_norm=True)).eval().requires_grad_(False)
    through = Restorer(network, Model(network.size, RATE, SEGMENT, sigma_data=1.0), None)
    recording = music(2, RATE)[:, :samples]
    share = OVERLAP / SHORT
    found = through.restore(recording, RATE, method="behm-gan", added_noise=0, segment_length=SHORT, overlap=share)
    np.testing.assert_allclose(found.audio, recording, atol=1e-6)


def test_the_same_seed_gives_the_same_sound() -> None:
    recording = music(0.5, RATE)
    assert np.array_equal(extended(recording, seed=3), extended(recording, seed=3))
    assert not np.array_equal(extended(recording, seed=3), extended(recording, seed=4))


def test_a_recordings_level_changes_nothing_but_the_results() -> None:
    recording = music(0.5, RATE)
    np.testing.assert_allclose(extended(0.01 * recording), 0.01 * extended(recording), atol=1e-6)


def test_each_channel_is_extended_by_itself_and_silent_ones_stay_silent() -> None:
    left, right = music(0.5, RATE, seed=1), music(0.5, RATE, seed=2)
    found = extended(np.concatenate([left, right, 0 * left]))
    np.testing.assert_allclose(found[:1], extended(left), atol=1e-6)
    np.testing.assert_allclose(found[1:2], extended(right), atol=1e-6)
    assert not found[2].any()


def test_recordings_of_other_rates_keep_their_rate_and_length() -> None:
    recording = music(0.5, 44_100)
    assert extended(recording, 44_100).shape == recording.shape


def test_progress_is_told_and_work_can_be_stopped_between_segments() -> None:
    steps: list[Step] = []
    extended(music(1, RATE), on_step=steps.append)
    assert [(step.segment, step.segments, step.steps) for step in steps] == [(1, 3, 1), (2, 3, 1), (3, 3, 1)]
    assert steps[-1].share == 1 and steps[0].clean().shape == (1, SHORT)
    with pytest.raises(Cancelled):
        extended(music(1, RATE), cancelled=lambda: True)


@pytest.mark.parametrize("method", ["babe2", "guided", "closed-form", "bandwise", "paper"])
def test_a_generator_is_no_prior_and_methods_that_need_one_say_so(method: str) -> None:
    with pytest.raises(RestorationError, match=r"no prior.*Run it with the method behm-gan"):
        restorer().restore(music(0.5, RATE), RATE, method=method)


def test_other_things_that_a_generator_cannot_do_are_refused() -> None:
    recording = music(0.5, RATE)
    with pytest.raises(RestorationError, match="makes no music out of nothing"):
        restorer().sample()
    with pytest.raises(RestorationError, match="holds no average spectrum"):
        restorer().restore(recording, RATE, method="ltas-eq")
    with pytest.raises(RestorationError, match="level changes nothing, as the preset paper takes"):
        restorer().restore(recording, RATE, method="behm-gan", preset="paper", level=0.1)
    with pytest.raises(RestorationError, match="hears 8448 samples or more at once, not 8000"):
        restorer().restore(recording, RATE, method="behm-gan", segment_length=8000)


def test_a_published_file_of_bare_weights_is_read_converted_and_used(tmp_path: Path) -> None:
    small = SpectralUNet(SpectralArchitecture((4, 4), stages=1, weight_norm=True))
    fill(small, seed=1)
    own, file = small.state_dict(), tmp_path / "checkpoint_piano"
    torch.save({name: own[ours] for name, ours in published_names(small).items()}, file)
    convert(file, tmp_path / "mine")
    recording = music(0.5, RATE)
    wishes = {"method": "behm-gan", "segment_length": SHORT}
    before, after = (
        Restorer.from_checkpoint(place, device="cpu").restore(recording, RATE, **wishes)  # type: ignore[arg-type]
        for place in (file, tmp_path / "mine")
    )
    assert np.array_equal(before.audio, after.audio)
    assert before.report["checkpoint"] == "checkpoint_piano"
    card = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert "Extends the band" in card and 'restore(recording, sample_rate, method="behm-gan")' in card
    checkpoint = load(tmp_path / "mine")
    for use in (checkpoint.prior_network, checkpoint.denoising_network):
        with pytest.raises(RestorationError, match="extends the band of a recording"):
            use()


def test_bfloat16_is_near_enough() -> None:
    recording = music(0.5, RATE)
    generator().set_dtype(torch.bfloat16)
    try:
        quick = extended(recording)
    finally:
        generator().set_dtype(torch.float32)
    exact = extended(recording)
    assert 0 < np.std(quick - exact) < 0.02 * np.std(exact)


def test_a_prior_is_no_generator() -> None:
    with pytest.raises(RestorationError, match=r"no generator of BEHM-GAN\. Choose behm-gan-piano"):
        Restorer.from_checkpoint(CHECKPOINT, device="cpu").restore(music(0.5), 8000, method="behm-gan")


@pytest.mark.slow
def test_the_published_size_makes_what_the_published_program_makes() -> None:
    published = np.load(REFERENCE / "full_procedural_io.npz")
    size = SpectralArchitecture((64, 128, 128, 128, 256, 512, 512), stages=1, weight_norm=True)
    network = SpectralUNet(size).eval().requires_grad_(False)
    assert fill(network, int(published["seed"])) == str(published["sha256"])
    assert sum(weight.numel() for weight in network.parameters()) == 82_471_374
    made = network.multiply_out()(spectrogram(torch.from_numpy(published["x"])[None]))
    np.testing.assert_allclose(made[:, :, ::8, ::4], published["pred"], atol=5e-6 * np.abs(published["pred"]).max())
    found = sound(made)[:, : published["y"].shape[1]]
    np.testing.assert_allclose(found, published["y"], atol=5e-6 * np.abs(published["y"]).max())
