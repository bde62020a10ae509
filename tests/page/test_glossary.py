"""The presets in listeners' words."""

from __future__ import annotations

from babe2 import config
from babe2.page import glossary


def test_every_preset_is_explained() -> None:
    assert sorted(glossary.PRESETS) == sorted(config.PRESETS)
