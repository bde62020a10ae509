"""Every number a person may change, with its unit; the published columns and the presets made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_type_hints

from babe2.errors import RestorationError

Ltas = Literal["off", "init", "objective"]
Solver = Literal["guided", "closed-form", "bandwise"]
Mode = Literal["autoregressive", "time-invariant"]
Weighting = Literal["none", "linear", "sqrt", "log", "quadratic", "cubic", "squared"]


@dataclass(frozen=True)
class Architecture:
    """The size of a network; tuples run from the highest octave down."""

    channels: tuple[int, ...]
    layers: tuple[int, ...]  # per block, each dilated twice as far along frequency as the one before
    bins_per_octave: int
    embedding: int = 256
    attention: tuple[bool, ...] = ()  # per level and at the bottom; empty: nowhere, as in the released checkpoints
    attention_heads: int = 8
    attention_buckets: int = 32
    attention_distance: int = 64  # frames

    @property
    def octaves(self) -> int:
        return len(self.channels)


@dataclass(frozen=True)
class BandwiseArchitecture:
    """The size of the compact network; tuples run from the finest level down."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]  # per level and way, each dilated twice as far as the one before
    octaves: int = 8
    bins_per_octave: int = 48
    embedding: int = 64


@dataclass(frozen=True)
class Model:
    """What a checkpoint says of itself, beside its weights."""

    architecture: Architecture | BandwiseArchitecture
    sample_rate: int  # Hz
    segment: int  # samples it was trained on
    sigma_data: float  # std of what it was trained on
    column: str = "piano"  # which published column of settings suits it
    window_beta: float = 1.0  # of the transform's Kaiser windows


@dataclass(frozen=True)
class Settings:
    """How to sample and what to fit. The defaults are the published piano column (paper, table 3)."""

    # How the recording is followed: by the gradient of Eq. 5, by weighing it against every estimate in closed form, or
    # by its own noise level in each band (compact network)
    solver: Solver = "guided"
    # The sampler (appendix A.3)
    steps: int = 51
    order: int = 2  # 1 is Euler, 2 is Heun
    sigma_start: float = 0.5  # noise on the recording where the run begins; masks what is wrong with it
    sigma_min: float = 4e-5
    sigma_max: float = 10.0  # where unconditional sampling begins
    rho: float = 13.0  # larger: more of the steps at low noise
    churn: float = 10.0  # fresh noise stirred in over the whole run
    churn_noise: float = 1.0
    churn_min: float = 0.0  # no churn at or below this noise level
    churn_max: float = 50.0  # nor at or above this one
    # How closely to follow the recording (Eqs. 5 and 17, section 3.3)
    guidance_strength: float = 1.0
    guidance_length: int = 184184  # samples in the norm of the published guidance: the training segment
    observation_noise: float = 0.25  # std of the noise that regularises the objective
    level: float = 0.07  # std a segment is brought to before sampling
    # The equalizer and its fit (sections 3.1, 3.2, 3.5)
    filter_fft: int = 4096
    filter_min_hz: float = 11.0
    filter_max_hz: float = 11025.0
    filter_iterations: int = 100  # at most, per evaluation
    filter_learning_rate: float = 10.0
    filter_clip: float = 1.0  # norm of the gradient
    filter_tolerance_hz: float = 0.1  # the fit rests when no group of parameters moves more than this, on average
    filter_tolerance_db: float = 0.1
    filter_weighting: Weighting = "sqrt"  # of frequency, in the fit
    reference_hz: float = 1000.0
    breakpoints_above_hz: tuple[float, ...] = (1500.0, 2000.0)
    breakpoints_below_hz: tuple[float, ...] = (500.0, 50.0)
    slope_limit_db: float = 40.0  # per octave, either way
    outer_slope_db: float = 80.0  # per octave, fixed, where the recorded band ends
    collapse_weight: float = 10.0
    collapse_decay: float = 0.1  # per Hz
    # Long-term average spectrum (section 3.4)
    ltas: Ltas = "objective"
    ltas_fft: int = 2048
    ltas_floor_db: float = -20.0  # no band is raised by more than this
    # The whole recording (appendix A.5)
    segment_length: int = 184184  # samples
    overlap: float = 0.1  # of a segment
    mode: Mode = "autoregressive"
    blind_segments: int = 1  # the equalizer is found on so many segments at once, when time-invariant
    keep_low_band: bool = True  # the recording's own sound below the prior's band stays
    # Does what the published program does where it departs from the paper's intention and from sense: drops the last
    # step, starts with half the outer slope, lets the fit see the finished overlap, scales guidance by the training
    # length over the whole batch, counts a last segment's padding as music, measures the LTAS floor from the level
    # of the training data, and folds channels to one.
    as_published: bool = False

    def changed(self, **overrides: Any) -> Settings:
        """These settings with some replaced; values may be text, as from a command line."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(overrides) - known):
            raise RestorationError(
                f"There is no setting {', '.join(unknown)}. Known settings: {', '.join(known_names())}."
            )
        changed = replace(self, **{name: _read(name, value) for name, value in overrides.items()})
        changed._check()
        return changed

    def _check(self) -> None:
        rules = {
            "steps": 2 <= self.steps <= 10_000,
            "order": self.order in (1, 2),
            "sigma_min": 0 < self.sigma_min < min(self.sigma_start, self.sigma_max),
            "rho": self.rho >= 0.1,  # its inverse is an exponent
            "churn": self.churn >= 0,
            "churn_noise": self.churn_noise >= 0,
            "churn_max": self.churn_max >= self.churn_min,
            "guidance_strength": self.guidance_strength >= 0,
            "guidance_length": self.guidance_length > 0,
            "observation_noise": self.observation_noise >= 0,
            "level": self.level > 0,
            "filter_fft": 16 <= self.filter_fft <= 2**20 and self.filter_fft % 2 == 0,
            "filter_min_hz": 0 < self.filter_min_hz < self.filter_max_hz,
            "filter_iterations": 1 <= self.filter_iterations <= 100_000,
            "filter_learning_rate": self.filter_learning_rate > 0,
            "filter_clip": self.filter_clip > 0,
            "filter_tolerance_hz": self.filter_tolerance_hz >= 0,
            "filter_tolerance_db": self.filter_tolerance_db >= 0,
            "breakpoints_above_hz": _ascending((self.reference_hz, *self.breakpoints_above_hz)),
            "breakpoints_below_hz": _ascending((*self.breakpoints_below_hz[::-1], self.reference_hz)),
            "slope_limit_db": self.slope_limit_db > 0,
            "outer_slope_db": self.outer_slope_db > 0,
            "collapse_weight": self.collapse_weight >= 0,
            "collapse_decay": self.collapse_decay >= 0,
            "ltas_fft": 16 <= self.ltas_fft <= 2**20 and self.ltas_fft % 4 == 0,
            "ltas_floor_db": self.ltas_floor_db <= 0,
            "segment_length": 0 < self.segment_length <= 2**24,
            "overlap": 0 <= self.overlap <= 0.5,
            "blind_segments": self.blind_segments >= 1,
        }
        if broken := [name for name, holds in rules.items() if not holds]:
            values = ", ".join(f"{name} = {getattr(self, name)}" for name in broken)
            raise RestorationError(
                f"These settings cannot work: {values}. See the defaults with `babe2 info --settings`."
            )


PIANO = Settings()
VOICE = replace(
    PIANO,
    sigma_start=10.0,
    sigma_min=1e-3,
    sigma_max=100.0,
    guidance_strength=0.5,
    guidance_length=262144,
    observation_noise=1.0,
    level=1.0,
    ltas_fft=4096,
    segment_length=262144,
    filter_max_hz=22050.0,
)
# What suits the compact network, by measurement: its solver takes the response from the recording's average spectrum
# and spends its steps on what the recording lost.
COMPACT = replace(
    PIANO,
    solver="bandwise",
    steps=16,
    order=1,
    sigma_start=1.0,
    sigma_min=1e-4,
    churn=0.0,
    level=0.08,
    guidance_length=221184,
    segment_length=221184,
    ltas="off",
)
COLUMNS = {"piano": PIANO, "voice": VOICE, "compact": COMPACT}

# Unconditional sampling has a schedule of its own.
DREAMING: dict[str, Any] = {"solver": "guided", "steps": 50, "churn": 5.0}
UNCONDITIONAL: dict[str, dict[str, Any]] = {
    "compact": {"steps": 50, "sigma_min": 1e-4, "sigma_max": 1.0, "sigma_start": 1.0, "rho": 13.0, "churn": 5.0},
    "piano": DREAMING | {"sigma_min": 1e-5, "sigma_max": 10.0, "sigma_start": 10.0, "rho": 13.0},
    "voice": DREAMING | {"sigma_min": 1e-3, "sigma_max": 100.0, "sigma_start": 100.0, "rho": 10.0},
}


def settings_for(model: Model, ltas_bins: int | None) -> Settings:
    """The settings for a checkpoint, with what follows from its rate, its segment and its LTAS."""
    # The compact network takes any length at once, however long the excerpts it learned from.
    segment = None if isinstance(model.architecture, BandwiseArchitecture) else model.segment
    own = column_for(model.column, model.sample_rate, segment)
    return replace(own, ltas_fft=2 * (ltas_bins - 1)) if ltas_bins else own


def column_for(name: str, sample_rate: int, segment: int | None) -> Settings:
    """A column for a checkpoint of this rate and segment; None is the column's own."""
    column = COLUMNS[name]
    segment = segment or column.segment_length
    return replace(column, guidance_length=segment, segment_length=segment, filter_max_hz=float(sample_rate // 2))


Preset = Literal["paper", "standard", "draft"]
PRESETS: tuple[Preset, ...] = ("paper", "standard", "draft")


def preset_settings(settings: Settings, preset: str, **overrides: Any) -> Settings:
    """`paper` is the published algorithm, evaluation for evaluation; `standard` what was measured to sound as good or
    better in few evaluations; `draft` that in half as many. The defects `paper` keeps are named at
    `Settings.as_published`; without them and with its gradient it is `standard` with solver = guided."""
    if preset == "paper":
        published = {"as_published": True, "keep_low_band": False}
        if settings.solver != "guided":
            published |= {name: getattr(PIANO, name) for name in PUBLISHED_SOLVER}
        return settings.changed(**published | overrides)
    if preset not in PRESETS:
        raise RestorationError(f"There is no preset {preset!r}. Choose one of {', '.join(PRESETS)}.")
    solver = overrides.get("solver", "closed-form" if settings.solver == "guided" else settings.solver)
    own: dict[str, Any] = {"steps": 10} if preset == "draft" else {}
    if solver == "closed-form":
        level = _read("level", overrides.get("level", settings.level))
        sigmas = {name: factor * level for name, factor in CLOSED_FORM_SIGMAS.items()}
        own = CLOSED_FORM | sigmas | ({"steps": 8} if preset == "draft" else {})
    elif solver == "guided" and preset == "draft":
        # With few steps a low end of the schedule overshoots in the bands the prior's high-pass removes: each step
        # multiplies them by about half the ratio of neighbouring noise levels, which must stay small.
        own["sigma_min"] = _read("sigma_start", overrides.get("sigma_start", settings.sigma_start)) / 50
    return settings.changed(**own | overrides)


# By measurement (docs/solver-notes.md), with the noise levels in terms of the level of the music.
CLOSED_FORM: dict[str, Any] = {"solver": "closed-form", "steps": 16, "order": 1, "churn": 0.0, "ltas": "off"}
CLOSED_FORM_SIGMAS = {"sigma_start": 1.0, "sigma_min": 1e-3}

# What a checkpoint whose own solver is another one borrows from the piano column for the published algorithm.
PUBLISHED_SOLVER = ("solver", "steps", "order", "sigma_start", "sigma_min", "churn", "ltas")


def known_names() -> list[str]:
    return [field.name for field in fields(Settings)]


def _ascending(values: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _read(name: str, value: Any) -> Any:
    """A setting's value in its own type, from itself or from text."""
    wanted = get_type_hints(Settings)[name]
    try:
        if name.startswith("breakpoints"):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(_finite(part) for part in parts)
        if wanted is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if wanted is int:
            if float(value) != int(float(value)):
                raise ValueError
            return int(float(value))
        if wanted is float:
            return _finite(value)
        if value not in wanted.__args__:
            raise RestorationError(f"{name} is one of {', '.join(wanted.__args__)}, not {value!r}.")
        return value
    except (ValueError, TypeError, KeyError, OverflowError):
        raise RestorationError(f"{name} cannot be {value!r}: it is {_kind(wanted)}.") from None


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _kind(wanted: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    return kinds.get(wanted, "numbers separated by commas")
