"""Keeps a decoder's own lines off stderr, and nobody else's."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

_MPG123 = re.compile(rb"\[[^]]*libmpg123/|Note: |Warning: |Illegal |\s*$")  # how its lines begin
_LOCK = threading.Lock()
_users = 0


class _Stdio(NamedTuple):
    """C's `stderr` in this process, and a file to put in its place."""

    library: Any
    stderr: ctypes.c_void_p
    own: int | None  # what `stderr` is at other times
    spare: int  # a FILE*, never closed: whoever has just taken it up may still write to it
    file: int  # the descriptor it writes to


@contextmanager
def quiet_decoder() -> Iterator[None]:
    """Drops what libmpg123 says of a damaged MP3, which we say in a sentence of our own.

    It writes to C's `stderr` and cannot be told not to. Meanwhile that name stands for another file; the descriptor 2,
    which Python and child processes write to, stays what it is, and what other C code wrote is passed on afterwards.
    """
    global _users
    with _LOCK:  # what is made twice at once would be used once
        stdio = _stdio()
    if stdio is None:
        yield
        return
    with _LOCK:
        _users += 1
        stdio.stderr.value = stdio.spare
    try:
        yield
    finally:
        with _LOCK:
            _users -= 1
            if not _users:
                stdio.stderr.value = stdio.own
                _pass_on(stdio)


def _pass_on(stdio: _Stdio) -> None:
    stdio.library.fflush(ctypes.c_void_p(stdio.spare))
    said = os.pread(stdio.file, os.fstat(stdio.file).st_size, 0)
    os.ftruncate(stdio.file, 0)
    if others := b"".join(line for line in said.splitlines(keepends=True) if not _MPG123.match(line)):
        with suppress(OSError):  # there may be no stderr
            os.write(2, others)


@cache
def _stdio() -> _Stdio | None:
    """None where C's `stderr` cannot be exchanged, as we know it of glibc only."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (elsewhere the name may lie in read-only memory)
        library.fdopen.restype = ctypes.c_void_p
        stderr = ctypes.c_void_p.in_dll(library, "stderr")
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        spare = library.fdopen(descriptor, b"a")
    except (AttributeError, TypeError, ValueError, OSError):
        return None
    return _Stdio(library, stderr, stderr.value, spare, descriptor) if spare else None
