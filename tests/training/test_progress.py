"""What a run reports: valid JSON whatever the numbers, and curves for TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from babe2.training.progress import Progress, ProgressLog, finite

PROGRESS = Progress(
    iteration=300,
    iterations=1000,
    loss=0.5,
    error=0.25,
    levels=(2.0, None, 0.5, 0.125),
    octaves=(1.0, 0.75),
    gradient_norm=3.0,
    slowing=1.0,
    items_per_second=12.5,
    hours_heard=0.5,
    seconds=60.0,
    seconds_left=140.0,
    skipped_steps=0,
    validation=0.875,
)


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log, read as strictly as JSON is meant."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_every_report_is_a_line(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path)
    for iteration in (300, 325):
        log.write(replace(PROGRESS, iteration=iteration))
    log.close()
    first, second = read(tmp_path)
    assert (first["iteration"], second["iteration"]) == (300, 325)
    assert (first["loss"], first["levels"], first["validation"]) == (0.5, [2.0, None, 0.5, 0.125], 0.875)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_know_is_null(tmp_path: Path, number: float) -> None:
    log = ProgressLog(tmp_path)
    log.write(replace(PROGRESS, loss=number, levels=(number, 0.5, None, 0.5), gradient_norm=number))
    log.close()
    (line,) = read(tmp_path)
    assert (line["loss"], line["levels"], line["gradient_norm"]) == (None, [None, 0.5, None, 0.5], None)
    assert line["error"] == 0.25


def test_finite_reaches_into_dictionaries_and_lists() -> None:
    assert finite({"a": [math.nan, {"b": (1, math.inf, "c", True, None)}]}) == {
        "a": [None, {"b": [1, None, "c", True, None]}]
    }


def test_tensorboard_draws_the_same_numbers(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = ProgressLog(tmp_path)
    log.write(PROGRESS)
    log.write(replace(PROGRESS, iteration=325, loss=0.375))
    log.close()
    found = reader.EventAccumulator(str(tmp_path)).Reload()
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [(300, 0.5), (325, 0.375)]
    names = {"loss", "error", "gradient_norm", "slowing", "items_per_second", "skipped_steps", "validation"}
    assert set(found.Tags()["scalars"]) == names | {"level/0", "level/2", "level/3", "octave/0", "octave/1"}
