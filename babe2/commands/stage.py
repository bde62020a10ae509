"""A command for each stage, and chains of them: a recording in, what the stages make of it out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babe2 import Cancelled, RestorationError, Restorer
from babe2.audio import SoundFile, write_blocks
from babe2.chains import Chained, Link, LinkProgress
from babe2.chains.work import divided, work_on_file
from babe2.checkpoints import Checkpoint, load
from babe2.checkpoints.hub import latest_from_hub
from babe2.commands.options import add_place_options, add_threads_option, new_command, places_of
from babe2.commands.targets import beside, check_distinct, check_recording, make_folder
from babe2.commands.terminal import INTERRUPTED, fetch_line, interruptible, progress_line, say
from babe2.process import set_threads
from babe2.stages import STAGES, HubFolder, Report, Stage
from babe2.wording import clock

NO_COMMANDS = ("restore", "remix")  # one has a command of its own, the other is a part of a chain only
INTEGERS = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24")  # differences of such samples fit into 24 bits, or into a float


def add_commands(subparsers: Any) -> None:
    """Adds a command for each stage, with an option for each of its settings."""
    for name, stage in STAGES.items():
        if name not in NO_COMMANDS:
            _add_command(subparsers, name, stage)


def _add_command(subparsers: Any, name: str, stage: type[Stage]) -> None:
    command = new_command(subparsers, name, run_stage, stage.does)
    command.set_defaults(stage=stage)
    command.add_argument("input", metavar="INPUT", type=Path)
    default = "one file for each track beside INPUT" if stage.splits_into else f"NAME.{name}.wav beside INPUT"
    metavar = "DIR" if stage.splits_into else "FILE"
    command.add_argument("-o", "--output", metavar=metavar, type=Path, help=f"default: {default}")
    usual = stage()
    for setting, about in stage.about().items():
        words = f"{about.label}. {about.hint} (default: {getattr(usual, setting)})".replace("%", "%%")
        command.add_argument(_option(setting), dest=f"set_{setting}", metavar="VALUE", help=words)
    if stage.keeps_length and not stage.splits_into:
        words = "write there what was taken away: with the result it adds up to INPUT"
        command.add_argument("--removed", "--residual", metavar="FILE", type=Path, help=words)
    command.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds into the recording")
    command.add_argument("--duration", type=float, metavar="S", help="seconds from there (default: to its end)")
    command.add_argument("--subtype", help="PCM_16, PCM_24, FLOAT, ... (default: PCM_24, FLOAT where a peak needs it)")
    command.add_argument("--resume", action="store_true", help="go on where it was stopped")
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_place_options(command)
    add_threads_option(command)


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


@dataclass(frozen=True)
class Work:
    """How a chain is to work on a file."""

    interrupted: Callable[[], bool]
    restorer_of: Callable[[str], Restorer]
    checkpoint_of: Callable[[str], Checkpoint]
    hub_folder: HubFolder
    start: float = 0.0
    duration: float | None = None
    resume: bool = False
    overwrite: bool = False
    subtype: str | None = None

    @classmethod
    def of(cls, given: argparse.Namespace, interrupted: Callable[[], bool], **others: Any) -> Work:
        """As the options of a command say; `others` are said otherwise."""

        def restorer_of(checkpoint: str) -> Restorer:
            with fetch_line(checkpoint) as on_transfer:
                return Restorer.from_checkpoint(
                    checkpoint, device=given.device, **places_of(given), on_transfer=on_transfer
                )

        def checkpoint_of(checkpoint: str) -> Checkpoint:
            with fetch_line(checkpoint) as on_transfer:
                return load(checkpoint, **places_of(given), on_transfer=on_transfer)

        def hub_folder(repo: str, files: Sequence[str], cancelled: Callable[[], bool]) -> Path:
            with fetch_line(repo) as on_transfer:
                where = {"cache_dir": given.cache_dir, "offline": given.offline}
                return latest_from_hub(repo, files, cancelled, **where, on_transfer=on_transfer)

        names = ("start", "duration", "resume", "overwrite", "subtype")
        options = {name: getattr(given, name) for name in names if name not in others} | others
        return cls(interrupted, restorer_of, checkpoint_of, hub_folder, **options)


@contextmanager
def worked_on(links: Sequence[Link], path: Path, target: Path, work: Work) -> Iterator[Chained]:
    """What links make of a file, whose result is to be written to `target` inside; then what was kept is removed.

    Where it is stopped, or the result cannot be written, all that is finished stays for another time.
    """
    journal = beside(target, f"{target.stem}.journal")
    with progress_line(path.name) as show:

        def tell(progress: LinkProgress) -> None:
            show(f"{progress.name}, stage {progress.link}/{progress.links}, {progress.share:.0%}")

        try:
            done = work_on_file(
                links,
                path,
                journal,
                start=work.start,
                duration=work.duration,
                unfinished="resume" if work.resume else "refuse",
                on_link=tell,
                on_block=lambda seconds: show(f"{clock(seconds)} read"),
                cancelled=work.interrupted,
                restorer_of=work.restorer_of,
                checkpoint_of=work.checkpoint_of,
                hub_folder=work.hub_folder,
            )
        except Cancelled:
            raise RestorationError(
                "Stopped. The same with --resume goes on from there."
                if journal.exists()
                else "Stopped before anything was finished."
            ) from None
        try:
            yield done
        except BaseException as error:
            done.close()
            if isinstance(error, RestorationError):
                raise RestorationError(f"{error} What is finished is kept in {journal}; --resume goes on.") from None
            raise
        done.discard()


def run_stage(given: argparse.Namespace) -> int:
    stage = stage_of(given)
    set_threads(given.threads)
    path, removed = given.input, getattr(given, "removed", None)
    targets = targets_of(stage, path, given.output)
    check_distinct([path], [*targets, *([removed] if removed else [])])
    for target in targets:
        check_recording(target, subtype=given.subtype, overwrite=given.overwrite)
    if removed:
        check_recording(removed, overwrite=given.overwrite)
    with interruptible() as interrupted:
        work = Work.of(given, interrupted)
        try:
            with worked_on((Link(stage),), path, targets[0], work) as done:
                write_tracks(done, targets, work)
                report = done.report["stages"][0] | {"input": str(path), "output": [str(each) for each in targets]}
                if removed:
                    write_removed(path, targets[0], removed, work)
                    report["removed"] = str(removed)
        except RestorationError as error:
            say(str(error))
            return INTERRUPTED if interrupted() else 1
    for warning in report["warnings"]:
        say(f"{path.name}: {warning}")
    print(json.dumps(report, indent=2) if given.json else format_stage(report))
    return 0


def stage_of(given: argparse.Namespace) -> Stage:
    """The stage with the settings that were given."""
    stage: type[Stage] = given.stage
    said = {name: value for name in stage.names() if (value := getattr(given, f"set_{name}")) is not None}
    return stage.of(**said)


def targets_of(stage: Stage, path: Path, output: Path | None) -> list[Path]:
    """The files that a stage's result is written to: one, or one for each track."""
    if not path.name or path.is_dir():
        raise RestorationError(f"{path} is a folder, not a recording. Choose a file inside it.")
    if not stage.splits_into:
        return [output or path.with_name(f"{path.stem}.{stage.name}.wav")]
    if output is not None:
        make_folder(output)
    folder = output or path.parent
    return [folder / f"{path.stem}.{track}.wav" for track in stage.splits_into]


def write_tracks(done: Chained, targets: Sequence[Path], work: Work) -> None:
    """Writes what was made: as a whole, or each track to a file of its own."""
    if len(targets) == 1:
        done.save(targets[0], work.subtype, overwrite=work.overwrite)
        return
    for tape, target in zip(divided(done.tape, len(targets)), targets, strict=True):
        done.of(tape).save(target, work.subtype, overwrite=work.overwrite)


def write_removed(path: Path, target: Path, removed: Path, work: Work) -> None:
    """Writes what the recording has and its result, as it was written, has not: the two files add up to it exactly."""
    before, after = SoundFile(path, start=work.start, duration=work.duration), SoundFile(target)
    if (before.channels, before.sample_rate) != (after.channels, after.sample_rate):
        raise RestorationError(f"{target.name} has other channels than the recording, so nothing can be told apart.")
    # Floats differ by more digits than a float holds.
    subtype = None if before.subtype in INTEGERS and after.subtype in INTEGERS else "DOUBLE"

    def blocks() -> Iterator[npt.NDArray[np.float64]]:
        return differences(before.blocks(), after.blocks())

    write_blocks(removed, blocks, before.sample_rate, subtype=subtype, tags=before.tags, overwrite=work.overwrite)


def differences(
    before: Iterator[npt.NDArray[np.float32]], after: Iterator[npt.NDArray[np.float32]]
) -> Iterator[npt.NDArray[np.float64]]:
    """What is left of one sound when another is taken away; both come in blocks (channels, n), cut anyhow."""
    held = np.zeros((0, 0))
    for block in before:
        rest = block.astype(np.float64)
        while rest.shape[1]:
            if not held.shape[1]:
                held = next(after).astype(np.float64)
            count = min(rest.shape[1], held.shape[1])
            yield rest[:, :count] - held[:, :count]
            rest, held = rest[:, count:], held[:, count:]


def format_stage(report: Report) -> str:
    """What a stage has done, in a few lines for people."""
    level = report["removed_db"]
    taken = "nothing was changed" if level is None else f"changed by {level:.1f} dB of the recording"
    where = ", ".join(report["output"])
    return "\n".join([f"{where}: {taken}, in {report['seconds']:.1f} s", *(f"  {line}" for line in facts(report))])


def facts(report: Report) -> list[str]:
    """What a stage has found and counted, a line each."""
    plain = {name: value for name, value in report["found"].items() if isinstance(value, str | int | float | bool)}
    counts = {name: f"{value:g}" for name, value in report["counts"].items()}
    return [f"{name.replace('_', ' ')}: {value}" for name, value in {**plain, **counts}.items()]
