"""Whether a restoration plays what the recording plays: onsets, pitches and notes before and after.

A restoration may make what is there fuller, and must not play where nothing was played. What sounds after counts as
added only where there was next to nothing before, half of what else counts: a note that was weakly heard is no new one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.dsp.distance import inside
from babe2.dsp.spectra import bin_frequencies, frames
from babe2.evaluation.embeddings.basic_pitch import Heard

SAMPLE_RATE, FFT, HOP = 22050, 2048, 256  # of onsets and pitches
LEVEL = 0.1  # root mean square of sounds that are listened to
HEARD_HZ = (100.0, 4000.0)  # in which both a recording and its restoration have music
RISE_FRAMES = 3  # 35 ms, from before to after an onset
AROUND = 10  # frames on either side, among which an onset is the strongest
AVERAGE_FRAMES = 86  # a second, above whose median it rises
STRONG = 0.1  # nepers by which it does, on average over all bins: most of them never rise
FLOOR = 2e-4  # amplitude beneath which rises are none: 54 dB below a sound at LEVEL
SILENT = 1e-2  # of the power of a sound's loudest frame: beneath, there is no pitch to agree on
TOLERANCE = 0.05  # seconds, as in the evaluation of transcriptions (Bay et al. 2009)
REACH = round(TOLERANCE * SAMPLE_RATE / HOP)  # frames
ONSET, SOUNDS = 0.5, 0.3  # how probable basic-pitch has to find an onset, and a note that goes on
SHORTEST_FRAMES, LOST_FRAMES = 11, 11  # of a note; and of silence, with which it ends
KEYS_FROM = 21  # the lowest key of a piano, as MIDI counts

Levels = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]  # frames, ascending


class Agreement(NamedTuple):
    """What became of the events of a recording."""

    before: int
    after: int
    kept: int  # which are in both
    added: int  # after, where there was next to nothing before
    seconds: float

    @property
    def kept_share(self) -> float | None:
        """Of those before, how many are still there."""
        return self.kept / self.before if self.before else None

    @property
    def added_per_minute(self) -> float:
        return 60 * self.added / self.seconds if self.seconds else 0.0


# Onsets and pitches, without weights


class Played(NamedTuple):
    """What a sound plays, frame by frame, HOP samples each."""

    novelty: Levels  # (N,) how much begins
    chroma: Levels  # (N, 12) how strong each pitch class is
    power: Levels  # (N,)


def played(blocks: Iterable[Tensor]) -> Played:
    """What a sound plays that comes in blocks (n,) at SAMPLE_RATE and at LEVEL, by its spectrum in HEARD_HZ."""
    heard = inside(bin_frequencies(SAMPLE_RATE, FFT), HEARD_HZ)
    classes = _pitch_classes(bin_frequencies(SAMPLE_RATE, FFT)[heard].double())
    parts, past = [], torch.full((RISE_FRAMES, int(heard.sum())), math.inf)
    for stretch in whole_frames(blocks, FFT):
        size = frames(stretch, FFT, HOP)[heard].abs().T * (4 / FFT)  # (N, bins), of a sine its peak
        level = torch.cat([past, torch.log(size + FLOOR)])
        # What moves to the next bin does not begin: it is compared with its neighbours' past, too (Böck 2013).
        before = torch.nn.functional.max_pool1d(level[:-RISE_FRAMES, None], 3, 1, 1)[:, 0]
        rise = (level[RISE_FRAMES:] - before).clamp(min=0)
        power = size.double().square()
        parts.append((rise.mean(dim=1).double(), (power @ classes).sqrt(), power.sum(dim=1)))
        past = level[-RISE_FRAMES:]
    if not parts:
        return Played(np.zeros(0), np.zeros((0, 12)), np.zeros(0))
    return Played(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


def whole_frames(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """A sound that comes in blocks (n,), as stretches of whole frames of so many samples, HOP apart.

    The first frame has its middle on the first sample.
    """
    held = torch.zeros(length // 2)
    for block in chain(blocks, [torch.zeros(length // 2)]):
        held = torch.cat([held, block])
        count = max(0, (len(held) - length) // HOP + 1)
        if count:
            yield held[: (count - 1) * HOP + length]
            held = held[count * HOP :]


def _pitch_classes(hertz: Tensor) -> Tensor:
    """How much each frequency (F,) belongs to each of twelve pitch classes (F, 12), A being the first."""
    place = torch.log2(hertz / 440) * 12 % 12
    away = (place[:, None] - torch.arange(12)).abs()
    return (1 - torch.minimum(away, 12 - away)).clamp(min=0)


def beyond_usual(novelty: Levels) -> Levels:
    """By how much novelty (N,) lies above its median around, a second long."""
    return novelty - np.median(_around(novelty, AVERAGE_FRAMES // 2), axis=1)


def onsets(novelty: Levels) -> Places:
    """The frames in which something begins: the strongest around, and STRONG above what is usual there."""
    if not len(novelty):
        return np.zeros(0, np.int64)
    best = _around(novelty, AROUND).max(axis=1)
    found = np.flatnonzero((novelty >= best) & (beyond_usual(novelty) > STRONG))
    return found[np.diff(found, prepend=-AROUND - 1) > AROUND]  # of equals the first


def _around(values: Levels, reach: int) -> Levels:
    """What lies around each value (N, 2 reach + 1)."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="edge"), 2 * reach + 1)


def onset_agreement(before: Played, after: Played) -> Agreement:
    """What became of the onsets of a recording in its restoration."""
    ours, theirs = onsets(before.novelty), onsets(after.novelty)
    excess = beyond_usual(before.novelty) if len(before.novelty) else before.novelty
    added = sum(not (excess[_near(place)] > STRONG / 2).any() for place in theirs)
    return Agreement(len(ours), len(theirs), _paired(ours, theirs), added, len(before.novelty) * HOP / SAMPLE_RATE)


def _near(place: int) -> slice:
    return slice(max(0, int(place) - REACH), int(place) + REACH + 1)


def pitch_agreement(before: Played, after: Played) -> float | None:
    """How alike the pitch classes are, 0 to 1, in the frames in which the recording sounds; None for silence.

    The mean cosine between both sets of twelve strengths, of which the weakest is taken off, as noise is in all.
    """
    count = min(len(before.power), len(after.power))
    ours, theirs = (each.chroma[:count] - each.chroma[:count].min(axis=1, keepdims=True) for each in (before, after))
    power = before.power[:count]
    sounding = power > SILENT * power.max(initial=0)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    if not sounding.any():
        return None
    alike = (ours * theirs).sum(axis=1) / np.maximum(lengths, 1e-12)
    return float(alike[sounding].mean())


def _paired(ours: Places, theirs: Places) -> int:
    """How many of two ascending lists of frames belong together, each to one at most."""
    count = i = j = 0
    while i < len(ours) and j < len(theirs):
        if abs(int(ours[i]) - int(theirs[j])) <= REACH:
            count, i, j = count + 1, i + 1, j + 1
        elif ours[i] < theirs[j]:
            i += 1
        else:
            j += 1
    return count


# Notes, as basic-pitch hears them


class Note(NamedTuple):
    """A note from one frame up to another."""

    key: int  # as MIDI counts
    start: int
    stop: int


def notes_of(sounding: npt.NDArray[np.float32], beginning: npt.NDArray[np.float32]) -> list[Note]:
    """The notes in what basic-pitch says of keys (N, 88): where one begins, and then sounds long enough."""
    found = []
    for key in range(sounding.shape[1]):
        begins = onset_peaks(beginning[:, key])
        for place, following in pairwise([*begins, len(sounding)]):
            stop, silent = place, 0
            for frame in range(place, following):
                silent = 0 if sounding[frame, key] >= SOUNDS else silent + 1
                if silent == LOST_FRAMES:
                    break
                stop = frame + 1 if not silent else stop
            if stop - place >= SHORTEST_FRAMES:
                found.append(Note(key + KEYS_FROM, place, stop))
    return sorted(found, key=lambda note: (note.start, note.key))


def onset_peaks(probable: npt.NDArray[np.float32]) -> list[int]:
    """Where the probability (N,) of an onset has its peaks."""
    padded = np.pad(probable, 1, constant_values=-1)
    peak = (probable >= ONSET) & (probable > padded[:-2]) & (probable >= padded[2:])
    return [int(place) for place in np.flatnonzero(peak)]


def note_agreement(before: Heard, after: Heard) -> Agreement:
    """What became of the notes of a recording: the same key, begun within TOLERANCE."""
    ours, theirs = notes_of(*before), notes_of(*after)
    kept = added = 0
    for key in {note.key for note in (*ours, *theirs)}:
        starts = [np.array([note.start for note in notes if note.key == key], np.int64) for notes in (ours, theirs)]
        kept += _paired(starts[0], starts[1])
        sounding, beginning = before.notes[:, key - KEYS_FROM], before.onsets[:, key - KEYS_FROM]
        for near in map(_near, starts[1]):
            added += not ((beginning[near] >= ONSET / 2).any() or (sounding[near] >= SOUNDS / 2).any())
    return Agreement(len(ours), len(theirs), kept, added, len(before.notes) * HOP / SAMPLE_RATE)


def added_up(found: Iterable[Agreement]) -> Agreement:
    """That of several recordings together."""
    parts = [*zip(*found, strict=True)] or [()] * len(Agreement._fields)
    return Agreement(*(sum(part) for part in parts))
