"""Families of old machines, from which examples are drawn: for scoring, for choosing and for training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from babe2.degradations.aging import Aging
from babe2.degradations.horn import Bump, HornResponse
from babe2.degradations.surface import MEASURED, Hum, Sloping, Surface, measured, uniform
from babe2.degradations.transfer import Coding, Denoiser, Gate
from babe2.dsp.curves import FLAT, Curve
from babe2.errors import RestorationError

Range = tuple[float, float]
Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class ResponseFamily:
    """A range of old machines to draw from, each number uniformly. The defaults are those all scores are stated for."""

    low_hz: Range = (90.0, 180.0)
    high_hz: Range = (2700.0, 3500.0)
    order: Range = (4.0, 8.0)
    slope_db: float = 8.0
    bumps: int = 3
    bump_hz: Range = (250.0, 2600.0)  # evenly over the octaves between them
    bump_db: Range = (4.0, 10.0)
    upward: float = 2 / 3  # the share of bumps that are resonances; the others are dips
    bump_octaves: Range = (0.15, 0.45)
    noise_db: float = -58.0

    def draw(self, generator: torch.Generator) -> Aging:
        """One machine; the same for the same state of the generator."""
        response = HornResponse(
            low_hz=_uniform(self.low_hz, generator),
            high_hz=_uniform(self.high_hz, generator),
            order=_uniform(self.order, generator),
            slope_db=self.slope_db,
            bumps=tuple(self._bump(generator) for _ in range(self.bumps)),
        )
        return Aging(response, surface=Surface(self.noise_db))

    def _bump(self, generator: torch.Generator) -> Bump:
        lowest, highest = self.bump_hz
        centre = 2 ** _uniform((math.log2(lowest), math.log2(highest)), generator)
        height = _uniform(self.bump_db, generator)
        up = _uniform((0.0, 1.0), generator) < self.upward
        return Bump(centre, height if up else -height, _uniform(self.bump_octaves, generator))


@dataclass(frozen=True)
class Family:
    """Machines of one kind, with the noise and the later treatment that their records came down to us with.

    Frequencies are drawn evenly over octaves, all else evenly. Chances are between 0 and 1.
    """

    low_hz: Range = (100.0, 300.0)
    high_hz: Range | None = (1800.0, 4000.0)  # None: the machine reaches up as far as the music
    order: Range = (2.0, 9.0)
    slope_db: Range = (0.0, 24.0)
    bumps: tuple[int, int] = (2, 5)
    bump_hz: Range = (150.0, 4000.0)
    bump_db: Range = (3.0, 11.0)
    upward: float = 2 / 3
    bump_octaves: Range = (0.08, 0.45)
    noise_db: Range = (-55.0, -15.0)
    slope_of_noise_db: Range = (-6.0, 3.0)
    measured: float = 0.5  # chance that the noise has a real surface's spectrum
    white: float = 0.1
    swell: float = 0.3
    clicks: float = 0.4
    clicks_a_second: Range = (0.3, 20.0)
    click_db: Range = (0.0, 18.0)
    hum: float = 0.3
    hum_db: Range = (-45.0, -15.0)
    rumble: float = 0.3
    saturation: float = 0.2
    gate: float = 0.15
    denoiser: float = 0.15
    coding: float = 0.25
    wall_hz: Range = (4500.0, 10500.0)
    bits: float = 0.1

    def draw(self, generator: torch.Generator) -> Aging:
        """One machine; the same for the same state of the generator."""
        dice = _Dice(generator)
        return Aging(
            self._response(dice),
            drive=dice.even((0.3, 1.5)) if dice.luck(self.saturation) else None,
            surface=self._surface(dice),
            askew=dice.even((-2e-4, 2e-4)),
            gate=self._gate(dice) if dice.luck(self.gate) else None,
            denoiser=self._denoiser(dice) if dice.luck(self.denoiser) else None,
            coding=Coding(dice.octaves(self.wall_hz), dice.even((20.0, 40.0))) if dice.luck(self.coding) else None,
            bits=dice.among((8, 16)) if dice.luck(self.bits) else None,
        )

    def _response(self, dice: _Dice) -> HornResponse:
        low, high = dice.octaves(self.low_hz), None if self.high_hz is None else dice.octaves(self.high_hz)
        return HornResponse(
            low_hz=low,
            high_hz=high,
            order=dice.even(self.order),
            slope_db=dice.even(self.slope_db),
            bumps=tuple(self._bump(dice) for _ in range(dice.whole(self.bumps))),
        )

    def _bump(self, dice: _Dice) -> Bump:
        height = dice.even(self.bump_db) * (1 if dice.luck(self.upward) else -1)
        return Bump(dice.octaves(self.bump_hz), height, dice.octaves(self.bump_octaves))

    def _surface(self, dice: _Dice) -> Surface:
        hum = Hum(dice.among((50.0, 60.0)) * dice.even((0.97, 1.03)), dice.even(self.hum_db), dice.even((4.0, 12.0)))
        return Surface(
            dice.even(self.noise_db),
            self._spectrum(dice),
            swell_db=dice.even((1.0, 6.0)) if dice.luck(self.swell) else 0.0,
            turns_hz=dice.among((1.3, 1.33, 2.67)),
            clicks=dice.octaves(self.clicks_a_second) if dice.luck(self.clicks) else 0.0,
            click_db=dice.even(self.click_db),
            hum=hum if dice.luck(self.hum) else None,
            rumble_db=dice.even((-40.0, -12.0)) if dice.luck(self.rumble) else None,
        )

    def _spectrum(self, dice: _Dice) -> Curve:
        kind = dice.even((0.0, 1.0))
        if kind < self.measured:
            return measured(dice.among(tuple(MEASURED)))
        if kind < self.measured + self.white:
            return FLAT
        return Sloping(dice.even(self.slope_of_noise_db), dice.octaves((1500.0, 8000.0)), dice.even((-18.0, 3.0)))

    def _gate(self, dice: _Dice) -> Gate:
        return Gate(dice.even((-35.0, -12.0)), dice.even((0.5, 2.0)), dice.even((6.0, 30.0)), dice.even((0.05, 0.4)))

    def _denoiser(self, dice: _Dice) -> Denoiser:
        return Denoiser(dice.even((6.0, 25.0)), dice.even((1.0, 4.0)))


HORN = Family()
CYLINDER = replace(
    HORN, low_hz=(150.0, 350.0), high_hz=(1800.0, 3200.0), bumps=(3, 6), noise_db=(-30.0, -10.0), rumble=0.6, swell=0.6
)
ELECTRIC = replace(
    HORN, low_hz=(60.0, 150.0), high_hz=(3500.0, 7000.0), bumps=(2, 4), bump_db=(1.5, 7.0), noise_db=(-60.0, -25.0)
)
RADIO = replace(
    HORN,
    low_hz=(60.0, 120.0),
    high_hz=(4500.0, 9000.0),
    order=(4.0, 9.0),
    slope_db=(0.0, 36.0),
    bumps=(1, 4),
    bump_db=(1.0, 5.0),
    noise_db=(-60.0, -30.0),
    measured=0.2,
    white=0.3,
    clicks=0.2,
    hum=0.5,
)
# A record of any kind that was cleaned and squeezed by those who put it on line.
TRANSFER = replace(
    HORN,
    low_hz=(60.0, 250.0),
    high_hz=(2200.0, 7000.0),
    noise_db=(-60.0, -20.0),
    clicks=0.2,
    gate=0.5,
    denoiser=0.6,
    coding=0.8,
    bits=0.2,
)
# Nothing was lost: for the cases in which nothing is to be done.
MODERN = replace(
    HORN,
    low_hz=(15.0, 45.0),
    high_hz=None,
    bumps=(0, 3),
    bump_db=(0.0, 1.5),
    bump_octaves=(0.4, 1.0),
    noise_db=(-80.0, -50.0),
    measured=0.2,
    swell=0.0,
    clicks=0.0,
    hum=0.15,
    hum_db=(-60.0, -35.0),
    rumble=0.0,
    saturation=0.0,
    gate=0.05,
    denoiser=0.05,
    coding=0.1,
    wall_hz=(9500.0, 11000.0),
    bits=0.2,
)

FAMILIES: Mapping[str, ResponseFamily | Family] = {
    "published": ResponseFamily(),
    "horn": HORN,
    "cylinder": CYLINDER,
    "electric": ELECTRIC,
    "radio": RADIO,
    "transfer": TRANSFER,
    "modern": MODERN,
}
OLD = tuple(name for name in FAMILIES if name != "modern")  # that lost something


def family_of(name: str) -> ResponseFamily | Family:
    """The family called so, or a RestorationError that lists those there are."""
    if name not in FAMILIES:
        raise RestorationError(
            f"There is no family of machines called {name!r:.80}. Choose from {', '.join(FAMILIES)}."
        )
    return FAMILIES[name]


class _Dice:
    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def even(self, between: Range) -> float:
        return _uniform(between, self.generator)

    def octaves(self, between: Range) -> float:
        return float(2 ** self.even((math.log2(between[0]), math.log2(between[1]))))

    def whole(self, between: tuple[int, int]) -> int:
        return min(int(self.even((between[0], between[1] + 1))), between[1])

    def luck(self, chance: float) -> bool:
        return self.even((0.0, 1.0)) < chance

    def among(self, several: Sequence[Drawn]) -> Drawn:
        return several[self.whole((0, len(several) - 1))]


def _uniform(between: Range, generator: torch.Generator) -> float:
    low, high = between
    return low + (high - low) * uniform(generator)
