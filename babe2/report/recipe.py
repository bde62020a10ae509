"""The command that makes a restoration again."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babe2.config import as_text
from babe2.errors import RestorationError
from babe2.methods import SOLVER, WORDS
from babe2.provenance import checkpoint_name
from babe2.restorer import Restorer
from babe2.wording import plain_name

# Names


def portable(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without the place where this machine keeps its checkpoint."""
    return {**report, "checkpoint": checkpoint_name(str(report["checkpoint"]))}


def fingerprint(path: Path) -> dict[str, Any]:
    """Returns the bytes and the SHA-256 of a file, which is read piece by piece."""
    try:
        with open(path, "rb") as file:
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise RestorationError(f"{path.name} cannot be read any more ({error.strerror}). Open it again.") from None


# How to do it again


def command_line(
    report: Mapping[str, Any],
    restorer: Restorer,
    *,
    recording: str,
    start: float = 0.0,
    duration: float | None = None,
    rate: int | None = None,
    subtype: str | None = None,
    output: str | None = None,
) -> list[str]:
    """The `babe2` command, word for word, that makes the restoration of a report again from a file `recording`."""
    if report["seed"] is None:
        raise RestorationError("This restoration's noise was given, so no seed makes it again. Restore with a seed.")
    report = portable(report)
    if chain := report.get("chain_file"):  # which says all else
        return chain_command(
            chain, report.get("threads"), recording, start=start, duration=duration, subtype=subtype, output=output
        )
    words = _restoring(recording)
    options = {
        "--output": output,
        "--checkpoint": report["checkpoint"],
        "--method": report["method"],
        "--preset": report["preset"],
        "--seed": report["seed"],
        "--brightness": report.get("brightness"),
        "--reference": report.get("reference_file"),
        "--response": report.get("response_file"),
        "--degradation": (report.get("degradation") or {}).get("text"),
        "--start": start or None,
        "--duration": duration,
        "--rate": rate,
        "--subtype": subtype,
        "--amount": report.get("amount"),
        "--imagined": report.get("imagined"),
        "--precision": report.get("precision"),
        "--batch": report.get("batch"),  # it and the threads decide how sums are shared out, and so the last bits
        "--threads": report.get("threads"),
    }
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += ["--compile"] if report.get("compile") else []
    for name, value in chosen_settings(report, restorer).items():
        words += ["--set", f"{name}={as_text(value)}"]
    return words


def chain_command(
    chain: str,
    threads: int | None,
    recording: str,
    *,
    bypass: Sequence[str] = (),
    start: float = 0.0,
    duration: float | None = None,
    subtype: str | None = None,
    output: str | None = None,
) -> list[str]:
    """The same for what the file `chain` has made of a recording."""
    said = {
        "--output": output,
        "--chain": chain,
        "--start": start or None,
        "--duration": duration,
        "--subtype": subtype,
        "--threads": threads,
    }
    options = [word for option, value in said.items() if value is not None for word in (option, str(value))]
    return _restoring(recording) + options + [word for stages in bypass for word in ("--bypass", stages)]


def _restoring(recording: str) -> list[str]:
    name = plain_name(recording)
    return ["babe2", "restore", f"./{name}" if name.startswith("-") else name]


def wishes(report: Mapping[str, Any], restorer: Restorer, rate: int | None = None) -> dict[str, Any]:
    """What a stage of a chain is to be told to make the restoration of a report again."""
    said = {
        "method": report["method"],
        "preset": report["preset"],
        "seed": report["seed"],
        "batch": report.get("batch"),
        "brightness": report.get("brightness"),
        "reference": report.get("reference_file"),
        "output_rate": rate,
        **chosen_settings(report, restorer),
    }
    return {name: value for name, value in said.items() if value is not None}


def chosen_settings(report: Mapping[str, Any], restorer: Restorer) -> dict[str, Any]:
    """The settings of a report that its preset alone would not give."""
    wanted, name, preset = report["settings"], report["method"], report["preset"]
    chosen: dict[str, Any] = {}
    known = "response" in report
    if name in WORDS and restorer.method(name, preset, response_known=known).name != report["solver"]:
        chosen[SOLVER] = report["solver"]
    while True:  # in a preset one setting may follow from another, so that a choice changes what else must be said
        given = restorer.method(name, preset, response_known=known, **chosen).settings.as_dict()
        missing = [each for each, value in wanted.items() if as_text(value) != as_text(given[each])]
        if not missing:
            return chosen
        chosen |= {each: wanted[each] for each in missing}


def recipe(command: Sequence[str], report: Mapping[str, Any], seconds: float | None = None) -> str:
    """The command and what it takes for the same result; `seconds` is how much there is of a run that was stopped."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    made = "makes the same file again"
    prior = ""
    if "checkpoint" in report:  # a chain may have several, or none
        prior = f"seed: {report['seed']}\ncheckpoint: {report['checkpoint']}, sha256 {report['sha256'] or 'unknown'}\n"
    if seconds is not None:
        made = f"makes a file that begins with this one: the run was stopped when {seconds:.3f} s were finished"
    if gain := report.get("gain_db"):
        made += f"; this file was then made {abs(gain):.2f} dB {'louder' if gain > 0 else 'softer'}"
    else:
        made += ", to the bit on the same kind of machine with the same versions"
    return (
        f"{shlex.join(command)}\n\n"
        f"{made}.\n\n"
        f"made with: {versions}, {report.get('device', 'cpu')}\n"
        f"{prior}"
        f"recording: {report['input']['name']}, sha256 {report['input']['sha256']}\n"
    )
