"""No setting without words, and no words without a setting."""

from babe2 import config
from babe2.config import known_names
from babe2.page import glossary
from babe2.page.glossary import GLOSSARY


def test_every_setting_is_explained_once() -> None:
    explained = [name for group in GLOSSARY.values() for name in group]
    assert sorted(explained) == sorted(known_names())


def test_words_are_short_enough_to_be_read() -> None:
    for group in GLOSSARY.values():
        for words in group.values():
            assert 4 <= len(words.label) <= 40 and 2 <= len(words.hint) <= 90, words


def test_every_preset_has_its_words() -> None:
    assert sorted(glossary.PRESETS) == sorted(config.PRESETS)
