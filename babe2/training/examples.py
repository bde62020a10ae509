"""What a network learns from: excerpts, and what is measured of them all beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.distributed
from torch import Tensor

from babe2.config import BandwiseArchitecture, Model
from babe2.dsp.spectra import ltas
from babe2.networks.folded_cqt import FoldedConstantQ, centre_frequencies
from babe2.training.augmentation import Augmentation, Signal
from babe2.training.corpus import Corpus
from babe2.training.objective import (
    Batch,
    Example,
    bandwise_example,
    bin_powers,
    spread_of,
    white_example,
)
from babe2.training.settings import TrainingSettings

LEVEL_EXCERPTS = 300  # whose mean standard deviation stands for a corpus (published)


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
