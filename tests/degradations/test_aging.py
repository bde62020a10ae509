"""What ages a recording is measured on what it does to tones, noise and silence."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from babe2 import RestorationError
from babe2.degradations.aging import Aging, age, degrade
from babe2.degradations.families import FAMILIES, MODERN, family_of
from babe2.degradations.horn import HornResponse
from babe2.degradations.surface import MEASURED, Hum, Sloping, Surface, measured, surface_noise
from babe2.degradations.transfer import Coding, Denoiser, Gate, saturated, stepped, tilted
from babe2.dsp.curves import FLAT
from babe2.dsp.spectra import average_power, bin_frequencies, decibels

RATE = 22050  # Hz
QUIET = Surface(None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(hertz: float, seconds: float = 2.0) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE).float()


def level_db(x: Tensor, low: float, high: float) -> float:
    power = average_power(x[None, None], 4096, 1024)
    hertz = bin_frequencies(RATE, 4096)
    return float(decibels(power[(hertz >= low) & (hertz < high)].sum()))


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_ages_any_sound_in_any_shape(name: str) -> None:
    generator = seeded()
    for shape in ((RATE,), (2, RATE // 2)):
        sound = 0.1 * torch.randn(shape, generator=generator)
        for _ in range(6):
            aged = age(sound, RATE, FAMILIES[name].draw(generator), generator)
            assert aged.recording.shape == shape and aged.recording.isfinite().all()
            torch.testing.assert_close(aged.music + aged.noise, aged.recording)


def test_one_seed_one_old_recording() -> None:
    sound = tone(440.0)
    for family in FAMILIES.values():
        one, two, other = (degrade(sound, RATE, family.draw(seeded(s)), seeded(s)) for s in (3, 3, 4))
        assert torch.equal(one, two) and not torch.equal(one, other)


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(RestorationError, match="horn, cylinder"):
        family_of("gramophone")


def test_nothing_ends_the_band_of_a_modern_recording() -> None:
    drawn = [MODERN.draw(seeded(seed)) for seed in range(50)]
    assert all(isinstance(d.response, HornResponse) and d.response.high_hz is None for d in drawn)
    hertz = torch.linspace(100, 10_000, 200)
    assert max(float(d.response.gain_db(hertz).abs().max()) for d in drawn) < 6


@pytest.mark.parametrize("name", MEASURED)
def test_noise_of_a_real_surface_has_its_spectrum_and_level(name: str) -> None:
    music = tone(440.0, 8.0)
    noise = surface_noise(music, RATE, Surface(-20.0, measured(name)), seeded())
    assert 20 * math.log10(float(noise.std() / music.std())) == pytest.approx(-20, abs=0.2)
    thirds = [level_db(noise, f * 2 ** (-1 / 6), f * 2 ** (1 / 6)) - 10 * math.log10(f) for f in (500, 1000, 4000)]
    expected = measured(name).gain_db(torch.tensor([500.0, 1000.0, 4000.0]))
    for found, wanted in zip(thirds, expected.tolist(), strict=True):
        assert found - thirds[1] == pytest.approx(wanted - float(expected[1]), abs=1.5)


def test_parametric_noise_falls_as_it_says() -> None:
    spectrum = Sloping(-3.0, 4000.0, -6.0)
    gains = spectrum.gain_db(torch.tensor([500.0, 1000.0, 4000.0, 8000.0])).tolist()
    assert gains == pytest.approx([3, 0, -6, -15])


def test_noise_swells_with_the_disc() -> None:
    noise = surface_noise(tone(440.0, 8.0), RATE, Surface(-20.0, swell_db=12.0, turns_hz=1.25), seeded())
    tenths = noise[: RATE // 10 * 80].unflatten(0, (80, -1)).std(dim=1)
    assert 8 < 20 * math.log10(float(tenths.max() / tenths.min())) < 14


def test_clicks_are_as_many_as_they_say_and_short() -> None:
    noise = surface_noise(tone(440.0, 10.0), RATE, Surface(None, clicks=3.0), seeded())
    loud = (noise.abs() > 1e-4).float()
    places = int(((loud[1:] - loud[:-1]) > 0).sum())
    assert 20 <= places <= 30
    assert loud.mean() < 0.02


def test_hum_is_lines_of_its_levels() -> None:
    music = tone(440.0, 8.0)
    noise = surface_noise(music, RATE, Surface(None, hum=Hum(50.0, -20.0, 10.0, 3)), seeded())
    music_db = level_db(music, 0, RATE)
    for order, expected in ((1, -20), (2, -30), (3, -40)):
        assert level_db(noise, 50 * order - 15, 50 * order + 15) - music_db == pytest.approx(expected, abs=0.7)


def test_a_gate_softens_what_is_soft_and_leaves_what_is_loud() -> None:
    loud, soft = tone(440.0, 2.0), 0.01 * tone(440.0, 2.0)
    sound = torch.cat([loud, soft, loud])
    gated = age(sound, RATE, Aging(FLAT, surface=QUIET, gate=Gate(-20.0, 1.0, 15.0, 0.1)), seeded()).recording
    middle = slice(3 * RATE, 4 * RATE - RATE // 4)
    assert 20 * math.log10(float(gated[middle].std() / sound[middle].std())) == pytest.approx(-15, abs=0.5)
    assert 20 * math.log10(float(gated[RATE : 2 * RATE - RATE // 4].std() / loud.std())) == pytest.approx(0, abs=0.3)


def test_a_denoiser_takes_noise_down_and_leaves_tones() -> None:
    music = tone(440.0, 4.0)
    plain = Aging(FLAT, surface=Surface(-30.0))
    noisy, cleaned = (age(music, RATE, a, seeded()) for a in (plain, replace(plain, denoiser=Denoiser(15.0, 2.0))))
    assert level_db(cleaned.recording, 2000, 8000) < level_db(noisy.recording, 2000, 8000) - 6
    assert level_db(cleaned.recording, 400, 480) == pytest.approx(level_db(noisy.recording, 400, 480), abs=0.5)


def test_a_coder_leaves_nothing_above_its_wall() -> None:
    noise = torch.randn(4 * RATE, generator=seeded())
    coded = degrade(noise, RATE, Aging(FLAT, surface=QUIET, coding=Coding(5000.0, 60.0)), seeded())
    assert level_db(coded, 5050, 11000) < level_db(coded, 1000, 5000) - 90
    assert level_db(coded, 1000, 4500) == pytest.approx(level_db(noise, 1000, 4500), abs=0.2)


def test_undone_frames_are_the_sound_again() -> None:
    noise = torch.randn(2, 12_345, generator=seeded(), dtype=torch.float64)
    through = Coding(1e9, 300.0).for_sound(noise, noise, RATE)
    torch.testing.assert_close(through(noise)[:, 600:-600], noise[:, 600:-600], atol=1e-6, rtol=0)


def test_a_tilted_head_delays_one_channel() -> None:
    sound = tone(1000.0)
    late = tilted(torch.stack([sound, sound]), RATE, 1e-4)
    expected = torch.sin(2 * math.pi * 1000 * (torch.arange(len(sound)) / RATE - 1e-4))
    torch.testing.assert_close(late[0], sound, atol=1e-4, rtol=0)
    torch.testing.assert_close(late[1][200:-200], expected[200:-200], atol=5e-3, rtol=0)


def test_coarse_steps_are_as_many_as_their_bits() -> None:
    sound = stepped(tone(441.0), 8)
    assert len(sound.unique()) <= 257
    assert 20 * math.log10(float((sound - tone(441.0)).std() / tone(441.0).std())) == pytest.approx(-52, abs=3)


def test_saturation_bends_peaks_only() -> None:
    sound = tone(441.0)
    bent = saturated(sound, 1.0)
    assert bent.abs().max() < 0.8
    torch.testing.assert_close(bent[:1], sound[:1])
    assert level_db(bent, 1200, 1450) > level_db(sound, 1200, 1450) + 20  # a third partial
