"""The response of a machine that a person knows, read from a file.

Tables of hertz and decibels (measurements, or the breakpoints of a curve), a filter's impulse response as a sound file
or an array, and what babe2 itself writes of a response into its reports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2 import audio
from babe2.degradations.response import DEEPEST_DB
from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import bin_frequencies, decibels
from babe2.equalizer import Equalizer, Flank
from babe2.errors import RestorationError

TABLES, ARRAYS, REPORTS = (".csv", ".tsv", ".txt", ".dat", ".frd"), (".npy",), (".json",)
MOST_TAPS, MOST_BYTES = 2**20, 2**25
FINEST_FFT = 2**14  # to which a shorter impulse response is padded, so that its curve has a point every few hertz
WILDEST_DB = 200.0  # a machine that makes anything louder or softer by more is none
_LINES = {"reference_hz", "breakpoints_below_hz", "slopes_below_db", "breakpoints_above_hz", "slopes_above_db"}
_POINTS = {"frequencies_hz", "gain_db"}
_EXAMPLE = "A table has a line such as `1000, -3.5` for each frequency: hertz, then decibels"


def read_response(path: str | Path, sample_rate: int) -> Curve:
    """The response in a file: a table (.csv, .txt), a filter (.wav and other sound, .npy), or a report (.json).

    The filter in an array is taken to be at `sample_rate`, the checkpoint's.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind in ARRAYS:
        return from_filter(_array(path), sample_rate, path.name)
    if kind in REPORTS:
        return from_record(_json(path), path.name)
    if kind in TABLES:
        return from_table(_text(path), path.name)
    if not path.exists():
        raise RestorationError(f"There is no response file {path}.")
    recording = audio.read(path)
    if len(recording.audio) != 1:
        raise RestorationError(
            f"{path.name} has {len(recording.audio)} channels, but a response is one filter: write it as mono."
        )
    return from_filter(np.asarray(recording.audio[0], dtype=float), recording.sample_rate, path.name)


def from_table(text: str, name: str) -> Curve:
    """A curve from lines of hertz and decibels; a line of words may stand above them, and remarks behind `#`."""
    points: list[tuple[float, float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = re.split(r"[#*]", line, maxsplit=1)[0].strip()
        if not line:
            continue
        if ";" in line:  # as spreadsheets write where a comma is a decimal point
            line = line.replace(",", ".").replace(";", ",")
        cells = [cell for cell in re.split(r"[,\s]+", line) if cell]
        try:
            points.append((float(cells[0]), float(cells[1])))
        except (ValueError, IndexError):
            if points or any(_is_number(cell) for cell in cells):
                raise RestorationError(f"Line {number} of {name} is not a frequency and a gain. {_EXAMPLE}.") from None
    return _through([hertz for hertz, _ in points], [gain for _, gain in points], name)


def from_record(record: Any, name: str) -> Curve:
    """A curve from what a report holds of it, or from a whole report."""
    if isinstance(record, Mapping) and isinstance(record.get("response"), Mapping):
        record = record["response"]
    if isinstance(record, Mapping) and set(record) >= _POINTS:
        return _through(record["frequencies_hz"], record["gain_db"], name)
    if isinstance(record, Mapping) and set(record) >= _LINES:
        return _lined(record, name)
    raise RestorationError(
        f"{name} holds no response: it is either {' and '.join(sorted(_POINTS))}, or {', '.join(sorted(_LINES))}, "
        "as reports of babe2 have them."
    )


def from_filter(taps: npt.NDArray[np.float64], sample_rate: int, name: str) -> Curve:
    """The magnitude of a filter, given by its impulse response (T,)."""
    if taps.ndim != 1 or not 1 <= taps.size <= MOST_TAPS:
        raise RestorationError(
            f"{name} holds an array of the shape {taps.shape}, but an impulse response is one row of 1 to {MOST_TAPS} "
            "numbers."
        )
    if not np.isfinite(taps).all() or not np.abs(taps).max() > 0:
        raise RestorationError(f"{name} holds no impulse response: it is silent, or not all of it is numbers.")
    fft = max(FINEST_FFT, 1 << (taps.size - 1).bit_length())
    gain_db = decibels(torch.fft.rfft(torch.from_numpy(taps), fft).abs().square())[1:]
    # Its zeros would make the curve dive: below that depth no machine passes anything.
    return SampledCurve(bin_frequencies(sample_rate, fft)[1:].double(), gain_db.clamp(min=gain_db.max() + DEEPEST_DB))


def _through(hertz: Any, gain_db: Any, name: str) -> Curve:
    """A curve straight between points that make sense."""
    frequencies, gains = _numbers(hertz, name), _numbers(gain_db, name)
    if len(frequencies) != len(gains):
        raise RestorationError(f"{name} has {len(frequencies)} frequencies and {len(gains)} gains. Give each a gain.")
    passed = frequencies != 0  # nothing is heard there, and it has no place on a chart of octaves
    frequencies, gains = frequencies[passed], gains[passed]
    if len(frequencies) < 2:
        raise RestorationError(f"{name} has no two frequencies above 0 Hz. {_EXAMPLE}.")
    if not (frequencies > 0).all() or not (frequencies.diff() > 0).all():
        raise RestorationError(f"The frequencies in {name} do not rise from line to line. Sort them, each once.")
    if float(gains.abs().max()) > WILDEST_DB:
        raise RestorationError(
            f"{name} has a gain of {float(gains.abs().max()):.0f} dB, which no machine has. {_EXAMPLE}."
        )
    return SampledCurve(frequencies, gains)


def _lined(record: Mapping[str, Any], name: str) -> Equalizer:
    """An equalizer of lines and breakpoints."""
    reference, below, below_db, above, above_db = (
        _numbers(record[key], name)
        for key in (
            "reference_hz",
            "breakpoints_below_hz",
            "slopes_below_db",
            "breakpoints_above_hz",
            "slopes_above_db",
        )
    )
    bends = torch.cat([below.flip(0), reference, above])
    if len(reference) != 1 or (len(below_db), len(above_db)) != (len(below) + 1, len(above) + 1):
        raise RestorationError(
            f"{name} needs one reference, and on either side one slope more than it has breakpoints, nearest first."
        )
    if not (bends > 0).all() or not (bends.diff() > 0).all():
        raise RestorationError(
            f"The breakpoints in {name} do not go outwards from the reference: give the nearest first, all above 0 Hz."
        )
    return Equalizer(reference[0], Flank(below, below_db), Flank(above, above_db))


def _numbers(values: Any, name: str) -> Tensor:
    try:
        found = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = torch.tensor([float("nan")])
    if not found.isfinite().all():
        raise RestorationError(f"Not every value in {name} is a number. {_EXAMPLE}.")
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# Reading


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RestorationError(f"{path.name} is too large for a response. Give a table of some thousand lines.")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise RestorationError(f"The response {path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise RestorationError(f"{path.name} is no text. Save it as a table of hertz and decibels (CSV).") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError):
        raise RestorationError(f"{path.name} is no JSON. Give a report of babe2, or a table (.csv).") from None


def _array(path: Path) -> npt.NDArray[np.float64]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray) and found.dtype.kind in "fiu":
            return found.astype(float)
    except OSError as error:
        raise RestorationError(f"The response {path} cannot be read ({error.strerror or 'no array'}).") from None
    except (ValueError, EOFError):
        pass
    raise RestorationError(f"{path.name} holds no array of numbers. Save an impulse response with numpy.save.")
