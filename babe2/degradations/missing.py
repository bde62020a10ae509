"""Missing samples: drop-outs, every N-th sample only, or a few drawn at random (compressive sensing)."""

from __future__ import annotations

import csv
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from babe2.degradations.base import Samplewise
from babe2.degradations.described import Described, Place, Treats
from babe2.errors import RestorationError

REACH = 16  # samples of the lower rate on either side of a gap that a change of rate has spread it over
MOST_GAPS = 1_000_000


class Missing(Samplewise):
    """Some samples are known, and the others are silent."""

    def __init__(self, known: Tensor) -> None:
        self._known = known  # (B, T)

    @property
    def linear(self) -> bool:
        return True

    def __call__(self, clean: Tensor) -> Tensor:
        return clean * self._known.to(clean)

    def known(self, recording: Tensor) -> Tensor:
        return self._known

    def faithful(self, clean: Tensor, recording: Tensor) -> Tensor:
        return torch.where(self._known, recording, clean)


@dataclass(frozen=True)
class Gaps(Described):
    """Stretches that were lost."""

    name: ClassVar[str] = "gaps"
    form: ClassVar[str] = "gaps:FILE.csv with a line `start,stop` in seconds for each"
    spans: tuple[tuple[float, float], ...]  # seconds from the recording's beginning, ascending, apart
    file: str = ""

    @classmethod
    def between(cls, spans: list[tuple[float, float]], file: str = "") -> Gaps:
        """Gaps from pairs of seconds, in any order; what overlaps becomes one."""
        told = f" of {file}" if file else ""
        if not spans:
            raise RestorationError(f"There is no gap in the list{told}. Give lines `start,stop` in seconds.")
        for start, stop in spans:
            if not 0 <= start < stop < math.inf:
                raise RestorationError(
                    f"A gap{told} cannot last from {start:g} s to {stop:g} s. Give start < stop, from 0 s on."
                )
        joined: list[tuple[float, float]] = []
        for start, stop in sorted(spans):
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(stop, joined[-1][1])
            else:
                joined.append((float(start), float(stop)))
        return cls(tuple(joined), file)

    @classmethod
    def of_file(cls, path: str) -> Gaps:
        """Gaps from a CSV file; a first line of words is passed over."""
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as lines:
                rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
        except OSError as error:
            raise RestorationError(f"{path} cannot be read ({error.strerror}). Give a CSV file of gaps.") from None
        except (UnicodeDecodeError, csv.Error):
            raise RestorationError(f"{path} is no text. Give a CSV file with lines `start,stop` in seconds.") from None
        if len(rows) > MOST_GAPS:
            raise RestorationError(f"{path} lists {len(rows)} gaps. Give a million or fewer at a time.")
        spans = []
        for number, row in enumerate(rows, start=1):
            try:
                start, stop = (float(cell) for cell in row)
            except ValueError:
                if number == 1:
                    continue
                raise RestorationError(
                    f"Line {number} of {path} is no gap: {','.join(row)!r:.80}. Give `start,stop` in seconds."
                ) from None
            spans.append((start, stop))
        return cls.between(spans, path)

    @property
    def treats(self) -> Treats:
        return "samples"

    @property
    def text(self) -> str:
        return f"gaps:{self.file}"

    def as_dict(self) -> dict[str, Any]:
        exact = repr(self.spans).encode()
        seconds = sum(stop - start for start, stop in self.spans)
        return {
            "text": self.text,
            "gaps": len(self.spans),
            "seconds": round(seconds, 6),
            "sha256": hashlib.sha256(exact).hexdigest(),
        }

    def at(self, place: Place) -> Missing:
        reach = REACH / min(place.sample_rate, place.recorded_rate) if place.resampled else 0.0
        edges = torch.tensor(self.spans, dtype=torch.float64) + torch.tensor([-reach, reach], dtype=torch.float64)
        # The first sample of each gap, and the first behind it; where widened gaps meet, the later stop counts.
        starts, stops = (edges * place.sample_rate - 1e-6).ceil().long().unbind(dim=1)
        samples = place.samples.cpu()
        last = torch.searchsorted(starts.contiguous(), samples.contiguous(), right=True) - 1
        missing = (last >= 0) & (samples < stops.cummax(dim=0).values[last.clamp(min=0)])
        return Missing(~missing.to(place.samples.device))


@dataclass(frozen=True)
class EveryNth(Described):
    """Only one of N samples is known: decimation without a filter before it."""

    name: ClassVar[str] = "decimate"
    form: ClassVar[str] = "decimate:N,raw"
    factor: int

    def __post_init__(self) -> None:
        if not 2 <= self.factor <= 1000:
            raise RestorationError(f"Of {self.factor} samples one cannot be kept. Decimate by 2 or more.")

    @property
    def treats(self) -> Treats:
        return "samples"

    @property
    def text(self) -> str:
        return f"decimate:{self.factor},raw"

    def check(self, recorded_rate: int, model_rate: int) -> None:
        refuse_resampled(self.text, recorded_rate, model_rate)

    def at(self, place: Place) -> Missing:
        self.check(place.recorded_rate, place.sample_rate)
        return Missing(place.samples % self.factor == 0)


@dataclass(frozen=True)
class Sensed(Described):
    """Compressive sensing: a share of all samples, drawn at random, is known."""

    name: ClassVar[str] = "sense"
    form: ClassVar[str] = "sense:SHARE, of all samples between 0 and 1, or sense:SHARE,seed=N"
    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise RestorationError(
                f"A share of {self.share:g} of all samples cannot be known. Give one between 0 and 1."
            )

    @property
    def treats(self) -> Treats:
        return "samples"

    @property
    def text(self) -> str:
        return f"sense:{self.share:g},seed={self.seed}"

    def check(self, recorded_rate: int, model_rate: int) -> None:
        refuse_resampled(self.text, recorded_rate, model_rate)

    def at(self, place: Place) -> Missing:
        self.check(place.recorded_rate, place.sample_rate)
        drawn = scattered(place.samples.cpu().numpy(), self.seed)
        return Missing(torch.from_numpy(drawn < self.share).to(place.samples.device))


def scattered(places: np.ndarray[Any, np.dtype[np.int64]], seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A number between 0 and 1 for each place, the same wherever in a recording one begins (SplitMix64)."""
    x = places.astype(np.uint64) + np.uint64(1 + (seed * 0x632BE59BD9B4E019) % 2**63)
    with np.errstate(over="ignore"):
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((x ^ (x >> np.uint64(31))) / 2.0**64, dtype=np.float64)


def refuse_resampled(text: str, recorded_rate: int, model_rate: int) -> None:
    """Refuses a recording whose samples are not those that are restored."""
    if recorded_rate != model_rate:
        raise RestorationError(
            f"{text} names single samples, which a recording at {recorded_rate} Hz loses when it is restored at "
            f"{model_rate} Hz. Degrade a recording at {model_rate} Hz."
        )
