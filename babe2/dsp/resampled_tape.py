"""A tape at another sample rate, which can be read in ranges, too."""

from __future__ import annotations

import math

from torch import Tensor

from babe2.dsp.resampling import Quality, resample
from babe2.dsp.tape import Tape

REACH = 0.1  # seconds on either side that are heard with a range, so that its ends are as its middle


class ResampledTape(Tape):
    """A tape (C, T) at another rate: (C, ceil(T * new_rate / rate)).

    A range is resampled by itself, between two places where samples of both rates fall together; where it begins
    changes it by no more than rounding.
    """

    def __init__(self, tape: Tape, rate: int, new_rate: int, quality: Quality = "VHQ") -> None:
        self._tape, self._rate, self._new_rate, self._quality = tape, rate, new_rate, quality
        self.channels, self.samples = tape.channels, -(-tape.samples * new_rate // rate)
        together = math.gcd(rate, new_rate)
        self._step, self._new_step = rate // together, new_rate // together  # samples from one such place to the next

    def _read(self, start: int, stop: int) -> Tensor:
        if self._rate == self._new_rate:
            return self._tape.read(start, stop)
        reach = -(-int(REACH * self._new_rate) // self._new_step)
        first, last = start // self._new_step - reach, -(-stop // self._new_step) + reach
        heard = self._tape.read(first * self._step, last * self._step)
        made = resample(heard, self._rate, self._new_rate, self._quality)
        offset = first * self._new_step
        return made[:, start - offset : stop - offset]
