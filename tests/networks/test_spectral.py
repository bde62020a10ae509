"""The U-Net over spectrograms: the published numbers, its sizes, and what a network that masks does at first."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from spectral_vectors import REFERENCE, SMALL, SMALL_SEED, hash_in, vectors, with_procedural_weights
from torch import Tensor

from babe2.checkpoints.checkpoint import Unfilled
from babe2.config import SpectralArchitecture
from babe2.networks.models import DENOISER
from babe2.networks.spectral import SpectralUNet, compressed, expanded, shortest_samples, sound, spectrogram


@pytest.fixture(scope="module")
def small() -> SpectralUNet:
    network, digest = with_procedural_weights(SMALL, SMALL_SEED)
    assert digest == json.loads((REFERENCE / "small_config.json").read_text())["sha256_of_weights"]
    return network


def off(found: Tensor, published: Tensor, scale: Tensor | None = None) -> float:
    """The largest difference, relative to the largest published number."""
    return float((found - published).abs().max() / (published.abs().max() if scale is None else scale))


def test_the_spectrogram_is_the_published_one() -> None:
    published = vectors("stft.npz")
    found = spectrogram(published["x"][None])
    assert off(found, published["stft"]) < 1e-6
    assert off(sound(found), published["istft"]) < 1e-6


def test_both_stages_answer_as_published(small: SpectralUNet) -> None:
    published = vectors("small_io.npz")
    heard = spectrogram(published["x"][None])
    second, first = small.stages(heard)
    assert first is not None
    for name, found in (("pred_stage2", second), ("pred_stage2_f64", second), ("pred_stage1", first)):
        assert off(found[:, :, ::3, ::4], published[name], published["scale"]) < 5e-6  # as the vectors' README says
    assert off(sound(second)[:, ::16], published["y_full"]) < 5e-6


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("one_stage", SpectralArchitecture((4, 4, 4, 8), layers=2, stages=1)),
        ("no_sam", SpectralArchitecture((4, 4, 4, 8), layers=2, attention=False)),
        ("no_fenc", SpectralArchitecture((4, 4, 4, 8), layers=2, encoding=False)),
    ],
)
def test_its_variants_answer_as_published(name: str, size: SpectralArchitecture) -> None:
    network, digest = with_procedural_weights(size, SMALL_SEED + 7)
    assert digest == hash_in("variants.npz", f"{name}_sha")
    found = network(spectrogram(vectors("small_io.npz")["x"][None]))
    assert off(found[:, :, ::3, ::4], vectors("variants.npz")[name]) < 5e-6


def test_weights_have_the_published_names_and_shapes() -> None:
    with torch.device("meta"), Unfilled():
        found = {name: list(value.shape) for name, value in SpectralUNet(DENOISER.architecture).state_dict().items()}
    assert found == json.loads((REFERENCE / "state_dict_shapes.json").read_text())


def test_the_encoding_begins_as_published() -> None:
    (published,) = vectors("fembeddings.npz").values()
    assert off(SpectralUNet(SMALL).freq_encoding.fembeddings.detach(), published) < 1e-6


@pytest.mark.slow
def test_the_released_size_answers_as_published() -> None:
    with np.load(REFERENCE / "full_procedural_io.npz") as file:
        seed, expected = int(file["seed"]), str(file["sha256"])
    network, digest = with_procedural_weights(DENOISER.architecture, seed)
    assert digest == expected
    published = vectors("full_procedural_io.npz")
    second, first = network.stages(spectrogram(published["x"][None]))
    assert first is not None
    assert off(second, published["pred_stage2"]) < 5e-6
    assert off(first[:, :, ::2, ::2], published["pred_stage1"]) < 5e-6
    assert off(sound(second), published["y"]) < 5e-6


def test_the_shortest_sound_is_just_long_enough(small: SpectralUNet) -> None:
    assert small(spectrogram(torch.ones(1, shortest_samples()))).isfinite().all()
    with pytest.raises(RuntimeError):
        small(spectrogram(torch.ones(1, shortest_samples() - 1)))


def test_a_network_that_masks_nothing_changes_nothing() -> None:
    network = SpectralUNet(SpectralArchitecture((4, 4, 8), masks=True))
    for place in ("conv2.weight", "conv2.bias"):
        torch.nn.init.zeros_(network.finalblock.get_parameter(place))
    heard = spectrogram(1e-3 * torch.randn(1, 9000, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        assert off(network(heard), heard) < 1e-5


def test_what_is_compressed_comes_back() -> None:
    x = torch.randn(1, 2, 5, 9, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 2, 9)
    torch.testing.assert_close(expanded(compressed(x)), x, rtol=1e-3, atol=0)
    loud = compressed(x)[..., -1].norm(dim=1).mean() / compressed(x)[..., 0].norm(dim=1).mean()
    assert loud == pytest.approx(10 ** (6 * 0.3), rel=0.5)
    assert not expanded(compressed(torch.zeros(1, 2, 5, 9))).any()
