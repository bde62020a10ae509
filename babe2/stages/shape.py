"""The last touch to the spectrum: nothing below what is heard, and air.

The original's air is a loss: it mixes what lies between 10 and 16 kHz in by 0.15, in place of 0.15 of everything, so
that all else becomes 1.4 dB softer and the air itself no louder. Here the air is made louder and all else stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.sections import RINGING_SECONDS, band_pass, first_order, through
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import PIECE, InPieces, filtered
from babe2.stages.rumble import high_pass

RISE = 0.8  # of the air's frequency, from which on the shelf rises
SHELF_SECONDS = 0.01  # of the shelf's filter, to either side

Method = Literal["standard", "as-published"]
# As published.
LOW_HZ, HIGH_HZ, AIR_HZ, MIXED, ORDER = 20.0, 20_000.0, (10_000.0, 16_000.0), 0.15, 4


@dataclass(frozen=True)
class Shape(Stage):
    """Takes away what lies below hearing, and lifts the air."""

    name: ClassVar[str] = "shape"
    does: ClassVar[str] = "Takes away what lies too low to be heard, and makes the airy top a little louder."

    method: Method = setting(  # noqa: RUF009
        "standard",
        STAGE,
        "Method",
        "standard: the air is lifted and all else stays; as-published: all else is lowered",
    )
    low_hz: float = setting(
        20.0, STAGE, "Lowest (Hz)", "What lies below goes; 0 leaves it", "", lambda v: v == 0 or 5 <= v <= 200
    )
    air_db: float = setting(1.2, STAGE, "Air (dB)", "By so much the top is lifted", "", lambda v: -12 <= v <= 12)
    air_hz: float = setting(
        10_000.0, STAGE, "Air from (Hz)", "From there on it is lifted in full", "", lambda v: 1000 <= v <= 20_000
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if not sounds(recording):
            return Untouched(recording, sample_rate)
        if self.method == "as-published":
            return _AsPublished(recording, sample_rate)
        return _Shaped(recording, sample_rate, self)


class _Shaped(InPieces):
    """Through one filter that is the same to both sides, so that nothing is delayed."""

    def __init__(self, recording: Tape, sample_rate: int, wished: Shape) -> None:
        super().__init__(recording, sample_rate)
        self._kernel = torch.ones(1, dtype=torch.float64)
        if wished.low_hz:
            self._kernel = high_pass(wished.low_hz, sample_rate)
        if wished.air_db and wished.air_hz * RISE < sample_rate / 2:
            self._kernel = _after(self._kernel, shelf(wished.air_hz, wished.air_db, sample_rate))
        elif wished.air_db:
            self.found = {"air": f"none: at {sample_rate} Hz there is nothing from {wished.air_hz:.0f} Hz on"}

    def _piece(self, start: int, stop: int) -> Tensor:
        return filtered(self.recording, self._kernel, start, stop).float()


def shelf(corner: float, gain_db: float, sample_rate: int) -> Tensor:
    """A filter (2 R + 1,) that lifts all from a corner (Hz) on, and leaves what lies a third of an octave lower."""
    reach = round(SHELF_SECONDS * sample_rate)
    fft = 2 ** (4 * reach).bit_length()
    hertz = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64).clamp(min=1)
    place = ((hertz / corner).log2() / -torch.tensor(RISE).log2() + 1).clamp(0, 1)
    gain = 10 ** (gain_db / 20 * (1 - torch.cos(torch.pi * place)) / 2)
    kernel = torch.fft.irfft(gain.to(torch.complex128), fft).roll(reach)[: 2 * reach + 1]
    return kernel * torch.hann_window(2 * reach + 3, periodic=False, dtype=torch.float64)[1:-1]


def _after(one: Tensor, other: Tensor) -> Tensor:
    """Two filters (N,) and (M,) after one another: (N + M - 1,)."""
    length = len(one) + len(other) - 1
    fft = 2 ** length.bit_length()
    return torch.fft.irfft(torch.fft.rfft(one, fft) * torch.fft.rfft(other, fft), fft)[:length]


class _AsPublished(InPieces):
    """A high-pass and a low-pass, then 0.85 of that and 0.15 of its air."""

    def __init__(self, recording: Tape, sample_rate: int) -> None:
        super().__init__(recording, sample_rate)
        if sample_rate <= 2 * HIGH_HZ:
            raise RestorationError(
                f"The published shape needs more than {2 * HIGH_HZ:.0f} Hz, and this recording has {sample_rate} Hz. "
                "Put bandwidth before it."
            )
        self._ringing = round(RINGING_SECONDS * sample_rate)
        hertz = torch.fft.rfftfreq(2 ** (PIECE + self._ringing).bit_length(), 1 / sample_rate, dtype=torch.float64)
        ends = first_order(hertz, sample_rate, LOW_HZ, high_pass=True)
        ends = ends * first_order(hertz, sample_rate, HIGH_HZ, high_pass=False)
        self._response = ends * (1 - MIXED + MIXED * band_pass(hertz, sample_rate, *AIR_HZ, ORDER))

    def _piece(self, start: int, stop: int) -> Tensor:
        return through(self.recording, self._response, self._ringing, start, stop).float()
