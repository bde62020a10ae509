"""A degradation as a person describes it: some words, of which an operator is made for each place of a recording.

A segment sees only a part of the recording, at another level and mostly at another rate. So what is wished, noted in
the report and compared by the journal is a `Described`; what a solver works with is the `Degradation` that it makes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from babe2.degradations.base import Degradation
from babe2.dsp.curves import Curve

# What can be undone in closed form: what is done to every frequency by itself, and what to every sample.
Treats = Literal["frequencies", "samples", "sounds"]


@dataclass(frozen=True, eq=False)
class Place:
    """A part of a recording, as a solver sees it."""

    samples: Tensor  # (B, T) which sample of the whole recording each one is; mirrored ends come twice
    sample_rate: int  # Hz
    recorded_rate: int  # Hz, of the file to which it happened
    gain: Tensor  # (B, 1) or (B, T) by which the recording was multiplied
    generator: torch.Generator  # for what is drawn anew

    @classmethod
    def whole(cls, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Place:
        """All of a recording (C, T) as it is."""
        samples = torch.arange(audio.shape[-1], device=audio.device).expand(len(audio), -1)
        return cls(samples, sample_rate, sample_rate, audio.new_ones(len(audio), 1), generator)

    @property
    def resampled(self) -> bool:
        """Whether it happened at another rate: samples next to a place that was hit then have their share of it."""
        return self.sample_rate != self.recorded_rate


class Described(ABC):
    """Words for what happened to a recording."""

    name: ClassVar[str]
    form: ClassVar[str]  # how a person writes it

    @property
    @abstractmethod
    def treats(self) -> Treats:
        """What it does something to by itself; of anything else than sounds, closed forms are known."""

    @property
    def parts(self) -> tuple[Described, ...]:
        """The single degradations it is made of, in their order."""
        return (self,)

    @property
    def closed_form(self) -> bool:
        """Whether it can be undone without a gradient: frequencies first, and then samples."""
        order = [part.treats for part in self.parts]
        return "sounds" not in order and order == sorted(order)

    @property
    @abstractmethod
    def text(self) -> str:
        """As a person would write it."""

    def as_dict(self) -> dict[str, Any]:
        """For a report and a journal: all that decides what it does."""
        return {"text": self.text}

    def check(self, recorded_rate: int, model_rate: int) -> None:  # noqa: B027 (few have to)
        """Refuses a recording of a rate for which it has no meaning, when it is restored at the model's."""

    def curve(self, recorded_rate: int) -> Curve | None:
        """Its response, for one that treats frequencies."""
        return None

    @abstractmethod
    def at(self, place: Place) -> Degradation:
        """What it does there."""

    def applied(self, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        """audio (C, T), degraded on purpose."""
        return self.at(Place.whole(audio, sample_rate, generator))(audio)
