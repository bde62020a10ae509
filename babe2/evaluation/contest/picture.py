"""The standings as a picture: each way's mean with its interval, and the signed level error by band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from babe2.evaluation.contest.rows import Row
from babe2.evaluation.contest.standings import MEASURES, Standings
from babe2.evaluation.measures import LEVELS_HZ
from babe2.report.figures import GRID, INK, LINES, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osv^Dx+"
SHOWN = ("lsd_band", "response_error_band", "si_sdr_gain", "presence_error")


def picture(found: Standings, rows: Sequence[Row]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 2.6 + 0.4 * len(found.ways)), facecolor=PAPER, layout="constrained")
    *left, right = figure.subplots(1, len(SHOWN) + 1, width_ratios=[*[1] * len(SHOWN), 1.6])
    places = {way: len(found.ways) - number for number, way in enumerate(found.ways)}
    titles = {measure.key: measure.title for measure in MEASURES}
    for axes, key in zip(left, SHOWN, strict=True):
        for one in found.by_measure.get(key, ()):
            mean, low, high = one.value
            colour = LINES[0][0] if one.behind.low <= 0 else INK
            axes.plot([low, high], [places[one.way]] * 2, color=colour, linewidth=2)
            axes.plot(mean, places[one.way], "o", color=colour)
        axes.set_yticks(list(places.values()), list(places) if axes is left[0] else [""] * len(places))
        axes.set_ylim(0.5, len(places) + 0.5)
        axes.tick_params(axis="y", length=0)
        _finish(axes, titles[key].replace(", dB", "\n(dB)", 1))
    names = [f"{low / 1000:g}-{high / 1000:g}" for low, high in LEVELS_HZ]
    for number, way in enumerate(found.ways):
        levels = np.mean([row["levels"] for row in rows if row["way"] == way], axis=0)
        colour, style = LINES[number % len(LINES)]
        right.plot(names, levels, color=colour, linestyle=style, marker=MARKERS[number % len(MARKERS)], label=way)
    right.axhline(0, color=INK, linewidth=1)
    right.legend(fontsize=8, frameon=False, labelcolor=INK)
    right.set_xlabel("kHz", color=INK)
    _finish(right, "level against the truth\n(dB)")
    return figure


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(color=GRID, axis="x")
    for spine in axes.spines.values():
        spine.set_visible(False)
