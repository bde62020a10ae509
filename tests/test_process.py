"""A program that shares its machine takes what is idle."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from babe2.process import idle_cores

SNIPPET = "import torch; from babe2.process import fit_threads, reuse_memory; reuse_memory(); print(fit_threads())"


def threads(**environment: str) -> int:
    around = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    told = subprocess.run(
        [sys.executable, "-c", SNIPPET], env=around | environment, capture_output=True, text=True, check=True
    )
    return int(told.stdout)


def test_idle_cores_are_among_those_that_may_be_used() -> None:
    assert 0 <= idle_cores() <= len(os.sched_getaffinity(0)) + 0.01


def test_there_is_a_thread_and_not_more_than_cores() -> None:
    assert 1 <= threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("count", ["1", "2"])
def test_who_says_how_many_is_heard(count: str) -> None:
    assert threads(OMP_NUM_THREADS=count) == int(count)
