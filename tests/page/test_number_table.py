"""Numbers as listeners read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from babe2 import Restoration, analyse, audio
from babe2.page.beforehand import Example
from babe2.page.number_table import Row, as_html, rows
from babe2.report.verdict import verdict

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "old_variation.flac"


@pytest.fixture(scope="module")
def restoration() -> Restoration:
    found = Example(EXAMPLES, "old_variation").restoration()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def table(restoration: Restoration) -> list[Row | str]:
    before, after = audio.read(EXAMPLE), (restoration.audio, restoration.sample_rate)
    found = verdict((before.audio, before.sample_rate), after, None, restoration.report["band"])
    return list(rows(restoration, found, analyse(*after)))


def test_each_line_says_what_it_is_and_in_which_unit(table: list[Row | str]) -> None:
    said = {row.what: (row.value, row.unit) for row in table if isinstance(row, Row)}
    assert said["Sound restored"] == ("12.00", "s")
    assert said["Seed"] == ("0", "") and said["Preset, method"] == ("standard, bandwise", "")
    assert said["Checkpoint"] == ("piano-small, verified", "")
    assert said["Loudness"][1] == "LUFS" and float(said["Peak"][0]) < 0
    assert float(said["Change of the octave around 4 kHz"][0]) > 3
    assert said["Gain at 8 kHz"] == ("below -60", "dB")


def test_its_html_escapes_what_others_have_written(restoration: Restoration, table: list[Row | str]) -> None:
    html = as_html(iter([*table, Row("<b>", "<script>", "&")]))
    assert "&lt;script&gt;" in html and "<script>" not in html and "<b>" not in html
    assert html.count('scope="row"') == sum(isinstance(line, Row) for line in table) + 1


def test_a_checkpoint_that_nobody_has_checked_is_not_called_verified(restoration: Restoration) -> None:
    strange = replace(restoration, report=restoration.report | {"verified": False})
    found = verdict((strange.audio, strange.sample_rate), (strange.audio, strange.sample_rate), None)
    lines = rows(strange, found, analyse(strange.audio, strange.sample_rate))
    assert Row("Checkpoint", "piano-small") in list(lines)
