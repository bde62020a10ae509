"""`babe2` on the command line: paths in, files and a report out. Results to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from babe2 import RestorationError, __version__
from babe2.commands import checkpoints, evaluate, train
from babe2.commands.analyse import describe
from babe2.commands.info import info
from babe2.commands.options import with_places, with_prior
from babe2.commands.restore import restore
from babe2.commands.sample import generate
from babe2.commands.terminal import INTERRUPTED, complain
from babe2.methods import BABE2, METHODS
from babe2.process import reuse_memory


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


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="babe2", description="Gives old music recordings their sound back.")
    top.add_argument("--version", action="version", version=f"babe2 {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(run=run)
        return sub

    one = command("restore", restore, "Restore recordings.")
    one.add_argument("inputs", nargs="+", metavar="INPUT", type=Path)
    one.add_argument("-o", "--output", metavar="FILE|DIR", type=Path, help="default: NAME.restored.wav beside INPUT")
    with_prior(one)
    one.add_argument(
        "--resume", action="store_true", help="go on where it was stopped; pass over what is there already"
    )
    one.add_argument("--estimate", action="store_true", help="only say what time, memory and disk it would take")
    one.add_argument("--batch", type=int, metavar="N", help="segments at once (default: 1, on a graphics card 8)")
    one.add_argument("--method", default="babe2", choices=(BABE2, *METHODS))
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

    checkpoints.add_commands(commands)
    train.add_commands(commands)
    evaluate.add_commands(commands)

    about = command("info", info, "Versions and devices.")
    about.add_argument("--settings", action="store_true", help="every setting with its published values")
    about.add_argument("--json", action="store_true")
    return top
