"""A training run on disk: whole at every moment, so that it goes on as if it had never been stopped.

Each state is a folder named by its iteration, written under another name and renamed when it is complete; the one
before is deleted only then.
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
LARGEST_FILE = 15 * 2**20  # bytes, so that every file can be kept where only small ones can
WRITING = ".writing-"

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class State:
    """Everything that training changes, and what it must not have changed in between."""

    iteration: int
    tensors: dict[str, Tensors]  # by what they are: network, average, optimiser, ...
    about: dict[str, Any]  # for JSON


def save(state: State, folder: Path) -> None:
    """Writes a state into a run's `folder` beside the one that is there, and only then deletes that."""
    target = folder / f"{state.iteration:09d}"
    if not target.exists():
        writing = folder / f"{WRITING}{state.iteration:09d}"
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        files = {}
        for name, tensors in state.tensors.items():
            for number, part in enumerate(parted(tensors)):
                path = writing / f"{name}-{number:02d}.safetensors"
                save_file(part, path, metadata={"format": "pt"})
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
    """The latest whole state of a run, if there is one."""
    if not folder.is_dir():
        return None
    found = sorted((path for path in folder.iterdir() if re.fullmatch(r"\d{9}", path.name)), reverse=True)
    for path in found:
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log.warning("the state %s is damaged (%s)", path, error)
    if found:
        raise RestorationError(f"No state in {folder} is whole. Choose another output folder, or delete this one.")
    return None


def _read(path: Path) -> State:
    about = json.loads((path / DESCRIPTION).read_text("utf-8"))
    if about.pop("format") != FORMAT:
        raise ValueError(f"{DESCRIPTION} is of another kind")
    tensors: dict[str, Tensors] = {}
    for name, expected in about.pop("files").items():
        if digest(path / name) != expected["sha256"]:
            raise ValueError(f"{name} is not as it was written")
        tensors.setdefault(name.rpartition("-")[0], {}).update(load_file(path / name))
    return State(about.pop("iteration"), tensors, about)


def parted(tensors: Tensors) -> list[Tensors]:
    """The same in order, in parts none of which makes a file larger than it should be, if one tensor alone does not."""
    parts: list[Tensors] = [{}]
    room = LARGEST_FILE
    for name, tensor in tensors.items():
        if tensor.nbytes > room and parts[-1]:
            parts.append({})
            room = LARGEST_FILE
        parts[-1][name] = tensor.detach().cpu().contiguous()
        room -= tensor.nbytes
    return parts


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """What is not the same in two descriptions, as `name: was, is`."""
    told = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            told += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            told.append(f"{prefix}{name} was {old}, is {new}")
    return told
