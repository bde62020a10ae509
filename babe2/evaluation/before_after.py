"""A recording before and after something was done to it, in numbers that need no truth beside them.

Better or worse is said only of measures with an honest direction: the noise beneath the music, where the band ends, and
peaks that players clip. Of the others more is neither: how loud, bright or even music ought to be, no number tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.analysis.qualities import Qualities, qualities
from babe2.audio import SoundFile
from babe2.dsp.bands import BANDS_PER_OCTAVE
from babe2.dsp.distance import distance_of_blocks
from babe2.dsp.resampling import resampled
from babe2.dsp.spectra import TRUSTED
from babe2.evaluation.measures import TRUTH_LEVEL

HIGHEST_PEAK = -1.0  # dBTP, EBU R 128: above it players and lossy formats may clip
LOWEST_HZ = 20.0  # of the distance
OnBlock = Callable[[float], None]  # called with the seconds that were read
Wanted = Literal["more", "less", ""]
BETTER, WORSE, AS_GOOD = VERDICTS = ("better", "worse", "as good")


class Measure(NamedTuple):
    """What is measured, and whether more of it is better; `title` is for listeners."""

    key: str
    title: str
    unit: str
    digits: int
    about: str
    wanted: Wanted = ""
    least: float = 0.0  # smaller changes are none
    octaves: bool = False  # whether that is in octaves
    floor: float = -math.inf  # below it a value is as good as there
    published: str = ""  # the name of the published metric
    published_wanted: Wanted = ""  # and the direction that its table gives it


MEASURES = (
    Measure("loudness", "Loudness", "LUFS", 1, "integrated, BS.1770-4 / EBU R 128"),
    Measure(
        "true_peak",
        "True peak",
        "dBTP",
        1,
        "between samples, BS.1770-4; above -1 dBTP players may clip",
        wanted="less",
        least=0.1,
        floor=HIGHEST_PEAK,
    ),
    Measure(
        "above_quiet",
        "Music over its quietest tenth",
        "dB",
        1,
        "the mean power over that of the quietest frames: more where less noise is left in pauses",
        wanted="more",
        least=0.5,
        published="SNR (dB)",
        published_wanted="more",
    ),
    Measure(
        "band_end",
        "Band's end",
        "Hz",
        0,
        "up to where music comes and goes, to a sixth of an octave",
        wanted="more",
        least=1.01 / BANDS_PER_OCTAVE,
        octaves=True,
    ),
    Measure(
        "centroid",
        "Brightness (centroid)",
        "Hz",
        0,
        "the mean frequency of the spectrum",
        published="Spectral Centroid (Hz)",
        published_wanted="more",
    ),
    Measure(
        "spread",
        "Spread around it (bandwidth)",
        "Hz",
        0,
        "how far the spectrum lies from its mean frequency",
        published="Bandwidth (Hz)",
        published_wanted="more",
    ),
    Measure(
        "rolloff",
        "85 % lie below (rolloff)",
        "Hz",
        0,
        "of all magnitudes",
        published="Spectral Rolloff (Hz)",
        published_wanted="more",
    ),
    Measure(
        "flatness",
        "Likeness to noise (flatness)",
        "",
        4,
        "1 is white noise; an empty top of the band makes it small",
        published="Spectral Flatness",
        published_wanted="less",
    ),
    Measure(
        "crossings",
        "Zero crossings",
        "1/s",
        0,
        "a second; the published rate is this over the sample rate",
        published="Zero Crossing Rate",
        published_wanted="less",
    ),
    Measure(
        "crest",
        "Peak over average (crest factor)",
        "dB",
        1,
        "compression lowers it; no dynamic range between soft and loud",
        published="Dynamic Range (dB)",
        published_wanted="more",
    ),
    Measure(
        "harmonics",
        "Multiples of the strongest tone",
        "%",
        1,
        "the distortion (THD) of a single steady tone; of music it says how its tones are made",
        published="THD (%)",
        published_wanted="less",
    ),
    Measure("distance", "How far apart the two are (LSD)", "dB", 1, "log-spectral distance at equal level"),
)


class Row(NamedTuple):
    """What a measure says; None where it says nothing."""

    before: float | None
    after: float | None
    delta: float | None
    verdict: str = ""  # one of VERDICTS; "" where no direction is honest
    published: str = ""  # what the published table would say


@dataclass(frozen=True)
class Compared:
    """Two sounds compared."""

    before: str
    after: str
    seconds: float  # that both have
    rows: dict[str, Row]  # by the measures' keys
    notes: tuple[str, ...]  # sentences


def compare(before: Path, after: Path, on_block: OnBlock = lambda seconds: None) -> Compared:
    """Compares two files of any length, each at its own rate, and for their distance at the lower one."""
    sounds = SoundFile(before), SoundFile(after)
    ours, theirs = (_qualities(sound, on_block) for sound in sounds)
    rows = {}
    for measure in MEASURES:
        values = [getattr(found, measure.key, None) for found in (ours, theirs)]
        rows[measure.key] = row_of(measure, *values)
    rows["distance"] = Row(None, None, distance(sounds, (ours, theirs)))
    seconds = min(ours.samples / sounds[0].sample_rate, theirs.samples / sounds[1].sample_rate)
    return Compared(str(before), str(after), seconds, rows, tuple(_notes(sounds, (ours, theirs))))


def _qualities(sound: SoundFile, on_block: OnBlock) -> Qualities:
    def blocks() -> Iterator[npt.NDArray[np.float32]]:
        done = 0
        for block in sound.blocks():
            yield block
            done += block.shape[1]
            on_block(done / sound.sample_rate)

    return qualities(blocks, sound.channels, sound.sample_rate)


def row_of(measure: Measure, before: float | None, after: float | None) -> Row:
    """A measure's values with what they mean."""
    if before is None or after is None:
        return Row(before, after, None)
    gain = math.log2(after / before) if measure.octaves else max(after, measure.floor) - max(before, measure.floor)
    published = _towards(measure.published_wanted, after - before, 0.0)
    return Row(before, after, after - before, _towards(measure.wanted, gain, measure.least), published)


def _towards(wanted: Wanted, gain: float, least: float) -> str:
    if not wanted:
        return ""
    if abs(gain) <= least:
        return AS_GOOD
    return BETTER if (gain > 0) == (wanted == "more") else WORSE


Pair = tuple[SoundFile, SoundFile]


def distance(sounds: Pair, found: tuple[Qualities, Qualities]) -> float | None:
    """The log-spectral distance of two sounds at equal level, dB, at the lower rate and as far as both go.

    Where one has more channels than the other, both are mixed to one.
    """
    if any(each.loudness is None for each in found):
        return None
    rate = min(sound.sample_rate for sound in sounds)
    fold = sounds[0].channels != sounds[1].channels
    levelled = []
    for sound, each in zip(sounds, found, strict=True):
        rms = _rms(_blocks(sound, fold)) if fold else each.rms
        if rms == 0:
            return None
        levelled.append(resampled(_scaled(_blocks(sound, fold), TRUTH_LEVEL / rms), sound.sample_rate, rate))
    same = sounds[0].sample_rate == sounds[1].sample_rate
    top = rate / 2 if same else TRUSTED * rate / 2
    first, second = levelled
    return distance_of_blocks(first, second, rate, (LOWEST_HZ, top))


def _blocks(sound: SoundFile, fold: bool) -> Iterator[Tensor]:
    for block in map(torch.from_numpy, sound.blocks()):
        yield block.mean(dim=0, keepdim=True) if fold else block


def _scaled(blocks: Iterable[Tensor], gain: float) -> Iterator[Tensor]:
    return (gain * block for block in blocks)


def _rms(blocks: Iterable[Tensor]) -> float:
    squares, values = 0.0, 0
    for block in blocks:
        squares, values = squares + float(block.double().square().sum()), values + block.numel()
    return math.sqrt(squares / values)


def _notes(sounds: Pair, found: tuple[Qualities, Qualities]) -> Iterator[str]:
    names = ("BEFORE", "AFTER")
    for name, sound, each in zip(names, sounds, found, strict=True):
        if each.true_peak is None:
            yield f"{name} is silent: nothing can be measured of it."
        for warning in sound.warnings:
            yield f"{name}: {warning}"
    rates, counts = ([getattr(sound, what) for sound in sounds] for what in ("sample_rate", "channels"))
    if rates[0] != rates[1]:
        yield (
            f"The sample rates differ ({rates[0]} and {rates[1]} Hz): the likeness to noise falls where the higher one "
            f"leaves its top empty, and the distance is that below {TRUSTED * min(rates) / 2:.0f} Hz."
        )
    if counts[0] != counts[1] and all(each.loudness is not None for each in found):
        yield f"BEFORE has {counts[0]} channels and AFTER {counts[1]}: for their distance both were mixed to one."
    seconds = [each.samples / rate for each, rate in zip(found, rates, strict=True)]
    if abs(seconds[1] - seconds[0]) > 0.01:
        longer = "longer" if seconds[1] > seconds[0] else "shorter"
        yield (
            f"AFTER is {abs(seconds[1] - seconds[0]):.2f} s {longer} than BEFORE: their distance is that of the part "
            "which both have."
        )


# Of several pairs


def summary(pairs: Sequence[Compared]) -> dict[str, dict[str, Any]]:
    """By measure the means over those pairs where it says something, and how many became better and worse."""
    found = {}
    for measure in MEASURES:
        rows = [pair.rows[measure.key] for pair in pairs if pair.rows[measure.key].delta is not None]
        verdicts = [row.verdict for row in rows]
        found[measure.key] = {
            "pairs": len(rows),
            **{name: _mean([getattr(row, name) for row in rows]) for name in ("before", "after", "delta")},
            **{word: verdicts.count(word) if measure.wanted else None for word in VERDICTS},
        }
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


CSV_COLUMNS = (
    "File",
    "Metric",
    "Original",
    "Restored",
    "Delta",
    "Unit",
    "Verdict",
    "Published name",
    "Published verdict",
)


def csv_rows(pairs: Sequence[Compared]) -> Iterator[Sequence[object]]:
    """The long format: a row for each measure of each pair."""
    for pair in pairs:
        for measure in MEASURES:
            row = pair.rows[measure.key]
            values = ("" if value is None else f"{value:.6g}" for value in row[:3])
            yield pair.after, measure.title, *values, measure.unit, row.verdict, measure.published, row.published


def table(pair: Compared) -> str:
    """A pair as lines of text."""
    rows = ((measure, pair.rows[measure.key]) for measure in MEASURES)
    lines = [[*_cells(measure, row._asdict()), row.verdict] for measure, row in rows]
    return "\n".join([_aligned(f"{pair.before} -> {pair.after}", lines), *(f"  {note}" for note in pair.notes)])


def summary_table(found: Mapping[str, Mapping[str, Any]], count: int) -> str:
    """A `summary` of so many pairs as lines of text."""
    lines = []
    for measure in MEASURES:
        row = found[measure.key]
        words = [f"{row[word]} {word}" for word in VERDICTS if row[word]]
        lines.append([*_cells(measure, row), ", ".join(words)])
    return _aligned(f"{count} pairs, on average", lines)


def legend() -> str:
    """What each measure is, a line each."""
    wide = max(len(measure.title) for measure in MEASURES)
    return "\n".join(f"{measure.title.ljust(wide)}  {measure.about}" for measure in MEASURES)


def _cells(measure: Measure, row: Mapping[str, Any]) -> list[str]:
    title = f"  {measure.title}, {measure.unit}" if measure.unit else f"  {measure.title}"
    sign = "" if row["before"] is None and row["after"] is None else "+"  # a distance has none
    shown = [("", row["before"]), ("", row["after"]), (sign, row["delta"])]
    return [title, *("-" if value is None else _rounded(value, sign, measure.digits) for sign, value in shown)]


def _rounded(value: float, sign: str, digits: int) -> str:
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # adding zero takes the sign of a zero away


def _aligned(title: str, lines: Sequence[Sequence[str]]) -> str:
    """Lines of a name, three numbers and a word, under their columns' names and a title."""
    lines = [["", "before", "after", "change", ""], *lines]
    titles, *widths = (max(len(line[i]) for line in lines) for i in range(4))
    texts = [title]
    for name, *numbers, word in lines:
        cells = (number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        texts.append("  ".join([name.ljust(titles), *cells, word]).rstrip())
    return "\n".join(texts)


def as_dict(pair: Compared) -> dict[str, Any]:
    """A pair in plain numbers and words, ready for JSON."""
    rows = {}
    for measure in MEASURES:
        about = {"title": measure.title, "unit": measure.unit}
        rows[measure.key] = about | pair.rows[measure.key]._asdict()
    return {"before": pair.before, "after": pair.after, "measures": rows, "notes": list(pair.notes)}
