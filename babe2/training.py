"""Teaching a network what music sounds like: settings, the step that changes it, and where its examples come from.

Everything random about item i of iteration n comes from a generator seeded with (seed, n, i). So nothing depends on how
often a run was stopped, on how many processes share its batches, or on which of them is early.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, get_args, get_type_hints

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn

from babe2.augmentation import Augmentation, Signal
from babe2.bandwise import BandwiseUNet
from babe2.config import Architecture, BandwiseArchitecture, Model
from babe2.corpus import Corpus, Levelling
from babe2.cqt import ConstantQ
from babe2.errors import RestorationError
from babe2.folded_cqt import FoldedConstantQ, centre_frequencies
from babe2.muon import Muon
from babe2.network import CQTDiffPlus
from babe2.objective import (
    BandwiseObjective,
    Batch,
    Example,
    Losses,
    LossWeight,
    NoiseLevels,
    Objective,
    PublishedObjective,
    bandwise_example,
    bin_powers,
    hidden_matrices,
    in_bfloat16,
    initialise_as_published,
    spread_of,
    white_example,
)
from babe2.prior import Network, build_network, build_transform
from babe2.training_state import Tensors
from babe2.transforms import ltas

LEVEL_EXCERPTS = 300  # whose mean standard deviation stands for a corpus (published)
BANDS = 4  # of noise levels, of which losses are told apart
MOST_FAILURES = 20  # iterations in a row whose gradients are no numbers


# What to train, and how


@dataclass(frozen=True)
class TrainingSettings:
    """What decides on the result. The defaults are the published piano column (babe2.md, section 8)."""

    batch: int = 4  # excerpts per iteration, however many processes and parts share them
    seed: int = 0
    learning_rate: float = 2e-4  # of Adam
    beta1: float = 0.9  # of Adam
    beta2: float = 0.999
    muon_rate: float | None = None  # of Muon, for hidden matrices; None: Adam for all
    warmup: int = 10_000  # iterations over which the rates rise from 0
    clip: float = 1.0  # norm of the network's gradient
    average_decay: float = 0.9999  # of the averaged weights, which are the result
    # Excerpts heard before the average is as slow as that, which it becomes in proportion; None: as soon as a tenth of
    # the run is longer than the average reaches back, which suits short runs.
    average_ramp: int | None = 10_000
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    levelling: Levelling = field(default_factory=Levelling)
    augmentation: Augmentation = field(default_factory=Augmentation)
    weighted: bool = False  # whether the weight of each noise level is learned beside the network
    octave_weights: tuple[float, ...] = ()  # lowest first, for the compact network; (): all alike
    shortest_seconds: float | None = None  # of a file; None: as long as an excerpt. Shorter ones are repeated
    ltas_fft: int = 2048
    ltas_batches: int = 100  # over which the average spectrum is measured (published)
    spread_batches: int = 40  # and the spread of each bin, for the compact network

    def changed(self, overrides: Mapping[str, str]) -> TrainingSettings:
        """These settings with some replaced, by name as `augmentation.gain_db`, from text."""
        settings = self
        for name, text in overrides.items():
            settings = with_value(settings, name, name, text)
        settings.check()
        return settings

    def check(self) -> None:
        noise, levelling = self.noise, self.levelling
        rules = {
            "batch": 1 <= self.batch <= 2**16,
            "seed": 0 <= self.seed < 2**63,
            "learning_rate": 0 < self.learning_rate < 10,
            "muon_rate": self.muon_rate is None or 0 < self.muon_rate < 10,
            "beta1": 0 <= self.beta1 < 1,
            "beta2": 0 <= self.beta2 < 1,
            "warmup": self.warmup >= 0,
            "clip": self.clip > 0,
            "average_decay": 0 <= self.average_decay < 1,
            "average_ramp": self.average_ramp is None or self.average_ramp > 0,
            "noise.lowest": 0 < noise.lowest < noise.highest,
            "noise.rho": noise.rho is None or noise.rho >= 0.1,
            "noise.recorded": 0 <= noise.recorded <= 1,
            "levelling.corpus_level": levelling.corpus_level is None or levelling.corpus_level > 0,
            "levelling.context_seconds": levelling.context_seconds > 0,
            "levelling.quietest": levelling.quietest > 0,
            "augmentation.pitch_semitones": abs(self.augmentation.pitch_semitones) <= 24,
            "augmentation.bumps": 0 <= self.augmentation.bumps <= 64,
            "octave_weights": not self.octave_weights or min(self.octave_weights) >= 0 < sum(self.octave_weights),
            "ltas_fft": 64 <= self.ltas_fft <= 2**17 and self.ltas_fft & (self.ltas_fft - 1) == 0,
            "ltas_batches": self.ltas_batches >= 1,
            "spread_batches": self.spread_batches >= 1,
        }
        if broken := [name for name, holds in rules.items() if not holds]:
            raise RestorationError(f"Training cannot work with this {', '.join(broken)}. Leave it at its default.")


PIANO_TRAINING = TrainingSettings()
VOICE_TRAINING = TrainingSettings(
    warmup=100,
    noise=NoiseLevels(lowest=1e-3, highest=100.0),
    levelling=Levelling(by="crop"),
    augmentation=Augmentation(gain_db=3.0),
    weighted=True,
    shortest_seconds=1.0,
    ltas_fft=4096,
)
# Ours, found on two cores in minutes; neither rate was searched for at length.
COMPACT_TRAINING = TrainingSettings(
    batch=8,
    learning_rate=2e-3,
    beta2=0.99,
    muon_rate=0.02,
    warmup=100,
    average_decay=0.998,
    average_ramp=None,
    noise=NoiseLevels(lowest=5e-5, highest=1.0, rho=None, stratified=True, recorded=0.6),
    levelling=Levelling(by="context", quietest=1e-3, quietest_share=0.03),
    augmentation=Augmentation(gain_spread_db=3.0, flip=True, pitch_semitones=0.5, tilt_db=1.0, bumps=2, bump_db=1.5),
    # The lowest octaves hold little music; what is lost in old recordings is at the top.
    octave_weights=(0.3, 0.6, 1.0, 1.0, 1.0, 1.2, 1.5, 1.3),
)

MODELS = {
    "piano": Model(
        Architecture((64, 96, 96, 128, 128, 256, 256), (2, 3, 4, 5, 6, 7, 7), bins_per_octave=64),
        sample_rate=22050,
        segment=184184,
        sigma_data=0.063,
    ),
    "voice": Model(
        Architecture((32, 32, 64, 64, 128, 128, 256, 256), (1, 3, 4, 5, 5, 6, 6, 7), bins_per_octave=32),
        sample_rate=44100,
        segment=262144,
        sigma_data=1.0,
        column="voice",
    ),
    "compact": Model(
        BandwiseArchitecture((128, 192, 256), (2, 2, 2)),
        sample_rate=22050,
        segment=45056,
        sigma_data=0.08,
        column="compact",
    ),
}


def training_settings(model: Model) -> TrainingSettings:
    """The settings with which a model of this kind is trained from nothing."""
    if isinstance(model.architecture, BandwiseArchitecture):
        return COMPACT_TRAINING
    return VOICE_TRAINING if model.column == "voice" else PIANO_TRAINING


def tuning_settings(model: Model) -> TrainingSettings:
    """The settings with which it is trained further, on other data: as published for one singer's voice."""
    if isinstance(model.architecture, BandwiseArchitecture):
        return replace(COMPACT_TRAINING, learning_rate=5e-4, muon_rate=5e-3)
    of_its_kind = training_settings(model)
    levelling, augmentation = Levelling(by="corpus"), Augmentation(gain_db=3.0)
    return replace(of_its_kind, levelling=levelling, augmentation=augmentation, warmup=100, weighted=False)


def with_value(settings: Any, name: str, full_name: str, text: str) -> Any:
    """A dataclass with the field `name`, or the field of a field, read from text."""
    own, _, rest = name.partition(".")
    hints = get_type_hints(type(settings))
    if own not in hints or is_dataclass(hints[own]) != bool(rest):
        known = ", ".join(setting_names(TrainingSettings()))
        raise RestorationError(f"There is no training setting {full_name!r}. Known settings: {known}.")
    if rest:
        return replace(settings, **{own: with_value(getattr(settings, own), rest, full_name, text)})
    try:
        return replace(settings, **{own: value_of(hints[own], text.strip())})
    except (ValueError, OverflowError):
        raise RestorationError(f"The training setting {full_name} cannot be {text!r}.") from None


def value_of(kind: Any, text: str) -> Any:
    """Text as a value of a field's type."""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"
    if kind is int:
        return int(text)
    if kind is float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    choices = get_args(kind)
    if type(None) in choices:
        return None if text.lower() == "none" else value_of(next(one for one in choices if one is not type(None)), text)
    if kind == tuple[float, ...]:
        return tuple(value_of(float, part) for part in text.split(",") if part)
    if text not in choices:
        raise ValueError
    return text


def setting_names(settings: Any, prefix: str = "") -> list[str]:
    names = []
    for one in fields(settings):
        value = getattr(settings, one.name)
        names += setting_names(value, f"{prefix}{one.name}.") if is_dataclass(value) else [prefix + one.name]
    return names


# Processes


@dataclass(frozen=True)
class Processes:
    """This process among those that share each batch."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that speaks and writes."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """Its items of a batch."""
        return range(self.rank, batch, self.count)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all of them, in place and the same for each."""
        if self.count > 1:
            torch.distributed.all_reduce(tensor)
        return tensor


ALONE = Processes()


# Examples

TRAINING, VALIDATION, SPREAD, SPECTRUM, LEVEL, WEIGHTS = range(6)  # what randomness is for


def generator(seed: int, purpose: int, *place: int) -> np.random.Generator:
    """The one generator for this purpose at this place (iteration, item, ...)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, *place)))


@dataclass(frozen=True, eq=False)
class Examples:
    """Example `item` of iteration `n`, the same whenever it is asked for."""

    corpus: Corpus
    model: Model
    settings: TrainingSettings
    corpus_level: float = 1.0

    def example(self, n: int, item: int) -> Example:
        settings = self.settings
        levels = settings.noise.draw(generator(settings.seed, TRAINING, n), settings.batch)
        clean = self.excerpt(settings.augmentation, TRAINING, n, item, 0)
        return self.with_noise(clean, float(levels[item]), generator(settings.seed, TRAINING, n, item, 1))

    def fixed(self, item: int, count: int) -> Example:
        """One of `count` examples that are never learned from; their noise levels go through all there are."""
        clean = self.excerpt(Augmentation(), VALIDATION, item, 0)
        level = self.settings.noise.at((item + 0.5) / count)
        return self.with_noise(clean, float(level), generator(self.settings.seed, VALIDATION, item, 1))

    def excerpt(self, augmentation: Augmentation, *place: int) -> Signal:
        return self.corpus.excerpt(
            generator(self.settings.seed, *place),
            self.model.segment,
            augmentation,
            self.settings.levelling,
            self.model.sigma_data,
            self.corpus_level,
        )

    def with_noise(self, clean: Signal, level: float, rng: np.random.Generator) -> Example:
        if self._centres is None:
            return white_example(clean, rng, level)
        recorded = self.settings.noise.recorded
        return bandwise_example(clean, rng, level, recorded, self._centres, self.model.sample_rate)

    @cached_property
    def _centres(self) -> Signal | None:
        size = self.model.architecture
        if not isinstance(size, BandwiseArchitecture):
            return None
        return centre_frequencies(self.model.sample_rate, size.octaves, size.bins_per_octave).astype(np.float32)


class Feed:
    """One process's part of every batch, made ahead of time by threads; what it holds does not depend on them."""

    def __init__(self, examples: Examples, items: Sequence[int], parts: int, workers: int) -> None:
        """The `items` of each batch are handed out in so many parts."""
        self._examples, self._items, self._parts = examples, items, parts
        self._pool = ThreadPoolExecutor(workers, "examples") if workers else None
        self._coming: dict[int, list[Future[Example]]] = {}

    def batches(self, n: int, device: torch.device, ahead: int = 2) -> Iterator[Batch]:
        made = self._made(n, ahead)
        for part in np.array_split(np.arange(len(made)), min(self._parts, len(made))):
            yield Batch.of([made[i] for i in part], device)

    def _made(self, n: int, ahead: int) -> list[Example]:
        if self._pool is None:
            return [self._examples.example(n, item) for item in self._items]
        for later in range(n, n + 1 + ahead):
            if later not in self._coming:
                work = [self._pool.submit(self._examples.example, later, item) for item in self._items]
                self._coming[later] = work
        return [future.result() for future in self._coming.pop(n)]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def corpus_level(examples: Examples) -> float:
    """The number by which all excerpts are divided, where one is."""
    levelling = examples.settings.levelling
    if levelling.by != "corpus":
        return 1.0
    if levelling.corpus_level is not None:
        return levelling.corpus_level
    raw = replace(examples.settings, levelling=replace(levelling, by="none"))
    untouched = replace(examples, settings=raw)
    return float(np.mean([untouched.excerpt(Augmentation(), LEVEL, i).std() for i in range(LEVEL_EXCERPTS)]))


def average_spectrum(examples: Examples) -> Tensor:
    """The long-term average spectrum (ltas_fft / 2 + 1,) of what is learned from, at its level: power."""
    settings, total = examples.settings, torch.zeros(examples.settings.ltas_fft // 2 + 1)
    loud = Augmentation(gain_db=settings.augmentation.gain_db)
    for n in range(settings.ltas_batches):
        excerpts = [examples.excerpt(loud, SPECTRUM, n, item) for item in range(settings.batch)]
        total += spectrum(torch.from_numpy(np.stack(excerpts)), settings.ltas_fft)
    return total / settings.ltas_batches


def spectrum(x: Tensor, fft: int) -> Tensor:
    """x (B, T) -> (fft / 2 + 1,), in the frames of the published reference."""
    return ltas(x, fft, fft, fft // 4)


def measured_spread(examples: Examples, transform: FoldedConstantQ) -> Tensor:
    """The standard deviation of the music in each bin (K,), with all that is done to it in training."""
    settings, powers = examples.settings, torch.zeros(len(transform.centres))
    for n in range(settings.spread_batches):
        excerpts = [examples.excerpt(settings.augmentation, SPREAD, n, item) for item in range(settings.batch)]
        powers += bin_powers(transform, torch.from_numpy(np.stack(excerpts)).to(transform.window.device)).cpu()
    return spread_of(powers / settings.spread_batches)


# The step


@dataclass(frozen=True)
class Step:
    """What came of one iteration; sums are over this process's share of its batch."""

    told: Tensor  # see `Tally`
    gradient_norm: float
    learned: bool  # the gradient was made of numbers
    flags: Tensor  # the sum over the processes of what each passed to `Trainer.step`


class Trainer:
    """A network, its average, its optimisers, and what one iteration does to them."""

    def __init__(
        self,
        model: Model,
        settings: TrainingSettings,
        network: Network,
        *,
        device: str | torch.device = "cpu",
        precision: str = "float32",
        compiled: bool = False,
        save_memory: bool = False,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.settings, self.processes = model, settings, processes
        self.device = torch.device(device)
        self.network = network.to(self.device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.iteration = self.skipped = self.failures = 0
        self.weight: LossWeight | None = None
        if settings.weighted and isinstance(network, CQTDiffPlus):
            seeded = torch.Generator().manual_seed(int(generator(settings.seed, WEIGHTS, 1).integers(2**62)))
            self.weight = LossWeight(seeded).to(self.device)
        self.objective = self._objective()
        self.learning = dict(self.network.named_parameters())
        self.learning = {name: one for name, one in self.learning.items() if one.requires_grad}
        self.optimisers = self._optimisers()
        self.lowers = precision == "bfloat16"
        self.forward = _callable(self.network, precision, compiled, save_memory)
        self.forward_average = _callable(self.average, precision, False, False)

    def _objective(self) -> Objective:
        transform = build_transform(self.model, self.model.segment).to(self.device)
        if isinstance(transform, ConstantQ):
            return PublishedObjective(transform, self.model.sigma_data, self.weight)
        size = self.model.architecture
        assert isinstance(size, BandwiseArchitecture)
        weights = self.settings.octave_weights or (1.0,)
        # Told for eight octaves, of which a smaller network has the highest.
        weights = (weights[:1] * size.octaves + weights)[-size.octaves :]
        return BandwiseObjective(transform, size.octaves, size.bins_per_octave, weights)

    def _optimisers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        """Each with its rate."""
        settings = self.settings
        hidden = set(hidden_matrices(self.network)) if settings.muon_rate is not None else set()
        rest = [parameter for name, parameter in self.learning.items() if name not in hidden]
        rest += [] if self.weight is None else list(self.weight.parameters())
        adam = torch.optim.Adam(rest, settings.learning_rate, (settings.beta1, settings.beta2), eps=1e-8)
        if not hidden or settings.muon_rate is None:
            return [(adam, settings.learning_rate)]
        muon = Muon([self.learning[name] for name in self.learning if name in hidden], settings.muon_rate)
        return [(adam, settings.learning_rate), (muon, settings.muon_rate)]

    def step(self, batches: Iterator[Batch], slowing: float = 1.0, flags: Tensor | None = None) -> Step:
        """One iteration on this process's share of a batch, in parts; `slowing` is a factor for the learning rates.

        What the processes pass as `flags` is added up beside their gradients, so that all of them know it.
        """
        self.network.zero_grad()
        if self.weight is not None:
            self.weight.zero_grad()
        tally = Tally(self.settings.noise, self.device)
        for batch in batches:
            with self._in_precision(self.network):
                losses = self.objective(self.forward, batch)
                (losses.minimised.sum() / self.settings.batch).backward()
            tally.add(losses, batch.level)
        flags = self._total_gradients(torch.zeros(1) if flags is None else flags)
        norm = float(nn.utils.clip_grad_norm_(list(self.learning.values()), self.settings.clip))
        learned = math.isfinite(norm)
        if learned:
            self._move(slowing)
        self.skipped, self.failures = self.skipped + (not learned), 0 if learned else self.failures + 1
        self.iteration += 1
        if self.failures >= MOST_FAILURES:
            raise RestorationError(
                f"In {MOST_FAILURES} iterations in a row the gradient was not made of finite numbers. Go on from the "
                "last state with a lower learning_rate, or in float32."
            )
        return Step(tally.sums, norm, learned, flags)

    def _total_gradients(self, flags: Tensor) -> Tensor:
        if self.processes.count == 1:
            return flags
        parameters = list(self.learning.values()) + (list(self.weight.parameters()) if self.weight else [])
        for parameter in parameters:
            if parameter.grad is None:  # none of its items reached it
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        row = torch.cat([*(gradient.reshape(-1) for gradient in gradients), flags.to(self.device)])
        self.processes.total(row)
        for gradient, total in zip(
            gradients, row.split([*(one.numel() for one in gradients), len(flags)]), strict=False
        ):
            gradient.copy_(total.view(gradient.shape))
        return row[len(row) - len(flags) :].cpu()

    def _move(self, slowing: float) -> None:
        """One step of the optimisers, and of the average after them."""
        n, settings = self.iteration, self.settings
        warm = min(n / settings.warmup, 1.0) if settings.warmup else 1.0
        for optimiser, rate in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * warm * slowing
            optimiser.step()
        decay = average_decay(settings, n)
        with torch.no_grad():
            averages = dict(self.average.named_parameters())
            for name, parameter in self.learning.items():
                averages[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def losses(self, batch: Batch) -> Losses:
        """How wrong the averaged network is."""
        with self._in_precision(self.average):
            return self.objective(self.forward_average, batch)

    def _in_precision(self, network: Network) -> AbstractContextManager[None]:
        """The compact network lowers itself."""
        return in_bfloat16(network) if self.lowers and isinstance(network, CQTDiffPlus) else nullcontext()

    def tensors(self) -> dict[str, Tensors]:
        """Everything a step changes."""
        moments = {
            f"{kind}:{name}": value
            for name, (optimiser, parameter) in self._homes().items()
            for kind, value in optimiser.state[parameter].items()
        }
        weight = {} if self.weight is None else {"weight": dict(self.weight.state_dict())}
        return {
            "network": dict(self.network.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimiser": moments,
            **weight,
        }

    def restore(self, tensors: dict[str, Tensors], iteration: int, skipped: int) -> None:
        """The inverse of `tensors`."""
        try:
            self.network.load_state_dict(tensors["network"])
            self.average.load_state_dict(tensors["average"])
            if self.weight is not None and "weight" in tensors:
                self.weight.load_state_dict(tensors["weight"])
            homes = self._homes()
            for key, value in tensors["optimiser"].items():
                kind, _, name = key.partition(":")
                optimiser, parameter = homes[name]
                like = torch.zeros_like(parameter) if value.shape == parameter.shape else torch.zeros_like(value)
                optimiser.state[parameter][kind] = like.copy_(value)
        except (RuntimeError, KeyError):
            raise RestorationError(
                "The state in this folder is of another network or another optimiser. Choose another output folder."
            ) from None
        self.iteration, self.skipped, self.failures = iteration, skipped, 0

    def _homes(self) -> dict[str, tuple[torch.optim.Optimizer, Tensor]]:
        """By name every parameter that learns, and the optimiser that moves it."""
        named = dict(self.learning)
        if self.weight is not None:
            named |= {f"weight.{name}": one for name, one in self.weight.named_parameters()}
        place = {id(one): optimiser for optimiser, _ in self.optimisers for one in optimiser.param_groups[0]["params"]}
        return {name: (place[id(one)], one) for name, one in named.items()}


def average_decay(settings: TrainingSettings, n: int) -> float:
    """How much of the average stays in iteration n."""
    if settings.average_ramp is None:
        return min(settings.average_decay, (n + 1) / (n + 10))
    heard = n * settings.batch
    return min(heard / settings.average_ramp, settings.average_decay)


def _callable(network: Network, precision: str, compiled: bool, save_memory: bool) -> Callable[..., list[Tensor]]:
    """The network as it is to be computed."""
    if isinstance(network, BandwiseUNet):
        network.set_dtype(getattr(torch, precision))
        return torch.compile(network) if compiled else network
    network.save_memory = save_memory
    if compiled:
        network.compile_pointwise()
    return network


def new_network(model: Model, seed: int) -> Network:
    """A network that has learned nothing yet, the same for the same seed."""
    # Torch's layers draw from the global generator, which is put back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(seed, WEIGHTS, 0).integers(2**62)))
        network = build_network(model)
    if isinstance(network, CQTDiffPlus):
        initialise_as_published(network)
    return network


class Tally:
    """Sums to tell of, kept on the device: count, minimised, error; per band error and count; per octave error."""

    def __init__(self, noise: NoiseLevels, device: torch.device) -> None:
        self._lowest, self._octaves = math.log(noise.lowest), math.log(noise.highest / noise.lowest)
        self.sums = torch.zeros(3 + 2 * BANDS, device=device)

    def add(self, losses: Losses, level: Tensor) -> None:
        error = losses.error.detach().float()
        band = ((level.log() - self._lowest) / self._octaves * BANDS).long().clamp(0, BANDS - 1)
        errors, counts = (
            torch.zeros(BANDS, device=error.device).index_add(0, band, one) for one in (error, torch.ones_like(error))
        )
        count = torch.full((1,), float(len(error)), device=error.device)
        parts = [count, losses.minimised.detach().float().sum()[None], error.sum()[None], errors, counts]
        if losses.octaves is not None:
            parts.append(losses.octaves.detach().float().sum(dim=0))
        sums = torch.cat(parts)
        self.sums = sums + nn.functional.pad(self.sums, (0, len(sums) - len(self.sums)))


@dataclass(frozen=True)
class Told:
    """A tally's means."""

    loss: float
    error: float
    levels: tuple[float | None, ...]  # of each band of noise levels, lowest first; None where none fell
    octaves: tuple[float, ...]  # lowest first, for the compact network

    @classmethod
    def of(cls, sums: Tensor) -> Told:
        count, loss, error, *rest = sums.tolist()
        errors, counts, octaves = rest[:BANDS], rest[BANDS : 2 * BANDS], rest[2 * BANDS :]
        levels = tuple(e / c if c else None for e, c in zip(errors, counts, strict=True))
        return cls(loss / count, error / count, levels, tuple(one / count for one in octaves))
