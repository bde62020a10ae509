"""Damaged journals, resumed: the result is the same to the last bit, or it is refused in a sentence.

`run(200, seed=0)` damages each of a journal's files 200 times and counts what came of it.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile as sf
import torch

from babe2 import Cancelled, Restoration, RestorationError, Restorer
from soak.children import main
from soak.damage import DAMAGES, cut, zeroed

CHECKPOINT = Path(__file__).parents[1] / "reference" / "small_checkpoint"
RATE, SECONDS, STEPS = 8000, 2.2, 2  # which come to four segments
LIMIT = 60  # seconds for one resumption
COUNTED = ("tried", "same", "refused", "told", "different", "thrown away", "tracebacks", "hangs", "leftovers")


def run(count: int, seed: int) -> dict[str, int]:
    """Damages each file of a journal `count` times, resumes, and counts.

    "told" are those of the same that say what was damaged. "different" (from the clean result), "thrown away"
    (finished work, without a word), "tracebacks", "hangs" and "leftovers" must be 0.
    """
    counts = Counter(dict.fromkeys(COUNTED, 0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # what is damaged is in the report, too
    try:
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(Path(folder))
            for name, damages in FILES.items():
                chance = Random(f"{seed} {name}")
                for _ in range(count):
                    for outcome in trial.resumed(name, chance.choice(damages), chance):
                        counts[outcome] += 1
    finally:
        logging.disable(logging.NOTSET)
        torch.set_num_threads(threads)
    return dict(counts)


Damage = Callable[[bytes, Random], bytes]


class Trial:
    """A recording, its clean result, and a journal in which most of it is finished."""

    def __init__(self, folder: Path) -> None:
        self.restorer = Restorer.from_checkpoint(CHECKPOINT, device="cpu")
        self.folder, self.source = folder, folder / "x.wav"
        time = np.arange(round(SECONDS * RATE)) / RATE
        tone = np.sin(2 * np.pi * 220 * time * (1 + 0.1 * time)) * (1 + np.sin(7 * time)) / 8
        sf.write(self.source, tone, RATE)
        clean = self._restored("clean")
        self.audio, self.evaluations = clean.audio, clean.report["evaluations"]
        clean.storage.discard()
        steps: list[object] = []
        try:
            self._restored("template", on_step=steps.append, cancelled=lambda: len(steps) > 3 * STEPS)
        except Cancelled as stopped:
            assert stopped.partial is not None
            stopped.partial.storage.close()
        self.steps_left = self._steps_of_a_resumption()

    def resumed(self, name: str, damage: Damage, chance: Random) -> Iterator[str]:
        """Damages a copy of the journal, resumes it, and tells what came of it."""
        journal = self.folder / "j"
        shutil.copytree(self.folder / "template", journal)
        path = journal / name
        path.write_bytes(damage(path.read_bytes(), chance))
        before = {entry.name: entry.read_bytes() for entry in journal.iterdir()}
        yield "tried"
        steps: list[object] = []
        try:
            with limited(LIMIT):
                restoration = self._restored("j", unfinished="resume", on_step=steps.append)
        except RestorationError:
            yield "refused"
            if {entry.name: entry.read_bytes() for entry in journal.iterdir()} != before:
                yield "thrown away"
        except TimeoutError:
            yield "hangs"
        except Exception:
            yield "tracebacks"
        else:
            same = np.array_equal(restoration.audio, self.audio)
            yield "same" if same and restoration.report["evaluations"] == self.evaluations else "different"
            if restoration.storage.warnings:
                yield "told"
            elif len(steps) > self.steps_left:
                yield "thrown away"
            restoration.storage.discard()
            if journal.exists():
                yield "leftovers"
        if set(self.folder.iterdir()) - {self.source, self.folder / "template", journal}:
            yield "leftovers"
        shutil.rmtree(journal, ignore_errors=True)

    def _restored(self, journal: str, **wishes: Any) -> Restoration:
        return self.restorer.restore_file(self.source, self.folder / journal, steps=STEPS, **wishes)

    def _steps_of_a_resumption(self) -> int:
        steps: list[object] = []
        shutil.copytree(self.folder / "template", self.folder / "j")
        self._restored("j", unfinished="resume", on_step=steps.append).storage.discard()
        return len(steps)


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError

    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


# Damage to lines


def _lines(change: Callable[[list[bytes], Random], list[bytes]]) -> Damage:
    return lambda raw, chance: b"".join(change(raw.splitlines(keepends=True), chance))


@_lines
def removed(lines: list[bytes], chance: Random) -> list[bytes]:
    gone = chance.randrange(len(lines))
    return [line for number, line in enumerate(lines) if number != gone]


@_lines
def repeated(lines: list[bytes], chance: Random) -> list[bytes]:
    twice = chance.randrange(len(lines))
    return [*lines[:twice], lines[twice], *lines[twice:]]


@_lines
def reordered(lines: list[bytes], chance: Random) -> list[bytes]:
    return chance.sample(lines, len(lines))


@_lines
def swapped(lines: list[bytes], chance: Random) -> list[bytes]:
    """Two lines have a field of each other's."""
    one, other = chance.sample(range(len(lines)), 2)
    first, second = json.loads(lines[one]), json.loads(lines[other])
    name = chance.choice(sorted(first))
    first[name], second[name] = second.get(name), first[name]
    lines[one], lines[other] = (json.dumps(fields).encode() + b"\n" for fields in (first, second))
    return lines


@_lines
def renumbered(lines: list[bytes], chance: Random) -> list[bytes]:
    """One number in a record is another."""
    one = chance.randrange(1, len(lines))
    fields = json.loads(lines[one])
    name = chance.choice(["evaluations", "batch", "misfit", "shares", "segments", "history", "equalizer"])
    fields["record"][name] = chance.choice([0, -1, 2**70, "x", None, [], [[]], float("nan"), {"parameters": []}])
    lines[one] = json.dumps(fields).encode() + b"\n"
    return lines


def emptied(raw: bytes, chance: Random) -> bytes:
    return b""


ANY: list[Damage] = [*DAMAGES.values(), emptied]
FILES: dict[str, list[Damage]] = {
    "journal.jsonl": [*ANY, removed, repeated, reordered, swapped, renumbered, renumbered],
    "segments.f32": [*ANY, cut, zeroed],
    "recording.f32": ANY,
}

if __name__ == "__main__":
    main(run, *sys.argv[1:])
