"""Examples that were restored beforehand: what lies beside an example, as if its visitor had restored it just now."""

from __future__ import annotations

import filecmp
import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from babe2 import audio
from babe2.chains import Chain
from babe2.dsp.curves import WeightedSum
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import MemoryTape
from babe2.page.chained import ChainOutcome, of_length
from babe2.page.excerpt import Excerpt
from babe2.page.outcome import Outcome, Restored
from babe2.recordings.journal import Storage
from babe2.recordings.recorded import Audio, Recorded, Samples
from babe2.report.responses import curves_of, uncertainty_of
from babe2.report.tracks import RECORDING, RESTORED
from babe2.restoration import Restoration


class Example:
    """An example whose result lies ready, known by its name in the folder of examples.

    Beside `NAME.flac` lie `NAME.restored.flac`, and in `NAME.restored.json` what babe2 reported of it; where a chain
    made it, its file is `NAME.chain.yaml`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.recording = folder / f"{name}.flac"
        self.restored = folder / f"{name}.restored.flac"
        self._chain = folder / f"{name}.chain.yaml"

    @classmethod
    def of(cls, recording: str | Path, folder: Path) -> Example | None:
        """The example that a recording is, by its content; None for any other recording."""
        for restored in folder.glob("*.restored.flac"):
            example = cls(folder, restored.name.removesuffix(".restored.flac"))
            if filecmp.cmp(example.recording, recording, shallow=False):
                return example
        return None

    @cached_property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.restored.with_suffix(".json").read_text("utf-8"))
        return report

    @property
    def chain(self) -> Chain | None:
        """What made it, unless it was a restoration alone."""
        return Chain.load(self._chain) if self._chain.exists() else None

    def outcome(self, recording: Path, checkpoint: str, reference: ReferenceLtas | None) -> Outcome:
        """Its result, as a run of a copy of it, `recording`, would have come to; `reference` is the checkpoint's
        music."""
        sound, chain = audio.read(self.recording), self.chain
        if chain is None:
            made = self.restoration()
            return Restored.of(recording, Excerpt(), checkpoint, sound, made, reference, beforehand=True)
        sounds, rate = self.sounds()
        return ChainOutcome.known(recording, Excerpt(), sound, chain, sounds, rate, self.report, beforehand=True)

    def sounds(self) -> tuple[dict[str, Audio], int]:
        """What is to be heard before and after, and its sample rate."""
        before, after = audio.read(self.recording), audio.read(self.restored)
        sound = resample(torch.from_numpy(before.audio), before.sample_rate, after.sample_rate)
        return {RECORDING: of_length(sound, after.audio.shape[1]), RESTORED: after.audio}, after.sample_rate

    def restoration(self) -> Restoration:
        """The restoration of one that no chain has made."""
        before, after = audio.read(self.recording), audio.read(self.restored)
        rate, curves = after.sample_rate, curves_of(self.report)
        return Restoration(
            recorded=Recorded.of(Samples.of(before.audio, before.sample_rate), rate, rate, fold=len(after.audio) == 1),
            restored=MemoryTape(torch.from_numpy(after.audio)),
            storage=Storage(),
            sample_rate=rate,
            equalizer=WeightedSum(curves, (1 / len(curves),) * len(curves)),
            equalizers=curves,
            seed=self.report["seed"],
            report=self.report,
            uncertainty=uncertainty_of(self.report),
        )


class Card(NamedTuple):
    """How the gallery shows an example."""

    name: str  # of its files
    title: str
    did: str  # what was done, in a line
    credit: str

    @classmethod
    def all_in(cls, folder: Path) -> list[Card]:
        """Those that `gallery.yaml` lists, in its order."""
        return [cls(**entry) for entry in yaml.safe_load((folder / "gallery.yaml").read_text("utf-8"))]
