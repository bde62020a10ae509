"""Restorer: from a recording to its restoration; channels, level, segments, progress and result, still no files."""

from __future__ import annotations

import ctypes
import operator
import platform
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2 import transforms
from babe2.analysis import ReferenceLtas
from babe2.config import UNCONDITIONAL, Model, Settings, preset_settings, settings_for
from babe2.cqt import ConstantQ, next_legal_length
from babe2.equalizer import Curve, Equalizer, SampledCurve, WeightedSum
from babe2.errors import Cancelled, RestorationError
from babe2.ltas_eq import at_unit_level, ltas_equalise, ltas_response
from babe2.network import CQTDiffPlus
from babe2.prior import Prior
from babe2.sampler import Known, Progress, restore, sample
from babe2.segments import Canvas, cut, median_level, segment_starts
from babe2.waveform import as_channels, as_sample_rate

Audio = npt.NDArray[np.float32]
SHORTEST_SECONDS = 0.05
LONGEST_DREAM = 2**22  # samples
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
    equalizer: Equalizer | None
    seconds_left: float
    _clean: Callable[[], Audio]

    def clean(self) -> Audio:
        """The current estimate of this segment (channels, samples), at the model's rate and the recording's level."""
        return self._clean()


@dataclass(frozen=True)
class Restoration:
    """A restored recording and how it was come by."""

    audio: Audio  # (channels, samples)
    sample_rate: int
    equalizer: Curve  # how the objective was coloured: of several segments the misfit-weighted mean, in dB
    equalizers: tuple[Curve, ...]  # of each segment
    seed: int | None  # None when the noise was given
    report: dict[str, Any]
    ltas_response: SampledCurve | None = None  # what LTAS-EQ had taken off before (section 3.4)
    history: tuple[tuple[float, Curve], ...] = ()  # (sigma, response) after each step of the first run

    @property
    def response(self) -> Curve:
        """How the old machine coloured the recording: the equalizer behind what LTAS-EQ took off (Eq. 11)."""
        return behind(self.equalizer, self.ltas_response)

    def save(self, path: str | Path, subtype: str | None = None) -> Path:
        """Writes the audio: PCM_24, or FLOAT where a peak passes full scale. Never scaled, never clipped."""
        from babe2 import audio  # the rim: the one place where a result reaches upward to a codec

        return audio.write(path, self.audio, self.sample_rate, subtype=subtype, overwrite=True)


OnStep = Callable[[Step], None]
GivenNoise = Callable[[torch.Size], Tensor]


class Restorer:
    """A prior, ready to restore recordings on one device."""

    def __init__(
        self,
        network: CQTDiffPlus,
        model: Model,
        ltas: Tensor | None,
        *,
        device: str | torch.device = "cpu",
        name: str = "",
        sha256: str = "",
        verified: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.model = model
        self.ltas = ltas
        self.name, self.sha256, self.verified = name, sha256, verified
        self._network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._transforms: dict[int, ConstantQ] = {}

    @classmethod
    def from_checkpoint(
        cls,
        spec: str | Path,
        *,
        device: str = "auto",
        cache_dir: str | Path | None = None,
        offline: bool = False,
        precision: Literal["float32", "bfloat16"] = "float32",
        save_memory: bool = False,
        compile: bool = False,
    ) -> Restorer:
        """`spec`: a folder with model.safetensors and config.json, that file, or a published .pt file.

        bfloat16 is faster and deviates by half a percent per evaluation; `save_memory` trades time for memory;
        `compile` makes the first evaluation half a minute longer and the others a tenth shorter.
        """
        from babe2 import checkpoints  # the rim: the one place where the front door reaches upward to a disk

        checkpoint = checkpoints.load(spec)
        network = checkpoint.network()
        network.save_memory = save_memory
        if precision not in ("float32", "bfloat16"):
            raise RestorationError(f"The network computes in float32 or bfloat16, not in {precision!r}.")
        network.set_dtype(getattr(torch, precision))
        if compile:
            network.compile_pointwise()
        return cls(
            network,
            checkpoint.model,
            checkpoint.ltas,
            device=choose_device(device),
            name=checkpoint.name,
            sha256=checkpoint.sha256,
        )

    @property
    def reference(self) -> ReferenceLtas | None:
        """The average spectrum of the music this prior knows."""
        return None if self.ltas is None else ReferenceLtas(self.ltas, self.model.sample_rate)

    def settings(self, preset: str = "standard", **overrides: Any) -> Settings:
        """The settings a restoration with this checkpoint runs with."""
        own = settings_for(self.model, None if self.ltas is None else len(self.ltas))
        return preset_settings(own, preset, **overrides)

    def restore(
        self,
        audio: Any,
        sample_rate: int,
        *,
        method: str = "babe2",
        preset: str = "standard",
        seed: int | None = 0,
        noise: GivenNoise | None = None,
        output_rate: int | None = None,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
        **overrides: Any,
    ) -> Restoration:
        """Restores a recording: numpy or torch, (samples,) or (channels, samples), float or integer.

        `method` is "babe2" or "ltas-eq"; `overrides` are settings by name. All randomness comes from `noise(shape)`
        where given, else from a generator seeded with `seed` (None draws a seed). The result covers the recording's
        duration exactly, at `output_rate` or else its own. When `cancelled()` turns true, raises `Cancelled` with the
        finished part.
        """
        if method not in ("babe2", "ltas-eq"):
            raise RestorationError(f"There is no method {method!r}. Choose babe2 or ltas-eq.")
        settings = self.settings(preset, **overrides)
        recording = Recorded.of(audio, sample_rate, self.model.sample_rate, output_rate, fold=settings.as_published)
        seed = checked_seed(seed)
        run = _Run(self, recording, settings, noise or seeded_noise(seed, self.device), on_step, cancelled)
        report = {
            "checkpoint": self.name,
            "sha256": self.sha256,
            "verified": self.verified,
            "method": method,
            "preset": preset,
            "settings": asdict(settings),
            "seed": None if noise else seed,
        }
        try:
            finished = run.equalise() if method == "ltas-eq" else run.restore()
        except Cancelled:
            raise Cancelled(run.partial(report)) from None
        return run.result(finished, report)

    def sample(
        self,
        count: int = 1,
        seconds: float | None = None,
        *,
        seed: int | None = 0,
        noise: GivenNoise | None = None,
        preset: str = "standard",
        cancelled: Callable[[], bool] | None = None,
        **overrides: Any,
    ) -> Audio:
        """Music out of nothing (count, samples) at the model's rate, by default one segment of its training long."""
        schedule = UNCONDITIONAL[self.model.column] | ({"steps": 10} if preset == "draft" else {})
        settings = self.settings("paper" if preset == "paper" else "standard", **(schedule | overrides))
        length = settings.segment_length if seconds is None else round(seconds * self.model.sample_rate)
        if count < 1 or not 0 < length <= LONGEST_DREAM:
            longest = LONGEST_DREAM / self.model.sample_rate
            raise RestorationError(f"Ask for one piece or more, each longer than nothing and at most {longest:.0f} s.")
        seed = checked_seed(seed)
        prior = self.prior(self._legal(max(length, settings.segment_length)), cancelled)
        shape = torch.Size((count, prior.transform.length))
        drawn = sample(prior, shape, settings, noise or seeded_noise(seed, self.device))
        return drawn[:, :length].cpu().numpy()

    def prior(self, length: int, cancelled: Callable[[], bool] | None = None) -> Prior:
        """The denoiser for segments of `length` samples."""
        if length not in self._transforms:
            size = self.model.architecture
            transform = ConstantQ(
                self.model.sample_rate, length, size.octaves, size.bins_per_octave, self.model.window_beta
            )
            self._transforms[length] = transform.to(self.device)
        poll = None
        if cancelled is not None:

            def poll() -> None:
                if cancelled():
                    raise Cancelled

        return Prior(self._network, self._transforms[length], self.model.sigma_data, poll)

    def _legal(self, length: int) -> int:
        size = self.model.architecture
        return next_legal_length(self.model.sample_rate, length, size.octaves, size.bins_per_octave)


@dataclass(frozen=True)
class Recorded:
    """A recording brought to the model's rate, and what is needed to bring its restoration back."""

    original: Tensor  # (C, T) at its own rate
    rate: int
    observation: Tensor  # (C, T') at the model's rate
    model_rate: int
    output_rate: int
    warnings: tuple[str, ...]

    @staticmethod
    def of(audio: Any, sample_rate: int, model_rate: int, output_rate: int | None, *, fold: bool) -> Recorded:
        original, sample_rate = as_channels(audio, sample_rate), as_sample_rate(sample_rate)
        output_rate = sample_rate if output_rate is None else as_sample_rate(output_rate)
        warnings = []
        if fold and len(original) > 1:
            warnings.append(f"The {len(original)} channels were averaged to one, as the published program does.")
            original = original.mean(dim=0, keepdim=True)
        seconds = original.shape[1] / sample_rate
        if seconds < SHORTEST_SECONDS:
            raise RestorationError(
                f"The recording is only {original.shape[1]} samples long; "
                f"a restoration needs at least {SHORTEST_SECONDS} s of it."
            )
        if not float(original.std(dim=-1).max()) > 1e-8:
            raise RestorationError("The recording is silent, so there is nothing to restore in it.")
        observation = transforms.resample(original, sample_rate, model_rate)
        return Recorded(original, sample_rate, observation, model_rate, output_rate, tuple(warnings))

    def bring_back(self, restored: Tensor) -> Audio:
        """restored (C, T') at the model's rate -> (C, T) at the output rate, over exactly the recording's duration.

        What the recording has above the model's band is not the prior's to judge and stays.
        """
        out = transforms.resample(restored, self.model_rate, self.output_rate)
        if min(self.rate, self.output_rate) > self.model_rate:
            whole = transforms.resample(self.original, self.rate, self.output_rate)
            heard = transforms.resample(self.observation, self.model_rate, self.output_rate)
            out = _fit_length(out, whole.shape[1]) + whole - _fit_length(heard, whole.shape[1])
        return _fit_length(out, self.output_length).numpy()

    @property
    def output_length(self) -> int:
        return round(self.original.shape[1] * self.output_rate / self.rate)


def _fit_length(x: Tensor, length: int) -> Tensor:
    return cut(x, 0, length)


class Found(NamedTuple):
    """What a finished segment taught."""

    equalizer: Equalizer
    misfit: float
    share: float  # of the segment that no neighbour had settled before


class _Run:
    """One restoration under way: which segments are finished, and what has been learned."""

    def __init__(
        self,
        restorer: Restorer,
        recording: Recorded,
        settings: Settings,
        noise: GivenNoise,
        on_step: OnStep | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.restorer, self.recording, self.settings, self.on_step = restorer, recording, settings, on_step
        self.prior = restorer.prior(settings.segment_length, cancelled)
        loudness = recording.observation.std(dim=-1)
        self.sounding = loudness > SILENT * loudness.max()  # the other channels stay as they are
        self.observation = recording.observation[self.sounding].to(restorer.device)
        self.channels = len(self.observation)
        self._noise = noise
        self.warnings = list(recording.warnings)
        self.ltas_response: SampledCurve | None = None
        self.found: dict[int, Found] = {}  # by segment
        self.history: list[tuple[float, Curve]] = []
        self.evaluations = self.steps_done = self.runs_left = 0
        self.began = time.monotonic()

        length = settings.segment_length
        overlap = int(settings.overlap * length)
        samples = self.observation.shape[1]
        self.starts = segment_starts(samples, length, overlap, last_fits=not settings.as_published)
        self.unfinished = set(self.starts)
        self.canvas = Canvas(self.channels, self.starts[-1] + length, like=self.observation)
        self.low_band = Canvas(self.channels, self.starts[-1] + length, like=self.observation)

    def equalise(self) -> Tensor:
        """The recording (C, T) with its long-term average spectrum matched to the prior's."""
        reference, settings = self.restorer.ltas, self.settings
        if reference is None:
            raise RestorationError(
                f"The checkpoint {self.restorer.name} holds no average spectrum to match. Run it with ltas = off."
            )
        if len(reference) != settings.ltas_fft // 2 + 1:
            raise RestorationError(f"This checkpoint's average spectrum needs ltas_fft = {2 * (len(reference) - 1)}.")
        rate = self.restorer.model.sample_rate
        if not settings.as_published:
            reference = at_unit_level(reference)
        self.ltas_response, response_db = ltas_response(
            self.observation, reference, rate, settings.ltas_fft, settings.ltas_floor_db
        )
        return ltas_equalise(self.observation, response_db)

    def restore(self) -> Tensor:
        """The recording (C, T) restored, at the model's rate."""
        settings = self.settings
        equalised = None if settings.ltas == "off" else self.equalise()
        self.objective = equalised if equalised is not None and settings.ltas == "objective" else self.observation
        self.begin_from = equalised
        self.level = self._levels()
        restorable = [i for i in range(len(self.starts)) if settings.as_published or not self._is_silent(i)]
        for i in set(range(len(self.starts))) - set(restorable):
            self._keep(i)
        if settings.mode == "time-invariant":
            count = settings.blind_segments if settings.as_published else min(settings.blind_segments, len(restorable))
            share = len(restorable) / count
            chosen = [restorable[int(share * i + share / 2)] for i in range(count)]
            self.runs_left = 1 + len(restorable) - len(set(chosen))
            equalizer = self._sample(chosen, None)
            for i in restorable:
                if i not in chosen:
                    self._sample([i], equalizer)
        else:
            self.runs_left = len(restorable)
            for i in restorable:
                self._sample([i], None)
        return self._finished()

    def _sample(self, segments: list[int], equalizer: Equalizer | None) -> Equalizer:
        """Samples segments jointly and lays them in place; without `equalizer` one is found for them all."""
        objective = torch.cat([self._piece(self.objective, i) for i in segments])
        start = None
        if self.begin_from is not None and equalizer is None:
            start = torch.cat([self._piece(self.begin_from, i) for i in segments])
        settled = self.canvas.settled_in(self.starts[segments[0]], self.settings.segment_length)
        known = None
        if equalizer is not None and settled.all() and not self.settings.as_published:
            self.unfinished.discard(self.starts[segments[0]])  # its neighbours have finished all of it
            self.runs_left -= 1
            return equalizer
        if len(segments) == 1 and settled.any():
            known = Known(settled * self._settled_piece(segments[0]), settled)
        sampled = restore(
            self._counted,
            objective,
            self.settings,
            self.restorer.model.sample_rate,
            self._shared_noise,
            start=start,
            known=known,
            equalizer=equalizer,
            on_step=lambda progress: self._tell(progress, segments),
        )
        for i, piece in zip(segments, sampled.audio.split(self.channels), strict=True):
            self._lay(i, piece / self.level)
            self.found[i] = Found(sampled.equalizer, sampled.misfit, 1 - float(settled.mean()))
        self.runs_left -= 1
        return sampled.equalizer

    def _counted(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        self.evaluations += 1
        return self.prior(noisy, sigma)

    def _shared_noise(self, shape: torch.Size) -> Tensor:
        """One noise for all channels: what they share stays shared, and a mono record in stereo stays mono."""
        noise = self._noise(torch.Size((shape[0] // self.channels, *shape[1:])))
        return noise.to(self.observation).repeat_interleave(self.channels, dim=0)

    def _levels(self) -> Tensor:
        """The factor (C, 1) that brings each channel's typical segment to the level the prior expects."""
        length = self.settings.segment_length
        pieces = [self._cut(self.objective, start) for start in self.starts]
        if not self.settings.as_published:  # the published program counts padding and silence as music
            real = [self.objective[:, start : start + length] for start in self.starts]
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
        return float(self._piece(self.observation, segment).std()) < SILENT * self.settings.level

    def _keep(self, segment: int) -> None:
        """Leaves a silent segment as it is."""
        self._lay(segment, self.prior.highpass(self._cut(self.observation, self.starts[segment])))

    def _lay(self, segment: int, piece: Tensor) -> None:
        start = self.starts[segment]
        self.canvas.lay(piece, start)
        self.unfinished.discard(start)
        if self.settings.keep_low_band:
            heard = self._cut(self.observation, start)
            self.low_band.lay(heard - self.prior.highpass(heard), start)

    def _cut(self, x: Tensor, start: int) -> Tensor:
        return cut(x, start, self.settings.segment_length)

    def _piece(self, x: Tensor, segment: int) -> Tensor:
        return self._cut(x, self.starts[segment]) * self.level

    def _settled_piece(self, segment: int) -> Tensor:
        return self._piece(self.canvas.audio, segment)

    def _finished(self) -> Tensor:
        return (self.canvas.audio + self.low_band.audio)[:, : self.observation.shape[1]]

    def _all_channels(self, sounding: Tensor) -> Tensor:
        """(sounding channels, T) -> (C, T) on the host, the silent ones as they are."""
        every = cut(self.recording.observation, 0, sounding.shape[1]).clone()
        every[self.sounding] = sounding.cpu()
        return every

    def _tell(self, progress: Progress, segments: list[int]) -> None:
        self.steps_done += 1
        equalizer = progress.equalizer
        if not self.found and equalizer is not None:
            self.history.append((progress.sigma, equalizer))
        if self.on_step is None:
            return
        steps_left = self.runs_left * self.settings.steps - progress.step
        seconds_left = (time.monotonic() - self.began) / self.steps_done * steps_left
        self.on_step(
            Step(
                segments[0] + 1,
                len(self.starts),
                progress.step,
                self.settings.steps,
                progress.sigma,
                progress.misfit,
                equalizer,
                seconds_left,
                lambda: self._all_channels(progress.clean[: self.channels] / self.level).numpy(),
            )
        )

    def result(self, restored: Tensor, report: dict[str, Any]) -> Restoration:
        """The finished restoration of `restored` (C, T) at the model's rate."""
        if not restored.isfinite().all():
            raise RestorationError("The run diverged with these settings. Take more steps or a higher sigma_min.")
        return self._restoration(self.recording.bring_back(self._all_channels(restored)), report)

    def partial(self, report: dict[str, Any]) -> Restoration | None:
        """What is finished from the beginning on, or None."""
        if not self.unfinished:
            return None
        # Near the cut the resampler looks ahead at what is not there yet.
        model_rate = self.restorer.model.sample_rate
        margin = max(SHORTEST_SECONDS, 400 / min(model_rate, self.recording.output_rate))
        seconds = min(self.unfinished) / model_rate - margin
        samples = int(seconds * self.recording.output_rate)
        if samples <= 0:
            return None
        self.warnings.append(f"The restoration was stopped; this is its finished part, the first {seconds:.1f} s.")
        return self._restoration(self.recording.bring_back(self._all_channels(self._finished()))[:, :samples], report)

    def _restoration(self, audio: Audio, report: dict[str, Any]) -> Restoration:
        learned = [self.found[i] for i in sorted(self.found)]
        equalizers: tuple[Curve, ...] = tuple(found.equalizer for found in learned)
        if not equalizers:  # LTAS-EQ, or silence
            flat = SampledCurve(torch.tensor([1.0, 2.0]), torch.zeros(2))
            equalizers = (self.ltas_response or flat,)
        return Restoration(
            audio=np.ascontiguousarray(audio, np.float32),
            sample_rate=self.recording.output_rate,
            equalizer=weighted_mean(equalizers, [found.share / max(found.misfit, 1e-6) ** 2 for found in learned]),
            equalizers=equalizers,
            seed=report["seed"],
            report=report
            | {
                "evaluations": self.evaluations,
                "seconds": round(time.monotonic() - self.began, 3),
                "segments": [
                    {
                        "start": self.starts[i] / self.restorer.model.sample_rate,
                        "misfit": self.found[i].misfit,
                        "equalizer": self.found[i].equalizer.as_dict(),
                    }
                    for i in sorted(self.found)
                ],
                "versions": versions(),
                "warnings": self.warnings,
            },
            ltas_response=self.ltas_response,
            history=tuple((sigma, behind(curve, self.ltas_response)) for sigma, curve in self.history),
        )


def mixed(restoration: Restoration, recording: Any, sample_rate: int, amount: float) -> Restoration:
    """The restoration with its recording mixed back in: all of it at amount 0, none at 1."""
    if not 0 <= amount <= 1:
        raise RestorationError(f"The amount of restoration lies between 0 and 1, not at {amount}.")
    before = transforms.resample(as_channels(recording, sample_rate), sample_rate, restoration.sample_rate)
    before = cut(before, 0, restoration.audio.shape[1])
    if len(before) != len(restoration.audio):
        before = before.mean(dim=0, keepdim=True)
    audio = (amount * restoration.audio + (1 - amount) * before.numpy()).astype(np.float32)
    return replace(restoration, audio=audio, report=restoration.report | {"amount": amount})


def behind(equalizer: Curve, ltas_response: Curve | None) -> Curve:
    """The equalizer and, where there was one, the LTAS response it was fitted behind, as one response (Eq. 11)."""
    if ltas_response is None or ltas_response is equalizer:
        return equalizer
    return WeightedSum((equalizer, ltas_response), (1.0, 1.0))


def weighted_mean(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """The mean in dB."""
    if len(curves) == 1:
        return curves[0]
    return WeightedSum(tuple(curves), tuple(weight / sum(weights) for weight in weights))


def checked_seed(seed: int | None) -> int:
    """The seed to draw from: the given one, or one drawn now."""
    try:
        seed = secrets.randbits(31) if seed is None else operator.index(seed)
    except TypeError:
        raise RestorationError(f"A seed is a whole number, so it cannot be {seed!r}.") from None
    if not 0 <= seed < 2**63:
        raise RestorationError(f"A seed lies between 0 and 2**63 - 1, so it cannot be {seed}.")
    return seed


def seeded_noise(seed: int, device: torch.device) -> GivenNoise:
    generator = torch.Generator(device).manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator, device=device)


def choose_device(device: str) -> str:
    """ "auto" is a CUDA card, else Apple's, else the processor."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise RestorationError(f"There is no device {device!r} on this machine. Choose auto or cpu.") from None
    return device


def reuse_memory() -> None:
    """Asks the C library to keep what is freed for what is asked for next; for programs that mostly restore.

    Torch has no cache on a CPU: each evaluation's pictures are handed back to the system and cleared anew, which takes
    a fifth of the time. Only glibc understands this; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        for parameter in (trim_threshold, mmap_threshold):
            library.mallopt(parameter, 2**31 - 1)


def versions() -> dict[str, str]:
    from babe2 import __version__

    return {"babe2": __version__, "torch": torch.__version__, "python": platform.python_version()}
