"""Brings a recording to the model's sample rate and back, block by block, so that its length costs no memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.dsp.resampling import resampled
from babe2.dsp.tape import BLOCK, Blank, MemoryTape, Spread, Tape
from babe2.dsp.waveform import FAINT, as_channels, as_sample_rate
from babe2.errors import RestorationError
from babe2.recordings.segments import cut

Audio = npt.NDArray[np.float32]
OnBlock = Callable[[float], None]  # called with the seconds of sound that are done
SHORTEST_SECONDS = 0.05
NOTHING = 1e-8  # standard deviation; full scale is 1
SILENT = 1e-4  # a segment or channel this far below the loudest one has nothing to restore


class Sound(Protocol):
    """A recording that can be read block by block, as often as needed: an array, or a file."""

    @property
    def channels(self) -> int: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def samples(self) -> int | None:
        """Per channel, where that is certain before they are read."""

    def blocks(self) -> Iterator[Audio]:
        """Yields all of it, (C, n) at a time."""


class Samples(NamedTuple):
    """A recording in memory."""

    held: Tensor  # (C, T)
    sample_rate: int

    @staticmethod
    def of(audio: Any, sample_rate: Any) -> Samples:
        return Samples(as_channels(audio, sample_rate), as_sample_rate(sample_rate))

    @property
    def channels(self) -> int:
        return len(self.held)

    @property
    def samples(self) -> int:
        return self.held.shape[1]

    def blocks(self) -> Iterator[Audio]:
        return (block.numpy() for block in MemoryTape(self.held).blocks())


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recording, and a copy of it at the model's sample rate."""

    original: Sound
    samples: int  # of the original, per channel
    observation: Tape  # (C, T') at the model's rate; of one channel where the original's were averaged
    sounding: Tensor  # (C,) whether a channel holds anything to restore; the others stay as they are
    model_rate: int
    output_rate: int
    warnings: tuple[str, ...]

    @staticmethod
    def of(
        original: Sound,
        model_rate: int,
        output_rate: int | None,
        *,
        fold: bool,
        blank: Callable[[int, int], Blank] = MemoryTape.blank,
        on_block: OnBlock = lambda seconds: None,
    ) -> Recorded:
        """Reads a recording for the first time; `fold` averages its channels.

        `blank` gives a tape for so many channels, with room for so many samples.
        """
        rate = original.sample_rate
        warnings = []
        if output_rate is None and rate < model_rate:
            warnings.append(
                f"At {rate} Hz there is no room for anything above {rate / 2000:.3g} kHz: the result is at "
                f"{model_rate} Hz."
            )
        output_rate = max(rate, model_rate) if output_rate is None else as_sample_rate(output_rate)
        if fold and original.channels > 1:
            warnings.append(f"The {original.channels} channels were averaged to one, as the published program does.")
        channels = 1 if fold else original.channels
        spread, tape = Spread(channels), blank(channels, -(-(original.samples or 0) * model_rate // rate))

        peak = 0.0

        def heard() -> Iterator[Tensor]:
            nonlocal peak
            for block in _folded(original, channels):
                spread.add(block)
                peak = max(peak, float(block.abs().max()))
                on_block(spread.samples / rate)
                yield block

        place = 0
        for block in resampled(heard(), rate, model_rate):
            tape.write(place, block)
            place += block.shape[1]
        if spread.samples < SHORTEST_SECONDS * rate:
            raise RestorationError(
                f"The recording is only {spread.samples} samples long; "
                f"a restoration needs at least {SHORTEST_SECONDS} s of it."
            )
        loudness = spread.deviation()
        if not float(loudness.max()) > NOTHING:
            silent = "is silent" if peak <= NOTHING else "never moves from one value (a constant offset, no sound)"
            raise RestorationError(f"The recording {silent}, so there is nothing to restore in it.")
        if peak < FAINT:
            warnings.append(
                f"The recording peaks at {20 * math.log10(peak):.0f} dB of full scale, where 24 bits keep next to "
                "nothing: a restoration as faint is stored as floats, or refused by formats that have none."
            )
        sounding = loudness > SILENT * loudness.max()
        return Recorded(original, spread.samples, tape, sounding, model_rate, output_rate, tuple(warnings))

    @property
    def rate(self) -> int:
        return self.original.sample_rate

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def length(self, output_rate: int) -> int:
        """Returns how many samples per channel the recording's duration has at another rate."""
        return round(self.samples * output_rate / self.rate)

    def all_channels(self, restored: Tensor, start: int) -> Tensor:
        """Puts silent channels, as recorded, beside the restored ones (sounding channels, n): (C, n) on the CPU."""
        every = self.observation.read(start, start + restored.shape[1])
        every[self.sounding] = restored.cpu()
        return every

    def bring_back(
        self, restored: Tape, output_rate: int, amount: float = 1.0, *, above: bool = True
    ) -> Iterator[Audio]:
        """Yields the restored tape (sounding channels, T') at another rate: blocks (C, n) of the recording's duration.

        What the recording has `above` the model's band is not the prior's to judge and stays, unless its own band is
        known to end further down: then it is noise. By so much as the amount falls short of one, the recording is mixed
        in.
        """
        above = above and min(self.rate, output_rate) > self.model_rate
        size = max(1, BLOCK // self.observation.channels)

        def inside() -> Iterator[Tensor]:
            for start in range(0, self.observation.samples, size):
                block = restored.read(start, min(start + size, self.observation.samples))
                every = self.all_channels(block, start)
                yield amount * (every - self.observation.read(start, start + block.shape[1]) if above else every)

        length = self.length(output_rate)
        blocks = rechunked(resampled(inside(), self.model_rate, output_rate), size, length)
        share = 1.0 if above else 1 - amount
        whole: Iterable[Tensor | None] = repeat(None)
        if share > 0:
            folded = _folded(self.original, self.observation.channels)
            whole = rechunked(resampled(folded, self.rate, output_rate), size, length)
        for block, recorded in zip(blocks, whole, strict=False):
            yield (block if recorded is None else block + share * recorded).numpy()


def counted(blocks: Iterable[Audio], sample_rate: int, on_block: OnBlock) -> Iterator[Audio]:
    """Blocks (C, n) as they are; `on_block` hears how many seconds of them have been taken."""
    done = 0
    for block in blocks:
        yield block
        done += block.shape[1]
        on_block(done / sample_rate)


def _folded(original: Sound, channels: int) -> Iterator[Tensor]:
    for block in original.blocks():
        x = torch.from_numpy(block)
        yield x if len(x) == channels else x.mean(dim=0, keepdim=True)


def rechunked(blocks: Iterable[Tensor], size: int, length: int) -> Iterator[Tensor]:
    """Cuts blocks (C, n) of any size anew into blocks of one size, `length` samples in all, padded with zeros."""
    held = torch.zeros(1, 0)
    for block in blocks:
        held = torch.cat([held, block], dim=1) if held.shape[1] else block
        while held.shape[1] >= size and length > 0:
            yield held[:, : min(size, length)]
            held, length = held[:, size:], length - size
    while length > 0:
        yield cut(held, 0, min(size, length))
        held, length = held[:, size:], length - size
