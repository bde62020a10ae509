"""Chains on the command line: `babe2 suggest` proposes one, `babe2 restore --chain` takes a recording through it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from babe2 import RestorationError, audio
from babe2.chains import Chain, Chained
from babe2.chains.suggest import Suggestion, reference_of_default, suggest
from babe2.commands.options import new_command
from babe2.commands.stage import Work, facts, worked_on
from babe2.commands.targets import check_distinct, check_file
from babe2.commands.terminal import say
from babe2.config import DEFAULT_CHECKPOINT
from babe2.methods import BABE2
from babe2.replacing import write_text
from babe2.report.recipe import fingerprint

Report = dict[str, Any]
# What a chain's own file says, and so is not said beside it; as it is where nobody says anything.
SAID_BY_THE_CHAIN: dict[str, Any] = {
    "checkpoint": DEFAULT_CHECKPOINT,
    "method": BABE2,
    "preset": "standard",
    "seed": 0,
    "set": [],
    "batch": None,
    "brightness": 0.0,
    "reference": None,
    "response": None,
    "degradation": None,
    "amount": 1.0,
    "rate": None,
    "plots": None,
    "provenance": None,
}


def add_command(subparsers: Any) -> None:
    """Adds `babe2 suggest`."""
    command = new_command(subparsers, "suggest", run_suggest, "Propose a chain for a recording, and say why.")
    command.add_argument("input", metavar="INPUT", type=Path)
    command.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the chain there (.yaml)")
    command.add_argument("--overwrite", action="store_true", help="replace an existing file")
    command.add_argument("--json", action="store_true", help="print the chain and its reasons as JSON")


def run_suggest(given: argparse.Namespace) -> int:
    if given.output:
        check_distinct([given.input], [given.output])
        check_file(given.output, overwrite=given.overwrite)
    recording = audio.read(given.input)
    suggestion = suggest(recording.audio, recording.sample_rate, reference_of_default())
    if given.output:
        write_text(given.output, suggestion.chain.text())
    print(json.dumps(suggestion.as_dict(), indent=2) if given.json else format_suggestion(suggestion))
    return 0


def format_suggestion(suggestion: Suggestion) -> str:
    """A proposal for people: every stage that was thought of, and the chain as a file."""
    lines = [f"{'+' if wanted else '-'} {stage}: {words}" for stage, wanted, words in suggestion.reasons]
    return "\n".join([*lines, "", suggestion.chain.text().rstrip()])


def chain_of(given: argparse.Namespace) -> Chain | None:
    """The chain that was asked for; what its file says is not said a second time."""
    if given.chain is None:
        if given.bypass:
            raise RestorationError("--bypass passes over stages of a chain. Give one with --chain.")
        return None
    if said := [name for name, usual in SAID_BY_THE_CHAIN.items() if getattr(given, name) != usual]:
        option = f"--{said[0].replace('_', '-')}"
        raise RestorationError(f"{option} is for the stage restore of the chain: say it in the chain's file.")
    return Chain.load(given.chain).without([name for text in given.bypass for name in text.split(",")])


def restore_by_chain(chain: Chain, path: Path, target: Path, work: Work, removed: Path | None) -> Report:
    """Writes what a chain makes of a file, and what each stage took away where that is wished; returns the report."""
    with worked_on(chain.active, path, target, work) as done:
        done.save(target, work.subtype, overwrite=work.overwrite)
        report = done.report | {
            "input": str(path),
            "output": str(target),
            "chain": chain.title,
            "result": {"name": target.name, **fingerprint(target)},
        }
        if removed is not None:
            report["removed"] = [str(place) for place in write_each_removed(done, path, removed, work.overwrite)]
    for warning in report["warnings"]:
        say(f"{path.name}: {warning}")
    return report


def write_each_removed(done: Chained, path: Path, folder: Path, overwrite: bool) -> list[Path]:
    """Writes what each stage took away, to be heard; where one changes the length, there is no such thing."""
    places = []
    for number, step in enumerate(done.steps, start=1):
        if step.comparable:
            place = folder / f"{path.stem}.{number}-{step.link.stage.name}.removed.wav"
            places.append(audio.write_blocks(place, step.removed, step.made.sample_rate, overwrite=overwrite))
    return places


def format_chain(report: Report) -> str:
    """What a chain has done, in a few lines for people."""
    lines = [f"{report['output']}: {report['chain']}"]
    for stage in report["stages"]:
        level = "nothing changed" if stage["removed_db"] is None else f"{stage['removed_db']:.1f} dB"
        lines.append(f"  {stage['stage']}: {level}, {stage['seconds']:.1f} s")
        lines += [f"    {line}" for line in facts(stage)] if stage["stage"] != "restore" else []
    return "\n".join([*lines, f"  {report['statement']}"])
