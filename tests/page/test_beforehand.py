"""Examples show what a run would have come to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from babe2 import Restoration, audio
from babe2.page.beforehand import Card, Example
from babe2.page.chained import ChainOutcome
from babe2.page.checkpoint_cards import restorer_of

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE, RESTORED = EXAMPLES / "old_variation.flac", EXAMPLES / "old_variation.restored.flac"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Restoration:
    upload = tmp_path_factory.mktemp("upload") / "anything.flac"
    upload.write_bytes(EXAMPLE.read_bytes())
    found = Example.of(upload, EXAMPLES)
    assert found is not None and found.recording == EXAMPLE
    return found.restoration()


def test_an_example_is_known_by_what_is_in_it(known: Restoration) -> None:
    np.testing.assert_array_equal(known.audio[0], sf.read(RESTORED, dtype="float32")[0])
    assert Example.of(EXAMPLES / "variation.flac", EXAMPLES) is None


@pytest.mark.parametrize("card", Card.all_in(EXAMPLES), ids=lambda card: card.name)
def test_all_of_the_gallery_lies_ready_and_is_small(card: Card) -> None:
    example = Example(EXAMPLES, card.name)
    before, after = sf.info(example.recording), sf.info(example.restored)
    assert after.duration == pytest.approx(before.duration, abs=1e-4) and before.duration <= 15
    assert before.channels == after.channels == 1
    assert (EXAMPLES / f"{card.name}.webp").stat().st_size < 15_000
    assert {"input", "output", "command"}.isdisjoint(example.report) and "/tmp" not in json.dumps(example.report)
    assert f"`{card.name}`" in (EXAMPLES / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["clip", "singer"])
def test_what_a_chain_has_made_of_an_example_is_taken_home_as_it_is(tmp_path: Path, name: str) -> None:
    example = Example(EXAMPLES, name)
    outcome = example.outcome(example.recording, "piano-small", None)
    assert isinstance(outcome, ChainOutcome) and "restored beforehand, by the chain" in outcome.verdict
    home = outcome.take_home(tmp_path, restorer_of("piano-small"))
    np.testing.assert_array_equal(sf.read(home.file)[0], sf.read(example.restored)[0])
    assert f"--chain {name}.chain.yaml" in " ".join(home.command) and outcome.chain == example.chain
    sound = audio.read(example.recording)
    keys = [track["key"] for track in outcome.desk(tmp_path, sound, None)["tracks"]]
    assert keys == ["recording", "restored", "added"]


def test_examples_are_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()) < 4.4e6


def test_its_amount_can_be_chosen(known: Restoration) -> None:
    before, after = sf.read(EXAMPLE, dtype="float32")[0], sf.read(RESTORED, dtype="float32")[0]
    np.testing.assert_allclose(known.mixed(0.25).audio[0], 0.75 * before + 0.25 * after, atol=1e-6)


def test_its_response_is_the_one_that_was_found(known: Restoration) -> None:
    """The machine hears from 150 Hz to 3 kHz and resonates at 700 Hz and 2.1 kHz."""
    gain = dict(zip((63, 250, 700, 8000), known.response.gain_db(np.array([63.0, 250, 700, 8000])), strict=True))
    assert gain[700] == max(gain.values()) and gain[63] < gain[250] - 10 and gain[8000] < gain[250] - 40


def test_it_was_made_with_these_weights_and_these_settings(known: Restoration) -> None:
    """Where this fails, restore it anew; examples/README.md says how."""
    restorer = restorer_of("piano-small")
    assert known.report["sha256"] == restorer.sha256
    assert known.report["settings"] == restorer.method(preset="standard").settings.as_dict()


def test_it_is_as_long_as_the_example_small_and_names_no_folder() -> None:
    told, example = sf.info(RESTORED), sf.info(EXAMPLE)
    assert (told.frames, told.samplerate, told.channels) == (example.frames, example.samplerate, example.channels)
    assert RESTORED.stat().st_size < 1.5e6
    assert {"input", "output"}.isdisjoint(json.loads(RESTORED.with_suffix(".json").read_text("utf-8")))


@pytest.mark.slow
def test_restoring_it_anew_gives_the_same_sound(known: Restoration) -> None:
    sound, rate = sf.read(EXAMPLE, dtype="float32")
    again = restorer_of("piano-small", "cpu").restore(sound, rate)
    np.testing.assert_allclose(again.audio, known.audio, atol=1e-4)  # threads and processors differ in the last bits
