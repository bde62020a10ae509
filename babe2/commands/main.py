"""`babe2` on the command line: paths in, files and a report out. Results to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from babe2 import RestorationError, __version__
from babe2.commands import (
    analyse,
    chain,
    checkpoints,
    degrade,
    generate,
    info,
    master,
    panel,
    report,
    restore,
    sample,
    stage,
    train,
)
from babe2.commands.judging import compare, evaluate, listening_test
from babe2.commands.terminal import INTERRUPTED, complain, say, stopped_by_signals
from babe2.process import reuse_memory

COMMANDS = (
    restore.add_command,
    report.add_command,
    analyse.add_command,
    compare.add_command,
    chain.add_command,
    stage.add_commands,
    panel.add_panel,
    master.add_command,
    sample.add_command,
    checkpoints.add_commands,
    train.add_commands,
    degrade.add_command,
    evaluate.add_commands,
    listening_test.add_command,
    generate.add_command,
    info.add_command,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status: 0 done, 1 a sentence on stderr, 2 usage, 128 + N after signal N."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal cannot show
    options = build_parser().parse_args(arguments)
    reuse_memory()
    with stopped_by_signals() as interruption:
        try:
            status = run(options)
        except KeyboardInterrupt:
            say("stopped.")
            status = INTERRUPTED
        # A signal counts more than what went wrong because of it, such as words for a terminal that was closed.
        return interruption.status if status and interruption.number else status


def run(options: argparse.Namespace) -> int:
    """Runs a command; what goes wrong is told in a sentence."""
    try:
        status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except RestorationError as error:
        return complain(str(error))
    except BrokenPipeError:  # whoever read our output has had enough
        _silence_stdout()
        return 1
    except OSError as error:
        with suppress(OSError):
            _silence_stdout()
        return complain(f"What was to be said could not be written: {error.strerror or error}.")


def _silence_stdout() -> None:
    """What Python still has to write to stdout when it ends goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="babe2", description="Gives old music recordings their sound back.")
    parser.add_argument("--version", action="version", version=f"babe2 {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(subparsers)
    return parser
