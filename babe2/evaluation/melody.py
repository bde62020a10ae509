"""Whether a voice still sings the recording's melody: the pitch of a single voice before and after.

Pitch is found by autocorrelation (Boersma 1993, as Praat does it): each frame proposes some periods, and the path
through all frames is taken that leaps least. It is told of one voice; chords have no such pitch, and beneath a loud
accompaniment whatever is strongest is followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.analysis.singing import notes_in
from babe2.dsp.distance import inside
from babe2.dsp.spectra import bin_frequencies
from babe2.evaluation.notes import HEARD_HZ, HOP, SAMPLE_RATE, whole_frames

FRAME = 2048  # 93 ms every 12
PITCH_HZ = (65.0, 1200.0)  # of voices, from a bass's C to beyond a soprano's
MIDDLE_HZ = 300.0  # a pitch as strong as it is periodic; higher ones are somewhat more, lower ones less
FINER = 2  # times as many lags as there are samples, so that a parabola finds the peak between
FRAMES_AT_ONCE = 256
PROPOSED = 6  # periods in each frame
SAME_CENTS = 50.0  # less apart is the same note

# Boersma's, per 10 ms where they are per step: how periodic a voice is at least, and what a leap by an octave, or
# between voice and none, costs. How much weaker a pitch an octave higher may be is more than his 0.01: rumble that an
# equalizer lifts sounded like the octave below.
VOICED, LEAP, TURN, OCTAVE = 0.45, 0.35, 0.14, 0.07
SILENT = 1e-3  # of the power of the loudest frame: what is fainter is no voice

Track = npt.NDArray[np.float64]


class Melody(NamedTuple):
    """What is sung."""

    hertz: Track  # (N,) in each frame, HOP samples each; 0 where nothing is


class Sung(NamedTuple):
    """What became of a melody."""

    kept: float  # of the frames in which there is one, the share that is still sung within SAME_CENTS
    off_cents: float | None  # median distance where both sing; None where they never do at once


def sings(blocks: Iterable[Tensor]) -> bool:
    """Whether a sound that comes in blocks (n,) at SAMPLE_RATE is sung, bowed or blown rather than struck."""
    notes = notes_in(_longer(blocks, 10 * SAMPLE_RATE), SAMPLE_RATE)
    return notes is not None and notes.sung


def melody(blocks: Iterable[Tensor]) -> Melody:
    """The pitch of a sound that comes in blocks (n,) at SAMPLE_RATE, however loud it is."""
    stretches = whole_frames(_longer(blocks, FRAMES_AT_ONCE * HOP), FRAME)
    parts = [_proposals(stretch.unfold(0, FRAME, HOP)) for stretch in stretches]
    if not parts:
        return Melody(np.zeros(0))
    hertz, strength, power = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    faint = power < SILENT * power.max()
    return Melody(_path(hertz, strength, np.where(faint, np.inf, VOICED)))


def _longer(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """The same sound in longer blocks, at most of this length."""
    held, samples = list[Tensor](), 0
    for block in blocks:
        held.append(block)
        samples += len(block)
        if samples >= length:
            yield from torch.cat(held).split(length)
            held, samples = [], 0
    if samples:
        yield torch.cat(held)


def _proposals(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of frames (N, FRAME): pitches (N, PROPOSED) in Hz, how strong each is (0 where there are fewer), and powers (N,).

    The autocorrelation of a windowed sound fades as the window's does, by which it is divided.
    """
    window = torch.hann_window(FRAME, dtype=torch.float64)
    spectrum = torch.fft.rfft(x.double() * window, 2 * FRAME).abs().square()
    spectrum = spectrum * inside(bin_frequencies(SAMPLE_RATE, 2 * FRAME), HEARD_HZ)
    longest = math.ceil(FINER * SAMPLE_RATE / PITCH_HZ[0]) + 2
    shortest = math.floor(FINER * SAMPLE_RATE / PITCH_HZ[1])
    found = torch.fft.irfft(spectrum, 2 * FRAME * FINER)[:, :longest]
    fading = torch.fft.irfft(torch.fft.rfft(window, 2 * FRAME).abs().square(), 2 * FRAME * FINER)[:longest]
    power = found[:, 0]
    alike = found / power[:, None].clamp(min=1e-30) / (fading / fading[0])
    before, here, after = alike[:, shortest - 1 : -2], alike[:, shortest:-1], alike[:, shortest + 1 :]
    bend = before - 2 * here + after
    shift = torch.where(bend < 0, (before - after) / (2 * bend.clamp(max=-1e-12)), 0.0).clamp(-0.5, 0.5)
    hertz = FINER * SAMPLE_RATE / (torch.arange(shortest, shortest + here.shape[1]) + shift)
    peak = (here > before) & (here >= after) & (hertz >= PITCH_HZ[0]) & (hertz <= PITCH_HZ[1])
    height = here - (before - after) * shift / 4 + OCTAVE * torch.log2(hertz / MIDDLE_HZ)
    strength, which = torch.where(peak, height, 0.0).topk(PROPOSED, dim=1)
    return hertz.gather(1, which), strength, power


def _path(hertz: Track, strength: Track, voiced: Track) -> Track:
    """The pitches (N,) of the path through proposals (N, PROPOSED) that is strong and leaps little; 0 where to be
    silent is better than any, whose strength is `voiced` (N,)."""
    steps = 0.01 * SAMPLE_RATE / HOP  # costs are those of 10 ms
    octaves = np.log2(hertz)
    # The last place is that of no voice.
    reward = np.concatenate([np.where(strength > 0, strength, -np.inf), np.minimum(voiced, 9.0)[:, None]], axis=1)
    best, came = reward[0], np.zeros(reward.shape, np.int8)
    cost = np.full((PROPOSED + 1, PROPOSED + 1), TURN * steps)
    cost[-1, -1] = 0.0
    for frame in range(1, len(reward)):
        cost[:-1, :-1] = LEAP * steps * np.abs(octaves[frame - 1][:, None] - octaves[frame])
        through = best[:, None] - cost
        came[frame] = through.argmax(axis=0)
        best = reward[frame] + through.max(axis=0)
    place, found = int(best.argmax()), np.zeros(len(reward))
    for frame in range(len(reward) - 1, -1, -1):
        found[frame] = hertz[frame, place] if place < PROPOSED else 0.0
        place = int(came[frame, place])
    return found


def sung(before: Melody, after: Melody) -> Sung | None:
    """What became of a melody; None where there was none."""
    theirs = np.zeros_like(before.hertz)
    count = min(len(theirs), len(after.hertz))
    theirs[:count] = after.hertz[:count]
    voiced = before.hertz > 0
    both = voiced & (theirs > 0)
    if not voiced.any():
        return None
    if not both.any():
        return Sung(0.0, None)
    off = np.abs(1200 * np.log2(theirs[both] / before.hertz[both]))
    return Sung(float((off <= SAME_CENTS).sum() / voiced.sum()), float(np.median(off)))
