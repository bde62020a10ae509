"""One restoration under way: a recording at the model's rate, its segments, and which of them are finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from babe2.analysis.response import RecordingChain, Spectrum, estimate_response
from babe2.config import Settings
from babe2.dsp.curves import FLAT, Curve, SampledCurve, WeightedSum, behind
from babe2.dsp.spectra import ReferenceLtas, at_unit_level, bin_frequencies, equalise
from babe2.dsp.tape import ScaledChannels, Tape, deviation
from babe2.equalizer import noted, recalled
from babe2.errors import RestorationError
from babe2.methods.bandwise import restore_bandwise
from babe2.methods.base import Span
from babe2.methods.closed_form import restore_closed_form, spread_of
from babe2.methods.ltas_eq import ltas_equalise, ltas_response
from babe2.methods.undone import Undone, faded, with_margins
from babe2.prior import BandwisePrior, Prior
from babe2.process import is_out_of_memory
from babe2.recordings.journal import Storage
from babe2.recordings.recorded import SHORTEST_SECONDS, SILENT, Audio, Recorded
from babe2.recordings.segments import Canvas, agreement, median_level
from babe2.restoration import Restoration
from babe2.sampler import Known, Noise, Progress, Sampled, restore

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Step:
    """Where a restoration stands after a sampler step. Segments and steps count from 1."""

    segment: int
    segments: int
    step: int
    steps: int
    sigma: float
    misfit: float  # distance of the degraded estimate from the recording, relative to the recording
    equalizer: Curve | None
    seconds_left: float
    start: float  # of the segment, seconds
    share: float  # of all steps of all segments that is done, 0 to 1
    _clean: Callable[[], Audio]

    def clean(self) -> Audio:
        """The current estimate of this segment (channels, samples), at the model's rate and the recording's level."""
        return self._clean()


OnStep = Callable[[Step], None]


class Found(NamedTuple):
    """What a finished segment taught."""

    equalizer: Curve
    misfit: float
    share: float  # of the segment that no neighbour had settled before


class Run:
    """Restores a recording segment by segment."""

    def __init__(
        self,
        prior: Prior,
        recording: Recorded,
        settings: Settings,
        noise: Callable[[int], Noise],
        ltas: Tensor | None,
        response: Curve | None,
        on_step: OnStep | None,
        storage: Storage,
        batch: int = 1,
    ) -> None:
        """`prior` works on the whole of a `Span`. `noise` is that of the segment by which a run begins. `ltas` is the
        average spectrum (F,) of the music that the prior knows, where it is known; `response` that of the machine, and
        is estimated where it is not. `batch` segments are restored at once, where the solver can."""
        self.prior, self.recording, self.settings = prior, recording, settings
        self.noise, self.ltas, self.response, self.on_step = noise, ltas, response, on_step
        self.storage, self.batch = storage, batch
        sounding = recording.sounding
        self.channels = int(sounding.sum())
        self.observation = ScaledChannels(recording.observation, sounding, torch.ones(self.channels), prior.device)
        self.span = Span.of(self.observation.samples, settings)
        length, samples = self.span.length, self.observation.samples
        self.starts = self.span.starts(samples, settings)
        layers = 1 + settings.keep_low_band  # the prior's music, and what lies below its band
        tape = storage.blank("segments", layers * self.channels)
        if tape.samples < length * max((1 + i for record in storage.records for i in record["segments"]), default=0):
            raise RestorationError(
                "Some of what an earlier run had finished is gone from its journal. Begin anew with --overwrite."
            )
        self.canvas = Canvas(self.starts, length, samples, tape, layers)
        # What sampling follows, where it begins (None: there, too), and what brings each channel to level (C, 1).
        self.objective: Tape = self.observation
        self.begin_from: Tape | None = None
        self.level = torch.ones(self.channels, 1, device=prior.device)
        self.ltas_response: SampledCurve | None = None
        self.unfinished = set(range(len(self.starts)))
        self.found: dict[int, Found] = {}  # by segment
        self.history: list[tuple[float, Curve]] = []  # (sigma, equalizer) after each step of the first run
        self.evaluations = self.steps_done = self.segments_left = 0
        self.began = time.monotonic()

    def equalise(self) -> Tape:
        """The recording (C, T) with its long-term average spectrum matched to the prior's."""
        reference, settings = self.ltas, self.settings
        if reference is None:
            raise RestorationError("This checkpoint holds no average spectrum to match. Run it with ltas = off.")
        if len(reference) != settings.ltas_fft // 2 + 1:
            raise RestorationError(f"This checkpoint's average spectrum needs ltas_fft = {2 * (len(reference) - 1)}.")
        if not settings.as_published:
            reference = at_unit_level(reference)
        rate, fft = self.recording.model_rate, settings.ltas_fft
        response_db = ltas_response(self.observation, reference, rate, fft, settings.ltas_floor_db)
        equalised, kept_db = ltas_equalise(self.observation, response_db)
        frequencies = bin_frequencies(rate, fft)
        self.ltas_response = SampledCurve(frequencies[1:], response_db[1:].cpu() - kept_db)
        return equalised

    def restore(self) -> Tape:
        """The recording (C, T) restored, at the model's rate."""
        settings = self.settings
        if settings.solver != "guided":
            self._restore_knowing_the_machine()
            return self.canvas
        if settings.ltas != "off" and self.response is None:
            self.begin_from = self.equalise()
        if self.begin_from is not None and settings.ltas == "objective":
            self.objective = self.begin_from
        self.level = self._level()
        restorable = self._sounding_segments()
        if settings.mode == "time-invariant" and self.response is None:
            self._restore_with_one_equalizer(restorable)
        else:
            self._recall(self.response)
            self.segments_left = len(self.unfinished.intersection(restorable))
            for i in restorable:
                self._sample([i], self.response)
        return self.canvas

    def _restore_knowing_the_machine(self) -> None:
        """Finds the machine of the whole recording, then fills in what it lost, segment by segment."""
        prior, rate = self.prior, self.recording.model_rate
        loudness = deviation(self.observation)[:, None]  # a channel's noise is as much louder as its music
        unit = ScaledChannels(
            self.observation, torch.ones(self.channels, dtype=torch.bool), 1 / loudness[:, 0], prior.device
        )
        machine = estimate_response(Spectrum.of(unit, rate), self._reference())
        if self.response is not None:
            machine = replace(machine, response=self.response)
        fft = self.settings.filter_fft
        inverse = torch.nn.functional.pad(machine.inverse(bin_frequencies(rate, fft)[1:]), (1, 0))
        inverse = inverse.float().to(prior.device)
        self.level = self._level(lambda piece: equalise(piece, inverse, fft, fft, fft // 4))
        gain = float((self.level * loudness.to(self.level)).mean())
        segments = self._sounding_segments()
        self._recall(machine.response)
        self.segments_left = len(self.unfinished.intersection(segments))
        while waiting := [i for i in segments if i in self.unfinished]:
            group = neighbours(waiting, self.batch)
            try:
                self._sample_knowing(machine, gain, group)
            except (MemoryError, RuntimeError) as error:
                if len(group) == 1 or not is_out_of_memory(error):
                    raise
                if not self.found:
                    self.history.clear()  # the first run begins again
                self.batch = len(group) // 2

    def _sample_knowing(self, machine: RecordingChain, gain: float, group: list[int]) -> None:
        """Samples neighbouring segments together, in agreement where they overlap, and lays them in place."""
        length, margin, starts = self.span.length, self.span.margin, [self.starts[i] for i in group]
        places = [(start - margin, start + length + margin) for start in starts]
        heard = torch.cat([self._leveled(faded(with_margins(self.observation, *place))) for place in places])
        if self.settings.solver == "closed-form":
            heard = self.prior.highpass(heard)  # below, the recording stays as it is
        settled = [self._settled(i) for i in group]
        known, joined = self._known(group, settled), agreement(starts, length, margin, self.channels)
        sample = self._closed_form if self.settings.solver == "closed-form" else self._bandwise
        sampled = sample(
            Undone.of(heard, machine, gain, self.recording.model_rate),
            machine.response,
            noise=self._noise(group, stretched=True),
            agree=lambda clean: joined(clean if known is None else known.over(clean)),
            on_step=lambda progress: self._tell(progress, group),
        )
        self._finish(group, sampled, settled)

    def _bandwise(self, recording: Undone, response: Curve, **hooks: Any) -> Sampled:
        prior, settings = self.prior, self.settings
        assert isinstance(prior, BandwisePrior)  # the front door refuses this solver with any other

        def denoise(noisy: Tensor, level: Tensor) -> Tensor:
            self.evaluations += 1
            return prior.at_levels(noisy, level)

        # No higher than what the recording lost needs.
        start = min(max(prior.highest_needed(recording.level), 2 * settings.sigma_min), settings.sigma_start)
        return restore_bandwise(denoise, recording, response, replace(settings, sigma_start=start), **hooks)

    def _closed_form(self, recording: Undone, response: Curve, **hooks: Any) -> Sampled:
        return restore_closed_form(self._denoise, recording, self._spread, response, self.settings, **hooks)

    @cached_property
    def _spread(self) -> Tensor:
        """The music's standard deviation at each frequency of a segment, which is the same for all of them."""
        return spread_of(self._reference(), self.settings.level, self.span.whole).to(self.level)

    def _sounding_segments(self) -> list[int]:
        """The segments there is something to restore in; the others are laid as they are."""
        sounding = []
        for i in range(len(self.starts)):
            heard = self._cut(self.observation, i)
            if self.settings.as_published or not self._is_silent(heard):
                sounding.append(i)
            else:
                self._lay(i, self.prior.highpass(heard))
        return sounding

    def _recall(self, response: Curve | None) -> None:
        """What an earlier run had finished, with the response that follows from the recording where none was noted."""
        for record in self.storage.records:
            equalizer = recalled(record["equalizer"], response)
            assert equalizer is not None
            for i, share in zip(record["segments"], record["shares"], strict=True):
                self.canvas.recall(i)
                self.unfinished.discard(i)
                self.found[i] = Found(equalizer, record["misfit"], share)
            self.evaluations, self.batch = record["evaluations"], record["batch"]
        for sigma, curve in self.storage.records[0]["history"] if self.storage.records else ():
            step = recalled(curve, response)
            assert step is not None
            self.history.append((sigma, step))

    def _reference(self) -> ReferenceLtas:
        if self.ltas is None:
            raise RestorationError(
                "This checkpoint holds no average spectrum to compare the recording with. "
                "Run it with solver = guided and ltas = off."
            )
        return ReferenceLtas(self.ltas, self.recording.model_rate)

    def finished_seconds(self) -> float:
        """How far from its beginning the recording is finished for good, in seconds."""
        recording, rate = self.recording, self.recording.model_rate
        if not self.unfinished:
            return recording.seconds
        # Near the cut the resampler looks ahead at what is not there yet.
        margin = max(SHORTEST_SECONDS, 400 / min(rate, recording.output_rate))
        return max(0.0, self.starts[min(self.unfinished)] / rate - margin)

    def _restore_with_one_equalizer(self, segments: list[int]) -> None:
        """Finds it on a few segments together, then keeps to it."""
        count = self.settings.blind_segments
        if not self.settings.as_published:
            count = min(count, len(segments))
        share = len(segments) / count
        chosen = [segments[int(share * i + share / 2)] for i in range(count)]
        self._recall(None)
        self.segments_left = len(self.unfinished.intersection(segments))
        found = self.found.get(chosen[0])
        equalizer = found.equalizer if found else self._sample(chosen, None)
        for i in segments:
            if i not in chosen:
                self._sample([i], equalizer)

    def _sample(self, segments: list[int], equalizer: Curve | None) -> Curve | None:
        """Samples segments jointly and lays them in place; without `equalizer` one is found for them all."""
        settings, first = self.settings, segments[0]
        if first not in self.unfinished:  # an earlier run has finished it
            return equalizer
        settled = [self._settled(i) for i in segments]
        if equalizer is not None and settled[0].all() and not settings.as_published:
            self.unfinished.discard(first)  # its neighbours have finished all of it
            self.segments_left -= 1
            return equalizer
        start = None
        if self.begin_from is not None and equalizer is None:
            start = torch.cat([self._leveled(self._cut(self.begin_from, i)) for i in segments])
        sampled = restore(
            self._denoise,
            torch.cat([self._leveled(self._cut(self.objective, i)) for i in segments]),
            settings,
            self.recording.model_rate,
            self._noise(segments),
            start=start,
            known=self._known(segments, settled) if len(segments) == 1 else None,
            equalizer=equalizer,
            on_step=lambda progress: self._tell(progress, segments),
        )
        self._finish(segments, sampled, settled)
        return sampled.equalizer

    def _denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        self.evaluations += 1
        return self.prior(noisy, sigma)

    def _noise(self, segments: list[int], *, stretched: bool = False) -> Noise:
        """One noise for all channels: what they share stays shared, and a mono record in stereo stays mono. `stretched`
        over neighbours it is the same where they overlap."""
        draw, channels = self.noise(segments[0]), self.channels
        offsets = [self.starts[i] - self.starts[segments[0]] for i in segments]

        def noise(shape: torch.Size) -> Tensor:
            if stretched:
                whole = draw(torch.Size((1, offsets[-1] + shape[-1])))
                each = torch.cat([whole[:, offset : offset + shape[-1]] for offset in offsets])
            else:
                each = draw(torch.Size((shape[0] // channels, *shape[1:])))
            return each.to(self.prior.device, torch.float32).repeat_interleave(channels, dim=0)

        return noise

    def _settled(self, segment: int) -> Tensor:
        """Where its neighbours have finished a segment (T,)."""
        start = self.starts[segment]
        return self.canvas.settled(start, start + self.span.length)

    def _known(self, segments: list[int], settled: list[Tensor]) -> Known | None:
        """What their neighbours have made of segments, with margins of which they know nothing."""
        if not any(mask.any() for mask in settled):
            return None
        places = [(self.starts[i], self.starts[i] + self.span.length) for i in segments]
        audio = [mask * self.canvas.layer(0, *place) for mask, place in zip(settled, places, strict=True)]
        masks = [mask.expand(self.channels, -1) for mask in settled]
        margin, device = self.span.margin, self.prior.device
        return Known(
            torch.nn.functional.pad(torch.cat([self._leveled(part.to(device)) for part in audio]), (margin, margin)),
            torch.nn.functional.pad(torch.cat(masks).to(device), (margin, margin)),
        )

    def _level(self, undone: Callable[[Tensor], Tensor] = lambda piece: piece) -> Tensor:
        """The factors (C, 1) that bring each channel's typical segment to the level the prior expects.

        `undone` takes the machine off a piece (C, T) before it is measured.
        """
        length, samples = self.span.length, self.objective.samples
        # Standard deviations of every segment, as numbers: small tensors would lie between the large ones of the next
        # segment and the next, and keep what is freed there from being used again.
        whole, each = [], []
        for start in self.starts:
            # The published program counts padding and silence as music.
            stop = start + length if self.settings.as_published else min(start + length, samples)
            piece = undone(self.objective.read(start, stop))
            whole.append(float(piece.std()))
            each.append(piece.std(dim=-1).tolist())
        if not self.settings.as_published:
            each = [
                channels for channels, all_of_them in zip(each, whole, strict=True) if all_of_them > SILENT * max(whole)
            ]
        typical = median_level(each).to(self.prior.device)
        if self.settings.as_published and not typical.min() > 0:
            raise RestorationError(
                "Most of this recording is silent, which the published algorithm cannot bring to its level. "
                "Trim the silence or choose the standard preset."
            )
        return self.settings.level / typical.clamp(min=SILENT * float(typical.max()))[:, None]

    def _is_silent(self, heard: Tensor) -> bool:
        return float(self._leveled(heard).std()) < SILENT * self.settings.level

    def _finish(self, segments: list[int], sampled: Sampled, settled: list[Tensor]) -> None:
        """Lays what was sampled in place, and sees to it that it is not lost."""
        if not sampled.audio.isfinite().all():
            raise RestorationError("The run diverged with these settings. Take more steps or a higher sigma_min.")
        shares = [1 - float(mask.mean()) for mask in settled]
        for i, piece, share in zip(segments, sampled.audio.split(self.channels), shares, strict=True):
            self._lay(i, self._without_margins(piece) / self.level)
            self.found[i] = Found(sampled.equalizer, sampled.misfit, share)
        self.segments_left -= len(segments)
        history = self.history if not self.storage.records else []
        self.storage.note(
            {
                "segments": segments,
                "shares": shares,
                "misfit": sampled.misfit,
                "equalizer": noted(sampled.equalizer),
                "history": [(sigma, noted(curve)) for sigma, curve in history],
                "evaluations": self.evaluations,
                "batch": self.batch,
            }
        )

    def _lay(self, segment: int, piece: Tensor) -> None:
        layers = [piece]
        if self.settings.keep_low_band:
            heard = self._cut(self.observation, segment)
            layers.append(heard - self.prior.highpass(heard))
        self.canvas.lay(segment, *layers)
        self.unfinished.discard(segment)

    def _cut(self, tape: Tape, segment: int) -> Tensor:
        return tape.read(self.starts[segment], self.starts[segment] + self.span.length)

    def _without_margins(self, x: Tensor) -> Tensor:
        return x[:, self.span.margin : self.span.margin + self.span.length]

    def _leveled(self, x: Tensor) -> Tensor:
        return x * self.level

    def _tell(self, progress: Progress, segments: list[int]) -> None:
        self.steps_done += len(segments)
        if not self.found and progress.equalizer is not None:
            self.history.append((progress.sigma, progress.equalizer))
        if self.on_step is None:
            return
        steps_left = self.segments_left * self.settings.steps - progress.step * len(segments)
        estimate, start = self._without_margins(progress.clean[: self.channels]) / self.level, self.starts[segments[0]]
        self.on_step(
            Step(
                segments[0] + 1,
                len(self.starts),
                progress.step,
                self.settings.steps,
                progress.sigma,
                progress.misfit,
                progress.equalizer,
                (time.monotonic() - self.began) / self.steps_done * steps_left,
                start / self.recording.model_rate,
                self.steps_done / (self.steps_done + steps_left),
                lambda: self.recording.all_channels(estimate, start).numpy(),
            )
        )


def neighbours(segments: list[int], count: int) -> list[int]:
    """The first segments, no more than `count`, that follow one another."""
    together = segments[:1]
    for segment in segments[1:count]:
        if segment != together[-1] + 1:
            break
        together.append(segment)
    return together


def finished(run: Run, restored: Tape, about: dict[str, Any], seconds: float | None = None) -> Restoration:
    """The result of a run: `restored` (C, T) at the model's rate, and everything that was learned on the way."""
    learned = [run.found[i] for i in sorted(run.found)]
    equalizers: tuple[Curve, ...] = tuple(found.equalizer for found in learned) or (run.ltas_response or FLAT,)
    report = about | {
        "batch": run.batch,
        "evaluations": run.evaluations,
        "seconds": round(time.monotonic() - run.began, 3),
        "segments": [
            {
                "start": run.starts[i] / run.recording.model_rate,
                "misfit": run.found[i].misfit,
                "equalizer": run.found[i].equalizer.as_dict(),
            }
            for i in sorted(run.found)
        ],
        "warnings": list(run.recording.warnings),
    }
    return Restoration(
        recorded=run.recording,
        restored=restored,
        storage=run.storage,
        sample_rate=run.recording.output_rate,
        equalizer=weighted_mean(equalizers, [found.share / max(found.misfit, 1e-6) ** 2 for found in learned]),
        equalizers=equalizers,
        seed=about["seed"],
        report=report,
        ltas_response=run.ltas_response,
        history=tuple((sigma, behind(curve, run.ltas_response)) for sigma, curve in run.history),
        seconds=seconds,
    )


def finished_part(run: Run, about: dict[str, Any]) -> Restoration | None:
    """What a stopped run had finished, an exact prefix of its result; None where that is nothing."""
    seconds = run.finished_seconds()
    if not run.found or int(seconds * run.recording.output_rate) == 0:
        return None
    part = finished(run, run.canvas, about, seconds)
    part.report["warnings"].append(f"The restoration was stopped; this is its finished part, {seconds:.1f} s.")
    return part


def weighted_mean(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """The mean in dB."""
    if len(curves) == 1:
        return curves[0]
    total = sum(weights)
    return WeightedSum(tuple(curves), tuple(weight / total for weight in weights))
