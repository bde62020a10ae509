"""The end of mastering: as loud as wished, no peak above a ceiling, and rounded to 24 bits.

The ceiling holds for the sound between the samples, too. No limiter alone can promise that, as a gain that moves makes
new peaks: so the recording is limited, measured again, and trimmed by what is still above.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.dither import Dither, rounded
from babe2.dsp.loudness import loudness_of_tape
from babe2.dsp.peaks import limiting_gain, peaks, release_reach, true_peak
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, Watched, sounds
from babe2.stages.pieces import PIECE, InPieces

LOOK_AHEAD_SECONDS = 0.005
RELEASE_DB = 40.0  # a second
MOST_DB, MOST_LIMITED_DB = 40.0, 12.0  # by which a recording is made louder; and by which a peak is made softer
SAFE_DB = 0.001  # below the ceiling: for the rounding
ROUNDS, NEAR_LU = 4, 0.1  # what a limiter takes of the loudness is added before it, so often or until it is that near
LEAST_GAINED = 0.3  # of each dB
FAR_LU = 0.5

Method = Literal["standard", "as-published"]
# As published: the highest sample, and the noise, which is that of about 14 bits.
PEAK, NOISE = 0.891, 1e-4
FAR = (
    "The wished loudness was not reached, as peaks would have had to be made softer by more than 12 dB. Wish for less, "
    "or compress more."
)
FAINT = (
    "The recording is so faint that it would have to be made more than 40 dB louder. It was made 40 dB louder; look "
    "whether it is the right file."
)


@dataclass(frozen=True)
class Finalise(Stage):
    """Brings a recording to its final level, and to 24 bits."""

    name: ClassVar[str] = "finalise"
    does: ClassVar[str] = "Makes it as loud as wished, keeps every peak below a ceiling, and rounds it to 24 bits."

    method: Method = setting(  # noqa: RUF009
        "standard",
        STAGE,
        "Method",
        "standard: true peaks below a ceiling; as-published: the highest sample at -1 dB, and more noise",
    )
    lufs: float = setting(
        0.0,
        STAGE,
        "Loudness (LUFS)",
        "Of the whole, such as -14; 0: as loud as the highest peak allows",
        "",
        lambda v: v == 0 or -50 <= v <= -5,
    )
    true_peak_db: float = setting(
        -1.0,
        STAGE,
        "Highest peak (dBTP)",
        "Nothing gets louder, between the samples either",
        "",
        lambda v: -20 <= v <= 0,
    )
    dither: Dither = setting(  # noqa: RUF009
        "triangular",
        STAGE,
        "Dither",
        "triangular: a hiss of -144 dB in place of distortion; shaped: less of it where the ear is keen; or none",
    )
    seed: int = setting(
        0, STAGE, "Seed", "Of the dither: the same seed gives the same bits", "", lambda v: 0 <= v < 2**32
    )

    def contradictions(self) -> Iterable[str]:
        if self.method == "as-published":
            usual = Finalise()
            yield from (
                name for name in ("lufs", "true_peak_db", "dither") if getattr(self, name) != getattr(usual, name)
            )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if not sounds(recording):
            return Untouched(recording, sample_rate)
        if self.method == "as-published":
            return _AsPublished(recording, sample_rate, self.seed)
        return _Finalised(*self._levelled(Watched(recording, bench), sample_rate), self)

    def _levelled(self, recording: Tape, sample_rate: int) -> tuple[_Levelled, _Measured]:
        """The recording as loud as wished, below the ceiling; and what it has become."""
        ceiling_db = self.true_peak_db - SAFE_DB
        heard = _Measured.of(recording, sample_rate)
        gain_db = ceiling_db - heard.highest_db
        if self.lufs and math.isfinite(heard.loudness):
            gain_db = self.lufs - heard.loudness
        most_db = min(MOST_DB, ceiling_db - heard.highest_db + MOST_LIMITED_DB)
        made = _Levelled(recording, sample_rate, min(gain_db, most_db), ceiling_db, heard.highest_db)
        if not made.limits:
            return made, heard.louder(made.gain_db)
        measured, gained, louder_db = made.trimmed(), heard.loudness, made.gain_db
        for _ in range(ROUNDS):
            short, gained = self.lufs - measured.loudness, measured.loudness - gained
            more_db = min(short / min(1.0, max(LEAST_GAINED, gained / louder_db)), most_db - made.gain_db)
            if short < NEAR_LU or more_db < NEAR_LU:
                break
            made, gained, louder_db = made.by(more_db), measured.loudness, more_db
            measured = made.trimmed()
        return made, measured


@dataclass(frozen=True)
class _Measured:
    """How loud a recording is."""

    highest_db: float  # its true peak, dBTP
    loudness: float  # LUFS

    @staticmethod
    def of(tape: Tape, sample_rate: int) -> _Measured:
        return _Measured(_decibels(true_peak(tape)), loudness_of_tape(tape, sample_rate))

    def louder(self, gain_db: float) -> _Measured:
        return _Measured(self.highest_db + gain_db, self.loudness + gain_db)


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-15))


class _Levelled(InPieces):
    """A recording times a gain, below a ceiling; all channels alike."""

    def __init__(self, recording: Tape, sample_rate: int, gain_db: float, ceiling_db: float, highest_db: float) -> None:
        super().__init__(recording, sample_rate)
        self.gain_db, self.trim_db, self.deepest_db = gain_db, 0.0, 0.0
        over_db = gain_db + highest_db - ceiling_db
        self.limits = over_db > 1e-6
        self._ceiling_db, self._highest_db = ceiling_db, highest_db
        self._release_db = RELEASE_DB / sample_rate
        self._ahead = max(1, round(LOOK_AHEAD_SECONDS * sample_rate))
        self._before = release_reach(max(over_db, 0.0), self._release_db)

    def by(self, gain_db: float) -> _Levelled:
        """The same, louder before it is limited."""
        return _Levelled(self.recording, self.sample_rate, self.gain_db + gain_db, self._ceiling_db, self._highest_db)

    def trimmed(self) -> _Measured:
        """What it has become, once it is made softer by what is still above the ceiling."""
        measured = _Measured.of(self, self.sample_rate)
        self.trim_db = min(0.0, self._ceiling_db - measured.highest_db)
        return measured.louder(self.trim_db)

    def _piece(self, start: int, stop: int) -> Tensor:
        x = self.recording.read(start, stop).double() * 10 ** (self.gain_db / 20)
        if self.limits:
            before = min(start, self._before)
            heard = peaks(self.recording, start - before - self._ahead, stop + self._ahead).double()
            over_db = (20 * heard.clamp(min=1e-15).log10() + self.gain_db - self._ceiling_db).clamp(min=0)
            gain_db = limiting_gain(over_db, self._ahead, self._release_db)[before:]
            self.deepest_db = min(self.deepest_db, float(gain_db.min()))
            x *= 10 ** (gain_db / 20)
        return x.float()

    def _read(self, start: int, stop: int) -> Tensor:
        return super()._read(start, stop) * 10 ** (self.trim_db / 20)


class _Finalised(InPieces):
    """A levelled recording on the grid of 24 bits."""

    def __init__(self, levelled: _Levelled, measured: _Measured, wished: Finalise) -> None:
        super().__init__(levelled, levelled.sample_rate)
        self._dither, self._seed = wished.dither, wished.seed
        self.found = {
            "gain_db": round(levelled.gain_db + levelled.trim_db, 2),
            "limited_db": round(levelled.deepest_db, 2),
            "true_peak_db": round(measured.highest_db, 2),
            "loudness_lufs": round(measured.loudness, 2) if math.isfinite(measured.loudness) else None,
        }
        if levelled.gain_db >= MOST_DB:
            self.found["warnings"] = [FAINT]
        elif wished.lufs and wished.lufs - measured.loudness > FAR_LU:
            self.found["warnings"] = [FAR]

    def _piece(self, start: int, stop: int) -> Tensor:
        return rounded(self.recording.read(start, stop), self._dither, (self._seed, start // PIECE))


class _AsPublished(Staged):
    """The highest sample at 0.891, noise of a triangular distribution, and what is beyond full scale cut off."""

    def __init__(self, recording: Tape, sample_rate: int, seed: int) -> None:
        super().__init__(recording, sample_rate)
        self._gain = PEAK / max(float(block.abs().max()) for block in recording.blocks())
        self._seed, self._drawn = seed, 0
        self._streams: list[np.random.RandomState] = []
        self.found = {"gain_db": round(_decibels(self._gain), 2)}

    def _read(self, start: int, stop: int) -> Tensor:
        noise = torch.stack([torch.from_numpy(each) for each in self._noise(start, stop)])
        return (self.recording.read(start, stop).double() * self._gain + NOISE * noise).clamp(-1, 1).float()

    def _noise(self, start: int, stop: int) -> list[np.ndarray]:
        """The original's noise; each channel's is a stream of its own, which can only be drawn from its beginning."""
        if not self._streams or start < self._drawn:
            self._streams = [np.random.RandomState(self._seed + channel) for channel in range(self.channels)]
            self._drawn = 0
        while self._drawn < start:
            count = min(PIECE, start - self._drawn)
            for stream in self._streams:
                stream.random_sample(count)  # a triangular draw takes one number
            self._drawn += count
        self._drawn = stop
        return [stream.triangular(-1, 0, 1, stop - start) for stream in self._streams]
