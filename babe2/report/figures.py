"""Pictures of a restoration: spectrograms before and after, average spectra, and the estimated response."""

from __future__ import annotations

import colorsys
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm, is_color_like, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from babe2.analysis.comparison import MATCHED_HZ
from babe2.certainty import KINDS, CertaintyMap
from babe2.dsp.curves import Array, Curve
from babe2.dsp.distance import at_level
from babe2.dsp.spectra import (
    ReferenceLtas,
    as_reference,
    bin_frequencies,
    decibels,
    octave_smoothed,
    power_at,
)
from babe2.dsp.waveform import as_channels
from babe2.errors import RestorationError
from babe2.replacing import replacing
from babe2.report.sounds import OCTAVES_HZ, Sound, average_spectrum
from babe2.restoration import Restoration
from babe2.wording import clock

INK, PAPER, GRID = "#222222", "white", "#dddddd"
# Okabe and Ito's colours, told apart by every eye; line styles serve those who print in grey.
LINES = (("#D55E00", "-"), ("#0072B2", "-"), ("#009E73", "--"), ("#CC79A7", "-."))
# The listening desk's colours: a sound has the same one wherever it is drawn.
SOUND_LINES = {"recording": LINES[0], "restored": LINES[1], "LTAS-EQ": LINES[2]}
NIGHT_LIGHTNESS = (0.93, 0.10)  # of what is black on a light figure, and of what is white
# Viridis without its yellow end, which vanishes on paper; late estimates are the dark ones.
FADING = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, 256)))

PAIR_AXES = (0.145, 0.19, 0.665, 0.69)  # of a picture of a pair: where its axes begin, and how wide and high they are
# How each kind of certainty looks: in hues that are told apart by every eye, and by hatching where there is no colour.
_KIND_LOOKS = {"measured": ("#0072B2", ""), "inferred": ("#F0E442", "//"), "imagined": ("#D55E00", "xx")}
_KIND_COLUMNS = 400

_RANGE_DB = 80.0
LOWEST_HZ = 40.0
_ROWS_PER_OCTAVE = 40
_COLUMNS = 1200
_FRAMES_PER_COLUMN = 4
_FRAME_SECONDS = 0.12


def of_restoration(
    before: Sound, after: Sound, restoration: Restoration, reference: ReferenceLtas | None
) -> dict[str, Callable[[], Figure]]:
    """The three pictures of a restoration, by name, and that of its certainty where it was asked for: functions that
    draw them."""
    # The response matters as far up as the prior's music, and an octave beyond.
    rate = min(before[1], 2 * reference.sample_rate) if reference else before[1]
    pictures = {
        "spectrograms": lambda: spectrograms(before, after),
        "ltas": lambda: ltas_curves({"recording": before, "restored": after}, reference),
        "response": lambda: response(restoration.history, restoration.response, rate, restoration.uncertainty),
    }
    if (known := restoration.certainty) is not None:
        pictures["certainty"] = lambda: certainty(after, known)
    return pictures


def spectrograms(before: Sound, after: Sound, titles: tuple[str, str] = ("Recording", "Restoration")) -> Figure:
    """Spectrograms before and after, one above the other, to one scale: 0 dB is the loudest point of both."""
    return spectrogram_panels(dict(zip(titles, (before, after), strict=True)))


class Mark(NamedTuple):
    """A place in a spectrogram around which a box is drawn."""

    start: float  # seconds
    stop: float
    low_hz: float
    high_hz: float
    colour: str = PAPER
    words: str = ""


def is_colour(text: str) -> bool:
    """Whether matplotlib knows a colour."""
    return is_color_like(text)


def spectrogram_panels(sounds: Mapping[str, Sound], marks: Sequence[Mark] = (), start: float = 0.0) -> Figure:
    """Spectrograms of sounds by title, one above the other, to one scale, with a box around each marked place.

    The sounds begin `start` seconds into the recording whose times the marks tell.
    """
    figure = Figure(figsize=(10, 3.75 * len(sounds)), facecolor=PAPER, layout="constrained")
    panels = figure.subplots(len(sounds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    pictures = _pictures([*sounds.values()])
    for axes, picture, title in zip(panels, pictures, sounds, strict=True):
        image = _draw_spectrogram(axes, picture, title)
        for mark in marks:
            _draw_mark(axes, mark, start)
        if len(sounds) > 2:
            axes.label_outer()
    _time_ticks(panels[-1], pictures[-1].longest)
    _level_bar(figure.colorbar(image, ax=panels, pad=0.015, fraction=0.03))
    return figure


def _draw_mark(axes: Axes, mark: Mark, start: float) -> None:
    left, bottom, top = mark.start - start, math.log2(mark.low_hz), math.log2(mark.high_hz)
    size = mark.stop - mark.start, top - bottom
    axes.add_patch(Rectangle((left, bottom), *size, fill=False, edgecolor=mark.colour, linewidth=2))
    if mark.words:
        words = axes.annotate(mark.words, (left, top), xytext=(4, -4), textcoords="offset points", fontsize=11)
        words.set(color=mark.colour, verticalalignment="top")


def certainty(sound: Sound, known: CertaintyMap) -> Figure:
    """The spectrogram of a sound, in grey, and over it what of it was measured, inferred and imagined."""
    figure = Figure(figsize=(10, 5), facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    (picture,) = _pictures([sound])
    _draw_spectrogram(axes, picture, "").set_cmap("gray")
    shares, handles = known.percent() or {}, []
    for name in KINDS:
        colour, hatch = _KIND_LOOKS[name]
        _lay_over(axes, known, name, picture.seconds)
        label = f"{name}, {shares.get(name, 0.0):.0f} %"
        handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor=PAPER, label=label))
    axes.set_xlim(0, picture.seconds)
    axes.set_ylim(*(math.log2(picture.rows_hz[i]) for i in (0, -1)))
    _time_ticks(axes, picture.longest)
    _legend(axes, handles=handles)
    return figure


def _lay_over(axes: Axes, known: CertaintyMap, name: str, seconds: float) -> None:
    """Lays one kind's colour and hatching over a spectrogram, wherever most of a column's cells are of it."""
    cell = known.grid.length / known.grid.sample_rate  # seconds
    here = known.of_kind(name)[: math.ceil(seconds / cell)]
    parts = [part for part in np.array_split(here, _KIND_COLUMNS) if len(part)]
    columns = np.cumsum([0, *(len(part) for part in parts)]) * cell
    octaves = known.hertz.log2().numpy()
    half = (octaves[1] - octaves[0]) / 2
    rows = np.append(octaves - half, octaves[-1] + half)
    shown = np.stack([part.mean(axis=0) >= 0.5 for part in parts], axis=1)  # (K, columns)
    colour, hatch = _KIND_LOOKS[name]
    axes.pcolormesh(columns, rows, np.ma.masked_less(shown, 1), cmap=ListedColormap([colour]), alpha=0.38, linewidth=0)
    if hatch and shown.any() and shown.shape[1] > 1:
        middles = (columns[1:] + columns[:-1]) / 2
        with matplotlib.rc_context({"hatch.linewidth": 0.6, "hatch.color": PAPER}):
            axes.contourf(middles, octaves, shown, levels=[0.5, 1.5], colors="none", hatches=[hatch])


def spectrogram_pair(
    before: Sound, after: Sound, titles: tuple[str, str] = ("Recording", "Restoration"), start: float = 0.0
) -> tuple[Figure, Figure]:
    """Spectrograms before and after as two figures that lie over each other to the pixel, for a slider.

    Of the first the left part is seen and of the second the right, and there their titles are. Small, to be read on a
    phone. Their time counts from `start` seconds on.
    """
    figures = []
    sides: list[Literal["left", "right"]] = ["left", "right"]
    for picture, title, side in zip(_pictures([before, after]), titles, sides, strict=True):
        figure = Figure(figsize=(5, 2.8), dpi=180, facecolor=PAPER)  # a layout would follow what is written in it
        axes = figure.add_axes(PAIR_AXES)
        image = _draw_spectrogram(axes, picture, "", start)
        axes.set_title(title, loc=side, fontsize=14, color=INK)
        _time_ticks(axes, start + picture.longest)
        _level_bar(figure.colorbar(image, cax=figure.add_axes((0.83, 0.19, 0.02, 0.69))), "Level (dB)")
        figures.append(figure)
    return figures[0], figures[1]


def comparison(before: Sound, after: Sound, titles: tuple[str, str]) -> Figure:
    """Two sounds side by side, spectrograms above waveforms, to one scale; the second as loud as the first."""
    sounds = [(as_channels(*sound), sound[1]) for sound in (before, after)]
    level = float(sounds[0][0].square().mean().sqrt())
    if level > 0:
        sounds[1] = (at_level(sounds[1][0], level), sounds[1][1])
    figure = Figure(figsize=(14, 7), facecolor=PAPER, layout="constrained")
    above, below = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(2, 1))
    pictures = _pictures(sounds, columns=_COLUMNS // 2)
    for axes, picture, title in zip(above, pictures, titles, strict=True):
        image = _draw_spectrogram(axes, picture, title)
        axes.label_outer()
    _level_bar(figure.colorbar(image, ax=above, pad=0.015, fraction=0.03))
    for axes, (x, rate), (colour, _) in zip(below, sounds, LINES, strict=False):
        _draw_waveform(axes, x, rate, colour)
        _time_ticks(axes, pictures[0].longest)
    below[0].set_ylabel("Amplitude", fontsize=12, color=INK)
    return figure


def _draw_waveform(axes: Axes, x: Tensor, rate: int, colour: str) -> None:
    """Between which values x (channels, samples) swings, column by column."""
    size = max(1, -(-x.shape[1] // _COLUMNS))
    columns = [part.aminmax() for part in x.split(size, dim=1)]
    time = [i * size / rate for i in range(len(columns))]
    lowest, highest = ([float(limit) for limit in limits] for limits in zip(*columns, strict=True))
    axes.fill_between(time, lowest, highest, color=colour, linewidth=0.5)
    axes.axhline(0, color=INK, linewidth=0.5)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=11)


def live(estimate: Sound, equalizer: Curve | None, title: str = "So far") -> Figure:
    """A picture of a restoration under way: its sound by now, above the response as estimated by now.

    Small and quickly drawn, as the restoration waits for it.
    """
    figure = Figure(figsize=(6, 3.36), dpi=150, facecolor=PAPER)
    above = figure.add_axes((0.115, 0.54, 0.865, 0.37))
    (picture,) = _pictures([estimate], columns=400, frames_per_column=1)
    _draw_spectrogram(above, picture, title)
    above.set_ylabel("Hz", fontsize=12, color=INK)
    _time_ticks(above, picture.longest)
    below = figure.add_axes((0.115, 0.155, 0.865, 0.2))
    hertz = np.geomspace(LOWEST_HZ, estimate[1] / 2, 200)
    gain = np.zeros_like(hertz) if equalizer is None else equalizer.gain_db(hertz)
    below.axhline(0, color=INK, linewidth=0.8)
    if equalizer is not None:
        below.plot(hertz, gain, color=LINES[0][0], linewidth=2.5)
    octave_chart(below, estimate[1] / 2, [gain], deepest_db=50)
    below.set_ylabel("Gain (dB)", fontsize=12, color=INK)
    return figure


def picture_levels(
    axes: Axes, levels: npt.NDArray[Any], extent: tuple[float, float, float, float], title: str, range_db: float
) -> AxesImage:
    """Levels (frequencies, frames), dB below the loudest point, as a titled picture."""
    axes.set_title(title, loc="left", fontsize=14, color=INK)
    return axes.imshow(
        levels,
        extent=extent,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-range_db,
        vmax=0,
        interpolation="antialiased",
    )


def ltas_curves(curves: Mapping[str, Sound], reference: ReferenceLtas | None = None) -> Figure:
    """A chart of average spectra in third octaves, at equal level from 200 Hz to 2 kHz to compare their shapes."""
    figure = Figure(figsize=(10, 5.5), facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    top_hz = max([rate for _, rate in curves.values()] + [reference.sample_rate if reference else 0]) / 2
    drawn = []
    others = cycle(LINES)
    for name, sound in curves.items():
        colour, style = SOUND_LINES.get(name) or next(others)
        drawn.append(third_octaves(average_spectrum(sound), sound[1], pitches(sound[1])))
        width = 4.5 if len(drawn) == 1 else 2.2  # where they agree, the first shines out from under the others
        axes.plot(*drawn[-1], color=colour, linestyle=style, linewidth=width, label=name)
    if reference is not None:
        reference = as_reference(reference)
        rate = reference.sample_rate
        drawn.append(third_octaves(reference.power, rate, pitches(rate)))
        axes.plot(*drawn[-1], color=INK, linestyle=(0, (1, 1.2)), linewidth=2.2, label="reference")
    octave_chart(axes, top_hz, [level for _, level in drawn], deepest_db=80)
    axes.set_ylabel("Level (dB, equal from 200 Hz to 2 kHz)", fontsize=12, color=INK)
    _legend(axes)
    return figure


def response(
    history: Sequence[tuple[float, Curve]], final: Curve, sample_rate: int, uncertainty: Curve | None = None
) -> Figure:
    """A chart of the estimated response, with the estimates on the way there as (sigma, curve) pairs.

    Around it lies the band in which nine in ten true responses are, where its half width is known.
    """
    figure = Figure(figsize=(10, 5.5), facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    hertz = np.geomspace(LOWEST_HZ / 2, sample_rate / 2, 600)
    history = [(sigma, curve) for sigma, curve in history if sigma > 0]
    gain = final.gain_db(hertz)
    if any(not np.allclose(curve.gain_db(hertz), gain, atol=0.01) for _, curve in history):  # else it was known at once
        sigmas = [sigma for sigma, _ in history]
        colours = ScalarMappable(LogNorm(min(sigmas), max(max(sigmas), 1.001 * min(sigmas))), FADING)
        for (_, curve), colour in zip(history, colours.to_rgba(np.array(sigmas)), strict=True):
            axes.plot(hertz, curve.gain_db(hertz), color=colour, linewidth=0.9)
        bar = figure.colorbar(colours, ax=axes, pad=0.015, fraction=0.04, format="{x:g}")
        bar.set_label("Earlier estimates, by noise level", fontsize=12, color=INK)
        bar.ax.tick_params(colors=INK, labelsize=11)
    if uncertainty is not None:
        within = uncertainty.gain_db(hertz)
        axes.fill_between(
            hertz,
            gain - within,
            gain + within,
            color=LINES[0][0],
            alpha=0.18,
            linewidth=0,
            label="Nine in ten true responses lie here",
        )
    axes.plot(hertz, gain, color=PAPER, linewidth=5)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.plot(hertz, gain, color=LINES[0][0], linewidth=3, label="Estimated response")
    if final.edges is not None:
        bends = np.sort(np.asarray(final.edges, dtype=float))
        bends = bends[(bends > hertz[0]) & (bends < hertz[-1])]
        axes.plot(
            bends,
            final.gain_db(bends),
            linestyle="none",
            marker="o",
            markersize=9,
            markerfacecolor=PAPER,
            markeredgecolor=LINES[0][0],
            markeredgewidth=2.2,
            label="Breakpoints",
        )
    octave_chart(axes, sample_rate / 2, [gain], deepest_db=50)
    axes.set_ylabel("Gain (dB)", fontsize=12, color=INK)
    _legend(axes)
    return figure


def narrow(figure: Figure) -> Figure:
    """The same chart, with what is written in it large enough for a phone."""
    figure.set_size_inches(6.6, 4.4)
    for axes in figure.axes:
        if (legend := axes.get_legend()) is not None:
            widest = max(len(text.get_text()) for text in legend.get_texts())
            _legend(axes, columns=1 if widest > 20 else 3)  # else the axes give way to it
        axes.yaxis.label.set_fontsize(11)
    return figure


def by_night(figure: Figure) -> Figure:
    """The same figure, with light ink on dark paper. Spectrograms keep their colours, which are dark already."""
    figure.draw_without_rendering()  # labels at ticks appear only when they are drawn
    for artist in figure.findobj(lambda artist: not isinstance(artist, (Figure, Axes))):  # whose paper is a patch
        for part in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            colour: Any = getattr(artist, f"get_{part}", lambda: None)()
            if np.ndim(colour) < 2 and is_color_like(colour):
                getattr(artist, f"set_{part}")(at_night(colour))
    for axes in figure.axes:
        axes.tick_params(color=at_night(INK), labelcolor=at_night(INK))
        for bar in axes.collections:  # of earlier estimates
            if isinstance(bar, QuadMesh) and bar.get_cmap() is FADING:
                bar.set_cmap(FADING_AT_NIGHT)
    return figure


def at_night(colour: Any) -> tuple[float, float, float, float]:
    """A colour for dark paper: the same hue, light where it was dark and dark where it was light."""
    red, green, blue, alpha = to_rgba(colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    black, white = NIGHT_LIGHTNESS
    lightness = black + (white - black) * lightness
    if saturation > 0.2:  # no ink or paper, but a line
        lightness = max(lightness, 0.6)
    return (*colorsys.hls_to_rgb(hue, lightness, saturation), alpha)


FADING_AT_NIGHT = ListedColormap([at_night(colour) for colour in FADING(np.arange(FADING.N))])


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a PNG or an SVG, as the extension says; it appears under its name only when it is complete."""
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise RestorationError(f"{path} is neither a .png nor an .svg picture. Choose such a name.")
    try:
        with replacing(path) as new:
            new.write_bytes(encoded(figure, kind))
    except OSError as error:
        raise RestorationError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error
    return path


def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a "png", an "svg" or a "webp" file; of a WebP some of the fine grain is lost."""
    # Packed harder, a PNG would be a seventh smaller and take half again as long to draw.
    kinds: dict[str, dict[str, Any]] = {
        "svg": {"metadata": {"Date": None}},
        "png": {"pil_kwargs": {"compress_level": 2}},
        "webp": {"pil_kwargs": {"quality": 82}},
    }
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=max(120, figure.dpi), facecolor=figure.get_facecolor(), **kinds[kind])
    return file.getvalue()


# Spectra


@dataclass(frozen=True, eq=False)
class _Picture:
    """One spectrogram of several that have their rows and their scale in common."""

    levels: npt.NDArray[np.float32]  # (rows, columns) dB below the loudest point of all
    rows_hz: Array
    seconds: float
    longest: float  # seconds, of all


def _pictures(
    sounds: Sequence[Sound], columns: int = _COLUMNS, frames_per_column: int = _FRAMES_PER_COLUMN
) -> list[_Picture]:
    top_hz = max(rate for _, rate in sounds) / 2
    rows_hz = LOWEST_HZ * 2 ** (np.arange(int(_ROWS_PER_OCTAVE * math.log2(top_hz / LOWEST_HZ))) / _ROWS_PER_OCTAVE)
    levels = [_spectrogram(sound, rows_hz, columns, frames_per_column) for sound in sounds]
    loudest = max(-120.0, *(float(level.max()) for level in levels))
    seconds = [np.shape(audio)[-1] / rate for audio, rate in sounds]
    return [
        _Picture(level - loudest, rows_hz, length, max(seconds)) for level, length in zip(levels, seconds, strict=True)
    ]


def _draw_spectrogram(axes: Axes, picture: _Picture, title: str, start: float = 0.0) -> AxesImage:
    bottom, top = (math.log2(picture.rows_hz[i]) for i in (0, -1))
    extent = (start, start + picture.seconds, bottom, top)
    image = picture_levels(axes, picture.levels, extent, title, _RANGE_DB)
    axes.set_xlim(start, start + picture.longest)
    axes.set_ylabel("Frequency (Hz)", fontsize=12, color=INK)
    octaves, labels = _octaves(picture.rows_hz[0], picture.rows_hz[-1])
    axes.set_yticks(np.log2(octaves), labels)
    axes.tick_params(colors=INK, labelsize=11)
    return image


def _spectrogram(sound: Sound, rows_hz: Array, columns: int, frames_per_column: int) -> npt.NDArray[np.float32]:
    """Level in dB (rows, columns), rows at given frequencies; equal tones look alike at every pitch."""
    x, rate = as_channels(*sound), sound[1]
    fft, samples = 2 * round(_FRAME_SECONDS * rate / 2), x.shape[1]
    columns = max(1, min(columns, 16 * samples // fft))  # neighbours closer than that look the same
    centres = (torch.arange(columns * frames_per_column) + 0.5) / (columns * frames_per_column) * samples
    starts = (centres - fft / 2).long().view(columns, frames_per_column)
    bins, rows = bin_frequencies(rate, fft)[:, None], torch.from_numpy(rows_hz)
    # Each row adds up the bins up to its neighbours; where bins are sparser than rows it lies between two of them.
    width = (rows * (2 ** (1 / _ROWS_PER_OCTAVE) - 1)).clamp(min=rate / fft)
    weights = (1 - (bins - rows).abs() / width).clamp(min=0).float()
    picture = []
    for some in torch.split(starts, 16):
        power = power_at(x, some.flatten(), fft)
        picture.append(power.view(*some.shape, -1).mean(dim=1) @ weights)
    return decibels(torch.cat(picture)).T.numpy()


def pitches(sample_rate: int) -> Array:
    """The frequencies, Hz, evenly spaced over octaves, at which average spectra are drawn."""
    return np.geomspace(LOWEST_HZ, sample_rate / 2, 400)


def third_octaves(power: Tensor, sample_rate: int, hertz: Array) -> tuple[Array, Array]:
    """Frequencies and levels (dB) of a spectrum (F,) smoothed as `smooth_octaves` does, level from 200 Hz to 2 kHz."""
    smoothed = octave_smoothed(power, sample_rate, torch.from_numpy(hertz))
    bins = bin_frequencies(sample_rate, 2 * (len(power) - 1))
    matched = (bins >= MATCHED_HZ[0]) & (bins <= MATCHED_HZ[1])
    return hertz, (decibels(smoothed) - decibels(power.double()[matched].mean())).numpy()


# Axes


def octave_chart(axes: Axes, top_hz: float, levels: Sequence[Array], deepest_db: float) -> None:
    """Makes axes a chart of decibels over octaves that shows the levels as far down as they matter."""
    axes.set_xscale("log")
    axes.set_xlim(LOWEST_HZ, top_hz)
    axes.set_xticks(*_octaves(LOWEST_HZ, top_hz))
    axes.set_xticks([], minor=True)
    top = max(float(level.max()) for level in levels)
    bottom = max(min(float(level.min()) for level in levels), top - deepest_db)
    axes.set_ylim(bottom - 4, top + 6)
    axes.set_xlabel("Frequency (Hz)", fontsize=12, color=INK)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def _legend(axes: Axes, columns: int = 4, **what: Any) -> None:
    where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": columns}
    axes.legend(**where, frameon=False, fontsize=12, labelcolor=INK, **what)


def _level_bar(bar: Colorbar, label: str = "Level (dB, 0 is the loudest point)") -> None:
    bar.set_label(label, fontsize=12, color=INK)
    bar.ax.tick_params(colors=INK, labelsize=11)


def _octaves(lowest_hz: float, highest_hz: float) -> tuple[list[float], list[str]]:
    """Where octaves are marked, and how musicians write them: 63, 125, ... 1k, 2k, ..."""
    octaves = [hertz for hertz in OCTAVES_HZ if lowest_hz <= hertz <= highest_hz]
    return octaves, [f"{hertz / 1000:.0f}k" if hertz >= 1000 else f"{hertz:g}" for hertz in octaves]


def _time_ticks(axes: Axes, seconds: float) -> None:
    long = seconds > 90
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 6, 10] if long else [1, 2, 5, 10]))
    if long:
        axes.xaxis.set_major_formatter(lambda value, _: clock(value))
    axes.set_xlabel("Time (minutes:seconds)" if long else "Time (s)", fontsize=12, color=INK)
