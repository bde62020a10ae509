"""A run without a command line: its clock, its checks, and what must not end it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from classroom import COMPACT, RATE, shard
from torch import Tensor

from babe2.networks.bandwise import BandwiseUNet
from babe2.training import Corpus, Plan, Run, Trainer, gather, new_network
from babe2.training.run import FINISHED, OUT_OF_TIME
from babe2.training.settings import COMPACT_TRAINING

SETTINGS = replace(COMPACT_TRAINING, batch=2, ltas_batches=2, spread_batches=2, ltas_fft=1024)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return gather([shard(tmp_path_factory.mktemp("data") / "0.npy")], RATE, 1.0)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return gather([shard(tmp_path_factory.mktemp("held") / "0.npy", seed=5)], RATE, 1.0)


def run_of(folder: Path, corpus: Corpus, plan: Plan, **options: Any) -> Run:
    """A run in a folder that is empty."""
    folder.mkdir()
    return Run(folder, Trainer(COMPACT, SETTINGS, new_network(COMPACT, 0)), corpus, plan, **options)


def second_an_iteration(run: Run) -> Run:
    """Its clock stands still but for the iterations, each of which takes a second."""
    run.clock = lambda: float(run.trainer.iteration)
    run.began = 0.0
    return run


# The clock


def test_the_clock_ends_a_run_after_its_step(tmp_path: Path, corpus: Corpus) -> None:
    run = second_an_iteration(run_of(tmp_path / "run", corpus, Plan(iterations=1000, minutes=5 / 60, log_every=1)))
    run.begin()
    outcome = run.go()
    assert (outcome.end, outcome.iteration) == (OUT_OF_TIME, 7)  # five seconds were over in the seventh
    assert [path.name for path in (tmp_path / "run" / "state").iterdir()] == ["000000007"]
    assert run.last is not None and run.last.items_per_second == 2.0 and run.last.seconds_left == 0


def test_the_rates_fall_when_there_is_just_time_for_it(tmp_path: Path, corpus: Corpus) -> None:
    plan = Plan(iterations=1000, minutes=10 / 60, decay_minutes=4 / 60, log_every=1)
    run = second_an_iteration(run_of(tmp_path / "run", corpus, plan))
    run.begin()
    outcome = run.go()
    assert (outcome.end, outcome.iteration) == (FINISHED, 10)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["slowing"] for line in lines[5:]] == [1.0, 1.0, 0.75, 0.5, 0.25]
    assert [path.name for path in (tmp_path / "run" / "state").iterdir()] == ["000000006"]
    assert [path.name for path in (tmp_path / "run" / "decay").iterdir()] == ["000000010"]


def test_minutes_decide_how_often_a_state_is_saved(tmp_path: Path, corpus: Corpus) -> None:
    run = second_an_iteration(run_of(tmp_path / "run", corpus, Plan(iterations=9, save_minutes=3 / 60)))
    saved = []

    def note() -> bool:
        saved.extend(int(path.name) for path in run.folder.glob("state/0*"))
        return False

    run.stopping = note
    run.begin()
    run.go()
    assert sorted(set(saved)) == [4, 8]


# Checks on the way


CHECKED = Plan(iterations=3, check_every=2, restorations=True)


def test_checks_change_nothing_of_what_is_learned(tmp_path: Path, corpus: Corpus, held_out: Corpus) -> None:
    plain = run_of(tmp_path / "plain", corpus, Plan(iterations=3))
    checked = run_of(tmp_path / "checked", corpus, CHECKED, validation=held_out)
    for run in (plain, checked):
        run.begin()
        run.go()
    assert (tmp_path / "checked" / "checks" / "000000002.wav").exists()
    for kind, tensors in plain.trainer.tensors().items():
        for name, expected in tensors.items():
            assert torch.equal(checked.trainer.tensors()[kind][name], expected), f"{kind}: {name}"


class Hungry(BandwiseUNet):
    """A network that fits into memory while it learns, and not when a longer excerpt is restored."""

    def forward(self, groups: list[Tensor], noisiness: Tensor, poll: Any = None) -> list[Tensor]:
        if groups[0].shape[2] > COMPACT.segment // 512:
            raise torch.OutOfMemoryError("Tried to allocate 139 GiB")
        return super().forward(groups, noisiness, poll)


def test_a_check_for_which_memory_is_short_does_not_end_the_run(
    tmp_path: Path, corpus: Corpus, held_out: Corpus
) -> None:
    remarks: list[str] = []
    run = run_of(tmp_path / "run", corpus, CHECKED, validation=held_out, on_remark=remarks.append)
    run.trainer.average.__class__ = Hungry
    run.begin()
    assert run.go().end == FINISHED
    (failed,) = (remark for remark in remarks if "check at iteration 2 failed" in remark)
    assert "not enough memory" in failed


def test_a_check_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, corpus: Corpus, held_out: Corpus) -> None:
    remarks: list[str] = []
    once = replace(CHECKED, iterations=2)
    run = run_of(tmp_path / "run", corpus, once, validation=held_out, on_remark=remarks.append)
    (tmp_path / "run" / "checks").write_text("somebody's notes")
    run.begin()
    assert run.go().end == FINISHED
    assert any("check at iteration 2 failed" in remark for remark in remarks)


def test_a_check_gives_way_to_who_asks_to_stop(tmp_path: Path, corpus: Corpus, held_out: Corpus) -> None:
    run = run_of(tmp_path / "run", corpus, replace(CHECKED, iterations=100), validation=held_out)
    # Asked in the second iteration's check, not before.
    run.stopping = lambda: run.trainer.iteration >= 2
    run.begin()
    outcome = run.go()
    assert outcome.end == "interrupted" and outcome.iteration == 3
    assert not list((tmp_path / "run" / "checks").glob("*.wav"))
