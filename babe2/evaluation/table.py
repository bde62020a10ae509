"""The scores of many clips as one table, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from babe2.evaluation.measures import LEVELS_HZ, PRESENCE_HZ
from babe2.evaluation.synthetic import ClipResult, Evaluation, Rendition, Scores


class Interval(NamedTuple):
    """A mean, and the bounds between which it lies with a confidence of 95 %."""

    mean: float
    low: float
    high: float


def confidence(values: Sequence[float], seed: int = 0, draws: int = 2000) -> Interval:
    """The mean of the clips' scores, and how it would scatter had other clips like these been taken.

    The interval is the percentile bootstrap's; of one clip it is a point, which says nothing.
    """
    sample = np.asarray(values, dtype=float)
    chosen = np.random.default_rng(seed).integers(len(sample), size=(draws, len(sample)))
    low, high = np.quantile(sample[chosen].mean(axis=1), (0.025, 0.975))
    return Interval(float(sample.mean()), float(low), float(high))


class Measure(NamedTuple):
    """A row of the table: what is measured, and what is demanded of our restoration."""

    key: str
    title: str
    floor: str
    wanted: str


MEASURES = (
    Measure("seconds", "seconds for 10 s of sound", "<= 30", "<= 15"),
    Measure("lsd_recorded", "LSD 0.1-3 kHz, dB", "<= 3.7", "<= 3.0"),
    Measure("si_sdr_gain", "SI-SDR 120-2500 Hz, gain, dB", "> 0", ">= 2"),
    Measure("response_error", "response error to 6 kHz, dB", "<= 4", "<= 2.5"),
    Measure("lsd_band", "LSD to the band's end, dB", "<= 3.7", "<= 3.0"),
    Measure("response_error_band", "response error to the band's end, dB", "<= 4", "<= 3"),
    *(
        Measure(f"level_{k}", f"level {low / 1000:g}-{high / 1000:g} kHz, signed, dB", "within 3", "within 2")
        for k, (low, high) in enumerate(LEVELS_HZ)
    ),
    Measure("presence_error", "level error 2-5.5 kHz, dB", "<= 6", "<= 5"),
    Measure("level_error", "level error 5-8 kHz, dB", "<= 4.5", "<= 3.5"),
    Measure("envelope_correlation", "envelope correlation 5-8 kHz", ">= 0.60", ">= 0.75"),
    Measure("flatness_excess", "flatness over truth 3.5-8 kHz, dB", "<= 7", "<= 3"),
    Measure("ltas_distance", "LTAS distance to reference, dB", "<= -2.0", "<= -2.5"),
    Measure("lsd_lost", "LSD above 3 kHz, dB", "<= 7.5", "<= 6.5"),
    Measure("lsd_whole", "LSD above 0.1 kHz, dB", "-", "-"),
    Measure("known_si_sdr", "response known: SI-SDR, dB", ">= 35", ">= 35"),
    Measure("clean_lsd", "clean input: LSD change, dB", "<= 1.5", "<= 1.5"),
    Measure("clean_deviation", "clean input: response off flat, dB", "<= 2", "<= 2"),
)
NOT_ALWAYS = (  # where a clip is sung, and where ViSQOL was asked; else there is no such row
    Measure("melody_kept", "sung melody kept, %", "-", "-"),
    Measure("melody_off", "sung pitch off, cents", "-", "-"),
    Measure("visqol", "ViSQOL, 1 to 5", "-", "-"),
)
COLUMNS = {"input": "input", "ltas_eq": "LTAS-EQ", "ratio": "ratio", "ours": "ours [95 %]"}
PAIRED = ("lsd_band", "response_error_band")  # in which ours is compared with each other column, clip by clip

# How each measure is read off the scores of a sound.
SCORED: dict[str, Callable[[Scores], float | None]] = {
    **{field.name: attrgetter(field.name) for field in fields(Scores) if field.name != "levels"},
    **{f"level_{k}": partial(lambda scores, k: scores.levels[k], k=k) for k in range(len(LEVELS_HZ))},
    "presence_error": lambda scores: abs(scores.levels[LEVELS_HZ.index(PRESENCE_HZ)]),
}
Values = list[tuple[str, float | None]]  # by the names of clips, of which several may be the same


def columns_of(results: Sequence[ClipResult]) -> dict[str, str]:
    """The columns of a table with their titles: those that are always there, and further methods."""
    return COLUMNS | {name: name for name in (results[0].others if results else ())}


def rendition_in(result: ClipResult, column: str) -> Rendition:
    """What a column scores."""
    if column in result.others:
        return result.others[column].rendition
    found: Rendition = getattr(result, column)
    return found


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Plain numbers and words, ready for JSON: the table's rows, and what they were made of."""
    rows = [(measure, _columns(evaluation, measure.key)) for measure in (*MEASURES, *NOT_ALWAYS)]
    return {
        "columns": columns_of(evaluation.clips),
        "rows": [
            measure._asdict() | found for measure, found in rows if measure not in NOT_ALWAYS or any(found.values())
        ],
        "repeatable": evaluation.repeatable,
        "paired": {key: _paired(evaluation, key) for key in PAIRED},
        "clips": [_numbers(result) for result in evaluation.clips],
        "clean": [asdict(result) for result in evaluation.clean],
    }


def _columns(evaluation: Evaluation, key: str) -> dict[str, dict[str, float] | None]:
    """A measure's mean with its interval in each column, None where it says nothing."""
    results = evaluation.clips
    if key in SCORED:
        return {
            column: _over_clips([(r.degraded.name, SCORED[key](rendition_in(r, column).scores)) for r in results])
            for column in columns_of(results)
        }
    ours: dict[str, Values] = {
        "seconds": [(result.degraded.name, result.seconds) for result in results],
        "known_si_sdr": [(result.degraded.name, result.known_si_sdr) for result in results],
        "clean_lsd": [(result.name, result.lsd) for result in evaluation.clean],
        "clean_deviation": [(result.name, result.deviation) for result in evaluation.clean],
    }
    found = {column: _over_clips(ours[key]) if column == "ours" else None for column in columns_of(results)}
    if key == "seconds":
        found |= {
            name: _over_clips([(r.degraded.name, r.others[name].seconds) for r in results])
            for name in results[0].others
        }
    return found


def _paired(evaluation: Evaluation, key: str) -> dict[str, dict[str, float] | None]:
    """By how much ours is above each other column, clip by clip; below zero is better."""
    read, found = SCORED[key], {}
    for column in columns_of(evaluation.clips):
        pairs = [(r.degraded.name, read(r.ours.scores), read(rendition_in(r, column).scores)) for r in evaluation.clips]
        if column != "ours":
            found[column] = _over_clips([(n, None if a is None or b is None else a - b) for n, a, b in pairs])
    return found


def _over_clips(values: Values) -> dict[str, float] | None:
    """The mean over clips with its interval; None where there are no values.

    The scores of one clip, degraded several times, are averaged first, as only clips are independent of each other.
    """
    by_clip: dict[str, list[float]] = {}
    for name, value in values:
        if value is not None:
            by_clip.setdefault(name, []).append(value)
    if not by_clip:
        return None
    return confidence([sum(scores) / len(scores) for scores in by_clip.values()])._asdict()


def _numbers(result: ClipResult) -> dict[str, Any]:
    """The numbers of one clip."""
    scores = {column: asdict(rendition_in(result, column).scores) for column in columns_of([result])}
    for each in scores.values():
        each["levels"] = list(each["levels"])
    degraded = result.degraded
    about = {"name": degraded.name, "seed": degraded.seed, "family": degraded.family, "band_hz": list(degraded.band)}
    return about | scores | {"seconds": result.seconds, "known_si_sdr": result.known_si_sdr}


def table(found: Mapping[str, Any]) -> str:
    """A `summary` as lines of text: measures down, the recording, LTAS-EQ, ours and what is demanded across; further
    methods stand behind ours."""
    columns = found["columns"]
    lines = [["measure", *columns.values(), "floor", "wanted"]]
    for row in found["rows"]:
        cells = [_cell(row[column], whole=column == "ours") for column in columns]
        lines.append([row["title"], *cells, row["floor"], row["wanted"]])
    same = "bit-identical" if found["repeatable"] else "different"
    before = list(columns).index("ours")
    nothing, behind = ["-"] * before, ["-"] * (len(columns) - 1 - before)
    titles = {measure.key: measure.title for measure in MEASURES}
    for key, pairs in found["paired"].items():
        for column, interval in pairs.items():
            if interval is not None:
                against = f"  against {columns[column]}, {titles[key].removesuffix(', dB')}"
                lines.append([against, *nothing, _cell(interval, whole=True), *behind, "< 0", "< 0"])
    lines.append(["same seed twice", *nothing, same, *behind, "bit-identical", "bit-identical"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _cell(interval: Mapping[str, float] | None, *, whole: bool) -> str:
    if interval is None:
        return "-"
    mean, low, high = (f"{interval[name]:.2f}" for name in Interval._fields)
    return f"{mean} [{low}, {high}]" if whole else mean
