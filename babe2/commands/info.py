"""`babe2 info`: versions, devices and settings."""

from __future__ import annotations

import argparse
import json
from typing import Any

from babe2.config import COLUMNS
from babe2.methods import SOLVER, users_of, values_of
from babe2.process import versions


def info(options: argparse.Namespace) -> int:
    import torch

    columns = {name: values_of(column) for name, column in COLUMNS.items()}
    devices = ["cpu", *(f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    found: dict[str, Any] = versions() | {"devices": devices, "threads": torch.get_num_threads()}
    if options.json:
        print(json.dumps(found | ({"settings": columns} if options.settings else {}), indent=2))
        return 0
    for name, value in found.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    if options.settings:
        print(f"{'setting':24}" + "".join(f"{name:>16}" for name in columns) + "   used by")
        for setting in columns["piano"]:
            values = "".join(f"{as_typed(column[setting]):>16}" for column in columns.values())
            users = "babe2" if setting == SOLVER else ", ".join(users_of(setting)) or "sample"
            print(f"{setting:24}{values}   {users}")
    return 0


def as_typed(value: Any) -> str:
    """A setting's value as --set takes it."""
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value).lower()
