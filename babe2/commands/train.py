"""`babe2 train` and `babe2 finetune`: data in, a run's folder out."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from babe2 import checkpoints
from babe2.commands.options import add_place_options, add_threads_option, places_of
from babe2.commands.terminal import INTERRUPTED as INTERRUPTED_STATUS
from babe2.commands.terminal import fetch_line, interruptible, pairs_of
from babe2.commands.terminal import say as to_stderr
from babe2.config import BandwiseArchitecture, Model, SpectralArchitecture
from babe2.errors import RestorationError
from babe2.network import CQTDiffPlus
from babe2.networks.models import MODELS, Network, next_length
from babe2.process import choose_device, enough_memory, set_threads
from babe2.training.corpus import Corpus, gather
from babe2.training.progress import Progress, finite
from babe2.training.run import INTERRUPTED, Outcome, Plan, Run, processes_of
from babe2.training.settings import TrainingSettings, training_settings, tuning_settings
from babe2.training.trainer import Processes, Trainer, new_network
from babe2.wording import clock

WAY_OUT = "Learn from each batch in parts (--accumulate), save memory (--save-memory) or choose a smaller batch."
ITERATIONS = {"piano": 850_000, "voice": 325_000, "instruments": 390_000}  # as published; of woodwind the last
TUNING_ITERATIONS = 8_000  # as published for one singer
COMPACT_ITERATIONS, COMPACT_TUNING_ITERATIONS = 20_000, 2_000

Say = Callable[[str], None]


def add_commands(subparsers: Any) -> None:
    """Adds both commands to the command line."""
    train = _command(subparsers, "train", run_train, "Teach a network a kind of music, from nothing.")
    train.add_argument(
        "--network",
        default="compact",
        metavar="NAME|FILE",
        help=f"{', '.join(MODELS)}, or a checkpoint's config.json (default: compact)",
    )
    tune = _command(subparsers, "finetune", run_finetune, "Teach a checkpoint more, from other music.")
    tune.add_argument("--checkpoint", metavar="SPEC", required=True, help="to begin from; as for `babe2 restore`")
    add_place_options(tune)


def _command(
    subparsers: Any, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = subparsers.add_parser(name, help=about, description=about)
    command.set_defaults(run=run)
    data = command.add_argument_group("data")
    data.add_argument("--data", nargs="+", type=Path, required=True, metavar="PLACE", help="folders, files, text lists")
    data.add_argument(
        "--mix", metavar="NAME=SHARE,...", help="parts by file name or folder, and how often each is heard"
    )
    data.add_argument("--reference", metavar="NAME", help="the part whose average spectrum restorations aim at")
    data.add_argument("--validation", nargs="+", type=Path, metavar="PLACE", help="held-out music")
    length = command.add_argument_group("how long")
    length.add_argument(
        "--iterations", type=_whole, metavar="N", help="in all, however often the run is taken up again"
    )
    length.add_argument("--minutes", type=_positive, metavar="M", help="stop by the clock")
    length.add_argument("--decay", type=_whole, default=0, metavar="N", help="let the rates fall over the last N")
    length.add_argument("--decay-minutes", type=_positive, metavar="M", help="the same by the clock, within --minutes")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="goes on where it stopped")
    command.add_argument("--accept-changes", action="store_true", help="go on with other settings or data than before")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a training setting")
    command.add_argument("--seed", type=int, metavar="N", help="the same as --set seed=N")
    command.add_argument(
        "--batch", type=int, metavar="N", help="the same as --set batch=N: excerpts over all processes"
    )
    command.add_argument("--segment", type=int, metavar="N", help="samples in an excerpt (default: the network's)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; torchrun gives each process its own")
    add_threads_option(command)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the network")
    command.add_argument("--compile", action="store_true", help="fuse small operations")
    command.add_argument(
        "--save-memory", action="store_true", help="a third more time for half the memory (piano, voice)"
    )
    command.add_argument("--accumulate", type=_whole, default=1, metavar="N", help="learn from each batch in N parts")
    command.add_argument("--workers", type=int, metavar="N", help="threads that prepare excerpts")
    command.add_argument("--save-every", type=_whole, default=1000, metavar="N", help="iterations (default 1000)")
    command.add_argument("--save-minutes", type=_positive, default=10.0, metavar="M", help="and minutes (default 10)")
    command.add_argument("--log-every", type=_whole, default=25, metavar="N", help="iterations (default 25)")
    command.add_argument("--check-every", type=_whole, metavar="N", help="iterations between looks at --validation")
    command.add_argument("--restorations", action="store_true", help="then restore some of it, too, and keep the sound")
    command.add_argument("--json", action="store_true", help="print how it ended as JSON")
    return command


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


_whole.__name__, _positive.__name__ = "whole number above 0", "number above 0"  # as argparse words its complaint


@dataclass(frozen=True, eq=False)
class Start:
    """What a run starts from."""

    model: Model
    settings: TrainingSettings
    network: Network
    iterations: int
    parent: dict[str, Any] | None = None


def run_train(options: argparse.Namespace) -> int:
    """`babe2 train`: returns the exit status."""
    name = options.network
    model = with_segment(MODELS[name] if name in MODELS else read_model(Path(name)), options.segment)
    settings = settings_of(training_settings(model), options)
    iterations = COMPACT_ITERATIONS if is_compact(model) else ITERATIONS[model.column]
    start = Start(model, settings, new_network(model, settings.seed), iterations)
    return print_outcome(train(start, options), options)


def run_finetune(options: argparse.Namespace) -> int:
    """`babe2 finetune`: returns the exit status."""
    with fetch_line(options.checkpoint) as on_transfer:
        checkpoint = checkpoints.load(options.checkpoint, **places_of(options), on_transfer=on_transfer)
    learned_network = checkpoint.prior_network()
    model = with_segment(checkpoint.model, options.segment)
    settings = settings_of(tuning_settings(model), options)
    network = new_network(model, settings.seed)
    network.load_state_dict(learned_network.state_dict())
    learned = checkpoint.provenance.get("iterations")
    parent = {"name": checkpoint.name, "sha256": checkpoint.sha256, "iterations": learned}
    iterations = COMPACT_TUNING_ITERATIONS if is_compact(model) else TUNING_ITERATIONS
    return print_outcome(train(Start(model, settings, network, iterations, parent), options), options)


def is_compact(model: Model) -> bool:
    """Whether the model's network is the compact one."""
    return isinstance(model.architecture, BandwiseArchitecture)


def read_model(path: Path) -> Model:
    """Reads the model that a checkpoint's configuration describes."""
    try:
        described = json.loads(path.read_text("utf-8"))
        network = described.get("network", "cqtdiff+")
        model = checkpoints.model_of(described["model"], network)
        if isinstance(model.architecture, SpectralArchitecture):
            raise ValueError("it is a denoiser's, and what is trained here are priors")
        return model
    except OSError as error:
        raise RestorationError(
            f"There is no network {str(path)!r:.80} ({error.strerror}). Choose one of {', '.join(MODELS)}, or give a "
            "checkpoint's config.json."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RestorationError(f"{path} describes no network to be trained: {error}.") from None


def with_segment(model: Model, segment: int | None) -> Model:
    """Returns the model with another segment length, where one is given."""
    if segment is None:
        return model
    if not 0 < segment <= 2**24 or next_length(model, segment) != segment:
        near = next_length(model, min(max(segment, 1), 2**24))
        raise RestorationError(
            f"A segment of {segment} samples does not fit this network. The next that does is {near}."
        )
    return replace(model, segment=segment)


def settings_of(settings: TrainingSettings, options: argparse.Namespace) -> TrainingSettings:
    """Returns the settings with what --set, --seed and --batch replace."""
    overrides = pairs_of(options.set, "--set")
    overrides |= {name: str(value) for name in ("seed", "batch") if (value := getattr(options, name)) is not None}
    return settings.changed(overrides)


def mix_of(text: str | None) -> dict[str, float] | None:
    """Reads the shares of --mix by name."""
    if text is None:
        return None
    try:
        mix = {name: float(share) for name, share in pairs_of(text.split(","), "--mix").items()}
    except ValueError:
        raise RestorationError(f"--mix takes NAME=SHARE,..., where shares are numbers, not {text!r:.80}.") from None
    if not all(0 <= share < float("inf") for share in mix.values()) or sum(mix.values()) <= 0:
        raise RestorationError(f"The shares of --mix {text!r:.80} must not be negative, and not all zero.")
    return mix


def data_of(options: argparse.Namespace, model: Model, settings: TrainingSettings) -> tuple[Corpus, Corpus | None]:
    """Collects what to learn from, and what is held out."""
    longest = model.segment / model.sample_rate * 2 ** (abs(settings.augmentation.pitch_semitones) / 12)
    shortest = settings.shortest_seconds if settings.shortest_seconds is not None else longest
    corpus = gather(options.data, model.sample_rate, shortest, mix_of(options.mix))
    if options.reference:
        corpus.part(options.reference)  # a wrong name is better said before the data are measured
    return corpus, gather(options.validation, model.sample_rate, shortest) if options.validation else None


def plan_of(options: argparse.Namespace, iterations: int, device: str) -> Plan:
    """Returns the plan; `iterations` is how many there are where none are asked for."""
    if options.decay_minutes is not None and (options.minutes is None or options.decay_minutes > options.minutes):
        raise RestorationError("--decay-minutes is a part of --minutes. Give both, the first not above the second.")
    workers = options.workers
    if workers is None:
        workers = 1 if device == "cpu" else max(1, min(12, (os.cpu_count() or 2) - 2))
    if workers < 0:
        raise RestorationError("--workers is the number of threads, 0 or more.")
    return Plan(
        iterations=options.iterations or iterations,
        minutes=options.minutes,
        decay=options.decay,
        decay_minutes=options.decay_minutes,
        parts=options.accumulate,
        workers=workers,
        save_every=options.save_every,
        save_minutes=options.save_minutes,
        log_every=options.log_every,
        check_every=options.check_every or 1000,
        restorations=options.restorations,
    )


def train(start: Start, options: argparse.Namespace) -> Outcome | None:
    """Does the run; returns how it ended, or None in a process that does not lead."""
    set_threads(options.threads)
    with (
        joined_processes(options.device) as (processes, device),
        logging_to(options, processes) as say,
        interruptible() as stopping,
    ):
        if processes.count > start.settings.batch:
            raise RestorationError(
                f"{processes.count} processes cannot share a batch of {start.settings.batch}. Start fewer processes, "
                "or choose a larger --batch."
            )
        run = build_run(start, options, processes, device, say, stopping)
        with enough_memory(WAY_OUT):
            run.begin(accept_changes=options.accept_changes)
            outcome = run.go()
        return outcome if processes.leads else None


def build_run(
    start: Start,
    options: argparse.Namespace,
    processes: Processes,
    device: str,
    say: Say,
    stopping: Callable[[], bool],
) -> Run:
    """Returns a run that has not begun."""
    corpus, validation = data_of(options, start.model, start.settings)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestorationError(f"{options.output} cannot be a folder to write to ({error.strerror}).") from None
    trainer = Trainer(
        start.model,
        start.settings,
        start.network,
        device=device,
        precision=options.precision,
        compiled=options.compile,
        save_memory=options.save_memory and isinstance(start.network, CQTDiffPlus),
        processes=processes,
    )
    return Run(
        options.output,
        trainer,
        corpus,
        plan_of(options, start.iterations, torch.device(device).type),
        parent=start.parent,
        validation=validation,
        reference=options.reference,
        on_progress=lambda progress: say(format_progress(progress)),
        on_remark=say,
        stopping=stopping,
    )


def print_outcome(outcome: Outcome | None, options: argparse.Namespace) -> int:
    """Prints how a run ended; returns the exit status."""
    if outcome is None:
        return 0
    loss = "" if outcome.loss is None else f", loss {outcome.loss:.4f}"
    text = f"{outcome.checkpoint}: {outcome.end} at iteration {outcome.iteration}{loss}"
    sys.stdout.write((json.dumps(finite(asdict(outcome)), allow_nan=False) if options.json else text) + "\n")
    return INTERRUPTED_STATUS if outcome.end == INTERRUPTED else 0


def format_progress(progress: Progress) -> str:
    """Returns a report as a line for people."""

    def row(values: tuple[float | None, ...]) -> str:
        return " ".join("-" if value is None else f"{value:.3f}" for value in values)

    parts = [f"{progress.iteration}/{progress.iterations}", f"loss {progress.loss:.4f}"]
    if progress.validation is not None:
        parts.append(f"held out {progress.validation:.4f}")
    parts.append(f"by level {row(progress.levels)}")
    if progress.octaves:
        parts.append(f"by octave {row(progress.octaves)}")
    parts.append(f"gradient {progress.gradient_norm:.2f}")
    if progress.slowing < 1:
        parts.append(f"rates x {progress.slowing:.3f}")
    parts.append(f"{progress.items_per_second:.2f} items/s, {progress.hours_heard:.2f} h heard")
    if progress.skipped_steps:
        parts.append(f"{progress.skipped_steps} steps skipped")
    return ", ".join([*parts, f"{clock(progress.seconds_left)} left"])


# The process and its surroundings


@contextmanager
def joined_processes(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[tuple[Processes, str]]:
    """Joins the other processes that torchrun started; gives this one's place among them and its own device."""
    processes = processes_of(dict(environment))
    if processes.count == 1:
        yield processes, choose_device(device)
        return
    chosen = choose_device(device)
    if chosen == "cuda":
        chosen = f"cuda:{environment.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(chosen)
    torch.distributed.init_process_group("nccl" if chosen.startswith("cuda") else "gloo")
    try:
        yield processes, chosen
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def logging_to(options: argparse.Namespace, processes: Processes) -> Iterator[Say]:
    """Gives a function that writes lines to stderr, from the leading process; the package's warnings go there, too."""
    name = options.output.name or "run"

    def say(text: str) -> None:
        if processes.leads:
            to_stderr(f"{name}: {text}")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(record.getMessage())

    handler, logger = Handler(logging.WARNING), logging.getLogger("babe2")
    logger.addHandler(handler)
    try:
        yield say
    finally:
        logger.removeHandler(handler)
