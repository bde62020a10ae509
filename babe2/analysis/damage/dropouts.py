"""Drop-outs: moments in which a channel is silent, amid sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.spectra import decibels
from babe2.dsp.tape import Tape

SHARP_DB, LEVEL_SECONDS = 30.0, 0.001  # a drop-out falls by so much within two steps of its level, and comes back so
LONGEST_DROPOUT_SECONDS = 0.5  # a longer one is a pause
AUDIBLE = 1e-3  # of full scale: what is fainter on both sides drops out unheard
SHORT_SECONDS = 0.005  # of a drop-out that linear prediction can fill


class Place(NamedTuple):
    """A part of one channel, in samples."""

    channel: int
    start: int
    stop: int


class Dropouts(NamedTuple):
    """Where a channel falls silent at once, and comes back at once."""

    short: list[Place]  # linear prediction fills them
    long: list[Place]  # only something that knows music does


def dropouts(recording: Tape, sample_rate: int) -> Dropouts:
    """The drop-outs of a recording (C, T)."""
    found, most = list(_dropouts(recording, sample_rate)), SHORT_SECONDS * sample_rate
    short = [place for place in found if place.stop - place.start <= most]
    return Dropouts(short, [place for place in found if place.stop - place.start > most])


def _dropouts(recording: Tape, sample_rate: int) -> Iterator[Place]:
    step = max(2, round(LEVEL_SECONDS * sample_rate))
    longest = round(LONGEST_DROPOUT_SECONDS * sample_rate / step)
    size = 64 * longest
    for first in range(0, -(-recording.samples // step), size):
        x = recording.read((first - 3) * step, (first + size + longest + 3) * step)
        level = decibels(x.square().unflatten(1, (-1, step)).mean(dim=2))
        fallen = (level[:, 2:] < level[:, :-2] - SHARP_DB) & (level[:, :-2] > 20 * math.log10(AUDIBLE))
        for channel, place in fallen.nonzero().tolist():
            low = place + 2
            before = float(level[channel, place])
            if not 3 <= low < size + 3 or fallen[channel, place - 1]:
                continue
            if length := _until_back(level[channel, low : low + longest + 2], before):
                begin, faint = (low - 2) * step, 10 ** ((before - SHARP_DB) / 20)
                runs = runs_of(x[channel, begin : begin + (length + 3) * step].abs() < faint)
                start, stop = runs[(runs[:, 1] - runs[:, 0]).argmax()].tolist()
                yield Place(channel, *(at + begin + (first - 3) * step for at in (start, stop)))


def _until_back(level: Tensor, before: float) -> int:
    """After how many steps a level (N,) that has fallen is back, if all lies as low until then and it comes at once."""
    back = (level > before - SHARP_DB / 2).nonzero().flatten()
    if not len(back):
        return 0
    length = int(back[0])
    lowest = bool((level[: max(1, length - 1)] < before - SHARP_DB + 5).all())
    return length if lowest else 0


def runs_of(marked: Tensor) -> Tensor:
    """The runs (N, 2) of true values in (T,), from their first sample up to the one behind their last."""
    return F.pad(marked.long(), (1, 1)).diff().nonzero().reshape(-1, 2)
