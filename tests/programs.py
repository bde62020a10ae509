"""Programs of their own that begin where Python has loaded torch and babe2 already.

A start of `python -m babe2` costs seconds of a processor, nearly all of them to load torch, and the tests start a
hundred programs. A server that has loaded both, and has computed nothing, forks one of them in a few hundredths of a
second. It is a process like any other, with its own number, session, environment, streams and exit status: it can be
killed, stopped, limited and listened to. What is about the start itself (what is loaded, which variables are read when
torch is) starts Python with subprocess.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext


@cache
def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["babe2.commands.main", "numpy.linalg", "soundfile", "soxr", "safetensors.torch"])
    return context


class Program:
    """What subprocess.Popen offers of a process that runs; what it says is gathered meanwhile."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], terminal: Connection | None) -> None:
        readers, writers = zip(*(server().Pipe(duplex=False) for _ in range(2)), strict=True)
        self._process = server().Process(target=_become, args=(arguments, dict(environment), writers, terminal))
        self._process.start()
        for writer in writers:
            writer.close()
        self._said = [b"", b""]
        self._listeners = [threading.Thread(target=self._listen, args=each, daemon=True) for each in enumerate(readers)]
        for listener in self._listeners:
            listener.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def _listen(self, i: int, stream: Connection) -> None:
        while more := os.read(stream.fileno(), 65536):
            self._said[i] += more
        stream.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said on stdout and on stderr until it was over."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("python", timeout or 0)
        for listener in self._listeners:
            listener.join()
        return self._said[0].decode(), self._said[1].decode()


def start(*arguments: object, env: Mapping[str, str] | None = None, terminal: int | None = None) -> Program:
    """Python with these arguments, `-m` or `-c` first; a terminal is its session's, and its stdin and stderr."""
    held = None if terminal is None else Connection(os.dup(terminal))  # which is how one process hands it to another
    return Program(tuple(map(str, arguments)), os.environ if env is None else env, held)


def run(
    *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """The same to its end; when that does not come within so many seconds, it is killed."""
    program = start(*arguments, env=env)
    try:
        out, err = program.communicate(timeout)
    finally:
        program.kill()
    assert program.returncode is not None
    return subprocess.CompletedProcess(arguments, program.returncode, out, err)


def _become(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    writers: tuple[Connection, Connection],
    terminal: Connection | None,
) -> None:
    """In the forked process: takes on what is given, and goes on as `python` does."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    out, err = (writer.fileno() for writer in writers)
    if terminal is None:
        nothing = os.open(os.devnull, os.O_RDWR)
        streams = nothing, out, err
    else:
        fcntl.ioctl(terminal.fileno(), termios.TIOCSCTTY, 0)  # as a shell does: who closes it hangs up
        streams = terminal.fileno(), out, terminal.fileno()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for handed in (*writers, *([terminal] if terminal else [])):
        handed.close()
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    kind, what, *rest = arguments
    sys.argv = ["-c", *rest]
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        try:
            sys.stderr.flush()
        except OSError:  # nobody reads it any more, which is no reason to end otherwise
            sys.stderr = None
