"""A visitor's lesson: recordings in a folder of its own, and `babe2 finetune` at work on them in a process of its own.

FOLDER/learn, held     the recordings; all names are ours
FOLDER/run             what `babe2 finetune` writes: checkpoint, state, log.jsonl, checks
FOLDER/said            what it says
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from babe2.checkpoints.checkpoint import WEIGHTS
from babe2.errors import RestorationError
from babe2.page.checkpoint_cards import DEVICE
from babe2.page.messages import for_visitors, nameless
from babe2.page.singer.material import HELD, LEARN, Heard, divide
from babe2.process import choose_device
from babe2.training.progress import LOG

ROOT = Path(__file__).parents[3]  # from where babe2 is imported
RUN, SAID = "run", "said"
# Exit statuses after a signal to stop: after one, after a second one, and where it was not handled.
INTERRUPTED = (130, 143, -15, -9)
DECAY_SHARE = 0.5  # of the minutes, over which the learning rates fall to nothing at the end
CHECKS, REPORTS = 4, 300  # on the way, about: restorations, and points of the loss
# A program whose input ends is asked to stop as by Ctrl-C, and again when it takes long: so it stops too when the page
# goes, in whatever manner. It gives way to restorations.
UNDER_WATCH = """
import os, runpy, threading, time, _thread
if hasattr(os, "nice"):
    os.nice(5)
def watch():
    os.read(0, 1)
    _thread.interrupt_main()
    time.sleep(300)
    _thread.interrupt_main()
threading.Thread(target=watch, daemon=True).start()
runpy.run_module("babe2", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Wish:
    """How it shall be learned."""

    checkpoint: str  # to begin from
    minutes: float
    compact: bool  # whether that is the small network
    iterations: int | None = None  # that will fit in the minutes, as far as is known
    extra: tuple[str, ...] = ()  # further options of `babe2 finetune`

    def arguments(self) -> list[str]:
        """What `babe2 finetune` is told, in the lesson's folder."""
        steps = self.iterations or (40 if self.compact else 8)
        parts = 1 if choose_device(DEVICE) != "cpu" else 2 if self.compact else 4  # memory is shared with restorations
        options = {
            "checkpoint": self.checkpoint,
            "data": LEARN,
            "validation": HELD,
            "output": RUN,
            "minutes": self.minutes,
            "decay-minutes": DECAY_SHARE * self.minutes,
            "log-every": max(1, steps // REPORTS),
            "check-every": max(2, steps // CHECKS),
            "accumulate": parts,
            "device": DEVICE,
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        save_memory = ["--save-memory"] if parts > 2 else []
        return ["finetune", *given, "--restorations", *save_memory, *self.extra]


@dataclass(eq=False)
class Lesson:
    """One visitor's lesson; only one thing at a time is done with it."""

    folder: Path
    heard: list[Heard] = field(default_factory=list)
    wish: Wish | None = None  # the latest
    own: str | None = None  # under which name the page knows what was learned, as it was taken last
    shown: str | None = None  # the latest restoration that its visitor's page has
    lock: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None
    _asked: bool = False  # to stop

    # What was given

    def take_in(self, heard: Sequence[Heard]) -> None:
        """Takes recordings that were heard for those to learn from."""
        with self.lock:
            if self.is_learning or self.has_learned:
                raise RestorationError("Something was learned from other recordings. Forget that first.")
            divide(heard, self.folder)
            self.heard = list(heard)

    # Learning

    def begin(self, wish: Wish) -> None:
        """Begins to learn, or goes on where it was stopped."""
        with self.lock:
            if self.is_learning:
                return
            if self.has_begun and self.wish is not None and self.wish.checkpoint != wish.checkpoint:
                raise RestorationError("This was begun from another checkpoint. Go on from that one, or forget it all.")
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
                "PYTHONUNBUFFERED": "1",
            }
            with (self.folder / SAID).open("wb") as said:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", UNDER_WATCH, *wish.arguments()],
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=said,
                    stderr=said,
                )
            self.wish, self._asked = wish, False

    def stop(self, patience: float | None = None) -> None:
        """Asks it to stop, and to keep what it has learned; waits for that so many seconds at most, None: not at all.

        Who does not stop in that time is ended, and then what was saved last is kept.
        """
        process = self._process
        if process is None:
            return
        self._asked = True
        with suppress(OSError):
            _input(process).close()
        if not self.has_begun and not self.progress():  # it measures or loads, and there is nothing to keep
            process.terminate()
        if patience is not None:
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def forget(self) -> None:
        """Ends it, and deletes all of it."""
        self.stop(patience=0.0)
        shutil.rmtree(self.folder, ignore_errors=True)

    # How it stands

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder / RUN

    @property
    def is_learning(self) -> bool:
        """Whether it is at work."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_stopping(self) -> bool:
        """Whether it is still at work, but asked to stop."""
        return self.is_learning and self._asked

    @property
    def has_begun(self) -> bool:
        """Whether there is a run to go on with."""
        return (self.run / "state").is_dir()

    @property
    def has_learned(self) -> bool:
        """Whether there is a checkpoint."""
        return (self.run / WEIGHTS).is_file()

    @property
    def was_stopped(self) -> bool:
        """Whether it ended because somebody asked it to."""
        return self._process is not None and self._process.poll() in INTERRUPTED

    @property
    def failure(self) -> str:
        """Why it ended before its time, as a sentence for visitors; "" where it did not."""
        if self._process is None or self._process.poll() in (None, 0, *INTERRUPTED):
            return ""
        said = self._said()
        told = [line.removeprefix("babe2: ") for line in said if line.startswith("babe2: ")]
        if not told or (said and not said[-1].startswith("babe2: ")):  # a traceback, or nothing
            return "The training failed for a reason that is ours, not yours. Try again, or another checkpoint."
        return for_visitors(nameless(told[-1]))

    def _said(self) -> list[str]:
        try:
            return (self.folder / SAID).read_text("utf-8", errors="replace").strip().splitlines()
        except OSError:
            return []

    def progress(self) -> list[dict[str, Any]]:
        """All reports so far, each with what `Progress` has."""
        reports = []
        with suppress(OSError):
            for line in (self.run / LOG).read_text("utf-8").splitlines():
                with suppress(ValueError):  # the last one may be half written
                    reports.append(json.loads(line))
        return reports

    def sounds(self) -> dict[str, Path]:
        """What can be heard on the way: `truth`, the same as an old `recording`, and the latest restoration of it."""
        folder = self.run / "checks"
        restored = sorted(folder.glob("[0-9]*.json"))  # written after its sound
        if not restored:
            return {}
        found = {"recording": folder / "recording.wav", "restored": restored[-1].with_suffix(".wav")}
        found["truth"] = folder / "truth.wav"
        return found if all(path.is_file() for path in found.values()) else {}

    def skipped(self) -> list[str]:
        """What the training itself could not use, in sentences under the names their owner knows."""
        try:
            listed = json.loads((self.run / "skipped.json").read_text("utf-8"))
        except (OSError, ValueError):
            return []
        names = self._names()
        return [f"{names.get(Path(one['name']).stem, 'One')} was not used: {nameless(one['reason'])}" for one in listed]

    def _names(self) -> dict[str, str]:
        good = sorted((one for one in self.heard if not one.fault), key=lambda one: -one.seconds)
        return {f"{n:03d}": one.name for n, one in enumerate(good)}


def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin
