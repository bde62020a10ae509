"""What a restoration changed, told from the two sounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from babe2.analysis.machine import find_machine
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, bin_frequencies, decibels
from babe2.dsp.waveform import as_channels
from babe2.report.sounds import OCTAVES_HZ, Sound, average_spectrum

MATCHED_HZ = (200.0, 2000.0)  # where both sounds are brought to one level before they are compared
FAINT_OCTAVE_DB = -45.0  # below the music from 200 Hz to 2 kHz: such an octave is hardly heard beside it
UNCHANGED_DB = 3.0  # in no octave more than this: hardly to be heard
FAINT_DB = -25.0  # beside the recording: so softly added that hardly anything was
TAKEN_DB = 3.0  # of what was recorded: so much softer, and somebody should be told
FEWEST_SECONDS = 0.5  # of less no spectrum says anything


@dataclass(frozen=True)
class Verdict:
    """By how much a restoration differs from its recording."""

    added_db: float  # level of what the recording alone, made louder or softer, does not explain, beside it
    octaves: tuple[tuple[float, float], ...]  # (centre in Hz, change in dB), both at one level from 200 Hz to 2 kHz
    taken: tuple[tuple[float, float], ...]  # of these where the recording had something to hear and lost some of it
    band_end_hz: float | None  # where the recorded band ends; None where no end is seen or nobody can say
    imagines: bool = True  # whether anything in it is generated

    @property
    def unchanged(self) -> bool:
        """Whether next to nothing was done."""
        return self.added_db < FAINT_DB and all(abs(change) < UNCHANGED_DB for _, change in self.octaves)

    @property
    def words(self) -> str:
        """One or two sentences: what was done, and why where that is little."""
        if self.unchanged:
            most = max((abs(change) for _, change in self.octaves), default=0.0)
            return (
                f"This came out nearly unchanged: no octave by more than {most:.1f} dB, and what was added is "
                f"{-self.added_db:.0f} dB softer than the recording. {self._why}"
            )
        low = [(change, hertz) for hertz, change in self.octaves if hertz < 500]
        high = [(change, hertz) for hertz, change in self.octaves if hertz >= 500]
        best = [max(side) for side in (low, high) if side]
        gained = [f"{change:.0f} dB around {format_hertz(hertz)}" for change, hertz in best if change >= UNCHANGED_DB]
        told = f"It gained {' and '.join(gained)}." if gained else "It gained less than 3 dB in every octave."
        if self.band_end_hz is None or not self.imagines:
            return told
        return f"{told} What sounds above {format_hertz(self.band_end_hz)} is imagined: there the recorded band ends."

    @property
    def _why(self) -> str:
        if not self.imagines:
            return "There was little to correct."
        if self.band_end_hz is None:
            return "The recording already reaches as high as the music that this checkpoint knows."
        return "The checkpoint took the recording for what its music sounds like. Another one may do more."

    @property
    def warnings(self) -> list[str]:
        """What was taken from the recording where it had music."""
        if not self.taken:
            return []
        hertz, change = min(self.taken, key=lambda octave: octave[1])
        return [
            f"Around {format_hertz(hertz)} the restoration is {-change:.0f} dB softer than the recording. Where that "
            "was music and not noise, the checkpoint does not know such a sound: try another one, or a smaller amount."
        ]


def verdict(
    before: Sound,
    after: Sound,
    reference: ReferenceLtas | None,
    band: Mapping[str, Any] | None = None,
    *,
    imagines: bool = True,
) -> Verdict:
    """Compares a recording with its restoration of the same length; `reference` is the checkpoint's music, and
    `imagines` whether a prior has made any of its sound.

    `band` is what the restoration's report says of the recorded band; without it the recording is looked at again.
    """
    old, new = as_channels(*before), as_channels(*after)
    if before[1] != after[1]:
        new = resample(new, after[1], before[1])
    if len(old) != len(new):  # the published program folds channels to one
        old = old.mean(dim=0, keepdim=True)
    length = min(old.shape[1], new.shape[1])
    old, new = old[:, :length].double(), new[:, :length].double()
    gain = (old * new).sum() / old.square().sum().clamp(min=1e-20)
    rest = (new - gain * old).square().sum() / (gain * old).square().sum().clamp(min=1e-20)
    levels = octave_levels((old.float(), before[1]), (new.float(), before[1]))
    if band is None:
        end_hz = band_end_hz(before, reference)
    else:
        end_hz = float(band["high_hz"]) if band["ends"] and band["high_hz"] else None
    return Verdict(
        added_db=10 * math.log10(max(float(rest), 1e-12)),
        octaves=tuple((hertz, now - was) for hertz, was, now in levels if max(was, now) > FAINT_OCTAVE_DB),
        taken=tuple(
            (hertz, now - was)
            for hertz, was, now in levels
            if was > FAINT_OCTAVE_DB and now < was - TAKEN_DB and (end_hz is None or hertz < end_hz)
        ),
        band_end_hz=end_hz,
        imagines=imagines,
    )


def octave_levels(before: Sound, after: Sound) -> list[tuple[float, float, float]]:
    """(centre in Hz, level before, level after) of each octave, in dB beside the music from 200 Hz to 2 kHz."""
    rate = before[1]
    if np.shape(before[0])[-1] < FEWEST_SECONDS * rate:
        return []
    centres = [hertz for hertz in OCTAVES_HZ if 60 <= hertz < rate / 2]
    levels = []
    for sound in (before, after):
        power = average_spectrum(sound).double()
        bins = bin_frequencies(rate, 2 * (len(power) - 1)).double()
        matched = power[(bins >= MATCHED_HZ[0]) & (bins <= MATCHED_HZ[1])].sum().clamp(min=1e-20)
        octaves = [(bins >= hertz / math.sqrt(2)) & (bins < hertz * math.sqrt(2)) for hertz in centres]
        levels.append(decibels(torch.stack([power[octave].sum() for octave in octaves]).clamp(min=1e-20) / matched))
    return list(zip(map(float, centres), *(level.tolist() for level in levels), strict=True))


def band_end_hz(before: Sound, reference: ReferenceLtas | None) -> float | None:
    """Where a recording's band ends, as the restorer takes it; None where it reaches up as far as the music."""
    audio, rate = as_channels(*before), before[1]
    if reference is None or audio.shape[1] < FEWEST_SECONDS * rate or not audio.any():
        return None
    heard = resample(audio, rate, reference.sample_rate)
    return find_machine(heard / heard.std(), reference.sample_rate, reference).band.end_hz


def format_hertz(hertz: float) -> str:
    """A frequency as people write it: 250 Hz, 4 kHz, 3.4 kHz."""
    return f"{hertz:.0f} Hz" if hertz < 1000 else f"{hertz / 1000:.1f} kHz".replace(".0 kHz", " kHz")
