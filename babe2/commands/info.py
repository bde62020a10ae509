"""`babe2 info`: versions, devices and settings."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from babe2.commands.options import new_command
from babe2.config import COLUMNS, as_text
from babe2.methods import SOLVER, all_settings, presets_of, users_of, values_of
from babe2.process import set_threads, versions


def add_command(subparsers: Any) -> None:
    parser = new_command(subparsers, "info", run_info, "Versions and devices.")
    parser.add_argument("--settings", action="store_true", help="every setting, and what each preset takes")
    parser.add_argument("--json", action="store_true")


def run_info(options: argparse.Namespace) -> int:
    devices = ["cpu", *(f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    found: dict[str, Any] = versions() | {"devices": devices, "threads": set_threads()}
    if options.json:
        print(json.dumps(found | (settings() if options.settings else {}), indent=2))
        return 0
    for name, value in found.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    if options.settings:
        for kind, column in COLUMNS.items():
            print(f"\n{format_settings(kind, presets_of(column))}")
    return 0


def settings() -> dict[str, Any]:
    """By kind of checkpoint: the published values, and what each preset takes."""
    return {
        "settings": {kind: values_of(column) for kind, column in COLUMNS.items()},
        "presets": {kind: presets_of(column) for kind, column in COLUMNS.items()},
    }


def format_settings(kind: str, presets: dict[str, dict[str, Any]]) -> str:
    """A table of all settings of a kind of checkpoint: what each preset takes, and which methods use the setting."""
    columns = [[kind, *all_settings()]]
    for preset, taken in presets.items():
        columns.append([preset, *(as_text(taken[name]) if name in taken else "-" for name in all_settings())])
    users = ("babe2" if name == SOLVER else ", ".join(users_of(name)) or "sample" for name in all_settings())
    columns.append(["used by", *users])
    widths = [max(map(len, column)) for column in columns[1:-1]]
    rows = []
    for name, *values, used_by in zip(*columns, strict=True):
        cells = "".join(f"  {value:>{width}}" for value, width in zip(values, widths, strict=True))
        rows.append(f"{name:21}{cells}  {used_by}")
    return "\n".join(rows)
