"""Whether a recording sounds sung (or bowed, or blown) rather than struck.

A struck string dies away on one pitch. A voice moves around its pitch, all the time by more than a machine's uneven
speed would, and swells as often as it fades. Both can be seen at the strongest partial, which stands out of the noise
of every old recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from babe2.dsp.curves import Array
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import decibels

RATE = 11_025  # Hz, enough for the strongest partials
PARTIALS_HZ = (
    180.0,
    2600.0,
)  # where they are looked for: above hum, below where old machines are deaf
FRAME, HOP, LAG = 1024, 110, 8  # samples: 93 ms, 10 ms, and how much later a phase is looked at again
FRAMES_AT_ONCE = 512
LOUD_DB = 25.0  # below the loud moments; what is fainter is not followed
LEAP_CENTS = 60.0  # from one frame to the next: another note, or another partial
SHORTEST_FRAMES, EDGE = 25, 3  # of a note, and how many at its beginning and its end do not count
GLIDE = 20  # frames on either side; what changes more slowly is no movement around a pitch
RISE_DB, RISE_FRAMES = 0.3, 5

# Ten seconds each of pianos (255) and singers (136), as they are and as old machines might have recorded them (up to
# 3.5 kHz, noise 10 and 20 dB below, uneven speed): 1 % of the pianos and 89 % of the singers pass all three.
FOLLOWED_SHARE, MOVEMENT_CENTS, RISING_SHARE = 0.15, 4.5, 0.25


@dataclass(frozen=True)
class Notes:
    """How the strongest partial moves while it can be followed."""

    followed: float  # share of the time
    movement_cents: float  # around its course, root mean square, in the calmest quarter of that time
    rising: float  # share of that time in which it grows louder

    @property
    def sung(self) -> bool:
        """Whether that is how a voice sounds, and no piano."""
        return self.followed >= FOLLOWED_SHARE and self.movement_cents >= MOVEMENT_CENTS and self.rising >= RISING_SHARE


def followed_notes(x: Tensor, sample_rate: int) -> Notes | None:
    """How the notes in excerpts (channels, excerpts, samples) move; None where none can be followed.

    The loudest channel is listened to.
    """
    return notes_in(x[int(x.square().mean(dim=(1, 2)).argmax())], sample_rate)


def notes_in(excerpts: Iterable[Tensor], sample_rate: int) -> Notes | None:
    """The same of excerpts (samples,) that are listened to one after the other."""
    partials = [_strongest_partials(resample(excerpt[None], sample_rate, RATE)[0]) for excerpt in excerpts]
    levels = np.concatenate([np.zeros(0), *(level_db for _, level_db in partials)])
    if len(levels) == 0:
        return None
    quietest = float(np.quantile(levels, 0.95)) - LOUD_DB
    notes = [note for cents, level_db in partials for note in _notes(cents, level_db, level_db > quietest)]
    if not notes:
        return None
    lengths = np.array([len(cents) for cents, _ in notes], dtype=float)
    movements = np.array([_movement(cents) for cents, _ in notes])
    order = np.argsort(movements)
    calmest = np.searchsorted(np.cumsum(lengths[order]), lengths.sum() / 4)
    return Notes(
        followed=float(lengths.sum() + 2 * EDGE * len(notes)) / len(levels),
        movement_cents=float(movements[order][calmest]),
        rising=float(np.average([_rising(level_db) for _, level_db in notes], weights=lengths)),
    )


def _strongest_partials(x: Tensor) -> tuple[Array, Array]:
    """Pitch (cents above 1 Hz) and level (dB) of the strongest partial in each frame of x (samples,)."""
    count = (len(x) - LAG - FRAME) // HOP + 1
    if count < 1:
        return np.zeros(0), np.zeros(0)
    window = torch.hann_window(FRAME, periodic=False)
    first, last = (round(hertz * FRAME / RATE) for hertz in PARTIALS_HZ)
    cents, levels = [], []
    frames = (x[lag:].unfold(0, FRAME, HOP)[:count].split(FRAMES_AT_ONCE) for lag in (0, LAG))
    for now, later in zip(*frames, strict=True):
        spectrum = torch.fft.rfft(now * window)
        loudest = spectrum[:, first:last].abs().argmax(dim=1, keepdim=True) + first
        here = spectrum.gather(1, loudest)[:, 0]
        there = torch.fft.rfft(later * window).gather(1, loudest)[:, 0]
        turns = (there * here.conj()).angle() / (2 * math.pi)  # but for whole turns, which the bin tells
        turns = turns + (loudest[:, 0] * LAG / FRAME - turns).round()
        cents.append(1200 * (turns * RATE / LAG).clamp(min=1.0).double().log2())
        levels.append(decibels(here.abs().double().square()))
    return torch.cat(cents).numpy(), torch.cat(levels).numpy()


def _notes(cents: Array, level_db: Array, loud: NDArray[np.bool_]) -> list[tuple[Array, Array]]:
    """Pitch and level of the strongest partial wherever it is loud and does not leap for a quarter of a second."""
    broken = (np.abs(np.diff(cents)) > LEAP_CENTS) | ~loud[1:]
    bounds = np.flatnonzero(np.concatenate([[True], broken, [True]]))
    return [
        (cents[a + EDGE : b - EDGE], level_db[a + EDGE : b - EDGE])
        for a, b in pairwise(bounds)
        if b - a >= SHORTEST_FRAMES
    ]


def _movement(cents: Array) -> float:
    """The root mean square of a pitch around its own course."""
    smooth = np.convolve(cents, np.ones(3) / 3, "valid")
    course = np.convolve(np.pad(smooth, GLIDE, "edge"), np.ones(2 * GLIDE + 1) / (2 * GLIDE + 1), "valid")
    return float(np.sqrt(((smooth - course) ** 2).mean()))


def _rising(level_db: Array) -> float:
    return float((level_db[RISE_FRAMES:] - level_db[:-RISE_FRAMES] > RISE_DB).mean())
