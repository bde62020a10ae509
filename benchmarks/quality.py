"""The picture of quality against evaluations, drawn from the figures of solvers.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from solvers import MEASURES, SOLVERS

from babe2 import Restorer
from babe2.evaluation.table import confidence
from babe2.report.figures import GRID, INK, LINES, PAPER, save

WITHOUT = "LTAS-EQ"  # needs no evaluation
WAYS = {  # solvers that differ in their steps only; how they are marked, and how far aside, to be told apart
    "paper": (("paper",), "s", 1.05),
    "guided, mended": (("guided, mended", "guided, 10 steps"), "D", 0.95),
    "closed-form": (("closed-form standard", "closed-form draft"), "o", 0.97),
    "bandwise": (("bandwise standard", "bandwise draft"), "^", 1.03),
}
TITLES = {
    "lsd_recorded": "LSD, 0.1 to 3 kHz (dB)",
    "response_error": "Response error (dB)",
    "level_error": "Level error, 5 to 8 kHz (dB)",
    "haze": "Haze (dB)",
    "ltas_distance": "LTAS distance",
    "envelope_correlation": "Envelope correlation",
}
EVALUATIONS = (8, 16, 32, 64, 101)


def evaluations() -> dict[str, int]:
    """Returns how often each solver evaluates the bundled prior, per segment."""
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    return {name: restorer.method(**options).evaluations for name, options in SOLVERS.items() if name != WITHOUT}


def quality(rows: Sequence[dict[str, Any]], needed: dict[str, int]) -> Figure:
    """Draws each measure over evaluations: means, and 95 % intervals over clips and old machines."""
    figure = Figure(figsize=(10, 7), facecolor=PAPER, layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(2, 3, sharex=True).flat, TITLES.items(), strict=True):
        floor = [row[measure] for row in rows if row["solver"] == WITHOUT]
        if floor:
            axes.axhline(sum(floor) / len(floor), color=INK, linestyle=(0, (1, 1.2)), linewidth=1.8, label=WITHOUT)
        for (way, (solvers, marker, aside)), (colour, style) in zip(WAYS.items(), LINES, strict=True):
            found = {needed[s]: [row[measure] for row in rows if row["solver"] == s] for s in solvers}
            told = {x: confidence(values) for x, values in found.items() if values}
            if not told:
                continue
            clips = sorted({len(values) for values in found.values() if values})
            means = [mean for mean, _, _ in told.values()]
            reach = [[m - low for m, low, _ in told.values()], [high - m for m, _, high in told.values()]]
            axes.errorbar(
                [aside * x for x in told],
                means,
                yerr=reach,
                color=colour,
                linestyle=style,
                marker=marker,
                markersize=7,
                linewidth=2,
                elinewidth=1.4,
                capsize=3,
                label=f"{way} ({' and '.join(map(str, clips))} clips)",
            )
        _dress(axes, f"{title}\n{'lower' if MEASURES[measure].less else 'higher'} is better")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=12, labelcolor=INK)
    about = "Evaluations per segment, those of paper and guided with their gradient; bars are 95 % intervals"
    figure.supxlabel(about, fontsize=12, color=INK)
    return figure


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xscale("log")
    axes.set_xlim(6.5, 130)
    axes.xaxis.set_major_locator(FixedLocator(EVALUATIONS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def draw_newest(results: Path, folder: Path) -> Path:
    """Draws the newest figures as solvers.png in `folder`."""
    newest = max(results.glob("*-solvers.json"))
    figure = quality(json.loads(newest.read_text("utf-8"))["rows"], evaluations())
    return save(figure, folder / "solvers.png")
