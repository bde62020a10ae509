"""A noise gate for each frequency: what does not stand out of the noise is lowered.

The original takes the whole of the music for noise, so that it lowers whatever is not louder than usual; on music
without any noise that costs several dB. Here only moments that hold noise alone tell its level: the quietest ones,
where these are much quieter than the music, equally loud, and fluctuate as noise does. Where there are none, nothing is
changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.excerpts import excerpts
from babe2.dsp.spectra import bin_frequencies, decibels, power_at
from babe2.dsp.spectral_gate import (
    FFT,
    HOP,
    LONGEST,
    MARGIN,
    gated,
    gated_as_published,
    levels,
    spectrogram,
    thresholds,
)
from babe2.dsp.tape import Spread, Tape
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces

QUIETEST_SHARE, SPREAD_DB = 0.02, 3.0  # noise alone is no louder than that above the level of the quietest moments
FEWEST = 64  # frames of it, a third of a second at 44.1 kHz
MOST = 2000  # frames of it that are looked at
SILENT = 1e-7  # of the mean power: what is fainter is no part of the recording
CONTRAST_DB = 15.0  # by which noise alone lies below all
SPECKLE_DB, SPECKLED = 2.5, 1.0  # in a bin of noise the mean level lies so far below the level of the mean; how exactly
HEARD_HZ = (200.0, 0.4)  # and a share of the sample rate: where that is looked at
NEIGHBOURS = 9  # bins: the noise is smooth
FIRST_SECONDS = 0.5  # that the published Wiener gain takes for noise

Method = Literal["standard", "as-published", "as-published-wiener"]
NO_FLOOR = (
    "No noise floor was found: no moment is quiet and steady enough to hear noise alone in it. So nothing was gated."
)


@dataclass(frozen=True)
class Gate(Stage):
    """Lowers what does not stand out of the noise."""

    name: ClassVar[str] = "gate"
    does: ClassVar[str] = "Lowers steady noise wherever no music stands out of it, frequency by frequency."

    method: Method = setting(  # noqa: RUF009
        "standard",
        STAGE,
        "Method",
        "standard: noise is what quiet moments hold; as-published: what the whole music holds; as-published-wiener: "
        "one volume for all",
    )
    amount: float = setting(
        0.8, STAGE, "Amount", "By which share noise is lowered: 0.8 is 14 dB, 1 is all", "", lambda v: 0 <= v <= 1
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if self.amount == 0 or not sounds(recording):
            return Untouched(recording, sample_rate)
        if self.method == "as-published-wiener":
            return _Softer(recording, sample_rate)
        if self.method == "as-published":
            return _GatedAsPublished(recording, sample_rate, self.amount)
        if (threshold := noise_thresholds(recording, sample_rate)) is None:
            untouched = Untouched(recording, sample_rate)
            untouched.found = {"noise_floor_db": None, "warnings": [NO_FLOOR]}
            return untouched
        return _Gated(recording, sample_rate, threshold, self.amount)


def noise_thresholds(recording: Tape, sample_rate: int) -> Tensor | None:
    """What noise alone seldom passes in each bin (F,), dB; None where no moment holds noise alone."""
    cuts = excerpts(recording, sample_rate).audio.unbind(dim=1)
    loudness = [_frame_powers(cut) for cut in cuts]
    every = torch.cat(loudness)
    if not len(every) or not (awake := every[every > SILENT * every.mean()]).numel():
        return None
    floor = awake.quantile(QUIETEST_SHARE)
    limits = SILENT * every.mean(), floor * 10 ** (SPREAD_DB / 10)
    places = [((each > limits[0]) & (each <= limits[1])).nonzero().flatten() for each in loudness]
    count = sum(map(len, places))
    if count < FEWEST or every.mean() < limits[1] * 10 ** (CONTRAST_DB / 10):
        return None
    step = -(-count // MOST)
    powers = torch.cat([_powers(cut, place[::step]) for cut, place in zip(cuts, places, strict=True)], dim=1)
    hertz = bin_frequencies(sample_rate, FFT)
    looked_at = (hertz > HEARD_HZ[0]) & (hertz < HEARD_HZ[1] * sample_rate)
    speckle = decibels(powers.mean(dim=1)) - decibels(powers).mean(dim=1)
    if not abs(float(speckle[:, looked_at].median()) - SPECKLE_DB) < SPECKLED:
        return None
    level = decibels(powers.mean(dim=0)).T
    padded = F.pad(thresholds(level)[None, None], (NEIGHBOURS // 2, NEIGHBOURS // 2), mode="reflect")[0, 0]
    return padded.unfold(0, NEIGHBOURS, 1).median(dim=1).values


def _powers(x: Tensor, places: Tensor) -> Tensor:
    """The power spectra (C, N, F) of each channel of x (C, T) in some frames (N,)."""
    return torch.stack([power_at(channel[None], HOP * places, FFT) for channel in x]).double()


def _frame_powers(x: Tensor) -> Tensor:
    """The mean power (N,) of each frame of x (C, T)."""
    steps = x[:, : x.shape[1] // HOP * HOP].reshape(len(x), -1, HOP).square().mean(dim=(0, 2))
    return steps.unfold(0, FFT // HOP, 1).mean(dim=1) if len(steps) >= FFT // HOP else steps[:0]


class _Gated(InPieces):
    """All channels under one mask, so that nothing moves to one side."""

    def __init__(self, recording: Tape, sample_rate: int, threshold: Tensor, amount: float) -> None:
        super().__init__(recording, sample_rate)
        self._threshold, self._amount = threshold.float(), amount
        self.found = {"noise_floor_db": round(float(decibels((10 ** (threshold / 10)).sum())), 1)}

    def _piece(self, start: int, stop: int) -> Tensor:
        margin = MARGIN // HOP * HOP // 2  # more than any mask is smoothed over, at any rate
        x = self.recording.read(start - margin, stop + margin)
        return gated(x, self._threshold, self._amount, self.sample_rate)[:, margin : margin + stop - start]


class _GatedAsPublished(InPieces):
    """Each channel by itself, in the original's pieces."""

    piece = LONGEST

    def __init__(self, recording: Tape, sample_rate: int, amount: float) -> None:
        super().__init__(recording, sample_rate)
        heard = spectrogram(recording.read(0, min(LONGEST, recording.samples)).double())
        self._thresholds = [thresholds(levels(channel.abs())) for channel in heard]
        self._amount = amount

    def _piece(self, start: int, stop: int) -> Tensor:
        x = self.recording.read(start - MARGIN, stop + MARGIN).double()
        parts = [
            gated_as_published(channel[None], threshold, self._amount, self.sample_rate)
            for channel, threshold in zip(x, self._thresholds, strict=True)
        ]
        return torch.cat(parts)[:, MARGIN:-MARGIN].float()


class _Softer(Staged):
    """A recording times the published Wiener gain, which is one number."""

    def __init__(self, recording: Tape, sample_rate: int) -> None:
        super().__init__(recording, sample_rate)
        whole, noise = Spread(recording.channels), Spread(recording.channels)
        for block in recording.blocks():
            whole.add(block)
        noise.add(recording.read(0, min(round(FIRST_SECONDS * sample_rate), recording.samples)))
        power, noise_power = (_variance(each) for each in (whole, noise))
        self._gain = (power / (power + noise_power + 1e-10))[:, None]
        self.found = {"gain_db": [round(20 * float(gain.log10()), 2) for gain in self._gain]}

    def _read(self, start: int, stop: int) -> Tensor:
        return (self.recording.read(start, stop) * self._gain).float()


def _variance(spread: Spread) -> Tensor:
    """The variance of each channel (C,), of the samples themselves and not of what they stand for."""
    return spread.deviation().double().square() * (spread.samples - 1) / spread.samples
