"""Algorithm 1 with its numeric defects mended: every estimate is pulled towards the recording by a gradient.

The equalizer is found while sampling: in each segment (autoregressive), or on a few segments together and then kept
(time-invariant, appendix A.5). How the published program does it is in paper.py; what all methods that follow a
recording by a pull share is `FollowingMethod`, of which babe.py has its own, too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from babe2.config import (
    BlindSegmentsSettings,
    Column,
    FitSettings,
    FollowerSettings,
    GuidedSamplerSettings,
    LtasUse,
    LtasUseSettings,
    ModeSettings,
    ResolutionSettings,
    SegmentSettings,
    Settings,
)
from babe2.degradations.base import Degradation
from babe2.degradations.described import Described
from babe2.degradations.response import BlindColouring, Colouring
from babe2.degradations.spec import in_turn
from babe2.dsp.curves import FLAT, Curve
from babe2.dsp.tape import Tape
from babe2.equalizer import BandSums, EqualizerFit, apply_magnitude
from babe2.methods.base import Filtered, Group, SegmentMethod, SegmentResult, Session, Span, Work
from babe2.methods.ltas_eq import equalised
from babe2.prior import Prior
from babe2.sampler import Sampled, Settled, guidance, restore

FIT_TRIED = 5  # iterations of a rehearsal
FIT_SHARE = 2 / 3  # of the iterations allowed; music near to what the prior knows needs 40 %, other music 90 %
DRAFT_STEPS = 10
DRAFT_RANGE = 50  # sigma_start over sigma_min


@dataclass(frozen=True)
class FollowingSettings(FollowerSettings, ResolutionSettings, SegmentSettings, BlindSegmentsSettings):
    """What all methods that follow a recording by a pull are asked."""


class FollowingMethod(SegmentMethod):
    """Follows a recording by a pull, while its response is found."""

    settings_class: ClassVar[type[Settings]]
    settings: FollowingSettings

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        if preset != "draft":
            return {}
        # With few steps a low end of the schedule overshoots in the bands the prior's high-pass removes: each step
        # multiplies them by about half the ratio of neighbouring noise levels, which must stay small.
        return {"steps": DRAFT_STEPS, "sigma_min": settings.value("sigma_start", overrides) / DRAFT_RANGE}

    @classmethod
    def takes_degradation(cls, degradation: Described) -> bool:
        return True  # a gradient goes through anything

    def span(self, samples: int) -> Span:
        return Span(self.settings.segment_length)

    def begin(self, work: Work) -> Session:
        return GuidedSession(self, work)

    # What a method does in its own way

    @property
    def ltas(self) -> LtasUse:
        """What LTAS-EQ is used for."""
        return "off"

    @property
    def finds_one(self) -> bool:
        """Whether one response is found for all segments, where none is given."""
        return True

    @property
    def sampler_settings(self) -> GuidedSamplerSettings:
        """What `sampler.restore` is asked."""
        shared = {name: getattr(self.settings, name) for name in FollowerSettings.names()}
        return GuidedSamplerSettings(**shared, observation_noise=0.0)

    @abstractmethod
    def blind(self, sample_rate: int) -> Degradation:
        """What has happened to the music and is found while sampling; a fresh one for each run of the sampler."""

    def known(self, response: Curve, sample_rate: int) -> Degradation:
        """The same where the response is known."""
        return Colouring(response, self.settings.filter_fft, sample_rate)

    def equalised(self, work: Work) -> Filtered | None:
        """The recording by LTAS-EQ, where it is used."""
        return None

    def level_factor(self, work: Work, tape: Tape) -> Tensor:
        return work.level_factor(tape, self.settings.level)

    def heard(self, settled: Settled | None) -> slice:
        """The samples of a segment to which its response is fitted."""
        # A fit that sees the finished overlap takes its full band for the recording's.
        return slice(None) if settled is None else settled.open(2 * self.settings.filter_fft)

    def joint(self, segments: int) -> int:
        """On how many segments one response for all is found."""
        return min(self.settings.blind_segments, segments)

    def needs(self, settled: Tensor) -> bool:
        """Whether a segment has to be sampled whose response is known, given where it is settled (L,)."""
        return not settled.all()

    @property
    def hooks(self) -> dict[str, Any]:
        """More arguments for `sampler.restore`."""
        return {}

    # What it costs

    def runs(self, segments: int, batch: int) -> list[int]:
        if self.response_known or not self.finds_one:
            return [1] * segments
        together = self.joint(segments)
        return [together] + [1] * max(0, segments - together)

    @property
    def steps(self) -> int:
        return self.settings.steps

    @property
    def evaluations(self) -> int:
        """A step of second order takes two, but for the last."""
        return self.settings.order * self.settings.steps - self.settings.order + 1

    def rehearse(self, prior: Prior, noisy: Tensor, sample_rate: int) -> Tensor:
        settings = self.settings
        noisy = noisy.detach().requires_grad_()
        with torch.enable_grad():
            clean = prior(noisy, noisy.new_tensor(settings.level))
            BandSums.of(clean.detach(), noisy.detach(), settings.filter_fft)
            degraded = apply_magnitude(noisy.new_ones(settings.filter_fft // 2 + 1), clean)
            return guidance((noisy.detach() - degraded).square().sum() / 2, noisy, settings.guidance_strength)

    def rehearse_aside(self, sample_rate: int) -> tuple[Callable[[], object], float] | None:
        """The response's fit."""
        if self.response_known:
            return None
        noise = torch.randn(2, 4 * self.settings.filter_fft, generator=torch.Generator().manual_seed(0))
        return self.rehearse_fit(BandSums.of(noise[:1], noise[1:], self.settings.filter_fft), sample_rate)

    @abstractmethod
    def rehearse_fit(self, sums: BandSums, sample_rate: int) -> tuple[Callable[[], object], float]:
        """Some rounds of the fit, and how often it takes as many."""


@dataclass(frozen=True)
class GuidedSettings(GuidedSamplerSettings, FitSettings, LtasUseSettings, ModeSettings, FollowingSettings):
    """The published column (paper, table 3)."""


class Guided(FollowingMethod):
    """The paper's way of following a recording."""

    name = "guided"
    title = "Guided"
    does = "by a pull at each step"
    settings_class: ClassVar[type[Settings]] = GuidedSettings
    settings: GuidedSettings

    @property
    def ltas(self) -> LtasUse:
        return self.settings.ltas

    @property
    def finds_one(self) -> bool:
        return self.settings.mode == "time-invariant"

    @property
    def sampler_settings(self) -> GuidedSamplerSettings:
        return self.settings

    def blind(self, sample_rate: int) -> Degradation:
        return BlindColouring(self.settings, sample_rate)

    def equalised(self, work: Work) -> Filtered | None:
        return None if self.ltas == "off" else equalised(work, self.settings)

    def rehearse_fit(self, sums: BandSums, sample_rate: int) -> tuple[Callable[[], object], float]:
        settings = self.settings
        restless = replace(settings, filter_iterations=FIT_TRIED, filter_tolerance_hz=0.0, filter_tolerance_db=0.0)
        times = FIT_SHARE * settings.filter_iterations / FIT_TRIED
        return lambda: EqualizerFit(restless, sample_rate).update(sums), times


class GuidedSession(Session):
    """A recording that is followed by guidance."""

    def __init__(self, method: FollowingMethod, work: Work) -> None:
        self.method, self.work = method, work
        self.response = work.response
        self.follow: Tape = work.observation  # what sampling is pulled towards
        self.begin_from: Tape | None = None  # where it begins; None: there, too
        if work.response is None and (filtered := method.equalised(work)) is not None:
            self.begin_from, self.ltas_response = filtered
            if method.ltas == "objective":
                self.follow = filtered.tape
        self.level = method.level_factor(work, self.follow)
        self.together: list[int] = []  # segments on which one equalizer for all is found

    def prepare(self, segments: Sequence[int], finished: Mapping[int, SegmentResult]) -> None:
        if not self.method.finds_one or self.work.response is not None or not segments:
            return
        count = self.method.joint(len(segments))
        share = len(segments) / count
        self.together = [segments[int(share * i + share / 2)] for i in range(count)]
        if self.together[0] in finished:
            self.response, self.together = finished[self.together[0]].equalizer, []

    def group(self, waiting: list[int], batch: int) -> list[int]:
        return self.together or waiting[:1]

    def needs(self, settled: Tensor) -> bool:
        return self.response is None or self.method.needs(settled)

    def sample(self, group: Group) -> Sampled:
        work, start = self.work, None
        if self.begin_from is not None and self.response is None:
            start = self._leveled(self.begin_from, group.segments)
        settled = group.settled if len(group.segments) == 1 else None
        sampled = restore(
            work.denoise,
            self._degradation(group),
            self._leveled(self.follow, group.segments),
            self.method.sampler_settings,
            group.noise(False),
            start=start,
            settled=settled,
            heard=self.method.heard(settled),
            on_step=group.on_step,
            **self.method.hooks,
        )
        if self.together:
            self.response, self.together = sampled.equalizer, []
        return sampled

    def _degradation(self, group: Group) -> Degradation:
        if self.response is None:
            return self.method.blind(self.work.sample_rate)
        work = self.work
        if work.degradation is None:
            return self.method.known(self.response, work.sample_rate)
        starts, channels = [work.starts[i] for i in group.segments], work.observation.channels
        # What a degradation draws is the segment's own, as all noise is, so that it can be restored by itself.
        drawn = group.noise(False)(torch.Size((channels * len(starts), 1)))
        generator = torch.Generator().manual_seed(int(drawn[0].abs().double() * 2**40))
        later = work.degradation_at(starts, work.span.length, self.level, generator)
        if self.response is FLAT:
            return later
        return in_turn([self.method.known(self.response, work.sample_rate), later])

    def _leveled(self, tape: Tape, segments: Sequence[int]) -> Tensor:
        return torch.cat([self.work.cut(tape, i) * self.level for i in segments])
