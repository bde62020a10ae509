"""Damaged audio files, read by `babe2 analyse`: each is read, or refused in a sentence, and no crash is possible.

`run(500, seed=0)` damages small files of all formats 500 times and counts what came of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from typing import NamedTuple

import numpy as np
import soundfile as sf

from soak.children import main
from soak.damage import DAMAGES

LIMIT = 30  # seconds for one file
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAV", "MS_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_24"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
SECONDS, RATE = 2.0, 24000
COUNTED = ("tried", "read", "warned", "refused", "shortened", "tracebacks", "crashes", "hangs", "noise")

# Analyses files, one name a line, and answers each with a line of its own.
READER = """
import contextlib, io, json, sys, traceback
from babe2.commands.main import main
print("ready", flush=True)
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["analyse", line.rstrip("\\n"), "--json"])
        text = err.getvalue() if status else json.loads(out.getvalue())
    except BaseException:
        status, text = "traceback", traceback.format_exc()
    if isinstance(text, dict):
        text = {name: text[name] for name in ("warnings", "duration_seconds")}
    print(json.dumps([status, text]), flush=True)
"""


def run(count: int, seed: int) -> dict[str, int]:
    """Damages real files of all formats `count` times in all, has them analysed by child processes, and counts.

    "warned" are those of the read ones that come with a warning. "shortened" (a file that is read without a word as a
    shorter one, though its header was left alone), "tracebacks", "crashes", "hangs" and "noise" (lines on stderr that
    are not ours) must be 0.
    """
    counts, chance = Counter(dict.fromkeys(COUNTED, 0)), Random(seed)
    with tempfile.TemporaryDirectory() as folder, Reader(Path(folder) / "stderr") as reader:
        whole = [_stored(Path(folder) / f"{number}.whole", *kind) for number, kind in enumerate(FORMATS)]
        for number in range(count):
            path, sound = Path(folder) / f"{number}.wav", chance.choice(whole)
            damaged = DAMAGES[chance.choice(sorted(DAMAGES))](sound, chance)
            path.write_bytes(damaged)
            counts["tried"] += 1
            for outcome in _outcomes(reader.analysed(path), same_header=damaged[:4096] == sound[:4096]):
                counts[outcome] += 1
            path.unlink()
        counts["noise"] = reader.noise()
    return dict(counts)


def _stored(path: Path, container: str, subtype: str) -> bytes:
    time = np.arange(round(SECONDS * RATE)) / RATE
    tones = [0.3 * np.sin(2 * np.pi * hertz * time) for hertz in (220, 331)]
    noise = 0.01 * np.random.default_rng(0).standard_normal((2, len(time)))
    with sf.SoundFile(path, "w", RATE, 2, subtype, format=container) as sound:
        for begin in range(0, len(time), 2**14):
            sound.write((np.array(tones) + noise).T[begin : begin + 2**14])
    return path.read_bytes()


class Answer(NamedTuple):
    status: int | str
    text: dict[str, object] | str = ""


def _outcomes(answer: Answer, same_header: bool) -> Iterator[str]:
    if isinstance(answer.status, str):
        yield answer.status
    elif not isinstance(answer.text, dict):
        yield "refused" if answer.text.startswith("babe2: ") and answer.text.count("\n") == 1 else "tracebacks"
    else:
        yield "read"
        if answer.text["warnings"]:
            yield "warned"
        elif same_header and float(str(answer.text["duration_seconds"])) < SECONDS - 0.1:
            yield "shortened"


class Reader:
    """A child process that analyses files; another one where it ended or was too slow."""

    def __init__(self, stderr: Path) -> None:
        self._stderr = stderr
        self._process: subprocess.Popen[str] | None = None
        self._lines: SimpleQueue[str] = SimpleQueue()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def analysed(self, path: Path) -> Answer:
        """What `babe2 analyse` says of a file."""
        process = self._begun()
        assert process.stdin is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        try:
            line = self._lines.get(timeout=LIMIT)
        except Empty:
            self._end()
            return Answer("hangs")
        if not line:
            self._end()
            return Answer("crashes")
        status, text = json.loads(line)
        return Answer("tracebacks") if status == "traceback" else Answer(status, text)

    def noise(self) -> int:
        """How many lines the child processes have written to stderr themselves."""
        return len(self._stderr.read_text("utf-8", "replace").splitlines()) if self._stderr.exists() else 0

    def _begun(self) -> subprocess.Popen[str]:
        if self._process is None:
            with open(self._stderr, "ab") as stderr:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", READER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            self._lines = SimpleQueue()
            threading.Thread(target=self._listen, args=(self._process, self._lines), daemon=True).start()
            assert self._lines.get(timeout=10 * LIMIT) == "ready\n"
        return self._process

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: SimpleQueue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


if __name__ == "__main__":
    main(run, *sys.argv[1:])
