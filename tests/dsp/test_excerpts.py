"""What is looked at of short and long recordings."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from babe2.dsp.excerpts import EXCERPT_SECONDS, LONGEST_SECONDS, excerpts, excerpts_and_deviation
from babe2.dsp.tape import MemoryTape, Tape, deviation

RATE = 1000


def noise(seconds: int) -> Tensor:
    return torch.randn(2, seconds * RATE, generator=torch.Generator().manual_seed(0))


class Counted(Tape):
    """A tape that keeps count of how many samples were read from it."""

    def __init__(self, x: Tensor) -> None:
        self.channels, self.samples = x.shape
        self._x, self.read_samples = x, 0

    def _read(self, start: int, stop: int) -> Tensor:
        self.read_samples += stop - start
        return self._x[:, start:stop]


@pytest.mark.parametrize("seconds", [1, LONGEST_SECONDS])
def test_a_recording_of_up_to_five_minutes_is_looked_at_whole(seconds: int) -> None:
    x = noise(seconds)
    audio, starts = excerpts(x, RATE)
    assert starts == [0.0] and torch.equal(audio[:, 0], x)


@pytest.mark.parametrize("of_tape", [True, False])
def test_of_a_longer_one_evenly_spaced_parts_from_its_beginning_to_its_end(of_tape: bool) -> None:
    x = noise(LONGEST_SECONDS + 100)
    audio, starts = excerpts(MemoryTape(x) if of_tape else x, RATE)
    assert audio.shape == (2, LONGEST_SECONDS // EXCERPT_SECONDS, EXCERPT_SECONDS * RATE)
    assert starts[0] == 0 and starts[-1] == LONGEST_SECONDS + 100 - EXCERPT_SECONDS
    for excerpt, start in zip(audio.unbind(dim=1), starts, strict=True):
        assert torch.equal(excerpt, x[:, round(start * RATE) :][:, : EXCERPT_SECONDS * RATE])


@pytest.mark.parametrize("seconds", [2, LONGEST_SECONDS, LONGEST_SECONDS + 1, 900])
def test_deviations_come_along_in_the_same_reading(seconds: int) -> None:
    x = noise(seconds)
    tape = Counted(x)
    (audio, starts), spread = excerpts_and_deviation(tape, RATE)
    assert tape.read_samples == tape.samples
    assert torch.equal(spread, deviation(MemoryTape(x)))
    assert torch.equal(audio, excerpts(x, RATE).audio) and starts == excerpts(x, RATE).starts
