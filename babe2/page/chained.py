"""The result of a run by a chain's file: what it has made is taken as it is, and so are its settings."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.chains import Chain, Chained
from babe2.chains.link import WHOLE, tracks_after
from babe2.chains.work import divided
from babe2.config import DEFAULT_CHECKPOINT
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import MemoryTape, Tape
from babe2.page import number_table
from babe2.page.excerpt import Excerpt
from babe2.page.outcome import (
    KINDS,
    Earlier,
    Home,
    Outcome,
    chain_name,
    fitting,
    kept_folder,
    sounds_to_compare,
    unpacked,
    words_of,
    written,
)
from babe2.process import thread_count
from babe2.provenance import SOFTWARE
from babe2.recordings.recorded import Audio
from babe2.report import evidence, figures, recipe
from babe2.report.tracks import ACCOMPANIMENT, CLEANED, RECORDING, RESTORED, VOCALS, desk_tracks
from babe2.report.verdict import FEWEST_SECONDS, verdict
from babe2.restorer import Restorer
from babe2.stages.restore import Restore
from babe2.wording import plain_name

PARTS = (VOCALS, ACCOMPANIMENT)
RESTORED_BY = Restore.name


@dataclass(frozen=True, eq=False)
class ChainOutcome(Outcome):
    """What a chain has made of an excerpt."""

    chain: Chain
    sample_rate: int

    mixable: ClassVar[bool] = False
    has_response: ClassVar[bool] = False

    @classmethod
    def of(cls, recording: Path, excerpt: Excerpt, sound: audio.Recording, chain: Chain, done: Chained) -> ChainOutcome:
        """Keeps what a chain has made of an excerpt's `sound`."""
        report = done.report | {
            "threads": thread_count(),
            "excerpt": {"start": excerpt.start, "seconds": round(sound.audio.shape[1] / sound.sample_rate, 6)},
        }
        sounds = heard_on_the_way(sound, done)
        outcome = cls.known(recording, excerpt, sound, chain, sounds, done.sample_rate, report)
        done.discard()
        return outcome

    @classmethod
    def known(
        cls,
        recording: Path,
        excerpt: Excerpt,
        sound: audio.Recording,
        chain: Chain,
        sounds: dict[str, Audio],
        rate: int,
        report: dict[str, Any],
        beforehand: bool = False,
    ) -> ChainOutcome:
        """Keeps a chain's result by its `sounds`, all of one length at `rate`, and what its stages reported."""
        stages, seconds = report["stages"], sounds[RESTORED].shape[1] / rate
        bands = [stage["found"].get("band") for stage in stages if stage["track"] == WHOLE]
        outcome = cls(
            recording,
            excerpt,
            DEFAULT_CHECKPOINT,  # of the form; the chain has its own
            sound.tags,
            seconds=seconds,
            wanted=seconds,  # it is stopped before it is finished, or not at all
            report=report
            | {
                "chain": chain.title,
                "chain_file": chain_name(recording),
                "seconds": sum(stage["seconds"] for stage in stages),
            },
            found=verdict(
                (sounds[RECORDING], rate),
                (sounds[RESTORED], rate),
                None,
                next(filter(None, reversed(bands)), None),
                imagines=any(stage["found"].get("generates") for stage in stages),
            ),
            folder=kept_folder(sounds=sounds),
            beforehand=beforehand,
            chain=chain,
            sample_rate=rate,
        )
        weakref.finalize(outcome, shutil.rmtree, outcome.folder, ignore_errors=True)
        return outcome

    def sounds(self) -> dict[str, Audio]:
        """What is heard of it by track, all of one length, read from the folder."""
        kept: dict[str, Audio] = unpacked(self.folder, "sounds")
        return kept

    @property
    def made_beforehand(self) -> str:
        return f"This example was restored beforehand, by the chain {self.chain.title}: {self._stages}."

    @property
    def _stages(self) -> str:
        return " → ".join(link.name for link in self.chain.active)

    @property
    def title(self) -> str:
        return "a chain"

    @property
    def how(self) -> str:
        return self.chain.title

    def as_earlier(self) -> Earlier:
        return Earlier(self.title, self.how, self.sounds()[RESTORED], self.sample_rate, self.keeps_length)

    @property
    def keeps_length(self) -> bool:
        """Whether it runs as fast as the recording."""
        return all(link.stage.keeps_length for link in self.chain.active)

    def desk(
        self,
        folder: Path,
        sound: audio.Recording,
        equalised: Audio | None,
        earlier: Sequence[Earlier] = (),
        amount: float = 1.0,
        select: str | None = None,
        imagined: float = 1.0,
    ) -> dict[str, Any]:
        sounds, rate = self.sounds(), self.sample_rate
        before = fitting(earlier, rate) if self.keeps_length else []
        tracks = sounds_to_compare(
            (sounds[RECORDING], rate),
            sounds[RESTORED],
            None,  # which music it is, the chain knows
            cleaned=sounds.get(CLEANED),
            parts={name: sounds[name] for name in PARTS if name in sounds},
            earlier=[each.audio for each in before],
        )
        words = {RESTORED: ("By the chain", f"What the chain has made: {self._stages}.")}
        words |= words_of(before)
        return desk_tracks(tracks, rate, folder, start=self.excerpt.start, select=select, words=words)

    def pictures(self, sound: audio.Recording, reference: ReferenceLtas | None) -> dict[str, Figure]:
        sounds, rate = self.sounds(), self.sample_rate
        before, after = (sounds[RECORDING], rate), (sounds[RESTORED], rate)
        left, right = figures.spectrogram_pair(before, after)
        curves = figures.ltas_curves({"recording": before, "restored": after}, None)
        return {"before": left, "after": right, "ltas": curves}

    def numbers(self) -> dict[str, Any]:
        """The report, and what the result is like."""
        return self.report | {"analysis": analyse(self.sounds()[RESTORED], self.sample_rate)}

    def numbers_files(self, path: Path) -> tuple[str, Path]:
        known = self.numbers()
        rows = number_table.rows_of_chain(self.seconds, self.sample_rate, self.found, known["analysis"], self.report)
        return number_table.as_html(rows), written(path, known)

    def take_home(
        self,
        folder: Path,
        restorer: Restorer,
        amount: float = 1.0,
        kind: str = "",
        rate: str = "",
        loud: bool = False,
        imagined: float = 1.0,
    ) -> ChainHome:
        extension, subtype = KINDS.get(kind, next(iter(KINDS.values())))
        file = folder / f"{plain_name(self.recording.stem)}.restored.{extension}"
        tags = self.tags.marked(self.report["statement"], SOFTWARE)
        audio.write(file, self.sounds()[RESTORED], self.sample_rate, subtype=subtype, tags=tags)
        command = recipe.chain_command(
            self.report["chain_file"],
            self.report["threads"],
            self.recording.name,
            start=self.excerpt.start,
            duration=self.excerpt.duration,
            subtype=subtype,
            output=file.name,
        )
        return ChainHome(self, file, command, self.chain)


@dataclass(frozen=True, eq=False)
class ChainHome(Home):
    """The file of what a chain has made."""

    outcome: ChainOutcome

    @property
    def statement(self) -> str:
        return str(self.outcome.report["statement"])

    def papers(self, licence: str = "", credit: str = "") -> dict[str, bytes]:
        outcome, title, name = self.outcome, self.file.name, plain_name(self.outcome.recording.name)
        sounds, rate = outcome.sounds(), outcome.sample_rate
        before, after = (sounds[RECORDING], rate), (sounds[RESTORED], rate)
        report = outcome.numbers() | {
            "input": {"name": name, **recipe.fingerprint(outcome.recording)},
            "result": {"name": title, **recipe.fingerprint(self.file)},
        }
        done = outcome.found if outcome.seconds >= FEWEST_SECONDS else None
        texts = {
            "README.txt": evidence.read_me(title, name, self.statement, outcome.found.imagines, done),
            "report.json": json.dumps(report, indent=2, ensure_ascii=False) + "\n",
            "reproduce.txt": recipe.recipe(self.command, report),
            report["chain_file"]: self.chain.text(),
        }
        pictures = {
            "spectrograms": lambda: figures.spectrograms(before, after),
            "ltas": lambda: figures.ltas_curves({"recording": before, "restored": after}, None),
        }
        return evidence.sealed(texts, pictures, {title: report["result"]["sha256"]})


def heard_on_the_way(sound: audio.Recording, done: Chained) -> dict[str, Audio]:
    """What a chain has made, and beside it what it was made from: all at its rate, and as long and as wide as it is.

    That is the recording, once it runs at its new speed; what cleaning has left of it before it was restored, where it
    was; and the tracks that were brought together again.
    """

    def beside(tape: Tape, rate: int) -> Audio:
        heard = resample(tape.read(0, tape.samples), rate, done.sample_rate)
        if len(heard) != done.tape.channels:  # the published program folds channels to one
            heard = heard.mean(dim=0, keepdim=True).expand(done.tape.channels, -1)
        return of_length(heard, done.samples)

    recording: tuple[Tape, int] = (MemoryTape(torch.from_numpy(sound.audio)), sound.sample_rate)
    parts: dict[str, Audio] = {}
    tracks: tuple[str, ...] = (WHOLE,)
    rate, cleaned, is_clean = sound.sample_rate, None, False
    for step in done.steps:
        stage = step.link.stage
        if step.link.track == WHOLE and stage.name == RESTORED_BY and is_clean:
            cleaned = (step.before, rate)
        if step.link.track == WHOLE and not stage.keeps_length:
            recording = (step.made.tape, step.made.sample_rate)
        if stage.merges:
            told = zip(tracks, divided(step.before, len(tracks)), strict=True)
            parts = {name: beside(tape, step.made.sample_rate) for name, tape in told if name in PARTS}
        is_clean |= stage.keeps_length and stage.name != RESTORED_BY
        rate, tracks = step.made.sample_rate, tracks_after(tracks, step.link)
    sounds = {RECORDING: beside(*recording), **parts, RESTORED: done.audio}
    return sounds if cleaned is None or parts else sounds | {CLEANED: beside(*cleaned)}


def of_length(heard: Tensor, samples: int) -> Audio:
    """A sound (channels, T), cut or filled up with silence."""
    return torch.nn.functional.pad(heard, (0, max(0, samples - heard.shape[1])))[:, :samples].contiguous().numpy()
