"""`babe2 restore`: recordings in, restorations out."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babe2 import Cancelled, Restoration, RestorationError, Restorer, audio, estimate
from babe2.commands.options import restorer_of, settings_of
from babe2.commands.terminal import INTERRUPTED, interruptible, progress_line, say
from babe2.dsp.spectra import ReferenceLtas
from babe2.restoration import check_amount
from babe2.wording import OCTAVES_HZ, clock, format_duration

if TYPE_CHECKING:
    from babe2.audio import Recording
LONGEST_NAME = 240  # bytes, so that a number still fits
PICTURED = 300.0  # seconds from the beginning, at most, are in the plots
PLOTS = ("spectrogram", "ltas", "response")


# Restoring


def restore(options: argparse.Namespace) -> int:
    check_amount(options.amount)
    overrides = settings_of(options)
    if options.estimate:
        return foretell(options, overrides)
    targets = targets_of(options)
    check_targets(targets, options)
    restorer = restorer_of(options)
    restorer.method(options.method, options.preset, **overrides)  # a wrong setting is better said before the first file
    reports: list[dict[str, Any]] = []
    with interruptible() as interrupted:
        for path, target in zip(options.inputs, targets, strict=True):
            try:
                reports.append(restore_one(restorer, path, target, overrides, options, interrupted))
            except RestorationError as error:
                reports.append({"input": str(path), "error": str(error)})
                say(f"{path}: {error}" if len(targets) > 1 and str(path) not in str(error) else str(error))
            if interrupted():
                break
    conclude(reports, options)
    if interrupted():
        return INTERRUPTED
    return 1 if any("error" in report for report in reports) else 0


def foretell(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """What restorations would cost, without restoring anything."""

    restorer = restorer_of(options)
    method = restorer.method(options.method, options.preset, **overrides)
    pace = estimate.calibrate(restorer, method)
    found = []
    for path in options.inputs:
        channels, samples, rate = audio.measure(path)
        seconds = max(samples / rate - options.start, 0.0)
        seconds = seconds if options.duration is None else min(seconds, options.duration)
        batch = restorer.batch_of(options.batch)
        cost = estimate.estimate(
            pace, method, restorer.model, seconds=seconds, channels=channels, sample_rate=rate, batch=batch
        )
        found.append({"input": str(path), **asdict(cost)})
        if not options.json:
            memory = f", {cost.memory / 1e9:.1f} GB of memory" if cost.memory else ""
            print(f"{path}: {format_duration(cost.seconds)}{memory}, {cost.disk / 1e9:.2g} GB of disk meanwhile")
    if options.json:
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    return 0


def restore_one(
    restorer: Restorer,
    path: Path,
    target: Path,
    overrides: dict[str, Any],
    options: argparse.Namespace,
    interrupted: Callable[[], bool],
) -> dict[str, Any]:
    journal = beside(target, f"{target.stem}.journal")
    if options.resume and target.exists() and not (options.overwrite and journal.exists()):
        left = f" Remove {journal}, or go on with it with --overwrite." if journal.exists() else ""
        say(f"{path.name}: {target} is there already.{left}")
        known = {"input": str(path), "output": str(target)}
        return reported_before(options.report).get(str(target), known) | {"skipped": True}
    try:
        with progress_line(path.name) as show:
            restoration = restorer.restore_file(
                path,
                journal,
                unfinished="resume" if options.resume else "discard" if options.overwrite else "refuse",
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
                **overrides,
            )
    except Cancelled as stopped:
        if stopped.partial is None:
            said = "The same with --resume goes on from there." if journal.exists() else "Nothing was finished."
            say(f"stopped before there was anything to hear. {said}")
            return {"input": str(path), "error": "Stopped before anything was finished."}
        part = stopped.partial
        kept = free(beside(target, f"{path.stem}.partial.wav"))
        with closing(part.storage):
            try:
                part = deliver(part, path, kept, None, options)  # a WAV may not know the wished subtype
            except RestorationError as error:
                raise RestorationError(f"{error} The same with --resume goes on with what is finished.") from None
            report = tell(restorer, part, path, kept, options)
        say(f"stopped; the finished {part.seconds:.1f} s are in {kept}. The same with --resume goes on from there.")
        return report
    try:
        restoration = deliver(restoration, path, target, options.subtype, options)
    except RestorationError as error:  # hours of work should not end here
        if not restoration.storage.records:
            restoration.storage.discard()
            raise
        restoration.storage.close()
        raise RestorationError(f"{error} The restoration is kept in {journal}; --resume goes on with it.") from None
    try:
        return tell(restorer, restoration, path, target, options)
    finally:
        restoration.storage.discard()


def deliver(
    restoration: Restoration, path: Path, target: Path, subtype: str | None, options: argparse.Namespace
) -> Restoration:
    """Writes a restoration, whole or partial, as the user wished it, and returns it so."""

    if options.amount != 1:
        restoration = restoration.mixed(options.amount)
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


def tell(
    restorer: Restorer, restoration: Restoration, path: Path, target: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Says and draws what was written, and returns the report of it."""

    report = restoration.report | {"input": str(path), "output": str(target)}
    for warning in report["warnings"]:
        say(f"{path.name}: {warning}")
    if options.plots:
        seconds = min(options.duration or PICTURED, PICTURED)
        recording = audio.read(path, start=options.start, duration=seconds)
        report["plots"] = draw(restorer.reference, restoration, recording, target, options.plots)
    if not options.json:
        print(told(restoration, report, restorer.model.sample_rate / 2))
    return report


def told(restoration: Restoration, report: dict[str, Any], highest: float) -> str:
    """A restoration in a few lines, for people."""
    length = restoration.samples / restoration.sample_rate
    hertz = [hertz for hertz in OCTAVES_HZ if hertz < highest]
    gains = restoration.response.gain_db(np.array(hertz, dtype=float)).clip(-99, 99)
    response = ", ".join(f"{f} Hz {g:+.0f} dB" for f, g in zip(hertz, gains, strict=True))
    work = f"{report['evaluations']} evaluations in {report['seconds']:.1f} s"
    doubt = "" if report["verified"] else f"\n  checkpoint: {report['checkpoint']}, from an unverified source"
    return f"{report['output']!s}: {length:.2f} s, {work}\n  response: {response}{doubt}"


def reported_before(path: Path | None) -> dict[str, dict[str, Any]]:
    """What an earlier run's report says of each output."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text("utf-8")) if path else []
        return {report["output"]: report for report in (found if isinstance(found, list) else [found])}
    return {}


def conclude(reports: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Writes and prints what was done, for machines."""
    if not any("output" in report for report in reports):
        return
    text = json.dumps(reports[0] if len(options.inputs) == 1 else reports, indent=2)
    if options.report:
        try:
            options.report.write_text(text + "\n", "utf-8")
        except OSError as error:
            raise RestorationError(f"The report {options.report} cannot be written ({error.strerror}).") from None
    if options.json:
        print(text)


def targets_of(options: argparse.Namespace) -> list[Path]:
    output: Path | None = options.output
    for path in options.inputs:
        if not path.name:
            raise RestorationError(f"{path} is a folder, not a recording. Choose a file inside it.")
    names = [f"{path.stem}.restored.wav" for path in options.inputs]
    if output is None:
        return [path.with_name(name) for path, name in zip(options.inputs, names, strict=True)]
    if len(names) == 1 and not os.path.isdir(output):
        return [output]
    with suppress(OSError):  # whatever stands in the way is told when a file is to be written there
        output.mkdir(exist_ok=True)
    return [output / name for name in names]


def check_targets(targets: list[Path], options: argparse.Namespace) -> None:
    """Says before hours of work what would stop their results from being written, or cost another file."""

    inputs = {os.path.realpath(path) for path in options.inputs}
    written = [*targets, *([options.report] if options.report else [])]
    if options.plots:
        written += [plot for target in targets for plot in plots_of(target, options.plots)]
    places = [os.path.realpath(path) for path in written]
    for path, place in zip(written, places, strict=True):
        if place in inputs:
            raise RestorationError(f"{path} is an input; choose another output, so that the original stays.")
        if places.count(place) > 1:
            raise RestorationError(f"Several results would be written to {path}. Restore those recordings one by one.")
    for target in targets:
        if not (options.resume and target.exists()):
            audio.check_target(target, subtype=options.subtype, overwrite=options.overwrite)
    for path in written[len(targets) :]:
        if path.exists() and not (options.overwrite or options.resume):
            raise RestorationError(f"{path} exists already. Choose another place or add --overwrite.")
    folders = {options.plots, options.report and options.report.parent} - {None}
    for folder in folders:
        try:
            if folder == options.plots:
                folder.mkdir(parents=True, exist_ok=True)
            audio.check_target(folder / ".babe2.wav")
        except OSError as error:
            raise RestorationError(f"Nothing can be written to {folder} ({error.strerror}).") from None


def plots_of(target: Path, folder: Path) -> list[Path]:
    return [folder / f"{target.stem}.{name}.png" for name in PLOTS]


def draw(
    reference: ReferenceLtas | None, restoration: Restoration, recording: Recording, target: Path, folder: Path
) -> list[str]:
    from babe2.report import figures

    before = recording.audio, recording.sample_rate
    after = restoration.first(PICTURED), restoration.sample_rate
    drawn = figures.of_restoration(before, after, restoration, reference)
    paths = plots_of(target, folder)
    try:
        for path, picture in zip(paths, drawn.values(), strict=True):
            figures.save(picture(), path)
    except OSError as error:
        raise RestorationError(f"The plots cannot be written to {folder} ({error.strerror}).") from None
    return [str(path) for path in paths]


def beside(target: Path, name: str) -> Path:
    """A file of that name beside another; of a name too long for a disk, the first letters."""
    stem, suffix = os.path.splitext(name)
    while stem and len(os.fsencode(stem + suffix)) > LONGEST_NAME:
        stem = stem[:-1]
    return target.with_name(stem + suffix)


def free(path: Path) -> Path:
    """The path, or the first numbered one beside it that is not taken."""
    candidate, number = path, 2
    while os.path.lexists(candidate):
        candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return candidate
