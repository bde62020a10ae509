"""Degradations from a line of text, and several of them one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from babe2.degradations.base import Degradation, Samplewise
from babe2.degradations.clipping import Clip
from babe2.degradations.described import Described, Place, Treats
from babe2.degradations.filters import KINDS, Filter, Kind, LowerRate
from babe2.degradations.missing import EveryNth, Gaps, Sensed
from babe2.degradations.noise_bank import NoiseBank
from babe2.degradations.phase import Phase
from babe2.dsp.curves import Curve, WeightedSum
from babe2.errors import RestorationError


@dataclass(frozen=True)
class Several(Described):
    """Degradations that happened one after the other."""

    name: ClassVar[str] = "several"
    form: ClassVar[str] = "several, joined by +"
    each: tuple[Described, ...]

    @property
    def parts(self) -> tuple[Described, ...]:
        return self.each

    @property
    def treats(self) -> Treats:
        kinds = {part.treats for part in self.each}
        return kinds.pop() if len(kinds) == 1 else "sounds"

    @property
    def text(self) -> str:
        return "+".join(part.text for part in self.each)

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "parts": [part.as_dict() for part in self.each]}

    def check(self, recorded_rate: int, model_rate: int) -> None:
        for part in self.each:
            part.check(recorded_rate, model_rate)

    def curve(self, recorded_rate: int) -> Curve | None:
        curves = [curve for part in self.each if (curve := part.curve(recorded_rate)) is not None]
        return WeightedSum(tuple(curves), (1.0,) * len(curves)) if len(curves) == len(self.each) else None

    def at(self, place: Place) -> Degradation:
        return in_turn([part.at(place) for part in self.each])

    def applied(self, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        for part in self.each:
            audio = part.applied(audio, sample_rate, generator)
        return audio


class InTurn(Degradation):
    """One degradation after the other."""

    def __init__(self, first: Degradation, second: Degradation) -> None:
        self.first, self.second = first, second

    @property
    def linear(self) -> bool:
        return self.first.linear and self.second.linear

    @property
    def response(self) -> Curve:
        return self.first.response

    def __call__(self, clean: Tensor) -> Tensor:
        return self.second(self.first(clean))

    def trusted(self, recording: Tensor) -> Tensor:
        return self.second.trusted(recording)

    def fit(self, clean: Tensor, observation: Tensor) -> None:
        self.first.fit(clean, observation)


class SamplesInTurn(InTurn, Samplewise):
    """The same of two that treat every sample by itself, and so do so together."""

    first: Samplewise
    second: Samplewise

    def known(self, recording: Tensor) -> Tensor:
        return self.second.known(recording) & self.first.known(recording)

    def sounds(self, recording: Tensor) -> Tensor:
        return self.second.sounds(recording) & self.first.sounds(recording)

    def faithful(self, clean: Tensor, recording: Tensor) -> Tensor:
        between = self.second.faithful(self.first(clean), recording)
        return self.first.faithful(clean, between)


def in_turn(operators: list[Degradation]) -> Degradation:
    """Degradations one after the other, as one."""
    whole = operators[0]
    for operator in operators[1:]:
        both = isinstance(whole, Samplewise) and isinstance(operator, Samplewise)
        whole = SamplesInTurn(whole, operator) if both else InTurn(whole, operator)
    return whole


def split(degradation: Described, recorded_rate: int) -> tuple[Curve | None, Described | None]:
    """The response of what was done to frequencies first, and what was done after that."""
    parts, curves = list(degradation.parts), []
    while parts and (curve := parts[0].curve(recorded_rate)) is not None:
        curves.append(curve)
        parts.pop(0)
    response = WeightedSum(tuple(curves), (1.0,) * len(curves)) if len(curves) > 1 else (*curves, None)[0]
    return response, Several(tuple(parts)) if len(parts) > 1 else (*parts, None)[0]


# From text


def degradation_of(text: str | Described) -> Described:
    """A degradation from text, NAME[:ARGUMENTS] joined by +, or from one that is described already."""
    if isinstance(text, Described):
        return text
    if not isinstance(text, str):
        raise RestorationError(f"A degradation is text such as clip:0.3, not of the type {type(text).__name__}.")
    names = "|".join(re.escape(name) for name in MAKERS)
    words = re.split(rf"\+(?=(?:{names})(?:[:,+]|$))", text.strip())  # a plus may stand in a file's name, too
    parts = tuple(_one(word) for word in words)
    if len(parts) > 1 and any(part.name == Phase.name for part in parts):
        raise RestorationError("Of lost phases nothing can be told beside another degradation. Give phase by itself.")
    return parts[0] if len(parts) == 1 else Several(parts)


def forms() -> str:
    """How degradations are written, for a help text."""
    kinds = (Filter, LowerRate, EveryNth, Clip, Gaps, Sensed, NoiseBank, Phase)
    return "; ".join(kind.form for kind in kinds)


def names_a_file(text: str) -> bool:
    """Whether a line of text has anything read from a file or a folder when it is made a degradation."""
    return any(word.partition(":")[0] in OF_FILES for word in text.strip().split("+"))


def _one(word: str) -> Described:
    name, _, said = word.partition(":")
    if name not in MAKERS:
        raise RestorationError(f"There is no degradation {name!r:.80}. Choose from {', '.join(MAKERS)}.")
    return MAKERS[name](said)


class _Words:
    """What is said of a degradation: words and pairs, between commas."""

    def __init__(self, said: str, form: str) -> None:
        words = [word.strip() for word in said.split(",")] if said.strip() else []
        self.form, self.said = form, said
        self.plain = [word for word in words if "=" not in word]
        self.pairs = {key.strip(): value for key, _, value in (word.partition("=") for word in words if "=" in word)}

    def number(self, name: str = "") -> float:
        """The first plain word, or that of a name."""
        value = self.pairs.pop(name) if name else self.plain.pop(0) if self.plain else ""
        try:
            return float(value)
        except ValueError:
            raise RestorationError(f"{value or 'nothing'!r:.80} is no number. Write {self.form}.") from None

    def whole(self, name: str = "") -> int:
        number = self.number(name)
        if number != number // 1:
            raise RestorationError(f"{number:g} is no whole number. Write {self.form}.")
        return int(number)

    def has(self, word: str) -> bool:
        """Whether a plain word is there, which then counts as read."""
        if word in self.plain:
            self.plain.remove(word)
            return True
        return False

    def done(self) -> None:
        """Refuses what nobody has read."""
        for left in (*self.plain, *self.pairs):
            raise RestorationError(f"{left!r:.80} says nothing here. Write {self.form}.")


def _filter(said: str, high: bool) -> Described:
    words = _Words(said, Filter.form)
    hertz = words.number()
    kind: Kind = next((kind for kind in KINDS if words.has(kind)), "fir")
    shape: dict[str, Any] = {}
    if kind == "cheby1":
        shape = {"order": words.whole("order")} if "order" in words.pairs else {}
        shape |= {"ripple_db": words.number("ripple")} if "ripple" in words.pairs else {}
    elif kind == "biquad" and "q" in words.pairs:
        shape = {"q": words.number("q")}
    causal = words.has("causal")
    words.done()
    return Filter(hertz, high, kind, causal, **shape)


def _resample(said: str) -> Described:
    words = _Words(said, LowerRate.form)
    hertz = words.number()
    words.done()
    return LowerRate(hertz=hertz)


def _decimate(said: str) -> Described:
    words = _Words(said, "decimate:N or decimate:N,raw")
    factor, raw = words.whole(), words.has("raw")
    words.done()
    return EveryNth(factor) if raw else LowerRate(factor=factor)


def _clip(said: str) -> Described:
    words = _Words(said, Clip.form)
    level = words.number()
    words.done()
    return Clip(level)


def _sense(said: str) -> Described:
    words = _Words(said, Sensed.form)
    share, seed = words.number(), words.whole("seed") if "seed" in words.pairs else 0
    words.done()
    return Sensed(share, seed)


def _gaps(said: str) -> Described:
    if not said:
        raise RestorationError(f"Which gaps? Write {Gaps.form}.")
    return Gaps.of_file(said)


def _noise_bank(said: str) -> Described:
    if not said:
        raise RestorationError(f"Which noise? Write {NoiseBank.form}.")
    folder, _, last = said.rpartition(",")  # a comma may stand in a folder's name, too
    name = last.partition("=")[0]
    if not folder or name not in ("snr", "gain"):
        return NoiseBank.of_folder(said)
    words = _Words(last, NoiseBank.form)
    number = words.number(name)
    return NoiseBank.of_folder(folder, snr_db=number) if name == "snr" else NoiseBank.of_folder(folder, gain=number)


def _phase(said: str) -> Described:
    _Words(said, Phase.form).done()
    return Phase()


MAKERS: Mapping[str, Callable[[str], Described]] = {
    "lowpass": lambda said: _filter(said, high=False),
    "highpass": lambda said: _filter(said, high=True),
    "resample": _resample,
    "decimate": _decimate,
    "clip": _clip,
    "gaps": _gaps,
    "sense": _sense,
    "noise-bank": _noise_bank,
    "phase": _phase,
}
OF_FILES = ("gaps", "noise-bank")  # which read what they are told of
