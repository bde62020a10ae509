"""babe2 in a process of its own, with a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress

import programs


def on_a_terminal(*command: object) -> tuple[programs.Program, int]:
    """`babe2` and this command in a process of its own, its terminal as its stderr; and the other end of that."""
    ours, theirs = pty.openpty()
    program = programs.start("-m", "babe2", *command, terminal=theirs)
    os.close(theirs)
    return program, ours


def under_nohup(*command: object) -> tuple[subprocess.Popen[bytes], int]:
    """The same, and neither end minds when the terminal is closed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "babe2", *map(str, command)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # as a shell does: who closes it hangs up
    )
    os.close(theirs)
    return process, ours


def read_until(terminal: int, words: bytes) -> bytes:
    """What a terminal shows until these words are among it, or to its end."""
    said = b""
    with suppress(OSError):  # the other end was closed
        while words not in said and (more := os.read(terminal, 4096)):
            said += more
    return said
