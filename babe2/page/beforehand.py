"""Examples that were restored beforehand: what lies beside an example, as if its visitor had restored it just now."""

from __future__ import annotations

import filecmp
import json
from pathlib import Path

import torch

from babe2 import audio
from babe2.dsp.curves import WeightedSum
from babe2.dsp.tape import MemoryTape
from babe2.recordings.journal import Storage
from babe2.recordings.recorded import Recorded, Samples
from babe2.report.responses import curves_of, uncertainty_of
from babe2.restoration import Restoration


def restored_beforehand(recording: str | Path, examples: Path) -> Restoration | None:
    """The restoration of an example; None for any other recording.

    An example is known by its content. Beside `NAME.flac` lie `NAME.restored.flac` and `NAME.restored.json`, which is
    what `babe2 restore --report` wrote.
    """
    for restored in examples.glob("*.restored.flac"):
        example = restored.with_name(restored.name.replace(".restored", ""))
        if filecmp.cmp(example, recording, shallow=False):
            return _read(example, restored)
    return None


def _read(example: Path, restored: Path) -> Restoration:
    before, after = audio.read(example), audio.read(restored)
    rate = after.sample_rate
    report = json.loads(restored.with_suffix(".json").read_text("utf-8"))
    curves = curves_of(report)
    return Restoration(
        recorded=Recorded.of(Samples.of(before.audio, before.sample_rate), rate, rate, fold=len(after.audio) == 1),
        restored=MemoryTape(torch.from_numpy(after.audio)),
        storage=Storage(),
        sample_rate=rate,
        equalizer=WeightedSum(curves, (1 / len(curves),) * len(curves)),
        equalizers=curves,
        seed=report["seed"],
        report=report,
        uncertainty=uncertainty_of(report),
    )
