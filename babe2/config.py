"""Every number a person may change: its unit, its published value, its bounds, and its name in listeners' words.

Settings are declared once, in small groups; a method's own settings (methods/) are made of those groups that it uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import count, pairwise
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, NoReturn, Self, TypeVar, get_origin, get_type_hints

from babe2.errors import RestorationError

LtasUse = Literal["off", "init", "objective"]
Mode = Literal["autoregressive", "time-invariant"]
Weighting = Literal["none", "linear", "sqrt", "log", "quadratic", "cubic", "logquadratic", "logcubic", "squared"]
Preset = Literal["paper", "standard", "draft"]
PRESETS: tuple[Preset, ...] = ("paper", "standard", "draft")
DEFAULT_CHECKPOINT = "piano-small"  # which is inside babe2


# Networks


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
class MatrixArchitecture:
    """The size of CQTdiff; the tuple runs from the level of all frames down."""

    channels: tuple[int, ...]
    layers: int = 8  # per block, each dilated twice as far along frequency as the one before
    octaves: int = 7
    bins_per_octave: int = 64
    embedding: int = 512

    @property
    def rows(self) -> int:
        """The transform's: its bins, DC and Nyquist."""
        return self.octaves * self.bins_per_octave + 2

    @property
    def halvings(self) -> int:
        """Of the frames."""
        return len(self.channels) - 1


@dataclass(frozen=True)
class SpectralArchitecture:
    """The size of a U-Net over spectrograms: a denoiser of two stages, or BEHM-GAN's generator of one."""

    channels: tuple[int, ...]  # per level, from the finest down to the bottom
    layers: int = 3  # convolutions in each dense block
    stages: int = 2
    attention: bool = True  # whether the second stage sees what the first has made of the sound
    encoding: bool = True  # whether every bin is told its frequency
    weight_norm: bool = False
    masks: bool = False  # whether it says by what every place is to be multiplied, and hears magnitudes compressed
    bins: int = 513

    @property
    def extends(self) -> bool:
        """Whether it is BEHM-GAN's generator and no denoiser: it alone keeps a kernel's length and direction apart."""
        return self.weight_norm and self.stages == 1


@dataclass(frozen=True)
class Model:
    """What a checkpoint says of itself, beside its weights."""

    architecture: Architecture | BandwiseArchitecture | MatrixArchitecture | SpectralArchitecture
    sample_rate: int  # Hz
    segment: int  # samples it was trained on
    sigma_data: float  # std of what it was trained on, or of the recordings a denoiser has heard
    column: str = "piano"  # which published column of settings suits it
    window_beta: float = 1.0  # of the transform's Kaiser windows


# What a setting is

# The groups in which people are shown settings.
SAMPLING, FOLLOWING = "How it is sampled", "How closely the recording is followed"
EQUALIZER, AVERAGE, LENGTH = "The old machine's equalizer", "Average spectrum (LTAS)", "Long recordings"
GROUPS = (SAMPLING, FOLLOWING, EQUALIZER, AVERAGE, LENGTH)
STAGE = "A stage"  # of a chain, each of which stands by itself


class About(NamedTuple):
    """What is said of a setting: where it stands on a page, in listeners' words, and what values it can have."""

    group: str
    label: str
    hint: str  # what turning it up does
    symbol: str  # in the paper
    bounds: Callable[[Any], bool]
    number: int = 0  # in the order of declaration

    @property
    def place(self) -> tuple[int, int]:
        """By which settings are sorted for people."""
        return (*GROUPS, STAGE).index(self.group), self.number

    @property
    def help(self) -> str:
        return f"{self.hint} ({self.symbol})" if self.symbol else self.hint


_NUMBERS = count(1)


def setting(
    default: Any,
    group: str,
    label: str,
    hint: str,
    symbol: str = "",
    bounds: Callable[[Any], bool] = lambda value: True,
) -> Any:
    """A field of a dataclass that carries what is said `About` it."""
    return field(default=default, metadata={"about": About(group, label, hint, symbol, bounds, next(_NUMBERS))})


def _positive(value: float) -> bool:
    return value > 0


def _not_negative(value: float) -> bool:
    return value >= 0


def _whole_fft(value: int) -> bool:
    return 16 <= value <= 2**20 and value % 2 == 0


@dataclass(frozen=True)
class Settings:
    """What all settings can do: be changed by name, be read from text, and refuse what cannot work."""

    def changed(self, **overrides: Any) -> Self:
        """These settings with some replaced; values may be text, as from a command line."""
        if unknown := sorted(set(overrides) - set(self.names())):
            raise RestorationError(unknown_setting(unknown, self.names()))
        hints = get_type_hints(type(self))
        changed = replace(self, **{name: _read(name, hints[name], value) for name, value in overrides.items()})
        changed.check()
        return changed

    def value(self, name: str, overrides: Mapping[str, Any]) -> Any:
        """One setting as some overrides have it, or as it stands; a value that cannot work by itself is refused."""
        if name not in overrides:
            return getattr(self, name)
        value = _read(name, get_type_hints(type(self))[name], overrides[name])
        if not self.about()[name].bounds(value):
            refuse({name: value})
        return value

    @classmethod
    def about(cls) -> dict[str, About]:
        """What is said of each setting, in the order in which people are shown them."""
        found = {each.name: each.metadata["about"] for each in fields(cls) if "about" in each.metadata}
        return dict(sorted(found.items(), key=lambda item: item[1].place))

    @classmethod
    def names(cls) -> list[str]:
        return list(cls.about())

    def check(self) -> None:
        """Refuses values that cannot work, alone or together."""
        broken = {name for name, about in self.about().items() if not about.bounds(getattr(self, name))}
        # What contradicts a value that cannot work by itself is mostly nobody's choice.
        if broken := broken or set(self.contradictions()):
            refuse({name: getattr(self, name) for name in self.names() if name in broken})

    def contradictions(self) -> Iterable[str]:
        """The settings that do not go together with others."""
        return ()

    def idle(self, response_known: bool = False) -> dict[str, str]:
        """The settings that change nothing as the others stand, and why."""
        return {}

    def refuse_idle(self, chosen: Iterable[str], response_known: bool = False) -> None:
        """Refuses settings that a person has chosen and that change nothing."""
        idle = self.idle(response_known)
        if wasted := [name for name in chosen if name in idle]:
            raise RestorationError(
                f"{wasted[0]} changes nothing, as {idle[wasted[0]]}. Leave it out, or change that too."
            )

    def as_dict(self) -> dict[str, Any]:
        """The values by name."""
        return {name: getattr(self, name) for name in self.names()}


# The groups of settings that methods are made of. The defaults are the published piano column (paper, table 3).


@dataclass(frozen=True)
class StepSettings(Settings):
    """How many steps, and where they end (appendix A.3)."""

    steps: int = setting(
        51, SAMPLING, "Steps", "More take longer and sound a little finer", "T", lambda steps: 2 <= steps <= 10_000
    )
    sigma_min: float = setting(4e-5, SAMPLING, "Last noise", "Where the steps end", "σ_min", _positive)


@dataclass(frozen=True)
class StartSettings(StepSettings):
    """Where a restoration begins."""

    # Noise on the recording; it masks what is wrong with it.
    sigma_start: float = setting(
        0.5,
        SAMPLING,
        "Noise to begin with",
        "More gives the model more freedom from the recording",
        "σ_start",
        _positive,
    )

    def contradictions(self) -> Iterable[str]:
        yield from super().contradictions()
        if self.sigma_min >= self.sigma_start:
            yield from ("sigma_min", "sigma_start")


@dataclass(frozen=True)
class ScheduleSettings(Settings):
    """The shape of the published schedule and of its steps."""

    order: int = setting(
        2,
        SAMPLING,
        "Order of a step",
        "2 looks twice at every step (Heun), 1 once (Euler)",
        bounds=lambda order: order in (1, 2),
    )
    rho: float = setting(
        13.0,
        SAMPLING,
        "Crowding of steps",
        "More: more of the steps at little noise",
        "ρ",
        lambda rho: rho >= 0.1,  # its inverse is an exponent
    )


@dataclass(frozen=True)
class ChurnSettings(Settings):
    """Fresh noise on the way down."""

    churn: float = setting(
        10.0,
        SAMPLING,
        "Fresh noise",
        "Stirred in on the way; corrects mistakes, loses some sharpness",
        "S_churn",
        _not_negative,
    )
    churn_noise: float = setting(
        1.0, SAMPLING, "Strength of fresh noise", "A factor, usually 1", "S_noise", _not_negative
    )
    churn_min: float = setting(0.0, SAMPLING, "No fresh noise below", "This noise level", "S_tmin")
    churn_max: float = setting(50.0, SAMPLING, "No fresh noise above", "This noise level", "S_tmax")

    def contradictions(self) -> Iterable[str]:
        yield from super().contradictions()
        if self.churn_max < self.churn_min:
            yield from ("churn_min", "churn_max")

    def idle(self, response_known: bool = False) -> dict[str, str]:
        names = ("churn_noise", "churn_min", "churn_max")
        return super().idle(response_known) | (dict.fromkeys(names, "churn is 0") if self.churn == 0 else {})


@dataclass(frozen=True)
class DescentSettings(ScheduleSettings, ChurnSettings):
    """How a slope is followed down to no noise."""


@dataclass(frozen=True)
class PullSettings(Settings):
    """The pull of the recording (Eqs. 5 and 17)."""

    guidance_strength: float = setting(
        1.0, FOLLOWING, "Pull towards the recording", "More is truer to it, and to its faults", "ξ", _not_negative
    )


@dataclass(frozen=True)
class GuidanceSettings(PullSettings):
    """The same, regularised by noise (section 3.3)."""

    # Standard deviation of the noise that regularises the objective.
    observation_noise: float = setting(
        0.25,
        FOLLOWING,
        "Tolerance for noise",
        "More forgives noise and distortion of the recording",
        "γ",
        _not_negative,
    )

    def idle(self, response_known: bool = False) -> dict[str, str]:
        idle = {"observation_noise": "guidance_strength is 0"} if self.guidance_strength == 0 else {}
        return super().idle(response_known) | idle


@dataclass(frozen=True)
class FollowerSettings(StartSettings, DescentSettings, PullSettings):
    """What every way of following a recording by a pull asks for."""


@dataclass(frozen=True)
class GuidedSamplerSettings(FollowerSettings, GuidanceSettings):
    """All that Algorithm 1 asks for, but for the equalizer."""


@dataclass(frozen=True)
class GuidanceLengthSettings(Settings):
    """What the published program measures its pull for."""

    guidance_length: int = setting(
        184184,
        FOLLOWING,
        "Length the pull is measured for",
        "Samples; the training segment of the checkpoint",
        "N",
        _positive,
    )


@dataclass(frozen=True)
class ResolutionSettings(Settings):
    filter_fft: int = setting(4096, EQUALIZER, "Resolution", "Samples of an FFT frame", "NFFT", _whole_fft)


@dataclass(frozen=True)
class LinesFitSettings(ResolutionSettings):
    """What the fit of a response made of lines asks for, whatever its lines."""

    filter_min_hz: float = setting(11.0, EQUALIZER, "Lowest breakpoint", "Hz", "f_min", _positive)
    filter_max_hz: float = setting(11025.0, EQUALIZER, "Highest breakpoint", "Hz", "f_max", _positive)
    filter_iterations: int = setting(
        100,
        EQUALIZER,
        "Rounds of fitting",
        "At most, in each evaluation",
        "M",
        lambda rounds: 1 <= rounds <= 100_000,
    )
    filter_learning_rate: float = setting(
        10.0, EQUALIZER, "Speed of fitting", "Faster finds it sooner and swings more", "lr", _positive
    )
    # The fit rests when no group of parameters moves more than this, on average.
    filter_tolerance_hz: float = setting(
        0.1, EQUALIZER, "Rest when breakpoints move less than", "Hz", bounds=_not_negative
    )
    filter_tolerance_db: float = setting(0.1, EQUALIZER, "Rest when slopes move less than", "dB", bounds=_not_negative)
    filter_weighting: Weighting = setting(
        "sqrt",
        EQUALIZER,
        "Which frequencies count",
        "none, linear, sqrt, log, quadratic, cubic, logquadratic, logcubic or squared",
    )
    slope_limit_db: float = setting(
        40.0, EQUALIZER, "Steepest slope within the band", "dB per octave", "A_max", _positive
    )

    def contradictions(self) -> Iterable[str]:
        yield from super().contradictions()
        if self.filter_min_hz >= self.filter_max_hz:
            yield from ("filter_min_hz", "filter_max_hz")

    def idle(self, response_known: bool = False) -> dict[str, str]:
        fitted = self._fitted() if response_known else ()
        return super().idle(response_known) | dict.fromkeys(fitted, "the response is given")

    @classmethod
    def _fitted(cls) -> Iterable[str]:
        """The settings that say how a response is found."""
        return [each.name for each in fields(LinesFitSettings) if each.name not in ResolutionSettings.names()]


@dataclass(frozen=True)
class FitSettings(LinesFitSettings):
    """The equalizer and its fit (sections 3.1, 3.2, 3.5)."""

    filter_clip: float = setting(1.0, EQUALIZER, "Limit of one round", "The gradient's norm", bounds=_positive)
    reference_hz: float = setting(
        1000.0, EQUALIZER, "Where it is 0 dB", "Hz; between the breakpoints below and above", "f_0", _positive
    )
    breakpoints_above_hz: tuple[float, ...] = setting(
        (1500.0, 2000.0), EQUALIZER, "Breakpoints above, to begin with", "Hz, ascending, with commas", "f_+"
    )
    breakpoints_below_hz: tuple[float, ...] = setting(
        (500.0, 50.0),
        EQUALIZER,
        "Breakpoints below, to begin with",
        "Hz, descending, with commas",
        "f_-",
        lambda bends: all(bend > 0 for bend in bends),
    )
    outer_slope_db: float = setting(80.0, EQUALIZER, "Slope where the band ends", "dB per octave", "A_lim", _positive)
    collapse_weight: float = setting(
        10.0, EQUALIZER, "How hard breakpoints keep apart", "More keeps them farther apart", "λ", _not_negative
    )
    collapse_decay: float = setting(0.1, EQUALIZER, "How near is too near", "Per Hz", "β", _not_negative)

    def contradictions(self) -> Iterable[str]:
        yield from super().contradictions()
        if not _ascending((self.reference_hz, *self.breakpoints_above_hz)):
            yield "breakpoints_above_hz"
        if not _ascending((*self.breakpoints_below_hz[::-1], self.reference_hz)):
            yield "breakpoints_below_hz"

    @classmethod
    def _fitted(cls) -> Iterable[str]:
        return [each.name for each in fields(FitSettings) if each.name not in ResolutionSettings.names()]


@dataclass(frozen=True)
class LowPassSettings(LinesFitSettings):
    """BABE's low-pass and its fit by plain descent."""

    cutoffs_hz: tuple[float, ...] = setting(
        (280.0, 285.0, 290.0, 295.0, 300.0),
        EQUALIZER,
        "Where the low-pass bends, to begin with",
        "Hz, ascending, with commas; below the first nothing is taken off",
        "f_c",
        lambda bends: len(bends) > 0 and bends[0] > 0,
    )
    cutoff_slopes_db: tuple[float, ...] = setting(
        (-15.0, -17.0, -20.0, -25.0, -30.0),
        EQUALIZER,
        "Its slopes from there on, to begin with",
        "dB per octave, negative, each no gentler than the one before",
        "A",
        lambda slopes: len(slopes) > 0 and slopes[0] < 0,
    )
    cutoff_learning_rate: float = setting(
        1000.0, EQUALIZER, "Speed at which its bends move", "Faster finds them sooner and swings more", "", _positive
    )

    def contradictions(self) -> Iterable[str]:
        yield from super().contradictions()
        if len(self.cutoffs_hz) != len(self.cutoff_slopes_db):
            yield from ("cutoffs_hz", "cutoff_slopes_db")
        if not _ascending(self.cutoffs_hz):
            yield "cutoffs_hz"
        if list(self.cutoff_slopes_db) != sorted(self.cutoff_slopes_db, reverse=True):
            yield "cutoff_slopes_db"

    @classmethod
    def _fitted(cls) -> Iterable[str]:
        return [each.name for each in fields(LowPassSettings) if each.name not in ResolutionSettings.names()]


@dataclass(frozen=True)
class LtasSettings(Settings):
    """How an average spectrum is taken (section 3.4)."""

    ltas_fft: int = setting(
        2048,
        AVERAGE,
        "Its resolution",
        "Samples; as stored in the checkpoint",
        bounds=lambda fft: 16 <= fft <= 2**20 and fft % 4 == 0,
    )
    ltas_floor_db: float = setting(
        -20.0, AVERAGE, "Most that a band is raised", "dB, negative", bounds=lambda floor: floor <= 0
    )


@dataclass(frozen=True)
class LtasUseSettings(LtasSettings):
    ltas: LtasUse = setting(
        "objective",
        AVERAGE,
        "Use of the average spectrum",
        "off; init: to begin with; objective: as what is followed",
    )

    def idle(self, response_known: bool = False) -> dict[str, str]:
        idle = dict.fromkeys(LtasSettings.names(), "ltas is off") if self.ltas == "off" else {}
        if response_known:
            idle = dict.fromkeys(LtasUseSettings.names(), "the response is given")
        return super().idle(response_known) | idle


@dataclass(frozen=True)
class LengthSettings(Settings):
    """How much is made at once."""

    segment_length: int = setting(
        184184,
        LENGTH,
        "Segment",
        "Samples at the model's rate that are restored at once",
        bounds=lambda length: 0 < length <= 2**24,
    )


@dataclass(frozen=True)
class CutSettings(LengthSettings):
    """How a recording is cut (appendix A.5)."""

    overlap: float = setting(
        0.1, LENGTH, "Overlap", "Of a segment, that neighbours share", bounds=lambda share: 0 <= share <= 0.5
    )
    level: float = setting(
        0.07,  # standard deviation
        FOLLOWING,
        "Level inside",
        "To which a segment is brought before sampling",
        "σ_norm",
        _positive,
    )


@dataclass(frozen=True)
class SegmentSettings(CutSettings):
    """The same, and what of it stays."""

    keep_low_band: bool = setting(
        True, FOLLOWING, "Keep the lowest bass", "What lies below the model's band stays as recorded"
    )


@dataclass(frozen=True)
class BlindSegmentsSettings(Settings):
    """On how much of a recording one response for all of it is found."""

    blind_segments: int = setting(
        1, LENGTH, "Segments it is found on", "When time-invariant", bounds=lambda count: count >= 1
    )

    def idle(self, response_known: bool = False) -> dict[str, str]:
        idle = {"blind_segments": "the response is given"} if response_known else {}
        return super().idle(response_known) | idle


@dataclass(frozen=True)
class ModeSettings(BlindSegmentsSettings):
    """Where the equalizer is found."""

    mode: Mode = setting(
        "autoregressive",
        LENGTH,
        "One equalizer for all",
        "time-invariant; autoregressive finds one in each segment",
    )

    def idle(self, response_known: bool = False) -> dict[str, str]:
        idle = {} if self.mode == "time-invariant" else {"blind_segments": "mode is autoregressive"}
        if response_known:
            idle = dict.fromkeys(ModeSettings.names(), "the response is given")
        return super().idle(response_known) | idle


@dataclass(frozen=True)
class SampleSettings(StepSettings, DescentSettings, LengthSettings):
    """Music out of nothing."""

    sigma_max: float = setting(10.0, SAMPLING, "Highest noise", "Where music out of nothing begins", "σ_max", _positive)

    def contradictions(self) -> Iterable[str]:
        yield from super().contradictions()
        if self.sigma_min >= self.sigma_max:
            yield from ("sigma_min", "sigma_max")


# The published columns


S = TypeVar("S", bound="Settings")


class Column(NamedTuple):
    """What suits a kind of checkpoint: the method that `babe2` means for it, and values other than the piano's."""

    method: str
    values: dict[str, Any]
    sampling: dict[str, Any]  # of music out of nothing
    babe: Mapping[str, Any] = MappingProxyType({})  # in which the method babe differs from what it takes for a piano

    def settings(self, kind: type[S], **changes: Any) -> S:
        """A method's settings with the values of this column and then the changes, where they have such a setting."""
        names = set(kind.names())
        return kind(**{name: value for name, value in (self.values | changes).items() if name in names})


PIANO = Column("closed-form", {}, {"steps": 50, "sigma_min": 1e-5, "sigma_max": 10.0, "rho": 13.0, "churn": 5.0})
VOICE = Column(
    "closed-form",
    {
        "sigma_start": 10.0,
        "sigma_min": 1e-3,
        "guidance_strength": 0.5,
        "guidance_length": 262144,
        "observation_noise": 1.0,
        "level": 1.0,
        "ltas_fft": 4096,
        "segment_length": 262144,
        "filter_max_hz": 22050.0,
    },
    {"steps": 50, "sigma_min": 1e-3, "sigma_max": 100.0, "rho": 10.0, "churn": 5.0},
    {"sigma_start": 0.2 / 0.07, "sigma_min": 1e-4 / 0.07},  # BABE knows no voices: the piano's, at this level
)
# The networks of BABE for strings, brass and woodwind, at 16 kHz.
INSTRUMENTS = Column(
    "closed-form",
    {"level": 0.13, "sigma_start": 0.6, "sigma_min": 1e-3, "filter_max_hz": 8000.0},
    {"steps": 50, "sigma_min": 1e-3, "sigma_max": 2.0, "rho": 9.0, "churn": 5.0},
    {"sigma_start": 0.6, "sigma_min": 1e-3, "rho": 9.0},
)
# What suits the compact network, by measurement: its method takes the response from the recording's average spectrum
# and spends its steps on what the recording lost.
COMPACT = Column(
    "bandwise",
    {
        "steps": 16,
        "order": 1,
        "sigma_start": 1.0,
        "sigma_min": 1e-4,
        "churn": 0.0,
        "level": 0.08,
        "guidance_length": 221184,
        "segment_length": 221184,
        "ltas": "off",
    },
    {"steps": 50, "sigma_min": 1e-4, "sigma_max": 1.0, "rho": 13.0, "churn": 5.0},
)
COLUMNS = {"piano": PIANO, "voice": VOICE, "compact": COMPACT, "instruments": INSTRUMENTS}


def column_of(model: Model, ltas_bins: int | None) -> Column:
    """The column for a checkpoint, with what follows from its rate, its segment and its LTAS."""
    # The compact network takes any length at once, however long the excerpts it learned from.
    segment = None if isinstance(model.architecture, BandwiseArchitecture) else model.segment
    own = column_for(model.column, model.sample_rate, segment)
    return own._replace(values=own.values | {"ltas_fft": 2 * (ltas_bins - 1)}) if ltas_bins else own


def column_for(name: str, sample_rate: int, segment: int | None) -> Column:
    """A column for a checkpoint of this rate and segment; None is the column's own."""
    column = COLUMNS[name]
    segment = segment or column.values.get("segment_length", 184184)
    own = {"guidance_length": segment, "segment_length": segment, "filter_max_hz": float(sample_rate // 2)}
    return column._replace(values=column.values | own)


# Reading


def refuse(values: Mapping[str, Any]) -> NoReturn:
    """Raises the sentence for values that cannot work."""
    told = ", ".join(f"{name} = {value}" for name, value in values.items())
    raise RestorationError(f"These settings cannot work: {told:.300}. See the defaults with `babe2 info --settings`.")


def unknown_setting(unknown: list[str], known: Iterable[str]) -> str:
    """The sentence for settings that do not exist."""
    return f"There is no setting {', '.join(unknown):.200}. Known settings: {', '.join(known)}."


def as_text(value: Any) -> str:
    """A setting's value as --set takes it, to the last digit."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(repr, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ascending(values: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _read(name: str, wanted: Any, value: Any) -> Any:
    """A setting's value in its own type, from itself or from text."""
    try:
        if get_origin(wanted) is tuple:
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
        if wanted is str:
            return str(value)
        if value not in wanted.__args__:
            raise RestorationError(f"{name} is one of {', '.join(wanted.__args__)}, not {value!r:.80}.")
        return value
    except (ValueError, TypeError, KeyError, OverflowError):
        raise RestorationError(f"{name} cannot be {value!r:.80}: it is {_kind(wanted)}.") from None


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _kind(wanted: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    return kinds.get(wanted, "numbers separated by commas")
