"""Methods beside each other, as the paper's Table 1 has them: in Markdown, LaTeX, CSV and plain numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from babe2.evaluation.frechet import Estimate
from babe2.evaluation.notes import Agreement
from babe2.evaluation.recordings import Evaluation, Method

TITLES = {"vggish": "VGGish", "clap": "CLAP", "encodec": "EnCodec"}  # as the paper writes them
ARROWS = {"less": "↓", "more": "↑", "": ""}


class Column(NamedTuple):
    """A measure of the table."""

    key: str
    title: str
    digits: int
    wanted: Literal["less", "more", ""]
    unit: str = ""
    first: bool = False  # whether it stands in the paper's table, too


def columns_of(evaluation: Evaluation) -> list[Column]:
    """The measures of an evaluation; of those that nobody could measure there are none."""
    found = []
    for name in evaluation.rows:
        title = TITLES.get(name, name)
        found += [
            Column(f"fad_{name}", f"FAD {title}", 2, "less", first=True),
            Column(f"fad_infinity_{name}", f"FAD∞ {title}", 2, "less"),
            Column(f"kad_{name}", f"KAD {title}", 2, "less"),
        ]
    found += [
        Column("ltas_distance", "LTAS dist.", 2, "less", "dB", first=True),
        Column("ltas_distance_of_set", "LTAS dist. of all together", 2, "less", "dB"),
        Column("onsets_kept", "onsets kept", 1, "more", "%"),
        Column("onsets_added", "onsets added", 2, "less", "a minute"),
        Column("pitch_agreement", "pitches alike", 3, "more"),
        Column("melody_kept", "sung melody kept", 1, "more", "%"),
        Column("melody_off", "sung pitch off", 1, "less", "cents"),
        Column("notes_kept", "notes kept", 1, "more", "%"),
        Column("notes_added", "notes added", 2, "less", "a minute"),
    ]
    values = [cells_of(method) for method in evaluation.methods]
    return [column for column in found if any(each.get(column.key) is not None for each in values)]


def cells_of(method: Method) -> dict[str, Estimate | None]:
    """What each measure says of a method; None where it says nothing."""
    found: dict[str, Estimate | None] = {}
    for name, each in method.distances.items():
        found[f"fad_{name}"], found[f"kad_{name}"] = each.frechet, each.kernel
        found[f"fad_infinity_{name}"] = _alone(each.infinity)
    return found | {
        "ltas_distance": method.ltas_distance,
        "ltas_distance_of_set": _alone(method.ltas_distance_of_set),
        **_events("onsets", method.onsets),
        **_events("notes", method.notes),
        "pitch_agreement": method.pitch,
        "melody_kept": method.melody_kept,
        "melody_off": method.melody_off,
    }


def _alone(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, None, None)


def _events(name: str, found: Agreement | None) -> dict[str, Estimate | None]:
    if found is None:
        return {}
    share = found.kept_share
    return {
        f"{name}_kept": _alone(None if share is None else 100 * share),
        f"{name}_added": _alone(found.added_per_minute),
    }


def best_of(column: Column, methods: Sequence[Mapping[str, Estimate | None]]) -> float | None:
    """The best value of a column, rounded as it is shown; None where no direction is better."""
    values = [round(cell.value, column.digits) for each in methods if (cell := each.get(column.key)) is not None]
    if not values or not column.wanted:
        return None
    return min(values) if column.wanted == "less" else max(values)


# As text


def markdown(evaluation: Evaluation, *, whole: bool = True) -> str:
    """The table with its intervals, the best of each column in bold; not `whole`, only the columns of the paper's."""
    columns = [column for column in columns_of(evaluation) if whole or column.first]
    cells = [cells_of(method) for method in evaluation.methods]
    lines = [["method", *(_head(column) for column in columns)], ["---"] * (len(columns) + 1)]
    for method, each in zip(evaluation.methods, cells, strict=True):
        lines.append([_safe(method.name), *(_cell(column, each, cells, whole) for column in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _head(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.title}{unit} {ARROWS[column.wanted]}".strip()


def _safe(name: str) -> str:
    return name.replace("|", "\\|")


def _cell(
    column: Column, own: Mapping[str, Estimate | None], cells: Sequence[Mapping[str, Estimate | None]], whole: bool
) -> str:
    cell = own.get(column.key)
    if cell is None:
        return "-"
    text = f"{cell.value:.{column.digits}f}"
    if round(cell.value, column.digits) == best_of(column, cells):
        text = f"**{text}**"
    if whole and cell.low is not None and cell.high is not None:
        text += f" [{cell.low:.{column.digits}f}, {cell.high:.{column.digits}f}]"
    return text


def report(evaluation: Evaluation) -> str:
    """Everything in Markdown: the paper's table, the whole one, what was compared, and what it does not say."""
    methods = evaluation.methods
    compared = (
        f"{methods[0].recordings} recordings ({methods[0].seconds / 60:.1f} min) in {len(methods)} sets, against "
        f"{evaluation.reference_recordings} reference recordings ({evaluation.reference_seconds / 60:.1f} min); "
        f"average spectra at {evaluation.reference.sample_rate} Hz."
    )
    heard = [f"{name}: {count} rows" for name, count in evaluation.rows.items()]
    parts = [
        "# Recordings and what was made of them",
        compared + (f" Of the reference heard: {', '.join(heard)}." if heard else ""),
        markdown(evaluation, whole=False),
        "With all measures. Brackets hold what the measure would be of endlessly many recordings like these, with a "
        "confidence of 95 %; few recordings make a Frechet distance larger than that.",
        markdown(evaluation),
    ]
    if evaluation.notes:
        parts.append("\n".join(f"- {note}" for note in evaluation.notes))
    parts.append("What each measure is, and what better means: docs/measures.md of babe2.")
    return "\n\n".join(parts) + "\n"


SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}"}


def latex(evaluation: Evaluation) -> str:
    """The paper's table for a paper: booktabs, the best of each column in bold."""
    columns = [column for column in columns_of(evaluation) if column.first]
    cells = [cells_of(method) for method in evaluation.methods]
    heads = [f"{_escaped(column.title)} $\\downarrow$" for column in columns]
    lines = [f"\\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"]
    lines += [" & ".join(["Method", *heads]) + r" \\", r"\midrule"]
    for method, own in zip(evaluation.methods, cells, strict=True):
        line = [_escaped(method.name)]
        for column in columns:
            cell = own.get(column.key)
            text = "--" if cell is None else f"{cell.value:.{column.digits}f}"
            if cell is not None and round(cell.value, column.digits) == best_of(column, cells):
                text = f"\\textbf{{{text}}}"
            line.append(f"{text} {column.unit}".strip())
        lines.append(" & ".join(line) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in text)


CSV_COLUMNS = ("Method", "Measure", "Value", "Low", "High", "Unit", "Better")


def csv_rows(evaluation: Evaluation) -> Iterator[Sequence[str]]:
    """The long format: a row for each measure of each method."""
    for method in evaluation.methods:
        cells = cells_of(method)
        for column in columns_of(evaluation):
            cell = cells.get(column.key)
            numbers = ("", "", "") if cell is None else cell
            values = ("" if value in (None, "") else f"{value:.6g}" for value in numbers)
            yield method.name, column.title, *values, column.unit, column.wanted


def csv_text(evaluation: Evaluation) -> str:
    """The same as a file's text."""
    import csv

    file = io.StringIO()
    csv.writer(file).writerows([CSV_COLUMNS, *csv_rows(evaluation)])
    return file.getvalue()


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Plain numbers and words, ready for JSON."""
    columns = columns_of(evaluation)
    methods = []
    for method in evaluation.methods:
        cells = cells_of(method)
        about = {"name": method.name, "recordings": method.recordings, "seconds": method.seconds}
        about |= {
            name: None if found is None else found._asdict()
            for name, found in (("onsets", method.onsets), ("notes", method.notes))
        }
        values = {column.key: None if (cell := cells.get(column.key)) is None else cell._asdict() for column in columns}
        methods.append(about | {"measures": values, "rows": {n: d.rows for n, d in method.distances.items()}})
    reference = {
        "recordings": evaluation.reference_recordings,
        "seconds": evaluation.reference_seconds,
        "sample_rate": evaluation.reference.sample_rate,
        "rows": dict(evaluation.rows),
    }
    return {
        "columns": [column._asdict() for column in columns],
        "methods": methods,
        "reference": reference,
        "notes": list(evaluation.notes),
    }
