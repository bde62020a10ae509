"""Drop-outs that are too long for linear prediction alone: filled in as missing samples, by a prior of such music."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from babe2.analysis.damage.dropouts import Place, dropouts
from babe2.config import DEFAULT_CHECKPOINT, STAGE, setting
from babe2.degradations.missing import Gaps
from babe2.dsp.tape import Tape
from babe2.restorer import Restorer
from babe2.stages.base import Bench, Stage, Staged, Untouched, sounds

AROUND_SECONDS = 1.5  # on either side, from which a prior knows what was played
FADE_SECONDS = 0.001  # into what is there on either side


@dataclass(frozen=True)
class Fill(Stage):
    """Fills in drop-outs."""

    name: ClassVar[str] = "fill"
    does: ClassVar[str] = "Fills drop-outs of up to half a second with what the chosen prior expects there."

    checkpoint: str = setting(DEFAULT_CHECKPOINT, STAGE, "Which music", "A prior of `babe2 checkpoints list`")
    seed: int = setting(0, STAGE, "Seed", "Same seed, same sound", bounds=lambda seed: 0 <= seed < 2**63)

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        untouched = Untouched(recording, sample_rate)
        if not sounds(recording):
            return untouched
        places = dropouts(recording, sample_rate).long
        if not places:
            return untouched
        patches = list[Patch]()
        restorer = bench.restorer(self.checkpoint)
        for number, near in enumerate(groups := _neighbours(places, sample_rate), start=1):
            bench.poll()
            patches += _filled(recording, sample_rate, near, restorer, self.seed, bench)
            bench.on_share(number / (len(groups) + 1))
        return _Filled(recording, sample_rate, patches)


@dataclass(frozen=True, eq=False)
class Patch:
    """What is put in the place of some samples of one channel."""

    channel: int
    start: int
    sound: Tensor  # (n,)


def _neighbours(places: list[Place], sample_rate: int) -> list[list[Place]]:
    """Places of one channel that are heard together, since one lies in what is around the other."""
    groups: list[list[Place]] = []
    for place in sorted(places):
        before = groups[-1][-1] if groups else None
        if before and before.channel == place.channel and place.start - before.stop < AROUND_SECONDS * sample_rate:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _filled(
    recording: Tape, sample_rate: int, places: list[Place], restorer: Restorer, seed: int, bench: Bench
) -> list[Patch]:
    """What a prior puts into some places that lie near each other."""
    around, fade = (round(seconds * sample_rate) for seconds in (AROUND_SECONDS, FADE_SECONDS))
    first = max(0, places[0].start - around)
    last = min(recording.samples, places[-1].stop + around)
    channel = places[0].channel
    heard = recording.read(first, last)[channel : channel + 1]
    spans = [((place.start - first) / sample_rate, (place.stop - first) / sample_rate) for place in places]
    restoration = restorer.restore(
        heard,
        sample_rate,
        output_rate=sample_rate,
        degradation=Gaps.between(spans),
        preset="draft",
        seed=seed,
        cancelled=bench.cancelled,
    )
    filled = torch.from_numpy(restoration.audio)[0]
    patches = []
    for place in places:
        start, stop = max(first, place.start - fade), min(last, place.stop + fade)
        share = torch.ones(stop - start)
        rise = torch.linspace(0, 1, fade + 2)[1:-1]
        share[: place.start - start] = rise[fade - (place.start - start) :]
        share[stop - start - (stop - place.stop) :] = rise.flip(0)[: stop - place.stop]
        part = slice(start - first, stop - first)
        patches.append(Patch(channel, start, heard[0, part] + share * (filled[part] - heard[0, part])))
    return patches


class _Filled(Staged):
    def __init__(self, recording: Tape, sample_rate: int, patches: list[Patch]) -> None:
        super().__init__(recording, sample_rate)
        self._patches = patches
        seconds = sum(len(patch.sound) for patch in patches) / sample_rate
        places = f"In {len(patches)} places, {seconds:.2f} s in all"
        self.found = {
            "statement": f"{places}, the sound had dropped out and is generated.",
            "filled_seconds": [
                [round(place / sample_rate, 4) for place in (patch.start, patch.start + len(patch.sound))]
                for patch in patches
            ],
        }

    def _read(self, start: int, stop: int) -> Tensor:
        x = self.recording.read(start, stop)
        for patch in self._patches:
            a, b = max(start, patch.start), min(stop, patch.start + len(patch.sound))
            if a < b:
                x[patch.channel, a - start : b - start] = patch.sound[a - patch.start : b - patch.start]
                self.counts["dropouts"] += patch.start >= start
                self.counts["samples_generated"] += b - a
        return x
