"""Restorer, the front door: a recording in, from memory or from a file, and its restoration out."""

from __future__ import annotations

import hashlib
import operator
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from babe2 import checkpoints
from babe2.audio import SoundFile
from babe2.certainty.map import runs
from babe2.checkpoints.transfer import OnTransfer
from babe2.config import Column, Model, column_of
from babe2.degradations.described import Described
from babe2.degradations.spec import degradation_of
from babe2.dsp.curves import Curve
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, ltas
from babe2.dsp.waveform import as_channels, as_sample_rate
from babe2.errors import Cancelled, RestorationError
from babe2.methods.base import Method, SegmentMethod, Session
from babe2.methods.registry import BABE2, choose, sampling, used
from babe2.network import CQTDiffPlus
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.cqtdiff import CQTDiff
from babe2.networks.models import Network, Transform, build_transform, next_length
from babe2.networks.spectral import SpectralUNet
from babe2.prior import BandExtender, Prior, build_prior
from babe2.process import (
    PRECISIONS,
    Precision,
    choose_device,
    enough_memory,
    has_bfloat16,
    thread_count,
    threads,
    versions,
)
from babe2.provenance import already_made
from babe2.recordings.journal import Journal, Storage, Unfinished
from babe2.recordings.recorded import SILENT, Audio, OnBlock, Recorded, Samples, Sound
from babe2.restoration import Restoration
from babe2.run import OnStep, Run, Step, finished, finished_part, with_certainty
from babe2.sampler import Noise, Progress, sample

AT_ONCE = {"cuda": 8}  # segments
MOST_AT_ONCE = 256
LONGEST_SAMPLE = 2**22  # samples of music out of nothing
MOST_BRIGHTNESS = 6.0  # dB per octave
REFERENCE_SECONDS, REFERENCE_FFT = 5.0, 4096
MOST_TRANSFORMS = 4  # kept, each of some megabytes; short recordings have lengths of their own


@dataclass(frozen=True)
class Wish:
    """What a person asks of a restoration, beside the recording."""

    method: str = BABE2
    preset: str = "standard"
    seed: int | None = 0
    batch: int | None = None
    output_rate: int | None = None
    response: Curve | None = None
    brightness: float = 0.0  # dB per octave above 1 kHz, brighter or darker than is most probable
    reference: ReferenceLtas | None = None  # how music by this instrument in this room sounds, where that is known
    degradation: Described | None = None  # what happened to the music, where that is known
    certainty: bool = False  # whether it is told what was measured and what imagined
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: float = 0.0  # seconds into the recording
    duration: float | None = None  # seconds; None: to its end

    @classmethod
    def of(cls, **wishes: Any) -> Wish:
        """From words of which some are settings."""
        own = {each.name for each in fields(cls)} - {"settings"}
        settings = {name: value for name, value in wishes.items() if name not in own}
        if wishes.get("degradation") is not None:
            wishes["degradation"] = degradation_of(wishes["degradation"])
        return cls(**{name: value for name, value in wishes.items() if name in own}, settings=settings)


class Restorer:
    """A prior, or a generator that extends the band, ready to restore recordings on one device."""

    def __init__(
        self,
        network: Network | SpectralUNet,
        model: Model,
        ltas: Tensor | None,
        *,
        device: str | torch.device = "cpu",
        name: str = "",
        sha256: str = "",
        verified: bool = False,
        ltas_of: str = "",
        doubts: Sequence[str] = (),
    ) -> None:
        """`ltas_of` names the checkpoint whose average spectrum `ltas` is, where it is another one's; `doubts` are told
        in every report.
        """
        self.device = torch.device(device)
        self.model = model
        self.ltas = ltas
        self.name, self.sha256, self.verified = name, sha256, verified
        self.ltas_of, self.doubts = ltas_of, doubts
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
        """`spec`: a manifest's id (`piano-small` is included), a Hub repository `owner/name[@revision]`, a folder with
        model.safetensors and config.json, that file, or a published .pt file.

        What is not on this machine is fetched, verified and kept in `cache_dir`, by default the Hub's cache; `offline`
        takes only what is there. `manifest` names a second one, for checkpoints of your own.
        bfloat16 is faster; a published network deviates by half a percent per evaluation, a compact one's restorations
        by less than another seed's. "auto" takes it for compact networks where the processor multiplies it natively.
        `save_memory` trades time for memory; `compile` makes the first evaluation half a minute longer and the others a
        tenth shorter; both concern the published networks, the compact one is small and quick as it is.
        """
        device = choose_device(device)
        if precision not in PRECISIONS:
            raise RestorationError(f"The network computes in float32 or bfloat16, not in {precision!r:.80}.")
        checkpoint = checkpoints.load(
            spec,
            cache_dir=cache_dir,
            offline=offline,
            manifest=manifest,
            on_transfer=on_transfer,
            cancelled=cancelled,
        )
        network = checkpoint.restoring_network()
        if precision == "auto":
            precision = "bfloat16" if isinstance(network, BandwiseUNet) and has_bfloat16(device) else "float32"
        network.set_dtype(getattr(torch, precision))
        if isinstance(network, SpectralUNet):
            network.multiply_out()
        if isinstance(network, CQTDiffPlus | CQTDiff):
            network.save_memory = save_memory
        if isinstance(network, CQTDiffPlus) and compile:
            network.compile_pointwise()
        return cls(
            network,
            checkpoint.model,
            checkpoint.ltas,
            device=device,
            name=checkpoint.name,
            sha256=checkpoint.sha256,
            verified=checkpoint.verified,
            ltas_of=checkpoint.ltas_of,
            doubts=checkpoint.doubts(),
        )

    @property
    def reference(self) -> ReferenceLtas | None:
        """The average spectrum of the music this prior knows."""
        return None if self.ltas is None else ReferenceLtas(self.ltas, self.model.sample_rate)

    @property
    def column(self) -> Column:
        """The values that suit this checkpoint."""
        return column_of(self.model, None if self.ltas is None else len(self.ltas))

    def method(
        self,
        name: str = BABE2,
        preset: str = "standard",
        *,
        response_known: bool = False,
        degradation: str | Described | None = None,
        certainty: bool = False,
        **settings: Any,
    ) -> Method:
        """The method that is meant, with the settings it runs with on this checkpoint.

        `name` is one of `babe2.methods.names()`; settings that it would not use are refused, and so are a `degradation`
        that it cannot undo, and `certainty` that it cannot tell.
        """
        given = None if degradation is None else degradation_of(degradation)
        method = choose(name, preset, self.column, settings, response_known=response_known, degradation=given)
        method.check(self.model)
        if certainty and not (isinstance(method, SegmentMethod) and method.asks_a_prior):
            raise RestorationError(
                f"Certainty is told from several samples of a prior, and {method.name} draws none. "
                f"Leave it out, or choose {BABE2}."
            )
        return method

    def used(
        self, name: str = BABE2, preset: str = "standard", *, response_known: bool = False, **settings: Any
    ) -> dict[str, Any]:
        """Those of some settings that a method uses, for whoever runs several methods with one set of wishes."""
        return used(name, preset, self.column, settings, response_known=response_known)

    def check(self, **wishes: Any) -> None:
        """Refuses wishes, those of `restore`, with which it would not restore."""
        self._method(Wish.of(**wishes))

    def restore(
        self,
        audio: Any,
        sample_rate: int,
        *,
        method: str = BABE2,
        preset: str = "standard",
        seed: int | None = 0,
        noise: Noise | None = None,
        output_rate: int | None = None,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
        response: Curve | None = None,
        brightness: float = 0.0,
        reference: ReferenceLtas | None = None,
        degradation: str | Described | None = None,
        batch: int | None = None,
        certainty: bool = False,
        **overrides: Any,
    ) -> Restoration:
        """Restores a recording: numpy or torch, (samples,) or (channels, samples), float or integer.

        `method` is one of `babe2.methods.names()`: "babe2", "ltas-eq", "babe", ...; `overrides` are settings by name,
        and one that changes nothing with that method is refused. All randomness comes from `noise(shape)` where given,
        else from generators seeded with `seed` (None draws a seed) and the segment they are for. The result covers the
        recording's duration exactly, at `output_rate` or else its own rate, or the model's where that is higher. A
        known `response` of the machine is kept to instead of being estimated.

        How bright the music was is not in the recording. `brightness` makes it brighter or, below zero, darker than is
        most probable, in dB per octave above 1 kHz; `reference`, from `reference_of` a modern recording of the same
        instrument, says how it is to sound.

        `degradation` says what happened to the music, such as "clip:0.3" (docs/degradations.md) or as
        `babe2.degradations.spec.degradation_of` makes it: then no machine is looked for.

        `batch` segments are restored at once, in agreement where they overlap; by default several on a graphics card
        and one elsewhere. When `cancelled()` turns true, raises `Cancelled` with the finished part.

        With `certainty` the recording is restored twice more with other chance, and what is the same in all three tells
        what was measured, inferred and imagined (`restoration.certainty`); the sound is the same as without.
        """
        given = None if degradation is None else degradation_of(degradation)
        wish = Wish(
            method, preset, seed, batch, output_rate, response, brightness, reference, given, certainty, overrides
        )
        return self._restore(
            Samples.of(audio, sample_rate),
            Storage(),
            wish,
            self._provenance(wish, replayed=noise is not None),
            noise=noise,
            on_step=on_step,
            cancelled=cancelled,
        )

    def restore_file(
        self,
        path: str | Path,
        journal: str | Path,
        *,
        unfinished: Unfinished = "refuse",
        on_step: OnStep | None = None,
        on_block: OnBlock = lambda seconds: None,
        cancelled: Callable[[], bool] | None = None,
        **wishes: Any,
    ) -> Restoration:
        """The same for a file of any length, in the memory of a segment.

        `wishes` are those of `restore`, and `start` and `duration`, in seconds. What is worked on and all that is
        finished lies in the folder `journal`. After a crash the same call with `unfinished="resume"` goes on from
        there, and the result is the same to the last bit; "discard" begins anew. Discard the journal when the result is
        safe: `restoration.storage.discard()`. `on_block` hears how many seconds have been read.
        """
        wish = Wish.of(**wishes)
        source = SoundFile(path, start=wish.start, duration=wish.duration)
        about = {"input": source.sha256(), "start": wish.start, "duration": wish.duration}
        try:
            restoration = self.restore_sound(
                source,
                journal,
                about,
                unfinished=unfinished,
                on_step=on_step,
                on_block=on_block,
                cancelled=cancelled,
                **wishes,
            )
        except Cancelled as stopped:
            if stopped.partial is not None:
                stopped.partial.report["warnings"][:0] = [*source.warnings, *already_made(source.tags)]
            raise
        restoration.report["warnings"][:0] = [*source.warnings, *already_made(source.tags)]
        return restoration

    def restore_sound(
        self,
        sound: Sound,
        journal: str | Path | None,
        about: Mapping[str, Any],
        *,
        unfinished: Unfinished = "refuse",
        on_step: OnStep | None = None,
        on_block: OnBlock = lambda seconds: None,
        cancelled: Callable[[], bool] | None = None,
        **wishes: Any,
    ) -> Restoration:
        """The same for a sound that can be read block by block; `about` is what tells it from any other.

        Without a `journal` all is in memory.
        """
        wish = Wish.of(**wishes)
        provenance = self._provenance(wish)
        kept = ("threads", "seed") if wish.seed is None else ("threads",)  # nobody has chosen a seed that was drawn
        storage = Storage()
        if journal is not None:
            storage = Journal(Path(journal), {**provenance, **about}, unfinished, kept)
            provenance = provenance | {name: storage.begun[name] for name in kept}
        with storage.kept():
            return self._restore(
                sound, storage, wish, provenance, on_step=on_step, on_block=on_block, cancelled=cancelled
            )

    def _restore(
        self,
        original: Sound,
        storage: Storage,
        wish: Wish,
        provenance: dict[str, Any],
        *,
        noise: Noise | None = None,
        on_step: OnStep | None = None,
        on_block: OnBlock = lambda seconds: None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Restoration:
        poll = polled(cancelled)

        def read(seconds: float) -> None:
            poll()
            on_block(seconds)

        method = self._method(wish)
        if wish.certainty and noise is not None:
            raise RestorationError("Certainty takes three runs, and noise that is given is that of one. Give a seed.")
        count = runs(wish.certainty)
        tell = among(on_step, count)
        with threads(provenance["threads"], poll):
            recording = Recorded.of(
                original,
                self.model.sample_rate,
                wish.output_rate,
                fold=method.folds,
                blank=partial(storage.blank, "recording"),
                on_block=read,
            )

            def run_of(number: int, storage: Storage, begun: Session | None = None) -> Run:
                return Run(
                    method,
                    recording,
                    storage,
                    prior_of=partial(self.prior, cancelled=cancelled),
                    device=self.device,
                    noise=lambda segment: noise or seeded_noise(provenance["seed"], segment, self.device, number),
                    reference=wish.reference or self.reference,
                    same_room=wish.reference is not None,
                    brightness=wish.brightness,
                    response=wish.response,
                    degradation=wish.degradation,
                    offset_seconds=wish.start,
                    on_step=tell(number),
                    batch=provenance["batch"],
                    begun=begun,
                )

            run = run_of(0, storage)
            try:
                with enough_memory():
                    found = finished(run, run.restore(), provenance)
                    if wish.certainty:
                        others = [
                            run_of(number, storage.beside(number), run.for_all_runs).restore()
                            for number in range(1, count)
                        ]
                        found = with_certainty(found, run, others)
                poll()
            except Cancelled:
                raise Cancelled(finished_part(run, provenance)) from None
            return found

    def reference_of(self, audio: Any, sample_rate: int) -> ReferenceLtas:
        """The average spectrum of a good recording (samples,) or (channels, samples), to restore others like it."""
        channels = as_channels(audio, as_sample_rate(sample_rate))
        x = resample(channels, as_sample_rate(sample_rate), self.model.sample_rate)
        x = x[x.std(dim=1) > SILENT * x.std().clamp(min=1e-12)]
        if x.shape[0] == 0 or x.shape[1] < REFERENCE_SECONDS * self.model.sample_rate:
            raise RestorationError(
                f"A reference is a good recording of {REFERENCE_SECONDS:g} s or more, and not silent. Choose another."
            )
        fft = REFERENCE_FFT if self.ltas is None else 2 * (len(self.ltas) - 1)
        power = ltas(x / x.std(dim=1, keepdim=True), fft, fft, fft // 4)
        return ReferenceLtas(power.double(), self.model.sample_rate)

    def _method(self, wish: Wish) -> Method:
        if not -MOST_BRIGHTNESS <= wish.brightness <= MOST_BRIGHTNESS:
            raise RestorationError(
                f"The brightness lies between -{MOST_BRIGHTNESS:g} and {MOST_BRIGHTNESS:g} dB per octave, "
                f"not at {wish.brightness:g}."
            )
        known = wish.response is not None
        method = self.method(
            wish.method,
            wish.preset,
            response_known=known,
            degradation=wish.degradation,
            certainty=wish.certainty,
            **wish.settings,
        )
        if not method.takes_brightness and (wish.brightness or wish.reference is not None):
            what = "brightness" if wish.brightness else "reference"
            raise RestorationError(
                f"A {what} changes nothing with {method.name}, which follows the recording alone. "
                "Leave it out, or take the preset standard."
            )
        return method

    def batch_of(self, wished: int | None) -> int:
        """How many segments are restored at once; fewer where they turn out not to fit."""
        if wished is None:
            return AT_ONCE.get(self.device.type, 1)
        count = whole_number(wished, "The number of segments at once")
        if not 1 <= count <= MOST_AT_ONCE:
            raise RestorationError(f"At once 1 to {MOST_AT_ONCE} segments can be restored, no more and no fewer.")
        return count

    def _given(self, response: Curve | None) -> dict[str, Any]:
        """A response that was given: for people at some frequencies, and a digest of it at many."""
        if response is None:
            return {}
        if not isinstance(response, Curve):
            raise RestorationError(
                f"A response is a Curve of babe2.dsp.curves, not of the type {type(response).__name__}. Give "
                "SampledCurve(frequencies in Hz, decibels), both as tensors, or the response of a Restoration."
            )
        exact = response.magnitude(2**14, self.model.sample_rate).cpu().numpy().tobytes()
        return {"response": response.as_dict(), "response_sha256": hashlib.sha256(exact).hexdigest()}

    def _provenance(self, wish: Wish, *, replayed: bool = False) -> dict[str, Any]:
        """Everything that decides the numbers, but for the recording; `replayed` noise has no seed."""
        method = self._method(wish)
        return (
            self._given(wish.response)
            | ({} if wish.degradation is None else {"degradation": wish.degradation.as_dict()})
            | _heard_with(wish)
            | {
                "checkpoint": self.name,
                "sha256": self.sha256,
                "verified": self.verified,
                "method": wish.method,
                "solver": method.name,
                "preset": wish.preset,
                "settings": method.settings.as_dict(),
                "seed": None if replayed else checked_seed(wish.seed),
                "batch": self.batch_of(wish.batch),
                "precision": str(self._network.dtype).removeprefix("torch."),
                # What is fused is rounded otherwise; saving memory computes the same twice, to the same bits.
                "compile": isinstance(self._network, CQTDiffPlus) and self._network.is_compiled,
                "device": self.device.type,
                "threads": thread_count(),  # sums in float32 depend on how they are shared out
                "versions": versions(),
                "warnings": [*method.doubts(self.model), *self.doubts, *self._borrowing(wish)],
            }
        )

    def _borrowing(self, wish: Wish) -> list[str]:
        if not self.ltas_of or wish.reference is not None:
            return []
        return [
            f"This checkpoint holds no average spectrum, so that of {self.ltas_of} stands in for it. A good recording "
            "of such music, given as reference, is nearer to what this one sounded like."
        ]

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
        if isinstance(self._network, SpectralUNet):
            raise RestorationError(
                "This checkpoint extends the band of recordings, and makes no music out of nothing. Choose a prior."
            )
        settings, hooks = sampling(self.column, preset, overrides)
        rate = self.model.sample_rate
        if count < 1 or not (seconds is None or 1 <= seconds * rate <= LONGEST_SAMPLE):
            longest = LONGEST_SAMPLE / rate
            raise RestorationError(f"Ask for one piece or more, each longer than nothing and at most {longest:.0f} s.")
        length = settings.segment_length if seconds is None else round(seconds * rate)
        seed = checked_seed(seed)
        whole = next_length(self.model, max(length, settings.segment_length))
        prior = self.prior(whole, cancelled)
        shape = torch.Size((count, whole))
        with threads(thread_count(), polled(cancelled)), enough_memory():
            drawn = sample(
                prior, shape, settings, noise or seeded_noise(seed, 0, self.device), on_step=on_step, **hooks
            )
        return drawn[:, :length].cpu().numpy()

    def prior(self, length: int, cancelled: Callable[[], bool] | None = None) -> Prior:
        """The denoiser for segments of `length` samples."""
        poll = None if cancelled is None else polled(cancelled)
        if isinstance(self._network, SpectralUNet):
            return BandExtender(self._network, poll)
        transform = self._transforms.pop(length, None) or build_transform(self.model, length).to(self.device)
        self._transforms[length] = transform  # the latest is the last to be forgotten
        for forgotten in list(self._transforms)[:-MOST_TRANSFORMS]:
            self._transforms.pop(forgotten, None)
        return build_prior(self.model, self._network, transform, poll)


def among(on_step: OnStep | None, runs: int) -> Callable[[int], OnStep | None]:
    """For each of several runs by its number, a function that tells how all of them together stand."""
    began = time.monotonic()

    def teller(number: int) -> OnStep | None:
        if on_step is None or runs == 1:
            return on_step

        def tell(step: Step) -> None:
            share = (number + step.share) / runs
            left = (time.monotonic() - began) * (1 - share) / max(share, 1e-6)
            on_step(replace(step, share=share, seconds_left=left))

        return tell

    return teller


def polled(cancelled: Callable[[], bool] | None) -> Callable[[], None]:
    """A function that raises `Cancelled` once `cancelled()` is true."""

    def poll() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled

    return poll


def _heard_with(wish: Wish) -> dict[str, Any]:
    """What a person said of how it is to sound, where anything was said."""
    said: dict[str, Any] = {"brightness": float(wish.brightness)} if wish.brightness else {}
    if wish.reference is not None:
        said["reference_sha256"] = hashlib.sha256(wish.reference.power.cpu().numpy().tobytes()).hexdigest()
    return said


def checked_seed(seed: int | None) -> int:
    """The seed to draw from: the given one, or one drawn now."""
    seed = secrets.randbits(31) if seed is None else whole_number(seed, "A seed")
    if not 0 <= seed < 2**63:
        raise RestorationError("A seed lies between 0 and 2**63 - 1. Choose one there.")
    return seed


def whole_number(value: Any, what: str) -> int:
    """The value as an integer, of whatever library it is one."""
    try:
        return int(operator.index(value))
    except TypeError:
        raise RestorationError(f"{what} is a whole number, so it cannot be {value!r:.80}.") from None


def seeded_noise(seed: int, segment: int, device: torch.device, run: int = 0) -> Noise:
    """Every segment has noise of its own, so that any of them can be restored without those before it; and so has every
    further run of the same restoration."""
    generator = seeded_generator(device, seed, segment, *([run] if run else []))
    return lambda shape: torch.randn(shape, generator=generator, device=device)


def seeded_generator(device: torch.device | str, *numbers: int) -> torch.Generator:
    """A generator of its own for these numbers, of which the first is a person's seed."""
    own = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(own >> 1)  # torch takes 63 bits
