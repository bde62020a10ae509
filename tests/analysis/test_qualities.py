"""What is measured of a sound alone: the published program's recorded numbers, and sounds of which they are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from babe2.analysis.qualities import Qualities, qualities

REFERENCE = Path(__file__).parents[1] / "reference" / "musicgen"
PUBLISHED = {
    "above_quiet": "SNR (dB) [repaired: original raises IndexError]",
    "flatness": "Spectral Flatness",
    "spread": "Bandwidth (Hz)",
    "rolloff": "Spectral Rolloff (Hz)",
    "crest": "Dynamic Range (dB)",
    "harmonics": "THD (%)",
    "centroid": "Spectral Centroid (Hz)",
    "crossings": "Zero Crossing Rate",
}
RATE = 16_000  # Hz


def measured(x: np.ndarray, rate: int = RATE, step: int = 2**18) -> Qualities:
    x = np.atleast_2d(x).astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        return (x[:, i : i + step].copy() for i in range(0, x.shape[1], step))

    return qualities(blocks, len(x), rate)


def tone(hertz: float, seconds: float = 0.5, phase: float = 0.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE + phase)


@pytest.mark.parametrize(("sound", "rate", "column"), [("x", 32_000, "original"), ("s5", 44_100, "restored_44k1")])
def test_the_eight_published_metrics_are_those_recorded(sound: str, rate: int, column: str) -> None:
    with np.load(REFERENCE / "stages.npz") as sounds:
        found = measured(sounds[sound], rate)
    recorded = json.loads((REFERENCE / "metrics.json").read_text())["metrics"][column]
    for name, published in PUBLISHED.items():
        value = getattr(found, name) / (rate if name == "crossings" else 1)
        assert value == pytest.approx(recorded[published], rel=2e-6), name  # measured: 3e-7


def test_it_does_not_matter_how_blocks_are_cut() -> None:
    x = np.stack([tone(440), np.random.default_rng(0).standard_normal(8000) * np.linspace(0, 0.2, 8000)])
    assert astuple(measured(x, step=700)) == pytest.approx(astuple(measured(x)), rel=1e-5)


def test_a_silent_channel_counts_for_nothing_but_the_mean_power() -> None:
    x = tone(1000) * np.linspace(0.1, 1, 8000)
    alone, beside = measured(x), measured(np.stack([x, 0 * x]))
    for name in ("centroid", "flatness", "above_quiet", "harmonics", "true_peak", "loudness"):
        assert getattr(beside, name) == pytest.approx(getattr(alone, name), rel=1e-5), name


def test_a_peak_between_two_samples_is_seen() -> None:
    assert measured(tone(RATE / 4, phase=np.pi / 4)).true_peak == pytest.approx(-6.02, abs=0.1)  # samples: -9.03


@pytest.mark.parametrize("x", [np.zeros(8000), np.full(8000, 0.3), np.zeros(1)], ids=["silence", "offset", "sample"])
def test_nothing_is_said_of_what_does_not_sound(x: np.ndarray) -> None:
    samples, _, *rest = astuple(measured(x))
    assert samples == len(x) and set(rest) == {None}
