"""`babe2 evaluate recordings`: what several methods made of real recordings, beside good ones; no truth is needed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babe2.commands.folders import recordings_below
from babe2.commands.judging.compare import pairs_of
from babe2.commands.options import add_threads_option, new_command
from babe2.commands.targets import check_file, make_folder, save_report
from babe2.commands.terminal import progress_line, say
from babe2.errors import RestorationError
from babe2.evaluation.embeddings.basic_pitch import BasicPitch, Transcriber
from babe2.evaluation.embeddings.known import NAMES, at_hand, load
from babe2.evaluation.ranking import as_dict, csv_text, latex, markdown, report
from babe2.evaluation.recordings import ORIGINAL, Evaluation, Wishes, evaluate_recordings
from babe2.extras import has
from babe2.process import choose_device, set_threads

if TYPE_CHECKING:
    from babe2.report.figures import Mark

TABLE, KEPT = "table", "measured"  # how results are called in the folder; where what was measured is kept
PICTURED = 3  # recordings, where nobody names them
PICTURED_SECONDS = 10.0
Files = dict[str, Path]  # by recording


def add_recordings(kinds: Any) -> None:
    about = "Compare what several methods made of real recordings: how near each is to good ones, and what it plays."
    parser = new_command(kinds, "recordings", run_recordings, about)
    parser.add_argument("--original", type=Path, required=True, metavar="DIR", help="the recordings as they were")
    parser.add_argument(
        "--restored",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="what a method made of them, files named alike or NAME.restored; repeated for each method",
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="good recordings of such music")
    add_measuring_options(parser)
    parser.add_argument("--offline", action="store_true", help="ask no network")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of intervals and extrapolation (default 0)")
    add_threads_option(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Options that say how recordings are measured."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where table and pictures are written")
    parser.add_argument(
        "--embedding",
        action="append",
        metavar="NAME[=SOURCE]",
        help=f"what hears for the Frechet distance, repeated: {', '.join(NAMES)}; SOURCE is a file of weights, a "
        "folder or a Hub repository (default: those that need no network)",
    )
    parser.add_argument("--rate", type=int, metavar="HZ", help="of average spectra (default: the lowest of all files)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each file (default: all of it)")
    parser.add_argument("--as-they-are", action="store_true", help="do not bring all files to one level first")
    parser.add_argument(
        "--picture",
        action="append",
        metavar="NAME[:FROM-TO]",
        help="a recording to draw, and from which second to which",
    )
    parser.add_argument(
        "--mark",
        action="append",
        default=[],
        metavar="NAME:FROM-TO:LOW-HIGH[:COLOUR[:WORDS]]",
        help="a box in its spectrograms: seconds, and hertz",
    )
    parser.add_argument("--no-pictures", action="store_true", help="only measure")
    parser.add_argument(
        "--measuring-device", default="cpu", metavar="DEVICE", help="for embeddings: auto, cpu, cuda, mps"
    )


def run_recordings(options: argparse.Namespace) -> int:
    restored = dict(_named(text) for text in options.restored)
    if len(restored) < len(options.restored):
        raise RestorationError("Two restored folders have one name. Give each its own.")
    return measure({ORIGINAL: options.original, **restored}, options)


def _named(text: str) -> tuple[str, Path]:
    name, given, place = text.partition("=")
    if not (given and name.strip() and place):
        raise RestorationError(f"{text:.80} is no set. Write it as NAME=DIR, for example babe2=restored/.")
    if name.strip() == ORIGINAL:
        raise RestorationError(f"{ORIGINAL} are the recordings themselves, given with --original. Choose another name.")
    return name.strip(), Path(place)


def measure(folders: Mapping[str, Path], options: argparse.Namespace) -> int:
    """Measures folders, of which the first holds the recordings, writes all that was found, and prints the table."""
    set_threads(options.threads)
    check_wishes(options)
    sets = sets_of(folders)
    reference = _recordings(options.reference, "reference")
    pictured = pictures_of(options.picture, [*next(iter(sets.values()))])
    marks = marks_of(options.mark, [name for name, _ in pictured])
    make_folder(options.out)
    written = {kind: options.out / f"{TABLE}.{kind}" for kind in ("md", "csv", "json", "tex")}
    for path in written.values():
        check_file(path, overwrite=options.overwrite)
    embeddings = [
        load(spec, choose_device(options.measuring_device), options.offline) for spec in options.embedding or at_hand()
    ]
    if len({each.name for each in embeddings}) < len(embeddings):
        raise RestorationError("One embedding is given twice. Give each once.")
    transcriber = Transcriber() if BasicPitch.name in at_hand() else None
    with progress_line("evaluate") as show:
        found = evaluate_recordings(
            sets,
            reference,
            embeddings,
            Wishes(options.rate, options.seconds, options.as_they_are, options.seed),
            transcriber=transcriber,
            kept=options.out / KEPT,
            on_file=show,
        )
    if not options.no_pictures:
        draw(found, sets, pictured, marks, options)
    told = json.dumps(as_dict(found) | {"sets": {name: str(path) for name, path in folders.items()}}, indent=2)
    texts = {"md": report(found), "csv": csv_text(found), "json": told + "\n", "tex": latex(found)}
    for kind, text in texts.items():
        save_report(text.rstrip("\n"), written[kind])
    for note in found.notes:
        say(note)
    print(told if options.json else markdown(found))
    return 0


def check_wishes(options: argparse.Namespace) -> None:
    if options.seconds is not None and not 0 < options.seconds < float("inf"):
        raise RestorationError("The seconds of each file are above zero. Choose --seconds, or leave it out.")
    if options.rate is not None and options.rate < 4000:
        raise RestorationError("Average spectra need 4000 Hz or more. Choose --rate, or leave it out.")


# Folders


def sets_of(folders: Mapping[str, Path]) -> dict[str, Files]:
    """The files of each folder by recording; the first holds the recordings, to which the others' files are matched."""
    first, *others = folders
    recordings = _recordings(folders[first], "original")
    names = _names(folders[first], recordings)
    found: dict[str, Files] = {first: {names[path]: path for path in recordings}}
    for name in others:
        _recordings(folders[name], "restored")
        matched = pairs_of(folders[first], folders[name])
        found[name] = {names[original]: result for original, result in matched.pairs if original in names}
        if strangers := matched.alone.get("in AFTER"):
            say(f"{name}: {len(strangers)} files have no recording of their name, such as {strangers[0].name}.")
    return found


def _recordings(folder: Path, whose: str) -> list[Path]:
    if not folder.is_dir():
        raise RestorationError(f"{folder} is no folder. Give the folder of the {whose} recordings.")
    found = recordings_below(folder, folder, without=())
    if not found:
        raise RestorationError(f"There is no recording in {folder} that we can read. Give the {whose} recordings.")
    return found


def _names(folder: Path, recordings: Sequence[Path]) -> dict[Path, str]:
    """How recordings are called: without their extension, but where that is all in which they differ."""
    places = [path.relative_to(folder) for path in recordings]
    stems = [place.with_suffix("").as_posix() for place in places]
    return {
        path: stem if stems.count(stem) == 1 else place.as_posix()
        for path, place, stem in zip(recordings, places, stems, strict=True)
    }


# Pictures

Picture = tuple[str, tuple[float, float] | None]  # a recording, and from which second to which


def pictures_of(wished: Sequence[str] | None, recordings: Sequence[str]) -> list[Picture]:
    """The recordings that are drawn."""
    if wished is None:
        return [(name, (0.0, PICTURED_SECONDS)) for name in recordings[:PICTURED]]
    found: list[Picture] = []
    for text in wished:
        if text in recordings:
            found.append((text, None))
            continue
        name, _, times = text.rpartition(":")
        if name not in recordings:
            raise RestorationError(f"There is no recording {text!r:.80} to draw. Choose one, such as {recordings[0]}.")
        found.append((name, _range(times, "--picture takes NAME:FROM-TO in seconds")))
    return found


def marks_of(wished: Sequence[str], recordings: Sequence[str]) -> dict[str, list[Mark]]:
    """The boxes by the recording in which they are drawn."""
    found: dict[str, list[Mark]] = {}
    for text in wished:
        name = next((each for each in recordings if text.startswith(f"{each}:")), None)
        if name is None:
            raise RestorationError(f"{text!r:.80} marks no recording that is drawn. Begin with its name and a colon.")
        if not has("plots"):
            continue
        from babe2.report.figures import Mark, is_colour

        parts = text[len(name) + 1 :].split(":", 3)
        form = "--mark takes NAME:FROM-TO:LOW-HIGH, in seconds and in hertz"
        if len(parts) < 2:
            raise RestorationError(f"{form}, not {text!r:.80}.")
        seconds, hertz = _range(parts[0], form), _range(parts[1], form)
        colour = parts[2] if len(parts) > 2 and parts[2] else "white"
        if not is_colour(colour):
            raise RestorationError(f"{colour!r:.40} is no colour. Take red, cyan, yellow, or #ffaa00.")
        words = parts[3] if len(parts) > 3 else ""
        found.setdefault(name, []).append(Mark(*seconds, max(hertz[0], 1.0), hertz[1], colour, words))
    return found


def _range(text: str, form: str) -> tuple[float, float]:
    first, _, last = text.partition("-")
    try:
        start, stop = float(first), float(last)
    except ValueError:
        raise RestorationError(f"{form}, not {text!r:.80}.") from None
    if not 0 <= start < stop < float("inf"):
        raise RestorationError(f"{form}, the lower number first, not {text!r:.80}.")
    return start, stop


def draw(
    found: Evaluation,
    sets: Mapping[str, Files],
    pictured: Sequence[Picture],
    marks: Mapping[str, Sequence[Mark]],
    options: argparse.Namespace,
) -> None:
    """Writes Figures 2 and 4, where pictures can be drawn."""
    if not has("plots"):
        say('no pictures are drawn without matplotlib: pip install "babe2[plots]"')
        return
    from babe2.evaluation.pictures import ltas_ratios, marked_spectrograms
    from babe2.report import figures

    there = [picture for picture in pictured if picture[0] in found.methods[0].spectra]
    if not there:
        return
    paths = [options.out / "ltas_ratios.png", *(options.out / f"spectrograms-{k + 1}.png" for k in range(len(there)))]
    for path in paths:
        check_file(path, overwrite=options.overwrite)
    figures.save(ltas_ratios(found, [*dict(there)]), paths[0])
    for (name, times), path in zip(there, paths[1:], strict=True):
        start, stop = times or (0.0, options.seconds)
        files = {each: own[name] for each, own in sets.items()}
        duration = None if stop is None else stop - start
        figures.save(marked_spectrograms(files, start, duration, marks.get(name, ())), path)
