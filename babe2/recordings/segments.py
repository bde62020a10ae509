"""Cutting a long recording into what the network hears at once, and joining the pieces without a seam."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from babe2.dsp.spectra import fades
from babe2.dsp.tape import Blank, Tape


def segment_starts(length: int, segment: int, overlap: int, *, last_fits: bool) -> list[int]:
    """Where segments begin, in samples. The last one ends with the recording if `last_fits`, else it hangs over."""
    starts = list(range(0, max(length - segment, 0), segment - overlap))
    last = len(starts) * (segment - overlap)
    if last_fits:
        last = min(last, max(length - segment, 0))
    return [*starts, last]


def cut(x: Tensor, start: int, segment: int) -> Tensor:
    """Cuts a segment out of x (C, T): (C, segment), padded with zeros behind the end."""
    piece = x[:, start : start + segment]
    return torch.nn.functional.pad(piece, (0, segment - piece.shape[-1]))


def median_level(deviations: list[list[float]]) -> Tensor:
    """Returns the lower median over segments of each channel's standard deviation (C,)."""
    return torch.tensor(deviations).median(dim=0).values


class PlacedSegment(NamedTuple):
    """Where a finished segment lies, and what was finished there before it."""

    segment: int
    before: int  # samples at its beginning that were finished before it
    after: int  # samples at its end that were finished before it


class Canvas(Tape):
    """The finished segments of a recording, joined with cross-fades.

    Segments are kept as they came, in `layers` that add up, one behind the other on `blank`; where they overlap the
    later one is faded in over the earlier.
    """

    def __init__(self, starts: list[int], length: int, samples: int, blank: Blank, layers: int = 1) -> None:
        self.starts, self.length, self.samples = starts, length, samples
        self.channels = blank.channels // layers
        self.laid: list[PlacedSegment] = []
        self._blank, self._layers = blank, layers

    def lay(self, segment: int, *layers: Tensor) -> None:
        """Adds a finished segment, each layer (C, L)."""
        self._blank.write(segment * self.length, torch.cat(layers))
        self.recall(segment)

    def recall(self, segment: int) -> None:
        """Adds a segment that an earlier run has written on `blank` already."""
        start = self.starts[segment]
        self.laid.append(PlacedSegment(segment, *settled_ends(self.settled(start, start + self.length))))

    def settled(self, start: int, stop: int) -> Tensor:
        """Returns a mask (stop - start,): one where a segment is finished, zero elsewhere."""
        settled = torch.zeros(stop - start)
        for laid in self._laid_in(start, stop):
            first = self.starts[laid.segment] - start
            settled[max(first, 0) : max(first + self.length, 0)] = 1
        return settled

    def layer(self, number: int, start: int, stop: int) -> Tensor:
        """Reads a range of one layer (C, stop - start)."""
        return self._composed(start, stop).unflatten(0, (self._layers, self.channels))[number]

    def _read(self, start: int, stop: int) -> Tensor:
        return self._composed(start, stop).unflatten(0, (self._layers, self.channels)).sum(dim=0)

    def _composed(self, start: int, stop: int) -> Tensor:
        x = torch.zeros(self._blank.channels, stop - start)
        for segment, before, after in self._laid_in(start, stop):
            begin = self.starts[segment]
            first, last = max(start, begin), min(stop, begin + self.length)
            behind = slice(first - begin, last - begin)
            weight = torch.ones(self.length)
            if before:
                weight[:before] *= fades(before, weight)[0]
            if after:
                weight[-after:] *= fades(after, weight)[1]
            offset = segment * self.length
            piece = self._blank.read(offset + behind.start, offset + behind.stop)
            place = slice(first - start, last - start)
            x[:, place] = torch.lerp(x[:, place], piece, weight[behind])
        return x

    def _laid_in(self, start: int, stop: int) -> list[PlacedSegment]:
        return [laid for laid in self.laid if start - self.length < self.starts[laid.segment] < stop]


def agreement(starts: list[int], length: int, margin: int, channels: int) -> Callable[[Tensor], Tensor]:
    """Returns a function that cross-fades segments where they overlap, so that they stay the same there.

    It maps segments to segments (S * C, margin + L + margin) that begin, without their margins, at `starts`.
    """
    pairs = [
        (k, later - earlier, earlier + length - later)
        for k, (earlier, later) in enumerate(pairwise(starts))
        if later < earlier + length
    ]

    def agree(x: Tensor) -> Tensor:
        segments = x.clone().unflatten(0, (len(starts), channels))
        for k, apart, shared in pairs:
            rise, fall = fades(shared, x)
            ending = segments[k, :, margin + apart : margin + length]
            beginning = segments[k + 1, :, margin : margin + shared]
            joined = ending * fall + beginning * rise
            ending.copy_(joined)
            beginning.copy_(joined)
        return segments.flatten(0, 1)

    return agree if pairs else lambda x: x


def settled_ends(settled: Tensor) -> tuple[int, int]:
    """Counts the ones at the beginning and at the end of a mask."""
    open_places = (settled == 0).nonzero().flatten()
    if len(open_places) == 0:
        return len(settled), 0
    return int(open_places[0]), len(settled) - 1 - int(open_places[-1])
