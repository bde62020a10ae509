"""A training run in its folder: begun or taken up again, kept, watched, and ended with a checkpoint.

    OUTPUT/model.safetensors, config.json, README.md   the result so far: averaged weights
    OUTPUT/state/                                      from here the run goes on
    OUTPUT/decay/                                      the same, while the learning rates fall to zero at the end
    OUTPUT/log.jsonl, events.out.tfevents.*            what was told on the way; TensorBoard reads the second
    OUTPUT/skipped.json                                data that could not be used, and why
    OUTPUT/checks/                                     restorations of held-out music

A state whose rates have fallen is a dead end: from low rates nothing is learned any more. So the state before is kept
beside it, and a run can always be continued from there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import wave
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from babe2 import checkpoints
from babe2.checkpoints.checkpoint import WEIGHTS
from babe2.degradations.families import ResponseFamily, degrade
from babe2.dsp.distance import at_level, log_spectral_distance
from babe2.errors import RestorationError
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import FoldedConstantQ
from babe2.networks.models import next_length
from babe2.process import versions
from babe2.replacing import write_text
from babe2.restorer import Restorer
from babe2.training import state as saved_state
from babe2.training.corpus import Corpus, credits
from babe2.training.event_log import EventLog
from babe2.training.examples import Examples, Feed, average_spectrum, corpus_level, measured_spread
from babe2.training.objective import BandwiseObjective, Batch
from babe2.training.trainer import Processes, Step, Told, Trainer

log = logging.getLogger(__name__)

CONTINUED, DECAYING = "state", "decay"
VALIDATED = 16  # held-out examples
CHECK_SECONDS = 6.0
FINISHED, OUT_OF_TIME, INTERRUPTED = "finished", "out of time", "interrupted"


@dataclass(frozen=True)
class Plan:
    """How long to go on and how often to tell and keep; nothing here decides on what is learned, but its end."""

    iterations: int
    minutes: float | None = None  # from the start of this process
    decay: int = 0  # iterations at the end over which the learning rates fall to zero
    decay_minutes: float | None = None  # the same by the clock; then `minutes` may be passed by a little
    parts: int = 1  # in which each batch is learned from, for want of memory
    workers: int = 1  # threads that make examples
    save_every: int = 1000  # iterations
    save_minutes: float = 10.0
    log_every: int = 25  # iterations
    check_every: int = 1000  # iterations, where there are held-out data
    restorations: bool = False  # write some of held-out music, too


@dataclass(frozen=True)
class Progress:
    """The means since the last one."""

    iteration: int
    iterations: int
    loss: float  # what is minimised
    error: float  # the same without a learned weight
    levels: tuple[float | None, ...]  # error by noise level, lowest first
    octaves: tuple[float, ...]  # by octave, lowest first
    gradient_norm: float
    slowing: float  # factor of the learning rates in the decay at the end
    items_per_second: float
    hours_heard: float  # of audio, since the run began
    seconds: float  # since the run began
    seconds_left: float
    skipped_steps: int  # since the run began
    validation: float | None = None  # error on held-out examples


@dataclass(frozen=True)
class Decay:
    """The end of a run: its first iteration and how many there are."""

    first: int
    length: int

    def slowing(self, n: int) -> float:
        return max(0.0, 1 - (n - self.first) / self.length)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    end: str
    iteration: int
    loss: float | None
    validation: float | None
    checkpoint: str
    skipped_files: int
    skipped_steps: int


class Run:
    """One process's side of a run."""

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        corpus: Corpus,
        plan: Plan,
        *,
        parent: dict[str, Any] | None = None,
        validation: Corpus | None = None,
        reference: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_remark: Callable[[str], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`parent` is what is said of the checkpoint begun from; `reference` names the data of the average spectrum."""
        self.folder, self.trainer, self.plan, self.parent = folder, trainer, plan, parent
        self.examples = Examples(corpus, trainer.model, trainer.settings)
        self.validation, self.reference = validation, reference
        self.on_progress, self.on_remark = on_progress or (lambda _: None), on_remark or (lambda _: None)
        self.stopping = stopping
        self.began = time.monotonic()
        self.seconds_before = 0.0
        self.decay: Decay | None = None
        self.ltas = torch.empty(0)
        self.last: Progress | None = None
        self._told_bad = -1
        self._went = self.began, 0  # when and at which iteration this process began to learn

    # Beginning

    def begin(self, *, accept_changes: bool = False) -> None:
        """Takes up what is in the folder, or measures the data for a fresh run."""
        state = saved_state.load(self.folder / CONTINUED)
        if state is None:
            if (self.folder / WEIGHTS).exists():
                raise RestorationError(f"{self.folder} holds a checkpoint and no run. Choose another output folder.")
            self._measure()
            return
        self._compare(state, accept_changes)
        state = self._unfinished_decay(state) or state
        self._take_up(state)
        self.on_remark(f"goes on from iteration {self.trainer.iteration} in {self.folder}.")

    def about(self) -> dict[str, Any]:
        """What must not change from one process to the next."""
        facts = {
            "model": asdict(self.trainer.model),
            "settings": asdict(self.trainer.settings),
            "data": self.examples.corpus.fingerprint,
            "parent": self.parent,
        }
        return dict(json.loads(json.dumps(facts)))  # as it is read back

    def _compare(self, state: saved_state.State, accept_changes: bool) -> None:
        before = {name: state.about[name] for name in ("model", "settings", "data", "parent")}
        if different := saved_state.differences(before, self.about()):
            told = "; ".join(different)
            if not accept_changes:
                raise RestorationError(
                    f"The run in {self.folder} was begun otherwise: {told}. Choose another output folder, or go on all "
                    "the same with --accept-changes."
                )
            self.on_remark(f"goes on otherwise than it was begun: {told}.")

    def _unfinished_decay(self, state: saved_state.State) -> saved_state.State | None:
        """The decay that began at this state, if this run is to end with it."""
        begun = saved_state.load(self.folder / DECAYING)
        if begun is None or not (self.plan.decay or self.plan.decay_minutes):
            return None
        decay = Decay(**begun.about["decay"])
        ends = decay.first + decay.length
        same_end = self.plan.decay_minutes is not None or ends == self.plan.iterations
        return begun if decay.first == state.iteration and same_end else None

    def _take_up(self, state: saved_state.State) -> None:
        self.trainer.restore(state.tensors, state.iteration, state.about["skipped_steps"])
        self.ltas = state.tensors["spectrum"]["ltas"]
        self.seconds_before = state.about["seconds"]
        self.decay = Decay(**state.about["decay"]) if state.about["decay"] else None
        self.examples = replace(self.examples, corpus_level=state.about["corpus_level"])

    def _measure(self) -> None:
        self.on_remark(f"measures {self.examples.corpus.hours:.2f} h of data.")
        self.examples = replace(self.examples, corpus_level=corpus_level(self.examples))
        of_reference = self.examples
        if self.reference:
            of_reference = replace(self.examples, corpus=self.examples.corpus.only(self.reference))
        self.ltas = average_spectrum(of_reference)
        network, objective = self.trainer.network, self.trainer.objective
        if isinstance(network, BandwiseUNet) and self.parent is None:  # one that has learned is used to its own
            assert isinstance(objective, BandwiseObjective) and isinstance(objective.transform, FoldedConstantQ)
            self.set_spread(measured_spread(self.examples, objective.transform))

    def set_spread(self, spread: Tensor) -> None:
        """The compact network's preconditioning (K,)."""
        for network in (self.trainer.network, self.trainer.average):
            assert isinstance(network, BandwiseUNet)
            network.spread.copy_(spread)

    # Going on

    def go(self) -> Outcome:
        """Learns until the plan is fulfilled, time is up or somebody asks to stop; keeps the result."""
        trainer, plan, processes = self.trainer, self.plan, self.trainer.processes
        items = list(processes.share(trainer.settings.batch))
        feed = Feed(self.examples, items, plan.parts, plan.workers)
        held_out = self._held_out()
        events = EventLog(self.folder, time.time()) if processes.leads else None
        self._note_skipped()
        self._went = time.monotonic(), trainer.iteration
        end, last_save, since = FINISHED, time.monotonic(), Since()
        try:
            while trainer.iteration < self.goal:
                self._maybe_begin_decay()
                slowing = self.decay.slowing(trainer.iteration) if self.decay else 1.0
                batches = feed.batches(trainer.iteration, trainer.device)
                step = trainer.step(batches, slowing, self._flags())
                since.add(step)
                if not step.learned:
                    self.on_remark(f"iteration {trainer.iteration}: the gradient was no number; nothing was learned.")
                if self._due(plan.log_every) or trainer.iteration == self.goal:
                    validation = self._validate(held_out) if self._check_due() else None
                    self._tell(since, slowing, validation, events)
                    since = Since()
                interrupted, late = step.flags.tolist()
                if interrupted or late:
                    end = INTERRUPTED if interrupted else OUT_OF_TIME
                    break
                if self._due(plan.save_every) or time.monotonic() - last_save > 60 * plan.save_minutes:
                    self.save()
                    last_save = time.monotonic()
                if plan.restorations and self.validation and self._due(plan.check_every):
                    self._restore_some()
        finally:
            feed.close()
            if events:
                events.close()
        self.save()
        return self._outcome(end)

    @property
    def goal(self) -> int:
        return self.decay.first + self.decay.length if self.decay else self.plan.iterations

    def _due(self, every: int) -> bool:
        return every > 0 and self.trainer.iteration % every == 0

    def _check_due(self) -> bool:
        return self._due(self.plan.check_every) or self.trainer.iteration == self.goal

    def _flags(self) -> Tensor:
        """Whether somebody asked this process to stop, and whether its time is up."""
        if not self.trainer.processes.leads:  # one clock is enough; a signal reaches each
            return torch.tensor([float(self.stopping()), 0.0])
        late = self.plan.minutes is not None and time.monotonic() - self.began > 60 * self.plan.minutes
        return torch.tensor([float(self.stopping()), float(late and not self._decays_by_clock)])

    @property
    def _decays_by_clock(self) -> bool:
        return self.decay is not None and self.plan.decay_minutes is not None

    def _maybe_begin_decay(self) -> None:
        n, plan = self.trainer.iteration, self.plan
        if self.decay is not None:
            return
        length = plan.iterations - n if plan.decay and n >= plan.iterations - plan.decay else 0
        if plan.decay_minutes is not None and plan.minutes is not None:
            length = self._decay_by_clock() or length
        if length:
            self.save()
            if self.trainer.processes.leads:
                shutil.rmtree(self.folder / DECAYING, ignore_errors=True)
            self.decay = Decay(n, length)
            self.on_remark(f"the learning rates fall from iteration {n} to zero at {n + length}.")

    def _decay_by_clock(self) -> int:
        """How many iterations are left when the time for them has come, else 0; the same for all processes."""
        now, done = time.monotonic(), self.trainer.iteration - self._went[1]
        left = 60 * (self.plan.minutes or 0) - (now - self.began)
        begins = done > 0 and left <= 60 * (self.plan.decay_minutes or 0)
        length = max(1, int(left / (now - self._went[0]) * done)) if begins else 0
        processes = self.trainer.processes
        told = torch.tensor([float(length if processes.leads else 0)], device=self.trainer.device)
        return int(processes.total(told))

    # Telling

    def _tell(self, since: Since, slowing: float, validation: float | None, events: EventLog | None) -> None:
        trainer = self.trainer
        told = Told.of(trainer.processes.total(since.sums.clone()))
        batch, length, rate = trainer.settings.batch, trainer.model.segment, trainer.model.sample_rate
        elapsed = time.monotonic() - since.began
        per_iteration = elapsed / max(since.count, 1)
        left = (self.goal - trainer.iteration) * per_iteration
        if self.plan.minutes is not None and not self._decays_by_clock:
            left = min(left, max(0.0, 60 * self.plan.minutes - (time.monotonic() - self.began)))
        self.last = Progress(
            iteration=trainer.iteration,
            iterations=self.goal,
            loss=told.loss,
            error=told.error,
            levels=told.levels,
            octaves=told.octaves,
            gradient_norm=since.norm,
            slowing=slowing,
            items_per_second=batch / per_iteration,
            hours_heard=trainer.iteration * batch * length / rate / 3600,
            seconds=self.seconds,
            seconds_left=left,
            skipped_steps=trainer.skipped,
            validation=validation,
        )
        if events is None:
            return
        self.on_progress(self.last)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self.last)) + "\n")
        events.write(trainer.iteration, scalars(self.last), time.time())
        self._note_skipped()

    @property
    def seconds(self) -> float:
        """Since the run began, over all its processes one after the other."""
        return self.seconds_before + time.monotonic() - self.began

    def _note_skipped(self) -> None:
        skipped = self.examples.corpus.skipped
        if self.trainer.processes.leads and len(skipped) != self._told_bad:
            self._told_bad = len(skipped)
            write_text(self.folder / "skipped.json", json.dumps([asdict(one) for one in skipped], indent=1) + "\n")

    # Held-out music

    def _held_out(self) -> list[Batch]:
        if self.validation is None:
            return []
        examples = replace(self.examples, corpus=self.validation)
        made = [examples.fixed(i, VALIDATED) for i in range(VALIDATED)]
        size = max(1, len(self.trainer.processes.share(self.trainer.settings.batch)) // self.plan.parts)
        return [Batch.of(made[i : i + size], self.trainer.device) for i in range(0, VALIDATED, size)]

    def _validate(self, held_out: list[Batch]) -> float | None:
        """The averaged network's error on fixed examples; each process finds the same."""
        if not held_out:
            return None
        return float(torch.cat([self.trainer.losses(batch).error for batch in held_out]).mean())

    def _restore_some(self) -> None:
        """Spoils held-out music, restores it with the result so far, and keeps sound and scores."""
        if not self.trainer.processes.leads or self.validation is None:
            return

        model, n = self.trainer.model, self.trainer.iteration
        length = max(model.segment, next_length(model, round(CHECK_SECONDS * model.sample_rate)))
        examples = replace(self.examples, corpus=self.validation, model=replace(model, segment=length))
        truth = torch.from_numpy(examples.fixed(0, 1).clean)
        seeded = torch.Generator().manual_seed(0)
        observation = degrade(truth, model.sample_rate, ResponseFamily().draw(seeded), seeded)
        self.save()
        try:
            restorer = Restorer.from_checkpoint(self.folder, device=str(self.trainer.device))
            restoration = restorer.restore(observation, model.sample_rate, preset="draft", segment_length=length)
        except RestorationError as error:  # a young network may well diverge, and goes on learning
            self.on_remark(f"the check at iteration {n} failed: {error}")
            return
        sounds = {"truth": truth, "recording": observation, "restored": torch.from_numpy(restoration.audio[0])}
        folder, level = self.folder / "checks", float(truth.std())
        folder.mkdir(exist_ok=True)
        for name, sound in sounds.items():
            write_wave(folder / (f"{n:09d}.wav" if name == "restored" else f"{name}.wav"), sound, model.sample_rate)
        lost = (3500.0, 0.9 * model.sample_rate / 2)
        scores = {
            f"lsd_{name}_{band}": log_spectral_distance(at_level(sound, level), truth, model.sample_rate, hertz)
            for name, sound in sounds.items()
            if name != "truth"
            for band, hertz in {"recorded": (100.0, 3000.0), "lost": lost}.items()
            if hertz[0] < hertz[1] < model.sample_rate / 2
        }
        write_text(folder / f"{n:09d}.json", json.dumps(scores, indent=1) + "\n")
        self.on_remark(f"check at iteration {n}: " + ", ".join(f"{name} {dB:.2f} dB" for name, dB in scores.items()))

    # Keeping

    def save(self) -> None:
        """The state, and the checkpoint that follows from it."""
        if not self.trainer.processes.leads:
            return
        tensors = self.trainer.tensors() | {"spectrum": {"ltas": self.ltas}}
        about = self.about() | {
            "corpus_level": self.examples.corpus_level,
            "skipped_steps": self.trainer.skipped,
            "seconds": round(self.seconds, 1),
            "decay": asdict(self.decay) if self.decay else None,
        }
        state = saved_state.State(self.trainer.iteration, tensors, about)
        try:
            saved_state.save(state, self.folder / (DECAYING if self.decay else CONTINUED))
            self._save_checkpoint()
        except OSError as error:
            raise RestorationError(
                f"The run cannot be kept in {self.folder} ({error.strerror or error}). What was kept before is whole."
            ) from None

    def _save_checkpoint(self) -> None:
        trainer = self.trainer
        weights = {name: value.detach().cpu() for name, value in trainer.average.state_dict().items()}
        provenance = self.provenance()
        made = checkpoints.Checkpoint(trainer.model, weights, self.ltas, self.folder.name, "", provenance)
        writing = self.folder / ".checkpoint"
        checkpoints.save(made, writing)
        (writing / "README.md").write_text(card(self.folder.resolve().name, trainer, provenance), "utf-8")
        for path in sorted(writing.iterdir()):
            saved_state.flush(path)
            os.replace(path, self.folder / path.name)
        writing.rmdir()

    def provenance(self) -> dict[str, Any]:
        """Where the weights come from. No path of this machine is in it."""
        corpus = self.examples.corpus
        return {
            "iterations": self.trainer.iteration,
            "hours_heard": round(
                self.trainer.iteration
                * self.trainer.settings.batch
                * self.trainer.model.segment
                / self.trainer.model.sample_rate
                / 3600,
                3,
            ),
            "seconds": round(self.seconds, 1),
            "parent": self.parent,
            "data": corpus.fingerprint | {"credit": credits(corpus)},
            "settings": asdict(self.trainer.settings),
            "versions": versions(),
        }

    def _outcome(self, end: str) -> Outcome:
        return Outcome(
            end,
            self.trainer.iteration,
            self.last.loss if self.last else None,
            self.last.validation if self.last else None,
            str(self.folder),
            len(self.examples.corpus.skipped),
            self.trainer.skipped,
        )


class Since:
    """What happened since something was told last."""

    def __init__(self) -> None:
        self.began, self.count, self.norm = time.monotonic(), 0, 0.0
        self.sums = torch.empty(0)

    def add(self, step: Step) -> None:
        self.count += 1
        self.norm = step.gradient_norm
        self.sums = self.sums + step.told if len(self.sums) else step.told


def scalars(progress: Progress) -> dict[str, float]:
    """A progress by the names under which curves are drawn."""
    found = {
        "loss": progress.loss,
        "error": progress.error,
        "gradient_norm": progress.gradient_norm,
        "slowing": progress.slowing,
        "items_per_second": progress.items_per_second,
        "skipped_steps": float(progress.skipped_steps),
    }
    found |= {f"level/{i}": value for i, value in enumerate(progress.levels) if value is not None}
    found |= {f"octave/{i}": value for i, value in enumerate(progress.octaves)}
    return found if progress.validation is None else found | {"validation": progress.validation}


def card(name: str, trainer: Trainer, provenance: dict[str, Any]) -> str:
    """The model card."""
    data, parent, rate = provenance["data"], provenance["parent"], trainer.model.sample_rate
    begun = f"It was trained further from `{parent['name']}` (sha256 {parent['sha256']}). " if parent else ""
    owed = "".join(f"\n* {credit}" for credit in data["credit"])
    return f"""---
library_name: babe2
tags: [audio, music, restoration, diffusion]
---
# {name}

A prior for the restoration of old recordings with [BABE-2](https://arxiv.org/abs/2403.18636):
`Restorer.from_checkpoint("{name}")`. {begun}

* network: {type(trainer.network).__name__}, {sum(one.numel() for one in trainer.network.parameters()):,} parameters
* sound: {rate} Hz, segments of {trainer.model.segment / rate:.2f} s
* training: {provenance["iterations"]} iterations, {provenance["hours_heard"]:.1f} h of excerpts heard
* data: {data["files"]} files, {data["hours"]:.2f} h{owed}

It imagines what a recording has lost in the manner of the music it learned from; of other music it knows little.
"""


def write_wave(path: Path, x: Tensor, sample_rate: int) -> None:
    """x (T,) as 16 bits, which every machine can write; too loud a sound is turned down."""
    x = x / max(1.0, float(x.abs().max()) / 0.99)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((x.numpy() * 32767).round().astype(np.int16).tobytes())


def processes_of(environment: dict[str, str]) -> Processes:
    """This process's place, as torchrun tells it."""
    return Processes(int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1)))
