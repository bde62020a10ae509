"""The parts of a long recording that stand for all of it, where spectra are measured."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from babe2.dsp.tape import MemoryTape, Spread, Tape, deviation

LONGEST_SECONDS = 300  # of a longer recording, excerpts are looked at
EXCERPT_SECONDS = 10


class Excerpts(NamedTuple):
    """All of a recording of up to five minutes, or evenly spaced parts of a longer one."""

    audio: Tensor  # (channels, excerpts, samples)
    starts: list[float]  # seconds


def excerpts(x: Tensor | Tape, sample_rate: int) -> Excerpts:
    """The parts of x (channels, samples) that are looked at.

    >>> audio, starts = excerpts(torch.zeros(2, 400_000), 1000)
    >>> audio.shape, starts[-1]
    (torch.Size([2, 30, 10000]), 390.0)
    """
    samples, length = x.shape[1] if isinstance(x, Tensor) else x.samples, EXCERPT_SECONDS * sample_rate

    def cut(start: int, stop: int) -> Tensor:
        return x[:, start:stop] if isinstance(x, Tensor) else x.read(start, stop)

    if samples <= LONGEST_SECONDS * sample_rate:
        return Excerpts(cut(0, samples)[:, None], [0.0])
    places = _places(samples, length)
    cuts = torch.empty(len(x) if isinstance(x, Tensor) else x.channels, len(places), length)
    for excerpt, place in enumerate(places):
        cuts[:, excerpt] = cut(place, place + length)
    return Excerpts(cuts, [place / sample_rate for place in places])


def excerpts_and_deviation(tape: Tape, sample_rate: int) -> tuple[Excerpts, Tensor]:
    """The excerpts of a tape, and the standard deviation of each channel (C,) of all of it, reading it once."""
    if tape.samples <= LONGEST_SECONDS * sample_rate:
        whole = tape.read(0, tape.samples)
        return Excerpts(whole[:, None], [0.0]), deviation(MemoryTape(whole))
    length = EXCERPT_SECONDS * sample_rate
    places = _places(tape.samples, length)
    spread, cuts = Spread(tape.channels), torch.empty(tape.channels, len(places), length)
    for block in tape.blocks():
        begin = spread.samples
        spread.add(block)
        for excerpt, place in enumerate(places):
            first, last = max(place, begin), min(place + length, spread.samples)
            if first < last:
                cuts[:, excerpt, first - place : last - place] = block[:, first - begin : last - begin]
    return Excerpts(cuts, [place / sample_rate for place in places]), spread.deviation()


def _places(samples: int, length: int) -> list[int]:
    """Where the excerpts of a long recording begin, in samples."""
    count = LONGEST_SECONDS // EXCERPT_SECONDS
    return [(samples - length) * i // (count - 1) for i in range(count)]
