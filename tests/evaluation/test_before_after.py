"""When something is better, worse or neither, and what two files say together."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from music import music

from babe2.evaluation.before_after import MEASURES, compare, row_of, summary, summary_table, table

BY_KEY = {measure.key: measure for measure in MEASURES}


@pytest.mark.parametrize(
    ("key", "before", "after", "verdict", "published"),
    [
        ("true_peak", 0.5, -1.5, "better", ""),
        ("true_peak", -8.0, -2.0, "as good", ""),  # both are safe
        ("true_peak", -8.0, 0.3, "worse", ""),
        ("above_quiet", 30.0, 38.0, "better", "better"),
        ("above_quiet", 30.0, 29.8, "as good", "worse"),
        ("band_end", 15102.0, 16951.0, "as good", ""),  # the next sixth of an octave
        ("band_end", 3000.0, 9000.0, "better", ""),
        ("loudness", -23.0, -14.0, "", ""),
        ("crest", 15.0, 12.0, "", "worse"),
        ("flatness", 0.02, 0.01, "", "better"),
    ],
)
def test_better_and_worse_are_said_where_a_direction_is_known(
    key: str, before: float, after: float, verdict: str, published: str
) -> None:
    row = row_of(BY_KEY[key], before, after)
    assert (row.verdict, row.published, row.delta) == (verdict, published, after - before)


def test_what_says_nothing_of_one_has_no_change() -> None:
    assert row_of(BY_KEY["loudness"], None, -20.0) == (None, -20.0, None, "", "")


def test_a_copy_is_no_distance_away_and_a_louder_one_neither(tmp_path: Path) -> None:
    x = music(1.0, 16_000, channels=2).T
    for name, sound in (("a", x), ("louder", 1.5 * x), ("mono", x[:, :1])):
        soundfile.write(tmp_path / f"{name}.wav", sound, 16_000, "FLOAT")
    pair = compare(tmp_path / "a.wav", tmp_path / "louder.wav")
    assert pair.rows["distance"].delta == pytest.approx(0.0, abs=0.01) and pair.notes == ()
    assert pair.rows["loudness"].delta == pytest.approx(3.52, abs=0.01)
    folded = compare(tmp_path / "a.wav", tmp_path / "mono.wav")
    assert any("mixed to one" in note for note in folded.notes)
    delta = folded.rows["distance"].delta
    assert delta is not None and delta > 0.1
    both = summary([pair, folded])
    assert both["loudness"]["pairs"] == 2 and both["true_peak"]["as good"] == 2
    assert "-0.0" not in table(pair) and "2 pairs" in summary_table(both, 2)
