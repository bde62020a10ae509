"""Cutting a long recording into what the network hears at once, and joining the pieces without a seam."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_starts(length: int, segment: int, overlap: int, *, last_fits: bool) -> list[int]:
    """Where segments begin, in samples. The last one ends with the recording if `last_fits`, else it hangs over."""
    starts = list(range(0, max(length - segment, 0), segment - overlap))
    last = len(starts) * (segment - overlap)
    if last_fits:
        last = min(last, max(length - segment, 0))
    return [*starts, last]


def cut(x: Tensor, start: int, segment: int) -> Tensor:
    """x (C, T) -> (C, segment), zeros behind the end."""
    piece = x[:, start : start + segment]
    return torch.nn.functional.pad(piece, (0, segment - piece.shape[-1]))


def median_level(pieces: list[Tensor]) -> Tensor:
    """The lower median over segments (C, T_i) of each channel's standard deviation (C,)."""
    return torch.stack([piece.std(dim=-1) for piece in pieces]).median(dim=0).values


class Canvas:
    """A recording being finished segment by segment."""

    def __init__(self, channels: int, length: int, like: Tensor) -> None:
        self.audio = like.new_zeros(channels, length)
        self.settled = like.new_zeros(length)  # one where finished

    def settled_in(self, start: int, segment: int) -> Tensor:
        return self.settled[start : start + segment]

    def lay(self, piece: Tensor, start: int) -> None:
        """Puts a segment (C, L) in its place, cross-faded with what its neighbours have settled."""
        place = slice(start, start + piece.shape[-1])
        before, after = settled_ends(self.settled[place])
        piece = piece.clone()
        if before:
            rise, fall = fades(before, piece)
            piece[:, :before] = piece[:, :before] * rise + self.audio[:, place][:, :before] * fall
        if after:
            rise, fall = fades(after, piece)
            piece[:, -after:] = piece[:, -after:] * fall + self.audio[:, place][:, -after:] * rise
        self.audio[:, place] = piece
        self.settled[place] = 1


def settled_ends(settled: Tensor) -> tuple[int, int]:
    """How many samples are settled at a segment's beginning and at its end."""
    open_places = (settled == 0).nonzero().flatten()
    if len(open_places) == 0:
        return len(settled), 0
    return int(open_places[0]), len(settled) - 1 - int(open_places[-1])


def fades(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The halves of a periodic Hann window: one rises, the other falls, together they are one."""
    window = torch.hann_window(2 * length, device=like.device, dtype=like.dtype)
    return window[:length], window[length:]
