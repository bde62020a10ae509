"""One training step: what an iteration does to a network, to its averaged weights and to the optimisers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn

from babe2.config import BandwiseArchitecture, MatrixArchitecture, Model
from babe2.cqt import ConstantQ
from babe2.errors import RestorationError
from babe2.network import CQTDiffPlus
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import FoldedConstantQ
from babe2.networks.models import Network, build_network, build_transform
from babe2.networks.spectral import SpectralUNet
from babe2.training.muon import Muon
from babe2.training.noise import Batch, NoiseLevels
from babe2.training.objective import (
    BandwiseObjective,
    Losses,
    LossWeight,
    Objective,
    PublishedObjective,
    hidden_matrices,
    in_bfloat16,
    initialise_as_published,
)
from babe2.training.randomness import Purpose, torch_seed
from babe2.training.settings import TrainingSettings, average_decay
from babe2.training.state import Tensors

BANDS = 4  # of noise levels, over which errors are reported apart
MOST_FAILURES = 20  # iterations in a row whose gradients are not finite
MOMENTS = {torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"), Muon: ("momentum_buffer",)}  # what each remembers


@dataclass(frozen=True)
class Processes:
    """This process's place among those that share each batch."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that reports and writes."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """Returns this process's items of a batch."""
        return range(self.rank, batch, self.count)

    def total(self, tensor: Tensor) -> Tensor:
        """Adds up a tensor over all processes, in place."""
        if self.count > 1:
            torch.distributed.all_reduce(tensor)
        return tensor


ALONE = Processes()


@dataclass(frozen=True)
class Step:
    """The result of one iteration, over this process's share of its batch."""

    sums: Tensor  # see `Tally`
    gradient_norm: float
    learned: bool  # whether the gradient was finite, so that the weights were changed
    flags: Tensor  # the sum over the processes of what each passed to `Trainer.step`


class Trainer:
    """A network that learns, with its averaged weights and its optimisers."""

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
            seeded = torch.Generator().manual_seed(torch_seed(settings.seed, Purpose.WEIGHTS, 1))
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
        assert isinstance(size, BandwiseArchitecture) and isinstance(transform, FoldedConstantQ)
        weights = self.settings.octave_weights or (1.0,)
        # The settings are for eight octaves; a smaller network has the highest of them.
        weights = (weights[:1] * size.octaves + weights)[-size.octaves :]
        return BandwiseObjective(transform, size.octaves, size.bins_per_octave, weights)

    def _optimisers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        """Each optimiser with its learning rate."""
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
        """Does one iteration on this process's share of a batch, given in parts.

        `slowing` is a factor for the learning rates. The `flags` of all processes are added up with their gradients, so
        that each knows them all.
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
                f"In {MOST_FAILURES} iterations in a row the gradient was not finite. Go on from the "
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
        """Moves the weights by one step of the optimisers, and the averaged weights after them."""
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
        """Returns the averaged network's losses."""
        with self._in_precision(self.average):
            return self.objective(self.forward_average, batch)

    def _in_precision(self, network: Network) -> AbstractContextManager[None]:
        """Inside, the network computes in the wanted precision; the compact network sees to that itself."""
        return in_bfloat16(network) if self.lowers and isinstance(network, CQTDiffPlus) else nullcontext()

    def tensors(self) -> dict[str, Tensors]:
        """Returns every tensor that a step changes, by kind and name."""
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
        """Puts back what `tensors` returned."""
        try:
            self.network.load_state_dict(tensors["network"])
            self.average.load_state_dict(tensors["average"])
            if self.weight is not None and "weight" in tensors:
                self.weight.load_state_dict(tensors["weight"])
            homes = self._homes()
            for key, value in tensors["optimiser"].items():
                kind, _, name = key.partition(":")
                optimiser, parameter = homes[name]
                if kind not in MOMENTS[type(optimiser)]:  # another optimiser moved it before, and this one begins anew
                    continue
                like = torch.zeros_like(parameter) if value.shape == parameter.shape else torch.zeros_like(value)
                optimiser.state[parameter][kind] = like.copy_(value)
        except (RuntimeError, KeyError):
            raise RestorationError(
                "The state in this folder is of another network or another optimiser. Choose another output folder."
            ) from None
        self.iteration, self.skipped, self.failures = iteration, skipped, 0

    def _homes(self) -> dict[str, tuple[torch.optim.Optimizer, Tensor]]:
        """Every parameter that learns, by name, with the optimiser that moves it."""
        named = dict(self.learning)
        if self.weight is not None:
            named |= {f"weight.{name}": one for name, one in self.weight.named_parameters()}
        place = {id(one): optimiser for optimiser, _ in self.optimisers for one in optimiser.param_groups[0]["params"]}
        return {name: (place[id(one)], one) for name, one in named.items()}


def _callable(network: Network, precision: str, compiled: bool, save_memory: bool) -> Callable[..., list[Tensor]]:
    """The network's forward pass in this precision, compiled or not."""
    if isinstance(network, BandwiseUNet):
        network.set_dtype(getattr(torch, precision))
        return torch.compile(network) if compiled else network
    assert isinstance(network, CQTDiffPlus)
    network.save_memory = save_memory
    if compiled:
        network.compile_pointwise()
    return network


def new_network(model: Model, seed: int) -> Network:
    """Returns a network that has learned nothing yet, the same for the same seed."""
    if isinstance(model.architecture, MatrixArchitecture):
        raise RestorationError("CQTdiff is there to restore with, not to be trained. Train compact or piano instead.")
    # Torch's layers draw from the global generator, which is put back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(seed, Purpose.WEIGHTS, 0))
        network = build_network(model)
    assert not isinstance(network, SpectralUNet)  # a denoiser is no prior
    if isinstance(network, CQTDiffPlus):
        initialise_as_published(network)
    return network


class Tally:
    """Sums for the report, kept on the device: count, minimised, error; per band error and count; per octave error."""

    def __init__(self, noise: NoiseLevels, device: torch.device) -> None:
        self._lowest, self._octaves = math.log(noise.lowest), math.log(noise.highest / noise.lowest)
        self.sums = torch.zeros(3 + 2 * BANDS, device=device)

    def add(self, losses: Losses, level: Tensor) -> None:
        """Adds the losses of some examples, whose highest noise levels are level (B,)."""
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
class Means:
    """The means of what a `Tally` summed up."""

    loss: float
    error: float
    levels: tuple[float | None, ...]  # of each band of noise levels, lowest first; None where none fell
    octaves: tuple[float, ...]  # lowest first, for the compact network

    @classmethod
    def of(cls, sums: Tensor) -> Means:
        """Reads the means off the sums."""
        count, loss, error, *rest = sums.tolist()
        errors, counts, octaves = rest[:BANDS], rest[BANDS : 2 * BANDS], rest[2 * BANDS :]
        levels = tuple(e / c if c else None for e, c in zip(errors, counts, strict=True))
        return cls(loss / count, error / count, levels, tuple(one / count for one in octaves))
