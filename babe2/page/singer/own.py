"""Checkpoints of visitors: each is known on the page by a name that nobody can guess, and to its visitor only."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from babe2.checkpoints.checkpoint import CONFIG, WEIGHTS

PREFIX = "own:"  # no checkpoint of a manifest, no repository and no path on the page begins so


@dataclass(frozen=True)
class OwnCheckpoint:
    """What was learned from a visitor's recordings, as it was when he took it to use."""

    name: str
    title: str  # as its visitor calls it: to be shown, and nothing else
    folder: Path
    parent: str  # the checkpoint of the manifest, or of the Hub, from which it was trained further
    about: str  # for its card
    steps: int  # that were learned


class OwnCheckpoints:
    """Those there are, by name."""

    def __init__(self) -> None:
        self._held: dict[str, OwnCheckpoint] = {}
        self._lock = threading.Lock()

    def add(self, run: Path, home: Path, title: str, parent: str, about: str, steps: int) -> OwnCheckpoint:
        """Keeps a run's checkpoint as it is in a new folder in `home`, the visitor's: the run itself may go on."""
        name = PREFIX + secrets.token_urlsafe(16)
        folder = home / f"own-{secrets.token_hex(4)}"
        folder.mkdir()
        for file in (WEIGHTS, CONFIG):
            second_name(run / file, folder / file)
        own = OwnCheckpoint(name, title, folder, parent, about, steps)
        with self._lock:
            self._held[name] = own
        return own

    def find(self, name: object) -> OwnCheckpoint | None:
        """The checkpoint of this name; None for whatever is no such name, or not any more."""
        with self._lock:
            return self._held.get(name) if isinstance(name, str) else None

    def beside(self, name: object) -> list[OwnCheckpoint]:
        """All of the visitor whose checkpoint this is, the latest first."""
        own = self.find(name)
        with self._lock:
            return [one for one in reversed(self._held.values()) if own and one.folder.parent == own.folder.parent]

    def remove(self, home: Path) -> None:
        """Deletes those in `home`."""
        with self._lock:
            gone = [name for name, own in self._held.items() if own.folder.parent == home]
            folders = [self._held.pop(name).folder for name in gone]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def second_name(file: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where a disk knows no such thing; a run replaces its files, and never
    writes into them."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


OWN = OwnCheckpoints()  # of all visitors, as restorers are
