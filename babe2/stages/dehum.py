"""Mains hum: steady lines at 50 or 60 Hz and their multiples, followed as the speed drifts, and taken away.

All lines of a hum move together, as a machine's speed moves, so they are followed as one. A line is hum where it stands
out of what lies on both sides of it for nearly all of the recording, at nearly the same level: the note of a bass is
at another pitch, ends, or fades. What is taken away is each line's own slow oscillation, no louder than the hum mostly
is, and nothing between the lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from babe2.config import STAGE, setting
from babe2.dsp.resampling import resampled
from babe2.dsp.spectra import decibels
from babe2.dsp.tape import MemoryTape, Tape
from babe2.recordings.recorded import rechunked
from babe2.stages.base import Bench, Report, Stage, Staged, Untouched, sounds
from babe2.stages.pieces import InPieces

MAINS_HZ = (50.0, 60.0)
OFF_SPEED = 0.012  # a quarter of a semitone: the nearest notes are 2 % off, and no hum by so much
EDGE = 0.9
SHORTEST_SECONDS = 6.0  # of less, nobody can say which line would have ended
HOP_SECONDS, HOPS = 0.5, 4  # a line's level and phase are told so often, from so many hops of sound
LOW_RATE, LOW_PARTIALS = 600, 5  # where the lines are looked for
RATE, PARTIALS = 2400, 20  # Hz, and how many lines may be taken away
GRID = 1e-4  # of the speed
STEPS = 10  # of the grid, from one hop to the next: 0.2 % in a second
STEP_DB = 0.5  # what a step must gain
ENOUGH_DB = 20.0  # a line that stands out by more tells no more of the speed
STANDS_OUT_DB = 8.0  # over both sides
MOSTLY = 0.15  # of the time a line may be covered by music
STEADY, FAINTEST = 0.6, 0.05  # of its usual level that a line keeps in all but so few of its faintest moments
SWING, SWING_OF_SIDES = 0.2, 1.7  # between those and its loudest: of its usual level, or of what is on both sides
LOUDEST = 1.4  # times its usual level, that are taken away at most
SIDES_HZ = (2.5, 3.25, 4.0)  # from a line, where nothing of it is left


@dataclass(frozen=True)
class Dehum(Stage):
    """Takes away mains hum."""

    name: ClassVar[str] = "dehum"
    does: ClassVar[str] = "Takes away the hum of the mains, as far as its lines are there all the time."

    mains_hz: float = setting(
        0.0,
        STAGE,
        "Mains (Hz)",
        "50 or 60, as it sounds in the recording; 0 finds it",
        "",
        lambda v: v == 0 or 10 <= v <= 200,
    )

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        untouched = Untouched(recording, sample_rate)
        untouched.found = {"mains_hz": None}
        if recording.samples < SHORTEST_SECONDS * sample_rate or not sounds(recording):
            return untouched
        low = _resampled(recording, sample_rate)
        best: _Lines | None = None
        for mains in (self.mains_hz,) if self.mains_hz else MAINS_HZ:
            speed = followed(low, mains)
            if speed.off > EDGE * OFF_SPEED:  # drawn there by something beyond
                continue
            lines = _Lines.of(recording, sample_rate, speed)
            if lines.are_hum and (best is None or lines.power > best.power):
                best = lines
        return untouched if best is None else _Unhummed(recording, sample_rate, best)


def _resampled(recording: Tape, sample_rate: int) -> Tape:
    """A recording at the rate where hum is looked for; an hour of a channel is as long as three minutes were."""
    tape, place = MemoryTape.blank(recording.channels, -(-recording.samples * LOW_RATE // sample_rate)), 0
    for block in resampled(recording.blocks(), sample_rate, LOW_RATE):
        tape.write(place, block)
        place += block.shape[1]
    return tape


@dataclass(frozen=True, eq=False)
class Speed:
    """The course of a hum: its frequency at knots that lie `HOP_SECONDS` apart, and the phase that this adds up to."""

    mains: float  # Hz
    factors: np.ndarray  # (M,) of the mains' frequency

    @property
    def off(self) -> float:
        """By which share of the mains' frequency it is mostly off."""
        return float(np.median(np.abs(self.factors - 1)))

    @property
    def cycles(self) -> np.ndarray:
        """At the knots (M,)."""
        steps = (self.factors[1:] + self.factors[:-1]) / 2 * self.mains * HOP_SECONDS
        return np.concatenate([[0.0], np.cumsum(steps)])

    def turns(self, seconds: Tensor) -> Tensor:
        """The lowest line (n,) at some times, as complex numbers of unit length."""
        place = (seconds.numpy() / HOP_SECONDS).clip(0, len(self.factors) - 1 - 1e-9)
        knot = place.astype(int)
        part = place - knot
        rise = self.factors[knot + 1] - self.factors[knot]
        within = self.mains * HOP_SECONDS * (self.factors[knot] * part + rise * part**2 / 2)
        cycles = torch.from_numpy((self.cycles[knot] + within) % 1.0)
        return torch.polar(torch.ones_like(cycles), 2 * math.pi * cycles)


def followed(low: Tape, mains: float) -> Speed:
    """The course that hum at `mains` takes in a recording (C, T) at `LOW_RATE`, if there is any."""
    hop = round(HOP_SECONDS * LOW_RATE)
    length, fft = HOPS * hop, 4 * HOPS * hop
    window = torch.hann_window(length, dtype=torch.float64)
    count = -(-low.samples // hop) + 1
    factors = 1 + GRID * torch.arange(-round(OFF_SPEED / GRID), round(OFF_SPEED / GRID) + 1, dtype=torch.float64)
    orders = torch.arange(1, LOW_PARTIALS + 1)
    orders = orders[orders * mains * (1 + OFF_SPEED) < 0.45 * LOW_RATE]
    places = orders[:, None] * mains * factors * (fft / LOW_RATE)  # (K, G) bins

    def score(knot: int) -> Tensor:
        """How far the lines stand out there, for each of the factors (G,)."""
        start = knot * hop - length // 2
        x = low.read(start, start + length).double()
        level = decibels(torch.fft.rfft(x * window, fft).abs().square().sum(dim=0) + 1e-20)
        line = _between(level, places)
        sides = torch.stack(
            [_between(level, places + way * hertz * fft / LOW_RATE) for way in (-1, 1) for hertz in SIDES_HZ]
        ).reshape(2, len(SIDES_HZ), *places.shape)
        return (line - sides.mean(dim=1).amax(dim=0)).clamp(0, ENOUGH_DB).sum(dim=0)

    return _refined(low, Speed(mains, factors[_best_path(map(score, range(count)), count)].numpy()), orders)


def _between(level: Tensor, places: Tensor) -> Tensor:
    below = places.long().clamp(0, len(level) - 2)
    return torch.lerp(level[below], level[below + 1], (places - below).clamp(0, 1))


def _best_path(scores: Iterator[Tensor], count: int) -> Tensor:
    """Which of the columns of (M, G) to go along, so that the sum is the most and every step costs (M,).

    The rows are asked for one by one; of each is kept whence one comes best.
    """
    cost = STEP_DB * torch.arange(-STEPS, STEPS + 1).abs()
    best = next(scores)
    steps = torch.empty(count - 1, len(best), dtype=torch.int8)
    for came_by, row in zip(steps, scores, strict=True):
        around = torch.nn.functional.pad(best, (STEPS, STEPS), value=-1e9).unfold(0, 2 * STEPS + 1, 1) - cost
        most, step = around.max(dim=1)
        came_by.copy_(step - STEPS)
        best = row + most
    path = [int(best.argmax())]
    for came_by in steps.flip(0):
        path.append(path[-1] + int(came_by[path[-1]]))
    return torch.tensor(path[::-1])


def _refined(low: Tape, speed: Speed, orders: Tensor) -> Speed:
    """The same course, finer: lines that turn against it tell by how much it is off."""
    for _ in range(3):
        lines = torch.empty(len(speed.factors), len(orders), dtype=torch.complex128)
        for knot, waves in enumerate(_oscillations(low.blocks(), LOW_RATE, low.samples, speed, len(orders), ())):
            lines[knot] = waves[:, 0].sum(dim=0)
        turned = (lines[1:] * lines[:-1].conj()).numpy()  # (M - 1, K)
        numbers = orders.numpy()
        weight = np.abs(turned)
        off = (np.angle(turned) * weight * numbers).sum(axis=1) / ((weight * numbers**2).sum(axis=1) + 1e-30)
        off = off / (2 * math.pi * HOP_SECONDS * speed.mains)
        at_knots = np.concatenate([off[:1], (off[1:] + off[:-1]) / 2, off[-1:]]).clip(-STEPS * GRID, STEPS * GRID)
        middle = [np.median(at_knots[max(0, n - 2) : n + 3]) for n in range(len(at_knots))]
        factors = speed.factors + np.array(middle)
        padded = np.pad(factors, 2, mode="edge")
        speed = Speed(speed.mains, np.convolve(padded, np.ones(5) / 5, mode="valid"))
    return speed


def _oscillations(
    blocks: Iterable[Tensor], rate: int, samples: int, speed: Speed, count: int, sides_hz: tuple[float, ...]
) -> Iterator[Tensor]:
    """The slow oscillation of each line around each knot: (C, 1 + sides, K), an amplitude and a phase.

    Behind those of the lines lie those of what is to either side of them, at a distance of so many Hz.
    """
    hop, knots = round(HOP_SECONDS * rate), len(speed.factors)
    window = torch.hann_window(HOPS * hop, dtype=torch.float64).reshape(HOPS, hop).flip(0)  # of the knots around a hop
    away = torch.tensor([0.0, *(-hertz for hertz in sides_hz), *sides_hz], dtype=torch.float64)
    sums, weights = torch.zeros(()), torch.zeros(HOPS, dtype=torch.float64)  # of the knots that are not yet complete
    first = 1 - HOPS // 2  # of them
    place = 0
    for block in rechunked(blocks, hop, samples):
        x = block.double()
        seconds = (place + torch.arange(x.shape[1], dtype=torch.float64)) / rate
        turns = speed.turns(seconds)
        powers = turns[:, None].expand(-1, count).cumprod(dim=1)  # (n, K)
        beside = torch.polar(
            torch.ones(len(away), len(seconds), dtype=torch.float64), 2 * math.pi * away[:, None] * seconds
        )
        part = window[:, : x.shape[1]]
        heard = x[:, None, None] * part[None, :, None] * beside.conj()  # (C, HOPS, S, n)
        found = (heard.flatten(0, 2) @ powers.conj()).reshape(len(x), HOPS, len(away), count).transpose(0, 1)
        # The hop lies in the windows of the knots from the one before it to the one behind its end.
        sums = sums + found
        weights = weights + part.sum(dim=1)
        if 0 <= first < knots:
            yield _told(sums, weights)
        sums, weights, first = _passed(sums), _passed(weights), first + 1
        place += x.shape[1]
    for _ in range(first, knots):
        yield _told(sums, weights)
        sums, weights = _passed(sums), _passed(weights)


def _told(sums: Tensor, weights: Tensor) -> Tensor:
    """What the first of some knots has come to."""
    return 2 * sums[0] / weights[0].clamp(min=1e-9)


def _passed(rows: Tensor) -> Tensor:
    """Without the first row, and with an empty one at the end."""
    return torch.cat([rows[1:], torch.zeros_like(rows[:1])])


@dataclass(frozen=True, eq=False)
class _Lines:
    """The lines of a hum: where each stands out, and how it oscillates."""

    speed: Speed
    waves: Tensor  # (M, C, K), zero where a line is none of the hum's
    stands_out: Tensor  # (C, K) true or false

    @staticmethod
    def of(recording: Tape, sample_rate: int, speed: Speed) -> _Lines:
        rate = min(RATE, sample_rate)
        count = max(1, min(PARTIALS, int(0.45 * rate / speed.mains / (1 + OFF_SPEED))))
        blocks = resampled(recording.blocks(), sample_rate, rate)
        samples = -(-recording.samples * rate // sample_rate)
        waves = torch.empty(len(speed.factors), recording.channels, count, dtype=torch.complex128)
        over = torch.empty(waves.shape, dtype=torch.float64)
        for knot, found in enumerate(_oscillations(blocks, rate, samples, speed, count, SIDES_HZ)):
            waves[knot] = found[:, 0]
            sides = decibels(found[:, 1:].abs().square().unflatten(1, (2, -1)).mean(dim=2)).amax(dim=1)
            over[knot] = decibels(waves[knot].abs().square()) - sides
        size = waves.abs()
        sides, usually = (size * 10 ** (-over / 20)).quantile(1 - MOSTLY, dim=0), size.median(dim=0).values
        faintest, loudest = size.quantile(FAINTEST, dim=0), size.quantile(1 - FAINTEST, dim=0)
        # Music that covers a line makes it swing; a note that is struck again and again swings with nothing beside it.
        swings = loudest - faintest > torch.maximum(SWING * usually, SWING_OF_SIDES * sides)
        stands_out = (over.quantile(MOSTLY, dim=0) > STANDS_OUT_DB) & (faintest > STEADY * usually) & ~swings
        reach = min(20, len(size) // 2)
        usual = torch.stack([size[max(0, m - reach) : m + reach + 1].median(dim=0).values for m in range(len(size))])
        waves = waves * (LOUDEST * usual / size.clamp(min=1e-30)).clamp(max=1) * stands_out
        return _Lines(speed, waves, stands_out)

    @property
    def are_hum(self) -> bool:
        """Whether a channel has the mains' own line, or two of the next four."""
        return bool((self.stands_out[:, 0] | (self.stands_out[:, 1:5].sum(dim=1) >= 2)).any())

    @property
    def power(self) -> float:
        return float(self.waves.abs().square().mean())

    def as_dict(self) -> Report:
        factors = self.speed.mains * self.speed.factors
        partials = (self.stands_out.any(dim=0).nonzero().flatten() + 1).tolist()
        return {
            "mains_hz": self.speed.mains,
            "hertz": [round(float(hertz), 3) for hertz in (factors.min(), factors.max())],
            "partials": partials,
            "level_db": round(float(decibels(self.waves.abs().square().mean(dim=0).sum(dim=1).max() / 2)), 1),
        }


class _Unhummed(InPieces):
    def __init__(self, recording: Tape, sample_rate: int, lines: _Lines) -> None:
        super().__init__(recording, sample_rate)
        self._lines, self.found = lines, lines.as_dict()

    def _piece(self, start: int, stop: int) -> Tensor:
        seconds = torch.arange(start, stop, dtype=torch.float64) / self.sample_rate
        place = (seconds / HOP_SECONDS).clamp(0, len(self._lines.waves) - 1 - 1e-9)
        knot = place.long()
        part = place - knot
        turns = self._lines.speed.turns(seconds)
        hum, turned = torch.zeros(self.channels, stop - start, dtype=torch.float64), torch.ones_like(turns)
        for order in range(self._lines.waves.shape[2]):
            turned = turned * turns
            if self._lines.stands_out[:, order].any():
                wave = self._lines.waves[:, :, order]
                hum += (torch.lerp(wave[knot], wave[knot + 1], part[:, None].to(wave.dtype)).T * turned).real
        return (self.recording.read(start, stop).double() - hum).float()
