"""A program uses the cores it was given: no more, and the same number however busy the machine is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
import torch

from babe2.errors import Cancelled, RestorationError
from babe2.process import MOST_THREADS, set_threads, thread_count, threads, usable_cores

ALLOWED = len(os.sched_getaffinity(0))


def system(root: Path, cgroup: str, **files: str) -> Path:
    """A folder with the files in which Linux tells a program of its control group."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for place, text in files.items():
        path = root / "sys/fs/cgroup" / place.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_without_a_limit_every_allowed_core_is_used(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "no such system") == ALLOWED
    assert usable_cores(system(tmp_path, "0::/\n", cpu_DOT_max="max 100000\n")) == ALLOWED


def test_a_program_bound_to_one_core_uses_one() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        ("0::/\n", {"cpu_DOT_max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu_DOT_max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu_DOT_max": "390000 100000\n"}, 3),
        ("0::/\n", {"cpu_DOT_max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu_DOT_max": "nonsense\n"}, 64),
        ("0::/job/step\n", {"job__cpu_DOT_max": "400000 100000\n", "job__step__cpu_DOT_max": "max 100000\n"}, 4),
        ("0::/job\n", {"job__cpu_DOT_max": "800000 100000\n", "cpu_DOT_max": "300000 100000\n"}, 3),
        ("0::/docker/of-the-host\n", {"cpu_DOT_max": "500000 100000\n"}, 5),
        (
            "4:memory:/\n3:cpu,cpuacct:/box\n",
            {
                "cpu,cpuacct__box__cpu_DOT_cfs_quota_us": "600000\n",
                "cpu,cpuacct__box__cpu_DOT_cfs_period_us": "100000\n",
            },
            6,
        ),
        ("2:cpu:/\n", {"cpu__cpu_DOT_cfs_quota_us": "-1\n", "cpu__cpu_DOT_cfs_period_us": "100000\n"}, 64),
    ],
    ids=[
        "docker --cpus=2",
        "half a core is one",
        "a started core is none",
        "no limit",
        "unreadable",
        "the job around the step",
        "the smallest counts",
        "a path of the host",
        "version 1",
        "version 1 without a limit",
    ],
)
def test_a_container_uses_no_more_than_its_quota(
    cgroup: str, files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    assert usable_cores(system(tmp_path, cgroup, **files)) == cores


@pytest.mark.usefixtures("threads_as_before")
def test_a_wished_number_is_kept_to() -> None:
    assert set_threads(3) == 3 and torch.get_num_threads() == 3


@pytest.mark.parametrize("wished", [0, -1, MOST_THREADS + 1])
def test_an_impossible_number_is_refused(wished: int) -> None:
    with pytest.raises(RestorationError, match="threads"):
        set_threads(wished)


# Taking turns


def test_work_with_the_programs_number_of_threads_goes_on_side_by_side() -> None:
    usual, both = thread_count(), Barrier(2)

    def work() -> int:
        with threads(usual):
            both.wait(60)
            return torch.get_num_threads()

    with ThreadPoolExecutor() as pool:
        assert [future.result() for future in [pool.submit(work), pool.submit(work)]] == [usual, usual]


@pytest.mark.parametrize("alone_first", [True, False])
def test_work_with_another_number_is_alone(alone_first: bool) -> None:
    usual, waits, done = thread_count(), Event(), list[tuple[str, int]]()
    counts = {"alone": usual + 2, "as usual": usual}
    first, second = ("alone", "as usual") if alone_first else ("as usual", "alone")

    def work() -> None:
        with threads(counts[second], waits.set):
            done.append((second, torch.get_num_threads()))

    with ThreadPoolExecutor() as pool, threads(counts[first]):
        future = pool.submit(work)
        assert waits.wait(60)
        done.append((first, torch.get_num_threads()))
    future.result()
    assert done == [(first, counts[first]), (second, counts[second])]
    assert torch.get_num_threads() == thread_count() == usual


def test_new_work_is_counted_with_the_programs_number_while_other_work_is_alone() -> None:
    usual = thread_count()
    with ThreadPoolExecutor() as pool, threads(usual + 1):
        assert thread_count() == usual + 1
        assert pool.submit(thread_count).result() == usual


def test_waiting_can_be_ended_and_leaves_nothing_behind() -> None:
    usual = thread_count()

    def stopped() -> None:
        raise Cancelled

    def work(count: int) -> None:
        with threads(count, stopped):
            pass

    with ThreadPoolExecutor() as pool:
        for first, second in ((usual, usual + 1), (usual + 1, usual), (usual + 1, usual + 2)):
            with threads(first), pytest.raises(Cancelled):
                pool.submit(work, second).result()
        for count in (usual + 1, usual):
            pool.submit(work, count).result()
    assert torch.get_num_threads() == usual


def test_work_in_the_middle_of_other_work_has_its_number_of_threads() -> None:
    usual = thread_count()
    for count in (usual, usual + 1):
        with threads(count):
            with threads(count):
                assert torch.get_num_threads() == count
            with pytest.raises(RestorationError, match=rf"Work with {count + 1} threads cannot be done in the middle"):
                threads(count + 1).__enter__()
            assert torch.get_num_threads() == count
    assert torch.get_num_threads() == usual


SNIPPET = "from babe2.process import set_threads, usable_cores; print(set_threads(), usable_cores())"


def test_the_default_is_one_for_each_core_and_whoever_sets_omp_num_threads_is_obeyed() -> None:
    around = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for environment, expected in ((around, None), (around | {"OMP_NUM_THREADS": "1"}, 1)):
        told = subprocess.run(
            [sys.executable, "-c", SNIPPET], env=environment, capture_output=True, text=True, check=True
        ).stdout
        count, cores = map(int, told.split())
        assert count == (expected or cores)
