"""A visitor finds his own result again, and nobody else's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from babe2 import audio
from babe2.page.beforehand import Example
from babe2.page.excerpt import Excerpt
from babe2.page.outcome import Restored
from babe2.page.results import KEPT_SECONDS, MOST_KEPT, Results

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "old_variation.flac"


@pytest.fixture(scope="module")
def outcome() -> Restored:
    known = Example(EXAMPLES, "old_variation").restoration()
    assert known is not None
    return Restored.of(EXAMPLE, Excerpt(), "piano-small", audio.read(EXAMPLE), known, None)


def test_a_result_is_found_by_a_token_that_nobody_can_guess(outcome: Restored) -> None:
    results = Results()
    mine, other = results.keep(outcome), results.keep(replace(outcome, checkpoint="piano"))
    assert results.find(mine) is outcome and len(mine) > 40 and mine != other
    for guess in (mine[:-1], mine.swapcase(), "", None, 1, [mine], {"token": mine}):
        assert results.find(guess) is None


def test_it_is_found_with_its_own_recording_only(outcome: Restored, tmp_path: Path) -> None:
    results = Results()
    token, same = results.keep(outcome), tmp_path / "copy.flac"
    shutil.copy(EXAMPLE, same)
    assert results.of(same, token) is outcome
    assert results.of(EXAMPLES / "variation.flac", token) is None
    gone = results.keep(replace(outcome, recording=tmp_path / "deleted.flac"))
    assert results.of(same, gone) is None


def test_it_is_kept_for_an_hour_unless_it_is_let_go_of(outcome: Restored) -> None:
    now = [0.0]
    results = Results(lambda: now[0])
    first, second = results.keep(outcome), results.keep(outcome)
    results.forget(first)
    results.forget(None)
    assert results.find(first) is None and results.find(second) is outcome
    now[0] = KEPT_SECONDS - 1
    assert results.find(second) is outcome
    now[0] = KEPT_SECONDS + 1
    assert results.find(second) is None


def test_the_latest_runs_of_a_place_are_found_together(outcome: Restored) -> None:
    results, token, runs = Results(), None, [replace(outcome, checkpoint=name) for name in "abcd"]
    for run in runs:
        token = results.keep(run, token)
    assert results.runs_of(EXAMPLE, token) == tuple(runs[:0:-1])
    other = results.keep(replace(outcome, excerpt=Excerpt(1.0, 2.0)), token)
    assert len(results.runs_of(EXAMPLE, other)) == 1 and results.find(token) is None


def test_of_many_results_the_latest_are_kept(outcome: Restored) -> None:
    results = Results()
    tokens = [results.keep(outcome) for _ in range(MOST_KEPT + 1)]
    assert results.find(tokens[0]) is None and results.find(tokens[1]) is outcome
