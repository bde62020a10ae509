"""A restoration's curves as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from babe2.dsp.curves import Array
from babe2.dsp.spectra import ReferenceLtas
from babe2.equalizer import Equalizer
from babe2.report import figures
from babe2.report.sounds import Sound, average_spectrum
from babe2.restoration import Restoration

LOWEST_HZ, PER_OCTAVE = 20.0, 12

Rows = Iterable[Sequence[object]]


# Numbers


def table(head: Sequence[str], rows: Rows) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def twelfths(lowest_hz: float, highest_hz: float) -> Array:
    """Twelfths of octaves, Hz; one is 20 Hz and three are a minor third."""
    octaves = np.arange(PER_OCTAVE * np.log2(highest_hz / LOWEST_HZ) + 1e-9) / PER_OCTAVE
    hertz: Array = LOWEST_HZ * 2.0**octaves
    return hertz[hertz >= lowest_hz]


def gains(restoration: Restoration) -> Rows:
    hertz = twelfths(LOWEST_HZ, restoration.sample_rate / 2)
    return [(f"{f:.2f}", f"{gain:.2f}") for f, gain in zip(hertz, restoration.response.gain_db(hertz), strict=True)]


def breakpoints(restoration: Restoration) -> Iterator[Sequence[object]]:
    """Where the lines of each segment's equalizer meet, if it is made of lines; segments count from 1."""
    for segment, curve in enumerate(restoration.equalizers, start=1):
        if isinstance(curve, Equalizer):
            slopes = [*curve.below.slopes.flip(0).tolist(), *curve.above.slopes.tolist()]
            for hertz, left, right in zip(curve.edges.tolist(), slopes, slopes[1:], strict=False):
                yield segment, f"{hertz:.2f}", f"{left:.2f}", f"{right:.2f}"


def levels(sounds: Sequence[Sound], reference: ReferenceLtas | None) -> Rows:
    """Average spectra as they are drawn, up to where each of them reaches."""
    spectra = [(average_spectrum(sound), sound[1]) for sound in sounds]
    if reference is not None:
        spectra.append((reference.power, reference.sample_rate))
    hertz = twelfths(figures.LOWEST_HZ, max(rate for _, rate in spectra) / 2)
    columns = []
    for power, rate in spectra:
        _, level = figures.third_octaves(power, rate, hertz[hertz <= rate / 2])
        columns.append([f"{db:.2f}" for db in level] + [""] * (len(hertz) - len(level)))
    if reference is None:
        columns.append([""] * len(hertz))
    return zip((f"{f:.2f}" for f in hertz), *columns, strict=True)
