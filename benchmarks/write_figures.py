"""Writes the figures that pages tell between their markers, from what was measured: results/ and figures.yaml.

    python benchmarks/write_figures.py

On a page `<!-- figures: NAME -->` and `<!-- end -->` hold what NAME of FIGURES gives, within a line or in lines of its
own. A kind of result is told by its newest file. A test says when a page tells anything else.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

import brightness
import certainty
import declicking
import evaluation
import harm
import joint
import jury
import machines
import mastering
import oracle
import restoration
import shellac
import solvers
import yaml
from measuring import RESULTS

from babe2.evaluation import table as synthetic
from babe2.evaluation.contest.standings import MEASURES, Standings, markdown, standings
from babe2.evaluation.measures import LEVELS_HZ, PRESENCE_HZ
from babe2.evaluation.table import confidence

ROOT = Path(__file__).parents[1]
KEPT = RESULTS.parent / "figures.yaml"
MARKED = re.compile(r"(<!-- figures: (.+?) -->)(.*?)(<!-- end -->)", re.DOTALL)
Lines = Sequence[Sequence[str]]


def pages() -> list[Path]:
    """All that may tell figures."""
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted(ROOT.glob("babe2/bundled/*/README.md")),
        *sorted(ROOT.glob("recipes/*/README.md")),
    ]


def filled(text: str) -> str:
    """A page with its figures as they are now."""

    def told(found: re.Match[str]) -> str:
        begin, name, before, end = found.groups()
        figures = FIGURES[name]()
        return f"{begin}\n\n{figures}\n\n{end}" if before.startswith("\n") else f"{begin}{figures}{end}"

    return MARKED.sub(told, text)


# What was measured


@cache
def newest(kind: str) -> Any:
    """The newest results of a kind, as they lie in their file; a name may go on with the machine."""
    return json.loads(max(RESULTS.glob(f"*-{kind}*.json")).read_text("utf-8"))


def newest_lines(kind: str) -> list[dict[str, str]]:
    """The same of results in a table of their own, as text."""
    with max(RESULTS.glob(f"*-{kind}.csv")).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def kept(name: str) -> Any:
    """Figures of figures.yaml."""
    return yaml.safe_load(KEPT.read_text("utf-8"))[name]


@cache
def contest() -> list[dict[str, Any]]:
    """The rows of the newest contest, as they were when its table was written."""
    rows = []
    for row in newest_lines("contest"):
        about = {name: row.pop(name) for name in ("clip", "family", "seed", "way")}
        scores = {name: float(value) if value else None for name, value in row.items()}
        levels = [scores["presence"] if band == PRESENCE_HZ else None for band in LEVELS_HZ]
        rows.append(about | scores | {"levels": levels})
    return rows


@cache
def ranked() -> Standings:
    """How the ways of the newest contest stand."""
    return standings(contest())


# Tables


def grid(heads: Sequence[str], lines: Lines) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *lines])


def interval(mean: float, low: float, high: float, digits: int = 2) -> str:
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


SHORT = ("lsd_band", "si_sdr_gain", "response_error_band", "presence_error", "level_error", "envelope_correlation")
WAYS = {"none": "the recording", "ltas-eq": "`ltas-eq`", "babe2:draft": "`draft`", "babe2": "`standard`"}


def by_preset() -> str:
    """The contest in brief: ways down, a few measures across."""
    found = ranked()
    cells = {(one.way, key): one.value for key in (*SHORT, "seconds") for one in found.by_measure[key]}
    titles = {measure.key: measure.title for measure in MEASURES}

    def cell(way: str, key: str) -> str:
        if (way, key) not in cells or (way == "none" and key in ("si_sdr_gain", "seconds")):
            return "-"
        value = cells[way, key]
        return f"{value.mean:.1f}" if key == "seconds" else interval(*value, 2 if key == SHORT[-1] else 1)

    keys = (*SHORT, "seconds")
    return grid(["", *(titles[key] for key in keys)], [[WAYS[way], *(cell(way, key) for key in keys)] for way in WAYS])


def by_family() -> str:
    """How far `standard` is from the truth behind each kind of machine, and the recording before it."""
    found = ranked().by_family
    heads = {"lsd_band": "LSD to the band's end", "presence_error": "level error 2-5.5 kHz"}
    heads |= {"level_error": "level error 5-8 kHz"}
    lines = []
    for family in found["lsd_band"]:
        pairs = (found[key][family] for key in heads)
        cells = [f"{pair['none']:.1f} to {pair['babe2']:.1f}" for pair in pairs]
        response = found["response_error_band"][family]
        lines.append([f"`{family}`", *cells, f"{response['babe2']:.1f} ({response['ltas-eq']:.1f})"])
    return grid(["dB", *heads.values(), "response error (LTAS-EQ's)"], lines)


SLOW = ("ltas-eq", "babe2:draft", "babe2", "babe", "babe2:paper")


def slow_ways() -> str:
    """The ways that take minutes a clip beside the others, by kind of machine: one clip behind each, so no interval."""
    rows = newest_lines("slow-ways")
    cells = {(row["family"], row["way"]): row for row in rows}
    lines = []
    for family in dict.fromkeys(row["family"] for row in rows):
        of_way = (cells[family, way] for way in SLOW)
        pairs = (f"{float(row['lsd_band']):.1f} / {float(row['response_error_band']):.1f}" for row in of_way)
        lines.append([f"`{family}`", *pairs])
    seconds = (mean(float(row["seconds"]) for row in rows if row["way"] == way) for way in SLOW)
    heads = ["LSD / response error, dB", *(f"`{way}`" for way in SLOW)]
    return grid(heads, [*lines, ["seconds for a clip", *(f"{value:.1f}" for value in seconds)]])


OF_VOICES = ("lsd_band", "response_error_band", "presence_error", "level_error", "envelope_correlation", "melody_kept")
PRIORS = {  # of voices' restorations, beside the recording
    "none": "recording",
    "piano-small": "`piano-small`",
    "untaught": "told the spectrum only",
    "voice-small": "`voice-small` [95 %]",
}
HEARD = "csd_"  # what the singers are called of whom voice-small has heard another piece


def voices(heard: bool) -> str:
    """What becomes of singing by three priors, clip by clip, of singers that `voice-small` has heard or has not."""
    rows = [row for row in newest_lines("voices") if row["clip"].startswith(HEARD) == heard]
    titles = {measure.key: measure.title for measure in MEASURES}
    lines = []
    for key in OF_VOICES:
        of_way = {way: by_clip([row for row in rows if row["way"] == way], key) for way in PRIORS}
        *others, ours = of_way.values()
        digits = 2 if key == "envelope_correlation" else 1
        cells = [f"{mean(values):.{digits}f}" if values else "-" for values in others]
        gained = [one - other for one, other in zip(ours, of_way["piano-small"], strict=True)]
        lines.append([titles[key], *cells, *(interval(*confidence(values), digits) for values in (ours, gained))])
    return grid(["measure", *PRIORS.values(), "over `piano-small`"], lines)


def by_clip(rows: Sequence[Mapping[str, str]], key: str) -> list[float]:
    """The mean of a measure over each clip's machines, where it was taken."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row[key]:
            found.setdefault(row["clip"], []).append(float(row[key]))
    return [mean(values) for values in found.values()]


COLUMNS = {"input": "input", "ltas_eq": "LTAS-EQ", "ratio": "ratio", "ours": "ours [95 %]"}
FAMILIES = ("response_error_band", "lsd_band", "level_2", "presence_error", "level_3", "level_error")


def synthetic_line(title: str, found: Mapping[str, Any], floor: str, wanted: str) -> list[str]:
    """A line of the card's table; `found` has a mean in each column, and an interval at least in ours."""
    cells = ["-" if found.get(name) is None else f"{found[name]:.2f}" for name in tuple(COLUMNS)[:-1]]
    return [title, *cells, interval(*found["ours"]), floor, wanted]


def piano_small() -> str:
    """The card's table, as `babe2 evaluate synthetic` prints it."""
    found, lines = kept("piano-small"), []
    titles = {measure.key: measure.title for measure in synthetic.MEASURES}
    for measure in synthetic.MEASURES:
        if measure.key in found:
            lines.append(synthetic_line(measure.title, found[measure.key], measure.floor, measure.wanted))
    for key, pairs in kept("piano-small against").items():
        for column, ends in pairs.items():
            title = f"against {COLUMNS[column]}, {titles[key].removesuffix(', dB')}"
            lines.append(synthetic_line(title, {"ours": ends}, "< 0", "< 0"))
    same = "bit-identical"
    lines.append(["same seed twice", "-", "-", "-", same, same, same])
    return grid(["measure", *COLUMNS.values(), "floor", "wanted"], lines)


def families() -> str:
    """The same on six kinds of machines, in brief."""
    rows = {row["key"]: row for row in newest("families")["rows"]}
    lines = []
    for key in FAMILIES:
        cells = [rows[key][name] and f"{rows[key][name]['mean']:.1f}" for name in tuple(COLUMNS)[:-1]]
        ours = interval(**rows[key]["ours"], digits=1)
        lines.append([rows[key]["title"], *(cell or "-" for cell in cells), ours])
    return grid(["measure", *COLUMNS.values()], lines)


def kinds_of_machines() -> str:
    """The LSD to the band's end behind each kind of machine, in a line."""
    clips = sorted(newest("families")["clips"], key=lambda clip: clip["family"])
    kinds = groupby(clips, lambda clip: clip["family"])
    return ", ".join(f"{kind} {mean(clip['ours']['lsd_band'] for clip in some):.1f}" for kind, some in kinds) + " dB"


def denoiser_small() -> str:
    """What the denoiser takes away, beside others."""
    found = kept("denoiser-small")
    heads = next(iter(found.values()))
    cells = [[str(snr), *(f"{sdr:.1f} / {lsd:.1f}" for sdr, lsd in row.values())] for snr, row in found.items()]
    return grid(["SNR, dB", *heads], cells)


# Time


def ten_seconds() -> str:
    """What ten seconds take, by computer and preset."""
    lines = [
        [about["computer"], *(f"{' to '.join(map(str, about[preset]))} s" for preset in ("draft", "standard"))]
        for about in kept("ten_seconds").values()
    ]
    return grid(["computer", "`draft`", "`standard`"], lines)


def minute_of_piano_small(preset: str) -> str:
    """What a minute takes, from the fastest computer to the slowest: six times ten seconds."""
    times = [6 * seconds for about in kept("ten_seconds").values() for seconds in about[preset]]
    return f"{rounded(min(times))} to {rounded(max(times))}"


def rounded(seconds: float) -> str:
    """To 5 s, and from a minute on to half minutes."""
    if seconds < 57.5:
        return f"{5 * round(seconds / 5)} s"
    return f"{round(seconds / 30) / 2:g} min"


def minute_of_piano() -> str:
    """What a minute takes with the full network, its segments overlapping by a tenth."""
    found = {
        row["precision"]: row["cpu_seconds"] / row["sound_seconds"] * 10 / 9
        for row in newest("restoration-quick")["rows"]
        if (row["part"], row.get("network"), row.get("preset")) == ("presets", "piano", "standard")
    }
    return f"{found['float32']:.0f} min on one core, {found['bfloat16']:.0f} with bfloat16"


def cost_of_piano_small() -> str:
    """What ten seconds take with `standard`, as its card tells it."""
    fast, slow = kept("ten_seconds")["AMX"], kept("ten_seconds")["AVX2"]
    return (
        f"{fast['loaded']:g} s for ten seconds of sound ({fast['standard'][0]:g} s with loading) on two cores that "
        f"multiply bfloat16 natively, {' to '.join(map(str, slow['standard']))} s on two with AVX2 alone"
    )


# All of them


def rows_with(kind: str, name: str) -> list[dict[str, Any]]:
    """The rows of a kind of result that tell of something."""
    return [row for row in newest(kind)["rows"] if name in row]


def declicked(rate_khz: float) -> str:
    return declicking.table([row for row in newest("declicking")["rows"] if row["rate_khz"] == rate_khz])


def measured_speed(part: str) -> str:
    return restoration.table_of(restoration.rows_of([newest("restoration-quick")]), part)


def jointly(what: str) -> str:
    return joint.table(newest("joint"), what)


def joint_differences(number: int) -> str:
    return joint.differences(newest("joint"), *joint.AGAINST[number])


FIGURES: dict[str, Callable[[], str]] = {
    "standings": lambda: markdown(ranked()).strip(),
    "presets of piano-small": by_preset,
    "machines": by_family,
    "methods": lambda: solvers.table(newest("methods")["rows"], "babe2"),
    "narrow": lambda: solvers.table(newest("narrow")["rows"], "paper"),
    "solvers": lambda: solvers.table(newest("solvers")["rows"], "paper"),
    "piano-small": piano_small,
    "families": families,
    "slow ways": slow_ways,
    "kinds of machines": kinds_of_machines,
    "voices heard": partial(voices, True),
    "voices unheard": partial(voices, False),
    "denoiser-small": denoiser_small,
    "response-estimator": lambda: machines.table(newest("machines")["rows"]),
    "brightness": lambda: brightness.table(newest("brightness")["rows"]),
    "oracle": lambda: oracle.table(newest("oracle")["rows"]),
    "jury": lambda: jury.table(newest("jury")["rows"]),
    "certainty": lambda: certainty.table(newest("certainty")["rows"]),
    "certainty of what is measured": lambda: certainty.table_of_undone(newest("certainty")["rows"]),
    "denoising": partial(jointly, "denoising"),
    "denoising by the prior": partial(joint_differences, 0),
    "restoring": partial(jointly, "restoring"),
    "restoring jointly": partial(joint_differences, 1),
    "restoring jointly or behind the prior": partial(joint_differences, 2),
    "shellac": lambda: shellac.table(newest("shellac")),
    "harm": lambda: harm.table(rows_with("harm", "way")),
    "notes taken for hum": lambda: harm.table_of_notes(rows_with("harm", "note")),
    "declicking at 22 kHz": partial(declicked, 22.05),
    "declicking at 44 kHz": partial(declicked, 44.1),
    "mastering": lambda: mastering.table(newest("mastering")["rows"]),
    "evaluation": lambda: evaluation.table(newest("piano")),
    "presets": partial(measured_speed, "presets"),
    "growth": partial(measured_speed, "growth"),
    "seams": partial(measured_speed, "seams"),
    "ten seconds": ten_seconds,
    "a minute, draft": partial(minute_of_piano_small, "draft"),
    "a minute, standard": partial(minute_of_piano_small, "standard"),
    "a minute, piano": minute_of_piano,
    "cost of piano-small": cost_of_piano_small,
}


if __name__ == "__main__":
    for page in pages():
        page.write_text(filled(page.read_text("utf-8")), "utf-8")
