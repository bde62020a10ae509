"""Parts a singer from the accompaniment with Hybrid Transformer Demucs (an extra), as the paper does.

What is not the voice is the accompaniment: the two add up to the recording. Demucs itself builds a class that a file
names and, where the Hub does not answer, unpickles another one; here a file says nothing but numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.resampled_tape import ResampledTape
from babe2.dsp.tape import Spread, Tape
from babe2.errors import RestorationError
from babe2.extras import require
from babe2.stages.base import Bench, Stage, Staged

VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
OVERLAP = 0.25  # of a segment, in which it is faded into the next
MADE_OF = "demucs.htdemucs.HTDemucs"
PUBLISHED = {"htdemucs": ("adefossez/HTDemucs", "955717e8.safetensors")}  # by name: repository and file on the Hub

Separator = Callable[[Tensor], Tensor]  # (1, 2, T) -> (1, sources, 2, T)


@dataclass(frozen=True)
class Separate(Stage):
    """Parts a recording into two tracks."""

    name: ClassVar[str] = "separate"
    does: ClassVar[str] = "Parts the singer from the accompaniment, so that only the voice is restored."
    splits_into: ClassVar[tuple[str, ...]] = (VOCALS, ACCOMPANIMENT)
    extra: ClassVar[str] = "separation"

    checkpoint: str = setting("htdemucs", STAGE, "Separator", "htdemucs, or a file of one like it")

    def prepare(self, bench: Bench) -> None:
        super().prepare(bench)
        found(self.checkpoint, bench)

    def places(self) -> dict[str, str]:
        return {} if self.checkpoint in PUBLISHED else {"separator": self.checkpoint}

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        require(self.extra)
        return _Parted(recording, sample_rate, load_separator(found(self.checkpoint, bench)), bench)


def found(name: str, bench: Bench) -> Path:
    """The file of a separator: one that is fetched from the Hub by its name, or a path."""
    if name in PUBLISHED:
        repo, file = PUBLISHED[name]
        return bench.hub_folder(repo, (file,), bench.cancelled) / file
    path = Path(name)
    if not path.is_file():
        raise RestorationError(f"There is no separator {name!r:.200}. Choose {', '.join(PUBLISHED)}, or give a file.")
    return path


def load_separator(path: Path) -> Any:
    """The network in a .safetensors file as Demucs has them on the Hub; only numbers and sizes are taken from it."""
    from demucs.htdemucs import HTDemucs
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
        if about.get("klass") != MADE_OF or json.loads(about.get("args", "[]")):
            raise ValueError(f"it is no {MADE_OF}")
        network = HTDemucs(**_numbers(json.loads(about["kwargs"])))
        network.load_state_dict(weights)
        if VOCALS not in network.sources or network.audio_channels != 2:
            raise ValueError("it knows no vocals in stereo")
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise RestorationError(f"{path.name} is damaged or no separator of ours ({reason:.200}).") from None
    return network.eval().requires_grad_(False)


def _numbers(value: Any) -> Any:
    """What JSON says, with Demucs's way to write a fraction."""
    if isinstance(value, dict) and value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list) else value


class _Parted(Staged):
    """The channels of the voice, and behind them those of the accompaniment."""

    def __init__(self, recording: Tape, sample_rate: int, network: Any, bench: Bench) -> None:
        super().__init__(recording, sample_rate)
        self.channels = 2 * recording.channels
        heard = ResampledTape(recording, sample_rate, network.samplerate)
        self._vocals = ResampledTape(_Vocals(heard, network, bench.poll), network.samplerate, sample_rate)

    def _read(self, start: int, stop: int) -> Tensor:
        recorded, vocals = self.recording.read(start, stop), self._vocals.read(start, stop)
        return torch.cat([vocals, recorded - vocals])


class _Vocals(Tape):
    """The voice in a tape at the separator's rate. Channels go through it by twos, a single one as both."""

    def __init__(self, tape: Tape, network: Any, poll: Callable[[], None]) -> None:
        self._tape, self._network, self._poll = tape, network, poll
        self.channels, self.samples = tape.channels, tape.samples
        self._length = int(network.segment * network.samplerate)
        self._hop = int((1 - OVERLAP) * self._length)
        spread = Spread(tape.channels)
        for block in tape.blocks():
            poll()
            spread.add(block)
        self._deviation = max(float(spread.deviation(together=True)), 1e-8)
        self._made: dict[int, Tensor] = {}  # the last segments, by number
        rise = torch.linspace(0, 1, self._length - self._hop + 2)[1:-1]
        self._rise = rise / (rise + rise.flip(0))

    def _read(self, start: int, stop: int) -> Tensor:
        out = torch.zeros(self.channels, stop - start)
        first, last = (start - self._length) // self._hop + 1, (stop - 1) // self._hop
        for number in range(max(first, 0), last + 1):
            begin = number * self._hop
            piece = self._segment(number)
            a, b = max(start, begin), min(stop, begin + self._length)
            out[:, a - start : b - start] += piece[:, a - begin : b - begin]
        return out

    def _segment(self, number: int) -> Tensor:
        """A segment's voice (C, length), faded into its neighbours."""
        if number not in self._made:
            self._poll()
            begin = number * self._hop
            heard = self._tape.read(begin, begin + self._length) / self._deviation
            made = torch.cat([self._through(pair) for pair in heard.split(2)]) * self._deviation
            fade = len(self._rise)
            if number > 0:
                made[:, :fade] *= self._rise
            if begin + self._length < self.samples:
                made[:, -fade:] *= self._rise.flip(0)
            self._made[number] = made
            for old in sorted(self._made)[:-3]:
                del self._made[old]
        return self._made[number]

    @torch.no_grad()
    def _through(self, pair: Tensor) -> Tensor:
        both = pair if len(pair) == 2 else pair.expand(2, -1)
        vocals = self._network(both[None])[0, self._network.sources.index(VOCALS)]
        return vocals if len(pair) == 2 else vocals.mean(dim=0, keepdim=True)
