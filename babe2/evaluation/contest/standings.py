"""Who is best, by how much, and how sure that is: scores of many ways on the same recordings."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from babe2.evaluation.contest.rows import Row
from babe2.evaluation.measures import LEVELS_HZ, PRESENCE_HZ
from babe2.evaluation.table import Interval, confidence

DRAWS = 2000


class Measure(NamedTuple):
    """What ways are ranked by."""

    key: str
    title: str
    read: Callable[[Row], float | None]
    better: int  # -1: less is; 1: more is; 0: nearer to zero is


def _of(key: str, title: str, better: int = -1) -> Measure:
    return Measure(key, title, lambda row: row[key], better)


MEASURES = (
    _of("lsd_band", "LSD to the band's end, dB"),
    _of("lsd_recorded", "LSD 0.1-3 kHz, dB"),
    _of("lsd_lost", "LSD above 3 kHz, dB"),
    _of("si_sdr_gain", "SI-SDR 120-2500 Hz, gain, dB", 1),
    _of("response_error_band", "response error to the band's end, dB"),
    Measure(
        "presence",
        "level 2-5.5 kHz, signed, dB",
        lambda row: row["levels"][LEVELS_HZ.index(PRESENCE_HZ)],
        0,
    ),
    Measure(
        "presence_error",
        "level error 2-5.5 kHz, dB",
        lambda row: abs(row["levels"][LEVELS_HZ.index(PRESENCE_HZ)]),
        -1,
    ),
    _of("level_error", "level error 5-8 kHz, dB"),
    _of("envelope_correlation", "envelope correlation 5-8 kHz", 1),
    _of("flatness_excess", "haze: flatness over truth 3.5-8 kHz, dB", 0),
    _of("ltas_distance", "LTAS distance to reference, dB"),
    Measure("melody_kept", "sung melody kept, %", lambda row: row.get("melody_kept"), 1),  # of clips that are
    Measure("melody_off", "sung pitch off, cents", lambda row: row.get("melody_off"), -1),
    Measure("visqol", "ViSQOL, 1 to 5", lambda row: row.get("visqol"), 1),  # where it was asked
    _of("seconds", "processor seconds for 10 s"),
)


@dataclass(frozen=True)
class Standing:
    """How one way stands by one measure."""

    way: str
    value: Interval
    behind: Interval  # by how much it is worse than the best, clip by clip; of the best itself zero
    ranks: tuple[int, int]  # between these it lies with a confidence of 95 %, 1 being the best
    best: float  # how probable it is that it is the best, had other clips like these been taken
    clips: int  # of which it has a score


@dataclass(frozen=True)
class Standings:
    """All ways by all measures."""

    ways: tuple[str, ...]
    clips: int
    recordings: int  # clips times machines
    by_measure: dict[str, tuple[Standing, ...]]  # the best first
    by_family: dict[str, dict[str, dict[str, float]]]  # measure -> family -> way -> mean


def standings(rows: Sequence[Row], seed: int = 0) -> Standings:
    """From the rows of all ways on all recordings.

    The scores of one clip behind several machines are averaged first, as only clips are independent of each other.
    What some clips have no score of, as a piano's have none of a melody sung, is told of the others.
    """
    ways = tuple(dict.fromkeys(row["way"] for row in rows))
    by_measure = {}
    for measure in MEASURES:
        clips = list(dict.fromkeys(row["clip"] for row in rows if measure.read(row) is not None))
        scores = {way: _by_clip(rows, way, clips, measure) for way in ways}
        known = {way: values for way, values in scores.items() if values is not None}
        if clips and known:
            chosen = np.random.default_rng(seed).integers(len(clips), size=(DRAWS, len(clips)))
            by_measure[measure.key] = _ranked(known, measure, chosen)
    return Standings(
        ways,
        len({row["clip"] for row in rows}),
        len({(row["clip"], row["family"], row["seed"]) for row in rows}),
        by_measure,
        {measure.key: _by_family(rows, measure) for measure in MEASURES},
    )


def _by_clip(rows: Sequence[Row], way: str, clips: Sequence[str], measure: Measure) -> npt.NDArray[np.float64] | None:
    """A way's score of each clip, or None where it lacks one, as an equalizer that claims no response."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["way"] == way and row["clip"] in clips:
            value = measure.read(row)
            if value is None:
                return None
            found[row["clip"]].append(value)
    return np.array([np.mean(found[clip]) for clip in clips])


def _ranked(
    scores: dict[str, npt.NDArray[np.float64]], measure: Measure, chosen: npt.NDArray[np.int64]
) -> tuple[Standing, ...]:
    names = list(scores)
    values = np.stack([scores[name] for name in names])  # (ways, clips)
    best_first = np.argsort(_cost(values.mean(axis=1), measure), kind="stable")
    drawn = _cost(values[:, chosen].mean(axis=2), measure)  # (ways, draws)
    ranks = 1 + np.argsort(np.argsort(drawn, axis=0, kind="stable"), axis=0, kind="stable")
    leader = values[best_first[0]]
    found = []
    for place in best_first:
        low, high = np.quantile(ranks[place], (0.025, 0.975), method="nearest")
        each = _cost(values[place], measure) - _cost(leader, measure)
        found.append(
            Standing(
                names[place],
                confidence(values[place].tolist()),
                confidence(each.tolist()),
                (int(low), int(high)),
                float((ranks[place] == 1).mean()),
                values.shape[1],
            )
        )
    return tuple(found)


def _cost(values: npt.NDArray[np.float64], measure: Measure) -> npt.NDArray[np.float64]:
    """The same such that less is better."""
    return np.abs(values) if measure.better == 0 else -measure.better * values


def _by_family(rows: Sequence[Row], measure: Measure) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        value = measure.read(row)
        if value is not None:
            found[row["family"]][row["way"]].append(value)
    return {family: {way: float(np.mean(some)) for way, some in ways.items()} for family, ways in found.items()}


# As tables


def markdown(found: Standings) -> str:
    """Measures down, ways across; the best is bold, and so is whatever is not clearly behind it."""
    lines = [
        f"{found.recordings} recordings of {found.clips} clips; means with 95 % intervals. Bold: the best, and what "
        "cannot be told from it.",
        "",
        _line(["", *found.ways]),
        "| --- " * (len(found.ways) + 1) + "|",
    ]
    lines += [_line([title, *cells]) for title, cells in _cells(found, "**{}**".format)]
    lines += ["", "How probable it is that a way is the best, and between which ranks it lies:", ""]
    lines += [_line(["", *found.ways]), "| --- " * (len(found.ways) + 1) + "|"]
    for measure in MEASURES:
        by_way = {one.way: one for one in found.by_measure.get(measure.key, ())}
        if by_way:
            said = (
                f"{by_way[way].best:.0%}, {_span(by_way[way].ranks)}" if way in by_way else "-" for way in found.ways
            )
            lines.append(_line([measure.title, *said]))
    headline = MEASURES[0]
    lines += ["", f"{headline.title}, by family of machines:", ""]
    lines += [_line(["", *found.ways]), "| --- " * (len(found.ways) + 1) + "|"]
    for family, means in found.by_family[headline.key].items():
        lines.append(_line([family, *(f"{means[way]:.1f}" if way in means else "-" for way in found.ways)]))
    return "\n".join(lines) + "\n"


def latex(found: Standings) -> str:
    """The first table, for a paper."""
    head = " & ".join(["", *map(_escaped, found.ways)])
    lines = [rf"\begin{{tabular}}{{l{'r' * len(found.ways)}}}", r"\hline", rf"{head} \\", r"\hline"]
    for title, cells in _cells(found, r"\textbf{{{}}}".format):
        lines.append(" & ".join([_escaped(title), *cells]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """Every score of every recording."""
    written = io.StringIO()
    scores = [measure for measure in MEASURES if measure.key != "seconds"]
    about = ("clip", "family", "seed", "way", "seconds")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([*about, *(measure.key for measure in scores)])
    for row in rows:
        writer.writerow([*(row[name] for name in about), *(measure.read(row) for measure in scores)])
    return written.getvalue()


def as_dict(found: Standings) -> dict[str, Any]:
    """Plain numbers and words, ready for JSON."""
    return {
        "ways": list(found.ways),
        "clips": found.clips,
        "recordings": found.recordings,
        "by_measure": {
            key: [asdict(one) | {"value": one.value._asdict(), "behind": one.behind._asdict()} for one in some]
            for key, some in found.by_measure.items()
        },
        "by_family": found.by_family,
    }


def _cells(found: Standings, bold: Callable[[str], str]) -> list[tuple[str, list[str]]]:
    lines = []
    for measure in MEASURES:
        by_way = {one.way: one for one in found.by_measure.get(measure.key, ())}
        cells = []
        for way in found.ways:
            if way not in by_way:
                cells.append("-")
                continue
            one = by_way[way]
            digits = 2 if measure.key == "envelope_correlation" else 1
            mean, low, high = (f"{round(value, digits) + 0.0:.{digits}f}" for value in one.value)  # no -0.0
            cells.append(bold(f"{mean} [{low}, {high}]") if one.behind.low <= 0 else f"{mean} [{low}, {high}]")
        if by_way:
            clips = next(iter(by_way.values())).clips
            some = f" ({clips} clip{'s' if clips > 1 else ''})" if clips < found.clips else ""
            lines.append((measure.title + some, cells))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _span(ranks: tuple[int, int]) -> str:
    low, high = ranks
    return f"{low}" if low == high else f"{low}-{high}"


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "&%$#_{}" else sign for sign in text)
