"""A restoration as a C2PA manifest definition, which c2patool and c2pa-python's Builder take to sign a file.

babe2 signs nothing itself: a signature says who vouches for a file, and that is whoever publishes it. The words are
those of the C2PA specification 2 and of the IPTC's digital source types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from babe2.provenance import Provenance

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
ENHANCED = SOURCE_TYPES + "algorithmicallyEnhanced"
_RECORDING = "recording"  # by this word the actions mean the ingredient
_FORMATS = {
    ".wav": "audio/wav",
    ".rf64": "audio/wav",
    ".w64": "audio/x-w64",
    ".aiff": "audio/aiff",
    ".aif": "audio/aiff",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
}
_UNKNOWN_FORMAT = "application/octet-stream"


def manifest_name(title: str) -> str:
    """The file name of the manifest definition that belongs to a file called `title`."""
    return f"{PurePath(title).stem}.c2pa.json"


def manifest(
    title: str,
    provenance: Provenance,
    report: Mapping[str, Any],
    recording: Mapping[str, Any],
    result: Mapping[str, Any],
) -> str:
    """The manifest definition of a restored file called `title`, as JSON.

    `recording` and `result` are the name, the bytes and the SHA-256 of the untouched file and of the restored one.
    """
    agent = {"name": "babe2", "version": provenance.version}
    ingredient = {
        "label": _RECORDING,
        "title": recording["name"],
        "format": _format(recording["name"]),
        "relationship": "parentOf",
        "hash": recording["sha256"],
        "description": f"The untouched recording, sha256 {recording['sha256']}",  # the hash alone is not signed
    }
    definition = {
        "claim_generator_info": [agent],
        "title": title,
        "format": _format(title),
        "ingredients": [ingredient],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {
                    "actions": [
                        {"action": "c2pa.opened", "parameters": {"ingredientIds": [_RECORDING]}},
                        _action(provenance) | {"softwareAgent": agent, "description": provenance.statement},
                    ]
                },
            },
            {
                "label": "babe2.restoration",
                "data": {
                    "recording": dict(recording),
                    "unsigned_result": dict(result),  # a signature becomes part of the file and changes its hash
                    "checkpoint": {"name": provenance.checkpoint, "sha256": provenance.sha256},
                    "method": provenance.method,
                    "preset": report["preset"],
                    "seed": report["seed"],
                    "amount": provenance.amount,
                    "generated": provenance.is_generated,
                    "generated_above_hz": provenance.end_hz if provenance.is_generated else None,
                    "generated_up_to_hz": provenance.limit_hz if provenance.is_generated else None,
                },
            },
        ],
    }
    return json.dumps(definition, indent=2, ensure_ascii=False) + "\n"


def _action(provenance: Provenance) -> dict[str, str]:
    """What was done, in C2PA's words."""
    if provenance.is_unchanged:
        return {"action": "c2pa.transcoded"}
    return {"action": "c2pa.edited", "digitalSourceType": GENERATED if provenance.is_generated else ENHANCED}


def _format(name: str) -> str:
    return _FORMATS.get(PurePath(name).suffix.lower(), _UNKNOWN_FORMAT)
