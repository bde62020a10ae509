"""The low-passes of BEHM-GAN, against numbers recorded from the published program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from babe2.degradations.lowpass_bank import TAPS, ButterworthLowpass, bank, cutoffs, fir_lowpass
from babe2.errors import RestorationError

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "behm_gan" / "lpf.npz")
RATE = 22050


def recorded(name: str) -> torch.Tensor:
    return torch.from_numpy(RECORDED[name])


def test_the_bank_is_the_published_one() -> None:
    assert np.array_equal(cutoffs(), RECORDED["fc"])
    taps = torch.stack([lowpass.taps for lowpass in bank(RATE)])
    torch.testing.assert_close(taps, recorded("fir_bank"), atol=1e-15, rtol=0)


def test_a_filter_of_the_bank_does_what_the_published_one_does() -> None:
    heard = bank(RATE)[int(RECORDED["fir_index"])](recorded("x"))
    edge = TAPS // 2  # the recorded numbers go on where these end
    torch.testing.assert_close(heard[:, :-edge], recorded("y_fir")[:, :-edge], atol=1e-6, rtol=0)


def test_the_butterworth_filter_has_the_published_coefficients() -> None:
    b, a = ButterworthLowpass(RATE).coefficients
    torch.testing.assert_close(b, recorded("butter_b"), atol=1e-15, rtol=0)
    torch.testing.assert_close(a, recorded("butter_a"), atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    ("heard_of", "expected", "clamped"),
    [
        ("x", "y_butter", False),
        ("x_loud", "y_butter_loud_unclamped", False),
        ("x_loud", "y_butter_loud_clamped", True),
    ],
)
def test_the_butterworth_filter_does_what_the_published_one_does(heard_of: str, expected: str, clamped: bool) -> None:
    heard = ButterworthLowpass(RATE, clamped=clamped)(recorded(heard_of))
    # The published one is a recursion in float32: its own rounding was measured at 5e-6 of loud sound.
    torch.testing.assert_close(heard, recorded(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("hertz", [500.0, 3000.0, 8000.0])
def test_a_butterworth_filter_is_3_db_down_at_its_cut_off_and_leaves_the_bass_alone(hertz: float) -> None:
    response = torch.fft.rfft(ButterworthLowpass(RATE, hertz).impulse_response, n=RATE).abs()
    assert response[0].item() == pytest.approx(1, abs=1e-8)
    assert response[int(hertz)].item() == pytest.approx(0.5**0.5, abs=1e-6)


def test_low_passed_music_is_as_long_as_it_was_and_can_be_differentiated() -> None:
    for lowpass in (fir_lowpass(3000, RATE), ButterworthLowpass(RATE)):
        for samples in (1, 24, 5000):
            music = torch.ones(2, samples, requires_grad=True)
            heard = lowpass(music)
            assert heard.shape == music.shape and heard.dtype == music.dtype
            (slope,) = torch.autograd.grad(heard.sum(), music)
            assert slope.isfinite().all()


def test_a_cut_off_that_the_rate_does_not_carry_is_refused() -> None:
    with pytest.raises(RestorationError, match="between 0 and 4000 Hz, not at 4000 Hz"):
        fir_lowpass(4000, 8000)
    with pytest.raises(RestorationError, match="between 0 and 11025 Hz, not at -1 Hz"):
        ButterworthLowpass(RATE, -1.0)(torch.zeros(1, 8))
