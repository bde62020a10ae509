"""A restored recording: its sound, its response, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from torch import Tensor

from babe2.audio import write_blocks
from babe2.certainty.fade import Faded, check_imagined
from babe2.certainty.map import CertaintyMap
from babe2.dsp.curves import Curve, SampledCurve, behind
from babe2.dsp.tape import Tape
from babe2.dsp.waveform import as_sample_rate
from babe2.errors import RestorationError
from babe2.provenance import SOFTWARE, Provenance
from babe2.recordings.chunks import Tags
from babe2.recordings.journal import Storage
from babe2.recordings.recorded import Audio, OnBlock, Recorded, counted

STATED = 0.9  # how probably the true response lies within the stated uncertainty


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored recording and how it was made."""

    recorded: Recorded = field(repr=False)
    restored: Tape = field(repr=False)  # (channels, samples) at the model's rate
    storage: Storage = field(repr=False)  # on which it was made; where that is a journal, it may be discarded now
    sample_rate: int
    equalizer: Curve  # how the objective was coloured: of several segments the misfit-weighted mean, in dB
    equalizers: tuple[Curve, ...]  # of each segment
    seed: int | None  # None when the noise was given
    report: dict[str, Any]  # for machines: settings, checkpoint, segments, versions, warnings
    ltas_response: SampledCurve | None = None  # what LTAS-EQ had taken off before (section 3.4)
    uncertainty: SampledCurve | None = None  # dB, within which STATED of true responses lie; None: nobody can say
    certainty: CertaintyMap | None = field(default=None, repr=False)  # where it was asked for
    history: tuple[tuple[float, Curve], ...] = ()  # (sigma, response) after each step of the first run
    seconds: float | None = None  # that are finished, where it was stopped
    amount: float = 1.0

    @property
    def response(self) -> Curve:
        """How the old machine coloured the recording: the equalizer behind what LTAS-EQ took off (Eq. 11)."""
        return behind(self.equalizer, self.ltas_response)

    def response_interval(self, frequencies: Tensor, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Between which gains (F,), dB, the true response lies at frequencies (F,), Hz, with a probability of `level`.

        Errors are taken for normally distributed where another probability is asked for than the stated 0.9. A response
        that was given is sure: both are its gains.
        """
        if not 0 < level < 1:
            raise RestorationError(f"A level is a probability between 0 and 1, so it cannot be {level!r:.80}.")
        gain = self.response.gain_db(frequencies)
        if "response" in self.report:
            return gain, gain
        if self.uncertainty is None:
            raise RestorationError(
                "How sure this response is cannot be said: its method states none. Restore with the method bandwise."
            )
        likely = NormalDist()
        wider = likely.inv_cdf((1 + level) / 2) / likely.inv_cdf((1 + STATED) / 2)
        within = wider * self.uncertainty.gain_db(frequencies)
        return gain - within, gain + within

    @property
    def provenance(self) -> Provenance:
        """By what it was made, and which of its sound is generated."""
        return Provenance.of(
            self.report,
            model_rate=self.recorded.model_rate,
            recorded_rate=self.recorded.rate,
            sample_rate=self.sample_rate,
            seconds=None if self.seconds is None else self.samples / self.sample_rate,
        )

    def marked(self, tags: Tags | None = None) -> Tags:
        """Its recording's tags, and behind them the mark that says what in a file of it is generated."""
        return (tags or Tags()).marked(self.provenance.statement, SOFTWARE)

    @property
    def samples(self) -> int:
        """Per channel."""
        if self.seconds is None:
            return self.recorded.length(self.sample_rate)
        return int(self.seconds * self.sample_rate)

    def blocks(self, samples: int | None = None) -> Iterator[Audio]:
        """All of its sound, or the first so many samples, (channels, n) at a time."""
        left = self.samples if samples is None else min(samples, self.samples)
        above = self.report.get("keeps_above", True)
        for block in self.recorded.bring_back(self.restored, self.sample_rate, self.amount, above=above):
            yield np.ascontiguousarray(block[:, :left])
            left -= block.shape[1]
            if left <= 0:
                return

    @cached_property
    def audio(self) -> Audio:
        """(channels, samples)"""
        return np.concatenate(list(self.blocks()), axis=1)

    def first(self, seconds: float) -> Audio:
        """So many seconds of it, or all."""
        return np.concatenate(list(self.blocks(round(seconds * self.sample_rate))), axis=1)

    def at_rate(self, sample_rate: int) -> Restoration:
        """The same as if it had been asked for at another sample rate."""
        return replace(self, sample_rate=as_sample_rate(sample_rate))

    def mixed(self, amount: float) -> Restoration:
        """The restoration with its recording mixed back in: all of it at amount 0, none at 1."""
        check_amount(amount)
        if not self.report["changes"]:  # nothing to mix
            return self
        return replace(self, amount=amount, report=self.report | {"amount": amount})

    def with_imagined(self, left: float) -> Restoration:
        """The restoration with only so much left of what is imagined in it: all at 1, nothing at 0; see `certainty`."""
        check_imagined(left)
        if self.certainty is None:
            raise RestorationError("It is not known what of this is imagined. Restore it with certainty=True.")
        if left == 1:
            return self
        faded = Faded(self.restored, self.certainty, left)
        return replace(self, restored=faded, report=self.report | {"imagined": left})

    def save(
        self,
        path: str | Path,
        subtype: str | None = None,
        tags: Tags | None = None,
        overwrite: bool = True,
        on_block: OnBlock = lambda seconds: None,
    ) -> Path:
        """Writes the audio: PCM_24, or FLOAT where a peak passes full scale. Never scaled, never clipped.

        The file says of itself, wherever its format has a place for it, what in it is generated (its mark); the
        recording's own `tags` stay beside it.
        """
        return write_blocks(
            path,
            lambda: counted(self.blocks(), self.sample_rate, on_block),
            self.sample_rate,
            subtype=subtype,
            tags=self.marked(tags),
            overwrite=overwrite,
            draft=self.storage.draft(Path(path)),
        )


def check_amount(amount: float) -> None:
    if not 0 <= amount <= 1:
        raise RestorationError(f"The amount of restoration lies between 0 and 1, not at {amount}.")
