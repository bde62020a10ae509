"""`babe2 denoise panel DIR --panel N`: the recordings of a listening test, in the folders of the published program.

`DIR/sample-info.csv` names them and says what is known of each; they lie in `DIR/panel-N/noisy`, and their results go
to `DIR/panel-N/NAME`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import Any

from babe2.chains import Link
from babe2.commands.stage import Work, format_stage, run_stage, stage_of, worked_on, write_tracks
from babe2.commands.targets import check_recording, make_folder
from babe2.commands.terminal import INTERRUPTED, interruptible, say
from babe2.errors import RestorationError
from babe2.process import set_threads
from babe2.stages import Report, Stage
from babe2.stages.denoise import Denoise

WORD = "panel"  # in place of a recording
SHEET = "sample-info.csv"
OUT = "denoised"
# What columns are called in the published program, and in its Portuguese instructions.
FILE = ("file", "arquivo")
RATIO = ("snr-panel-{}", "snr-painel-{}")
GAIN = ("noise-gain-panel-{}", "ganho-ruido-painel-{}", "ganho-de-ruido-painel-{}", "ganho-painel-{}")


@dataclass(frozen=True)
class Row:
    """A recording of a panel, and what the sheet says of it."""

    file: str
    snr_db: float | None
    gain: float | None  # of the noise in twice the recording, as published


def add_panel(subparsers: Any) -> None:
    """Lets `denoise` take the word panel and a folder instead of a recording."""
    command: argparse.ArgumentParser = subparsers.choices[Denoise.name]
    command.set_defaults(run=run_denoise)
    about = f"after the word {WORD}: a folder with {SHEET}, whose recordings lie in panel-N/noisy"
    command.add_argument("folder", nargs="?", metavar="DIR", type=Path, help=about)
    command.add_argument("--panel", type=int, metavar="N", help="which panel of DIR")
    command.add_argument("--out", metavar="NAME", default=OUT, help=f"where in panel-N results go (default: {OUT})")


def run_denoise(given: argparse.Namespace) -> int:
    if given.folder is None:
        if given.panel is not None:
            raise RestorationError(f"A panel is one of a folder: write `babe2 denoise {WORD} DIR --panel N`.")
        return run_stage(given)
    if str(given.input) != WORD:
        raise RestorationError(f"One recording is denoised at a time, so {given.folder} is one too many.")
    return run_panel(given)


def run_panel(given: argparse.Namespace) -> int:
    if given.panel is None:
        raise RestorationError("Say which panel it is: --panel 1.")
    if given.output or given.removed:
        raise RestorationError("A panel's results go where --out says, in its folder. Leave -o and --removed out.")
    if Path(given.out).name != given.out:
        raise RestorationError(f"--out is the name of a folder in panel-{given.panel}, not {given.out!r:.80}.")
    rows = read_sheet(given.folder / SHEET, given.panel)
    places = given.folder / f"panel-{given.panel}"
    if not (places / "noisy").is_dir():
        raise RestorationError(f"There is no folder {places / 'noisy'}. Put the recordings of the panel there.")
    stages = [stage_for(row, given) for row in rows]
    set_threads(given.threads)
    make_folder(places / given.out)
    failed, reports = 0, list[Report]()
    with interruptible() as interrupted:
        work = Work.of(given, interrupted)
        work = replace(work, restorer_of=cache(work.restorer_of), checkpoint_of=cache(work.checkpoint_of))
        for row, stage in zip(rows, stages, strict=True):
            path, target = places / "noisy" / row.file, places / given.out / row.file
            if target.exists() and not given.overwrite:
                say(f"{target} is there already.")
                continue
            try:
                reports.append(made(stage, path, target, work))
                if not given.json:
                    print(format_stage(reports[-1]))
            except RestorationError as error:
                say(f"{row.file}: {error}")
                failed += 1
            if interrupted():
                return INTERRUPTED
    if given.json:
        print(json.dumps(reports, indent=2))
    if failed:
        say(f"{failed} of {len(rows)} failed.")
    return 1 if failed else 0


def made(stage: Stage, path: Path, target: Path, work: Work) -> Report:
    """Writes what a stage makes of a file, and tells what it was."""
    check_recording(target, subtype=work.subtype, overwrite=work.overwrite)
    with worked_on((Link(stage),), path, target, work) as done:
        write_tracks(done, [target], work)
        return {**done.report["stages"][0], "input": str(path), "output": [str(target)]}


def stage_for(row: Row, given: argparse.Namespace) -> Stage:
    """The denoiser for a recording: what was not said of it on the command line, its row of the sheet says."""
    said = argparse.Namespace(**vars(given))
    said.set_method = given.set_method or "gramophone"
    if said.set_method == "gramophone":
        if row.snr_db is not None and given.set_pull is None:
            said.set_pull = f"snr={row.snr_db:g}"
        if row.gain is not None and given.set_noise_level is None:
            # Published gains are those of noise in the sum of music and noise, of which the recording is half.
            own = row.gain if given.set_preset == "as-published" else row.gain / 2
            said.set_noise_level = f"gain={own!r}"
    return stage_of(said)


def read_sheet(path: Path, panel: int) -> list[Row]:
    """The recordings of a panel."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise RestorationError(f"{path} cannot be read ({error.strerror}). Give a folder that holds one.") from None
    except UnicodeDecodeError:
        raise RestorationError(f"{path} is no text in UTF-8. Save it as such.") from None
    lines = [line for line in text.splitlines() if line.strip()]
    apart = ";" if lines and ";" in lines[0] else ","
    table = csv.DictReader(lines, delimiter=apart)
    names = [(name or "").strip() for name in table.fieldnames or ()]
    table.fieldnames = names
    file = _column(names, FILE, panel)
    if file is None or not len(lines) > 1:
        raise RestorationError(f"{path} names no recordings. Its first line is `file,{RATIO[0].format(panel)}`.")
    ratio, gain = (_column(names, column, panel) for column in (RATIO, GAIN))
    rows = []
    for number, line in enumerate(table, start=2):
        name = PureWindowsPath((line[file] or "").strip()).name  # which knows both kinds of slashes
        if not name:
            raise RestorationError(f"Line {number} of {path} names no recording.")
        rows.append(Row(name, *(_number(line, column, apart, f"line {number} of {path}") for column in (ratio, gain))))
    return rows


def _column(names: Sequence[str], known: Sequence[str], panel: int) -> str | None:
    return next((name for name in names if name in [each.format(panel) for each in known]), None)


def _number(line: Mapping[str, str | None], column: str | None, apart: str, where: str) -> float | None:
    text = ((line[column] if column else None) or "").strip()
    if not text:
        return None
    try:
        return float(text.replace(",", ".") if apart == ";" else text)
    except ValueError:
        raise RestorationError(f"{text!r:.80} is no number, in the column {column}, {where}.") from None
