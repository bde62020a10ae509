"""A wider band: where music ends as if cut off, what lies above is made anew from the octave below.

The original makes what is above 8 kHz louder by 1.2 dB. Here partials really come to be where there were none: the
octave below the end, an octave higher, moment by moment as loud as it is there, and on average as loud as the spectrum
would be if it went on falling as it does before it ends. Where it reaches 18 kHz, or ends of itself, nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from babe2.analysis.band import band_by_movement
from babe2.analysis.band_powers import BandPowers
from babe2.config import STAGE, setting
from babe2.dsp.excerpts import excerpts
from babe2.dsp.octave import SETTLED, octave_higher, octave_powers
from babe2.dsp.resampled_tape import ResampledTape
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import average_power, bin_frequencies, decibels, quick_length
from babe2.dsp.tape import MemoryTape, Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.convert import Converted
from babe2.stages.pieces import InPieces

LOWEST_RATE = 44_100  # Hz; at a lower one there is no room for more
FULL_HZ = 18_000.0  # a band that reaches so far is full
SHORTEST_SECONDS = 0.5  # of less nobody can tell where its band ends
FFT = 2048
SMOOTH = 0.02  # of its frequency, to either side
REACHED_DB, CUT_DB = 6.0, 20.0  # by which the spectrum falls at the end of the band, and beyond it if it was cut off
BEFORE, PAST = (0.8, 0.95), (1.1, 1.26)  # of the end: where its level is told, and where nothing is left
NEAR = 1.5  # by which the end may lie below where music is heard with ease; it may lie anywhere above
BANDS = 3  # an octave's; each is as loud as it should be
HIGHEST = 0.98  # of half the rate
MEASURED_SECONDS, MEASURED = 1.0, 6  # of a cut, and how many: they tell how loud the new partials are

Method = Literal["standard", "as-published"]
# As published: bins above 8 kHz times 1.5, mixed in by three tenths.
SHELF_HZ, SHELF_GAIN, MIXED = 8000.0, 1.5, 0.3
WHOLE = 2**22  # samples, a minute and a half, that are one spectrum; the original knows no longer ones
MARGIN = 2**16


@dataclass(frozen=True)
class Bandwidth(Stage):
    """Adds harmonics above the end of the band."""

    name: ClassVar[str] = "bandwidth"
    does: ClassVar[str] = "Adds harmonics where the band was cut off; leaves alone what has all its band."
    keeps_length: ClassVar[bool] = False

    method: Method = setting(  # noqa: RUF009
        "standard",
        STAGE,
        "Method",
        "standard: harmonics of the octave below the end; as-published: 1.2 dB more of what is above 8 kHz",
    )
    amount: float = setting(
        1.0, STAGE, "Amount", "Of the harmonics: 1 as the spectrum would go on, 0 none", "", lambda v: 0 <= v <= 2
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        published, rate = self.method == "as-published", max(sample_rate, LOWEST_RATE)
        heard = recording
        if rate != sample_rate:
            heard = (
                _resampled_as_published(recording, sample_rate)
                if published
                else ResampledTape(recording, sample_rate, rate)
            )
        why = ""
        if sounds(recording) and (published or self.amount > 0):
            if published:
                return _ShelfAsPublished(heard, rate)
            missing = Missing.of(heard, rate)
            if isinstance(missing, Missing):
                return _Widened(heard, rate, missing, self.amount)
            why = missing
        untouched = Converted(recording, sample_rate, rate) if rate != sample_rate else Untouched(recording, rate)
        untouched.found = {"end_hz": None, "why": why} if why else {}
        return untouched


@dataclass(frozen=True)
class Missing:
    """What a recording lacks above the end of its band."""

    end_hz: float
    edges: tuple[float, ...]  # Hz, an octave lower
    gains: tuple[float, ...]  # of each band's partials

    @staticmethod
    def of(recording: Tape, sample_rate: int) -> Missing | str:
        """What it lacks, or in a sentence why it lacks nothing."""
        if recording.samples < SHORTEST_SECONDS * sample_rate:
            return "the recording is too short to tell where its band ends"
        x = excerpts(recording, sample_rate).audio
        x = x - x.mean(dim=(1, 2), keepdim=True)
        high_hz = band_by_movement(BandPowers.of(x, sample_rate)).high_hz
        if high_hz is None:
            return "no music stands out whose band could end"
        hertz, power = bin_frequencies(sample_rate, FFT), average_power(x, FFT, FFT // 2)
        level = decibels(_smoothed(power))
        end_hz = cut_off(hertz, level, high_hz)
        if end_hz is None and high_hz < FULL_HZ / PAST[0]:
            return "the music ends of itself, and was not cut off"
        if end_hz is None or end_hz >= FULL_HZ:
            return "the band is full"
        line = _line(hertz, level, end_hz)
        top = min(end_hz, HIGHEST * sample_rate / 4)
        edges = tuple(float(edge) for edge in torch.logspace(np.log10(end_hz / 2), np.log10(top), BANDS + 1))
        wanted = [
            float((10 ** (line[(hertz >= 2 * low) & (hertz < 2 * high)] / 10)).sum()) for low, high in pairwise(edges)
        ]
        made = _made(x, sample_rate, edges).clamp(min=1e-20).tolist()
        gains = [(want / have) ** 0.5 for want, have in zip(wanted, made, strict=True)]
        return Missing(end_hz, edges, tuple(gains))


def _smoothed(power: Tensor) -> Tensor:
    """A spectrum (F,) averaged over a share of each frequency."""
    sums = torch.nn.functional.pad(power.double().cumsum(dim=0), (1, 0))
    place = torch.arange(len(power))
    low = ((1 - SMOOTH) * place).round().long().minimum(place)
    high = (((1 + SMOOTH) * place).round().long() + 1).clamp(max=len(power))
    return (sums[high] - sums[low]) / (high - low)


def cut_off(hertz: Tensor, level: Tensor, high_hz: float) -> float | None:
    """Where a spectrum (F,), in dB, ends at once, not far below where music is heard with ease; None if nowhere."""
    most, end_hz = CUT_DB, None
    asked = hertz[(hertz > high_hz / NEAR) & (hertz < hertz[-1] / PAST[0])]
    first, last, past, end = (
        torch.searchsorted(hertz, factor * asked, right=above).tolist()
        for factor, above in ((BEFORE[0], True), (BEFORE[1], False), (PAST[0], True), (PAST[1], False))
    )
    for i in range(len(asked)):
        before = float(level[first[i] : last[i]].mean())
        fall = before - float(level[past[i] : end[i]].max())
        if fall > most:
            reached = (level > before - REACHED_DB) & (hertz < PAST[0] * asked[i])
            most, end_hz = fall, float(hertz[reached].max())
    return end_hz


def _line(hertz: Tensor, level: Tensor, end_hz: float) -> Tensor:
    """The straight line, in dB over octaves, on which the level (F,) lies before it ends; it never rises."""
    fitted = (hertz > end_hz / 2) & (hertz < end_hz * BEFORE[1])
    octaves = hertz.double().clamp(min=1).log2()
    x, y = octaves[fitted] - octaves[fitted].mean(), level[fitted]
    slope = min(0.0, float((x * y).sum() / x.square().sum()))
    return y.mean() + slope * (octaves - octaves[fitted].mean())


def _made(x: Tensor, sample_rate: int, edges: tuple[float, ...]) -> Tensor:
    """The mean power (B,), over all channels, of each band's partials in some cuts of excerpts x (C, N, T)."""
    whole, size = x.flatten(1), quick_length(round(min(MEASURED_SECONDS * sample_rate, x.shape[2] / 2)))
    count = min(MEASURED, whole.shape[1] // size)
    starts = [round((whole.shape[1] - size) * i / max(1, count - 1)) for i in range(count)]
    cuts = [octave_powers(whole[:, start : start + size], sample_rate, edges) for start in starts]
    return torch.stack(cuts).mean(dim=0)


class _Widened(InPieces):
    def __init__(self, recording: Tape, sample_rate: int, missing: Missing, amount: float) -> None:
        super().__init__(recording, sample_rate)
        self._missing, self._amount = missing, amount
        end, top = missing.end_hz, 2 * missing.edges[-1]
        self.found = {
            "end_hz": round(end),
            "added_to_hz": round(top),
            "statement": f"Sound from {end:.0f} to {top:.0f} Hz was synthesised from the octave below.",
        }

    def _piece(self, start: int, stop: int) -> Tensor:
        length = quick_length(stop - start + 2 * SETTLED)
        x = self.recording.read(start - SETTLED, start - SETTLED + length)
        added = octave_higher(x, self.sample_rate, self._missing.edges, self._missing.gains)
        return (x + self._amount * added)[:, SETTLED : SETTLED + stop - start]


def _resampled_as_published(recording: Tape, sample_rate: int) -> Tape:
    """At once where that is possible, as the samples depend a little (-100 dB) on where the resampler began."""
    if recording.samples * LOWEST_RATE > WHOLE * sample_rate:
        return ResampledTape(recording, sample_rate, LOWEST_RATE, "HQ")
    return MemoryTape(resample(recording.read(0, recording.samples), sample_rate, LOWEST_RATE, "HQ"))


class _ShelfAsPublished(InPieces):
    """What is above 8 kHz, louder; the spectrum is that of the whole, in single precision, as numpy 2 has it."""

    piece = WHOLE

    def _piece(self, start: int, stop: int) -> Tensor:
        before, behind = min(start, MARGIN), min(self.samples - stop, MARGIN)
        x = self.recording.read(start - before, stop + behind).numpy()
        spectrum = np.fft.rfft(x)
        spectrum[:, np.fft.rfftfreq(x.shape[1], 1 / self.sample_rate) > SHELF_HZ] *= SHELF_GAIN
        lifted = np.fft.irfft(spectrum, x.shape[1])
        mixed = np.float32(1 - MIXED) * x + np.float32(MIXED) * lifted
        return torch.from_numpy(mixed.astype(np.float32))[:, before : before + stop - start]
