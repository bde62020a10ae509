"""Every number of a training that a person may change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

from babe2.config import BandwiseArchitecture, Model
from babe2.errors import RestorationError
from babe2.training.augmentation import Augmentation
from babe2.training.corpus import Levelling
from babe2.training.noise import NoiseLevels


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides on the result. The defaults are the published piano column (babe2.md, section 8)."""

    batch: int = 4  # excerpts per iteration, however many processes and parts share them
    seed: int = 0
    learning_rate: float = 2e-4  # of Adam
    beta1: float = 0.9  # of Adam
    beta2: float = 0.999
    muon_rate: float | None = None  # of Muon, for hidden matrices; None: Adam for all
    warmup: int = 10_000  # iterations over which the rates rise from 0
    clip: float = 1.0  # norm of the network's gradient
    average_decay: float = 0.9999  # of the averaged weights, which are the result
    # Excerpts heard before the average is as slow as that, which it becomes in proportion; None: as soon as a tenth of
    # the run is longer than the average reaches back, which suits short runs.
    average_ramp: int | None = 10_000
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    levelling: Levelling = field(default_factory=Levelling)
    augmentation: Augmentation = field(default_factory=Augmentation)
    weighted: bool = False  # whether the weight of each noise level is learned beside the network
    octave_weights: tuple[float, ...] = ()  # lowest first, for the compact network; (): all alike
    shortest_seconds: float | None = None  # of a file; None: as long as an excerpt. Shorter ones are repeated
    ltas_fft: int = 2048
    ltas_batches: int = 100  # over which the average spectrum is measured (published)
    spread_batches: int = 40  # and the spread of each bin, for the compact network

    def changed(self, overrides: Mapping[str, str]) -> TrainingSettings:
        """Returns these settings with some replaced, by names like `augmentation.gain_db`, from text."""
        settings = self
        for name, text in overrides.items():
            settings = with_value(settings, name, name, text)
        settings.check()
        return settings

    def check(self) -> None:
        """Raises RestorationError where a setting has no meaning."""
        noise, levelling = self.noise, self.levelling
        rules = {
            "batch": 1 <= self.batch <= 2**16,
            "seed": 0 <= self.seed < 2**63,
            "learning_rate": 0 < self.learning_rate < 10,
            "muon_rate": self.muon_rate is None or 0 < self.muon_rate < 10,
            "beta1": 0 <= self.beta1 < 1,
            "beta2": 0 <= self.beta2 < 1,
            "warmup": self.warmup >= 0,
            "clip": self.clip > 0,
            "average_decay": 0 <= self.average_decay < 1,
            "average_ramp": self.average_ramp is None or self.average_ramp > 0,
            "noise.lowest": 0 < noise.lowest < noise.highest,
            "noise.rho": noise.rho is None or noise.rho >= 0.1,
            "noise.recorded": 0 <= noise.recorded <= 1,
            "levelling.corpus_level": levelling.corpus_level is None or levelling.corpus_level > 0,
            "levelling.context_seconds": levelling.context_seconds > 0,
            "levelling.quietest": levelling.quietest > 0,
            "augmentation.pitch_semitones": abs(self.augmentation.pitch_semitones) <= 24,
            "augmentation.bumps": 0 <= self.augmentation.bumps <= 64,
            "octave_weights": not self.octave_weights or min(self.octave_weights) >= 0 < sum(self.octave_weights),
            "ltas_fft": 64 <= self.ltas_fft <= 2**17 and self.ltas_fft & (self.ltas_fft - 1) == 0,
            "ltas_batches": self.ltas_batches >= 1,
            "spread_batches": self.spread_batches >= 1,
        }
        if broken := [name for name, holds in rules.items() if not holds]:
            raise RestorationError(f"Training cannot work with this {', '.join(broken)}. Leave it at its default.")


PIANO_TRAINING = TrainingSettings()
VOICE_TRAINING = TrainingSettings(
    warmup=100,
    noise=NoiseLevels(lowest=1e-3, highest=100.0),
    levelling=Levelling(by="crop"),
    augmentation=Augmentation(gain_db=3.0),
    weighted=True,
    shortest_seconds=1.0,
    ltas_fft=4096,
)
# Ours, found on two cores in minutes; neither rate was searched for at length.
COMPACT_TRAINING = TrainingSettings(
    batch=8,
    learning_rate=2e-3,
    beta2=0.99,
    muon_rate=0.02,
    warmup=100,
    average_decay=0.998,
    average_ramp=None,
    noise=NoiseLevels(lowest=5e-5, highest=1.0, rho=None, stratified=True, recorded=0.6),
    levelling=Levelling(by="context", quietest=1e-3, quietest_share=0.03),
    augmentation=Augmentation(gain_spread_db=3.0, flip=True, pitch_semitones=0.5, tilt_db=1.0, bumps=2, bump_db=1.5),
    # The lowest octaves hold little music; what is lost in old recordings is at the top.
    octave_weights=(0.3, 0.6, 1.0, 1.0, 1.0, 1.2, 1.5, 1.3),
)


def training_settings(model: Model) -> TrainingSettings:
    """Returns the settings with which a model of this kind is trained from nothing."""
    if isinstance(model.architecture, BandwiseArchitecture):
        return COMPACT_TRAINING
    return VOICE_TRAINING if model.column == "voice" else PIANO_TRAINING


def tuning_settings(model: Model) -> TrainingSettings:
    """Returns the settings with which it is trained further, on other data: as published for one singer's voice."""
    if isinstance(model.architecture, BandwiseArchitecture):
        return replace(COMPACT_TRAINING, learning_rate=5e-4, muon_rate=5e-3)
    of_its_kind = training_settings(model)
    levelling, augmentation = Levelling(by="corpus"), Augmentation(gain_db=3.0)
    return replace(of_its_kind, levelling=levelling, augmentation=augmentation, warmup=100, weighted=False)


def with_value(settings: Any, name: str, full_name: str, text: str) -> Any:
    """Returns a dataclass with one field, or the field of a field, replaced by what the text says."""
    own, _, rest = name.partition(".")
    hints = get_type_hints(type(settings))
    if own not in hints or is_dataclass(hints[own]) != bool(rest):
        known = ", ".join(setting_names(TrainingSettings()))
        raise RestorationError(f"There is no training setting {full_name!r:.80}. Known settings: {known}.")
    if rest:
        return replace(settings, **{own: with_value(getattr(settings, own), rest, full_name, text)})
    try:
        return replace(settings, **{own: value_of(hints[own], text.strip())})
    except (ValueError, OverflowError):
        raise RestorationError(f"The training setting {full_name} cannot be {text!r:.80}.") from None


def value_of(kind: Any, text: str) -> Any:
    """Reads text as a value of a field's type; what it cannot be is a ValueError."""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"
    if kind is int:
        return int(text)
    if kind is float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    choices = get_args(kind)
    if type(None) in choices:
        return None if text.lower() == "none" else value_of(next(one for one in choices if one is not type(None)), text)
    if kind == tuple[float, ...]:
        return tuple(value_of(float, part) for part in text.split(",") if part)
    if text not in choices:
        raise ValueError
    return text


def setting_names(settings: Any, prefix: str = "") -> list[str]:
    """Lists the names by which settings are changed."""
    names = []
    for one in fields(settings):
        value = getattr(settings, one.name)
        names += setting_names(value, f"{prefix}{one.name}.") if is_dataclass(value) else [prefix + one.name]
    return names


def average_decay(settings: TrainingSettings, n: int) -> float:
    """Returns the share of the averaged weights that stays in iteration n."""
    if settings.average_ramp is None:
        return min(settings.average_decay, (n + 1) / (n + 10))
    heard = n * settings.batch
    return min(heard / settings.average_ramp, settings.average_decay)
