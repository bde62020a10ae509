"""A restoration as one HTML page that opens from the disk: it plays, shows, tells and prints, and needs no network.

Sound, pictures, style and script lie in the page itself. Several runs get a page each, and an index of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from matplotlib.figure import Figure

from babe2.analysis.description import analyse
from babe2.config import as_text
from babe2.dsp.resampling import resample
from babe2.methods import METHODS
from babe2.methods.registry import all_settings
from babe2.provenance import checkpoint_name
from babe2.report import figures
from babe2.report.finished import HEARD_SECONDS, FinishedRun, differences, shown
from babe2.report.html_sound import KIND, LOOKED_SECONDS, Heard, Playable, heard, playable, told
from babe2.report.markup import Html, data_address, document, house_file, joined, json_script, tag
from babe2.report.responses import response_of
from babe2.report.sounds import OCTAVES_HZ
from babe2.report.tracks import desk_parts
from babe2.report.verdict import FAINT_OCTAVE_DB, FEWEST_SECONDS, format_hertz, octave_levels, verdict
from babe2.version import __version__
from babe2.wording import clock, format_length

MEASURES = (  # what is told of both sounds: the name that `analyse` gives it, in words, and its digits
    ("loudness_lufs", "Loudness, LUFS", 1),
    ("peak_dbfs", "Peak, dB of full scale", 1),
    ("noise_floor_dbfs", "Noise floor, dB of full scale", 1),
    ("bandwidth_high_hz", "Music is heard up to, Hz", 0),
)
CERTAIN = ("measured", "inferred", "imagined")
LARGEST_PICTURE = 2**23  # bytes
_PNG = b"\x89PNG\r\n\x1a\n"
DEEPEST_DB = -60.0  # of a response in the table
MINUS = "\N{MINUS SIGN}"


class Links:
    """Links from a page to files that travel with it."""

    def __init__(self, page: Path, index: Path | None) -> None:
        self._page, self.index = page, index
        self._home = (index or page).parent

    @property
    def back(self) -> Html | None:
        """The way back to the index."""
        if self.index is None:
            return None
        return tag("a", "All recordings", href=quote(Path(os.path.relpath(self.index, self._page.parent)).as_posix()))

    def to(self, path: Path | None, words: str) -> str:
        """A link to a file, or its name alone where it lies elsewhere."""
        if path is None or not path.is_file():
            return words
        place = os.path.realpath(path)
        if not Path(place).is_relative_to(os.path.realpath(self._home)):
            return words
        relative = Path(os.path.relpath(place, os.path.realpath(self._page.parent)))
        told = relative.as_posix() != words  # what is printed says where it leads, unless it does already
        return tag("a", words, href=quote(relative.as_posix()), class_="leads" if told else None)


def page(run: FinishedRun, links: Links, seconds: float = HEARD_SECONDS) -> str:
    """The page as text."""
    found = heard(run, seconds)
    playing = playable(found, run.restoration, run.start)
    numbers = _Numbers.of(run, found)
    sections = {
        "listen": ("Listen", _listening(run, found, playing, links)),
        "pictures": ("Spectrograms", _spectrograms(run, found)),
        "certainty": ("What is certain", _certainty(run)),
        "changes": ("What was done", _changes(found, numbers)),
        "machine": ("The old machine", _machine(run, found)),
        "making": ("How it was made", _making(run)),
        "files": ("Files", _files(run, links)),
    }
    there = {name: (title, inside) for name, (title, inside) in sections.items() if inside}
    header = tag(
        "header",
        tag("p", "babe2 \N{MIDDLE DOT} report of a restoration", class_="kicker"),
        tag("h1", run.name),
        tag("p", numbers.words or run.error, class_="lead") if numbers.words or run.error else None,
        tag("p", str(run.report["statement"]), class_="statement") if run.report.get("statement") else None,
        links.back,
        tag(
            "nav", *(tag("a", title, href=f"#{name}") for name, (title, _) in there.items()), aria_label="On this page"
        ),
    )
    body = [_warnings(run, found), *(_section(name, *each) for name, each in there.items())]
    make = plain_document if playing is None else _document_that_plays
    return make(f"{run.name}: report", header, tag("main", *body), footer())


def plain_document(title: str, *body: str) -> str:
    """A page without a player."""
    return document(title, house_file("house.css") + house_file("report.css"), "", *body)


def _document_that_plays(title: str, *body: str) -> str:
    parts = desk_parts()
    style = f"{house_file('house.css')}{house_file('report.css')}.listening {{\n{parts['css_template']}\n}}\n"
    script = f"function desk(element, props, watch) {{\n{parts['js_on_load']}\n}}\n{house_file('report.js')}"
    return document(title, style, script, *body)


def footer() -> Html:
    return tag(
        "footer", tag("p", f"Made by babe2 {__version__}. This page holds all that it shows and asks no network.")
    )


def _section(name: str, title: str, inside: str) -> Html:
    return tag("section", tag("h2", title, id=f"{name}-title"), inside, id=name, aria_labelledby=f"{name}-title")


def _warnings(run: FinishedRun, found: Heard) -> Html | None:
    said = [*map(str, run.report.get("warnings") or []), *found.warnings, *differences(run)]
    if not said:
        return None
    title = tag("h2", "To beware of", id="beware-title")
    items = tag("ul", *(tag("li", shown(each)) for each in dict.fromkeys(said)))
    return tag("section", title, items, class_="beware", aria_labelledby="beware-title")


# Sound


def _listening(run: FinishedRun, found: Heard, playing: Playable | None, links: Links) -> Html | None:
    """The desk, and until a script has set it up the sounds as any browser plays them."""
    if playing is None:
        return None if run.error else tag("p", "Neither the recording nor its restoration was found, so nothing plays.")
    missing = {"recording": found.before, "restoration": found.after}
    notes = [f"The {what} was not found, so it is not heard." for what, sound in missing.items() if sound is None]
    plain = [
        tag(
            "figure",
            tag("figcaption", track["title"]),
            tag("audio", controls=True, preload="none", data_key=track["key"], aria_label=track["title"],
                src=data_address(playing.sounds[track["key"]], KIND)),
        )
        for track in playing.desk["tracks"]
    ]  # fmt: skip
    notes += told(found, run.start, playing)
    if found.after is not None and run.packed is None:
        notes_end = joined(" The file to keep is ", links.to(run.restored, run.result), ".")
    else:
        notes_end = Html("")
    return joined(
        tag("div", Html(desk_parts()["html_template"]), class_="listening", hidden=True),
        tag("div", *plain, class_="plain"),
        json_script(playing.desk, class_="tracks"),
        tag("p", " ".join(notes), notes_end, class_="note"),
    )


# Pictures


def _spectrograms(run: FinishedRun, found: Heard) -> Html | None:
    parts = [part for part in (found.part(found.before), found.part(found.after)) if part is not None]
    if not parts or min(x.shape[1] / rate for x, rate in parts) < 0.05:
        return None
    start = run.start + found.start
    drawn = figures.spectrogram_pair(parts[0], parts[-1], start=start)
    keys = [key for key, there in (("recording", found.before), ("restored", found.after)) if there is not None]
    left, bottom, width, height = figures.PAIR_AXES
    box = {"left": left, "top": 1 - bottom - height, "width": width, "height": height}
    style = ";".join(f"{side}:{100 * share:.2f}%" for side, share in box.items())
    shown_figures = drawn if len(keys) == 2 else [drawn[0 if keys == ["recording"] else 1]]
    figs = [
        tag(
            "figure",
            tag("div", _picture(figure, "webp", _spectrogram_words(key, found, start)),
                tag("div", tag("div", class_="cursor", hidden=True), class_="axes", style=style), class_="seen"),
            class_="spectrogram",
            data_key=key,
        )
        for key, figure in zip(keys, shown_figures, strict=True)
    ]  # fmt: skip
    words = "Both to one scale: 0 dB is the loudest point." if len(figs) == 2 else "0 dB is the loudest point."
    where = f" {clock(start)} to {clock(start + found.seconds)} of the recording." if found.is_part or run.start else ""
    click = tag("span", " Click into a picture to hear that place.", class_="on-screen")
    return joined(tag("div", *figs, class_="pictures"), tag("p", words, where, click, class_="note"))


def _spectrogram_words(key: str, found: Heard, start: float) -> str:
    what = "recording" if key == "recording" else "restoration"
    return (
        f"Spectrogram of the {what}: level over time, {clock(start)} to {clock(start + found.seconds)}, and frequency, "
        "40 Hz and up on a scale of octaves."
    )


def _picture(figure: Figure, kind: str, words: str) -> Html:
    """A figure by day and by night, each within the page; what is printed is the one by day."""
    media = {"webp": "image/webp", "svg": "image/svg+xml"}[kind]
    day = data_address(figures.encoded(figure, kind), media)
    night = data_address(figures.encoded(figures.by_night(figure), kind), media)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return tag(
        "picture",
        tag("source", media="screen and (prefers-color-scheme: dark)", srcset=night),
        tag("img", src=day, alt=words, width=width, height=height),
    )


def _machine(run: FinishedRun, found: Heard) -> Html | None:
    """The response, as it was found, with the band in which it lies."""
    curve, within = response_of(run.restoration)
    if curve is None or found.there is None:
        return None
    rate = found.there[1]
    if within is not None:  # it ends an octave and less above the prior's music
        rate = min(rate, round(2.2 * float(within.frequencies[-1])))
    words = "The estimated response of the old machine in dB over frequency; the table below it has the numbers."
    chart = _picture(figures.narrow(figures.response((), curve, rate, within)), "svg", words)
    hertz = [centre for centre in OCTAVES_HZ if 60 <= centre < rate / 2]
    gains = curve.gain_db(np.array(hertz, dtype=float))
    bands = [None] * len(hertz) if within is None else list(within.gain_db(np.array(hertz, dtype=float)))
    rows = []
    for centre, gain, band in zip(hertz, gains, bands, strict=True):
        cells = [_signed(gain) if gain > DEEPEST_DB else f"below {_signed(DEEPEST_DB, 0)}"]
        cells += [] if within is None else [f"\N{PLUS-MINUS SIGN}{band:.1f}"]
        rows.append((format_hertz(centre), *cells))
    head = ["Octave", "Gain, dB"] + ([] if within is None else ["Within, dB"])
    said = "How the machine that made the recording coloured the sound. Restoring undoes it."
    if within is not None:
        said += " Nine in ten true responses lie within so many dB of what was found."
    return joined(
        tag("p", said),
        tag("div", tag("figure", chart, class_="chart"), _table("Gain of each octave", head, rows), class_="beside"),
    )


def _changes(found: Heard, numbers: _Numbers) -> Html | None:
    if found.before is None or found.after is None:
        return None
    words = "The average spectra of recording and restoration in dB over frequency; the table below has the numbers."
    curves = {"recording": found.before, "restored": found.after}
    parts: list[str] = []
    if numbers.octaves:
        chart = _picture(figures.narrow(figures.ltas_curves(curves)), "svg", words)
        rows = [(format_hertz(hertz), _signed(change)) for hertz, change in numbers.octaves]
        octaves = _table("Change of each octave", ["Octave", "Change, dB"], rows)
        parts.append(tag("div", tag("figure", chart, class_="chart"), octaves, class_="beside"))
    if numbers.rows:
        parts.append(_table("In numbers", ["Measure", "Recording", "Restored", "Change"], numbers.rows))
    looked = f"The first {clock(LOOKED_SECONDS)} were looked at." if found.is_looked_at_in_part else ""
    louder = "Spectra are compared at equal level from 200 Hz to 2 kHz. "
    return joined(*parts, tag("p", louder if numbers.octaves else "", looked, class_="note")) if parts else None


@dataclass(frozen=True, eq=False)
class _Numbers:
    """What was measured of both sounds; nothing where there are not two, or hardly any of them."""

    words: str  # the verdict
    octaves: list[tuple[float, float]]  # (centre in Hz, change in dB)
    rows: list[tuple[str, ...]]

    @classmethod
    def of(cls, run: FinishedRun, found: Heard) -> _Numbers:
        said, before, after = shown(str(run.report.get("verdict") or "")), found.before, found.after
        if before is None or after is None:
            return cls(said, [], [])
        if min(x.shape[1] / rate for x, rate in (before, after)) < FEWEST_SECONDS:
            return cls(said, [], [])
        at_rate = resample(torch.from_numpy(after[0]), after[1], before[1])
        levels = octave_levels(before, (at_rate, before[1]))
        octaves = [(hertz, now - was) for hertz, was, now in levels if max(was, now) > FAINT_OCTAVE_DB]
        rows = _measured([analyse(*sound) for sound in (before, after)])
        return cls(said or _judged(run.restoration, found), octaves, rows)


def _judged(report: Mapping[str, Any], found: Heard) -> str:
    """What was done, in words, told from the part that is heard: reports of chains do not say it."""
    before, after = found.part(found.before), found.part(found.after)
    if before is None or after is None or found.seconds < FEWEST_SECONDS:
        return ""
    return verdict(before, after, None, report.get("band"), imagines=bool(report.get("generates"))).words


def _measured(known: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """What `analyse` says of both sounds, line by line."""
    rows = []
    for name, words, digits in MEASURES:
        values = [each[name] for each in known]
        cells = ["\N{EN DASH}" if value is None else _plain(value, digits) for value in values]
        change = "" if None in values else _signed(values[1] - values[0], digits)
        rows.append((words, *cells, change))
    return rows


# Words and numbers


def _certainty(run: FinishedRun) -> Html | None:
    """How much of each octave was measured, inferred and imagined, where the report tells."""
    known = run.restoration.get("certainty")
    if not isinstance(known, Mapping):
        return None
    octaves = known.get("octaves")
    rows = [
        row for each in (octaves if isinstance(octaves, list) else []) if (row := _certain_octave(each)) is not None
    ]
    drawn = _certainty_picture(run)
    if not rows and drawn is None:
        return None
    legend = tag("p", *(tag("span", kind, class_=f"kind {kind}") for kind in CERTAIN), class_="kinds")
    head = tag("tr", *(tag("th", words, scope="col") for words in ("Octave", *map(str.capitalize, CERTAIN), "Share")))
    table = tag(
        "table", tag("caption", "Percent of what sounds in each octave"), tag("thead", head), tag("tbody", *rows)
    )
    words = tag("p", shown(str(known["words"]))) if known.get("words") else None
    return joined(words, drawn, *([tag("div", legend, table, class_="certainty")] if rows else []))


def _certain_octave(octave: Any) -> Html | None:
    try:
        shares = [float(octave[kind]) for kind in CERTAIN]
        hertz = format_hertz(float(octave["octave_hz"]))
    except (KeyError, TypeError, ValueError):  # nothing sounds there
        return None
    bars = (
        tag("span", class_=kind, style=f"width:{min(max(share, 0), 100):.1f}%")
        for kind, share in zip(CERTAIN, shares, strict=True)
    )
    bar = tag("td", tag("span", *bars, class_="bar"), class_="share", aria_hidden="true")
    return tag("tr", tag("th", hertz, scope="row"), *(tag("td", f"{share:.0f}") for share in shares), bar)


def _certainty_picture(run: FinishedRun) -> Html | None:
    if run.picture is None or run.picture.stat().st_size > LARGEST_PICTURE:
        return None
    content = run.picture.read_bytes()
    if not content.startswith(_PNG):
        return None
    words = "A map over time and frequency of what was measured, what inferred and what imagined."
    return tag("figure", tag("img", src=data_address(content, "image/png"), alt=words), class_="chart")


def _making(run: FinishedRun) -> Html | None:
    if run.error:
        return None
    report = run.restoration
    known = [*_facts(report)]
    parts: list[str] = [tag("dl", *(tag("div", tag("dt", what), tag("dd", value)) for what, value in known))]
    if stages := run.report.get("stages"):
        rows = [tuple(_stage_cells(stage)) for stage in stages]
        parts.append(_table("The stages", ["Stage", "Took away or changed", "Seconds", "Found"], rows))
    if settings := report.get("settings"):
        about = all_settings()
        rows = [(about[name].label if name in about else name, name, as_text(settings[name])) for name in settings]
        table = _table("What the method was told", ["Setting", "Name", "Value"], rows)
        parts.append(tag("details", tag("summary", f"All {len(rows)} settings"), table))
    if run.command:
        said = "The same command makes the same file again, to the bit on the same kind of machine and versions:"
        parts += [tag("p", said), tag("pre", tag("code", shown(run.command)), tabindex="0", aria_label="Command")]
    return joined(*parts)


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the run was, line by line."""
    solver = report.get("solver")
    if solver in METHODS:
        yield "Method", f"{METHODS[solver].title} ({solver})"
    if "chain" in report:
        yield "Chain", str(report["chain"])
    if report.get("checkpoint"):
        verified = ", verified" if report.get("verified") else ", from an unverified source"
        yield "Checkpoint", checkpoint_name(str(report["checkpoint"])) + verified
        yield "Its SHA-256", tag("code", str(report.get("sha256") or "unknown"))
    for name, words in (("preset", "Preset"), ("seed", "Seed"), ("evaluations", "Evaluations of the network")):
        if report.get(name) is not None:
            yield words, str(report[name])
    excerpt = report.get("excerpt") or {}
    if excerpt.get("start"):
        yield "From", f"{clock(excerpt['start'])} of the recording on"
    if report.get("amount", 1) != 1:
        yield "Mixed", f"{report['amount']:.0%} restoration, the rest recording"
    if isinstance(report.get("seconds"), int | float):
        yield "Time it took", format_length(report["seconds"])
    device = [f"{report[name]}" for name in ("device", "precision") if report.get(name)]
    if report.get("threads"):
        device.append(f"{report['threads']} thread{'s' if report['threads'] != 1 else ''}")
    if device:
        yield "Computed on", ", ".join(device)
    if versions := report.get("versions"):
        yield "With", ", ".join(f"{name} {version}" for name, version in versions.items())


def _stage_cells(stage: Mapping[str, Any]) -> Iterator[str]:
    level, found = stage.get("removed_db"), {**(stage.get("counts") or {}), **(stage.get("found") or {})}
    yield str(stage.get("stage"))
    yield "nothing" if level is None else f"{_plain(level, 1)} dB"
    yield _plain(stage.get("seconds") or 0.0, 1)
    plain = {
        name: value
        for name, value in found.items()
        if isinstance(value, str | int | float) and name not in ("sha256", "verified")
    }
    hidden = stage.get("stage") == "restore"  # of which all else here tells
    yield "" if hidden else ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items())


def _files(run: FinishedRun, links: Links) -> Html | None:
    lines = []
    said = run.report.get("input")
    for what, path, name, known in (
        ("Recording", run.recording, run.name, said if isinstance(said, Mapping) else {}),
        ("Restoration", run.restored, run.result, run.report.get("result") or {}),
    ):
        if name:
            size = f", {int(known['bytes']):,} bytes" if known.get("bytes") else ""
            digest = tag("code", str(known["sha256"])) if known.get("sha256") else None
            lines.append(
                tag("div", tag("dt", what), tag("dd", links.to(path, name), size, digest and tag("br"), digest))
            )
    return tag("dl", *lines) if lines else None


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table whose first column names its lines; wide ones scroll by themselves."""
    title = tag("caption", caption)
    top = tag("thead", tag("tr", *(tag("th", words, scope="col") for words in head)))
    lines = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    return tag("div", tag("table", title, top, tag("tbody", *lines)), class_="wide", tabindex="0", role="group",
               aria_label=caption)  # fmt: skip


def _plain(value: float, digits: int = 1) -> str:
    """A number with a true minus."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def _signed(value: float, digits: int = 1) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)
