"""What a method is: one way to restore a recording, with settings of its own.

A method says how a recording is cut and what its work costs, looks at the whole recording once (`begin`), and then
restores one group of segments after another (`Session.sample`). Order, overlap, journal, progress and memory are the
run's (run.py); a new method is a new file beside this one, and its name in registry.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from babe2.analysis.band import RecordedBand
from babe2.analysis.chain import RecordingChain
from babe2.config import Column, CutSettings, Model, SegmentSettings, Settings, SpectralArchitecture
from babe2.degradations.base import Degradation, Samplewise
from babe2.degradations.described import Described, Place
from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.prior import Prior
from babe2.recordings.recorded import SILENT
from babe2.recordings.segments import median_level, segment_starts
from babe2.sampler import Noise, OnStep, Sampled, Settled


class Span(NamedTuple):
    """How much of a recording is restored at once, and how much on either side with it to be dropped; in samples."""

    length: int
    margin: int = 0

    @property
    def whole(self) -> int:
        return self.length + 2 * self.margin


class SegmentResult(NamedTuple):
    """What is known of a finished segment, beside its sound."""

    equalizer: Curve
    misfit: float
    share: float  # of the segment that no neighbour had settled before


@dataclass(eq=False)
class Work:
    """What there is to restore, and with what: all that a method is given."""

    observation: Tape  # (C, T) the channels that hold sound, at the model's rate
    sample_rate: int
    reference: ReferenceLtas | None  # how such music sounds on average: the prior's, or what a person gave
    response: Curve | None  # of the machine, where it is given
    span: Span
    starts: list[int]
    prior_of: Callable[[int], Prior]
    device: torch.device
    same_room: bool = False  # whether the reference is of the same instrument and room
    brightness: float = 0.0  # dB per octave, by which it is to be brighter than is most probable
    machine_known: bool = False  # whether nothing has to be looked for: `response` is all that it did
    degradation: Described | None = None  # what happened to the music after the machine, where that is given
    recorded_rate: int = 0  # Hz, of the file to which it happened
    offset: int = 0  # samples of that recording, at the model's rate, before the observation
    evaluations: int = 0
    # By segment: the sum and the sum of squares of each channel (2, C).
    _powers: dict[int, list[list[float]]] = field(default_factory=dict)

    @cached_property
    def prior(self) -> Prior:
        """The prior for a whole span."""
        return self.prior_of(self.span.whole)

    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The prior's estimate, counted."""
        self.evaluations += 1
        return self.prior(noisy, sigma)

    def known_music(self) -> ReferenceLtas:
        """The average spectrum of the music that the prior knows; a checkpoint without one is refused."""
        if self.reference is None:
            without = "" if self.response is not None else " and ltas = off"  # a given response leaves no use for it
            raise RestorationError(
                "This checkpoint holds no average spectrum to compare the recording with. "
                f"Name a good recording of such music as its reference, or run it with solver = guided{without}."
            )
        return self.reference

    def cut(self, tape: Tape, segment: int) -> Tensor:
        """A segment (C, L) of a tape, without margins."""
        return tape.read(self.starts[segment], self.starts[segment] + self.span.length)

    def degradation_at(
        self, starts: Sequence[int], length: int, gain: Tensor, generator: torch.Generator | None = None
    ) -> Degradation:
        """What happened to segments of a length (S * C, length) that begin at `starts`, beyond the ends mirrored.

        `gain` (C, 1) or (S * C, length) is what they were multiplied by.
        """
        assert self.degradation is not None
        last = self.observation.samples - 1
        samples = torch.stack([torch.arange(start, start + length) for start in starts])
        samples = (last - (last - samples.abs()).abs()).clamp(min=0) + self.offset
        channels = self.observation.channels
        rows = samples.repeat_interleave(channels, dim=0).to(self.device)
        gain = gain.repeat(len(starts), 1) if len(gain) == channels else gain
        generator = generator or torch.Generator()
        return self.degradation.at(Place(rows, self.sample_rate, self.recorded_rate, gain, generator))

    def heard_share(self, piece: Tensor, start: int) -> Tensor:
        """How much of a piece (C, T) of the observation is heard at all (C, 1): less where samples are missing."""
        if self.degradation is None:
            return piece.new_ones(len(piece), 1)
        operator = self.degradation_at([start], piece.shape[-1], piece.new_ones(len(piece), 1))
        if not isinstance(operator, Samplewise):
            return piece.new_ones(len(piece), 1)
        share = operator.sounds(piece).to(piece).mean(dim=-1, keepdim=True)
        return share.clamp(min=1 / piece.shape[-1])

    def level_factor(
        self,
        tape: Tape,
        level: float,
        undone: Callable[[Tensor], Tensor] = lambda piece: piece,
        *,
        silence_counts: bool = False,
    ) -> Tensor:
        """The factors (C, 1) that bring each channel's typical segment to the level the prior expects.

        `undone` takes the machine off a piece (C, T) before it is measured. Padding and silence count as music only
        where `silence_counts`.
        """
        # Standard deviations of every segment, as numbers: small tensors would lie between the large ones of the next
        # segment and the next, and keep what is freed there from being used again.
        whole, each = [], []
        for segment, start in enumerate(self.starts):
            stop = start + self.span.length
            recorded = tape.read(start, stop if silence_counts else min(stop, tape.samples))
            if tape is self.observation:
                self._powers[segment] = _power(recorded)
                recorded = recorded / self.heard_share(recorded, start).sqrt()
            piece = undone(recorded)
            whole.append(float(piece.std()))
            each.append(piece.std(dim=-1).tolist())
        if not silence_counts:
            each = [channels for channels, std in zip(each, whole, strict=True) if std > SILENT * max(whole)]
        if not each:
            raise RestorationError(
                "This recording holds samples so large that nothing can be computed with them. Cut that place out."
            )
        typical = median_level(each).to(self.device)
        if silence_counts and not typical.min() > 0:
            raise RestorationError(
                "Most of this recording is silent, which the published algorithm cannot bring to its level. "
                "Trim the silence or choose the standard preset."
            )
        return level / typical.clamp(min=SILENT * float(typical.max()))[:, None]

    def loudness(self, segment: int, level: Tensor) -> float:
        """The standard deviation of a segment as recorded, times `level` (C, 1)."""
        if segment not in self._powers:
            self._powers[segment] = _power(self.cut(self.observation, segment))
        gain = level[:, 0].cpu().double()
        sums = zip(gain.new_tensor(self._powers[segment]), (gain, gain**2), strict=True)
        total, squares = (float(part @ scale) for part, scale in sums)
        count = len(gain) * self.span.length
        return float(max(0.0, squares - total**2 / count) / (count - 1)) ** 0.5


def _power(x: Tensor) -> list[list[float]]:
    """Of each channel of (C, T): the sum, and the sum of squares (2, C)."""
    x = x.cpu().double()  # Apple's cards know no float64
    return [x.sum(dim=-1).tolist(), x.square().sum(dim=-1).tolist()]


@dataclass(frozen=True, eq=False)
class Group:
    """Segments that are sampled together, and what is known of them."""

    segments: list[int]
    settled: Settled | None  # what their neighbours have made of them, at the prior's level, with margins
    noise: Callable[[bool], Noise]  # one noise for all channels; where asked, the same wherever segments overlap
    on_step: OnStep


class Filtered(NamedTuple):
    """What a method gives that needs no sampling: the whole recording, filtered."""

    tape: Tape  # (C, T)
    response: SampledCurve


class Session(ABC):
    """A method at work on one recording, of which it has heard all."""

    for_all_runs: ClassVar[bool] = False  # whether it serves further runs of the same, as none changes it
    level: Tensor  # (C, 1) what brings each channel to the level that the prior expects
    response: Curve | None = None  # of all segments, where one is known
    ltas_response: SampledCurve | None = None  # what LTAS-EQ took off before anything was sampled
    uncertainty: SampledCurve | None = None  # dB: nine in ten true responses lie so near; None: nobody can say
    band: RecordedBand | None = None  # in which the recording holds music, where the method looks for it
    chain: RecordingChain | None = None  # that made the recording, where the method looks for it

    def prepare(self, segments: Sequence[int], finished: Mapping[int, SegmentResult]) -> None:  # noqa: B027 (few have to)
        """Takes note of the segments that hold sound, and of those that an earlier run has finished."""

    @abstractmethod
    def group(self, waiting: list[int], batch: int) -> list[int]:
        """Which of the waiting segments come next, together; no more than `batch` where there is a choice."""

    def needs(self, settled: Tensor) -> bool:
        """Whether a segment has to be sampled, given where its neighbours have settled it (L,)."""
        return True

    warnings: tuple[str, ...] = ()  # sentences about this recording, for the person who hears the result
    reach: int = 0  # samples beyond a place on which `finish` depends there

    def finish(self, tape: Tape, start: int, stop: int) -> Tape:
        """What is restored (C, T), as it is to be heard; between two places it is finished in any case."""
        return tape

    @abstractmethod
    def sample(self, group: Group) -> Sampled:
        """Restores a group's segments (S * C, margin + L + margin), at the prior's level."""


@dataclass(frozen=True)
class Method(ABC):
    """One way to restore, with its settings."""

    settings: Settings
    response_known: bool = field(default=False, kw_only=True)  # whether it is given, so that none has to be found

    name: ClassVar[str]
    title: ClassVar[str]  # what listeners call it
    does: ClassVar[str]  # in a few of their words
    settings_class: ClassVar[type[Settings]]  # a method with more settings has a class of its own for them
    folds: ClassVar[bool] = False  # whether it restores the mean of all channels instead of each
    takes_response: ClassVar[bool] = True  # whether a given response is kept to
    takes_brightness: ClassVar[bool] = False  # whether it can be told how bright the music was
    generates: ClassVar[bool] = False  # whether a prior makes sound that was not in the recording
    changes: ClassVar[bool] = True  # whether what comes out is anything but the recording, perhaps at another rate

    @classmethod
    def of(cls, column: Column, preset: str, overrides: Mapping[str, Any], *, response_known: bool = False) -> Self:
        """The method with the values of a column, a preset and then a person's own."""
        settings = column.settings(cls.settings_class)
        own = settings.changed(**(cls.preset(column, settings, preset, overrides) | dict(overrides)))
        return cls(own, response_known=response_known)

    @classmethod
    def as_in(cls, preset: str) -> type[Method]:
        """The class that a preset means by this method's name; a preset that it does not know is refused."""
        if preset == "paper":
            raise RestorationError(f"The preset paper is a method of its own. Choose another one for {cls.name}.")
        return cls

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The settings in which a preset differs from the column; one may follow from another that a person chose."""
        return {}

    @classmethod
    def takes_degradation(cls, degradation: Described) -> bool:
        """Whether it restores what such a degradation was applied to."""
        return False

    def check(self, model: Model) -> None:  # noqa: B027 (few have to)
        """Refuses a checkpoint that the method cannot run with."""

    def doubts(self, model: Model) -> list[str]:
        """Sentences on what was not tried yet with such a checkpoint."""
        return []

    @abstractmethod
    def begin(self, work: Work) -> Session | Filtered:
        """Hears the whole recording and gets ready to restore it.

        A session restores segments, and so is what a `SegmentMethod` gives; any other method filters.
        """

    def span(self, samples: int) -> Span:
        """How a recording of so many samples at the model's rate is cut."""
        return Span(samples)

    def starts(self, samples: int) -> list[int]:
        """Where the segments of a recording of so many samples begin."""
        return []

    @property
    def layers(self) -> int:
        """How many sounds are kept of each segment, one over the other."""
        return 0

    # What it costs, for an estimate

    def runs(self, segments: int, batch: int) -> list[int]:
        """How many segments each run of the sampler takes together."""
        return []

    @property
    def steps(self) -> int:
        """Of the sampler, in each run."""
        return 0

    @property
    def evaluations(self) -> int:
        """Of the prior, in each run."""
        return 0

    def rehearse(self, prior: Prior, noisy: Tensor, sample_rate: int) -> Tensor:
        """An evaluation on noise (1, T), with all that is done around it in each step."""
        return noisy  # for a method that asks the prior nothing

    def rehearse_aside(self, sample_rate: int) -> tuple[Callable[[], object], float] | None:
        """Work beside each evaluation that does not depend on the segment's length, and how often it is done."""
        return None


class SegmentMethod(Method):
    """A method that samples a recording segment by segment."""

    settings: CutSettings

    generates: ClassVar[bool] = True
    asks_a_prior: ClassVar[bool] = True  # and so can be what `babe2` means; else it has a network of its own kind
    keeps_silence: ClassVar[bool] = True  # whether segments without sound stay as they are

    def check(self, model: Model) -> None:
        if self.asks_a_prior and isinstance(model.architecture, SpectralArchitecture):
            raise RestorationError(
                "This checkpoint extends the band of a recording in one go and is no prior, as the method "
                f"{self.name} needs. Run it with the method behm-gan, or choose another checkpoint."
            )

    @abstractmethod
    def span(self, samples: int) -> Span: ...

    def starts(self, samples: int) -> list[int]:
        return self._starts(samples, last_fits=True)

    @property
    def layers(self) -> int:
        # The prior's music, and what lies below its band.
        return 1 + (isinstance(self.settings, SegmentSettings) and self.settings.keep_low_band)

    def runs(self, segments: int, batch: int) -> list[int]:
        return [batch] * (segments // batch) + [segments % batch] * (segments % batch > 0)

    @property
    @abstractmethod
    def steps(self) -> int: ...

    @property
    def evaluations(self) -> int:
        return self.steps

    def _starts(self, samples: int, *, last_fits: bool) -> list[int]:
        length = self.span(samples).length
        return segment_starts(samples, length, int(self.settings.overlap * length), last_fits=last_fits)
