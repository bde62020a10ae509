"""Stereo transfers of mono discs: the two walls of the groove brought into line, and folded where that is wished.

A mono disc that was played in stereo has the same music in both channels, a little later in one where the stylus stood
askew, louder in one, or turned over. What is left when that is undone is the noise of the two walls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.bands import Bands
from babe2.dsp.resampling import at_places
from babe2.dsp.spectra import decibels, frames
from babe2.dsp.tape import Tape
from babe2.stages.base import Bench, Report, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces, filtered

WINDOW_SECONDS = 2.0  # that one delay is found in
FFT_SECONDS = 0.09
LONGEST_SECONDS = 0.002  # of delay
MUSIC_HZ = (150.0, 4000.0)  # where discs have music that stands out of their noise
QUIET = 1e-3  # a window this far below the loudest one has nothing to tell
ALIKE = 0.8  # correlation, once aligned, that the two walls of a mono disc reach in most windows
SAME = 0.99  # ... from which on what is left is too little to ask how it behaves
FOLLOWING = 0.5  # dB by which stereo's difference rises with each dB of the music; noise stays where it is
DRIFTING = 0.1  # samples by which the windows' delays differ, from which on they are followed
NOTHING_SAMPLES, NOTHING_DB = 0.01, 0.02  # not worth touching a sample
FIR_SECONDS, EVEN = 0.023, 0.1  # weights of the walls that differ by less are the same


@dataclass(frozen=True)
class Align(Stage):
    """Brings the two walls of a mono disc into line."""

    name: ClassVar[str] = "align"
    does: ClassVar[str] = "Brings both channels of a mono disc played in stereo into line, or makes one of them."

    fold: bool = setting(False, STAGE, "Make it mono", "One channel: the sum, or in each band more of the cleaner wall")

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        untouched = Untouched(recording, sample_rate)
        if recording.channels != 2 or not sounds(recording):
            return untouched
        windows = list(_windows(recording, sample_rate))
        mono, why = one_source(windows)
        if not mono:
            untouched.found = {"mono_disc": False, **why}
            return untouched
        offset = Offset.of(windows, sample_rate)
        found = {"mono_disc": True, **why, **offset.as_dict()}
        if self.fold:
            return _Folded(recording, sample_rate, offset, found)
        if offset.is_nothing:
            untouched.found = found
            return untouched
        return _Aligned(recording, sample_rate, offset, found)


class Window(NamedTuple):
    """How the second channel stands to the first, over some seconds."""

    centre: float  # samples
    power: float
    delay: float  # samples by which the second is later
    error: float  # of that, one standard deviation
    sign: float  # -1 where it is turned over
    gain: float  # of the second over the first
    alike: float  # correlation in the band of music, once aligned
    rising: tuple[float, float]  # how much the levels of its frames vary, and the difference's levels with them, dB^2


def _windows(recording: Tape, sample_rate: int) -> Iterator[Window]:
    length = round(WINDOW_SECONDS * sample_rate)
    for start in range(0, max(1, recording.samples - length // 2), length):
        stop = min(start + length, recording.samples)
        if window := _window(recording.read(start, stop).double(), start, sample_rate):
            yield window


def _window(x: Tensor, start: int, sample_rate: int) -> Window | None:
    fft = 2 ** round(math.log2(FFT_SECONDS * sample_rate))
    if x.shape[1] < 2 * fft:
        x = torch.nn.functional.pad(x, (0, 2 * fft - x.shape[1]))
    first, second = frames(x, fft, fft // 2)
    hertz = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64)
    music = (hertz >= MUSIC_HZ[0]) & (hertz <= min(MUSIC_HZ[1], 0.4 * sample_rate))
    across = (first * second.conj()).sum(dim=1)  # its phase rises with the delay of the second
    own = torch.stack([each.abs().square().sum(dim=1) for each in (first, second)])
    power = float(own[:, music].sum())
    if not power > 0 or not float(own[:, music].sum(dim=1).min()) > QUIET**2 * power:
        return None
    coherence = (across.abs().square() / (own[0] * own[1]).clamp(min=1e-300)).clamp(max=1 - 1e-9)
    weight = torch.where(hertz > 50, coherence / (1 - coherence), 0).clamp(max=1e4)
    delay, sign = _delay(across, weight, fft, round(LONGEST_SECONDS * sample_rate))
    omega = 2 * math.pi * torch.arange(len(hertz), dtype=torch.float64) / fft
    error = float((2 * first.shape[1] * (weight * omega.square()).sum()).clamp(min=1e-30).rsqrt())
    in_line = sign * (across * torch.polar(torch.ones_like(omega), -omega * delay)).real[music].sum()
    energy = own[:, music].sum(dim=1)
    loud = weight[music] * own[:, music]
    gain = float((loud[1].sum() / loud[0].sum()).sqrt())
    second = sign / gain * second[music] * torch.polar(torch.ones_like(omega), omega * delay)[music, None]
    sums, differences = (
        decibels((first[music] + way * second).abs().square().sum(dim=0) + 1e-9 * power / first.shape[1])
        for way in (1, -1)
    )
    sums, differences = sums - sums.mean(), differences - differences.mean()
    return Window(
        start + x.shape[1] / 2,
        power,
        delay,
        error,
        sign,
        gain,
        float(in_line / (energy[0] * energy[1]).sqrt()),
        (float(sums.square().sum()), float((sums * differences).sum())),
    )


def _delay(across: Tensor, weight: Tensor, fft: int, longest: int) -> tuple[float, float]:
    """By how many samples the second channel is later, and its sign: by the phases of the bins, each by its weight."""
    finer = 4
    phases = weight * across / across.abs().clamp(min=1e-300)
    lags = torch.fft.irfft(phases, fft * finer)
    lags = torch.cat([lags[-longest * finer :], lags[: longest * finer + 1]])
    place = int(lags.abs().argmax())
    sign, delay = math.copysign(1.0, float(lags[place])), -(place - longest * finer) / finer
    omega = 2 * math.pi * torch.arange(len(across), dtype=torch.float64) / fft
    for _ in range(3):
        rest = (sign * across * torch.polar(torch.ones_like(omega), -omega * delay)).angle()
        delay += float((weight * omega * rest).sum() / (weight * omega.square()).sum().clamp(min=1e-30))
    return delay, sign


def one_source(windows: list[Window]) -> tuple[bool, dict[str, float]]:
    """Whether the channels are two walls of one mono groove, and what tells.

    They are where, once aligned, they are all but the same in most windows; or where they are much alike and the
    difference does not rise and fall with the music, as that of stereo does.
    """
    loudest = max((window.power for window in windows), default=0)
    loud = [window for window in windows if window.power > QUIET * loudest]
    if not loud:
        return False, {}
    alike = float(np.median([window.alike for window in loud]))
    found = {"correlation": round(alike, 4)}
    if alike >= SAME or alike < ALIKE:
        return alike >= SAME, found
    varying, together = np.array([window.rising for window in loud]).sum(axis=0)
    rises = float(together / max(varying, 1e-12))
    return rises < FOLLOWING, found | {"difference_follows": round(rises, 2)}


@dataclass(frozen=True, eq=False)
class Offset:
    """How the second channel stands to the first."""

    centres: np.ndarray  # samples
    delays: np.ndarray  # samples, at those
    sign: float
    gain: float

    @staticmethod
    def of(windows: list[Window], sample_rate: int) -> Offset:
        loudest = max(window.power for window in windows)
        loud = [window for window in windows if window.power > QUIET * loudest]
        sign = math.copysign(1.0, sum(window.sign * window.power for window in loud))
        loud = [window for window in loud if window.sign == sign]
        weights = np.array([1 / (window.error + 1e-4) ** 2 for window in loud])
        delays, centres = (np.array([getattr(window, name) for window in loud]) for name in ("delay", "centre"))
        middle = float(np.median(delays))
        near = np.abs(delays - middle) < 3 * DRIFTING + 3 * np.array([window.error for window in loud])
        near |= not near.any()
        gain = math.exp(float(np.average([math.log(window.gain) for window in loud], weights=[w.power for w in loud])))
        errors = np.array([window.error for window in loud])
        if len(delays) >= 3 and 1.5 * float(np.median(np.abs(delays - middle))) > max(DRIFTING, 3 * np.median(errors)):
            line = np.poly1d(np.polyfit(centres, delays, 1, w=np.sqrt(weights)))(centres)
            if float(np.median(np.abs(delays - line))) > DRIFTING:
                line = np.array([np.median(delays[max(0, n - 2) : n + 3]) for n in range(len(delays))])
            return Offset(centres, line, sign, gain)
        return Offset(centres[:1], np.array([np.average(delays[near], weights=weights[near])]), sign, gain)

    @property
    def is_nothing(self) -> bool:
        still = float(np.abs(self.delays).max()) < NOTHING_SAMPLES
        return still and self.sign > 0 and abs(20 * math.log10(self.gain)) < NOTHING_DB

    def as_dict(self) -> dict[str, float | list[float] | bool]:
        delays = [round(float(delay), 3) for delay in (self.delays.min(), self.delays.max())]
        return {
            "delay_samples": delays[0] if len(self.delays) == 1 else delays,
            "balance_db": round(20 * math.log10(self.gain), 2),
            "turned_over": self.sign < 0,
        }

    def in_line(self, recording: Tape, start: int, stop: int) -> Tensor:
        """A range of a recording (2, T) with the second channel in line with the first, which stays as it is."""
        x = recording.read(start, stop).double()
        places = torch.arange(start, stop, dtype=torch.float64)
        late = torch.from_numpy(np.interp(places.numpy(), self.centres, self.delays))
        if float(late.abs().max()) >= NOTHING_SAMPLES:
            x[1] = at_places(_Second(recording), places + late)[0]
        x[1] *= self.sign / self.gain
        return x


class _Second(Tape):
    """The second channel of a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape, self.channels, self.samples = tape, 1, tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        return self._tape.read(start, stop)[1:]


class _Aligned(InPieces):
    def __init__(self, recording: Tape, sample_rate: int, offset: Offset, found: Report) -> None:
        super().__init__(recording, sample_rate)
        self._offset, self.found = offset, found

    def _piece(self, start: int, stop: int) -> Tensor:
        return self._offset.in_line(self.recording, start, stop).float()


class _InLine(Tape):
    """Half the sum of the two walls, and half their difference."""

    def __init__(self, recording: Tape, offset: Offset) -> None:
        self._recording, self._offset = recording, offset
        self.channels, self.samples = 2, recording.samples

    def _read(self, start: int, stop: int) -> Tensor:
        first, second = self._offset.in_line(self._recording, start, stop)
        return torch.stack([first + second, first - second]) / 2


class _Folded(InPieces):
    """One channel of two: their mean, and in each band as much of their difference as one wall is cleaner."""

    def __init__(self, recording: Tape, sample_rate: int, offset: Offset, found: Report) -> None:
        super().__init__(recording, sample_rate)
        self.channels, self._walls = 1, _InLine(recording, offset)
        bands, better = better_wall(self._walls, sample_rate)
        self._kernel = None
        if float(better.abs().max()) > EVEN:
            self._kernel = weighting(bands, better, sample_rate)
        weights = ((1 + better) / 2).tolist()
        self.found = found | {"first_wall": [round(w, 2) for w in weights] if self._kernel is not None else 0.5}

    def _piece(self, start: int, stop: int) -> Tensor:
        if self._kernel is None:
            return self._walls.read(start, stop)[:1].float()
        mean = self._walls.read(start, stop)[:1]
        return (mean + filtered(self._walls, self._kernel, start, stop)[1:]).float()


def better_wall(walls: Tape, sample_rate: int) -> tuple[Tensor, Tensor]:
    """The centres of bands (K,), Hz, and by how much more the first wall is to weigh in each: -1 to 1 (K,).

    What the walls do not share is their noise, and each weighs as much as the other is noisy.
    """
    fft = 2 ** round(math.log2(FFT_SECONDS * sample_rate))
    shares = Bands.below_nyquist(sample_rate).shares(sample_rate, fft // 2 + 1).double()
    noise = torch.zeros(2, shares.shape[1], dtype=torch.float64)
    for block in walls.blocks():
        if block.shape[1] < fft:
            continue
        both, half = frames(block.double(), fft, fft)
        first, second = both + half, both - half
        own, across = (
            torch.einsum("...fn,fk->...nk", power, shares)
            for power in (torch.stack([first, second]).abs().square(), (first * second.conj()).real)
        )
        # Where there is least music in a band its noise is told best.
        noise += ((own - across) / (own.sum(dim=0) + 1e-12).square()).sum(dim=1)
    noise = torch.nn.functional.avg_pool1d(noise[None], 5, 1, 2, count_include_pad=False)[0]
    noise = noise.clamp(min=1e-3 * noise.abs().amax(dim=0) + 1e-30)
    return Bands.below_nyquist(sample_rate).centres, (noise[1] - noise[0]) / noise.sum(dim=0)


def weighting(hertz: Tensor, weights: Tensor, sample_rate: int) -> Tensor:
    """A filter (2 R + 1,), the same to both sides, with `weights` (K,) at some frequencies (K,), ascending."""
    reach = round(FIR_SECONDS * sample_rate)
    bins = torch.fft.rfftfreq(2 * reach, 1 / sample_rate, dtype=torch.float64).clamp(min=1)
    response = torch.from_numpy(np.interp(bins.log2().numpy(), hertz.log2().numpy(), weights.numpy()))
    kernel = torch.fft.irfft(response, 2 * reach).roll(reach)
    return torch.cat([kernel, kernel[:1]]) * torch.hann_window(2 * reach + 1, periodic=False, dtype=torch.float64)
