"""The certainty map: for each cell of time and frequency, what was measured, what inferred and what imagined."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.certainty.cells import Grid, held
from babe2.certainty.recording import Recording
from babe2.certainty.spread import agreement_db, levels, spread
from babe2.certainty.stated import CLEAR_DB, INFERRED_DB, MEASURED_DB, SAME_DB, within_db
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.replacing import replacing, write_text

KINDS = ("measured", "inferred", "imagined")
RUNS = 3  # samples of a restoration, the one that is heard among them
SILENT = -1  # in files, the kind of cells in which nothing sounds
SOUNDS_DB = -60.0  # below the loudest cell: what is weaker is not counted
ABOVE_HZ = 4000.0  # the treble, of which a sentence of its own is said
_OCTAVES_HZ = tuple(62.5 * 2.0**octave for octave in range(10))


def runs(certainty: bool) -> int:
    """How often a recording is restored, where certainty is asked for and where not."""
    return RUNS if certainty else 1


@dataclass(frozen=True, eq=False)
class CertaintyMap:
    """What is known of each cell of time and frequency, of all channels together, below the prior's highest frequency.

    *Measured* is what the recording holds clear above its noise, so that all samples are one sound, and through a
    response that is sure. *Inferred* is what it holds less clearly, or through a response that is less sure, and what
    samples agree on otherwise; all else is *imagined*.
    """

    grid: Grid
    level_db: Tensor  # (N, K) of the restoration, dB of full scale
    within_db: Tensor  # (N, K) nine times in ten the truth's level is so near
    kind: Tensor = field(repr=False)  # (N, K) place in KINDS, also where nothing sounds

    @property
    def sounding(self) -> Tensor:
        """Where something sounds (N, K): what is far below the loudest cell is not counted."""
        return self.level_db > self.level_db.max() + SOUNDS_DB

    def of_kind(self, name: str) -> npt.NDArray[np.float32]:
        """How much of each cell is of a kind (N, K), 0 or 1; where nothing sounds it is 0 of every kind."""
        return ((self.kind == KINDS.index(name)) & self.sounding).float().numpy()

    @property
    def measured(self) -> npt.NDArray[np.float32]:
        """How much of each cell was measured (N, K)."""
        return self.of_kind("measured")

    @property
    def inferred(self) -> npt.NDArray[np.float32]:
        """How much of each cell was inferred (N, K)."""
        return self.of_kind("inferred")

    @property
    def imagined(self) -> npt.NDArray[np.float32]:
        """How much of each cell was imagined (N, K)."""
        return self.of_kind("imagined")

    # In percent

    @property
    def seconds(self) -> Tensor:
        """The middle of each cell (N,)."""
        return self.grid.seconds

    @property
    def hertz(self) -> Tensor:
        """The middle of each band (K,)."""
        return self.grid.hertz

    def percent(self, low_hz: float = 0.0, high_hz: float = float("inf")) -> dict[str, float] | None:
        """Which share of what sounds from one frequency up to, but not on, another is of which kind, in percent.

        None where nothing sounds there.
        """
        inside = (self.hertz >= low_hz) & (self.hertz < high_hz)
        found = self.kind[:, inside][self.sounding[:, inside]]
        if not len(found):
            return None
        return {name: round(100 * float((found == kind).double().mean()), 1) for kind, name in enumerate(KINDS)}

    def octaves(self) -> Iterator[tuple[float, int, dict[str, float] | None]]:
        """For each octave its middle, Hz, how many cells of it sound, and their kinds in percent."""
        for middle in _OCTAVES_HZ:
            low_hz, high_hz = middle / 2**0.5, middle * 2**0.5
            inside = (self.hertz >= low_hz) & (self.hertz < high_hz)
            if inside.any():
                yield middle, int(self.sounding[:, inside].sum()), self.percent(low_hz, high_hz)

    def as_dict(self) -> dict[str, Any]:
        """The percentages, in plain numbers for a report."""
        octaves = [{"octave_hz": hertz, "cells": cells, **(shares or {})} for hertz, cells, shares in self.octaves()]
        return {"samples": RUNS, "percent": self.percent(), "octaves": octaves, "words": self.words}

    @property
    def words(self) -> str:
        """The percentages in a sentence."""
        whole, treble = self.percent(), self.percent(low_hz=ABOVE_HZ)
        if whole is None:
            return "Nothing sounds in it."
        said = f"Of what sounds {_listed(whole)}"
        return f"{said}; above {ABOVE_HZ / 1000:.0f} kHz {_listed(treble)}." if treble else f"{said}."

    # As files

    def save(self, path: str | Path) -> Path:
        """Writes the cells as .npz, or the percentages of each octave as .csv, as the name says."""
        path = Path(path)
        try:
            if path.suffix.lower() == ".csv":
                write_text(path, self.table())
            elif path.suffix.lower() == ".npz":
                self._save_cells(path)
            else:
                raise RestorationError(f"{path} is neither a .npz nor a .csv file. Choose such a name.")
        except OSError as error:
            raise RestorationError(f"{path} cannot be written ({error.strerror}). Choose another place.") from None
        return path

    def _save_cells(self, path: Path) -> None:
        with replacing(path) as new, open(new, "wb") as file:
            np.savez_compressed(
                file,
                seconds=self.seconds.numpy(),
                hertz=self.hertz.numpy(),
                level_db=self.level_db.numpy(),
                within_db=self.within_db.numpy(),
                kind=torch.where(self.sounding, self.kind, SILENT).to(torch.int8).numpy(),
                kinds=np.array(KINDS),
            )

    def table(self) -> str:
        """The percentages as CSV, an octave in each row."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("octave_hz", "cells", *(f"{name}_percent" for name in KINDS)))
        for hertz, cells, shares in self.octaves():
            writer.writerow((hertz, cells, *(["", "", ""] if shares is None else (shares[name] for name in KINDS))))
        return text.getvalue()


def certainty_of(samples: Sequence[Tape], recording: Recording, sample_rate: int) -> CertaintyMap:
    """The map of a restoration (C, T), the first of several samples of it, made of a recording at the same rate."""
    found = held(samples, sample_rate)
    grid, level, same = found.grid, levels(found.power), agreement_db(found) > SAME_DB
    clearness = recording.clearness_db(grid)
    heard = same | recording.holds(grid)
    within = within_db(spread(level), recording.within.gain_db(grid.hertz).float(), clearness, heard)
    clear = same & (clearness > CLEAR_DB)
    kind = torch.where(clear & (within <= MEASURED_DB), 0, torch.where(clear | (within <= INFERRED_DB), 1, 2))
    return CertaintyMap(grid, level[0], within, kind)


def _listed(shares: Mapping[str, float]) -> str:
    first, *others = (f"{share:.0f} % was {name}" for name, share in shares.items())
    rest = [words.replace(" was", "") for words in others]
    return f"{first}, {rest[0]} and {rest[1]}"
