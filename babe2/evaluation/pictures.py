"""The paper's Figures 2 and 4 of any recordings: ratios of average spectra, and spectrograms with marked places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from babe2 import audio
from babe2.dsp.spectra import decibels, octave_smoothed
from babe2.evaluation.recordings import Evaluation
from babe2.report.figures import INK, LINES, PAPER, Mark, octave_chart, pitches, spectrogram_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEEPEST_DB = 50.0


def ltas_ratios(evaluation: Evaluation, recordings: Sequence[str]) -> Figure:
    """Figure 2: by how much the average spectrum of each recording, as it was and as each method made it, lies above
    that of the reference, in third octaves. What suits the reference is flat and around 0 dB."""
    from matplotlib.figure import Figure

    rate, known = evaluation.reference.sample_rate, evaluation.reference.power
    hertz = pitches(rate)
    figure = Figure(figsize=(10, 3.6 * len(recordings) + 0.8), facecolor=PAPER, layout="constrained")
    panels = figure.subplots(len(recordings), 1, sharex=True, squeeze=False)[:, 0]
    places = torch.from_numpy(hertz)
    reference = decibels(octave_smoothed(known, rate, places))
    for axes, recording in zip(panels, recordings, strict=True):
        drawn = []
        for number, method in enumerate(evaluation.methods):
            level = decibels(octave_smoothed(method.spectra[recording], rate, places)) - reference
            colour, style = LINES[number % len(LINES)]
            style = style if number < len(LINES) else ":"  # a second round of colours is dotted
            axes.plot(hertz, level.numpy(), color=colour, linestyle=style, linewidth=2, label=method.name)
            drawn.append(level.numpy())
        axes.axhline(0, color=INK, linewidth=0.8)
        octave_chart(axes, rate / 2, drawn, deepest_db=DEEPEST_DB)
        axes.set_title(recording, loc="left", fontsize=13, color=INK)
        axes.set_ylabel("LTAS ratio (dB)", fontsize=12, color=INK)
        axes.label_outer()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=11, labelcolor=INK)
    return figure


def marked_spectrograms(
    files: Mapping[str, Path], start: float = 0.0, duration: float | None = None, marks: Sequence[Mark] = ()
) -> Figure:
    """Figure 4: one recording as each set has it, by name, one above the other to one scale, with marked places.

    Each sound is brought to the loudness of the first; the times of marks are those of the recording.
    """
    sounds = {}
    level = None
    for name, path in files.items():
        sound = audio.read(path, start=start, duration=duration)
        x = torch.as_tensor(sound.audio).float()
        size = float(x.square().mean().sqrt())
        level = size if level is None else level
        sounds[name] = (x * (level / size) if size > 0 and level else x, sound.sample_rate)
    return spectrogram_panels(sounds, marks, start)
