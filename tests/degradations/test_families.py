"""An old machine's response is read off where it can be worked out by hand, and off what it does to tones and noise."""

import math

import pytest
import torch
from torch import Tensor

from babe2.degradations.aging import Aging, degrade
from babe2.degradations.families import ResponseFamily
from babe2.degradations.horn import Bump, HornResponse
from babe2.degradations.response import coloured_by
from babe2.degradations.surface import Surface
from babe2.dsp.curves import SampledCurve

RATE = 22050  # Hz
BUTTERWORTH_DB = 10 * math.log10(2)  # what any of them takes off at its edge


def tone(hertz: float, seconds: float = 1.0) -> Tensor:
    turns = hertz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return torch.sin(2 * math.pi * turns).float()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gain_at(response: HornResponse, hertz: float) -> float:
    return response.gain_db(torch.tensor([hertz], dtype=torch.float64)).item()


@pytest.mark.parametrize(
    ("response", "hertz", "expected_db"),
    [
        (HornResponse(), 3000, 0.0),
        (HornResponse(high_hz=3000, slope_db=0), 3000, -BUTTERWORTH_DB),
        (HornResponse(high_hz=3000), 3000, -BUTTERWORTH_DB),  # the further slope begins at the edge
        (HornResponse(high_hz=3000), 300, 0.0),
        (HornResponse(high_hz=1000, order=4), 8000, -3 * (4 * 6.0206 + 8)),  # three octaves, far from the knee
        (HornResponse(high_hz=1000, order=8, slope_db=0), 8000, -3 * 8 * 6.0206),
        (HornResponse(low_hz=120), 120, -BUTTERWORTH_DB),
        (HornResponse(low_hz=160), 20, -3 * 2 * 6.0206),
        (HornResponse(low_hz=160), 1600, 0.0),
        (HornResponse(bumps=(Bump(500, 6.0, 0.25),)), 500, 6.0),
        (HornResponse(bumps=(Bump(500, 6.0, 0.5),)), 500 * 2**0.5, 6.0 * math.exp(-0.5)),
        (HornResponse(bumps=(Bump(500, 6.0, 0.25), Bump(500, -4.0, 0.1))), 500, 2.0),
    ],
)
def test_edges_and_bumps_are_where_and_as_steep_as_they_say(
    response: HornResponse, hertz: float, expected_db: float
) -> None:
    assert gain_at(response, hertz) == pytest.approx(expected_db, abs=0.01)


@pytest.mark.parametrize("hertz", [1e-3, 1e6])
def test_far_beyond_its_edges_a_response_is_low_but_a_number(hertz: float) -> None:
    assert -2000 < gain_at(HornResponse(120, 3000, 8), hertz) < -100


def test_what_is_drawn_lies_within_the_family() -> None:
    family, generator = ResponseFamily(), seeded()
    drawn = [family.draw(generator) for _ in range(300)]
    responses = [degradation.response for degradation in drawn]
    assert all(isinstance(response, HornResponse) for response in responses)
    bumps = [bump for response in responses for bump in response.bumps]
    for values, (lowest, highest) in (
        ([response.low_hz for response in responses], (90, 180)),
        ([response.high_hz for response in responses], (2700, 3500)),
        ([response.order for response in responses], (4, 8)),
        ([bump.centre_hz for bump in bumps], (250, 2600)),
        ([abs(bump.height_db) for bump in bumps], (4, 10)),
        ([bump.octaves for bump in bumps], (0.15, 0.45)),
    ):
        assert lowest <= min(values) < lowest + (highest - lowest) / 10  # and all of the range is used
        assert highest - (highest - lowest) / 10 < max(values) <= highest
    assert {len(response.bumps) for response in responses} == {3}
    assert {degradation.surface.noise_db for degradation in drawn} == {-58.0}
    # Two in three, and 900 coins scatter by 0.016; half of the bumps lie below the middle of the octaves.
    assert sum(bump.height_db > 0 for bump in bumps) / len(bumps) == pytest.approx(2 / 3, abs=0.05)
    assert sum(bump.centre_hz < math.sqrt(250 * 2600) for bump in bumps) / len(bumps) == pytest.approx(1 / 2, abs=0.06)


def test_one_seed_one_machine() -> None:
    family = ResponseFamily()
    assert family.draw(seeded(3)) == family.draw(seeded(3))
    assert family.draw(seeded(3)) != family.draw(seeded(4))


@pytest.mark.parametrize("order", [4.0, 8.0])
def test_what_lies_far_above_the_edge_is_lost_in_the_noise(order: float) -> None:
    """Music 40 dB weaker there than on average is, behind any of the machines, as weak as their noise."""
    machine = HornResponse(high_hz=3000, order=order)
    assert gain_at(machine, 1.5 * 3000) < -18
    assert gain_at(machine, 2 * 3000) < -32


@pytest.mark.parametrize("shape", [(RATE,), (2, RATE), (1, 999), (3, 12345)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_degraded_recording_has_the_shape_and_kind_of_the_good_one(shape: tuple[int, ...], kind: torch.dtype) -> None:
    audio = torch.randn(shape, generator=seeded(), dtype=kind)
    spoiled = degrade(audio, RATE, ResponseFamily().draw(seeded()), seeded())
    assert spoiled.shape == shape and spoiled.dtype == kind
    assert spoiled.isfinite().all()


@pytest.mark.parametrize("hertz", [60.0, 500.0, 3000.0, 5000.0])
def test_a_tone_comes_out_at_its_gain_and_in_phase(hertz: float) -> None:
    response = HornResponse(120, 3000, 4, bumps=(Bump(500, 9.0, 0.3),))
    coloured = coloured_by(tone(hertz), RATE, response)
    middle = slice(RATE // 4, 3 * RATE // 4)
    expected = 10 ** (gain_at(response, hertz) / 20) * tone(hertz)
    torch.testing.assert_close(coloured[middle], expected[middle], atol=1e-3, rtol=0)


def test_a_flat_machine_without_noise_changes_nothing_but_the_offset() -> None:
    audio = torch.randn(2, RATE, generator=seeded(), dtype=torch.float64)
    audio = audio - audio.mean(dim=-1, keepdim=True)  # nothing passes at DC
    flat = Aging(SampledCurve(torch.tensor([1.0, 2.0]), torch.zeros(2)), surface=Surface(None))
    torch.testing.assert_close(degrade(audio, RATE, flat, seeded()), audio)
    assert degrade(torch.ones(RATE), RATE, flat, seeded()).abs().max() < 0.6  # half, beside a second of silence


def test_the_end_does_not_ring_into_the_beginning() -> None:
    click = torch.zeros(RATE)
    click[-1] = 1
    ringing = coloured_by(click, RATE, HornResponse(150, 3000, 8, bumps=(Bump(250, 10.0, 0.15),)))
    assert ringing[-2000:].abs().max() > 0.01
    assert ringing[: RATE // 2].abs().max() < 1e-5


@pytest.mark.parametrize("noise_db", [-58.0, -20.0])
def test_the_noise_is_white_and_as_loud_as_it_says(noise_db: float) -> None:
    audio, response = tone(440, 4.0), HornResponse(120, 3000, 6, bumps=(Bump(440, 8.0, 0.3),))
    coloured = coloured_by(audio, RATE, response)
    noise = degrade(audio, RATE, Aging(response, surface=Surface(noise_db)), seeded()) - coloured
    ratio_db = 20 * math.log10(float(noise.std() / coloured.std()))
    assert ratio_db == pytest.approx(noise_db, abs=0.1)
    power = torch.fft.rfft(noise).abs().square()
    halves = [float(half.mean()) for half in power.chunk(2)]
    assert halves[0] == pytest.approx(halves[1], rel=0.05)


def test_noise_comes_from_the_generator_alone() -> None:
    machine, before = ResponseFamily().draw(seeded()), torch.get_rng_state()
    first, again, other = (degrade(tone(440), RATE, machine, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
