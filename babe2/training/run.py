"""A training run in its folder: it is begun or resumed, saved and reported on the way, and ends with a checkpoint.

    OUTPUT/model.safetensors, config.json, README.md   the result so far: averaged weights
    OUTPUT/state/                                      from here the run goes on
    OUTPUT/decay/                                      the same, while the learning rates fall to zero at the end
    OUTPUT/log.jsonl                                   the reports on the way, a line each
    OUTPUT/events.out.tfevents.*                       the same for TensorBoard, where tensorboard is installed
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
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from babe2 import checkpoints
from babe2.checkpoints.checkpoint import WEIGHTS
from babe2.errors import Cancelled, RestorationError
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import FoldedConstantQ
from babe2.process import enough_memory, versions
from babe2.replacing import write_text
from babe2.restorer import Restorer
from babe2.training import state as saved_state
from babe2.training.check import check_restoration
from babe2.training.corpus import Corpus, credits_of
from babe2.training.examples import Examples, Feed, average_spectrum, corpus_level, measured_spread
from babe2.training.noise import Batch
from babe2.training.objective import BandwiseObjective
from babe2.training.progress import Progress, ProgressLog
from babe2.training.trainer import Means, Processes, Step, Trainer

log = logging.getLogger(__name__)

CONTINUED, DECAYING = "state", "decay"
VALIDATED = 16  # held-out examples
FINISHED, OUT_OF_TIME, INTERRUPTED = "finished", "out of time", "interrupted"


@dataclass(frozen=True)
class Plan:
    """How long a run lasts, and how often it reports and saves; only its end decides on what is learned."""

    iterations: int
    minutes: float | None = None  # from the start of this process
    decay: int = 0  # iterations at the end over which the learning rates fall to zero
    decay_minutes: float | None = None  # the same by the clock; then `minutes` may be passed by a little
    parts: int = 1  # in which each batch is learned from, where memory is short
    workers: int = 1  # threads that make examples
    save_every: int = 1000  # iterations
    save_minutes: float = 10.0
    log_every: int = 25  # iterations
    check_every: int = 1000  # iterations, where there are held-out data
    restorations: bool = False  # restore some held-out music at each check, too


@dataclass(frozen=True)
class Decay:
    """The end of a run, over which the learning rates fall to zero."""

    first: int  # iteration
    length: int  # iterations

    def slowing(self, n: int) -> float:
        """Returns the factor of the learning rates in iteration n."""
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
    """A run, as one of its processes does it."""

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`parent` describes the checkpoint it begins from; `reference` names the data of the average spectrum.

        `stopping` is asked after each iteration whether to end; `clock` tells seconds.
        """
        self.folder, self.trainer, self.plan, self.parent = folder, trainer, plan, parent
        self.examples = Examples(corpus, trainer.model, trainer.settings)
        self.validation, self.reference = validation, reference
        self.on_progress, self.on_remark = on_progress or (lambda _: None), on_remark or (lambda _: None)
        self.stopping, self.clock = stopping, clock
        self.began = clock()
        self.seconds_before = 0.0
        self.decay: Decay | None = None
        self.ltas = torch.empty(0)
        self.last: Progress | None = None
        self._listed = -1  # skipped files
        self._learning_since = self.began, 0  # seconds, iteration

    # Beginning

    def begin(self, *, accept_changes: bool = False) -> None:
        """Resumes what is in the folder, or measures the data for a new run."""
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

    def description(self) -> dict[str, Any]:
        """Returns what must be the same whenever the run is resumed."""
        facts = {
            "model": asdict(self.trainer.model),
            "settings": asdict(self.trainer.settings),
            "data": self.examples.corpus.fingerprint,
            "parent": self.parent,
        }
        return dict(json.loads(json.dumps(facts)))  # as it is read back

    def _compare(self, state: saved_state.State, accept_changes: bool) -> None:
        before = {name: state.about[name] for name in ("model", "settings", "data", "parent")}
        if different := saved_state.differences(before, self.description()):
            changes = "; ".join(different)
            if not accept_changes:
                raise RestorationError(
                    f"The run in {self.folder} was begun otherwise: {changes}. Choose another output folder, or go on "
                    "all the same with --accept-changes."
                )
            self.on_remark(f"goes on otherwise than it was begun: {changes}.")

    def _unfinished_decay(self, state: saved_state.State) -> saved_state.State | None:
        """The state of a decay that began at this one, if the plan is to end with it."""
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
            of_reference = replace(self.examples, corpus=self.examples.corpus.part(self.reference))
        self.ltas = average_spectrum(of_reference)
        network, objective = self.trainer.network, self.trainer.objective
        if isinstance(network, BandwiseUNet) and self.parent is None:  # one that has learned is used to its own
            assert isinstance(objective, BandwiseObjective) and isinstance(objective.transform, FoldedConstantQ)
            self.set_spread(measured_spread(self.examples, objective.transform))

    def set_spread(self, spread: Tensor) -> None:
        """Sets the compact network's preconditioning: the spread of music in each bin (K,)."""
        for network in (self.trainer.network, self.trainer.average):
            assert isinstance(network, BandwiseUNet)
            network.spread.copy_(spread)

    # Going on

    def go(self) -> Outcome:
        """Learns until the plan is fulfilled, time is up or somebody asks to stop; saves the result."""
        trainer, plan, processes = self.trainer, self.plan, self.trainer.processes
        items = list(processes.share(trainer.settings.batch))
        feed = Feed(self.examples, items, plan.parts, plan.workers)
        held_out = self._held_out()
        progress_log = ProgressLog(self.folder) if processes.leads else None
        self._list_skipped()
        self._learning_since = self.clock(), trainer.iteration
        end, last_save, since = FINISHED, self.clock(), SinceReport(self.clock())
        try:
            while trainer.iteration < self.goal:
                self._maybe_begin_decay()
                slowing = self.decay.slowing(trainer.iteration) if self.decay else 1.0
                batches = feed.batches(trainer.iteration, trainer.device)
                step = trainer.step(batches, slowing, self._flags())
                since.add(step)
                if not step.learned:
                    self.on_remark(f"iteration {trainer.iteration}: the gradient was not finite; nothing was learned.")
                if self._due(plan.log_every) or trainer.iteration == self.goal:
                    validation = self._validate(held_out) if self._check_due() else None
                    self._report(since, slowing, validation, progress_log)
                    since = SinceReport(self.clock())
                interrupted, late = step.flags.tolist()
                if interrupted or late:
                    end = INTERRUPTED if interrupted else OUT_OF_TIME
                    break
                if self._due(plan.save_every) or self.clock() - last_save > 60 * plan.save_minutes:
                    self.save()
                    last_save = self.clock()
                if plan.restorations and self.validation and self._due(plan.check_every):
                    self._check()
        finally:
            feed.close()
            if progress_log:
                progress_log.close()
        self.save()
        return self._outcome(end)

    @property
    def goal(self) -> int:
        """The iteration at which the run ends."""
        return self.decay.first + self.decay.length if self.decay else self.plan.iterations

    def _due(self, every: int) -> bool:
        return every > 0 and self.trainer.iteration % every == 0

    def _check_due(self) -> bool:
        return self._due(self.plan.check_every) or self.trainer.iteration == self.goal

    def _flags(self) -> Tensor:
        """Whether somebody asked this process to stop, and whether its time is up."""
        if not self.trainer.processes.leads:  # one clock is enough; a signal reaches each
            return torch.tensor([float(self.stopping()), 0.0])
        late = self.plan.minutes is not None and self.clock() - self.began > 60 * self.plan.minutes
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
        """The length of a decay that has to begin now, else 0; the same for all processes."""
        now, (since, first) = self.clock(), self._learning_since
        done = self.trainer.iteration - first
        left = 60 * (self.plan.minutes or 0) - (now - self.began)
        begins = done > 0 and left <= 60 * (self.plan.decay_minutes or 0)
        length = max(1, int(left / (now - since) * done)) if begins else 0
        processes = self.trainer.processes
        leaders = torch.tensor([float(length if processes.leads else 0)], device=self.trainer.device)
        return int(processes.total(leaders))

    # Reports

    def _report(
        self, since: SinceReport, slowing: float, validation: float | None, progress_log: ProgressLog | None
    ) -> None:
        trainer = self.trainer
        means = Means.of(trainer.processes.total(since.sums.clone()))
        per_iteration = (self.clock() - since.began) / max(since.count, 1)
        left = (self.goal - trainer.iteration) * per_iteration
        if self.plan.minutes is not None and not self._decays_by_clock:
            left = min(left, max(0.0, 60 * self.plan.minutes - (self.clock() - self.began)))
        self.last = Progress(
            iteration=trainer.iteration,
            iterations=self.goal,
            loss=means.loss,
            error=means.error,
            levels=means.levels,
            octaves=means.octaves,
            gradient_norm=since.norm,
            slowing=slowing,
            items_per_second=trainer.settings.batch / per_iteration,
            hours_heard=self.hours_heard,
            seconds=self.seconds,
            seconds_left=left,
            skipped_steps=trainer.skipped,
            validation=validation,
        )
        if progress_log is None:
            return
        self.on_progress(self.last)
        progress_log.write(self.last)
        self._list_skipped()

    @property
    def hours_heard(self) -> float:
        """How much audio the network has learned from."""
        model, items = self.trainer.model, self.trainer.iteration * self.trainer.settings.batch
        return items * model.segment / model.sample_rate / 3600

    @property
    def seconds(self) -> float:
        """How long the run has taken, whenever it was resumed."""
        return self.seconds_before + self.clock() - self.began

    def _list_skipped(self) -> None:
        skipped = self.examples.corpus.skipped
        if self.trainer.processes.leads and len(skipped) != self._listed:
            self._listed = len(skipped)
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
        """The averaged network's error on held-out examples; each process finds the same."""
        if not held_out:
            return None
        return float(torch.cat([self.trainer.losses(batch).error for batch in held_out]).mean())

    def _check(self) -> None:
        """Restores some held-out music with the averaged network as it is. Whatever fails here, the run goes on."""
        trainer = self.trainer
        if not trainer.processes.leads or self.validation is None:
            return
        held_out = replace(self.examples, corpus=self.validation)
        try:
            with enough_memory("Leave out --restorations, or learn from each batch in parts (--accumulate)."):
                restorer = Restorer(trainer.average, trainer.model, self.ltas, device=trainer.device)
                folder = self.folder / "checks"
                scores = check_restoration(restorer, held_out, folder, trainer.iteration, self.stopping)
        except Cancelled:
            return
        except (RestorationError, OSError) as error:  # a young network may well diverge, and learns on
            self.on_remark(f"the check at iteration {trainer.iteration} failed: {error}")
            return
        found = ", ".join(f"{name} {value:.2f} dB" for name, value in scores.items())
        self.on_remark(f"check at iteration {trainer.iteration}: {found}")

    # Saving

    def save(self) -> None:
        """Saves the state, and the checkpoint that follows from it."""
        if not self.trainer.processes.leads:
            return
        tensors = self.trainer.tensors() | {"spectrum": {"ltas": self.ltas}}
        about = self.description() | {
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
                f"The run cannot be saved in {self.folder} ({error.strerror or error}). What was saved before is "
                "complete."
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
        """Returns where the weights come from. No path of this machine is in it."""
        corpus = self.examples.corpus
        return {
            "iterations": self.trainer.iteration,
            "hours_heard": round(self.hours_heard, 3),
            "seconds": round(self.seconds, 1),
            "parent": self.parent,
            "data": corpus.fingerprint | {"credit": credits_of(corpus)},
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


class SinceReport:
    """What happened since the last report."""

    def __init__(self, began: float) -> None:
        self.began, self.count, self.norm = began, 0, 0.0
        self.sums = torch.empty(0)

    def add(self, step: Step) -> None:
        """Adds one iteration."""
        self.count += 1
        self.norm = step.gradient_norm
        self.sums = self.sums + step.sums if len(self.sums) else step.sums


def card(name: str, trainer: Trainer, provenance: dict[str, Any]) -> str:
    """Returns the text of the model card."""
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


def processes_of(environment: dict[str, str]) -> Processes:
    """Returns this process's place among the others, as torchrun sets it in the environment."""
    return Processes(int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1)))
