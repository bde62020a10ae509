"""Restoring as a stage: what `Restorer.restore` does, by any method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from babe2 import audio
from babe2.config import DEFAULT_CHECKPOINT, STAGE, setting
from babe2.degradations.given import read_response
from babe2.degradations.spec import names_a_file
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.recordings.recorded import Audio
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.stages.base import Bench, Stage, Staged

SAMPLING = 0.98  # of the work; the rest is bringing it back to the recording's rate
FILES = ("response", "reference")  # that a wish may be read from
WORDS, NUMBERS = ("method", "preset"), ("brightness", "start", "duration")  # that a wish is


@dataclass(frozen=True)
class Restore(Stage):
    """Gives the music back what the machine took away."""

    name: ClassVar[str] = "restore"
    does: ClassVar[str] = "Undoes the old machine's colour, and imagines what it lost as the chosen prior knows it."

    checkpoint: str = setting(DEFAULT_CHECKPOINT, STAGE, "Which music", "Of `babe2 checkpoints list`")
    # Those of `Restorer.restore`, which checks them; response and reference may be files.
    wishes: dict[str, Any] = field(default_factory=dict)

    def changed(self, **overrides: Any) -> Self:
        checkpoint = str(overrides.pop("checkpoint", self.checkpoint))
        for name, value in overrides.items():  # as a file may say anything
            if (name in WORDS and not isinstance(value, str)) or (name in NUMBERS and not _is_number(value)):
                raise RestorationError(f"In restore, {name} cannot be {value!r:.80}.")
        return replace(self, checkpoint=checkpoint, wishes=self.wishes | overrides)

    def as_dict(self) -> dict[str, Any]:
        return {"checkpoint": self.checkpoint, **self.wishes}

    def places(self) -> dict[str, str]:
        named = [name for name in self.wishes if name in FILES]
        files = {name: str(self.wishes[name]) for name in named}
        if names_a_file(str(degradation := self.wishes.get("degradation", ""))):
            files["degradation"] = str(degradation)
        return super().places() | files

    def prepare(self, bench: Bench) -> None:
        super().prepare(bench)
        restorer = bench.restorer(self.checkpoint)
        restorer.check(**read_files(self.wishes, restorer))

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        restorer = bench.restorer(self.checkpoint)
        restoration = restorer.restore_sound(
            TapeSound(recording, sample_rate),
            None if bench.folder is None else bench.folder / "restoration",
            bench.about,
            unfinished="discard" if bench.unfinished == "discard" else "resume",
            on_step=lambda step: bench.on_share(SAMPLING * step.share),
            cancelled=bench.cancelled,
            **read_files(self.wishes, restorer),
        )
        return _Restored(recording, sample_rate, restoration)


def read_files(wishes: Mapping[str, Any], restorer: Restorer) -> dict[str, Any]:
    """Wishes of `Restorer.restore`, with what is in the files that its response and its reference name."""
    read = dict(wishes)
    if isinstance(path := read.get("reference"), str | Path):
        good = audio.read(path)
        read["reference"] = restorer.reference_of(good.audio, good.sample_rate)
    if isinstance(path := read.get("response"), str | Path):
        read["response"] = read_response(path, restorer.model.sample_rate)
    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


class TapeSound:
    """A tape as a recording that can be read block by block."""

    def __init__(self, tape: Tape, sample_rate: int) -> None:
        self._tape, self.sample_rate = tape, sample_rate
        self.channels, self.samples = tape.channels, tape.samples

    def blocks(self) -> Iterator[Audio]:
        return (block.numpy() for block in self._tape.blocks())


class _Restored(Staged):
    def __init__(self, recording: Tape, sample_rate: int, restoration: Restoration) -> None:
        super().__init__(recording, sample_rate)
        self._restoration = restoration
        self.sample_rate, self.samples = restoration.sample_rate, restoration.samples
        self.found = restoration.report | {"statement": restoration.provenance.statement}
        self._blocks, self._held, self._place = restoration.blocks(), torch.zeros(self.channels, 0), 0

    def _read(self, start: int, stop: int) -> Tensor:
        """It comes in one go from its beginning; what an earlier run has made already is passed over."""
        while self._place + self._held.shape[1] < stop:
            self._place, self._held = self._after(start)
            block = torch.from_numpy(np.ascontiguousarray(next(self._blocks)))
            self._held = torch.cat([self._held, block], dim=1)
        self._place, self._held = self._after(start)
        return self._held[:, : stop - start].clone()

    def _after(self, start: int) -> tuple[int, Tensor]:
        """What is held from a place on, and where it begins."""
        passed = min(max(start - self._place, 0), self._held.shape[1])
        return self._place + passed, self._held[:, passed:]

    def close(self) -> None:
        self._restoration.storage.discard()
