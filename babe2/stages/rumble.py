"""Rumble: what shakes below the music, and a constant offset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.spectra import decibels, power_spectrogram, quantiles
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces, filtered

LOWEST_HZ, HIGHEST_HZ = 20.0, 60.0  # of a corner that is chosen: below the one nothing is heard, above is music
SLOPE = 0.5  # from the corner down to where nothing is left, as a share of the corner
RIPPLE_DB = 70.0  # below which nothing that was taken away is left
FRAME_SECONDS = 1.0
SHARES = (0.25, 0.95)  # of the frames: what is always there, and what comes and goes
LIVELY_DB = 7.0  # music comes and goes by more; in a third of an octave, noise as steady as rumble by less
FEWEST = 8  # frames: of fewer, nobody can say what comes and goes
FAINT_DB = -70.0  # below the whole recording: not worth a filter
FRAMES_HELD = 1200  # in all: of a long recording every second, third ... is looked at


@dataclass(frozen=True)
class Rumble(Stage):
    """Takes away what shakes below the music."""

    name: ClassVar[str] = "rumble"
    does: ClassVar[str] = "Takes away the rumble below the lowest notes, and any constant offset."

    corner_hz: float = setting(
        0.0,
        STAGE,
        "Corner (Hz)",
        "What lies below goes; 0 finds the place itself",
        "",
        lambda v: v == 0 or 5 <= v <= 200,
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if not sounds(recording):
            return Untouched(recording, sample_rate)
        low = Low.of(recording, sample_rate)
        corner = self.corner_hz or low.corner()
        if not self.corner_hz and low.level_db(corner) < FAINT_DB:
            untouched = Untouched(recording, sample_rate)
            untouched.found = {"corner_hz": None, "level_db": round(low.level_db(corner), 1)}
            return untouched
        return _Steady(recording, sample_rate, corner, low.level_db(corner))


@dataclass(frozen=True)
class Low:
    """The lowest part of a recording's spectrum, frame by frame."""

    hertz: Tensor  # (F,)
    power: Tensor  # (F, N), of all channels
    whole: float  # the mean power of all frequencies

    @staticmethod
    def of(recording: Tape, sample_rate: int) -> Low:
        length = round(FRAME_SECONDS * sample_rate)
        count = max(1, recording.samples // length)
        step = -(-count // FRAMES_HELD)
        hertz = torch.arange(length // 2 + 1) * (sample_rate / length)
        low, numbers, whole = hertz <= 2 * HIGHEST_HZ, range(0, count, step), 0.0
        held = torch.empty(int(low.sum()), len(numbers), dtype=torch.float64)
        for column, number in enumerate(numbers):
            frame = recording.read(number * length, (number + 1) * length).double()
            power = power_spectrogram(frame, length, length).sum(dim=(0, 2))
            whole += float(power.sum())
            held[:, column] = power[low]
        return Low(hertz[low], held, whole / len(numbers))

    def corner(self) -> float:
        """The highest corner below all that comes and goes like music."""
        corner = LOWEST_HZ
        while corner < HIGHEST_HZ:
            band = self.power[(self.hertz >= corner * 2 ** (-1 / 6)) & (self.hertz < corner * 2 ** (1 / 6))].sum(dim=0)
            steady, lively = decibels(quantiles(band[None], torch.tensor(SHARES, dtype=band.dtype)).flatten())
            if len(band) < FEWEST or lively - steady > LIVELY_DB:
                break
            corner *= 2 ** (1 / 6)
        return min(corner, HIGHEST_HZ)

    def level_db(self, corner: float) -> float:
        """How much lies well below a corner, relative to all."""
        below = float(self.power[self.hertz < corner * 0.8].sum(dim=0).mean())
        return 10 * math.log10(max(below, 1e-30) / max(self.whole, 1e-30))


def high_pass(corner: float, sample_rate: int) -> Tensor:
    """A filter (2 R + 1,) that is flat from a corner (Hz) on, and lets nothing through from half of it down."""
    slope = SLOPE * corner / sample_rate
    reach = math.ceil((RIPPLE_DB - 8) / (2.285 * 2 * math.pi * slope) / 2)  # Kaiser's rule
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    middle = 2 * corner * (1 - SLOPE / 2) / sample_rate  # of the slope, as a share of half the rate
    window = torch.kaiser_window(2 * reach + 1, periodic=False, beta=0.1102 * (RIPPLE_DB - 8.7), dtype=torch.float64)
    low_pass = torch.sinc(middle * place) * window
    kernel = -low_pass / low_pass.sum()  # a constant offset goes altogether
    kernel[reach] += 1
    return kernel


class _Steady(InPieces):
    def __init__(self, recording: Tape, sample_rate: int, corner: float, level_db: float) -> None:
        super().__init__(recording, sample_rate)
        self._kernel = high_pass(corner, sample_rate)
        self.found = {"corner_hz": round(corner, 1), "level_db": round(level_db, 1)}

    def _piece(self, start: int, stop: int) -> Tensor:
        return filtered(self.recording, self._kernel, start, stop).float()
