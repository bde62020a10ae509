"""What the benchmarks work out of what they measure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from declicking import runs
from harm import RATE, STRETCH, holes, levels, round_and_round, touched, worse
from measuring import Figures, Units, described, kind_of_processor
from oracle import around, estimates
from restoration import extended, fill_card, growth, joins, material, presets, rows_of, tables

MACHINE = {"processor": "one", "cores": 2}


def row_of(figures: Figures, done: list[dict[str, Any]], **case: Any) -> dict[str, Any]:
    def measure(case: dict[str, Any]) -> dict[str, Any]:
        done.append(case)
        return {"cpu_seconds": len(done)}

    return figures.row(case, measure)


def test_a_run_of_few_steps_is_extended_by_what_its_evaluations_took() -> None:
    # 1 s before the first step, 2 s for every evaluation; the last step has one of them.
    assert extended(11.0, [5.0, 9.0, 11.0], evaluations=5, order=2, wanted=101) == pytest.approx(1 + 2 * 101)
    assert extended(7.0, [3.0, 5.0, 7.0], evaluations=3, order=1, wanted=16) == pytest.approx(1 + 2 * 16)


def test_a_whole_run_is_told_as_it_was() -> None:
    assert extended(11.0, [], evaluations=16, order=1, wanted=16) == 11.0


def test_units_are_measured_before_and_after_and_once_between_two() -> None:
    measured = iter([1.0, 3.0, 5.0])
    units = Units(lambda: next(measured))
    assert units.of(lambda: {"cpu_seconds": 8.0})["units"] == 4.0
    assert units.of(lambda: {"cpu_seconds": 8.0})["units"] == 2.0


def test_what_is_kept_is_not_measured_again(tmp_path: Path) -> None:
    done: list[dict[str, Any]] = []
    path = tmp_path / "figures.json"
    first = row_of(Figures.at(path, MACHINE), done, network="piano", steps=None)
    resumed = Figures.at(path, MACHINE)
    assert row_of(resumed, done, network="piano", steps=None) == first
    assert row_of(resumed, done, network="piano", steps=3) == {"network": "piano", "steps": 3, "cpu_seconds": 2}
    assert len(done) == len(Figures.at(path, MACHINE).rows) == 2


def test_figures_of_two_machines_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    row_of(Figures.at(path, MACHINE), [], network="piano")
    with pytest.raises(SystemExit, match="another machine"):
        Figures.at(path, MACHINE | {"cores": 4})


def test_growth_is_told_per_minute() -> None:
    rows = [
        {"minutes": 1, "cpu_seconds": 10.0, "peak_gb": 0.5},
        {"minutes": 4, "cpu_seconds": 44.0, "peak_gb": 0.6},
    ]
    assert growth(rows) == [(1.0, 1.0), (pytest.approx(1.1), pytest.approx(1.2))]
    slower = [row | {"cpu_seconds": 3 * row["cpu_seconds"], "machine": "another"} for row in rows]
    assert growth([*rows, *slower]) == 2 * growth(rows)


def test_joins_are_where_segments_overlap_by_as_much_as_others_do() -> None:
    assert joins([0.0, 9.0, 19.0], 10.0) == [(9.0, 10.0)]
    assert joins([0.0, 9.0, 18.0, 21.0], 10.0) == [(9.0, 10.0), (18.0, 19.0)]
    assert joins([0.0], 10.0) == []


def test_paper_is_scaled_for_the_full_networks_and_everything_when_in_haste() -> None:
    def scaled(quick: bool) -> list[tuple[str, str]]:
        cases = presets(("piano", "piano-small"), ("paper", "draft"), ("float32",), quick)
        return [(case["network"], case["preset"]) for case in cases if case["steps"]]

    assert scaled(quick=False) == [("piano", "paper")]
    assert len(scaled(quick=True)) == 4


def test_a_card_is_filled_until_no_more_fits() -> None:
    asked: list[tuple[str, int]] = []

    def measured(case: dict[str, Any]) -> dict[str, Any]:
        asked.append((case["preset"], case["batch"]))
        return case | {"taken_at_once": min(case["batch"], 4)}

    fill_card(measured, presets(("piano",), ("paper", "draft"), ("bfloat16",), quick=False), "cuda", most=256)
    assert asked == [("paper", 1), ("draft", 1), ("draft", 2), ("draft", 4), ("draft", 8)]


def test_long_material_has_its_length_and_never_clips() -> None:
    blocks = np.concatenate(list(material(30.0)), axis=1)
    assert blocks.shape == (1, 30 * 22050)
    assert np.abs(blocks).max() < 1


def test_tables_say_what_was_scaled() -> None:
    row = {"part": "presets", "network": "piano", "preset": "paper", "precision": "float32", "steps": 3}
    figures = {"evaluations": 101, "scaled_from": 5, "units": 750.0, "sound_seconds": 8.0}
    row |= figures | {"cpu_seconds": 80.0, "wall_seconds": 40.0, "peak_gb": 5.0}
    told = tables([row | {"machine": "AVX2, 2 of 2 cores"}])
    assert "| `paper` | float32 | AVX2, 2 of 2 cores | 101, scaled from 5 | 750 | 2.0 x | 10.00 | 5.00 | 5.0 |" in told


@pytest.mark.parametrize(
    ("able", "kind"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": True, "amx_bf16": True}, "AMX bf16"),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, "AVX-512 bf16"),
        ({"avx2": True, "avx512_f": True}, "AVX-512"),
        ({"avx2": True, "architecture": "x86_64"}, "AVX2"),
        ({"architecture": "aarch64"}, "aarch64"),
    ],
)
def test_a_processor_is_named_by_how_it_multiplies(able: dict[str, Any], kind: str) -> None:
    assert kind_of_processor(able) == kind
    assert described({"kind": kind, "threads": 1, "cores": 2}) == f"{kind}, 1 of 2 cores"


def test_each_row_tells_the_processor_it_was_measured_on() -> None:
    older = {"native_bfloat16": True, "instructions": "AVX512", "threads": 1, "cores": 2}
    kept = [
        {"machine": {"kind": "AVX2", "threads": 2, "cores": 2}, "rows": [{"n": 1}, {"n": 2}]},
        {"machine": older, "rows": [{"n": 3}]},
    ]
    assert [row["machine"] for row in rows_of(kept)] == [*["AVX2, 2 of 2 cores"] * 2, "AMX bf16, 1 of 2 cores"]


def sounding(seconds: float, seed: int) -> torch.Tensor:
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_what_is_silenced_is_counted_as_holes_unless_it_was_silent_before() -> None:
    music = sounding(2, seed=0)
    made = music.clone()
    made[4 * STRETCH : 8 * STRETCH] = 0
    found = holes(music, music, made)
    thirds = 18
    assert found.alive == pytest.approx(thirds * (2 * RATE // STRETCH - 1), rel=0.02)
    # Three looks of two stretches lie within the gap; the two that reach into it hear half, and that is no hole.
    assert found.all == found.above_noise == pytest.approx(3 * thirds, abs=3)
    assert touched(music, made) == worse(music, music, made) == 4
    assert holes(music, made, made).all == 0


def test_what_is_taken_of_the_noise_is_no_harm() -> None:
    music = sounding(2, seed=0)
    heard = music + 3 * sounding(2, seed=1)
    assert worse(music, heard, music) == holes(music, heard, music).all == 0
    # Of music that the noise covered, nothing could be heard to be missing.
    found = holes(music, heard, 0.1 * music)
    assert found.above_noise < 0.2 * found.all
    assert levels(music, 0.5 * music) == pytest.approx(2 * [-6.02], abs=0.01)


def test_noise_goes_round_without_a_break() -> None:
    record = torch.sin(2 * np.pi * torch.arange(3 * RATE) / 100)
    longer = round_and_round(record, 8 * RATE, start=5)
    assert len(longer) == 8 * RATE
    assert longer.diff().abs().max() < 2 * record.diff().abs().max()


def test_runs_tell_where_changes_begin_and_end() -> None:
    assert runs(torch.tensor([True, False, True, True, False])) == [(0, 1), (2, 4)]
    assert runs(torch.zeros(3, dtype=torch.bool)) == []


def test_of_what_an_oracle_estimates_none_is_nearer_in_what_it_is_meant_for() -> None:
    draw = torch.Generator().manual_seed(0)

    def cells(power: float) -> torch.Tensor:
        return torch.randn(2**17, dtype=torch.complex64, generator=draw).mul(power**0.5)[None]

    for power in (0.1, 1.0, 10.0):
        music, noise = cells(power), cells(1.0)
        recording = (music + noise).abs().square()
        found = estimates(recording, torch.full((1, 1), power), torch.ones(1, 1))
        true, off = music.abs().square(), {}
        for way, estimate in found.items():
            off[way] = 10 * torch.log10(estimate / true)
        assert off["decibels"].mean() == pytest.approx(0.0, abs=0.1)
        assert off["decibels"].square().mean() < min(off["power"].square().mean(), off["undone"].square().mean())


def test_an_oracle_that_hears_no_noise_changes_nothing() -> None:
    recording = torch.rand(3, 4) + 1
    assert torch.allclose(estimates(recording, recording, torch.full((3, 1), 1e-9))["decibels"], recording)


def test_the_power_around_a_cell_is_that_of_three_frames_and_bins() -> None:
    spike = torch.zeros(5, 6)
    spike[2, 3] = 9.0
    assert torch.equal(around(spike)[1:4, 2:5], torch.ones(3, 3))
    assert around(spike).sum() == 9.0
