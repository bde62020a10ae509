"""Short-time spectra, long-term averages, sample rates: recorded numbers, and what signals of known spectrum give."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Vectors, deviation
from torch import Tensor

from babe2.dsp.resampling import resample
from babe2.dsp.spectra import (
    amplitude,
    bin_frequencies,
    decibels,
    equalise,
    framed_spectrum,
    ltas,
    power_at,
    smooth_octaves,
    unframed,
)

# Rounding of float32 FFTs; measured at most 4e-7 of the largest value.
SINGLE = 2e-6


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sine(hertz: float, rate: int, samples: int) -> Tensor:
    """(1, samples)"""
    return torch.sin(2 * math.pi * hertz / rate * torch.arange(samples, dtype=torch.float64)).float()[None]


def test_decibels_are_of_power_and_amplitude_undoes_them() -> None:
    power = torch.tensor([1e-6, 1.0, 2.0, 100.0])
    torch.testing.assert_close(decibels(power), torch.tensor([-60.0, 0.0, 3.0103, 20.0]))
    torch.testing.assert_close(amplitude(decibels(power)).square(), power)


def test_silence_has_decibels_too() -> None:
    assert decibels(torch.zeros(3)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "rate", "fft"), [("small", 8000, 1024), ("piano", 22050, 4096), ("voice", 44100, 4096)]
)
def test_frames_of_the_equalizer_are_the_published_ones(
    name: str, rate: int, fft: int, vectors: Callable[[str], Vectors]
) -> None:
    recorded = vectors(f"filter_{name}")
    assert torch.equal(bin_frequencies(rate, fft), recorded["freqs"])
    frames = torch.view_as_real(framed_spectrum(recorded["xden"], fft))
    assert list(frames.shape) == recorded["stft_shape"].tolist()
    assert deviation(frames.flatten()[::211], recorded["stft_sub"]) < SINGLE


@pytest.mark.parametrize("samples", [1, 2, 511, 512, 513, 1023, 1024, 1025, 5000])
def test_unframing_gives_back_what_was_framed_however_short(samples: int) -> None:
    x = noise(2, samples)
    found = unframed(framed_spectrum(x, 1024), 1024, samples)
    assert deviation(found, x) < SINGLE


def test_ltas_of_a_recording_is_the_published_one(vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("ltas_small")
    x = recorded["recording"]
    assert float(x.std()) == pytest.approx(float(recorded["y_std"]), rel=1e-6)
    found = ltas((x / x.std())[None], fft=1024, window=512, hop=256)
    assert deviation(found, recorded["y_ltas"]) < SINGLE


@pytest.mark.parametrize(
    ("spectrum", "fraction", "smoothed"),
    [("ref", 3, "ref_smooth"), ("ref", 1, "ref_smooth_noct1"), ("y_ltas", 3, "y_smooth")],
)
def test_smoothing_is_the_published_one(
    spectrum: str, fraction: float, smoothed: str, vectors: Callable[[str], Vectors]
) -> None:
    recorded = vectors("ltas_small")
    assert deviation(smooth_octaves(recorded[spectrum], 8000, fraction), recorded[smoothed]) < SINGLE


def test_frames_anywhere_see_the_sound_and_beyond_its_ends_its_mirror_image() -> None:
    x, fft = torch.randn(2, 100, generator=torch.Generator().manual_seed(0)), 16
    starts = torch.tensor([95, -8, 40, 40])
    mirrored = torch.cat([x[:, 1:9].flip(1), x, x[:, -17:-1].flip(1)], dim=1)  # from -8 on
    frames = torch.stack([mirrored[:, start + 8 : start + 8 + fft] for start in starts.tolist()], dim=1)
    window = torch.hann_window(fft)
    expected = torch.fft.rfft(frames * window).abs().square().mean(dim=0) / window.sum() ** 2
    torch.testing.assert_close(power_at(x, starts, fft), expected)
    assert power_at(x, starts[:0], fft).shape == (0, 9)  # of none there is none


def test_equalising_by_the_ratio_of_spectra_starts_where_the_published_program_does(
    vectors: Callable[[str], Vectors],
) -> None:
    recorded = vectors("ltas_small")
    x, reference = recorded["recording"][None], recorded["ref_smooth"]
    unit = 1 / reference.max()
    gap = (decibels(recorded["y_smooth"] * unit) - decibels(reference * unit)).clamp(min=-20)
    found = equalise(x, 1 / amplitude(gap), fft=1024, window=512, hop=256)
    assert deviation(found[0] * x.std() / found.std(), recorded["x_init"]) < 5e-6  # measured at 1.2e-6


def test_ltas_of_white_noise_is_flat_at_its_power() -> None:
    x = 0.5 * noise(2, 400_000)
    found = ltas(x, fft=1024, window=512, hop=256)
    # Divided by the sum of a Hann window, as published, where a power's unit would be the sum of its squares: 3/4.
    expected = 0.25 * 3 / 4
    inner = found[2:-2]  # a real signal's spectrum doubles back at DC and Nyquist
    # 3000 frames overlap by half, so some 2000 count: a bin scatters by 2.2 %, the largest of 500 by four times that.
    assert float(inner.mean()) == pytest.approx(expected, rel=0.005)
    assert float((inner / expected - 1).abs().max()) < 0.1


def test_ltas_grows_with_power_and_forgets_order() -> None:
    x = noise(1, 20_000)
    spectrum = ltas(x, 512, 512, 128)
    torch.testing.assert_close(ltas(10 * x, 512, 512, 128), 100 * spectrum)
    torch.testing.assert_close(ltas(x.flip(-1), 512, 512, 128), spectrum, rtol=0.02, atol=0)  # frames fall differently
    twice = ltas(torch.cat([x, 3 * x]), 512, 512, 128)
    torch.testing.assert_close(twice, 5 * spectrum)  # the mean of 1 and 9


@pytest.mark.parametrize("fraction", [1, 3, 12])
def test_smoothing_keeps_a_flat_spectrum(fraction: float) -> None:
    flat = torch.full((1025,), 0.3)
    torch.testing.assert_close(smooth_octaves(flat, 22050, fraction), flat)


@pytest.mark.parametrize("fraction", [6, 12])
def test_smoothing_is_as_wide_as_its_fraction_of_an_octave(fraction: float) -> None:
    line = torch.zeros(4097)
    line[1000] = 1.0
    smoothed = smooth_octaves(line, 8192, fraction)  # bins 1 Hz apart
    half = (smoothed > smoothed.max() / 2).nonzero()
    # A Gaussian of deviation f / (pi fraction) is 2.355 deviations wide at half its height. It narrows towards lower
    # frequencies, which costs the response to a line a few percent.
    assert float(half[-1] - half[0]) == pytest.approx(2355 / math.pi / fraction, rel=0.05)


def test_smoothing_leaves_dc_and_gives_no_negative_power() -> None:
    power = noise(513).square()
    power[100:200] = 0
    smoothed = smooth_octaves(power, 8000)
    assert smoothed[0] == power[0]
    assert (smoothed >= 0).all()


@pytest.mark.parametrize("samples", [1, 2, 100, 511, 512, 513, 1024])
def test_short_recordings_have_an_average_spectrum_and_can_be_equalised(samples: int) -> None:
    x = noise(1, samples)
    spectrum = ltas(x, fft=1024, window=512, hop=256)
    assert spectrum.shape == (513,) and spectrum.isfinite().all()
    same = equalise(x, torch.ones(513), fft=1024, window=512, hop=256)
    assert same.shape == x.shape
    assert deviation(same, x) < SINGLE


def test_equalising_by_a_constant_changes_nothing_but_the_level() -> None:
    x = noise(2, 9000)
    assert deviation(equalise(x, torch.ones(513), 1024, 512, 256), x) < SINGLE
    assert deviation(equalise(x, torch.full((513,), 2.0), 1024, 512, 256), 2 * x) < SINGLE


def test_equalising_changes_a_tone_by_the_gain_at_its_frequency() -> None:
    x = sine(1000, 8000, 8000)
    gain = torch.ones(513)
    gain[bin_frequencies(8000, 1024) > 500] = 0.25
    middle = slice(1000, 7000)  # the first and last frames see the tone's edges, which sound at all frequencies
    # A Hann window's side lobes four bins and more away carry less than 1e-3.
    assert deviation(equalise(x, gain, 1024, 512, 256)[:, middle], 0.25 * x[:, middle]) < 1e-3


RATES = [(44100, 22050), (22050, 44100), (48000, 22050), (22050, 48000), (8000, 44100), (96000, 44100), (44100, 44100)]


@pytest.mark.parametrize("samples", [1, 2, 3, 100, 4411])
@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_resampling_keeps_the_duration_to_the_sample(rate: int, new_rate: int, samples: int) -> None:
    found = resample(noise(2, samples), rate, new_rate)
    assert found.shape == (2, math.ceil(samples * new_rate / rate))
    assert found.dtype == torch.float32 and found.isfinite().all()


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
# -120 dB: quieter than the last bit of a 16-bit recording, and no fraction of a sample late. The resampler lets the
# top of the band, from 3/4 of Nyquist on, droop by up to 0.004 dB where the ratio is not a whole number.
@pytest.mark.parametrize(("hertz", "error"), [(100, 1e-6), (1000, 1e-6), (3500, 5e-4)])
def test_resampling_keeps_a_tone_in_place(rate: int, new_rate: int, hertz: float, error: float) -> None:
    x = sine(hertz, rate, rate)
    found, expected = resample(x, rate, new_rate), sine(hertz, new_rate, new_rate)
    inner = slice(new_rate // 10, -new_rate // 10)  # away from the ends, where the tone is cut off
    assert float((found - expected)[:, inner].abs().max()) < error


def test_resampling_down_removes_what_would_alias() -> None:
    found = resample(sine(15_000, 44100, 44100), 44100, 22050)
    assert float(found[:, 2000:-2000].abs().max()) < 1e-6


def test_resampling_there_and_back_keeps_what_both_rates_can_carry() -> None:
    x = resample(noise(1, 8000), 8000, 22050)
    back = resample(resample(x, 22050, 44100), 44100, 22050)
    assert deviation(back[:, 200:-200], x[:, 200:-200]) < 1e-5


def test_resampling_channels_together_is_resampling_each() -> None:
    x = noise(3, 5000)
    together = resample(x, 44100, 48000)
    for i in range(3):
        assert torch.equal(together[i : i + 1], resample(x[i : i + 1], 44100, 48000))


LONG = """
import os, sys, tempfile
from pathlib import Path
import torch
from babe2.dsp.spectra import FRAMES, ltas
from babe2.recordings.file_tape import FileTape

torch.set_num_threads(1)
file, _ = tempfile.mkstemp(dir=sys.argv[1])
os.truncate(file, 4 * int(sys.argv[2]) * FRAMES * 1024)  # zeros, which take no room
ltas(FileTape(file, 1), 4096, 2048, 1024)
status = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_the_average_spectrum_of_a_long_recording_takes_the_memory_of_a_short_one(tmp_path: Path) -> None:
    """It took 7 MB more for each round of frames, of which an hour has 76."""
    short, long = (
        int(subprocess.run([sys.executable, "-c", LONG, tmp_path, rounds], capture_output=True, check=True).stdout)
        for rounds in ("2", "12")
    )
    assert long < short + 50_000  # kB
