"""`babe2 restore`: recordings in, restorations out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from babe2 import Cancelled, Restoration, RestorationError, Restorer, audio
from babe2.certainty.fade import check_imagined
from babe2.chains import PRESETS, Chain
from babe2.commands.chain import chain_of, format_chain, restore_by_chain
from babe2.commands.estimate import run_estimate
from babe2.commands.folders import recordings_and_targets
from babe2.commands.options import add_prior_options, new_command, restorer_of, settings_of
from babe2.commands.report import added, check_page
from babe2.commands.stage import Work
from babe2.commands.targets import (
    beside,
    check_distinct,
    check_file,
    check_recording,
    make_folder,
    next_free,
)
from babe2.commands.terminal import INTERRUPTED, OCTAVES_HZ, interruptible, progress_line, say
from babe2.degradations.spec import forms
from babe2.extras import require
from babe2.methods import BABE2, names
from babe2.process import set_threads
from babe2.provenance import already_made
from babe2.report.c2pa import manifest, manifest_name
from babe2.report.figures_table import Table
from babe2.report.finished import run_of
from babe2.report.recipe import chain_command, command_line, fingerprint
from babe2.report.verdict import Verdict, verdict
from babe2.restoration import check_amount
from babe2.stages.restore import read_files
from babe2.wording import clock

PICTURED = 300.0  # seconds from the beginning, at most, are in the plots
JUDGED = 60.0  # seconds from the beginning, at most, by which it is told what was done
PLOTS = ("spectrogram", "ltas", "response")

Report = dict[str, Any]


def add_command(subparsers: Any) -> None:
    parser = new_command(subparsers, "restore", run_restore, "Restore recordings.")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="recordings, and folders of recordings")
    parser.add_argument("-o", "--output", metavar="FILE|DIR", type=Path, help="default: NAME.restored.wav beside INPUT")
    add_prior_options(parser)
    add_chain_options(parser)
    add_excerpt_options(parser)
    add_run_options(parser)
    add_result_options(parser)


def add_chain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--chain", metavar="FILE|NAME", help=f"clean and restore in several stages: {', '.join(PRESETS)}, or a file"
    )
    parser.add_argument(
        "--bypass", action="append", default=[], metavar="STAGE,...", help="pass over these stages of the chain"
    )
    parser.add_argument(
        "--removed", metavar="DIR", type=Path, help="write there what each stage of the chain took away"
    )


def add_excerpt_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds into the recording")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds from there (default: to its end)")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", default=BABE2, choices=names(), help="see docs/methods.md (default: babe2)")
    parser.add_argument(
        "--brightness",
        type=float,
        default=0.0,
        metavar="DB",
        help="dB per octave above 1 kHz: brighter, or below zero darker, than is most probable (default 0)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="a good modern recording of the same instrument: restore so that it sounds like this",
    )
    parser.add_argument(
        "--response",
        type=Path,
        metavar="FILE",
        help="of the old machine, if known: CSV of hertz,db, an impulse response (WAV, NPY), or a report (JSON)",
    )
    parser.add_argument(
        "--degradation",
        metavar="SPEC",
        help="what happened to a recording otherwise good, joined by +; no machine is looked for then: " + forms(),
    )
    parser.add_argument("--batch", type=int, metavar="N", help="segments at once (default: 1, on a graphics card 8)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where it was stopped; pass over what is there already"
    )
    parser.add_argument("--estimate", action="store_true", help="only say what time, memory and disk it would take")


def add_result_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--amount", type=float, default=1.0, metavar="0..1", help="0 is the recording, 1 the restoration"
    )
    parser.add_argument(
        "--certainty",
        action="store_true",
        help="tell what was measured, inferred and imagined, in NAME.certainty.npz and .csv; takes three times as long",
    )
    parser.add_argument(
        "--imagined",
        type=float,
        default=1.0,
        metavar="0..1",
        help="how much is left of what was imagined: 0 fades it out (default 1); takes three times as long, too",
    )
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help="of the result (default: the recording's, at least the checkpoint's)"
    )
    parser.add_argument("--subtype", help="PCM_16, PCM_24, FLOAT, ... (default: PCM_24, FLOAT where a peak needs it)")
    parser.add_argument("--plots", metavar="DIR", type=Path, help="write spectrograms, LTAS and response there")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write there what --json prints")
    parser.add_argument(
        "--page",
        metavar="FILE",
        type=Path,
        help="write there a page to hear, see and print, without a network (.html); of several, an index of such pages",
    )
    parser.add_argument(
        "--provenance",
        metavar="FILE|DIR",
        type=Path,
        help="write there what was done as a C2PA manifest definition, ready to be signed",
    )


@dataclass(frozen=True)
class Options:
    """What is wished of each restoration."""

    inputs: list[Path]
    start: float
    duration: float | None
    method: str
    preset: str
    seed: int
    batch: int | None
    brightness: float
    reference: Path | None
    response: Path | None
    degradation: str | None
    resume: bool
    overwrite: bool
    amount: float
    certainty: bool
    imagined: float
    rate: int | None
    subtype: str | None
    plots: Path | None
    report: Path | None
    page: Path | None
    provenance: Path | None
    removed: Path | None
    json: bool
    settings: dict[str, Any]

    @classmethod
    def of(cls, given: argparse.Namespace) -> Options:
        names = {field.name for field in fields(cls)} - {"settings"}
        return cls(**{name: getattr(given, name) for name in names}, settings=settings_of(given))

    @property
    def asks_certainty(self) -> bool:
        """Whether it has to be known what is imagined."""
        return self.certainty or self.imagined != 1

    @property
    def unfinished(self) -> Any:
        """What becomes of the journal of an earlier run."""
        return "resume" if self.resume else "refuse"


def run_restore(given: argparse.Namespace) -> int:
    options, chain = Options.of(given), chain_of(given)
    check_amount(options.amount)
    check_imagined(options.imagined)
    if options.removed is not None and chain is None:
        raise RestorationError("--removed tells what stages took away. Give a chain with --chain.")
    if chain is not None and options.asks_certainty:
        raise RestorationError("What is imagined is told of a restoration alone, not of a chain. Leave --chain out.")
    if given.estimate:
        return run_estimate(given)
    whole_folders = any(path.is_dir() for path in options.inputs)
    inputs, targets = recordings_and_targets(options.inputs, given.output)
    options = replace(options, inputs=inputs, resume=options.resume or whole_folders)
    check_targets(targets, options)
    table = Table(given.output) if whole_folders else None
    notes: list[Note] = [table.note] if table is not None else []
    if options.page is not None:
        notes.append(pages_of(options.page, len(inputs)))
    with interruptible() as interrupted:
        restore_each = by_chain(chain, given, options, interrupted) if chain else by_prior(given, options, interrupted)
        reports = one_by_one(options.inputs, targets, restore_each, interrupted, notes)
    if table is not None:
        sum_up(reports, table.path)
    write_reports(reports, len(options.inputs), options.report, as_json=options.json)
    if interrupted():
        return INTERRUPTED
    return 1 if any("error" in report for report in reports) else 0


RestoreEach = Callable[[Path, Path], Report]
Note = Callable[[Mapping[str, Any]], None]  # keeps what is told of a recording, as soon as it is done


def one_by_one(
    inputs: Sequence[Path],
    targets: Sequence[Path],
    restore_each: RestoreEach,
    interrupted: Callable[[], bool],
    notes: Sequence[Note],
) -> list[Report]:
    """Restores each of some files, and returns the reports; one that cannot be restored does not stop the others."""
    reports: list[Report] = []
    for path, target in zip(inputs, targets, strict=True):
        try:
            reports.append(restore_each(path, target))
        except RestorationError as error:
            reports.append({"input": str(path), "output": str(target), "error": str(error)})
            say(f"{path}: {error}" if len(targets) > 1 and str(path) not in str(error) else str(error))
        for note in notes:
            note(reports[-1])
        if interrupted():
            break
    return reports


def by_prior(given: argparse.Namespace, options: Options, interrupted: Callable[[], bool]) -> RestoreEach:
    """What restores a file as the options say."""
    restorer = restorer_of(given)
    informed = options.response is not None
    # What is wrong is better said now.
    restorer.method(
        options.method,
        options.preset,
        response_known=informed,
        degradation=options.degradation,
        certainty=options.asks_certainty,
        **options.settings,
    )
    known = read_files({"reference": options.reference, "response": options.response}, restorer)
    return lambda path, target: restore_one(restorer, path, target, options, interrupted, known)


def by_chain(chain: Chain, given: argparse.Namespace, options: Options, interrupted: Callable[[], bool]) -> RestoreEach:
    """What takes a file through a chain."""
    set_threads(given.threads)
    work = Work.of(given, interrupted, resume=options.resume)
    if options.removed:
        make_folder(options.removed)

    def restore_each(path: Path, target: Path) -> Report:
        if options.resume and target.exists() and not options.overwrite:
            return pass_over(path, target, options.report)
        report = restore_by_chain(chain, path, target, work, options.removed)
        _, samples, rate = audio.measure(target)
        report["excerpt"] = {"start": options.start, "seconds": round(samples / rate, 6)}
        report["command"] = chain_command(
            given.chain,
            given.threads,
            path.name,
            bypass=given.bypass,
            start=options.start,
            duration=options.duration,
            subtype=options.subtype,
            output=target.name,
        )
        if not options.json:
            print(format_chain(report))
        return report

    return restore_each


def sum_up(reports: list[Report], table: Path) -> None:
    """Says how a whole folder came out: what could not be restored is listed once more, at the end."""
    failed = [report for report in reports if "error" in report]
    skipped = sum(bool(report.get("skipped")) for report in reports)
    done = len(reports) - len(failed) - skipped
    say(f"{done} restored, {skipped} were there already, {len(failed)} failed. All figures: {table}")
    for report in failed:
        say(f"  failed: {report['input']}")


def check_targets(targets: list[Path], options: Options) -> None:
    """Says before hours of work what would stop their results from being written, or cost another file."""
    papers = [options.report] if options.report else []
    if options.page:
        require("plots")
        check_page(options.page, overwrite=options.overwrite or options.resume, folder=len(targets) > 1)
        papers.append(options.page)
    if options.certainty:
        papers += [place for target in targets for place in certainty_files(target)]
    if options.provenance:
        papers += [manifest_of(target, options) for target in targets]
    if options.plots:
        require("plots")
        papers += [plot for target in targets for plot in plots_of(target, options)]
    given = [path for path in (options.reference, options.response) if path is not None]
    check_distinct([*options.inputs, *given], [*targets, *papers])
    for target in targets:
        if not (options.resume and target.exists()):
            check_recording(target, subtype=options.subtype, overwrite=options.overwrite)
    if options.plots:
        make_folder(options.plots)
    if options.provenance and len(options.inputs) > 1:
        make_folder(options.provenance)
    for path in papers:
        check_file(path, overwrite=options.overwrite or options.resume)


# One recording


def restore_one(
    restorer: Restorer,
    path: Path,
    target: Path,
    options: Options,
    interrupted: Callable[[], bool],
    known: dict[str, Any],
) -> Report:
    """Restores a file, or goes on with it, and returns the report of what was written."""
    journal = beside(target, f"{target.stem}.journal")
    if options.resume and target.exists() and not (options.overwrite and journal.exists()):
        return pass_over(path, target, options.report)
    try:
        restoration = restore_file(restorer, path, journal, options, interrupted, known)
    except Cancelled as stopped:
        return keep_part(restorer, stopped.partial, path, target, journal, options)
    restoration = save_or_keep(restoration, path, target, journal, options)
    try:
        return report_result(restorer, restoration, path, target, options)
    finally:
        restoration.storage.discard()


def pass_over(path: Path, target: Path, report: Path | None) -> Report:
    """Says that a result is there already, and returns what an earlier run has left of it in a file of reports."""
    journal = beside(target, f"{target.stem}.journal")
    left = f" Remove {journal}, or go on with it with --resume --overwrite." if journal.exists() else ""
    say(f"{path.name}: {target} is there already.{left}")
    known = {"input": str(path), "output": str(target)}
    return earlier_reports(report).get(str(target), known) | {"skipped": True}


def restore_file(
    restorer: Restorer,
    path: Path,
    journal: Path,
    options: Options,
    interrupted: Callable[[], bool],
    known: dict[str, Any],
) -> Restoration:
    """The restoration of a file; how it stands is shown meanwhile."""
    with progress_line(path.name) as show:
        return restorer.restore_file(
            path,
            journal,
            unfinished=options.unfinished,
            start=options.start,
            duration=options.duration,
            method=options.method,
            preset=options.preset,
            seed=options.seed,
            output_rate=options.rate,
            on_step=show,
            on_block=lambda seconds: show(f"{clock(seconds)} read"),
            cancelled=interrupted,
            batch=options.batch,
            brightness=options.brightness,
            degradation=options.degradation,
            certainty=options.asks_certainty,
            **known,
            **options.settings,
        )


def keep_part(
    restorer: Restorer, part: Restoration | None, path: Path, target: Path, journal: Path, options: Options
) -> Report:
    """Writes the finished part of a stopped run as NAME.partial.wav, and returns the report of it."""
    if part is None:
        said = "The same with --resume goes on from there." if journal.exists() else "Nothing was finished."
        say(f"stopped before there was anything to hear. {said}")
        return {"input": str(path), "error": "Stopped before anything was finished."}
    kept = next_free(beside(target, f"{path.stem}.partial.wav"))
    with closing(part.storage):
        try:
            part = save(part, path, kept, None, options)  # a WAV may not know the wished subtype
        except RestorationError as error:
            raise RestorationError(f"{error} The same with --resume goes on with what is finished.") from None
        say(f"stopped; the finished {part.seconds:.1f} s are in {kept}. The same with --resume goes on from there.")
        return report_result(restorer, part, path, kept, options)


def save_or_keep(restoration: Restoration, path: Path, target: Path, journal: Path, options: Options) -> Restoration:
    """Writes a finished restoration; where that fails, its journal stays, so that hours of work are not lost."""
    try:
        return save(restoration, path, target, options.subtype, options)
    except RestorationError as error:
        if not restoration.storage.records:
            restoration.storage.discard()
            raise
        restoration.storage.close()
        raise RestorationError(f"{error} The restoration is kept in {journal}; --resume goes on with it.") from None


def save(restoration: Restoration, path: Path, target: Path, subtype: str | None, options: Options) -> Restoration:
    """Writes a restoration as it is wished, with its recording's tags, and returns it so."""
    if options.amount != 1:
        restoration = restoration.mixed(options.amount)
    if options.imagined != 1 and restoration.certainty is not None:  # of a run that was stopped it is not known
        restoration = restoration.with_imagined(options.imagined)
    tags = audio.SoundFile(path, start=options.start, duration=options.duration).tags
    with progress_line(path.name) as show:
        restoration.save(
            target,
            subtype,
            tags,
            overwrite=options.overwrite,
            on_block=lambda seconds: show(f"{clock(seconds)} written"),
        )
    return restoration


# What is told of it


def report_result(restorer: Restorer, restoration: Restoration, path: Path, target: Path, options: Options) -> Report:
    """Prints and draws what was written, and returns the report of it."""
    seconds = round(restoration.samples / restoration.sample_rate, 6)  # of a run that was stopped: fewer
    report = restoration.report | {
        "input": str(path),
        "output": str(target),
        "excerpt": {"start": options.start, "seconds": seconds},
        "result": {"name": target.name, **fingerprint(target)},
        "statement": restoration.provenance.statement,
    }
    if options.reference:
        report["reference_file"] = str(options.reference)
    if options.response:
        report["response_file"] = str(options.response)
    report["command"] = command_line(
        report,
        restorer,
        recording=path.name,
        start=options.start,
        duration=options.duration,
        rate=options.rate,
        subtype=options.subtype,
        output=target.name,
    )
    found = judged(restorer, restoration, path, options)
    report["verdict"] = found.words if report["changes"] else "Nothing was changed."
    taken = found.warnings if report["generates"] else []  # a filter does what it is for
    report["warnings"] = [*report["warnings"], *taken, *(unmarked(target) if report["changes"] else [])]
    for warning in report["warnings"]:
        say(f"{path.name}: {warning}")
    if options.certainty and restoration.certainty is not None:
        report["certainty"]["files"] = [str(restoration.certainty.save(place)) for place in certainty_files(target)]
    if options.provenance:
        report["provenance"] = str(write_manifest(restoration, report, path, target, options))
    if options.plots:
        report["plots"] = draw(restorer, restoration, path, target, options)
    if not options.json:
        print(format_result(restoration, report, restorer.model.sample_rate / 2))
    return report


def format_result(restoration: Restoration, report: Report, highest_hz: float) -> str:
    """A restoration in a few lines, for people."""
    length = restoration.samples / restoration.sample_rate
    hertz = [hertz for hertz in OCTAVES_HZ if hertz < highest_hz]
    gains = restoration.response.gain_db(np.array(hertz, dtype=float)).clip(-99, 99)
    response = ", ".join(f"{f} Hz {g:+.0f} dB" for f, g in zip(hertz, gains, strict=True))
    work = f"{report['evaluations']} evaluations in {report['seconds']:.1f} s"
    doubt = "" if report["verified"] else f"\n  checkpoint: {report['checkpoint']}, from an unverified source"
    told = f"\n  {report['certainty']['words']}" if "certainty" in report else ""
    done = f"{told}\n  {report['verdict']}\n  {report['statement']}"
    return f"{report['output']!s}: {length:.2f} s, {work}\n  response: {response}{doubt}{done}"


def judged(restorer: Restorer, restoration: Restoration, path: Path, options: Options) -> Verdict:
    """What was done to the beginning of a recording, told from the two sounds."""
    seconds = min(JUDGED, options.duration or JUDGED)
    before = audio.read(path, start=options.start, duration=seconds)
    after = restoration.first(seconds)
    return verdict(
        (before.audio, before.sample_rate),
        (after, restoration.sample_rate),
        restorer.reference,
        restoration.report.get("band"),
        imagines=restoration.report["generates"],
    )


def unmarked(target: Path) -> list[str]:
    """A sentence about a written file whose format has no place for its mark; none where it is marked."""
    if already_made(audio.SoundFile(target).tags):
        return []
    return [f"{target.name} cannot say of itself that it was restored: its format has no place for that."]


def manifest_of(target: Path, options: Options) -> Path:
    """Where the manifest definition of a result is written."""
    assert options.provenance is not None
    if len(options.inputs) > 1 or options.provenance.is_dir():
        return options.provenance / manifest_name(target.name)
    return options.provenance


def write_manifest(restoration: Restoration, report: Report, path: Path, target: Path, options: Options) -> Path:
    """Writes what was done as a C2PA manifest definition, and returns where."""
    place = manifest_of(target, options)
    recording = {"name": path.name, **fingerprint(path)}
    text = manifest(target.name, restoration.provenance, report, recording, report["result"])
    try:
        place.write_text(text, "utf-8")
    except OSError as error:
        raise RestorationError(f"{place} cannot be written ({error.strerror}).") from None
    return place


def pages_of(place: Path, inputs: int) -> Note:
    """What writes a page of each recording, and of several an index of them."""
    from babe2.report.html_pages import IndexedPages, write_page

    pages = IndexedPages(place)

    def note(report: Mapping[str, Any]) -> None:
        run = run_of(report)
        if inputs > 1:
            added(pages, run, anew=not report.get("skipped"))
        elif not run.error:
            write_page(run, place)

    return note


def earlier_reports(path: Path | None) -> dict[str, Report]:
    """By output: the reports that an earlier run has left in a file."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text("utf-8")) if path else []
        return {report["output"]: report for report in (found if isinstance(found, list) else [found])}
    return {}


def write_reports(reports: list[Report], inputs: int, place: Path | None, *, as_json: bool) -> None:
    """Writes and prints the reports, for machines; that of a single input stands alone, several are a list."""
    if not any("output" in report for report in reports):
        return
    text = json.dumps(reports[0] if inputs == 1 else reports, indent=2)
    if place:
        try:
            place.write_text(text + "\n", "utf-8")
        except OSError as error:
            raise RestorationError(f"The report {place} cannot be written ({error.strerror}).") from None
    if as_json:
        print(text)


def certainty_files(target: Path) -> list[Path]:
    """Where it is written what of a result is imagined: its cells, and the percentages."""
    return [target.with_name(f"{target.stem}.certainty.{kind}") for kind in ("npz", "csv")]


def plots_of(target: Path, options: Options) -> list[Path]:
    """The pictures that are drawn of a result."""
    assert options.plots is not None
    names = [*PLOTS, *(["certainty"] if options.asks_certainty else [])]
    return [options.plots / f"{target.stem}.{name}.png" for name in names]


def draw(restorer: Restorer, restoration: Restoration, path: Path, target: Path, options: Options) -> list[str]:
    """Draws a restoration beside its recording, and returns where."""
    from babe2.report import figures

    recording = audio.read(path, start=options.start, duration=min(options.duration or PICTURED, PICTURED))
    before = recording.audio, recording.sample_rate
    after = restoration.first(PICTURED), restoration.sample_rate
    drawn = figures.of_restoration(before, after, restoration, restorer.reference)
    pictures = zip(plots_of(target, options), drawn.values(), strict=False)  # of a run that was stopped there are fewer
    return [str(figures.save(picture(), place)) for place, picture in pictures]
