"""The U-Net: published names and numbers, and that its shortcuts change neither result nor gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import (
    PUBLISHED,
    REFERENCE,
    SIZES,
    SMALL,
    TRANSFORMS,
    Vectors,
    deviation,
    filled,
    ready,
    recorded_network,
    state_table,
)
from safetensors.torch import load_file
from torch import Tensor, nn

from babe2.config import Architecture
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus, Downsample, RelativePosition, ResidualBlock, TimeAttention, Upsample, normalised

# Float32 sums in another order than the published program's; measured at most 7e-7 of the largest value.
SINGLE = 5e-6
# The same along a path of some dozen layers: the recorded numbers' own tolerance, met at 7e-7 at full size too.
DEEP = 1e-5


def through(network: CQTDiffPlus, transform: ConstantQ, x: Tensor, log_sigma: Tensor) -> Tensor:
    """Segment (B, L) to segment."""
    return transform.inverse(network(transform(x), log_sigma))


Answer = tuple[Tensor, Tensor]


def both_ways(network: CQTDiffPlus, transform: ConstantQ, x: Tensor, log_sigma: Tensor, weight: Tensor) -> Answer:
    """The network's output, and the gradient of its weighted sum to the input."""
    x = x.clone().requires_grad_()
    out = through(network, transform, x, log_sigma)
    (gradient,) = torch.autograd.grad((out * weight).sum(), x)
    return out.detach(), gradient


LEVEL = torch.full((1, 1), -0.7)


def answer(network: CQTDiffPlus, transform: ConstantQ, level: Tensor = LEVEL) -> Answer:
    """What a network makes of some noise (1, L), and the gradient of that."""
    x = torch.randn(1, transform.length, generator=torch.Generator().manual_seed(0))
    return both_ways(network, transform, x, level, x)


@pytest.fixture(scope="module")
def short_transform() -> ConstantQ:
    """For what holds at any length: a quarter of the recorded one."""
    rate, length, octaves, bins = TRANSFORMS["small"]
    return ConstantQ(rate, length // 4, octaves, bins)


@pytest.fixture(scope="module")
def usual(short_transform: ConstantQ) -> Answer:
    """The small network's, as it is."""
    return answer(recorded_network(), short_transform)


@pytest.mark.parametrize(("name", "parameters"), [("small", 127312), ("piano", 44498528), ("voice", 41373856)])
def test_parameters_have_the_published_names_order_and_shapes(name: str, parameters: int) -> None:
    with torch.device("meta"):  # shapes without numbers
        network = CQTDiffPlus(SIZES[name])
    found = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert list(found.items()) == list(state_table(name).items())
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_weights_filled_by_rule_are_the_recorded_ones(small_network: CQTDiffPlus) -> None:
    expected = filled(CQTDiffPlus(SMALL)).state_dict()
    for key, value in small_network.state_dict().items():
        # The recorded rule divided by a square root of its own; that is the last bit.
        torch.testing.assert_close(value, expected[key], atol=0, rtol=2e-7)


def test_resampler_is_the_published_one(vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("blocks")
    assert deviation(Downsample()(recorded["res_in"]), recorded["res_down"]) < SINGLE
    assert deviation(Upsample()(recorded["res_in"]), recorded["res_up"]) < SINGLE


def test_resampler_keeps_a_constant_going_down_and_halves_it_going_up() -> None:
    x = torch.ones(1, 3, 2, 16)
    torch.testing.assert_close(Downsample()(x), torch.ones(1, 3, 2, 8))
    torch.testing.assert_close(Upsample()(x), torch.full((1, 3, 2, 32), 0.5))


def test_resampler_treats_every_row_alike() -> None:
    x = torch.randn(2, 3, 4, 16, generator=torch.Generator().manual_seed(0))
    for resampler in (Downsample(), Upsample()):
        row = resampler(x[1:, 2:, 3:])
        torch.testing.assert_close(resampler(x)[1:, 2:, 3:], row)


def test_decimation_removes_what_would_alias() -> None:
    alternating = (-1.0) ** torch.arange(32).reshape(1, 1, 1, 32)
    # Mirroring at the ends turns the alternation round, so the outermost frames hear its edge.
    assert Downsample()(alternating)[..., 2:-2].abs().max() < 1e-6


def test_norm_is_the_published_one(vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("blocks")
    found = normalised(recorded["gn_in"], recorded["gn_gamma"].flatten()[None])
    assert deviation(found, recorded["gn_out"]) < SINGLE


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("same", lambda: ResidualBlock(8, 8, 32, layers=3)),
        ("grow", lambda: ResidualBlock(8, 16, 32, layers=2)),
        ("after", lambda: ResidualBlock(8, 2, 32, kernel=(1, 1), project_last=True)),
        ("attn", lambda: ResidualBlock(8, 16, 32, attention=(16, 8, 32, 64))),
    ],
    ids=["same", "grow", "after", "attn"],
)
def test_blocks_are_the_published_ones(
    name: str, block: Callable[[], ResidualBlock], vectors: Callable[[str], Vectors]
) -> None:
    recorded, built = vectors("blocks"), block()
    built.load_state_dict(recorded.named(f"blk_{name}."))
    x, embedding, expected = recorded["blk_in"], recorded["emb"], recorded[f"blk_{name}_out"]
    assert deviation(built(x, embedding), expected) < SINGLE
    # With one noise level for all, the gates are folded into the kernels instead.
    for i in range(2):
        assert deviation(built(x[i : i + 1], embedding[i : i + 1]), expected[i : i + 1]) < SINGLE


def test_network_and_its_gradient_are_the_published_ones(
    small_network: CQTDiffPlus, small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded, x = vectors("net_small"), vectors("cqt_small")["x"]
    log_sigma, weight = recorded["cnoise"], recorded["w"]
    out, gradient = both_ways(small_network, small_transform, x, log_sigma, weight)
    assert deviation(out, recorded["out"]) < DEEP
    assert deviation(gradient, recorded["vjp"]) < DEEP
    for i in range(2):  # alone, at a single noise level, each item takes the path with folded gates
        item = slice(i, i + 1)
        out, gradient = both_ways(small_network, small_transform, x[item], log_sigma[item], weight[item])
        assert deviation(out, recorded["out"][item]) < DEEP
        assert deviation(gradient, recorded["vjp"][item]) < DEEP


def test_every_stage_on_the_way_is_the_published_one(
    small_network: CQTDiffPlus, small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    stages: dict[str, nn.Module] = {"emb": small_network.embedding}
    for i, (inlet, pyramid, block) in enumerate(small_network.downs):
        stages |= {f"down{i}_init": inlet, f"down{i}_pyr": pyramid, f"down{i}_res": block}
    stages |= {"mid_out": small_network.middle[0][0], "mid_res": small_network.middle[0][1]}
    for k, (outlet, block) in enumerate(small_network.ups):
        stages |= {f"up{k}_out": outlet, f"up{k}_res": block}

    heard: dict[str, Tensor] = {}
    for name, module in stages.items():
        module.register_forward_hook(lambda *call, name=name: heard.update({name: call[-1]}))
    recorded = vectors("net_small")
    through(small_network, small_transform, vectors("cqt_small")["x"], recorded["cnoise"])
    assert set(heard) == set(recorded.named("tap_"))
    for name, found in heard.items():
        assert list(found.shape) == recorded[f"shape_{name}"].tolist()
        # Recorded at every 61st number; the embedding whole.
        sparse = found if name == "emb" else found.flatten()[::61]
        assert deviation(sparse, recorded[f"tap_{name}"]) < DEEP, name


def test_weights_of_a_published_checkpoint_sound_as_published(
    small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded, network = vectors("small_ckpt_forward"), CQTDiffPlus(SMALL)
    network.load_state_dict(load_file(REFERENCE / "small_ckpt_ema.safetensors"))
    found = through(ready(network), small_transform, recorded["x"], recorded["cnoise"])
    assert deviation(found, recorded["out"]) < DEEP


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_full_network_and_its_gradient_are_the_published_ones(name: str, vectors: Callable[[str], Vectors]) -> None:
    recorded, transform = vectors(f"full_{name}"), ConstantQ(*TRANSFORMS[name])
    network = filled(CQTDiffPlus(PUBLISHED[name]))
    x = torch.randn(1, transform.length, generator=torch.Generator().manual_seed(123)).requires_grad_()
    out = through(network, transform, x, recorded["cnoise"])
    (gradient,) = torch.autograd.grad((out * x.detach()).sum(), x)
    assert deviation(out[:, ::29], recorded["net_out_stride"]) < DEEP
    assert deviation(gradient[:, ::29], recorded["vjp_stride"]) < DEEP
    assert float(out.detach().double().norm()) == pytest.approx(float(recorded["net_out_norm"]), rel=1e-5)
    assert float(gradient.double().norm()) == pytest.approx(float(recorded["vjp_norm"]), rel=1e-5)


def test_one_noise_level_for_all_is_the_same_as_telling_it_to_each(
    small_network: CQTDiffPlus, short_transform: ConstantQ, usual: Answer
) -> None:
    x = torch.randn(1, short_transform.length, generator=torch.Generator().manual_seed(0)).expand(2, -1)
    for found, shared in zip(both_ways(small_network, short_transform, x, LEVEL.expand(2, 1), x), usual, strict=True):
        assert deviation(found, shared.expand(2, -1)) < DEEP


def test_saving_memory_changes_nothing_but_memory(
    small_network: CQTDiffPlus, short_transform: ConstantQ, usual: Answer
) -> None:
    small_network.save_memory = True
    # The same operations on the same numbers in the same order.
    for found, expected in zip(answer(small_network, short_transform), usual, strict=True):
        assert torch.equal(found, expected)


def test_half_precision_is_within_two_percent(
    small_network: CQTDiffPlus, short_transform: ConstantQ, usual: Answer
) -> None:
    half = answer(small_network.set_dtype(torch.bfloat16), short_transform)
    for found, expected in zip(half, usual, strict=True):
        assert found.dtype == torch.float32
        # bfloat16 has eight bits: 0.4 % at each of some dozen layers. Measured at 0.4 and 0.6 %.
        assert float((found - expected).norm() / expected.norm()) < 0.02


def test_half_precision_leaves_noise_levels_and_norms_in_single(small_network: CQTDiffPlus) -> None:
    small_network.set_dtype(torch.bfloat16)
    assert small_network.dtype == torch.bfloat16
    for name, value in small_network.state_dict().items():
        gain_or_level = name.startswith("embedding") or any(part in name for part in ("affine", "gate", "norm"))
        assert value.dtype == (torch.float32 if gain_or_level else torch.bfloat16), name


def test_memory_layout_of_the_weights_does_not_matter(
    small_network: CQTDiffPlus, short_transform: ConstantQ, usual: Answer
) -> None:
    x = torch.randn(1, short_transform.length, generator=torch.Generator().manual_seed(0))
    small_network.to(memory_format=torch.contiguous_format)
    assert deviation(through(small_network, short_transform, x, LEVEL), usual[0]) < DEEP


class Stop(Exception):
    pass


def stopping_at(call: int) -> Callable[[], None]:
    """A poll that raises when it is called for the `call`-th time."""
    left = iter(range(call - 1))

    def poll() -> None:
        if next(left, None) is None:
            raise Stop

    return poll


LEVELS = 2 * SMALL.octaves + 1  # down, in the middle, and up again


@pytest.mark.parametrize("save_memory", [False, True])
def test_the_caller_is_polled_between_levels_both_ways(
    small_network: CQTDiffPlus, short_transform: ConstantQ, save_memory: bool
) -> None:
    small_network.save_memory = save_memory
    calls: list[str] = []
    x = torch.zeros(1, short_transform.length).normal_(generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = short_transform.inverse(small_network(short_transform(x), torch.zeros(1, 1), lambda: calls.append("forward")))
    assert calls == ["forward"] * LEVELS
    out.sum().backward()
    assert len(calls) == 2 * LEVELS


@pytest.mark.parametrize("call", [1, LEVELS, LEVELS + 1, 2 * LEVELS])
def test_what_a_poll_raises_ends_the_evaluation(
    small_network: CQTDiffPlus, short_transform: ConstantQ, call: int
) -> None:
    x = torch.randn(1, short_transform.length, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with pytest.raises(Stop):
        octaves = small_network(short_transform(x), torch.zeros(1, 1), stopping_at(call))
        assert call > LEVELS, "the way down should have been interrupted"
        short_transform.inverse(octaves).sum().backward()


def test_polling_changes_nothing(small_network: CQTDiffPlus, short_transform: ConstantQ) -> None:
    octaves = short_transform(torch.randn(1, short_transform.length, generator=torch.Generator().manual_seed(0)))
    level = torch.zeros(1, 1)
    alone, polled = small_network(octaves, level), small_network(octaves, level, lambda: None)
    assert all(torch.equal(a, b) for a, b in zip(alone, polled, strict=True))


def test_attention_that_prefers_no_frame_hears_their_mean() -> None:
    torch.manual_seed(0)
    attention = TimeAttention(channels=8, bins=4, heads=2, buckets=32, distance=64).requires_grad_(False)
    attention.qk.weight.zero_()
    attention.rel_pos.relative_attention_bias.weight.zero_()
    x = torch.randn(1, 8, 4, 12)
    expected = attention.proj_out(attention.proj_in(x).mean(dim=-1, keepdim=True)).expand(-1, -1, -1, 12)
    torch.testing.assert_close(attention(x), expected)


def test_attention_can_be_had_on_any_level(short_transform: ConstantQ) -> None:
    torch.manual_seed(0)
    network = ready(CQTDiffPlus(replace(SMALL, attention=(False, True, False, True))))
    attending = {key.split(".attn_block")[0] for key in network.state_dict() if ".attn_block" in key}
    assert attending == {"downs.1.2", "downs.3.2", "middle.0.1", "ups.0.1", "ups.2.1"}
    x = torch.randn(1, short_transform.length)
    _, gradient = both_ways(network, short_transform, x, torch.zeros(1, 1), x)
    assert gradient.isfinite().all() and gradient.any()


def test_attention_tells_near_frames_apart_and_far_ones_by_their_octave() -> None:
    position = RelativePosition(heads=1, buckets=32, distance=64)
    with torch.no_grad():
        position.relative_attention_bias.weight[:, 0] = torch.arange(32.0)
    buckets = position(200)[0]
    assert buckets[100, 100] == 16  # the second half of the table looks ahead, and at the frame itself
    assert [int(buckets[100, 100 + d]) for d in range(9)] == [16, 17, 18, 19, 20, 21, 22, 23, 24]
    assert [int(buckets[100, 100 - d]) for d in range(1, 9)] == [1, 2, 3, 4, 5, 6, 7, 8]
    # From 8 frames on, 8 buckets for three octaves; beyond 64 all is one.
    assert [int(buckets[0, d]) - 16 for d in (8, 16, 32, 63, 64, 199)] == [8, 10, 13, 15, 15, 15]
    assert torch.equal(buckets[50:150, 50:150], buckets[:100, :100])


def test_noise_frequencies_are_frozen() -> None:
    embedding = CQTDiffPlus(SMALL).embedding
    assert not embedding.RFF_freq.requires_grad
    assert all(layer.weight.requires_grad for layer in embedding.MLP)


def test_a_network_wide_enough_for_winograd_has_the_same_gradient_as_in_float64() -> None:
    """The recorded small network is too narrow for it, the full ones too slow for every day."""
    torch.manual_seed(0)
    network = CQTDiffPlus(Architecture((32, 32), (1, 2), 16, 32)).requires_grad_(False)
    octaves = [torch.randn(1, 16, frames, dtype=torch.complex64) for frames in (32, 64)]

    def answer(network: CQTDiffPlus, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        inputs = [octave.to(dtype).requires_grad_() for octave in octaves]
        level = torch.tensor([[-0.4]], dtype=torch.empty(0, dtype=dtype).real.dtype)
        outputs = network.to(level.dtype)(inputs, level)
        gradients = torch.autograd.grad(sum(out.abs().square().sum() for out in outputs), inputs)
        flat = [torch.cat([part.flatten() for part in parts]) for parts in (outputs, gradients)]
        return flat[0].detach(), flat[1]

    single, double = answer(network, torch.complex64), answer(network.double(), torch.complex128)
    for found, expected in zip(single, double, strict=True):
        # Pictures leave the network in float32 in either case; measured 2e-6.
        torch.testing.assert_close(found, expected.to(torch.complex64), atol=2e-5 * float(expected.abs().max()), rtol=0)
