"""`babe2` on the command line: paths in, files and a report out. Results to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babe2 import Cancelled, Restoration, RestorationError, Restorer, Step, __version__, analyse
from babe2.config import COLUMNS, PRESETS
from babe2.pipeline import mixed, reuse_memory, versions
from babe2.waveform import clock

if TYPE_CHECKING:
    from babe2.audio import Recording

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    logging.basicConfig(level=logging.WARNING, format="babe2: %(message)s", stream=sys.stderr)
    options = parser().parse_args(arguments)
    reuse_memory()
    try:
        status: int = options.run(options)
        return status
    except RestorationError as error:
        return complain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def complain(error: Exception) -> int:
    print(f"babe2: {error}", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="babe2", description="Gives old music recordings their sound back.")
    top.add_argument("--version", action="version", version=f"babe2 {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(run=run)
        return sub

    def with_prior(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--checkpoint", metavar="SPEC", required=True, help="folder, .safetensors or published .pt")
        sub.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same sound (default 0)")
        sub.add_argument("--preset", choices=PRESETS, default="standard", help="default: standard")
        sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        sub.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the network")
        sub.add_argument("--save-memory", action="store_true", help="a third of the memory, half again the time")
        sub.add_argument("--compile", action="store_true", help="fuse small operations; pays from a minute of music on")
        sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="see `babe2 info --settings`")
        sub.add_argument("--overwrite", action="store_true", help="replace existing files")
        sub.add_argument("--json", action="store_true", help="print the report as JSON")

    one = command("restore", restore, "Restore recordings.")
    one.add_argument("inputs", nargs="+", metavar="INPUT", type=Path)
    one.add_argument("-o", "--output", metavar="FILE|DIR", type=Path, help="default: NAME.restored.wav beside INPUT")
    with_prior(one)
    one.add_argument("--method", default="babe2", choices=("babe2", "ltas-eq"))
    one.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds into the recording")
    one.add_argument("--duration", type=float, metavar="S", help="seconds from there (default: to its end)")
    one.add_argument("--amount", type=float, default=1.0, metavar="0..1", help="0 is the recording, 1 the restoration")
    one.add_argument("--rate", type=int, metavar="HZ", help="sample rate of the result (default: the recording's)")
    one.add_argument("--subtype", help="PCM_16, PCM_24, FLOAT, ... (default: PCM_24, FLOAT where a peak needs it)")
    one.add_argument("--plots", metavar="DIR", type=Path, help="write spectrograms, LTAS and response there")
    one.add_argument("--report", metavar="FILE", type=Path, help="write the report there as JSON")

    look = command("analyse", describe, "Say what a recording is like, without restoring it.")
    look.add_argument("input", type=Path, metavar="FILE")
    look.add_argument("--checkpoint", metavar="SPEC", help="compare with the music this prior knows")
    look.add_argument("--json", action="store_true")

    dream = command("sample", generate, "Let a prior make music out of nothing.")
    dream.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path("sample.wav"))
    with_prior(dream)
    dream.add_argument("--count", type=int, default=1, metavar="N")
    dream.add_argument("--seconds", type=float, metavar="S", help="default: one segment of the prior")

    about = command("info", info, "Versions and devices.")
    about.add_argument("--settings", action="store_true", help="every setting with its published values")
    about.add_argument("--json", action="store_true")
    return top


def restore(options: argparse.Namespace) -> int:
    targets = [target_of(path, options) for path in options.inputs]
    check_targets(targets, options)
    overrides = settings_of(options)
    restorer = restorer_of(options)
    restorer.settings(options.preset, **overrides)  # a wrong setting is better said before the first file
    reports, status = [], 0
    for path, target in zip(options.inputs, targets, strict=True):
        try:
            reports.append(restore_one(restorer, path, target, overrides, options))
        except RestorationError as error:
            if len(targets) == 1:
                raise
            status = complain(RestorationError(f"{path}: {error}"))
        except Cancelled as stopped:
            print(kept_part(stopped.partial, path, target), file=sys.stderr)
            return INTERRUPTED
    if options.json:
        print(json.dumps(reports[0] if len(targets) == 1 else reports, indent=2))
    return status


def restore_one(
    restorer: Restorer, path: Path, target: Path, overrides: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    from babe2 import audio

    recording = audio.read(path, start=options.start, duration=options.duration)
    for warning in recording.warnings:
        print(f"babe2: {warning}", file=sys.stderr)
    with interruptible() as interrupted, progress_line(path.name) as on_step:
        restoration = restorer.restore(
            recording.audio,
            recording.sample_rate,
            method=options.method,
            preset=options.preset,
            seed=options.seed,
            output_rate=options.rate,
            on_step=on_step,
            cancelled=interrupted,
            **overrides,
        )
    if options.amount != 1:
        restoration = mixed(restoration, recording.audio, recording.sample_rate, options.amount)
    audio.write(
        target,
        restoration.audio,
        restoration.sample_rate,
        subtype=options.subtype,
        tags=recording.tags,
        overwrite=options.overwrite,
    )
    report = restoration.report | {"input": str(path), "output": str(target)}
    report["warnings"] = [*recording.warnings, *report["warnings"]]
    if options.plots:
        report["plots"] = draw(restorer, restoration, recording, path.stem, options)
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    if not options.json:
        print(told(restoration, report))
    return report


def told(restoration: Restoration, report: dict[str, Any]) -> str:
    """A restoration in a few lines, for people."""
    lines = [f"{report['output']}: {restoration.audio.shape[1] / restoration.sample_rate:.2f} s"]
    lines[0] += f", {report['evaluations']} evaluations in {report['seconds']:.1f} s"
    hertz = [125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0]
    gains = restoration.response.gain_db(np.array(hertz))
    lines.append(
        "  response: " + ", ".join(f"{f:g} Hz {max(g, -99):+.0f} dB" for f, g in zip(hertz, gains, strict=True))
    )
    return "\n".join(lines + [f"  {warning}" for warning in report["warnings"]])


def target_of(path: Path, options: argparse.Namespace) -> Path:
    output: Path | None = options.output
    if output is None:
        return path.with_name(f"{path.stem}.restored.wav")
    if os.path.isdir(output) or len(options.inputs) > 1:  # Path.is_dir raises where a name is too long
        return output / f"{path.stem}.restored.wav"
    return output


def check_targets(targets: list[Path], options: argparse.Namespace) -> None:
    """Says before hours of work what would stop their result from being written."""
    from babe2 import audio

    if twice := {target for target in targets if targets.count(target) > 1}:
        raise RestorationError(f"Several inputs would be written to {sorted(twice)[0]}. Restore them one by one.")
    for target in targets:
        if any(target.resolve() == path.resolve() for path in options.inputs):
            raise RestorationError(f"{target} is an input; choose another output, so that the original stays.")
        audio.check_target(target, subtype=getattr(options, "subtype", None), overwrite=options.overwrite)


def kept_part(partial: Restoration | None, path: Path, target: Path) -> str:
    """Saves what was finished when the user stopped the run, and says where."""
    if partial is None:
        return "babe2: stopped before anything was finished."
    kept = target.with_name(f"{path.stem}.partial.wav")
    number = 2
    while kept.exists():
        kept, number = target.with_name(f"{path.stem}.partial-{number}.wav"), number + 1
    partial.save(kept)
    return f"babe2: stopped; the finished {partial.audio.shape[1] / partial.sample_rate:.1f} s are in {kept}."


def draw(
    restorer: Restorer, restoration: Restoration, recording: Recording, stem: str, options: argparse.Namespace
) -> list[str]:
    from babe2 import figures

    folder: Path = options.plots
    folder.mkdir(parents=True, exist_ok=True)
    before, after = (recording.audio, recording.sample_rate), (restoration.audio, restoration.sample_rate)
    drawn = {
        "spectrogram": figures.spectrograms(before, after),
        "ltas": figures.ltas_curves({"recording": before, "restored": after}, restorer.reference),
        "response": figures.response(restoration.history, restoration.response, restorer.model.sample_rate),
    }
    paths = [folder / f"{stem}.{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        figures.save(figure, path)
    return [str(path) for path in paths]


def describe(options: argparse.Namespace) -> int:
    from babe2 import audio

    reference = None
    if options.checkpoint:
        reference = Restorer.from_checkpoint(options.checkpoint, device="cpu").reference
    recording = audio.read(options.input)
    found = analyse(recording.audio, recording.sample_rate, reference)
    found["warnings"] = list(recording.warnings)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    print(portrait(found))
    return 0


def portrait(found: dict[str, Any]) -> str:
    """What `analyse` found, for people."""

    def told(value: float | None, unit: str) -> str:
        return "unknown" if value is None else f"{value:.4g} {unit}"

    clipping, hum = found["clipping"], found["hum"]
    lines = {
        "length": f"{found['duration_seconds']:.2f} s, {found['channels']} x {found['sample_rate']} Hz",
        "level": f"{told(found['rms_dbfs'], 'dBFS')}, peak {told(found['peak_dbfs'], 'dBFS')}, "
        + told(found["loudness_lufs"], "LUFS"),
        "band": f"{told(found['bandwidth_low_hz'], 'Hz')} to {told(found['bandwidth_high_hz'], 'Hz')}",
        "noise floor": told(found["noise_floor_dbfs"], "dBFS"),
        "clipping": f"{clipping['share']:.2%} of the samples" if clipping["runs"] else "none",
        "hum": f"{told(hum['frequency_hz'], 'Hz')}, {told(hum['prominence_db'], 'dB')} over its surroundings"
        if hum
        else "none",
    }
    sentences = [*found["warnings"], *found["advice"]]
    return "\n".join([f"{name:>12}  {value}" for name, value in lines.items()] + sentences)


def generate(options: argparse.Namespace) -> int:
    from babe2 import audio

    targets = [options.output] * options.count
    if options.count > 1:
        targets = [
            options.output.with_name(f"{options.output.stem}-{i + 1}{options.output.suffix}")
            for i in range(options.count)
        ]
    options.inputs = []
    check_targets(targets, options)
    restorer = restorer_of(options)
    with interruptible() as interrupted:
        try:
            music = restorer.sample(
                options.count,
                options.seconds,
                seed=options.seed,
                preset=options.preset,
                cancelled=interrupted,
                **settings_of(options),
            )
        except Cancelled:
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
            print(f"{setting:26}" + "".join(f"{_as_typed(column[setting]):>22}" for column in columns.values()))
    return 0


def _as_typed(value: Any) -> str:
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value).lower()


def restorer_of(options: argparse.Namespace) -> Restorer:
    return Restorer.from_checkpoint(
        options.checkpoint,
        device=options.device,
        precision=options.precision,
        save_memory=options.save_memory,
        compile=options.compile,
    )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    pairs = [text.partition("=") for text in options.set]
    if odd := [name for name, equals, _ in pairs if not equals]:
        raise RestorationError(f"--set takes NAME=VALUE, not {odd[0]!r}.")
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
def progress_line(name: str) -> Iterator[Callable[[Step], None]]:
    """A line on stderr that follows the run: rewritten on a terminal, else a new one every ten seconds."""
    terminal = sys.stderr.isatty()
    last = time.monotonic()

    def show(step: Step) -> None:
        nonlocal last
        text = f"{name}: segment {step.segment}/{step.segments}, step {step.step}/{step.steps}"
        text += f", misfit {step.misfit:.2f}, {clock(step.seconds_left)} left"
        if terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > 10:
            last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
