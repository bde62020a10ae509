"""Contests: who is best and how sure that is, against cases that are known by hand; scores that are kept."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from babe2 import RestorationError
from babe2.evaluation.contest.rows import Case, Kept, Row, Way
from babe2.evaluation.contest.standings import csv_text, latex, markdown, standings


def row(clip: str, way: str, lsd: float, family: str = "horn", **scores: Any) -> Row:
    said = {
        **dict.fromkeys(("lsd_recorded", "lsd_lost", "si_sdr_gain", "level_error", "ltas_distance", "seconds"), 1.0),
        "envelope_correlation": 0.5,
        "flatness_excess": 0.0,
        "levels": [0.0, 0.0, -2.0, 0.0],
        "response_error_band": None,
    }
    return said | {"clip": clip, "family": family, "seed": 0, "way": way, "lsd_band": lsd} | scores


CLIPS = [f"clip {number}" for number in range(12)]


def test_what_is_better_on_every_clip_is_surely_the_best() -> None:
    rows = [row(clip, way, lsd + number) for number, clip in enumerate(CLIPS) for way, lsd in (("a", 3.0), ("b", 2.0))]
    best, other = standings(rows).by_measure["lsd_band"]
    assert (best.way, best.best, best.ranks, best.behind) == ("b", 1.0, (1, 1), (0.0, 0.0, 0.0))
    assert (other.way, other.best, other.ranks, other.behind) == ("a", 0.0, (2, 2), (1.0, 1.0, 1.0))
    assert best.value.high - best.value.low > 2  # clips differ far more than ways, which pairing sees through


def test_what_is_better_on_half_of_the_clips_cannot_be_told_apart() -> None:
    rows = [row(clip, "a", 3.0) for clip in CLIPS]
    rows += [row(clip, "b", 3.0 + (-1.0 if number % 2 else 1.01)) for number, clip in enumerate(CLIPS)]
    best, other = standings(rows).by_measure["lsd_band"]
    assert best.way == "a" and 0.35 < best.best < 0.65 and best.ranks == other.ranks == (1, 2)
    assert other.behind.low < 0 < other.behind.high


def test_machines_of_one_clip_are_no_independent_witnesses() -> None:
    once = [row(clip, "a", float(number)) for number, clip in enumerate(CLIPS)]
    thrice = [row(r["clip"], "a", r["lsd_band"], family) for r in once for family in ("horn", "radio", "electric")]
    assert standings(thrice).by_measure["lsd_band"] == standings(once).by_measure["lsd_band"]
    assert standings(thrice).recordings == 3 * standings(once).recordings
    assert standings(thrice).by_family["lsd_band"]["radio"] == {"a": 5.5}


def test_more_is_better_where_it_is_and_nearer_to_nothing_where_that_is() -> None:
    rows = [row(clip, "a", 1.0, si_sdr_gain=2.0, flatness_excess=-1.0) for clip in CLIPS]
    rows += [row(clip, "b", 1.0, si_sdr_gain=1.0, flatness_excess=3.0) for clip in CLIPS]
    found = standings(rows).by_measure
    assert [one.way for one in found["si_sdr_gain"]] == [one.way for one in found["flatness_excess"]] == ["a", "b"]
    assert found["presence_error"][0].value.mean == 2.0 and "response_error_band" not in found


def test_a_melody_is_told_of_the_clips_that_are_sung() -> None:
    sung = CLIPS[:3]
    rows = [
        row(clip, way, 1.0, melody_kept=kept if clip in sung else None)
        for clip in CLIPS
        for way, kept in (("a", 80.0), ("b", 90.0))
    ]
    found = standings(rows)
    best, other = found.by_measure["melody_kept"]
    assert (best.way, best.value.mean, best.clips, other.behind.mean) == ("b", 90.0, 3, 10.0)
    assert found.clips == found.by_measure["lsd_band"][0].clips == 12
    assert "| sung melody kept, % (3 clips) | 80.0 [80.0, 80.0] |" in markdown(found)
    rows[0]["melody_kept"] = None  # of which the way found none: it cannot be ranked by the others
    assert [one.way for one in standings(rows).by_measure["melody_kept"]] == ["b"]


def test_tables_say_the_same_in_every_form() -> None:
    rows = [row(clip, way, 2.0, name) for clip in CLIPS for way in ("a_1", "b") for name in ("horn", "radio")]
    found = standings(rows)
    assert "24 recordings of 12 clips" in markdown(found) and "| **2.0 [2.0, 2.0]** |" in markdown(found)
    assert r"a\_1 & b \\" in latex(found) and r"\textbf{2.0 [2.0, 2.0]}" in latex(found)
    told = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert len(told) == 48 and told[0]["lsd_band"] == "2.0" and told[0]["response_error_band"] == ""


# What is kept


def test_scores_survive_a_line_that_was_cut_off_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    ways, case = [Way("babe2"), Way.of("babe2:draft", ["babe2"])], Case("clip 0", "horn", 0)
    kept = Kept.at(tmp_path, {"seconds": 4})
    kept.add(row("clip 0", "babe2", 2.0))
    with kept.path.open("a") as file:
        file.write('{"clip": "clip 0", "fam')
    again = Kept.at(tmp_path, {"seconds": 4})
    assert again.missing(case, ways) == [Way("babe2", "draft")]
    again.add(row("clip 0", "babe2:draft", 3.0))
    assert [one["way"] for one in Kept.at(tmp_path, {"seconds": 4}).of([case], ways)] == ["babe2", "babe2:draft"]
    with pytest.raises(RestorationError, match=r"scores of other conditions \(seconds\)"):
        Kept.at(tmp_path, {"seconds": 5})
    assert not Kept.at(tmp_path, {"seconds": 5}, overwrite=True).rows


@pytest.mark.parametrize("text", ["babe3", "babe2:slow", "ratio:draft", ""])
def test_a_way_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RestorationError, match="A way is not"):
        Way.of(text, ["babe2", "babe"])
