"""`babe2 info`: versions, devices and settings."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from babe2.commands.options import new_command
from babe2.config import COLUMNS, as_text
from babe2.methods import SOLVER, users_of, values_of
from babe2.process import set_threads, versions


def add_command(subparsers: Any) -> None:
    parser = new_command(subparsers, "info", run_info, "Versions and devices.")
    parser.add_argument("--settings", action="store_true", help="every setting with its published values")
    parser.add_argument("--json", action="store_true")


def run_info(options: argparse.Namespace) -> int:
    columns = {name: values_of(column) for name, column in COLUMNS.items()}
    devices = ["cpu", *(f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    found: dict[str, Any] = versions() | {"devices": devices, "threads": set_threads()}
    if options.json:
        print(json.dumps(found | ({"settings": columns} if options.settings else {}), indent=2))
        return 0
    for name, value in found.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    if options.settings:
        print(format_settings(columns))
    return 0


def format_settings(columns: dict[str, dict[str, Any]]) -> str:
    """All settings, a row each: their published values, and which methods use them."""
    rows = [f"{'setting':24}" + "".join(f"{name:>16}" for name in columns) + "   used by"]
    for setting in columns["piano"]:
        values = "".join(f"{as_text(column[setting]):>16}" for column in columns.values())
        users = "babe2" if setting == SOLVER else ", ".join(users_of(setting)) or "sample"
        rows.append(f"{setting:24}{values}   {users}")
    return "\n".join(rows)
