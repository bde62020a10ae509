"""One restoration under way: a recording at the model's rate, its segments, and which of them are finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2 import transforms
from babe2.analysis import ReferenceLtas
from babe2.bandwise_sampler import MARGIN, Own, faded, inner_length, restore_bandwise, segment_length, with_margins
from babe2.blind_response import Machine, Spectrum, find_machine
from babe2.closed_form_sampler import restore_closed_form, spread_of
from babe2.config import Settings
from babe2.equalizer import Curve, SampledCurve
from babe2.errors import RestorationError
from babe2.ltas_eq import at_unit_level, ltas_equalise, ltas_response
from babe2.prior import BandwisePrior, Prior
from babe2.sampler import Known, Noise, Progress, Sampled, restore
from babe2.segments import Canvas, cut, median_level, segment_starts
from babe2.waveform import as_channels, as_sample_rate

Audio = npt.NDArray[np.float32]
SHORTEST_SECONDS = 0.05
SILENT = 1e-4  # a segment or channel this far below the loudest one has nothing to restore


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
    _clean: Callable[[], Audio]

    def clean(self) -> Audio:
        """The current estimate of this segment (channels, samples), at the model's rate and the recording's level."""
        return self._clean()


OnStep = Callable[[Step], None]


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recording brought to the model's rate, and what is needed to bring its restoration back."""

    original: Tensor  # (C, T) at its own rate
    rate: int
    observation: Tensor  # (C, T') at the model's rate
    sounding: Tensor  # (C,) whether a channel holds anything to restore; the others stay as they are
    model_rate: int
    output_rate: int
    warnings: tuple[str, ...]

    @staticmethod
    def of(audio: Any, sample_rate: int, model_rate: int, output_rate: int | None, *, fold: bool) -> Recorded:
        """Checks a recording as a person hands it over; `fold` averages its channels."""
        original, sample_rate = as_channels(audio, sample_rate), as_sample_rate(sample_rate)
        output_rate = sample_rate if output_rate is None else as_sample_rate(output_rate)
        warnings = []
        if fold and len(original) > 1:
            warnings.append(f"The {len(original)} channels were averaged to one, as the published program does.")
            original = original.mean(dim=0, keepdim=True)
        if original.shape[1] < SHORTEST_SECONDS * sample_rate:
            raise RestorationError(
                f"The recording is only {original.shape[1]} samples long; "
                f"a restoration needs at least {SHORTEST_SECONDS} s of it."
            )
        loudness = original.std(dim=-1)
        if not float(loudness.max()) > 1e-8:
            raise RestorationError("The recording is silent, so there is nothing to restore in it.")
        observation = transforms.resample(original, sample_rate, model_rate)
        sounding = loudness > SILENT * loudness.max()
        return Recorded(original, sample_rate, observation, sounding, model_rate, output_rate, tuple(warnings))

    def all_channels(self, restored: Tensor) -> Tensor:
        """restored (sounding channels, T) -> (C, T) on the host, the silent channels as recorded."""
        every = cut(self.observation, 0, restored.shape[1]).clone()
        every[self.sounding] = restored.cpu()
        return every

    def bring_back(self, restored: Tensor) -> Audio:
        """restored (sounding channels, T') -> (C, T) at the output rate, over exactly the recording's duration.

        What the recording has above the model's band is not the prior's to judge and stays.
        """
        out = transforms.resample(self.all_channels(restored), self.model_rate, self.output_rate)
        length = round(self.original.shape[1] * self.output_rate / self.rate)
        if min(self.rate, self.output_rate) > self.model_rate:
            whole = transforms.resample(self.original, self.rate, self.output_rate)
            heard = transforms.resample(self.observation, self.model_rate, self.output_rate)
            out = cut(out, 0, length) + cut(whole, 0, length) - cut(heard, 0, length)
        return np.ascontiguousarray(cut(out, 0, length).numpy())


class Found(NamedTuple):
    """What a finished segment taught."""

    equalizer: Curve
    misfit: float
    share: float  # of the segment that no neighbour had settled before


class Span(NamedTuple):
    """How much of a recording is restored at once, and how much on either side with it to be dropped; in samples."""

    length: int
    margin: int

    @staticmethod
    def of(recording: Recorded, settings: Settings) -> Span:
        if settings.solver == "guided":
            return Span(settings.segment_length, 0)
        if settings.solver == "closed-form":  # the network hears as much at once as it was trained on
            return Span(inner_length(settings.segment_length), MARGIN)
        return Span(segment_length(recording.observation.shape[1], settings.segment_length), MARGIN)

    @property
    def whole(self) -> int:
        return self.length + 2 * self.margin


class Run:
    """Restores a recording segment by segment."""

    def __init__(
        self,
        prior: Prior,
        recording: Recorded,
        settings: Settings,
        noise: Noise,
        ltas: Tensor | None,
        response: Curve | None,
        on_step: OnStep | None,
    ) -> None:
        """`prior` works on the whole of a `Span`. `ltas` is the average spectrum (F,) of the music that it knows, where
        it is known; `response` that of the machine, and is estimated where it is not."""
        self.prior, self.recording, self.settings = prior, recording, settings
        self.noise, self.ltas, self.response, self.on_step = noise, ltas, response, on_step
        self.observation = recording.observation[recording.sounding].to(prior.device)
        self.span = Span.of(recording, settings)
        length, (channels, samples) = self.span.length, self.observation.shape
        overlap = int(settings.overlap * length)
        self.starts = segment_starts(samples, length, overlap, last_fits=not settings.as_published)
        self.canvas = Canvas(channels, self.starts[-1] + length, like=self.observation)
        self.low_band = Canvas(channels, self.starts[-1] + length, like=self.observation)
        # What sampling follows, where it begins (None: there, too), and what brings each channel to level (C, 1).
        self.objective = self.observation
        self.begin_from: Tensor | None = None
        self.level = torch.ones(channels, 1)
        self.ltas_response: SampledCurve | None = None
        self.unfinished = set(range(len(self.starts)))
        self.found: dict[int, Found] = {}  # by segment
        self.history: list[tuple[float, Curve]] = []  # (sigma, equalizer) after each step of the first run
        self.evaluations = self.steps_done = self.runs_left = 0
        self.began = time.monotonic()

    def equalise(self) -> Tensor:
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
        frequencies = transforms.bin_frequencies(rate, fft)
        self.ltas_response = SampledCurve(frequencies[1:], response_db[1:].cpu() - kept_db)
        return equalised

    def restore(self) -> Tensor:
        """The recording (C, T) restored, at the model's rate."""
        settings = self.settings
        if settings.solver != "guided":
            self._restore_knowing_the_machine()
            return self.finished()
        if settings.ltas != "off" and self.response is None:
            self.begin_from = self.equalise()
        if self.begin_from is not None and settings.ltas == "objective":
            self.objective = self.begin_from
        self.level = self._level()
        restorable = self._sounding_segments()
        if settings.mode == "time-invariant" and self.response is None:
            self._restore_with_one_equalizer(restorable)
        else:
            self.runs_left = len(restorable)
            for i in restorable:
                self._sample([i], self.response)
        return self.finished()

    def _restore_knowing_the_machine(self) -> None:
        """Finds the machine of the whole recording, then fills in what it lost, segment by segment."""
        rate = self.recording.model_rate
        loudness = self.observation.std(dim=-1, keepdim=True)  # a channel's noise is as much louder as its music
        machine = find_machine(Spectrum.of(self.observation / loudness, rate), self._reference())
        if self.response is not None:
            machine = replace(machine, response=self.response)
        fft = self.settings.filter_fft
        inverse = torch.nn.functional.pad(machine.inverse(transforms.bin_frequencies(rate, fft)[1:]), (1, 0))
        inverse = inverse.to(self.observation)
        self.level = self._level(lambda piece: transforms.equalise(piece, inverse, fft, fft, fft // 4))
        gain = float((self.level * loudness).mean())
        context = with_margins(self.observation)
        segments = self._sounding_segments()
        self.runs_left = len(segments)
        for i in segments:
            heard = faded(cut(context, self.starts[i], self.span.whole)) * self.level
            if self.settings.solver == "closed-form":
                heard = self.prior.highpass(heard)  # below, the recording stays as it is
            self._sample_knowing(Own.of(heard, machine, gain, rate), machine, i)

    def _sample_knowing(self, recording: Own, machine: Machine, segment: int) -> None:
        settled, known = self._settled(segment)
        margin = self.span.margin
        if known is not None:
            known = Known(*(torch.nn.functional.pad(part, (margin, margin)) for part in (known.audio, known.mask)))
        sample = self._closed_form if self.settings.solver == "closed-form" else self._bandwise
        sampled = sample(recording, machine, known, lambda progress: self._tell(progress, segment))
        self._lay(segment, self._without_margins(sampled.audio) / self.level)
        self.found[segment] = Found(machine.response, sampled.misfit, 1 - float(settled.mean()))
        self.runs_left -= 1

    def _bandwise(
        self, recording: Own, machine: Machine, known: Known | None, on_step: Callable[[Progress], None]
    ) -> Sampled:
        prior, settings = self.prior, self.settings
        assert isinstance(prior, BandwisePrior)  # the front door refuses this solver with any other

        def denoise(noisy: Tensor, level: Tensor) -> Tensor:
            self.evaluations += 1
            return prior.at_levels(noisy, level)

        # No higher than what the recording lost needs.
        start = min(max(prior.highest_needed(recording.level), 2 * settings.sigma_min), settings.sigma_start)
        return restore_bandwise(
            denoise,
            recording,
            machine.response,
            replace(settings, sigma_start=start),
            self._shared_noise,
            known=known,
            on_step=on_step,
        )

    def _closed_form(
        self, recording: Own, machine: Machine, known: Known | None, on_step: Callable[[Progress], None]
    ) -> Sampled:
        spread = spread_of(self._reference(), self.settings.level, self.span.whole).to(recording.observation)
        agree = known.over if known is not None else lambda clean: clean
        return restore_closed_form(
            self._denoise,
            recording,
            spread,
            machine.response,
            self.settings,
            self._shared_noise,
            agree=agree,
            on_step=on_step,
        )

    def _settled(self, segment: int) -> tuple[Tensor, Known | None]:
        """Where a segment's neighbours have finished it (T,), and what they made of it."""
        settled = self.canvas.settled_in(self.starts[segment], self.span.length).clone()
        if not settled.any():
            return settled, None
        return settled, Known(settled * self._leveled(self.canvas.audio, segment), settled)

    def _sounding_segments(self) -> list[int]:
        """The segments there is something to restore in; the others are laid as they are."""
        sounding = []
        for i in range(len(self.starts)):
            if self.settings.as_published or not self._is_silent(i):
                sounding.append(i)
            else:
                self._lay(i, self.prior.highpass(self._cut(self.observation, i)))
        return sounding

    def _reference(self) -> ReferenceLtas:
        if self.ltas is None:
            raise RestorationError(
                "This checkpoint holds no average spectrum to compare the recording with. "
                "Run it with solver = guided and ltas = off."
            )
        return ReferenceLtas(self.ltas, self.recording.model_rate)

    def finished(self) -> Tensor:
        """(C, T), zeros where nothing is finished yet."""
        return (self.canvas.audio + self.low_band.audio)[:, : self.observation.shape[1]]

    def finished_seconds(self) -> float:
        """How far from its beginning the recording is finished for good, in seconds."""
        recording, rate = self.recording, self.recording.model_rate
        if not self.unfinished:
            return recording.original.shape[1] / recording.rate
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
        self.runs_left = 1 + len(segments) - len(set(chosen))
        equalizer = self._sample(chosen, None)
        for i in segments:
            if i not in chosen:
                self._sample([i], equalizer)

    def _sample(self, segments: list[int], equalizer: Curve | None) -> Curve:
        """Samples segments jointly and lays them in place; without `equalizer` one is found for them all."""
        settings, first = self.settings, segments[0]
        settled, known = self._settled(first)
        if equalizer is not None and settled.all() and not settings.as_published:
            self.unfinished.discard(first)  # its neighbours have finished all of it
            self.runs_left -= 1
            return equalizer
        start = None
        if self.begin_from is not None and equalizer is None:
            start = torch.cat([self._leveled(self.begin_from, i) for i in segments])
        sampled = restore(
            self._denoise,
            torch.cat([self._leveled(self.objective, i) for i in segments]),
            settings,
            self.recording.model_rate,
            self._shared_noise,
            start=start,
            known=known if len(segments) == 1 else None,
            equalizer=equalizer,
            on_step=lambda progress: self._tell(progress, first),
        )
        for i, piece in zip(segments, sampled.audio.split(len(self.level)), strict=True):
            self._lay(i, piece / self.level)
            self.found[i] = Found(sampled.equalizer, sampled.misfit, 1 - float(settled.mean()))
        self.runs_left -= 1
        return sampled.equalizer

    def _denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        self.evaluations += 1
        return self.prior(noisy, sigma)

    def _shared_noise(self, shape: torch.Size) -> Tensor:
        """One noise for all channels: what they share stays shared, and a mono record in stereo stays mono."""
        channels = len(self.level)
        noise = self.noise(torch.Size((shape[0] // channels, *shape[1:])))
        return noise.to(self.observation).repeat_interleave(channels, dim=0)

    def _level(self, undone: Callable[[Tensor], Tensor] = lambda piece: piece) -> Tensor:
        """The factors (C, 1) that bring each channel's typical segment to the level the prior expects.

        `undone` takes the machine off a piece (C, T) before it is measured.
        """
        length = self.span.length
        pieces = [self._cut(self.objective, i) for i in range(len(self.starts))]
        if not self.settings.as_published:  # the published program counts padding and silence as music
            real = [undone(self.objective[:, start : start + length]) for start in self.starts]
            loudest = max(float(piece.std()) for piece in real)
            pieces = [piece for piece in real if float(piece.std()) > SILENT * loudest]
        typical = median_level(pieces)
        if self.settings.as_published and not typical.min() > 0:
            raise RestorationError(
                "Most of this recording is silent, which the published algorithm cannot bring to its level. "
                "Trim the silence or choose the standard preset."
            )
        return self.settings.level / typical.clamp(min=SILENT * float(typical.max()))[:, None]

    def _is_silent(self, segment: int) -> bool:
        return float(self._leveled(self.observation, segment).std()) < SILENT * self.settings.level

    def _lay(self, segment: int, piece: Tensor) -> None:
        self.canvas.lay(piece, self.starts[segment])
        self.unfinished.discard(segment)
        if self.settings.keep_low_band:
            heard = self._cut(self.observation, segment)
            self.low_band.lay(heard - self.prior.highpass(heard), self.starts[segment])

    def _cut(self, x: Tensor, segment: int) -> Tensor:
        return cut(x, self.starts[segment], self.span.length)

    def _without_margins(self, x: Tensor) -> Tensor:
        return x[:, self.span.margin : self.span.margin + self.span.length]

    def _leveled(self, x: Tensor, segment: int) -> Tensor:
        return self._cut(x, segment) * self.level

    def _tell(self, progress: Progress, segment: int) -> None:
        self.steps_done += 1
        if not self.found and progress.equalizer is not None:
            self.history.append((progress.sigma, progress.equalizer))
        if self.on_step is None:
            return
        steps_left = self.runs_left * self.settings.steps - progress.step
        estimate = self._without_margins(progress.clean[: len(self.level)]) / self.level
        self.on_step(
            Step(
                segment + 1,
                len(self.starts),
                progress.step,
                self.settings.steps,
                progress.sigma,
                progress.misfit,
                progress.equalizer,
                (time.monotonic() - self.began) / self.steps_done * steps_left,
                lambda: self.recording.all_channels(estimate).numpy(),
            )
        )
