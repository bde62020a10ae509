"""A training run on disk: complete at every moment, so that a run that was killed goes on as if it had not been.

Each state is a folder named by its iteration, with one file for each kind of tensor (network, average, optimiser, ...).
It is written under another name and renamed when it is complete; the one before is deleted only then.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from babe2.errors import RestorationError

log = logging.getLogger(__name__)

FORMAT = "babe2 training state"
DESCRIPTION = "state.json"
WRITING = ".writing-"

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class State:
    """Everything that training changes, and what must not have changed when it goes on."""

    iteration: int
    tensors: dict[str, Tensors]  # by kind: network, average, optimiser, ...
    about: dict[str, Any]  # for JSON


def save(state: State, folder: Path) -> None:
    """Writes a state into a run's `folder`, and deletes the older ones when it is complete."""
    target = folder / f"{state.iteration:09d}"
    if not target.exists():
        writing = folder / f"{WRITING}{state.iteration:09d}"
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        files = {}
        for kind, tensors in state.tensors.items():
            path = writing / f"{kind}.safetensors"
            whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(whole, path, metadata={"format": "pt"})
            flush(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": digest(path)}
        described = {"format": FORMAT, "iteration": state.iteration, **state.about, "files": files}
        (writing / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        flush(writing / DESCRIPTION)
        flush(writing)
        os.rename(writing, target)
        flush(folder)
    for other in folder.iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)


def load(folder: Path) -> State | None:
    """Returns the latest complete state of a run, or None where no run was begun."""
    if not folder.is_dir():
        return None
    found = sorted((path for path in folder.iterdir() if re.fullmatch(r"\d{9}", path.name)), reverse=True)
    for path in found:
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log.warning("the state %s is damaged (%s)", path, error)
    if found:
        raise RestorationError(f"No state in {folder} is complete. Choose another output folder, or delete this one.")
    return None


def _read(path: Path) -> State:
    about = json.loads((path / DESCRIPTION).read_text("utf-8"))
    if about.pop("format") != FORMAT:
        raise ValueError(f"{DESCRIPTION} is of another kind")
    tensors: dict[str, Tensors] = {}
    for name, expected in about.pop("files").items():
        if digest(path / name) != expected["sha256"]:
            raise ValueError(f"{name} is not as it was written")
        kind = Path(name).stem.partition("-")[0]  # older runs have several files of a kind: network-00, network-01, ...
        tensors.setdefault(kind, {}).update(load_file(path / name))
    return State(about.pop("iteration"), tensors, about)


def flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    if os.name == "nt":  # where neither folders nor files open for reading can be waited for
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """Returns a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """Lists what is not the same in two descriptions, as `name was this, is that`."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(f"{prefix}{name} was {old}, is {new}")
    return found
