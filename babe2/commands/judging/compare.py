"""`babe2 compare`: recordings before and after something was done to them, in numbers and in pictures."""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from babe2.audio import read
from babe2.commands.folders import recordings_below
from babe2.commands.options import new_command
from babe2.commands.targets import check_distinct, check_file, make_folder
from babe2.commands.terminal import progress_line, say
from babe2.errors import RestorationError
from babe2.evaluation.before_after import (
    CSV_COLUMNS,
    Compared,
    as_dict,
    compare,
    csv_rows,
    legend,
    summary,
    summary_table,
    table,
)
from babe2.extras import require
from babe2.replacing import replacing
from babe2.wording import clock

MARKS = ("restored_", ".restored", ".mastered")  # before and behind a recording's name in that of a result
LONGEST_TITLE = 36  # letters of a name above a picture
DRAWN_SECONDS = 60.0  # of a longer recording its middle is drawn


def add_command(subparsers: Any) -> None:
    about = "Compare recordings before and after: loudness, noise, band, brightness, and how far apart they are."
    parser = new_command(subparsers, "compare", run_compare, about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter  # which leaves the lines as they are
    parser.epilog = "what is measured:\n" + legend()
    words = "a file, or a folder whose recordings are paired with AFTER's by name"
    parser.add_argument("before", type=Path, metavar="BEFORE", help=words)
    words = "a file, or a folder; NAME.restored, NAME.mastered and restored_NAME are paired with NAME"
    parser.add_argument("after", type=Path, metavar="AFTER", help=words)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all numbers there, a row for each measure")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw spectrograms and waveforms there, side by side")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


class Found(NamedTuple):
    """What is to be compared, and the recordings that have no counterpart."""

    pairs: list[tuple[Path, Path]]
    alone: dict[str, list[Path]]  # by side


def run_compare(options: argparse.Namespace) -> int:
    found = pairs_of(options.before, options.after)
    written = [options.csv] if options.csv else []
    plots: list[Path | None] = [None] * len(found.pairs)
    if options.plots:
        require("plots")
        plots = [*plots_of(found.pairs, options.after, options.plots)]
        for folder in {options.plots, *(path.parent for path in plots if path)}:
            make_folder(folder)
        written += [path for path in plots if path]
    check_distinct([path for pair in found.pairs for path in pair], written)
    for path in written:
        check_file(path, overwrite=options.overwrite)
    compared, failed = [], []
    for (before, after), plot in zip(found.pairs, plots, strict=True):
        try:
            pair = _compared(before, after)
            if plot:
                draw(before, after, plot, pair.seconds)
        except RestorationError as error:
            say(f"{before} -> {after}: {error}")
            failed.append({"before": str(before), "after": str(after), "error": str(error)})
            continue
        compared.append(pair)
    if options.csv and compared:
        write_csv(options.csv, compared)
    alone = {side: [str(path) for path in paths] for side, paths in found.alone.items()}
    if options.json:
        told = {"pairs": [as_dict(pair) for pair in compared], "summary": summary(compared)}
        print(json.dumps(told | {"failed": failed, "unpaired": alone}, indent=2, allow_nan=False))
    elif compared:
        print(told_in_words(compared, alone))
    return 1 if failed else 0


def _compared(before: Path, after: Path) -> Compared:
    with progress_line(after.name) as show:
        return compare(before, after, lambda seconds: show(f"{clock(seconds)} measured"))


def told_in_words(compared: Sequence[Compared], alone: dict[str, list[str]]) -> str:
    """Everything that was compared, for people."""
    texts = [table(pair) for pair in compared]
    if len(compared) > 1:
        texts.append(summary_table(summary(compared), len(compared)))
    texts += [f"Without a counterpart {side}: {', '.join(paths)}" for side, paths in alone.items() if paths]
    return "\n\n".join(texts)


# Pairs


def pairs_of(before: Path, after: Path) -> Found:
    """The files that belong together: the two, or those of two folders that have the same name and place."""
    if before.is_dir() != after.is_dir():
        raise RestorationError("A file and a folder cannot be compared. Give two files, or two folders.")
    if not before.is_dir():
        return Found([(before, after)], {})
    originals = {_place(before, path): path for path in recordings_below(before, after, without=())}
    by_stem = {place.with_suffix(""): path for place, path in reversed(originals.items())}
    pairs, alone, used = [], [], set[Path]()
    for result in recordings_below(after, after, without=()):
        original = _original(_place(after, result), result, originals, by_stem)
        if original is None:
            alone.append(result)
        else:
            pairs.append((original, result))
            used |= {original, result}
    if not pairs:
        raise RestorationError(
            f"No recording in {after} has the name of one in {before}. Give folders whose files are called alike, "
            "NAME.restored or restored_NAME."
        )
    left = [path for path in originals.values() if path not in used]
    if os.path.samefile(before, after):
        return Found(pairs, {"there": left})
    return Found(pairs, {"in BEFORE": left, "in AFTER": alone})


def _place(folder: Path, path: Path) -> Path:
    return path.relative_to(folder)


def _original(place: Path, result: Path, originals: dict[Path, Path], by_stem: dict[Path, Path]) -> Path | None:
    """The recording that a result was made of: of its name, else of its name without what tells it as a result."""
    stem = place.with_suffix("")
    names = [place.name, stem.name, _plain(stem.name)]
    for name in names:
        for known in (originals, by_stem):  # of two that differ in their extension, a result's name has it whole
            original = known.get(place.with_name(name))
            if original is not None and os.path.realpath(original) != os.path.realpath(result):
                return original
    return None


def _plain(name: str) -> str:
    before, *behind = MARKS
    name = name.removeprefix(before)
    for mark in behind:
        name = name.removesuffix(mark)
    return name


# Files


def plots_of(pairs: Sequence[tuple[Path, Path]], after: Path, folder: Path) -> list[Path]:
    """Where each pair is drawn: in the place and under the name of its result."""
    places = [_place(after, result) if after.is_dir() else Path(result.name) for _, result in pairs]
    stems = [place.with_suffix("") for place in places]
    named = [stem if stems.count(stem) == 1 else place for stem, place in zip(stems, places, strict=True)]
    return [folder / place.with_name(f"{place.name}.png") for place in named]


def draw(before: Path, after: Path, path: Path, seconds: float) -> None:
    """Draws both, the second as loud as the first; of more than a minute the middle of what both have."""
    from babe2.report import figures

    start = max(0.0, (seconds - DRAWN_SECONDS) / 2)
    sounds = [read(each, start=start, duration=DRAWN_SECONDS) for each in (before, after)]
    place = f" from {clock(start)}" if start else ""
    titles = (f"Before: {_short(before.name)}{place}", f"After, as loud: {_short(after.name)}{place}")
    first, second = ((sound.audio, sound.sample_rate) for sound in sounds)
    figures.save(figures.comparison(first, second, titles), path)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_TITLE else f"{name[: LONGEST_TITLE - 3]}..."


def write_csv(path: Path, compared: Sequence[Compared]) -> None:
    """Writes the numbers in the long format."""
    try:
        with replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([CSV_COLUMNS, *csv_rows(compared)])
    except OSError as error:
        raise RestorationError(f"{path} cannot be written ({error.strerror}). Choose another place.") from None
