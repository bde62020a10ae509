"""One restoration under way: a recording at the model's rate, its segments, and which of them are finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.band import RecordedBand
from babe2.analysis.chain import RecordingChain
from babe2.analysis.machine import find_machine_at_unit_level
from babe2.certainty.map import certainty_of
from babe2.certainty.recording import Recording
from babe2.degradations.described import Described
from babe2.degradations.filters import Audible
from babe2.degradations.spec import split
from babe2.dsp.curves import FLAT, Curve, SampledCurve, WeightedSum, behind
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import ScaledChannels, Tape
from babe2.equalizer import noted, recalled
from babe2.errors import RestorationError
from babe2.methods.base import Filtered, Group, Method, SegmentMethod, SegmentResult, Session, Work
from babe2.prior import Prior
from babe2.process import is_out_of_memory
from babe2.recordings.journal import Storage
from babe2.recordings.recorded import SHORTEST_SECONDS, SILENT, Audio, Recorded
from babe2.recordings.segments import Canvas
from babe2.restoration import Restoration
from babe2.sampler import Noise, Progress, Sampled, Settled


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


class Run:
    """Restores a recording segment by segment, whatever the method."""

    def __init__(
        self,
        method: Method,
        recording: Recorded,
        storage: Storage,
        *,
        prior_of: Callable[[int], Prior],
        device: torch.device,
        noise: Callable[[int], Noise],
        reference: ReferenceLtas | None = None,
        response: Curve | None = None,
        same_room: bool = False,
        brightness: float = 0.0,
        degradation: Described | None = None,
        offset_seconds: float = 0.0,
        on_step: OnStep | None = None,
        batch: int = 1,
        begun: Session | None = None,
    ) -> None:
        """`prior_of` gives the prior for segments of some length. `noise` is that of the segment by which a run begins.
        `reference` is the average spectrum of the music that the prior knows, where it is known; `response` that of the
        machine, and is estimated where it is not; `same_room` and `brightness` are
        those of `Work`. `degradation` is what happened to the music, where that is given: then the machine has no
        response but the given one. The recording begins `offset_seconds` behind the place from which the degradation
        counts. `batch` segments are restored at once, where the method can. `begun` is a session that has heard this
        recording already, in an earlier run of the same."""
        self.method, self.recording, self.storage = method, recording, storage
        self.noise, self.on_step, self.batch, self.begun = noise, on_step, batch, begun
        self.channels = int(recording.sounding.sum())
        observation = ScaledChannels(recording.observation, recording.sounding, torch.ones(self.channels), device)
        self.span, self.starts = method.span(observation.samples), method.starts(observation.samples)
        machine_known = degradation is not None
        if degradation is not None:
            degradation.check(recording.rate, recording.model_rate)
            own, degradation = split(degradation, recording.rate)
            own = None if own is None else Audible(own)
            responses = tuple(curve for curve in (response, own) if curve is not None)
            response = WeightedSum(responses, (1.0, 1.0)) if len(responses) > 1 else (*responses, FLAT)[0]
        self.work = Work(
            observation,
            recording.model_rate,
            reference,
            response,
            self.span,
            self.starts,
            prior_of,
            device,
            same_room=same_room,
            brightness=brightness,
            machine_known=machine_known,
            degradation=degradation,
            recorded_rate=recording.rate,
            offset=round(offset_seconds * recording.model_rate),
        )
        self.unfinished = set(range(len(self.starts)))
        self.found: dict[int, SegmentResult] = {}  # by segment
        self.history: list[tuple[float, Curve]] = []  # (sigma, equalizer) after each step of the first run
        self.ltas_response: SampledCurve | None = None
        self.chain: RecordingChain | None = None
        self.band: RecordedBand | None = None
        self.ends_below = False  # whether the method has found that the recorded band ends, and all above is noise
        self.uncertainty: SampledCurve | None = None
        self.warnings: tuple[str, ...] = ()
        self.steps_done = self.segments_left = 0
        self.began = time.monotonic()

    @property
    def evaluations(self) -> int:
        """Of the prior, so far."""
        return self.work.evaluations

    def restore(self) -> Tape:
        """The recording (C, T) restored, at the model's rate."""
        begun = self.begun or self.method.begin(self.work)
        if isinstance(begun, Filtered):
            self.ltas_response = begun.response
            return begun.tape
        self.chain = begun.chain or self._measured_chain()
        self.ends_below = begun.chain is not None and begun.chain.ends
        self.ltas_response = begun.ltas_response
        self.band = begun.band or (None if self.chain is None else self.chain.band)
        self.uncertainty, self.warnings = begun.uncertainty, begun.warnings
        assert isinstance(self.method, SegmentMethod)
        self.session, self.settings = begun, self.method.settings
        self.canvas = self._canvas()
        sounding = self._sounding_segments(self.method.keeps_silence)
        self._recall(begun.response)
        begun.prepare(sounding, self.found)
        self.segments_left = len(self.unfinished.intersection(sounding))
        while waiting := [i for i in sounding if i in self.unfinished]:
            group = begun.group(waiting, self.batch)
            try:
                self._sample(group)
            except (MemoryError, RuntimeError) as error:
                fewer = len(group) // 2
                # One equalizer for all is found on its segments together, however few are wanted at once.
                if not is_out_of_memory(error) or not fewer or len(begun.group(waiting, fewer)) == len(group):
                    raise
                if not self.found:
                    self.history.clear()  # the first run begins again
                self.batch = fewer
        return self.heard()

    def heard(self) -> Tape:
        """What is finished of it, as it is to be heard (C, T)."""
        if not self.found:
            return self.canvas
        # The first segment that was sampled is finished wherever anything is, but for what it shares with the next.
        first = min(self.found)
        start = self.starts[first]
        later = [other for other in self.starts if other > start]
        return self.session.finish(self.canvas, start, min([start + self.span.length, *later]))

    @property
    def for_all_runs(self) -> Session | None:
        """What has heard the recording, where further runs of the same need not hear it again."""
        return self.session if self.session.for_all_runs else None

    def known(self, found: Curve) -> Recording:
        """What is known of the recording, of which a response was `found`."""
        own = self.session.chain
        # What a listener wished to be brighter is no doubt about the machine.
        found = found if own is None else own.response
        return Recording.of(self.work.observation, self.chain, found, given=self.work.response is not None)

    def _measured_chain(self) -> RecordingChain | None:
        """The machine, for a method that does not look for it itself: above its band all that sounds is generated."""
        if self.work.reference is None or self.work.machine_known:
            return None
        chain, _ = find_machine_at_unit_level(self.work.observation, self.work.sample_rate, self.work.reference)
        return chain

    def _canvas(self) -> Canvas:
        """Where finished segments are laid, and where those lie that an earlier run had finished."""
        layers, length = self.method.layers, self.span.length
        tape = self.storage.blank("segments", layers * self.channels, length * len(self.starts))
        return Canvas(self.starts, length, self.work.observation.samples, tape, layers)

    def _sounding_segments(self, keeps_silence: bool) -> list[int]:
        """The segments there is something to restore in; the others are laid as they are."""
        sounding = []
        for i in range(len(self.starts)):
            if keeps_silence and self.work.loudness(i, self.session.level) < SILENT * self.settings.level:
                self._lay(i, self.work.prior.highpass(self.work.cut(self.work.observation, i)))
            else:
                sounding.append(i)
        return sounding

    def _recall(self, response: Curve | None) -> None:
        """What an earlier run had finished, with the response that follows from the recording where none was noted."""
        for record in self.storage.records:
            equalizer = recalled(record["equalizer"], response)
            assert equalizer is not None
            for i, share in zip(record["segments"], record["shares"], strict=True):
                self.canvas.recall(i)
                self.unfinished.discard(i)
                self.found[i] = SegmentResult(equalizer, record["misfit"], share)
            self.work.evaluations, self.batch = record["evaluations"], record["batch"]
        for sigma, curve in self.storage.records[0]["history"] if self.storage.records else ():
            step = recalled(curve, response)
            assert step is not None
            self.history.append((sigma, step))

    def _sample(self, group: list[int]) -> None:
        """Samples segments together, and lays them in place."""
        settled = [self._settled(i) for i in group]
        if len(group) == 1 and not self.session.needs(settled[0]):  # its neighbours have finished all of it
            self.unfinished.discard(group[0])
            self.segments_left -= 1
            return
        sampled = self.session.sample(
            Group(
                group,
                self._made_by_neighbours(group, settled),
                lambda overlapping: self._noise(group, overlapping),
                lambda progress: self._report_step(progress, group),
            )
        )
        self._finish(group, sampled, settled)

    def finished_seconds(self) -> float:
        """How far from its beginning the recording is finished for good, in seconds."""
        recording, rate = self.recording, self.recording.model_rate
        if not self.unfinished:
            return recording.seconds
        # Near the cut the resampler looks ahead at what is not there yet.
        margin = max(SHORTEST_SECONDS, 400 / min(rate, recording.output_rate)) + self.session.reach / rate
        return max(0.0, self.starts[min(self.unfinished)] / rate - margin)

    def _noise(self, group: list[int], overlapping: bool) -> Noise:
        """One noise for all channels: what they share stays shared, and a mono record in stereo stays mono. Where
        `overlapping`, neighbours have the same noise where they overlap."""
        draw, channels = self.noise(group[0]), self.channels
        offsets = [self.starts[i] - self.starts[group[0]] for i in group]

        def noise(shape: torch.Size) -> Tensor:
            if overlapping:
                whole = draw(torch.Size((1, offsets[-1] + shape[-1])))
                each = torch.cat([whole[:, offset : offset + shape[-1]] for offset in offsets])
            else:
                each = draw(torch.Size((shape[0] // channels, *shape[1:])))
            return each.to(self.work.device, torch.float32).repeat_interleave(channels, dim=0)

        return noise

    def _settled(self, segment: int) -> Tensor:
        """Where its neighbours have finished a segment (T,)."""
        start = self.starts[segment]
        return self.canvas.settled(start, start + self.span.length)

    def _made_by_neighbours(self, group: list[int], settled: list[Tensor]) -> Settled | None:
        """What their neighbours have made of segments, with margins of which they know nothing."""
        if not any(mask.any() for mask in settled):
            return None
        places = [(self.starts[i], self.starts[i] + self.span.length) for i in group]
        audio = [mask * self.canvas.layer(0, *place) for mask, place in zip(settled, places, strict=True)]
        masks = [mask.expand(self.channels, -1) for mask in settled]
        margins, device = (self.span.margin, self.span.margin), self.work.device
        return Settled(
            F.pad(torch.cat([part.to(device) * self.session.level for part in audio]), margins),
            F.pad(torch.cat(masks).to(device), margins),
        )

    def _finish(self, group: list[int], sampled: Sampled, settled: list[Tensor]) -> None:
        """Lays what was sampled in place, and sees to it that it is not lost."""
        if not sampled.audio.isfinite().all():
            raise RestorationError("The run diverged with these settings. Take more steps or a higher sigma_min.")
        shares = [1 - float(mask.mean()) for mask in settled]
        for i, piece, share in zip(group, sampled.audio.split(self.channels), shares, strict=True):
            self._lay(i, self._without_margins(piece) / self.session.level)
            self.found[i] = SegmentResult(sampled.equalizer, sampled.misfit, share)
        self.segments_left -= len(set(group))
        history = self.history if not self.storage.records else []
        self.storage.note(
            {
                "segments": group,
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
        if self.method.layers == 2:
            heard = self.work.cut(self.work.observation, segment)
            layers.append(heard - self.work.prior.highpass(heard))
        self.canvas.lay(segment, *layers)
        self.unfinished.discard(segment)

    def _without_margins(self, x: Tensor) -> Tensor:
        return x[:, self.span.margin : self.span.margin + self.span.length]

    def _report_step(self, progress: Progress, group: list[int]) -> None:
        together = len(set(group))  # the published program may take a segment more than once
        self.steps_done += together
        if not self.found and progress.equalizer is not None:
            self.history.append((progress.sigma, progress.equalizer))
        if self.on_step is None:
            return
        steps = self.method.steps
        steps_left = self.segments_left * steps - progress.step * together
        estimate = self._without_margins(progress.clean[: self.channels]) / self.session.level
        start = self.starts[group[0]]
        self.on_step(
            Step(
                group[0] + 1,
                len(self.starts),
                progress.step,
                steps,
                progress.sigma,
                progress.misfit,
                progress.equalizer,
                (time.monotonic() - self.began) / self.steps_done * steps_left,
                start / self.recording.model_rate,
                self.steps_done / (self.steps_done + steps_left),
                lambda: self.recording.all_channels(estimate, start).numpy(),
            )
        )


def finished(run: Run, restored: Tape, about: dict[str, Any], seconds: float | None = None) -> Restoration:
    """The result of a run: `restored` (C, T) at the model's rate, and everything that was learned on the way."""
    learned = [run.found[i] for i in sorted(run.found)]
    equalizers: tuple[Curve, ...] = tuple(found.equalizer for found in learned) or (run.ltas_response or FLAT,)
    equalizer = weighted_mean(equalizers, [found.share / max(found.misfit, 1e-6) ** 2 for found in learned])
    report = about | {
        "batch": run.batch,
        "evaluations": run.evaluations,
        "band": run.band and run.band.as_dict(),
        "estimated_response": behind(equalizer, run.ltas_response).as_dict() if run.method.changes else None,
        "uncertainty": None if run.uncertainty is None else uncertainty_as_dict(run.uncertainty),
        "generates": run.method.generates,
        "changes": run.method.changes,
        "keeps_above": not run.ends_below,  # whether what the recording has above the model's band stays
        "seconds": round(time.monotonic() - run.began, 3),
        "segments": [
            {
                "start": run.starts[i] / run.recording.model_rate,
                "misfit": run.found[i].misfit,
                "equalizer": run.found[i].equalizer.as_dict(),
            }
            for i in sorted(run.found)
        ],
        "warnings": [*run.storage.warnings, *run.warnings, *run.recording.warnings, *about.get("warnings", [])],
    }
    return Restoration(
        recorded=run.recording,
        restored=restored,
        storage=run.storage,
        sample_rate=run.recording.output_rate,
        equalizer=equalizer,
        equalizers=equalizers,
        seed=about["seed"],
        report=report,
        ltas_response=run.ltas_response,
        uncertainty=run.uncertainty,
        history=tuple((sigma, behind(curve, run.ltas_response)) for sigma, curve in run.history),
        seconds=seconds,
        amount=1.0 if run.method.changes else 0.0,  # a way to the model's rate and back would change it
    )


def with_certainty(restoration: Restoration, run: Run, others: Sequence[Tape]) -> Restoration:
    """A finished restoration with what `others`, made with other chance, tell of its certainty."""
    recording = run.known(restoration.response)
    certainty = certainty_of([restoration.restored, *others], recording, run.recording.model_rate)
    told = {"certainty": certainty.as_dict(), "seconds": round(time.monotonic() - run.began, 3)}
    return replace(restoration, certainty=certainty, report=restoration.report | told)


def uncertainty_as_dict(uncertainty: SampledCurve) -> dict[str, list[float]]:
    """How near nine in ten true responses lie, in plain numbers for a report."""
    return {
        "frequencies_hz": [round(hertz, 1) for hertz in uncertainty.frequencies.tolist()],
        "within_db": [round(db, 2) for db in uncertainty.decibels.tolist()],
    }


def finished_part(run: Run, about: dict[str, Any]) -> Restoration | None:
    """What a stopped run had finished, an exact prefix of its result; None where that is nothing."""
    seconds = run.finished_seconds()
    if not run.found or int(seconds * run.recording.output_rate) == 0:
        return None
    part = finished(run, run.heard(), about, seconds)
    part.report["warnings"].append(f"The restoration was stopped; this is its finished part, {seconds:.1f} s.")
    return part


def weighted_mean(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """The mean in dB."""
    if len(curves) == 1:
        return curves[0]
    total = sum(weights)
    return WeightedSum(tuple(curves), tuple(weight / total for weight in weights))
