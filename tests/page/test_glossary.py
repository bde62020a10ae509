"""What the page calls things."""

from babe2 import config
from babe2.page import glossary


def test_every_preset_has_its_words() -> None:
    assert sorted(glossary.PRESETS) == sorted(config.PRESETS)
