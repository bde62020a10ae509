"""The manifest definition that waits for a signature."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from babe2.provenance import Provenance
from babe2.report.c2pa import manifest, manifest_name

GENERATED = Provenance(
    version="0.1.0",
    checkpoint="piano-small",
    sha256="c" * 64,
    method="bandwise",
    generates=True,
    band_known=True,
    end_hz=3400.0,
    limit_hz=None,
    highest_hz=11_025.0,
)
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def definition(provenance: Provenance, title: str = "old.restored.wav") -> dict[str, Any]:
    recording = {"name": "old.flac", "bytes": 10, "sha256": "a" * 64}
    result = {"name": title, "bytes": 20, "sha256": "b" * 64}
    found: dict[str, Any] = json.loads(manifest(title, provenance, {"preset": "draft", "seed": 7}, recording, result))
    return found


def actions(provenance: Provenance) -> list[dict[str, Any]]:
    (assertion,) = (each for each in definition(provenance)["assertions"] if each["label"] == "c2pa.actions.v2")
    found: list[dict[str, Any]] = assertion["data"]["actions"]
    return found


def test_it_says_who_made_what_from_what() -> None:
    told = definition(GENERATED)
    assert told["claim_generator_info"] == [{"name": "babe2", "version": "0.1.0"}]
    assert (told["title"], told["format"]) == ("old.restored.wav", "audio/wav")
    (ingredient,) = told["ingredients"]
    assert (ingredient["title"], ingredient["format"], ingredient["relationship"]) == (
        "old.flac",
        "audio/flac",
        "parentOf",
    )
    assert ingredient["hash"] == "a" * 64 and "a" * 64 in ingredient["description"]


def test_the_recording_was_opened_first_and_then_edited_in_the_words_of_the_mark() -> None:
    opened, edited = actions(GENERATED)
    (ingredient,) = definition(GENERATED)["ingredients"]
    assert opened == {"action": "c2pa.opened", "parameters": {"ingredientIds": [ingredient["label"]]}}
    assert edited["description"] == GENERATED.statement and edited["softwareAgent"]["name"] == "babe2"


@pytest.mark.parametrize(
    ("otherwise", "action", "source"),
    [
        ({}, "c2pa.edited", IPTC + "compositeWithTrainedAlgorithmicMedia"),
        ({"amount": 0.1}, "c2pa.edited", IPTC + "compositeWithTrainedAlgorithmicMedia"),
        ({"generates": False}, "c2pa.edited", IPTC + "algorithmicallyEnhanced"),
        ({"amount": 0.0}, "c2pa.transcoded", None),
    ],
)
def test_only_where_something_was_generated_a_trained_model_is_a_source(
    otherwise: dict[str, Any], action: str, source: str | None
) -> None:
    last = actions(replace(GENERATED, **otherwise))[-1]
    assert (last["action"], last.get("digitalSourceType")) == (action, source)


def test_the_hashes_and_the_frequency_can_be_read_by_machines() -> None:
    (told,) = (each["data"] for each in definition(GENERATED)["assertions"] if each["label"] == "babe2.restoration")
    assert told["recording"]["sha256"] == "a" * 64 and told["unsigned_result"]["sha256"] == "b" * 64
    assert told["generated"] and told["generated_above_hz"] == 3400.0 and told["checkpoint"]["sha256"] == "c" * 64


@pytest.mark.parametrize(
    ("title", "format", "name"),
    [
        ("a.restored.flac", "audio/flac", "a.restored.c2pa.json"),
        ("a.MP3", "audio/mpeg", "a.c2pa.json"),
        ("a.unheard", "application/octet-stream", "a.c2pa.json"),
    ],
)
def test_formats_and_names_follow_the_file(title: str, format: str, name: str) -> None:
    assert definition(GENERATED, title)["format"] == format and manifest_name(title) == name
