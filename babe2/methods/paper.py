"""The published program, evaluation for evaluation: what it does otherwise than `guided` is all here.

1. channels are folded to one, and the low band is not put back;
2. the last step of the second-order sampler is computed and dropped;
3. guidance is scaled by the training length, over the whole batch;
4. the fit begins with half the outer slope, and sees the finished overlap of a segment as well;
5. a last segment hangs over the recording's end, and its padding counts as music when the level is measured, as does
   silence; silent and finished segments are sampled like any other;
6. the floor of LTAS-EQ is measured from the level of the training data;
7. one equalizer for all may be asked for on more segments than there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from babe2.config import PIANO, Column, GuidanceLengthSettings
from babe2.degradations.response import BlindColouring
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.methods.base import Filtered, Method, Work
from babe2.methods.guided import Guided, GuidedSettings
from babe2.methods.ltas_eq import equalised
from babe2.sampler import Settled

# What a checkpoint whose own method is another one borrows from the piano column for the published algorithm.
BORROWED = ("steps", "order", "sigma_start", "sigma_min", "churn", "ltas")


@dataclass(frozen=True)
class PaperSettings(GuidedSettings, GuidanceLengthSettings):
    """The published column (paper, table 3)."""

    def idle(self, response_known: bool = False) -> dict[str, str]:
        idle = {"guidance_length": "guidance_strength is 0"} if self.guidance_strength == 0 else {}
        return super().idle(response_known) | idle


class Paper(Guided):
    """The published algorithm."""

    name = "paper"
    title = "As published"
    does = "BABE-2 to the letter"
    settings_class = PaperSettings
    folds = True
    keeps_silence = False
    settings: PaperSettings

    @classmethod
    def as_in(cls, preset: str) -> type[Method]:
        if preset == "draft":
            raise RestorationError("The published algorithm has no draft. Choose the preset paper, or solver = guided.")
        return cls

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        published = PIANO.settings(PaperSettings)
        borrowed = {} if column.method == PIANO.method else {name: getattr(published, name) for name in BORROWED}
        return borrowed | {"keep_low_band": False}

    def starts(self, samples: int) -> list[int]:
        return self._starts(samples, last_fits=False)

    def equalised(self, work: Work) -> Filtered | None:
        return None if self.ltas == "off" else equalised(work, self.settings, as_is=True)

    def level_factor(self, work: Work, tape: Tape) -> Tensor:
        return work.level_factor(tape, self.settings.level, silence_counts=True)

    def blind(self, sample_rate: int) -> BlindColouring:
        # Its first projection brings the outer slopes to where they are held.
        return BlindColouring(self.settings, sample_rate, outer_slope_db=self.settings.slope_limit_db)

    def heard(self, settled: Settled | None) -> slice:
        return slice(None)

    def joint(self, segments: int) -> int:
        return self.settings.blind_segments

    def needs(self, settled: Tensor) -> bool:
        return True

    @property
    def hooks(self) -> dict[str, Any]:
        def whole_batch(pull: Tensor) -> Tensor:
            return pull.norm() / self.settings.guidance_length**0.5

        return {"size": whole_batch} | (DROPS_LAST_STEP if self.settings.order == 2 else {})


DROPS_LAST_STEP: dict[str, Any] = {"last": lambda before, arrived: before}
