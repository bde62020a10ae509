"""Command lines that are tried in child processes, many in one; a child that dies or hangs costs one try."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

LIBRARY = Path(__file__).parents[2]
LIMIT = 30  # seconds for one try
START = 180  # seconds in which a child must have imported everything, on a busy machine
OUTCOMES = ("tried", "loaded", "refused", "unclear", "tracebacks", "crashes", "hangs", "leftovers")

CHILD = """
import contextlib, io, json, sys, traceback
import torch, huggingface_hub, yaml
import babe2.checkpoints.shelf, babe2.checkpoints.loading
from babe2.commands.main import main

torch.set_num_threads(1)
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(json.loads(line))
    except SystemExit as end:
        status = end.code
    except BaseException:
        status, err = "traceback", io.StringIO(traceback.format_exc())
    print(json.dumps([status, err.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class Try:
    """One command line, and what it may write when it succeeds."""

    arguments: list[str]
    output: Path | None = None


def tried(make: Callable[[int, Path], Try], count: int, *, report: Callable[[str], None] = print) -> dict[str, int]:
    """How `count` tries ended. `make(i, folder)` writes the files of one into a folder of its own."""
    outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
    with TemporaryDirectory() as scratch:
        inputs, home = Path(scratch) / "inputs", Path(scratch) / "home"
        for folder in (inputs, home, home / "tmp"):
            folder.mkdir()
        numbers = iter(range(count))
        while batch := list(islice(numbers, 25)):
            tries = {}
            for i in batch:
                (inputs / str(i)).mkdir()
                tries[i] = make(i, inputs / str(i))
            before = _files(inputs)
            ends = _run(tries, home)
            for i, (outcome, said) in ends.items():
                outcomes["tried"] += 1
                outcomes[outcome] += 1
                if outcome not in ("loaded", "refused"):
                    report(f"{i} {outcome}: {tries[i].arguments} {said[-1500:]}")
            made = [one.output for i, one in tries.items() if one.output and ends[i][0] == "loaded"]
            left = [path for path in _files(inputs) - before if not any(path.is_relative_to(out) for out in made)]
            left += sorted(_files(home))
            for path in left:
                report(f"left: {path}")
                path.unlink()
            outcomes["leftovers"] += len(left)
            for i in batch:
                subprocess.run(["rm", "-rf", str(inputs / str(i))], check=True)
    return dict(outcomes)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def _run(tries: dict[int, Try], home: Path) -> dict[int, tuple[str, str]]:
    """The outcome of each, and what was said; a new child takes over where one was lost."""
    ends: dict[int, tuple[str, str]] = {}
    waiting = dict(tries)
    while waiting:
        with _Child(home) as child:
            for i in list(waiting):
                ends[i] = child.ask(waiting.pop(i).arguments)
                if ends[i][0] in ("crashes", "hangs"):
                    break
    return ends


class _Child:
    def __init__(self, home: Path) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "BABE2_"))}
        mine = {"HF_HOME": str(home), "HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(LIBRARY)}
        mine |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=inherited | mine,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")  # the end

    def __enter__(self) -> _Child:
        assert self.lines.get(timeout=START), "the child could not start"
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, arguments: list[str]) -> tuple[str, str]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.lines.get(timeout=LIMIT)
        except queue.Empty:
            return "hangs", ""
        if not answer:
            return "crashes", f"status {self.process.wait()}"
        return _outcome(*json.loads(answer))


def _outcome(status: Any, said: str) -> tuple[str, str]:
    if status == "traceback" or "Traceback" in said:
        return "tracebacks", said
    if status == 0:
        return "loaded", said
    return ("refused" if is_a_sentence(said) else "unclear"), said


def is_a_sentence(said: str) -> bool:
    """One line of at most two sentences, or a few more words in brackets."""
    line = said.strip()
    return "\n" not in line and line.isprintable() and len(line) < 1500 and len(re.findall(r"[.!?](?=\s|$)", line)) <= 3


def main(run: Callable[[int, int], dict[str, int]], count: str = "300", seed: str = "0") -> None:
    """Prints what `run` returns: `python -m soak.MODULE [COUNT [SEED]]`, with `tests` on the path."""
    sys.stdout.write(json.dumps(run(int(count), int(seed)), indent=2) + "\n")
