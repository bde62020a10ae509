"""CQTdiff: the published network to rounding, with a gradient that costs little memory."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TESTS, deviation
from torch import Tensor

from babe2.checkpoints.checkpoint import Unfilled
from babe2.config import MatrixArchitecture, Model
from babe2.networks.cqtdiff import CQTDiff, Decimator, GeluConv, Interpolator, mirrored
from babe2.networks.matrix_cqt import MatrixConstantQ
from babe2.networks.models import CQTDIFF, MODELS, build_network, build_transform, next_length
from babe2.prior import build_prior

REFERENCE = TESTS / "reference" / "gramophone"
TINY = Model(MatrixArchitecture((8, 8, 16), 3, 3, 8, 16), 8000, 1024, 0.057)


def recorded(name: str = "cqt_unet_44k") -> dict[str, Tensor]:
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if arrays[key].dtype.kind != "U"}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def babbling(model: Model) -> CQTDiff:
    """A network that says something, as an untrained one does not."""
    network = build_network(model)
    assert isinstance(network, CQTDiff)
    for seed, (name, value) in enumerate(network.requires_grad_(False).named_parameters()):
        if "RFF" not in name and "embeddings" not in name:
            value.copy_(noise(*value.shape, seed=seed) / max(value[0].numel(), 1) ** 0.5)
    return network


def procedural(network: CQTDiff, seed: int) -> str:
    """Fills in the weights of the recorded network (see the README beside it); returns their hash."""
    weights, digest = network.state_dict(), hashlib.sha256()
    for i, key in enumerate(sorted(weights)):
        if key.endswith(("kernel", "embeddings")):
            continue
        shape = weights[key].shape
        drawn = np.random.default_rng([seed, i]).standard_normal(shape, dtype=np.float32)
        scale = 16.0 if key.endswith("RFF_freq") else 0.7 / np.sqrt(np.prod(shape[1:]))
        value = (np.float32(0.02) * drawn) if key.endswith("bias") else (scale * drawn.astype(float)).astype(np.float32)
        digest.update(value.tobytes())
        weights[key].copy_(torch.from_numpy(value))
    angle = 2 * torch.pi * torch.arange(CQTDIFF.rows) * network.freq_encoding.RFF_freq.T
    network.freq_encoding.embeddings.copy_(torch.cat([angle.sin(), angle.cos()])[None])
    return digest.hexdigest()


def test_names_and_shapes_are_the_published_ones_in_their_order() -> None:
    published = json.loads((REFERENCE / "cqtdiff_44k_state_dict_shapes.json").read_text())
    with torch.device("meta"), Unfilled():
        network = build_network(MODELS["cqtdiff-44k"])
    assert [(key, list(value.shape)) for key, value in network.state_dict().items()] == list(published.items())
    buffers = {key for key, _ in network.named_buffers()}
    assert buffers == {key for key in published if key.endswith(".kernel")}  # of which there are no averages
    assert [key for key, _ in network.named_parameters()] == [key for key in published if key not in buffers]


def test_the_transform_is_as_recorded() -> None:
    vectors = recorded()
    transform = build_transform(MODELS["cqtdiff-44k"], 44100)
    rows = torch.view_as_real(transform(vectors["x"])).transpose(1, 2)
    assert deviation(rows[:, ::24, ::15], vectors["cqt_sub"]) < 1e-6
    assert deviation(transform.inverse(transform(vectors["x"])), vectors["x"]) < 5e-7  # 3.4e-7 with AVX-512


@pytest.mark.slow
def test_the_network_answers_as_recorded() -> None:
    vectors, model = recorded(), MODELS["cqtdiff-44k"]
    network, transform = build_network(model), build_transform(model, 44100)
    assert isinstance(network, CQTDiff)
    with np.load(REFERENCE / "cqt_unet_44k.npz") as arrays:
        assert procedural(network.requires_grad_(False), int(vectors["seed"])) == str(arrays["sha256"])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    out = transform.inverse(network(transform(vectors["x"]), vectors["cnoise"].float().reshape(1, 1)))
    assert deviation(out[:, ::7], vectors["out_sub"]) < 5e-6  # measured: 9e-7
    prior = build_prior(model, network, transform)
    denoised = prior(vectors["x"], vectors["denoised_sigma"].float())
    assert deviation(denoised[:, ::7], vectors["denoised_sub"]) < 5e-6


def test_it_is_preconditioned_as_published() -> None:
    """The published prior's form, which the two networks share."""
    vectors, model = recorded("preconditioning"), TINY
    seen: list[Tensor] = []

    class Echo(CQTDiff):
        def forward(self, rows: Tensor, log_sigma: Tensor, poll: object = None) -> Tensor:
            seen.append(log_sigma)
            return rows

    assert isinstance(model.architecture, MatrixArchitecture)
    prior = build_prior(model, Echo(model.architecture), build_transform(model, 1024))
    x = noise(1, 1024)
    for sigma, skip, out, into, log_sigma in zip(*(vectors[k] for k in vectors), strict=True):
        expected = x * (skip + out * into)
        assert deviation(prior(x, sigma), expected) < 1e-5
        assert seen.pop().item() == pytest.approx(log_sigma.item(), rel=1e-6)


def test_the_layer_is_gelu_and_convolution_with_their_gradients() -> None:
    x, kernel = noise(1, 3, 12, 5).double().requires_grad_(), noise(3, 3, 5, 3, seed=1).double().requires_grad_()

    def layer(x: Tensor, kernel: Tensor) -> Tensor:
        return GeluConv.apply(x, kernel, 2)

    expected = F.conv2d(mirrored(F.gelu(x), 4, 1), kernel, dilation=(2, 1))
    torch.testing.assert_close(layer(x, kernel), expected)
    assert torch.autograd.gradcheck(layer, (x, kernel))


@pytest.mark.parametrize("frames", [8, 9])
def test_frames_are_halved_and_doubled_without_a_change_of_slow_sound(frames: int) -> None:
    slow = torch.ones(1, 2, 3, frames + 200)
    halved = Decimator()(slow)
    assert halved.shape[-1] == -(-slow.shape[-1] // 2)
    doubled = Interpolator()(halved)
    assert doubled.shape[-1] == 2 * halved.shape[-1]
    torch.testing.assert_close(halved[..., 20:-20], torch.ones_like(halved[..., 20:-20]), atol=1e-2, rtol=0)
    torch.testing.assert_close(doubled[..., 40:-40], torch.ones_like(doubled[..., 40:-40]), atol=1e-2, rtol=0)


def test_the_untrained_network_says_nothing() -> None:
    network, transform = build_network(TINY), build_transform(TINY, 1024)
    assert not network(transform(noise(1, 1024)), torch.zeros(1, 1)).abs().max()


@pytest.mark.parametrize("length", [next_length(TINY, 1), 1026, 2000])
def test_saving_memory_changes_no_gradient(length: int) -> None:
    network, transform = babbling(TINY), MatrixConstantQ(length, 3, 8, 2)
    x = noise(1, length).requires_grad_()
    gradients = []
    for network.save_memory in (False, True):
        answer = transform.inverse(network(transform(x), torch.zeros(1, 1)))
        assert answer.shape == x.shape and answer.abs().max() > 0
        gradients += torch.autograd.grad(answer.square().sum(), x)
    torch.testing.assert_close(*gradients, atol=0, rtol=0)


def test_segments_at_noise_levels_of_their_own_are_denoised_as_each_by_itself() -> None:
    prior = build_prior(TINY, babbling(TINY), build_transform(TINY, 1024))
    x, sigma = noise(2, 1024), torch.tensor([[0.1], [0.5]])
    both = prior(x, sigma)
    for i in range(2):
        assert deviation(prior(x[i : i + 1], sigma[i, 0]), both[i : i + 1]) < 1e-5


def test_an_evaluation_can_be_interrupted_within_it_and_on_the_gradients_way_back() -> None:
    network, transform = babbling(TINY), build_transform(TINY, 1024)
    polls: list[None] = []
    answer = network(transform(noise(1, 1024).requires_grad_()), torch.zeros(1, 1), lambda: polls.append(None))
    forward = len(polls)
    answer.abs().sum().backward()
    assert forward == 7 and len(polls) == 2 * forward


def test_pictures_in_bfloat16_are_nearly_the_same() -> None:
    network, transform = babbling(TINY), build_transform(TINY, 1024)
    rows = transform(noise(1, 1024))
    exact = network(rows, torch.zeros(1, 1))
    assert deviation(network.set_dtype(torch.bfloat16)(rows, torch.zeros(1, 1)), exact) < 0.1
