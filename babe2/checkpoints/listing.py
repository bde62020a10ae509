"""Checkpoints in a list: as a table for the README, as data for programs, in a few words for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from babe2.checkpoints.manifest import Entry, Manifest
from babe2.checkpoints.shelf import Shelf, State

HUB = "https://huggingface.co"
STATES: dict[State, str] = {"bundled": "included in babe2", "cached": "on this machine", "remote": "to be fetched"}


def table(entries: Manifest) -> str:
    """The checkpoints of a manifest as a Markdown table."""
    lines = ["| id | what it knows | sound | parameters | licence | from |", "| --- | --- | --- | --- | --- | --- |"]
    for entry in entries.values():
        sound = f"{entry.sample_rate / 1000:g} kHz"
        source = format_source(asdict(entry.sources[0]))
        origin = f"[its authors]({source})" if entry.sources[0].url else "included" if entry.bundled() else source
        if entry.sources[0].repo:
            origin = f"[{source}]({HUB}/{entry.sources[0].repo})"
        cells = (f"`{entry.id}`", f"**{entry.title}.** {entry.description}", sound, f"{entry.parameters / 1e6:.1f} M")
        lines.append(f"| {' | '.join((*cells, entry.licence, origin))} |")
    return "\n".join(lines)


def entry_as_dict(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """All that is known of a manifest's checkpoint, and its state on this machine, as a dict for JSON."""
    state, found = shelf.state(entry)
    row = {name: value for name, value in asdict(entry).items() if name != "base"}
    row["sources"] = [{k: v for k, v in source.items() if v is not None} for source in row["sources"]]
    return row | {
        "state": state,
        "verified": found.verified if found else entry.sha256 is not None,
        "path": str(found.path) if found else None,
        "kept": shelf.size_of(entry) if state == "cached" else 0,
    }


def format_state(row: dict[str, Any]) -> str:
    """Where a checkpoint is, how large, and whether its source is verified; `row` is of `entry_as_dict`."""
    size = f", {megabytes(row['bytes'])}" if row["bytes"] else ""
    return f"{STATES[row['state']]}{size}{'' if row['verified'] else ', unverified source'}"


def format_source(source: dict[str, Any]) -> str:
    """The address of a source, or its repository and commit."""
    if address := source.get("url") or source.get("bundled"):
        return str(address)
    return f"{source['repo']}@{source['revision'][:8]}" if source.get("revision") else str(source["repo"])


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
