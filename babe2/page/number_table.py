"""The numbers of a restoration as a table for listeners; the report itself has them all, for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np

from babe2.report.sounds import OCTAVES_HZ
from babe2.report.verdict import Verdict, format_hertz
from babe2.restoration import Restoration


class Row(NamedTuple):
    """One line: what it is, its value, and the unit it is in."""

    what: str
    value: str
    unit: str = ""


def rows(restoration: Restoration, found: Verdict, analysis: Mapping[str, Any]) -> Iterator[Row | str]:
    """The lines of the table, and headings between them; `analysis` is what `analyse` says of the restored sound."""
    report = restoration.report
    yield from changes(restoration.samples / restoration.sample_rate, restoration.sample_rate, found, analysis)
    yield "The old machine, as it was found"
    octaves = [hertz for hertz in OCTAVES_HZ if 60 <= hertz < restoration.sample_rate / 2]
    for hertz, gain in zip(octaves, restoration.response.gain_db(np.array(octaves)), strict=True):
        yield Row(f"Gain at {format_hertz(hertz)}", f"{gain:+.1f}" if gain > -60 else "below -60", "dB")
    yield "How it was made"
    yield Row("Checkpoint", f"{report['checkpoint']}{', verified' if report['verified'] else ''}")
    yield Row("Preset, method", f"{report['preset']}, {report['solver']}")
    yield Row("Seed", str(report["seed"]))
    yield Row("Evaluations of the network", str(report["evaluations"]))
    yield Row("Time it took", f"{report['seconds']:.1f}", "s")


def rows_of_chain(
    seconds: float, sample_rate: int, found: Verdict, analysis: Mapping[str, Any], report: Mapping[str, Any]
) -> Iterator[Row | str]:
    """The same of what a chain has made, with what each of its stages has changed."""
    yield from changes(seconds, sample_rate, found, analysis)
    yield "What each stage took away or changed, beside what it was given"
    for stage in report["stages"]:
        level = stage["removed_db"]
        yield Row(stage["stage"], "nothing" if level is None else f"{level:.1f}", "" if level is None else "dB")
    yield Row("Time it took", f"{report['seconds']:.1f}", "s")


def changes(seconds: float, sample_rate: int, found: Verdict, analysis: Mapping[str, Any]) -> Iterator[Row | str]:
    """What was done, and what the restored sound is like."""
    yield "What was done"
    yield Row("Sound restored", f"{seconds:.2f}", "s")
    yield Row("Channels, sample rate", f"{analysis['channels']}, {sample_rate}", "Hz")
    yield Row("What was added, beside the recording", f"{found.added_db:.1f}", "dB")
    if found.band_end_hz is not None and found.imagines:
        yield Row("The recorded band ends at; above it all is imagined", f"{found.band_end_hz:.0f}", "Hz")
    for hertz, change in found.octaves:
        yield Row(f"Change of the octave around {format_hertz(hertz)}", f"{change:+.1f}", "dB")
    yield "The restored sound"
    for what, value, unit in (
        ("Loudness", analysis["loudness_lufs"], "LUFS"),
        ("Peak", analysis["peak_dbfs"], "dB of full scale"),
        ("Noise floor", analysis["noise_floor_dbfs"], "dB of full scale"),
        ("Music is heard up to", analysis["bandwidth_high_hz"], "Hz"),
    ):
        if value is not None:
            yield Row(what, f"{value:.{0 if unit == 'Hz' else 1}f}", unit)


def as_html(lines: Iterator[Row | str]) -> str:
    """The table as HTML."""
    body = "".join(_line(*map(escape, line)) if isinstance(line, Row) else _heading(escape(line)) for line in lines)
    head = "".join(f'<th scope="col">{word}</th>' for word in ("What", "Value", "Unit"))
    return f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _heading(words: str) -> str:
    return f'<tr><th scope="colgroup" colspan="3">{words}</th></tr>'


def _line(what: str, value: str, unit: str) -> str:
    return f'<tr><th scope="row">{what}</th><td>{value}</td><td>{unit}</td></tr>'
