"""A picture of one scored clip: degraded, restored and true, for what scores cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from babe2.dsp.spectra import decibels, power_spectrogram
from babe2.evaluation.measures import RESPONSE_HZ, SCORING_RATE, matched
from babe2.evaluation.synthetic import ClipResult
from babe2.report.figures import GRID, INK, LINES, PAPER, octave_chart, picture_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RANGE_DB = 100.0  # down into the noise of the degraded recording


def sheet(result: ClipResult) -> Figure:
    """Spectrograms of recording, LTAS-EQ, ours and truth to one scale, above the response: true and as estimated.

    Frequency is linear, so that partials are as far apart at 8 kHz as at 300 Hz and haze between them shows.
    """
    from matplotlib.figure import Figure

    truth = result.degraded.truth
    sounds = {
        "Degraded recording": matched(result.degraded.observation, truth),
        "LTAS-EQ": result.ltas_eq.audio,
        "Ours": result.ours.audio,
        "Truth": truth,
    }
    figure = Figure(figsize=(11, 18), facecolor=PAPER, layout="constrained")
    figure.suptitle(f"{result.degraded.name}, seed {result.degraded.seed}", fontsize=15, color=INK)
    *panels, below = figure.subplots(len(sounds) + 1, 1, height_ratios=[1] * len(sounds) + [1.3])
    loudest = float(_levels(truth).max())
    for axes, (title, sound) in zip(panels, sounds.items(), strict=True):
        extent = (0, len(sound) / SCORING_RATE, 0, SCORING_RATE / 2000)
        image = picture_levels(axes, _levels(sound).numpy() - loudest, extent, title, _RANGE_DB)
        axes.set_ylabel("Frequency (kHz)", fontsize=12, color=INK)
        axes.set_yticks(range(0, 11, 2))
        axes.tick_params(colors=INK, labelsize=11, labelbottom=axes is panels[-1])
    panels[-1].set_xlabel("Time (s)", fontsize=12, color=INK)
    bar = figure.colorbar(image, ax=panels, pad=0.015, fraction=0.03)
    bar.set_label("Level (dB, 0 is the truth's loudest point)", fontsize=12, color=INK)
    bar.ax.tick_params(colors=INK, labelsize=11)
    _draw_responses(below, result)
    return figure


def _levels(x: Tensor) -> Tensor:
    """Level in dB (frequencies, frames) of x (T,): 93 ms every 12."""
    return decibels(power_spectrogram(x, fft=2048, hop=256))


def _draw_responses(axes: Axes, result: ClipResult) -> None:
    """Draws all three responses with their median levels laid on each other, as they are scored."""

    hertz = np.geomspace(50, SCORING_RATE / 2, 600)
    scored = (hertz >= RESPONSE_HZ[0]) & (hertz <= RESPONSE_HZ[1])
    true = result.degraded.degradation.response.gain_db(hertz)
    axes.plot(hertz, true, color=INK, linewidth=4, alpha=0.45, label="true")
    for name, rendition, (colour, style) in (("LTAS-EQ", result.ltas_eq, LINES[1]), ("ours", result.ours, LINES[0])):
        assert rendition.response is not None
        gain = rendition.response.gain_db(hertz)
        gain = gain - np.median((gain - true)[scored])
        axes.plot(hertz, gain, color=colour, linestyle=style, linewidth=2.4, label=name)
    axes.axvspan(*RESPONSE_HZ, color=GRID, alpha=0.35, linewidth=0, label="scored")
    octave_chart(axes, SCORING_RATE / 2, [true], deepest_db=60)
    axes.set_ylim(-60, float(true.max()) + 12)
    axes.set_ylabel("Gain (dB)", fontsize=12, color=INK)
    axes.legend(loc="lower left", frameon=False, fontsize=12, labelcolor=INK)
