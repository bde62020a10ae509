"""Restoring a recording whose machine is undone first: what the two methods without a gradient share.

The response is found before anything is sampled, from the whole recording (analysis/response.py). A segment is
worked on with a margin on either side, as the transform takes its end for its beginning.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.chain import CLEAR_DB, RecordingChain
from babe2.analysis.damage.clicks import Mender, threshold_of
from babe2.analysis.machine import find_machine_at_unit_level
from babe2.config import ResolutionSettings, SegmentSettings, StartSettings
from babe2.degradations.base import Samplewise, Undone, shaped
from babe2.degradations.described import Described
from babe2.degradations.response import NoisyColouring
from babe2.dsp.curves import FLAT, Curve, SampledCurve, WeightedSum
from babe2.dsp.spectra import amplitude, bin_frequencies, equalise, fades
from babe2.dsp.tape import Tape, deviation
from babe2.errors import RestorationError
from babe2.methods.base import Group, SegmentMethod, Session, Work
from babe2.methods.brilliance import REACH, Brilliance, brightened
from babe2.methods.known_samples import LOWEST, beginning, fill
from babe2.networks.folded_cqt import GRAIN, next_length
from babe2.prior import Prior
from babe2.recordings.segments import agreement
from babe2.sampler import Constrain, Noise, OnStep, Progress, Sampled

MARGIN = 2 * GRAIN  # samples on either side of a segment that are restored with it, fading, and dropped
NOISY_DB = -10.0  # noise over the whole recording, from which on little of the music is known
CHAIN_FFT = 4096  # in which a given response is looked at
ROUNDING_DB = -70.0  # relative to the music: what even a recording without noise holds besides
MOST_RAISED_DB = 40.0  # any band, when the level of the music under a given response is measured
CLICKS = 0.5  # how readily something is taken for a click, between 0 and 1
SHORTEST = 18 * GRAIN  # samples; with its margins as long as what the network is trained on

Take = Callable[[Tensor, int, float, float], tuple[Tensor, Tensor]]  # (x, step, sigma, lower) -> next x, its estimate


@dataclass(frozen=True)
class UndoneSettings(StartSettings, ResolutionSettings, SegmentSettings):
    """The settings that closed-form and bandwise share."""


class UndoneMethod(SegmentMethod):
    """Finds the machine of the whole recording, then fills in what it lost, segment by segment."""

    takes_brightness = True
    settings: UndoneSettings

    @classmethod
    def takes_degradation(cls, degradation: Described) -> bool:
        return degradation.closed_form

    def begin(self, work: Work) -> Session:
        return UndoneSession(self, work) if work.degradation is None else KnownSamplesSession(self, work)

    @abstractmethod
    def sample(
        self, session: Any, observation: Tensor, *, noise: Noise, constrain: Constrain, on_step: OnStep
    ) -> Sampled:
        """Restores segments (S * C, margin + L + margin) as recorded, at the prior's level."""

    def measured(self, work: Work, mender: Mender) -> Tape:
        """The recording as its machine is looked for in it."""
        return work.observation

    def machine(self, work: Work, recording: Tape) -> tuple[RecordingChain, Tensor]:
        """The machine that made it, and its channels' standard deviations (C,)."""
        return find_machine_at_unit_level(recording, work.sample_rate, work.known_music(), same_room=work.same_room)

    def heard(self, work: Work, segment: Tensor) -> Tensor:
        """The part of a segment's sound that is restored; here all of it."""
        return segment

    @property
    def steps(self) -> int:
        return self.settings.steps

    @torch.no_grad()
    def rehearse(self, prior: Prior, noisy: Tensor, sample_rate: int) -> Tensor:
        level = noisy.new_full((noisy.shape[-1] // 2 + 1,), self.settings.level)
        clean = self.rehearse_estimate(prior, noisy, level)
        return shaped(noisy - clean, level) + shaped(clean, level)  # the step, and its misfit

    @abstractmethod
    def rehearse_estimate(self, prior: Prior, noisy: Tensor, level: Tensor) -> Tensor:
        """One estimate of noise (1, T) at one level (T // 2 + 1,)."""


class UndoneSession(Session):
    """A recording whose machine is known."""

    for_all_runs = True
    response: Curve
    chain: RecordingChain

    def __init__(self, method: UndoneMethod, work: Work) -> None:
        self.method, self.work = method, work
        self.mender = Mender(work.sample_rate, threshold_of(CLICKS))
        recording = method.measured(work, self.mender)
        if work.machine_known:
            self.chain, loudness = noiseless(work), deviation(recording)
        else:
            self.chain, loudness = method.machine(work, recording)
        self.band = self.chain.band
        self.warnings = warnings_on(self.chain)
        self.uncertainty = None if work.response is not None else self.chain.uncertainty
        if work.response is not None:
            self.chain = replace(self.chain, response=work.response)
        # What makes the music brighter was not the machine's doing.
        self.response = self.chain.response
        if work.brightness:
            self.response = WeightedSum((self.response, brightened(work.brightness)), (1.0, -1.0))
        fft = method.settings.filter_fft
        inverse = F.pad(self.chain.inverse(bin_frequencies(work.sample_rate, fft)[1:]), (1, 0))
        inverse = inverse.float().to(work.device)
        self.level = work.level_factor(
            recording, method.settings.level, lambda piece: equalise(piece, inverse, fft, fft, fft // 4)
        )
        # A channel's noise is as much louder as its music.
        gain = float((self.level * loudness[:, None].to(self.level)).mean())
        self.brilliance = Brilliance(self.chain, work.known_music(), work.brightness)
        self.reach = REACH if self.brilliance.wanted else 0
        self.degradation = NoisyColouring(self.chain.response, self.chain.covering, work.sample_rate, gain)

    def group(self, waiting: list[int], batch: int) -> list[int]:
        return in_a_row(waiting, batch)

    def finish(self, tape: Tape, start: int, stop: int) -> Tape:
        return self.brilliance.applied(tape, start, stop) if self.brilliance.wanted else tape

    def sample(self, group: Group) -> Sampled:
        work, span = self.work, self.work.span
        starts = [work.starts[i] for i in group.segments]
        places = [(start - span.margin, start + span.length + span.margin) for start in starts]
        heard = torch.cat([faded(with_margins(work.observation, *place)) * self.level for place in places])
        joined = agreement(starts, span.length, span.margin, work.observation.channels)
        settled = group.settled
        sampled = self.method.sample(
            self,
            self.method.heard(work, heard),
            noise=group.noise(True),
            constrain=lambda clean: joined(clean if settled is None else settled.over(clean)),
            on_step=lambda progress: group.on_step(replace(progress, equalizer=self.response)),
        )
        return replace(sampled, equalizer=self.response)


def noiseless(work: Work) -> RecordingChain:
    """The chain of a recording of which it is known that nothing happened to it but its response."""
    assert work.response is not None
    hertz = bin_frequencies(work.sample_rate, CHAIN_FFT)[1:].double()
    heard = hertz[work.response.gain_db(hertz) > -CLEAR_DB]
    first, last = (float(heard[0]), float(heard[-1])) if len(heard) else (float(hertz[0]), float(hertz[-1]))
    noise = SampledCurve(hertz[[0, -1]], torch.full((2,), ROUNDING_DB, dtype=torch.float64))
    return RecordingChain(work.response, noise, first, last, ends=last < float(hertz[-1]))


class KnownSamplesSession(Session):
    """A recording of which some samples are known, and of the others no more than a bound."""

    response: Curve

    def __init__(self, method: UndoneMethod, work: Work) -> None:
        self.method, self.work = method, work
        assert work.response is not None  # with a given degradation nothing is left to find
        self.response = work.response
        self.flat = self.response is FLAT and not work.brightness
        if work.brightness:
            self.response = WeightedSum((self.response, brightened(work.brightness)), (1.0, -1.0))
        inverse = self._inverse(method.settings.filter_fft)
        fft = method.settings.filter_fft
        self.level = work.level_factor(
            work.observation,
            method.settings.level,
            (lambda piece: piece) if self.flat else lambda piece: equalise(piece, inverse, fft, fft, fft // 4),
        )

    def _inverse(self, fft: int) -> Tensor:
        """What takes the machine off an average spectrum (fft // 2 + 1,), no band being raised by more than 40 dB."""
        gain = -self.response.gain_db(bin_frequencies(self.work.sample_rate, fft)[1:])
        return F.pad(amplitude(gain.clamp(max=MOST_RAISED_DB)), (1, 0)).float().to(self.work.device)

    def group(self, waiting: list[int], batch: int) -> list[int]:
        return in_a_row(waiting, batch)

    def sample(self, group: Group) -> Sampled:
        work, span, settings = self.work, self.work.span, self.method.settings
        starts = [work.starts[i] for i in group.segments]
        places = [(start - span.margin, start + span.length + span.margin) for start in starts]
        recording = torch.cat([faded(with_margins(work.observation, *place)) * self.level for place in places])
        ones = torch.ones_like(recording[: work.observation.channels])
        gain = torch.cat(
            [faded(ones * weights_beyond(work.observation, *place, ones[0])) * self.level for place in places]
        )
        degradation = work.degradation_at([place[0] for place in places], span.whole, gain)
        assert isinstance(degradation, Samplewise)
        joined = agreement(starts, span.length, span.margin, work.observation.channels)
        begun = beginning(degradation, recording, settings.level, settings.sigma_start)
        start = max(float(begun.free.max()), 2 * LOWEST * settings.level)
        magnitude = None if self.flat else self.response.magnitude(span.whole, work.sample_rate).to(recording)
        sampled = fill(
            work.denoise,
            degradation,
            recording,
            begun,
            noise_levels(settings.steps, start, LOWEST * settings.level),
            group.noise(True),
            magnitude=magnitude,
            response=self.response,
            constrain=lambda clean: joined(clean if group.settled is None else group.settled.over(clean)),
            on_step=group.on_step,
        )
        return replace(sampled, audio=self._above(sampled.audio, group.segments))

    def _above(self, restored: Tensor, segments: Sequence[int]) -> Tensor:
        """The segments without what is laid below the prior's band again, so that known samples stay as they are."""
        if not (self.flat and self.method.settings.keep_low_band):
            return self.work.prior.highpass(restored)
        heard = torch.cat([self.work.cut(self.work.observation, i) * self.level for i in segments])
        margin = self.work.span.margin
        return restored - F.pad(heard - self.work.prior.highpass(heard), (margin, margin))


def in_a_row(waiting: list[int], batch: int) -> list[int]:
    """The first segments, no more than `batch`, that follow one another."""
    together = waiting[:1]
    for segment in waiting[1:batch]:
        if segment != together[-1] + 1:
            break
        together.append(segment)
    return together


def warnings_on(chain: RecordingChain) -> tuple[str, ...]:
    """What has to be said of a recording that tells little of its music."""
    if not chain.hears:
        return (
            "No music stands out from the noise of this recording, so what comes out is imagined. Denoise it first, or "
            "choose another excerpt.",
        )
    if chain.band.floor_db > NOISY_DB:
        return (
            f"The noise is only {-chain.band.floor_db:.0f} dB weaker than the whole recording, so most of what comes "
            "out is imagined. Denoise it first, or use another transfer if there is one.",
        )
    return ()


def descend_without_gradient(
    x: Tensor, sigmas: Tensor, take: Take, recording: Undone, response: Curve, on_step: OnStep | None
) -> Sampled:
    """Takes one step after another from x (B, T) at `sigmas[0]` down to no noise."""
    for step, (sigma, lower) in enumerate(pairwise(sigmas.tolist()), start=1):
        x, clean = take(x, step, sigma, lower)
        if on_step is not None:
            on_step(Progress(step, sigma, response, clean, partial(recording.misfit, clean)))
    return Sampled(x, response, recording.misfit(x))


def noise_levels(steps: int, sigma_start: float, sigma_min: float) -> Tensor:
    """From `sigma_start` to `sigma_min` in equal ratios, then 0 (steps + 1,)."""
    return torch.cat([torch.linspace(math.log(sigma_start), math.log(sigma_min), steps).exp(), torch.zeros(1)])


def segment_length(samples: int, longest: int) -> int:
    """How much of a recording of so many samples is restored at once, without its margins."""
    if longest % GRAIN:
        raise RestorationError(
            f"The compact network takes segments of multiples of {GRAIN} samples, which {longest} is not. "
            f"Choose segment_length = {next_length(longest)}."
        )
    return min(longest, next_length(max(samples, SHORTEST)))


def inner_length(whole: int) -> int:
    """How much of a segment of a given length is left between its margins."""
    if whole < 3 * MARGIN:
        raise RestorationError(
            f"Segments of {whole} samples are too short for this solver. "
            f"Take {3 * MARGIN} samples or more, or run it with solver = guided."
        )
    return whole - 2 * MARGIN


def with_margins(tape: Tape, start: int, stop: int) -> Tensor:
    """Part of a tape (C, stop - start) that goes on beyond the tape's ends for a margin each, and fades there.

    The transform takes a segment's end for its beginning, and undoing the machine makes a click of any step. So the
    tape is mirrored: what goes on is music of the same spectrum. (Turned about its last sample instead, it would have
    no bend there, but a step in the bass, where old machines let least through.)
    """
    x = tape.mirrored(start, stop)
    return x * weights_beyond(tape, start, stop, x)


def weights_beyond(tape: Tape, start: int, stop: int, like: Tensor) -> Tensor:
    """By what `with_margins` multiplies each sample (stop - start,)."""
    reach = min(MARGIN, tape.samples - 1)
    rise, fall = fades(reach, like)
    weights = torch.cat([rise, like.new_ones(1), fall, like.new_zeros(1)])  # far before, inside, far behind
    place = torch.arange(start, stop, device=like.device)
    behind = (place - tape.samples + 1).clamp(min=0, max=reach + 1)
    return weights[reach + behind + place.clamp(min=-reach, max=0)]


def faded(segment: Tensor) -> Tensor:
    """A segment (C, MARGIN + T + MARGIN) that comes out of silence and goes back to it within its margins."""
    rise, fall = fades(MARGIN, segment)
    inside = segment.new_ones(segment.shape[-1] - 2 * MARGIN)
    return segment * torch.cat([rise, inside, fall])
