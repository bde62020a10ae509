"""Changing nothing: the recording at another sample rate, to be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from babe2.config import Settings
from babe2.dsp.curves import FLAT
from babe2.methods.base import Filtered, Method, Work


@dataclass(frozen=True)
class NothingSettings(Settings):
    """None."""


class Nothing(Method):
    """The recording as it is."""

    name = "none"
    title = "Unchanged"
    does = "the recording, to compare with"
    settings_class = NothingSettings
    takes_response = False
    changes: ClassVar[bool] = False

    @classmethod
    def as_in(cls, preset: str) -> type[Method]:
        return cls

    def begin(self, work: Work) -> Filtered:
        return Filtered(work.observation, FLAT)
