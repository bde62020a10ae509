"""What is heard in recordings that were made for the purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from babe2 import Restorer, audio
from babe2.analysis.description import analyse
from babe2.analysis.liveliest import liveliest
from babe2.dsp.spectra import ReferenceLtas, ltas
from babe2.errors import RestorationError

RATE = 22050  # Hz
EXAMPLES = Path(__file__).parents[2] / "examples"
Signal = np.ndarray[Any, np.dtype[np.float64]]


def noise(seconds: float = 12, level_db: float = -20, seed: int = 0, rate: int = RATE) -> Signal:
    """White noise of a given RMS."""
    return 10 ** (level_db / 20) * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def times(seconds: float = 12, rate: int = RATE) -> Signal:
    return np.arange(round(seconds * rate)) / rate


def band_passed(x: Signal, low: float, high: float, rate: int = RATE) -> Signal:
    spectrum, hertz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / rate)
    return np.fft.irfft(spectrum * (hertz >= low) * (hertz <= high), len(x))


def music(low: float = 100, high: float = 3400, seconds: float = 12, rate: int = RATE) -> Signal:
    """Noise that comes and goes, between two frequencies and nowhere else."""
    swell = np.sin(2 * np.pi * 0.3 * times(seconds, rate)) ** 2
    return band_passed(noise(seconds, rate=rate) * swell, low, high, rate)


def tones(*frequencies: float, level: float = 0.1, seconds: float = 12) -> Signal:
    return level * sum(np.sin(2 * np.pi * hertz * times(seconds)) for hertz in frequencies)


def advice(audio: object, **rest: Any) -> str:
    return " ".join(analyse(audio, RATE, **rest)["advice"])


# Bandwidth


@pytest.mark.parametrize("high", [1000, 3400, 7000])
@pytest.mark.parametrize("hiss_db", [-100, -60, -45])
def test_music_reaches_to_its_edge_and_hiss_is_not_music(high: float, hiss_db: float) -> None:
    found = analyse(music(high=high) + noise(level_db=hiss_db, seed=1), RATE)
    assert found["bandwidth_high_hz"] == pytest.approx(high, rel=0.2)  # about a band of a sixth of an octave


@pytest.mark.parametrize("low", [60, 150, 400])
def test_music_begins_at_its_lower_edge(low: float) -> None:
    found = analyse(music(low=low) + noise(level_db=-60, seed=1), RATE)
    assert found["bandwidth_low_hz"] == pytest.approx(low, rel=0.25)


def test_clicks_are_not_music() -> None:
    clicks = np.zeros(12 * RATE)
    clicks[np.random.default_rng(2).integers(0, len(clicks), 120)] = 0.5
    found = analyse(music() + noise(level_db=-60, seed=1) + clicks, RATE)
    assert found["bandwidth_high_hz"] == pytest.approx(3400, rel=0.2)


def test_a_pause_does_not_turn_hiss_into_music() -> None:
    sound = music() + noise(level_db=-50, seed=1)
    sound[: len(sound) // 3] = 0
    assert analyse(sound, RATE)["bandwidth_high_hz"] == pytest.approx(3400, rel=0.2)


def test_a_steady_organ_is_told_from_noise_by_its_tones() -> None:
    found = analyse(tones(220, 440, 660, 1100, 1760) + noise(level_db=-50), RATE)
    assert found["bandwidth_low_hz"] == pytest.approx(220, rel=0.13)
    assert found["bandwidth_high_hz"] == pytest.approx(1760, rel=0.13)


def test_a_whistle_far_above_the_music_does_not_widen_it() -> None:
    found = analyse(music(high=2000) + tones(9000, level=0.01), RATE)
    assert found["bandwidth_high_hz"] == pytest.approx(2000, rel=0.2)


def test_nothing_stands_out_from_white_noise() -> None:
    found = analyse(noise(), RATE)
    assert found["bandwidth_low_hz"] is found["bandwidth_high_hz"] is None
    assert "No music stands out" in found["advice"][0]


def test_full_band_music_leaves_little_to_add() -> None:
    full = music(high=15_000, rate=44100)
    assert "music up to 1" in " ".join(analyse(full, 44100)["advice"])
    assert "music up to" not in advice(music())


# Level


def test_a_full_scale_sine_has_the_loudness_the_standard_says() -> None:
    sine = np.sin(2 * np.pi * 997 * times(5, 48000))
    mono, both = analyse(sine, 48000), analyse(np.stack([sine, sine]), 48000)
    assert mono["loudness_lufs"] == pytest.approx(-3.01, abs=0.03)
    assert both["loudness_lufs"] == pytest.approx(0.0, abs=0.03)
    assert mono["rms_dbfs"] == pytest.approx(-3.01, abs=0.01)
    assert mono["peak_dbfs"] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_loudness_does_not_depend_on_the_sample_rate(rate: int) -> None:
    sine = 0.1 * np.sin(2 * np.pi * 997 * times(5, rate))
    assert analyse(sine, rate)["loudness_lufs"] == pytest.approx(-23.01, abs=0.03)


def test_low_sounds_are_less_loud_and_high_ones_louder() -> None:
    low, middle, high = (analyse(tones(hertz), RATE)["loudness_lufs"] for hertz in (30, 1000, 8000))
    assert low - middle == pytest.approx(-9.5, abs=1)  # the curve printed in BS.1770
    assert high - middle == pytest.approx(3.3, abs=0.3)


def test_pauses_do_not_count_in_loudness() -> None:
    sound = tones(997)
    with_pause = np.concatenate([sound, np.zeros_like(sound)])
    assert analyse(with_pause, RATE)["loudness_lufs"] == pytest.approx(analyse(sound, RATE)["loudness_lufs"], abs=0.1)
    assert analyse(with_pause, RATE)["silent_share"] == pytest.approx(0.5, abs=0.01)


def test_the_bands_add_up_to_the_level() -> None:
    found = analyse(noise(), RATE)
    levels = found["ltas"]["level_db"]
    assert len(levels) == len(found["ltas"]["frequencies_hz"]) == len(found["ltas"]["noise_floor_db"])
    assert 10 * np.log10(sum(10 ** (level / 10) for level in levels)) == pytest.approx(-20, abs=0.5)


def test_a_tone_has_its_level_in_its_band() -> None:
    found = analyse(tones(1000), RATE)["ltas"]
    assert found["level_db"][found["frequencies_hz"].index(1000.0)] == pytest.approx(-23.01, abs=0.1)


def test_the_noise_floor_is_heard_between_the_notes() -> None:
    notes = music() * (times() % 3 > 1)
    found = analyse(notes + noise(level_db=-60, seed=1), RATE)
    assert found["noise_floor_dbfs"] == pytest.approx(-60, abs=1.5)


def test_the_dc_offset_is_measured_and_kept_out_of_the_rest() -> None:
    sound = music() + noise(level_db=-60, seed=1)
    found = analyse(sound + 0.2, RATE)
    assert found["dc_offset"] == pytest.approx(0.2, abs=1e-3)
    assert "off centre" in " ".join(found["advice"])
    assert found["ltas"]["level_db"] == pytest.approx(analyse(sound, RATE)["ltas"]["level_db"], abs=0.1)


def test_the_same_sound_is_found_in_every_number_format() -> None:
    sound = music() + noise(level_db=-60, seed=1)
    found = analyse(sound, RATE)
    for stored in (np.rint(sound * 2**15).astype(np.int16), torch.from_numpy(np.rint(sound * 2**31).astype(np.int32))):
        assert analyse(stored, RATE)["ltas"]["level_db"] == pytest.approx(found["ltas"]["level_db"], abs=0.1)
    coarse = np.rint(sound * 128 + 128).astype(np.uint8)
    assert analyse(coarse, RATE)["rms_dbfs"] == pytest.approx(found["rms_dbfs"], abs=0.1)


# Faults


def test_clipping_is_counted_and_located() -> None:
    sound = tones(100) * (times() > 3)
    clipped = analyse(np.clip(sound, -0.05, 0.08), RATE)
    assert clipped["clipping"]["runs"] == 2 * 900  # both sides of 100 periods in each of nine seconds
    assert clipped["clipping"]["first_times_seconds"][0] == pytest.approx(3, abs=0.01)
    assert clipped["clipping"]["share"] == pytest.approx(
        0.75 * (1 / 3 + 0.2048), abs=0.01
    )  # arc cosines of 1/2 and 0.8
    assert "clips at 1800 places, first at 0:03" in " ".join(clipped["advice"])


def test_music_that_is_not_clipped_is_not_called_so() -> None:
    found = analyse(np.rint(music() * 2**15).astype(np.int16), RATE)
    assert found["clipping"] == {"share": 0.0, "runs": 0, "first_times_seconds": []}


@pytest.mark.parametrize(("hertz", "mains"), [(50, 50), (60, 60), (49.7, 50), (60.4, 60)])
def test_hum_is_named_after_its_mains(hertz: float, mains: float) -> None:
    hum = tones(hertz, 2 * hertz, 3 * hertz, level=0.005)
    found = analyse(music(low=200) + hum + noise(level_db=-60, seed=1), RATE)
    assert found["hum"]["frequency_hz"] == mains
    assert f"{mains} Hz" in " ".join(found["advice"])
    assert found["bandwidth_low_hz"] == pytest.approx(200, rel=0.2)  # hum is no music


def test_where_nothing_hums_no_hum_is_found() -> None:
    assert analyse(music(low=30), RATE)["hum"] is None


def test_strong_hiss_asks_for_denoising_and_faint_hiss_does_not() -> None:
    assert "Denoise" in advice(music() + noise(level_db=-45, seed=1))
    assert "Denoise" not in advice(music() + noise(level_db=-80, seed=1))


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros(12 * RATE), "silent"),
        (np.full(12 * RATE, 0.3), "silent"),
        (np.concatenate([music(), np.zeros(20 * RATE)]), "Trim the silence"),
        (music()[: 2 * RATE], "lasts only 2.0 s"),
        (0.01 * music(), "louder transfer"),
        (32768 * music(), "stored as floats"),
        (np.stack([music(), music() + noise(level_db=-70)]), "nearly the same"),
        (np.stack([music(), 0 * music()]), "Channel 2 is silent"),
        (np.stack([music(), *3 * [0 * music()]]), "The channels 2, 3 and 4 are silent"),
        (2e-3 * music() + 4e-4, "off centre by 0.04 % of full scale"),
    ],
)
def test_advice_names_what_is_odd(audio: Signal, words: str) -> None:
    assert words in advice(audio)


def test_a_sound_recording_needs_no_advice() -> None:
    assert analyse(music() + noise(level_db=-80, seed=1), RATE)["advice"] == []


# The reference


def reference(x: Signal, rate: int = RATE) -> ReferenceLtas:
    return ReferenceLtas(ltas(torch.from_numpy(x).float()[None], 2048, 2048, 512), rate)


def test_a_recording_like_the_reference_has_no_ratio_to_speak_of() -> None:
    found = analyse(noise(), RATE, reference(noise(seed=3, level_db=0)))
    above_100 = [ratio for ratio in found["ratio_to_reference_db"][12:] if ratio is not None]
    assert len(above_100) > 30
    assert max(map(abs, above_100)) < 1


def test_what_the_machine_took_shows_in_the_ratio() -> None:
    found = analyse(noise() - band_passed(noise(), 4000, 8000) * 0.9, RATE, reference(noise(seed=3)))
    ratio = dict(zip(found["ltas"]["frequencies_hz"], found["ratio_to_reference_db"], strict=True))
    assert ratio[1000.0] == pytest.approx(0, abs=1)
    assert ratio[5656.9] == pytest.approx(-20, abs=1)


def test_a_reference_comes_in_any_dress_and_ends_at_its_nyquist() -> None:
    expected = reference(noise(rate=8000), 8000)
    found = analyse(noise(), RATE, expected)
    assert found == analyse(noise(), RATE, {"power": expected.power.numpy(), "sample_rate": 8000})
    for hertz, ratio in zip(found["ltas"]["frequencies_hz"], found["ratio_to_reference_db"], strict=True):
        assert (ratio is None) == (hertz > 3700)


def test_music_that_only_just_reaches_the_top_is_worth_restoring() -> None:
    bright = music(high=10_500)
    dull = bright - 0.9 * band_passed(bright, 2000, RATE / 2)
    assert "little for a restoration" in advice(bright, reference=reference(bright))
    assert "little for a restoration" not in advice(dull, reference=reference(bright))


@pytest.mark.parametrize(
    "power", [None, np.zeros(1025), -np.ones(1025), np.full(1025, np.nan), np.ones((2, 1025)), "loud"]
)
def test_a_reference_that_is_none_is_refused(power: object) -> None:
    with pytest.raises(RestorationError, match="reference"):
        analyse(noise(1), RATE, {"power": power, "sample_rate": RATE})


def tilted(x: Signal, db_per_octave: float, rate: int = RATE) -> Signal:
    """Louder by so much with every octave; as loud as before at 1 kHz."""
    hertz = np.fft.rfftfreq(len(x), 1 / rate)
    return np.fft.irfft(np.fft.rfft(x) * np.maximum(hertz / 1000, 0.02) ** (db_per_octave / 6.02), len(x))


WRONG = "Is it another instrument?"


@pytest.mark.parametrize("db_per_octave", [-6, -3, 0, 3, 6])
def test_brighter_and_darker_recordings_are_of_the_same_instrument(db_per_octave: float) -> None:
    played = tilted(music(), db_per_octave) + noise(level_db=-80, seed=1)
    assert WRONG not in advice(played, reference=reference(noise(seed=3)))


@pytest.mark.parametrize("db_per_octave", [-15, 15])
def test_a_spectrum_of_another_shape_is_of_another_instrument(db_per_octave: float) -> None:
    played = tilted(music(), db_per_octave) + noise(level_db=-100, seed=1)
    assert WRONG in advice(played, reference=reference(noise(seed=3)))


def test_a_whistle_is_no_instrument_that_a_reference_with_overtones_knows() -> None:
    whistle = 0.2 * np.sin(2 * np.pi * (1500 * times() + 200 * np.sin(2 * np.pi * 0.4 * times())))
    whistle *= np.sin(2 * np.pi * 0.7 * times()) > 0
    played = whistle + noise(level_db=-80, seed=1)
    assert WRONG in advice(played, reference=reference(noise(seed=3)))
    assert WRONG not in advice(played)  # nothing to compare it with
    assert WRONG not in advice(played[: 3 * RATE], reference=reference(noise(seed=3)))  # too short to tell


def test_an_old_machine_with_a_resonance_makes_no_other_instrument() -> None:
    horn = music() + 3 * band_passed(music(), 900, 1300) - 0.8 * band_passed(music(), 2000, 2600)
    assert WRONG not in advice(horn + noise(level_db=-80, seed=1), reference=reference(noise(seed=3)))


def test_the_piano_that_comes_along_is_a_piano_old_and_new_and_a_whistle_is_not() -> None:
    prior = Restorer.from_checkpoint("piano-small", device="cpu").reference
    for name in ("variation.flac", "old_variation.flac"):
        recording = audio.read(EXAMPLES / name)
        assert WRONG not in " ".join(analyse(recording.audio, recording.sample_rate, prior)["advice"])
    whistle = tones(1500) * (times() % 1 < 0.7) + noise(level_db=-80)
    assert WRONG in advice(whistle, reference=prior)


# The liveliest place


def notes(begin: float, end: float, seconds: float = 60, level: float = 0.1) -> Signal:
    """Four plucked notes a second from `begin` to `end`."""
    sound, since = np.zeros(round(seconds * RATE)), times(1)
    for i, onset in enumerate(np.arange(begin, end, 0.25)):
        first = round(onset * RATE)
        note = level * np.exp(-8 * since) * np.sin(2 * np.pi * (300 + 70 * (i * 5 % 12)) * since)
        sound[first : first + RATE] += note[: len(sound) - first]
    return sound


HISS = noise(60, level_db=-70, seed=4)


def test_the_liveliest_place_is_where_music_is_amid_silence() -> None:
    assert liveliest(notes(30, 40), RATE, 10) == pytest.approx(30, abs=0.2)
    assert liveliest(notes(30, 40) + HISS, RATE, 10) == pytest.approx(30, abs=0.2)


def test_what_sets_in_is_livelier_than_what_stays_and_hisses() -> None:
    early = (times(60) > 5) & (times(60) < 15)
    drone = 0.2 * np.sin(2 * np.pi * 440 * times(60)) * early
    storm = noise(60, level_db=-20) * early
    for duller in (drone, storm):
        assert liveliest(notes(30, 40) + HISS + duller, RATE, 10) == pytest.approx(30, abs=0.3)


def test_clicks_are_not_lively() -> None:
    clicks = np.zeros(60 * RATE)
    clicks[np.random.default_rng(2).integers(5 * RATE, 15 * RATE, 200)] = 0.9
    assert liveliest(notes(30, 40) + HISS + clicks, RATE, 10) == pytest.approx(30, abs=0.3)


def test_what_is_clipped_is_passed_over() -> None:
    loud = np.clip(notes(5, 15, level=3), -0.5, 0.5)
    assert liveliest(notes(30, 40) + loud, RATE, 10) == pytest.approx(30, abs=0.3)


@pytest.mark.parametrize("seconds", [60, 60.1, 1000])
def test_of_a_recording_no_longer_than_the_excerpt_all_is_taken(seconds: float) -> None:
    assert liveliest(notes(30, 40), RATE, seconds) == 0.0


@pytest.mark.parametrize("seconds", [0.001, 0.1, 2, 29.99, 59.99])
def test_an_excerpt_lies_within_its_recording(seconds: float) -> None:
    start = liveliest(notes(50, 60) + HISS, RATE, seconds)
    assert 0 <= start <= 60 - seconds + 1e-3


def test_any_number_format_and_channel_finds_the_same_place() -> None:
    sound = notes(30, 40) + HISS
    stereo = np.stack([0 * sound, sound])
    found = liveliest(sound, RATE, 10)
    stored = np.rint(2**15 * sound).astype(np.int16)
    for same in (stored, torch.from_numpy(stored), stereo, torch.from_numpy(stereo), sound.tolist()):
        assert liveliest(same, RATE, 10) == pytest.approx(found, abs=0.1)


def test_of_an_hour_moments_are_listened_to() -> None:
    hour = np.zeros(3600 * 1000, np.float32)
    hour[2_000_000:2_020_000] = music(high=400, seconds=20, rate=1000)
    hour[::7919] = 0.5
    assert liveliest(hour, 1000, 20) == pytest.approx(2000, abs=1)


@pytest.mark.parametrize("dull", [np.zeros(60 * RATE), np.ones((2, 60 * RATE)), np.zeros((2, 3), np.int16)])
def test_where_nothing_is_lively_it_is_the_beginning(dull: Signal) -> None:
    assert liveliest(dull, RATE, 10) == 0.0


def test_what_is_no_recording_has_no_liveliest_place() -> None:
    for odd in (np.zeros((RATE, 2)), np.full(60 * RATE, np.nan), np.zeros((1, 2, 60 * RATE))):
        with pytest.raises(RestorationError):
            liveliest(odd, RATE, 10)


# The whole


def test_of_a_long_recording_excerpts_are_looked_at() -> None:
    sound = music(high=400, seconds=600, rate=1000)
    sound[-5000:-4980] = 1.0
    sound[-3000:-2980] = sound[-2000:-1980] = 1.0
    found = analyse(sound, 1000)
    assert (found["duration_seconds"], found["looked_at_seconds"]) == (600, 300)
    assert found["clipping"]["first_times_seconds"] == [595, 597, 598]


@pytest.mark.parametrize("rate", [1000, 8000, 768_000])
@pytest.mark.parametrize("samples", [1, 2, 99, 5000])
@pytest.mark.parametrize("level", [0.0, 1e-30, 1.0, 1e9])
def test_any_recording_gives_numbers_that_json_can_hold(rate: int, samples: int, level: float) -> None:
    audio = level * np.random.default_rng(0).standard_normal((2, samples))
    found = json.loads(json.dumps(analyse(audio, rate, ReferenceLtas(torch.ones(65), 8000)), allow_nan=False))
    assert found["channels"] == 2
    assert found["advice"]


def test_what_is_no_recording_is_refused_with_its_place() -> None:
    broken = music()
    broken[5 * RATE] = np.nan
    with pytest.raises(RestorationError, match="At 0:05"):
        analyse(broken, RATE)
    with pytest.raises(RestorationError, match="transposed"):
        analyse(np.zeros((RATE, 2)), RATE)
