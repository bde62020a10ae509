"""What is generated comes out as loud as such music is; a listener may want it brighter or darker."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from babe2.analysis.chain import RecordingChain
from babe2.analysis.evidence import band_centres
from babe2.dsp.curves import FLAT, SampledCurve
from babe2.dsp.spectra import ReferenceLtas, average_power, bin_frequencies, decibels
from babe2.dsp.tape import MemoryTape
from babe2.methods.brilliance import LEAST_DB, MOST_DB, Brilliance, brightened

RATE, END_HZ = 22050, 3000.0
WHITE = ReferenceLtas(torch.ones(2049), RATE)


def chain(*, ends: bool = True, music_db: float | None = 0.0) -> RecordingChain:
    hertz = band_centres()
    music = None if music_db is None else SampledCurve(hertz, torch.where(hertz > END_HZ, music_db, 0.0))
    return RecordingChain(FLAT, SampledCurve(hertz, torch.full_like(hertz, -80)), 50.0, END_HZ, ends, music=music)


def sound(above_db: float) -> Tensor:
    """White noise (1, T), and above the band's end so much louder."""
    white = torch.randn(1, 8 * RATE, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(white)
    spectrum[:, torch.fft.rfftfreq(white.shape[1], 1 / RATE) > END_HZ] *= 10 ** (above_db / 20)
    return torch.fft.irfft(spectrum, white.shape[1])


def level_db(x: Tensor, low: float, high: float) -> float:
    hertz = bin_frequencies(RATE, 4096)
    return float(decibels(average_power(x[:, None], 4096, 1024)[(hertz > low) & (hertz < high)].mean()))


@pytest.mark.parametrize(
    ("found_db", "expected_db"), [(-8.0, 8.0), (0.0, 0.0), (6.0, -6.0), (-40.0, MOST_DB), (40.0, LEAST_DB)]
)
def test_what_is_too_soft_above_the_band_is_lifted_within_bounds(found_db: float, expected_db: float) -> None:
    x = sound(found_db)
    heard = Brilliance(chain(), WHITE).applied(MemoryTape(x), 0, x.shape[1]).read(0, x.shape[1])
    assert level_db(heard, 4500, 9000) - level_db(x, 4500, 9000) == pytest.approx(expected_db, abs=1)
    assert level_db(heard, 200, 2000) == pytest.approx(level_db(x, 200, 2000), abs=0.1)


def test_music_that_is_said_to_be_dark_stays_dark() -> None:
    x = sound(-6.0)
    heard = Brilliance(chain(music_db=-6.0), WHITE).applied(MemoryTape(x), 0, x.shape[1]).read(0, x.shape[1])
    assert level_db(heard, 4500, 9000) == pytest.approx(level_db(x, 4500, 9000), abs=1)


def test_where_nothing_ends_or_nobody_knows_nothing_is_done() -> None:
    assert not Brilliance(chain(ends=False), WHITE).wanted
    assert not Brilliance(chain(music_db=None), WHITE).wanted
    assert Brilliance(chain(), WHITE).wanted and Brilliance(chain(ends=False), WHITE, 1.0).wanted


@pytest.mark.parametrize("slope", [-3.0, 2.0])
def test_a_brightness_is_a_slope_above_1_khz(slope: float) -> None:
    gains = brightened(slope).gain_db(torch.tensor([100.0, 1000.0, 2000.0, 8000.0])).tolist()
    assert gains == pytest.approx([0, 0, slope, 3 * slope], abs=1e-4)
    x = sound(0.0)
    heard = Brilliance(chain(ends=False), WHITE, slope).applied(MemoryTape(x), 0, x.shape[1]).read(0, x.shape[1])
    assert level_db(heard, 7800, 8200) - level_db(x, 7800, 8200) == pytest.approx(3 * slope, abs=0.3)


def test_a_part_is_heard_as_in_the_whole() -> None:
    x = sound(-8.0)
    whole = Brilliance(chain(), WHITE).applied(MemoryTape(x), 0, RATE)
    torch.testing.assert_close(whole.read(30_000, 40_000), whole.read(0, 60_000)[:, 30_000:40_000], atol=1e-5, rtol=0)


def test_silence_is_no_reason_to_fail() -> None:
    x = torch.zeros(1, 2 * RATE)
    heard = Brilliance(chain(), WHITE).applied(MemoryTape(x), 0, RATE).read(0, 2 * RATE)
    assert heard.isfinite().all() and not heard.any()
