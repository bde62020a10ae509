"""`babe2` on the command line: paths in, files and a report out. Results to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babe2 import Cancelled, Restoration, RestorationError, Restorer, Step, __version__, analyse
from babe2.analysis import MATCHED_HZ, ReferenceLtas
from babe2.config import COLUMNS, PRESETS
from babe2.pipeline import PRECISIONS, check_amount, versions
from babe2.process import fit_threads, reuse_memory
from babe2.waveform import clock

if TYPE_CHECKING:
    from babe2.audio import Recording
    from babe2.transfer import Transfer

DEFAULT = "piano-small"  # the checkpoint that comes along
INTERRUPTED = 130
LONGEST_NAME = 240  # bytes, so that a number still fits
METHODS = ("babe2", "ltas-eq")
OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
PICTURED = 300.0  # seconds from the beginning, at most, are in the plots
PLOTS = ("spectrogram", "ltas", "response")


def main(arguments: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal cannot show
    options = parser().parse_args(arguments)
    reuse_memory()
    try:
        status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except RestorationError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return complain(f"What was to be said could not be written: {error.strerror or error}.")


def say(text: str) -> None:
    """A line to stderr; line breaks and other control characters in file names are made visible."""
    if sys.stderr is not None:
        visible = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
        print(f"babe2: {visible}", file=sys.stderr, flush=True)


def complain(text: str) -> int:
    say(text)
    return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="babe2", description="Gives old music recordings their sound back.")
    top.add_argument("--version", action="version", version=f"babe2 {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(run=run)
        return sub

    def with_places(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--manifest", metavar="FILE", type=Path, help="of further checkpoints, for instance your own")
        sub.add_argument(
            "--cache-dir", metavar="DIR", type=Path, help="where fetched ones live (default: the Hub's cache)"
        )
        sub.add_argument("--offline", action="store_true", help="ask no network")

    def with_prior(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--checkpoint",
            metavar="SPEC",
            default=DEFAULT,
            help=f"{DEFAULT} (default), another of `babe2 checkpoints list`, a folder, .safetensors, published .pt, "
            "or owner/name on the Hub",
        )
        with_places(sub)
        sub.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same sound (default 0)")
        sub.add_argument("--preset", choices=PRESETS, default="standard", help="default: standard")
        sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        sub.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network")
        sub.add_argument("--save-memory", action="store_true", help="half the memory, half again the time")
        sub.add_argument("--compile", action="store_true", help="fuse small operations; pays from a minute of music on")
        sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="see `babe2 info --settings`")
        sub.add_argument("--overwrite", action="store_true", help="replace existing files")
        sub.add_argument("--json", action="store_true", help="print the report as JSON")

    one = command("restore", restore, "Restore recordings.")
    one.add_argument("inputs", nargs="+", metavar="INPUT", type=Path)
    one.add_argument("-o", "--output", metavar="FILE|DIR", type=Path, help="default: NAME.restored.wav beside INPUT")
    with_prior(one)
    one.add_argument(
        "--resume", action="store_true", help="go on where it was stopped; pass over what is there already"
    )
    one.add_argument("--estimate", action="store_true", help="only say what time, memory and disk it would take")
    one.add_argument("--batch", type=int, metavar="N", help="segments at once (default: 1, on a graphics card 8)")
    one.add_argument("--method", default="babe2", choices=METHODS)
    one.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds into the recording")
    one.add_argument("--duration", type=float, metavar="S", help="seconds from there (default: to its end)")
    one.add_argument("--amount", type=float, default=1.0, metavar="0..1", help="0 is the recording, 1 the restoration")
    one.add_argument("--rate", type=int, metavar="HZ", help="sample rate of the result (default: the recording's)")
    one.add_argument("--subtype", help="PCM_16, PCM_24, FLOAT, ... (default: PCM_24, FLOAT where a peak needs it)")
    one.add_argument("--plots", metavar="DIR", type=Path, help="write spectrograms, LTAS and response there")
    one.add_argument("--report", metavar="FILE", type=Path, help="write there what --json prints")

    look = command("analyse", describe, "Say what a recording is like, without restoring it.")
    look.add_argument("input", type=Path, metavar="FILE")
    look.add_argument("--checkpoint", metavar="SPEC", help="compare with the music this prior knows")
    with_places(look)
    look.add_argument("--json", action="store_true")

    dream = command("sample", generate, "Let a prior make music out of nothing.")
    dream.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path("sample.wav"))
    with_prior(dream)
    dream.add_argument("--count", type=int, default=1, metavar="N")
    dream.add_argument("--seconds", type=float, metavar="S", help="default: one segment of the prior")

    # Commands with a module of their own, which reaches for what all commands share in here.
    from babe2 import checkpoints_command, evaluation_command, training_command

    checkpoints_command.add_commands(commands, with_places)
    training_command.add_commands(commands, with_places)
    evaluation_command.add_commands(commands, with_prior)

    about = command("info", info, "Versions and devices.")
    about.add_argument("--settings", action="store_true", help="every setting with its published values")
    about.add_argument("--json", action="store_true")
    return top


# Restoring


def restore(options: argparse.Namespace) -> int:
    check_amount(options.amount)
    overrides = settings_of(options)
    if options.estimate:
        return foretell(options, overrides)
    targets = targets_of(options)
    check_targets(targets, options)
    restorer = restorer_of(options)
    restorer.settings(options.preset, **overrides)  # a wrong setting is better said before the first file
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
    from babe2 import audio, estimate

    restorer = restorer_of(options)
    settings = restorer.settings(options.preset, **overrides)
    pace = estimate.calibrate(restorer, settings)
    found = []
    for path in options.inputs:
        channels, samples, rate = audio.measure(path)
        seconds = max(samples / rate - options.start, 0.0)
        seconds = seconds if options.duration is None else min(seconds, options.duration)
        batch = restorer.batch_of(options.batch)
        cost = estimate.estimate(
            pace, settings, restorer.model, seconds=seconds, channels=channels, sample_rate=rate, batch=batch
        )
        found.append({"input": str(path), **asdict(cost)})
        if not options.json:
            memory = f", {cost.memory / 1e9:.1f} GB of memory" if cost.memory else ""
            print(f"{path}: {estimate.told(cost.seconds)}{memory}, {cost.disk / 1e9:.2g} GB of disk meanwhile")
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
        with closing(part.bench):
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
        if not restoration.bench.records:
            restoration.bench.discard()
            raise
        restoration.bench.close()
        raise RestorationError(f"{error} The restoration is kept in {journal}; --resume goes on with it.") from None
    try:
        return tell(restorer, restoration, path, target, options)
    finally:
        restoration.bench.discard()


def deliver(
    restoration: Restoration, path: Path, target: Path, subtype: str | None, options: argparse.Namespace
) -> Restoration:
    """Writes a restoration, whole or partial, as the user wished it, and returns it so."""
    from babe2 import audio

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
    from babe2 import audio

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
    from babe2 import audio

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
    from babe2 import figures

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


# The other commands


def describe(options: argparse.Namespace) -> int:
    from babe2 import audio, checkpoints

    reference = None
    if options.checkpoint:
        with fetch_line(options.checkpoint) as on_transfer:
            checkpoint = checkpoints.load(options.checkpoint, **places_of(options), on_transfer=on_transfer)
        if checkpoint.ltas is not None:
            reference = ReferenceLtas(checkpoint.ltas, checkpoint.model.sample_rate)
    recording = audio.read(options.input)
    found = analyse(recording.audio, recording.sample_rate, reference)
    found["warnings"] = list(recording.warnings)
    print(json.dumps(found, indent=2) if options.json else portrait(found))
    return 0


def portrait(found: dict[str, Any]) -> str:
    """What `analyse` found, for people."""

    def measured(value: float | None, unit: str) -> str:
        return "unknown" if value is None else f"{value:.4g} {unit}"

    clipping, hum = found["clipping"], found["hum"]
    channels = {1: "mono", 2: "stereo"}.get(found["channels"], f"{found['channels']} channels")
    low, high = found["bandwidth_low_hz"], found["bandwidth_high_hz"]
    lines = {
        "length": f"{found['duration_seconds']:.2f} s, {channels}, {found['sample_rate']} Hz",
        "level": f"{measured(found['rms_dbfs'], 'dBFS')}, peak {measured(found['peak_dbfs'], 'dBFS')}, "
        + measured(found["loudness_lufs"], "LUFS"),
        "band": f"{low:.0f} Hz to {high:.0f} Hz" if low and high else "unknown",
        "noise floor": measured(found["noise_floor_dbfs"], "dBFS"),
        "clipping": f"{clipping['share']:.2%} of the samples" if clipping["runs"] else "none",
        "hum": f"{hum['frequency_hz']:g} Hz, {hum['prominence_db']:.0f} dB over its surroundings" if hum else "none",
    }
    if ratios := found["ratio_to_reference_db"]:
        pairs = zip(found["ltas"]["frequencies_hz"], ratios, strict=True)
        octaves = [(hertz, ratio) for hertz, ratio in pairs if ratio is not None and hertz in OCTAVES_HZ]
        matched = " to ".join(f"{hertz:g}" for hertz in MATCHED_HZ)
        lines["spectrum"] = ", ".join(f"{hertz:g} Hz {ratio:+.0f} dB" for hertz, ratio in octaves)
        lines[""] = f"against the prior's music, both at one level from {matched} Hz"
    sentences = [*found["warnings"], *found["advice"]]
    return "\n".join([f"{name:>12}  {value}" for name, value in lines.items()] + sentences)


def generate(options: argparse.Namespace) -> int:
    from babe2 import audio

    output: Path = options.output
    targets = [output]
    if options.count > 1 and output.name:
        targets = [output.with_name(f"{output.stem}-{i + 1}{output.suffix}") for i in range(options.count)]
    for target in targets:
        audio.check_target(target, overwrite=options.overwrite)
    overrides = settings_of(options)
    restorer = restorer_of(options)
    with interruptible() as interrupted, progress_line(output.name) as on_step:
        try:
            music = restorer.sample(
                options.count,
                options.seconds,
                seed=options.seed,
                preset=options.preset,
                on_step=lambda progress: on_step(f"step {progress.step}"),
                cancelled=interrupted,
                **overrides,
            )
        except Cancelled:
            say("stopped before anything was finished.")
            return INTERRUPTED
    for target, piece in zip(targets, music, strict=True):
        audio.write(target, piece[None], restorer.model.sample_rate, overwrite=options.overwrite)
    files = [str(target) for target in targets]
    print(json.dumps({"files": files, "seed": options.seed}) if options.json else "\n".join(files))
    return 0


def info(options: argparse.Namespace) -> int:
    import torch

    columns = {name: asdict(column) for name, column in COLUMNS.items()}
    devices = ["cpu", *(f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    found: dict[str, Any] = versions() | {"devices": devices, "threads": torch.get_num_threads()}
    if options.json:
        print(json.dumps(found | ({"settings": columns} if options.settings else {}), indent=2))
        return 0
    for name, value in found.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    if options.settings:
        print(f"{'setting':26}" + "".join(f"{name:>22}" for name in columns))
        for setting in columns["piano"]:
            print(f"{setting:26}" + "".join(f"{as_typed(column[setting]):>22}" for column in columns.values()))
    return 0


def as_typed(value: Any) -> str:
    """A setting's value as --set takes it."""
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value).lower()


def restorer_of(options: argparse.Namespace) -> Restorer:
    fit_threads()
    with fetch_line(options.checkpoint) as on_transfer:
        return Restorer.from_checkpoint(
            options.checkpoint,
            device=options.device,
            **places_of(options),
            on_transfer=on_transfer,
            precision=options.precision,
            save_memory=options.save_memory,
            compile=options.compile,
        )


def places_of(options: argparse.Namespace) -> dict[str, Any]:
    """Where to look for a checkpoint."""
    return {"cache_dir": options.cache_dir, "offline": options.offline, "manifest": options.manifest}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    return pairs_of(options.set, "--set")


def pairs_of(texts: list[str], option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if odd := [name for name, equals, _ in pairs if not equals]:
        raise RestorationError(f"{option} takes NAME=VALUE, not {odd[0]!r}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks the run to end; a second one ends it at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress_line(name: str) -> Iterator[Callable[[Step | str], None]]:
    """A line on stderr that follows the run: rewritten on a terminal, else a new one every ten seconds."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    last = time.monotonic()

    def show(step: Step | str) -> None:
        nonlocal last
        if isinstance(step, Step):
            place = f"segment {step.segment}/{step.segments}, step {step.step}/{step.steps}"
            step = f"{place}, misfit {step.misfit:.2f}, {clock(step.seconds_left)} left"
        if terminal:
            print(f"\r\033[K{name!a}: {step}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{name}: {step}")

    try:
        yield show
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def fetch_line(name: str) -> Iterator[Callable[[Transfer], None]]:
    """The same for a download."""
    with progress_line(name) as show:

        def follow(transfer: Transfer) -> None:
            whole = f" of {transfer.total / 1e6:.1f}" if transfer.total else ""
            left = f", {clock(transfer.seconds_left)} left" if transfer.seconds_left is not None else ""
            show(f"fetched {transfer.done / 1e6:.1f}{whole} MB{left}")

        yield follow


if __name__ == "__main__":
    sys.exit(main())
