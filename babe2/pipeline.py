"""Restorer: from a recording to its restoration; channels, level, segments, progress and result, still no files."""

from __future__ import annotations

import operator
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from babe2.analysis import ReferenceLtas
from babe2.bandwise import BandwiseUNet
from babe2.config import UNCONDITIONAL, BandwiseArchitecture, Model, Settings, preset_settings, settings_for
from babe2.equalizer import Curve, SampledCurve, WeightedSum
from babe2.errors import Cancelled, RestorationError
from babe2.journal import Journal, Unfinished, Workbench
from babe2.network import CQTDiffPlus
from babe2.prior import Network, Prior, Transform, build_prior, build_transform, next_length
from babe2.process import is_out_of_memory, threads
from babe2.recorded import Audio, OnBlock, Recorded, Samples, Sound
from babe2.run import OnStep, Run, Span
from babe2.sampler import Noise, Progress, sample
from babe2.tape import Tape
from babe2.waveform import as_sample_rate

if TYPE_CHECKING:
    from babe2.chunks import Tags
    from babe2.transfer import OnTransfer

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16")
AT_ONCE = {"cuda": 8}  # segments
MOST_AT_ONCE = 256
LONGEST_DREAM = 2**22  # samples
DEVICES = ("cpu", "cuda", "mps")
FLAT = SampledCurve(torch.tensor([1.0, 2.0]), torch.zeros(2))  # the response of a recording with nothing to restore


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored recording and how it was come by."""

    recorded: Recorded = field(repr=False)
    restored: Tape = field(repr=False)  # (channels, samples) at the model's rate
    bench: Workbench = field(repr=False)  # on which it was made; where that is a journal, it may be discarded now
    sample_rate: int
    equalizer: Curve  # how the objective was coloured: of several segments the misfit-weighted mean, in dB
    equalizers: tuple[Curve, ...]  # of each segment
    seed: int | None  # None when the noise was given
    report: dict[str, Any]  # for machines: settings, checkpoint, segments, versions, warnings
    ltas_response: SampledCurve | None = None  # what LTAS-EQ had taken off before (section 3.4)
    history: tuple[tuple[float, Curve], ...] = ()  # (sigma, response) after each step of the first run
    seconds: float | None = None  # that are finished, where it was stopped
    amount: float = 1.0

    @property
    def response(self) -> Curve:
        """How the old machine coloured the recording: the equalizer behind what LTAS-EQ took off (Eq. 11)."""
        return behind(self.equalizer, self.ltas_response)

    @property
    def samples(self) -> int:
        """Per channel."""
        if self.seconds is None:
            return self.recorded.length(self.sample_rate)
        return int(self.seconds * self.sample_rate)

    def blocks(self, samples: int | None = None) -> Iterator[Audio]:
        """All of its sound, or the first so many samples, (channels, n) at a time."""
        left = self.samples if samples is None else min(samples, self.samples)
        for block in self.recorded.bring_back(self.restored, self.sample_rate, self.amount):
            yield np.ascontiguousarray(block[:, :left])
            left -= block.shape[1]
            if left <= 0:
                return

    @cached_property
    def audio(self) -> Audio:
        """(channels, samples)"""
        return np.concatenate(list(self.blocks()), axis=1)

    def first(self, seconds: float) -> Audio:
        """So many seconds of it, or all."""
        return np.concatenate(list(self.blocks(round(seconds * self.sample_rate))), axis=1)

    def at_rate(self, sample_rate: int) -> Restoration:
        """The same as if it had been asked for at another sample rate."""
        return replace(self, sample_rate=as_sample_rate(sample_rate))

    def mixed(self, amount: float) -> Restoration:
        """The restoration with its recording mixed back in: all of it at amount 0, none at 1."""
        check_amount(amount)
        return replace(self, amount=amount, report=self.report | {"amount": amount})

    def save(
        self,
        path: str | Path,
        subtype: str | None = None,
        tags: Tags | None = None,
        overwrite: bool = True,
        on_block: OnBlock = lambda seconds: None,
    ) -> Path:
        """Writes the audio: PCM_24, or FLOAT where a peak passes full scale. Never scaled, never clipped."""
        from babe2 import audio  # the rim: the one place where a result reaches upward to a codec

        def told() -> Iterator[Audio]:
            done = 0
            for block in self.blocks():
                yield block
                done += block.shape[1]
                on_block(done / self.sample_rate)

        return audio.write_blocks(
            path,
            told,
            self.sample_rate,
            subtype=subtype,
            tags=tags,
            overwrite=overwrite,
            draft=self.bench.draft(Path(path)),
        )


class Restorer:
    """A prior, ready to restore recordings on one device."""

    def __init__(
        self,
        network: Network,
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
        self._transforms: dict[int, Transform] = {}

    @classmethod
    def from_checkpoint(
        cls,
        spec: str | Path,
        *,
        device: str = "auto",
        cache_dir: str | Path | None = None,
        offline: bool = False,
        manifest: str | Path | None = None,
        on_transfer: OnTransfer | None = None,
        cancelled: Callable[[], bool] | None = None,
        precision: Precision = "auto",
        save_memory: bool = False,
        compile: bool = False,
    ) -> Restorer:
        """`spec`: a manifest's id (`piano-small` comes along), a Hub repository `owner/name[@revision]`, a folder with
        model.safetensors and config.json, that file, or a published .pt file.

        What is not on this machine is fetched, verified and kept in `cache_dir`, by default the Hub's cache; `offline`
        takes only what is there. `manifest` names a second one, for checkpoints of your own.
        bfloat16 is faster; a published network deviates by half a percent per evaluation, a compact one's restorations
        by less than another seed's. "auto" takes it for compact networks where the processor multiplies it natively.
        `save_memory` trades time for memory; `compile` makes the first evaluation half a minute longer and the others a
        tenth shorter; both concern the published networks, the compact one is small and quick as it is.
        """
        from babe2 import checkpoints  # the rim: the one place where the front door reaches upward to a disk

        device = choose_device(device)
        if precision not in PRECISIONS:
            raise RestorationError(f"The network computes in float32 or bfloat16, not in {precision!r}.")
        checkpoint = checkpoints.load(
            spec,
            cache_dir=cache_dir,
            offline=offline,
            manifest=manifest,
            on_transfer=on_transfer,
            cancelled=cancelled,
        )
        network = checkpoint.network()
        if precision == "auto":
            precision = "bfloat16" if isinstance(network, BandwiseUNet) and has_bfloat16(device) else "float32"
        network.set_dtype(getattr(torch, precision))
        if isinstance(network, CQTDiffPlus):
            network.save_memory = save_memory
            if compile:
                network.compile_pointwise()
        return cls(
            network,
            checkpoint.model,
            checkpoint.ltas,
            device=device,
            name=checkpoint.name,
            sha256=checkpoint.sha256,
            verified=checkpoint.verified,
        )

    @property
    def reference(self) -> ReferenceLtas | None:
        """The average spectrum of the music this prior knows."""
        return None if self.ltas is None else ReferenceLtas(self.ltas, self.model.sample_rate)

    def settings(self, preset: str = "standard", **overrides: Any) -> Settings:
        """The settings a restoration with this checkpoint runs with."""
        own = settings_for(self.model, None if self.ltas is None else len(self.ltas))
        settings = preset_settings(own, preset, **overrides)
        if settings.solver == "bandwise" and not isinstance(self.model.architecture, BandwiseArchitecture):
            raise RestorationError("This checkpoint takes no noise level per band. Run it with solver = guided.")
        return settings

    def restore(
        self,
        audio: Any,
        sample_rate: int,
        *,
        method: str = "babe2",
        preset: str = "standard",
        seed: int | None = 0,
        noise: Noise | None = None,
        output_rate: int | None = None,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
        response: Curve | None = None,
        batch: int | None = None,
        **overrides: Any,
    ) -> Restoration:
        """Restores a recording: numpy or torch, (samples,) or (channels, samples), float or integer.

        `method` is "babe2" or "ltas-eq"; `overrides` are settings by name. All randomness comes from `noise(shape)`
        where given, else from generators seeded with `seed` (None draws a seed) and the segment they are for. The
        result covers the recording's duration exactly, at `output_rate` or else its own. A known `response` of the
        machine is kept to instead of being estimated. `batch` segments are restored at once, in agreement where they
        overlap; by default several on a graphics card and one elsewhere. When `cancelled()` turns true, raises
        `Cancelled` with the finished part.
        """
        settings = self.settings(preset, **overrides)
        about = self._about(method, preset, settings, None if noise else checked_seed(seed), batch)
        return self._restore(
            Samples.of(audio, sample_rate),
            Workbench(),
            settings,
            about,
            noise=noise,
            output_rate=output_rate,
            on_step=on_step,
            cancelled=cancelled,
            response=response,
        )

    def restore_file(
        self,
        path: str | Path,
        journal: str | Path,
        *,
        unfinished: Unfinished = "refuse",
        start: float = 0.0,
        duration: float | None = None,
        method: str = "babe2",
        preset: str = "standard",
        seed: int | None = 0,
        output_rate: int | None = None,
        on_step: OnStep | None = None,
        on_block: OnBlock = lambda seconds: None,
        cancelled: Callable[[], bool] | None = None,
        batch: int | None = None,
        **overrides: Any,
    ) -> Restoration:
        """The same for a file of any length, or `duration` seconds of it from `start` on, in the memory of a segment.

        What is worked on and all that is finished lies in the folder `journal`. After a crash the same call with
        `unfinished="resume"` goes on from there, and the result is the same to the last bit; "discard" begins anew.
        Discard the journal when the result is safe: `restoration.bench.discard()`. `on_block` is told how many seconds
        have been read.
        """
        from babe2 import audio

        source = audio.SoundFile(path, start=start, duration=duration)
        settings = self.settings(preset, **overrides)
        about = self._about(method, preset, settings, checked_seed(seed), batch)
        begun = {"input": source.sha256(), "start": start, "duration": duration}
        bench = Journal(Path(journal), about | begun, unfinished)
        try:
            with bench.kept(), threads(bench.threads):
                restoration = self._restore(
                    source,
                    bench,
                    settings,
                    about | {"threads": bench.threads},
                    output_rate=output_rate,
                    on_step=on_step,
                    on_block=on_block,
                    cancelled=cancelled,
                )
        except BaseException as error:
            if isinstance(error, Cancelled) and error.partial is not None:
                error.partial.report["warnings"][:0] = source.warnings
            elif bench.records:
                bench.close()
            else:
                bench.discard()
            raise
        restoration.report["warnings"][:0] = source.warnings
        return restoration

    def _restore(
        self,
        original: Sound,
        bench: Workbench,
        settings: Settings,
        about: dict[str, Any],
        *,
        noise: Noise | None = None,
        output_rate: int | None = None,
        on_step: OnStep | None = None,
        on_block: OnBlock = lambda seconds: None,
        cancelled: Callable[[], bool] | None = None,
        response: Curve | None = None,
    ) -> Restoration:
        def read(seconds: float) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled
            on_block(seconds)

        recording = Recorded.of(
            original,
            self.model.sample_rate,
            output_rate,
            fold=settings.as_published,
            blank=partial(bench.blank, "recording"),
            on_block=read,
        )

        def noise_of(segment: int) -> Noise:
            return noise or seeded_noise(about["seed"], segment, self.device)

        prior = self.prior(Span.of(recording.observation.samples, settings).whole, cancelled)
        run = Run(prior, recording, settings, noise_of, self.ltas, response, on_step, bench, about["batch"])
        try:
            with enough_memory():
                restored = run.equalise() if about["method"] == "ltas-eq" else run.restore()
            if cancelled is not None and cancelled():
                raise Cancelled
        except Cancelled:
            raise Cancelled(finished_part(run, about)) from None
        return finished(run, restored, about)

    def batch_of(self, wished: int | None) -> int:
        """How many segments are restored at once; fewer where they turn out not to fit."""
        if wished is not None and not 1 <= wished <= MOST_AT_ONCE:
            raise RestorationError(f"At once 1 to {MOST_AT_ONCE} segments can be restored, not {wished}.")
        return wished or AT_ONCE.get(self.device.type, 1)

    def _about(
        self, method: str, preset: str, settings: Settings, seed: int | None, batch: int | None
    ) -> dict[str, Any]:
        """Everything that decides the numbers, but for the recording."""
        if method not in ("babe2", "ltas-eq"):
            raise RestorationError(f"There is no method {method!r}. Choose babe2 or ltas-eq.")
        return {
            "checkpoint": self.name,
            "sha256": self.sha256,
            "verified": self.verified,
            "method": method,
            "preset": preset,
            "settings": asdict(settings),
            "seed": seed,
            "batch": self.batch_of(batch),
            "precision": str(self._network.dtype).removeprefix("torch."),
            "device": self.device.type,
            "threads": torch.get_num_threads(),  # sums in float32 depend on how they are shared out
            "versions": versions(),
        }

    def sample(
        self,
        count: int = 1,
        seconds: float | None = None,
        *,
        seed: int | None = 0,
        noise: Noise | None = None,
        preset: str = "standard",
        on_step: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        **overrides: Any,
    ) -> Audio:
        """Music out of nothing (count, samples) at the model's rate, by default one segment of its training long."""
        schedule = UNCONDITIONAL[self.model.column] | ({"steps": 10} if preset == "draft" else {})
        settings = self.settings("paper" if preset == "paper" else "standard", **(schedule | overrides))
        rate = self.model.sample_rate
        if count < 1 or not (seconds is None or 1 <= seconds * rate <= LONGEST_DREAM):
            longest = LONGEST_DREAM / rate
            raise RestorationError(f"Ask for one piece or more, each longer than nothing and at most {longest:.0f} s.")
        length = settings.segment_length if seconds is None else round(seconds * rate)
        seed = checked_seed(seed)
        whole = next_length(self.model, max(length, settings.segment_length))
        prior = self.prior(whole, cancelled)
        shape = torch.Size((count, whole))
        with enough_memory():
            drawn = sample(prior, shape, settings, noise or seeded_noise(seed, 0, self.device), on_step)
        return drawn[:, :length].cpu().numpy()

    def prior(self, length: int, cancelled: Callable[[], bool] | None = None) -> Prior:
        """The denoiser for segments of `length` samples."""
        if length not in self._transforms:
            self._transforms[length] = build_transform(self.model, length).to(self.device)
        poll = None
        if cancelled is not None:

            def poll() -> None:
                if cancelled():
                    raise Cancelled

        return build_prior(self.model, self._network, self._transforms[length], poll)


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
        bench=run.bench,
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


def check_amount(amount: float) -> None:
    if not 0 <= amount <= 1:
        raise RestorationError(f"The amount of restoration lies between 0 and 1, not at {amount}.")


def behind(equalizer: Curve, ltas_response: Curve | None) -> Curve:
    """The equalizer and, where there was one, the LTAS response it was fitted behind, as one response (Eq. 11)."""
    if ltas_response is None or ltas_response is equalizer:
        return equalizer
    return WeightedSum((equalizer, ltas_response), (1.0, 1.0))


def weighted_mean(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """The mean in dB."""
    if len(curves) == 1:
        return curves[0]
    total = sum(weights)
    return WeightedSum(tuple(curves), tuple(weight / total for weight in weights))


def checked_seed(seed: int | None) -> int:
    """The seed to draw from: the given one, or one drawn now."""
    try:
        seed = secrets.randbits(31) if seed is None else operator.index(seed)
    except TypeError:
        raise RestorationError(f"A seed is a whole number, so it cannot be {seed!r}.") from None
    if not 0 <= seed < 2**63:
        raise RestorationError(f"A seed lies between 0 and 2**63 - 1, so it cannot be {seed}.")
    return seed


def seeded_noise(seed: int, segment: int, device: torch.device) -> Noise:
    """Every segment has noise of its own, so that any of them can be restored without those before it."""
    own = int(np.random.SeedSequence((seed, segment)).generate_state(1, np.uint64)[0])
    generator = torch.Generator(device).manual_seed(own >> 1)  # torch takes 63 bits
    return lambda shape: torch.randn(shape, generator=generator, device=device)


@contextmanager
def enough_memory(
    way_out: str = "Save memory (--save-memory), restore one channel at a time or choose a shorter excerpt.",
) -> Iterator[None]:
    """Says in a sentence what torch says in a page."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise RestorationError(f"There is not enough memory for this. {way_out}") from None
        raise


def choose_device(device: str) -> str:
    """ "auto" is a CUDA card, else Apple's, else the processor."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if torch.device(device).type not in DEVICES:
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise RestorationError(f"There is no device {device!r} on this machine. Choose auto or cpu.") from None
    return device


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies matrices of bfloat16 several times faster than of float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 and later
    return torch.device(device).type == "cpu" and bool(capabilities.get("amx_bf16", False))


def versions() -> dict[str, str]:
    from babe2 import __version__

    return {"babe2": __version__, "torch": torch.__version__, "python": platform.python_version()}
