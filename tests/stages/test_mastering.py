"""Mastering: the published numbers where they are wished, and otherwise what the stages' sentences say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from babe2 import Cancelled, Chain, RestorationError, stages
from babe2.dsp.dither import STEPS, rounded
from babe2.dsp.envelope import peak_envelope, smoothing
from babe2.dsp.loudness import integrated_loudness
from babe2.dsp.peaks import true_peak
from babe2.dsp.resampling import resample
from babe2.dsp.tape import MemoryTape
from babe2.stages import STAGES, Bench
from babe2.stages.bandwidth import Bandwidth
from babe2.stages.compress import Compress
from babe2.stages.convert import Convert
from babe2.stages.finalise import Finalise
from babe2.stages.gate import Gate
from babe2.stages.pieces import PIECE
from babe2.stages.shape import Shape

RATE = 44_100
PUBLISHED = np.load(Path(__file__).parents[1] / "reference" / "musicgen" / "stages.npz")
RANDOM = np.random.default_rng(0)


def bright(seconds: float = 4.0, rate: int = 32_000, seed: int = 0) -> np.ndarray:
    """Struck chords of two channels whose partials go up to half the rate: (2, T)."""
    random, time = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    sound = 0.02 * random.standard_normal((2, len(time))) * np.exp(-30 * (time % 0.25))
    for pitch in (220.0, 277.2, 329.6):
        partials = np.arange(1, int(0.49 * rate / pitch))[:, None]
        phases = random.uniform(0, 6.28, partials.shape)
        tone = (np.sin(2 * np.pi * pitch * partials * time + phases) / partials).sum(axis=0)
        sound += 0.06 * random.uniform(0.5, 1, (2, 1)) * tone * np.exp(-4 * (time % 0.5))
    return sound.astype(np.float32)


BRIGHT = bright()


def level_db(sound: np.ndarray, rate: int, low: float, high: float) -> float:
    """How much lies between two frequencies, dB."""
    hertz = np.fft.rfftfreq(sound.shape[-1], 1 / rate)
    power = np.abs(np.fft.rfft(sound)[..., (hertz >= low) & (hertz < high)]) ** 2
    return float(10 * np.log10(power.sum() + 1e-30))


def peak_db(sound: np.ndarray) -> float:
    return float(20 * np.log10(true_peak(MemoryTape(torch.from_numpy(sound)))))


# As published


@pytest.mark.parametrize(
    ("name", "before", "after", "rate", "settings", "tolerance"),
    [
        ("gate", "x", "s1_spectral", 32_000, {}, 8e-9),  # the spectral gate itself to 4e-9
        ("bandwidth", "s1_spectral", "s2", 32_000, {}, 1e-8),
        ("compress", "s2", "s2", 44_100, None, 0),  # nothing of it passes the threshold
        ("shape", "s2", "s4", 44_100, {}, 4e-8),
        ("finalise", "s4", "s5", 44_100, {"seed": 401}, 1e-7),
    ],
)
def test_each_published_stage_gives_the_published_samples(
    name: str, before: str, after: str, rate: int, settings: dict[str, int] | None, tolerance: float
) -> None:
    given = {} if settings is None else {"method": "as-published", **settings}
    made, _ = STAGES[name].apply_to(PUBLISHED[before], rate, **given)
    np.testing.assert_allclose(made[0], PUBLISHED[after], rtol=0, atol=tolerance)


def test_the_published_chain_gives_the_published_samples() -> None:
    chain = Chain.load("master-as-published")
    chain = replace(
        chain, links=(*chain.links[:-1], replace(chain.links[-1], stage=chain.links[-1].stage.changed(seed=401)))
    )
    made, _ = chain(PUBLISHED["x"], 32_000)
    assert made.shape == (1, 66_150)
    np.testing.assert_allclose(made[0], PUBLISHED["s5"], rtol=0, atol=6e-7)  # the equaliser's 4e-8, 14 times louder


def test_the_published_wiener_gain_is_one_number() -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    sound[:, RATE // 2 :] *= 3
    made, _ = stages.gate(sound, RATE, method="as-published-wiener")
    noise = sound[:, : RATE // 2].var()
    np.testing.assert_allclose(made, sound * sound.var() / (sound.var() + noise + 1e-10), rtol=1e-5)


# What all of them do


@pytest.mark.parametrize(
    "stage",
    [Convert(rate=48_000), Gate(), Bandwidth(), Compress(), Shape(), Finalise(lufs=-12.0)],
    ids=lambda s: s.name,
)
def test_the_samples_do_not_depend_on_where_reading_begins(stage: stages.Stage) -> None:
    paused = BRIGHT.copy()
    paused[:, 25_000:45_000] = 0
    noisy = paused + 1e-3 * np.random.default_rng(1).standard_normal(paused.shape).astype(np.float32)
    noisy = resample(torch.from_numpy(noisy), 32_000, RATE)
    tape, whole = MemoryTape(noisy), stage.begin(MemoryTape(noisy), RATE, Bench())
    made, again = whole.read(0, whole.samples), stage.begin(tape, RATE, Bench())
    assert not torch.equal(made[:, : noisy.shape[1]], noisy[:, : whole.samples])
    assert torch.equal(again.read(PIECE + 77, PIECE + 5000), made[:, PIECE + 77 : PIECE + 5000])
    assert torch.equal(again.read(100, 200), made[:, 100:200])


@pytest.mark.parametrize("rate", [8000, 192_000])
@pytest.mark.parametrize("sound", [np.zeros((2, 4000)), np.full((1, 1), 0.1), 0.1 * RANDOM.standard_normal((6, 800))])
def test_any_sound_can_be_mastered(sound: np.ndarray, rate: int) -> None:
    made, report = Chain.load("master")(sound.astype(np.float32), rate)
    assert made.shape == (len(sound), -(-sound.shape[1] * RATE // rate)) and np.isfinite(made).all()
    assert made.any() == sound.any() and report["statement"].endswith("nothing was generated.")


# One by one


def test_a_gate_opens_for_music_and_closes_in_pauses_and_is_left_out_where_no_noise_is_heard() -> None:
    paused = BRIGHT.copy()
    paused[:, 40_000:70_000] = 0
    noise = 1e-3 * np.random.default_rng(1).standard_normal(paused.shape).astype(np.float32)
    made, report = stages.gate(paused + noise, 32_000)
    assert np.square(made[:, 45_000:65_000]).mean() < 0.2 * np.square(noise).mean()
    change = np.square((made - paused - noise)[:, :38_000]).mean() / np.square(paused[:, :38_000]).mean()
    assert change < 1e-4 and report["found"]["noise_floor_db"] == pytest.approx(-60, abs=4)
    for clean in (BRIGHT, paused):
        made, report = stages.gate(clean, 32_000)
        assert np.array_equal(made, clean) and "No noise floor" in report["warnings"][0]


def test_harmonics_appear_where_there_were_none_in_one_place_between_the_channels() -> None:
    made, report = stages.bandwidth(np.stack([BRIGHT[0], 0.5 * BRIGHT[0]]), 32_000)
    below, above = level_db(made, RATE, 12_000, 14_000), level_db(made, RATE, 16_500, 18_500)
    assert below - 6 < above < below and report["found"]["end_hz"] == pytest.approx(15_500, abs=600)
    np.testing.assert_allclose(made[0], 2 * made[1], atol=1e-5)
    assert "synthesised" in report["found"]["statement"]
    untouched = resample(torch.from_numpy(BRIGHT), 32_000, RATE).numpy()
    assert level_db(made - untouched[:1] * [[1.0], [0.5]], RATE, 0, 15_000) < below - 40


def test_a_full_band_is_left_alone() -> None:
    full = bright(2.0, RATE)
    made, report = stages.bandwidth(full, RATE)
    assert np.array_equal(made, full) and report["found"]["end_hz"] is None


def test_the_envelope_is_that_of_the_recursion() -> None:
    for attack, release in ((10.0, 100.0), (50.0, 5.0), (0.1, 300.0)):
        up, down = smoothing(attack, RATE), smoothing(release, RATE)
        level, last, expected = np.abs(BRIGHT[0, :20_000]).astype(float), 0.0, []
        for x in level:
            last = x + (up if x > last else down) * (last - x)
            expected.append(last)
        np.testing.assert_allclose(peak_envelope(torch.from_numpy(level), up, down), expected, atol=1e-12)


def test_a_compressor_lets_a_quarter_of_the_decibels_above_the_threshold_pass_on_both_sides_alike() -> None:
    steady = np.outer([1.0, 0.1], np.ones(RATE)).astype(np.float32)  # 20 dB over
    made, _ = stages.compress(steady, RATE)
    np.testing.assert_allclose(20 * np.log10(made[:, -1]), [-15, -35], atol=0.01)


def test_air_is_lifted_and_nothing_is_cut() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 2 * RATE)).astype(np.float32)
    made, _ = stages.shape(noise, RATE, air_db=3)
    lifted = [level_db(made, RATE, *band) - level_db(noise, RATE, *band) for band in ((10_000, 16_000), (50, 7500))]
    np.testing.assert_allclose(lifted, [3, 0], atol=0.02)
    with pytest.raises(RestorationError, match="Put bandwidth before it"):
        stages.shape(noise, 32_000, method="as-published")


@pytest.mark.parametrize(("sound", "lufs"), [(BRIGHT, -11), (0.1 * RANDOM.standard_normal((2, 60_000)), -7)])
def test_no_peak_passes_the_ceiling_however_loud_it_is_to_be(sound: np.ndarray, lufs: float) -> None:
    made, report = stages.finalise(sound, RATE, lufs=lufs, true_peak_db=-1)
    assert peak_db(made) <= -1 and report["found"]["limited_db"] < -0.5
    assert integrated_loudness(made, RATE) == pytest.approx(lufs, abs=0.15)
    assert np.array_equal(made * STEPS, np.round(made * STEPS))  # of 24 bits
    quiet, _ = stages.finalise(sound, RATE)
    assert -1.01 < peak_db(quiet) <= -1


def test_whoever_stops_the_work_need_not_wait_until_all_is_measured() -> None:
    with pytest.raises(Cancelled):
        Finalise().begin(MemoryTape(torch.ones(1, 100)), RATE, Bench(cancelled=lambda: True))


def test_dither_is_noise_of_its_kind_and_of_its_seed() -> None:
    sound = torch.full((1, 40_000), 0.3 / STEPS)
    for kind, power, low in (("triangular", 0.25, 0.25), ("shaped", 1.5, 0.01)):
        error = ((rounded(sound, kind, (1, 0)) - sound) * STEPS).double()
        assert error.mean().abs() < 0.02 and error.var().item() == pytest.approx(power, rel=0.1)
        spectrum = torch.fft.rfft(error[0]).abs().square() / error.shape[1]
        assert spectrum[100:2000].mean() < 1.1 * low  # up to a twentieth of the rate
    assert not rounded(sound, "none", (0,)).any()
    assert not torch.equal(rounded(sound, "triangular", (1, 0)), rounded(sound, "triangular", (2, 0)))
