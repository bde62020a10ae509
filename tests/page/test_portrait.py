"""The average spectrum of a checkpoint's music, drawn and told."""

from __future__ import annotations

import re

import pytest
import torch

from babe2.dsp.spectra import ReferenceLtas
from babe2.page.portrait import portrait


def falling(rate: int, db_per_octave: float, above: float) -> ReferenceLtas:
    """Flat up to a frequency, from there on falling."""
    octaves = torch.log2(torch.linspace(0, rate / 2, 8193, dtype=torch.float64).clamp(min=above) / above)
    return ReferenceLtas(10 ** (-db_per_octave * octaves / 10), rate)


@pytest.mark.parametrize(("rate", "decibels", "at"), [(22_050, 40, 5), (8000, 24, 2)])
def test_it_tells_its_shape_in_words(rate: int, decibels: int, at: int) -> None:
    known = falling(rate, 12, 500.0)
    known.power[torch.linspace(0, rate / 2, 8193) < 400] *= 0.5  # so that one place is the strongest
    label = re.search(r'role="img" aria-label="(.+?)"', portrait(known))
    told = r"Average spectrum of the music it knows: strongest at (\d+) Hz, (\d+) dB softer at (\d) kHz"
    strongest, softer, compared = map(int, re.fullmatch(told, label[1]).groups())  # type: ignore[index, union-attr]
    assert 440 <= strongest <= 500 and softer == pytest.approx(decibels, abs=1) and compared == at


def test_bars_are_semitones_as_high_as_they_are_strong() -> None:
    drawn = portrait(falling(22_050, 6, 200.0))
    heights = [float(height) for height in re.findall(r"v-([\d.]+)", drawn)]
    assert len(heights) == 93  # from 50 Hz to 11 kHz
    assert heights[0] == pytest.approx(58, abs=0.3) and heights == sorted(heights, reverse=True)
    # From 1 to 2 kHz, an octave of 12 bars, it falls by 6 of the picture's 70 dB.
    assert heights[52] - heights[64] == pytest.approx(58 * 6 / 70, abs=0.3)
    assert ">100 Hz</text>" in drawn and ">10 kHz</text>" in drawn and 'stroke="currentColor"' in drawn
