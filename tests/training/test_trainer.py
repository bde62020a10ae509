"""The step that changes a network: the published one number for number, ours by what it must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from classroom import COMPACT, PUBLISHED, RATE, SHORT_PUBLISHED, shard
from conftest import SMALL, Vectors, deviation, filled

from babe2 import RestorationError
from babe2.config import Model
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.models import MODELS
from babe2.training.corpus import Corpus, Levelling, gather
from babe2.training.examples import Examples, Feed, average_spectrum, corpus_level, measured_spread, spectrum
from babe2.training.noise import Batch
from babe2.training.objective import Losses, LossWeight, PublishedObjective
from babe2.training.settings import (
    COMPACT_TRAINING,
    PIANO_TRAINING,
    VOICE_TRAINING,
    TrainingSettings,
    average_decay,
    setting_names,
    training_settings,
    tuning_settings,
)
from babe2.training.trainer import MOST_FAILURES, Means, Processes, Trainer, new_network

CPU = torch.device("cpu")
RECORDED = replace(PIANO_TRAINING, batch=2, warmup=4, average_ramp=10)
WATCHED = ("downs.1.2.H.0.weight", "ups.0.1.gate.0.bias", "middle.0.1.norm.0.gamma")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("data")
    for i in range(2):
        shard(folder / f"{i}.npy", seed=i)
    return gather([folder], RATE, 1.0)


def recorded_trainer(settings: TrainingSettings = RECORDED) -> Trainer:
    network = CQTDiffPlus(SMALL)
    learning = {name: one.requires_grad for name, one in network.named_parameters()}
    filled(network, 2000)
    for name, one in network.named_parameters():
        one.requires_grad_(learning[name])
    return Trainer(PUBLISHED, settings, network)


def recorded_batches(recorded: Vectors, data: torch.Tensor) -> Iterator[Batch]:
    for clean, noise, sigma in zip(data[4:], recorded["noise"], recorded["sigma"], strict=True):
        yield Batch(clean, noise * sigma, sigma, sigma[:, 0])


def trainer_of(model: Model, settings: TrainingSettings, seed: int = 0) -> Trainer:
    trainer = Trainer(model, settings, new_network(model, seed))
    if isinstance(trainer.network, BandwiseUNet):
        for network in (trainer.network, trainer.average):
            assert isinstance(network, BandwiseUNet)
            network.spread.fill_(0.05)
    return trainer


def taught(trainer: Trainer, corpus: Corpus, iterations: int, parts: int = 1) -> list[float]:
    feed = Feed(Examples(corpus, trainer.model, trainer.settings), range(trainer.settings.batch), parts, 0)
    return [
        Means.of(trainer.step(feed.batches(trainer.iteration, CPU)).sums).error
        for _ in range(trainer.iteration, trainer.iteration + iterations)
    ]


# The published step


def test_four_iterations_are_the_published_ones(vectors: Callable[[str], Vectors]) -> None:
    recorded, trainer = vectors("train_plain"), recorded_trainer()
    for n, batch in enumerate(recorded_batches(recorded, recorded["data"])):
        step = trainer.step(iter([batch]))
        assert Means.of(step.sums).loss == pytest.approx(float(recorded["loss"][n]), rel=1e-4)  # as stated
        assert step.gradient_norm == pytest.approx(float(recorded["grad_norm"][n]), rel=1e-4)
        for kind, network in (("net", trainer.network), ("ema", trainer.average)):
            for name in WATCHED:
                found, expected = network.state_dict()[name], recorded[f"step{n}_{kind}_{name}"]
                assert (found - expected).abs().max() < 1e-6  # stated 1e-5, measured 3e-7


class AsPublished(PublishedObjective):
    """Weighs every example by every other's noise level, as the published program does."""

    def __call__(self, network: Callable[..., list[torch.Tensor]], batch: Batch) -> Losses:
        error = PublishedObjective(self.transform, self.sigma_data)(network, batch).error
        assert self.weight is not None
        expected = self.weight(batch.sigma.log() / 4)
        return Losses(error.mean() * (-expected).exp() + expected, error)


def test_weighted_iterations_are_the_published_ones_where_the_weights_are_mixed_up(
    vectors: Callable[[str], Vectors],
) -> None:
    recorded, trainer = vectors("train_lossmlp"), recorded_trainer(replace(RECORDED, weighted=True))
    weight, objective = trainer.weight, trainer.objective
    assert weight is not None and isinstance(objective, PublishedObjective)
    known = recorded.named("lossmlp.")
    weight.load_state_dict({"w": known["weight"], "phase": known["phase"], "linear.weight": known["linear.weight"]})
    trainer.objective = AsPublished(objective.transform, objective.sigma_data, weight)
    for n, batch in zip(range(2), recorded_batches(recorded, vectors("train_plain")["data"]), strict=False):
        means = Means.of(trainer.step(iter([batch])).sums)
        assert means.loss == pytest.approx(float(recorded["loss"][n]), rel=1e-4)
        assert means.error == pytest.approx(float(recorded["err_mean"][n]), rel=1e-4)
        for name in WATCHED:
            found, expected = trainer.network.state_dict()[name], recorded[f"step{n}_net_{name}"]
            assert (found - expected).abs().max() < 1e-5


def test_the_reference_spectrum_is_the_published_one(vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("train_plain")
    found = torch.stack([spectrum(batch, 1024) for batch in recorded["data"][:4]]).mean(dim=0)
    assert deviation(found, recorded["ltas"]) < 1e-5


def test_the_columns_are_the_published_ones() -> None:
    noise = {name: (one.noise.lowest, one.noise.highest, one.noise.rho) for name, one in COLUMNS.items()}
    assert noise == {"piano": (1e-5, 10.0, 10.0), "voice": (1e-3, 100.0, 10.0)}
    assert [one.warmup for one in COLUMNS.values()] == [10_000, 100]
    for settings in COLUMNS.values():
        assert (settings.batch, settings.learning_rate, settings.clip) == (4, 2e-4, 1.0)
    assert VOICE_TRAINING.weighted and VOICE_TRAINING.augmentation.gain_db == 3
    for name, settings in {**COLUMNS, "compact": COMPACT_TRAINING}.items():
        assert training_settings(MODELS[name]) is settings
    assert tuning_settings(MODELS["voice"]).levelling.by == "corpus"


COLUMNS = {"piano": PIANO_TRAINING, "voice": VOICE_TRAINING}


@pytest.mark.parametrize(("n", "kept"), [(0, 0.0), (1250, 0.5), (2499, 0.9996), (5000, 0.9999)])
def test_the_published_average_slows_down_over_ten_thousand_excerpts(n: int, kept: float) -> None:
    assert average_decay(PIANO_TRAINING, n) == pytest.approx(kept)


def test_our_average_reaches_back_a_tenth_of_the_run() -> None:
    assert [average_decay(COMPACT_TRAINING, n) for n in (0, 89, 10**6)] == pytest.approx([0.1, 90 / 99, 0.998])


# Learning


def test_training_lowers_the_loss_of_the_compact_network(corpus: Corpus) -> None:
    settings = replace(COMPACT_TRAINING, warmup=0, batch=4, muon_rate=0.1, learning_rate=1e-2)
    losses = learned_by_heart(trainer_of(COMPACT, settings), corpus, 10)
    assert losses[-1] < 0.9 * losses[0]


def test_training_lowers_the_loss_of_the_published_network(corpus: Corpus) -> None:
    settings = replace(PIANO_TRAINING, warmup=0, learning_rate=1e-2, batch=1)
    losses = learned_by_heart(trainer_of(SHORT_PUBLISHED, settings), corpus, 4)
    assert losses[-1] < 0.9 * losses[0]


def learned_by_heart(trainer: Trainer, corpus: Corpus, iterations: int) -> list[float]:
    """The losses when one batch comes again and again."""
    examples = Examples(corpus, trainer.model, trainer.settings)
    batch = Batch.of([examples.example(0, item) for item in range(trainer.settings.batch)], CPU)
    return [Means.of(trainer.step(iter([batch])).sums).error for _ in range(iterations)]


def test_parts_of_a_batch_teach_what_the_whole_one_does(corpus: Corpus) -> None:
    settings = replace(COMPACT_TRAINING, warmup=0, muon_rate=None, learning_rate=1e-3)
    whole, parted = (trainer_of(COMPACT, settings) for _ in range(2))
    taught(whole, corpus, 2)
    taught(parted, corpus, 2, parts=3)
    assert_near(whole, parted)


def assert_near(one: Trainer, other: Trainer) -> None:
    """Within rounding: Adam's first steps make every gradient, however small, as large as the next."""
    for name, expected in one.learning.items():
        # Where a gradient is nearly nothing its sign is rounding's, and so is the direction of a step of 1e-3.
        far = (other.learning[name] - expected).abs().detach() > 1e-4
        assert far.float().mean() < 0.02, name


def test_muon_and_bfloat16_learn_together(corpus: Corpus) -> None:
    settings = replace(COMPACT_TRAINING, warmup=0)
    trainer = Trainer(COMPACT, settings, new_network(COMPACT, 0), precision="bfloat16")
    losses = taught(trainer, corpus, 3)
    assert np.isfinite(losses).all() and trainer.skipped == 0 and len(trainer.optimisers) == 2


def test_a_gradient_that_is_no_number_changes_nothing_and_many_end_the_run() -> None:
    trainer = trainer_of(COMPACT, COMPACT_TRAINING)
    bins = len(trainer.network.spread)  # type: ignore[union-attr, arg-type]
    broken = Batch(torch.full((1, 4096), torch.nan), torch.zeros(1, 4096), torch.full((1, bins), 0.1), torch.ones(1))
    before = {name: one.clone() for name, one in trainer.network.state_dict().items()}
    assert not trainer.step(iter([broken])).learned
    assert (trainer.skipped, trainer.iteration) == (1, 1)
    assert all(torch.equal(before[name], one) for name, one in trainer.network.state_dict().items())
    with pytest.raises(RestorationError, match="in a row"):
        for _ in range(MOST_FAILURES):
            trainer.step(iter([broken]))


def test_what_a_step_changes_is_told_and_taken_back(corpus: Corpus) -> None:
    settings = replace(COMPACT_TRAINING, warmup=0)
    one, other = trainer_of(COMPACT, settings), trainer_of(COMPACT, settings, seed=9)
    taught(one, corpus, 2)
    other.restore(one.tensors(), one.iteration, one.skipped)
    taught(one, corpus, 2)
    taught(other, corpus, 2)
    assert_equal(one.tensors(), other.tensors())


@pytest.mark.parametrize(("before", "after"), [(0.02, None), (None, 0.02)], ids=["muon to adam", "adam to muon"])
def test_another_optimiser_begins_without_the_memory_of_the_one_before(
    before: float | None, after: float | None, corpus: Corpus
) -> None:
    one, other = (trainer_of(COMPACT, replace(COMPACT_TRAINING, muon_rate=rate)) for rate in (before, after))
    taught(one, corpus, 1)
    other.restore(one.tensors(), one.iteration, one.skipped)
    assert np.isfinite(taught(other, corpus, 1)).all()
    kinds = {name.partition(":")[0] for name in other.tensors()["optimiser"]}
    assert ("momentum_buffer" in kinds) == (after is not None)


def assert_equal(one: dict[str, dict[str, torch.Tensor]], other: dict[str, dict[str, torch.Tensor]]) -> None:
    assert one.keys() == other.keys()
    for kind, tensors in one.items():
        assert tensors.keys() == other[kind].keys()
        assert all(torch.equal(value, other[kind][name]) for name, value in tensors.items()), kind


def test_a_state_of_another_network_is_refused() -> None:
    with pytest.raises(RestorationError, match="another network"):
        trainer_of(COMPACT, COMPACT_TRAINING).restore(recorded_trainer().tensors(), 0, 0)


def test_new_networks_follow_their_seed_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (new_network(COMPACT, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["stems.0.weight"], other["stems.0.weight"])


# Examples


@pytest.mark.parametrize("model", [COMPACT, PUBLISHED])
def test_an_example_is_the_same_whenever_it_is_asked_for(model: Model, corpus: Corpus) -> None:
    examples = Examples(corpus, model, training_settings(model))
    first = examples.example(7, 1)
    examples.example(3, 0)
    again, other = examples.example(7, 1), examples.example(7, 2)
    assert np.array_equal(first.clean, again.clean) and np.array_equal(first.noise, again.noise)
    assert not np.array_equal(first.noise, other.noise) and first.level == again.level != other.level
    assert first.clean.shape == first.noise.shape == (model.segment,)


def test_threads_change_nothing(corpus: Corpus) -> None:
    examples = Examples(corpus, COMPACT, replace(COMPACT_TRAINING, batch=5))
    alone, threaded = Feed(examples, range(5), 2, 0), Feed(examples, range(5), 2, 3)
    for n in (4, 5, 6):
        pairs = list(zip(alone.batches(n, CPU), threaded.batches(n, CPU), strict=True))
        assert [len(one.clean) for one, _ in pairs] == [3, 2]
        assert all(torch.equal(one.noise, other.noise) and torch.equal(one.clean, other.clean) for one, other in pairs)
    threaded.close()


def test_processes_share_every_item_once() -> None:
    shared = [item for rank in range(3) for item in Processes(rank, 3).share(8)]
    assert sorted(shared) == list(range(8)) and Processes(0, 3).leads and not Processes(1, 3).leads


def test_held_out_examples_go_through_all_levels_and_are_never_changed(corpus: Corpus) -> None:
    examples = Examples(corpus, COMPACT, COMPACT_TRAINING)
    levels = [examples.fixed(i, 8).level for i in range(8)]
    assert np.diff(np.log(levels)) == pytest.approx([np.log(5e-5) / 8] * 7)
    assert np.array_equal(examples.fixed(3, 8).noise, examples.fixed(3, 8).noise)


def test_what_is_measured_of_a_corpus(corpus: Corpus) -> None:
    quick = replace(COMPACT_TRAINING, ltas_batches=4, spread_batches=6, ltas_fft=1024)
    examples = Examples(corpus, COMPACT, quick)
    power = average_spectrum(examples)
    hertz = torch.linspace(0, RATE / 2, 513)
    assert power.shape == (513,) and power[(hertz > 200) & (hertz < 600)].mean() > 30 * power[hertz > 3500].mean()
    transform = trainer_of(COMPACT, quick).objective.transform  # type: ignore[attr-defined]
    spread, centres = measured_spread(examples, transform), torch.from_numpy(transform.centres)
    assert spread[(centres > 200) & (centres < 600)].mean() > 5 * spread[centres > 3500].mean()
    divided = replace(examples, settings=replace(quick, levelling=Levelling(by="corpus")))
    assert corpus_level(divided) == pytest.approx(0.1, rel=0.2)  # that of `tune`
    assert corpus_level(replace(divided, settings=replace(quick, levelling=Levelling("corpus", 0.04)))) == 0.04
    assert corpus_level(examples) == 1.0


def test_the_published_transform_is_what_the_small_network_was_recorded_in() -> None:
    assert isinstance(recorded_trainer().objective.transform, ConstantQ)  # type: ignore[attr-defined]
    assert isinstance(recorded_trainer(replace(RECORDED, weighted=True)).weight, LossWeight)


# Settings


def test_settings_are_changed_by_name() -> None:
    changed = COMPACT_TRAINING.changed(
        {
            "batch": "3",
            "augmentation.gain_db": "2.5",
            "augmentation.flip": "false",
            "noise.rho": "7",
            "muon_rate": "none",
            "octave_weights": "1,2,3",
            "levelling.by": "crop",
        }
    )
    assert (changed.batch, changed.augmentation.gain_db, changed.augmentation.flip) == (3, 2.5, False)
    assert (changed.noise.rho, changed.muon_rate, changed.octave_weights) == (7.0, None, (1.0, 2.0, 3.0))
    assert changed.levelling == replace(COMPACT_TRAINING.levelling, by="crop")
    assert "augmentation.gain_db" in setting_names(changed)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("batches", "3", "no training setting 'batches'"),
        ("noise", "3", "no training setting"),
        ("batch.size", "3", "no training setting"),
        ("noise.colour", "3", "no training setting"),
        ("batch", "three", "cannot be 'three'"),
        ("batch", "0", "cannot work with this batch"),
        ("noise.lowest", "20", "noise.lowest"),
        ("learning_rate", "nan", "cannot be"),
        ("levelling.by", "ear", "cannot be 'ear'"),
        ("weighted", "maybe", "cannot be"),
    ],
)
def test_wrong_settings_are_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(RestorationError, match=said):
        PIANO_TRAINING.changed({name: text})


def test_cqtdiff_is_not_trained() -> None:
    with pytest.raises(RestorationError, match="there to restore with, not to be trained"):
        new_network(MODELS["cqtdiff-22k"], 0)
