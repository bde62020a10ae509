"""The presets in listeners' words."""

from __future__ import annotations

from babe2 import config
from babe2.page import glossary


def test_every_preset_is_explained() -> None:
    assert sorted(glossary.PRESETS) == sorted(config.PRESETS)


def test_times_stand_in_the_order_of_the_stops_and_one_that_nobody_knows_keeps_its_place() -> None:
    told = glossary.times({"paper": 400.0, "standard": 20.0})
    assert told == "**Draft** *\u2013* **Standard** *about 20 seconds* **As published** *about 7 minutes*"
