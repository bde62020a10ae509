"""What a network learns from: excerpts with noise, and what is measured of all the data beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from babe2.config import BandwiseArchitecture, Model
from babe2.dsp.spectra import ltas
from babe2.networks.folded_cqt import FoldedConstantQ, centre_frequencies
from babe2.training.augmentation import Augmentation, Signal
from babe2.training.corpus import Corpus
from babe2.training.noise import Batch, Example, bandwise_example, white_example
from babe2.training.objective import bin_powers, spread_of
from babe2.training.randomness import Purpose, generator
from babe2.training.settings import TrainingSettings

LEVEL_EXCERPTS = 300  # whose mean standard deviation stands for a corpus (published)


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of a training, each the same whenever it is asked for."""

    corpus: Corpus
    model: Model
    settings: TrainingSettings
    corpus_level: float = 1.0

    def example(self, n: int, item: int) -> Example:
        """Returns one item of iteration n's batch."""
        settings = self.settings
        levels = settings.noise.draw(generator(settings.seed, Purpose.TRAINING, n), settings.batch)
        clean = self.excerpt(settings.augmentation, Purpose.TRAINING, n, item, 0)
        return self._with_noise(clean, float(levels[item]), generator(settings.seed, Purpose.TRAINING, n, item, 1))

    def fixed(self, item: int, count: int) -> Example:
        """Returns one of `count` examples to validate with, unchanged; their noise levels cover all there are."""
        clean = self.excerpt(Augmentation(), Purpose.VALIDATION, item, 0)
        level = self.settings.noise.at((item + 0.5) / count)
        return self._with_noise(clean, float(level), generator(self.settings.seed, Purpose.VALIDATION, item, 1))

    def excerpt(self, augmentation: Augmentation, purpose: Purpose, *place: int) -> Signal:
        """Returns an excerpt (segment,) of the data, without noise."""
        return self.corpus.excerpt(
            generator(self.settings.seed, purpose, *place),
            self.model.segment,
            augmentation,
            self.settings.levelling,
            self.model.sigma_data,
            self.corpus_level,
        )

    def _with_noise(self, clean: Signal, level: float, rng: np.random.Generator) -> Example:
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
    """Makes one process's part of every batch, ahead of time and in threads; the examples do not depend on them."""

    def __init__(self, examples: Examples, items: Sequence[int], parts: int, workers: int) -> None:
        """`items` of each batch are this process's; they are returned in so many parts."""
        self._examples, self._items, self._parts = examples, items, parts
        self._pool = ThreadPoolExecutor(workers, "examples") if workers else None
        self._coming: dict[int, list[Future[Example]]] = {}

    def batches(self, n: int, device: torch.device, ahead: int = 2) -> Iterator[Batch]:
        """Yields the parts of iteration n's batch, and begins with those `ahead`."""
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
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def corpus_level(examples: Examples) -> float:
    """Measures the level of the data, by which all excerpts are divided where the settings say so; 1 elsewhere."""
    levelling = examples.settings.levelling
    if levelling.by != "corpus":
        return 1.0
    if levelling.corpus_level is not None:
        return levelling.corpus_level
    raw = replace(examples.settings, levelling=replace(levelling, by="none"))
    untouched = replace(examples, settings=raw)
    return float(np.mean([untouched.excerpt(Augmentation(), Purpose.LEVEL, i).std() for i in range(LEVEL_EXCERPTS)]))


def average_spectrum(examples: Examples) -> Tensor:
    """Measures the average power spectrum of the data (ltas_fft / 2 + 1,), at the level they have in training."""
    settings, total = examples.settings, torch.zeros(examples.settings.ltas_fft // 2 + 1)
    loud = Augmentation(gain_db=settings.augmentation.gain_db)
    for n in range(settings.ltas_batches):
        excerpts = [examples.excerpt(loud, Purpose.SPECTRUM, n, item) for item in range(settings.batch)]
        total += spectrum(torch.from_numpy(np.stack(excerpts)), settings.ltas_fft)
    return total / settings.ltas_batches


def spectrum(x: Tensor, fft: int) -> Tensor:
    """Returns the average power spectrum (fft / 2 + 1,) of x (B, T), in the frames of the published reference."""
    return ltas(x, fft, fft, fft // 4)


def measured_spread(examples: Examples, transform: FoldedConstantQ) -> Tensor:
    """Measures the standard deviation of the music in each bin (K,), augmented as it is in training."""
    settings, powers = examples.settings, torch.zeros(len(transform.centres))
    for n in range(settings.spread_batches):
        excerpts = [examples.excerpt(settings.augmentation, Purpose.SPREAD, n, item) for item in range(settings.batch)]
        powers += bin_powers(transform, torch.from_numpy(np.stack(excerpts)).to(transform.window.device)).cpu()
    return spread_of(powers / settings.spread_batches)
