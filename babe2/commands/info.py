"""`babe2 info`: versions, devices and settings."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

import torch

from babe2.commands.options import new_command
from babe2.commands.terminal import format_setting
from babe2.config import COLUMNS
from babe2.process import set_threads, versions


def add_command(subparsers: Any) -> None:
    parser = new_command(subparsers, "info", run_info, "Versions and devices.")
    parser.add_argument("--settings", action="store_true", help="every setting with its published values")
    parser.add_argument("--json", action="store_true")


def run_info(options: argparse.Namespace) -> int:
    columns = {name: asdict(column) for name, column in COLUMNS.items()}
    devices = ["cpu", *(f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    found: dict[str, Any] = versions() | {"devices": devices, "threads": set_threads()}
    if options.json:
        print(json.dumps(found | ({"settings": columns} if options.settings else {}), indent=2))
        return 0
    for name, value in found.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    if options.settings:
        print(f"{'setting':26}" + "".join(f"{name:>22}" for name in columns))
        for setting in columns["piano"]:
            values = (format_setting(column[setting]) for column in columns.values())
            print(f"{setting:26}" + "".join(f"{value:>22}" for value in values))
    return 0
