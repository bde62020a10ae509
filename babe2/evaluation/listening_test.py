"""Makes a listening test: sounds under names that tell nothing, one page that asks, and a key that stays at home.

Two kinds. *MUSHRA* (ITU-R BS.1534): every sound of a trial is rated from 0 to 100 beside an open reference, which
hides among them once more, with anchors that are the reference through a low-pass. *A/B*: where no reference exists,
as of real recordings, listeners say which of two sounds they prefer.

All sounds of a trial are equally loud (ITU-R BS.1770), and as loud as those of any other trial where peaks allow. The
page needs no server: it opens from the disk, asks nothing of the network, and hands its answers over as a CSV file.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from babe2 import audio
from babe2.dsp.loudness import integrated_loudness
from babe2.dsp.peaks import true_peak
from babe2.dsp.resampling import resample
from babe2.dsp.tape import MemoryTape
from babe2.errors import RestorationError
from babe2.evaluation.clips import find_recordings
from babe2.replacing import write_text
from babe2.report.markup import house_file, in_script

Kind = Literal["mushra", "ab"]
LOUDNESS = -23.0  # LUFS of every sound, or less where a peak would not fit
PEAK = 10 ** (-1 / 20)  # of full scale, which no sound passes, between its samples either
ANCHORS_HZ = (7000.0, 3500.0)  # the mid and the low anchor of BS.1534
FADE_SECONDS = 0.02  # at both ends, so that no excerpt begins or ends with a click
MOST_CONDITIONS = 12  # that somebody can keep apart
REFERENCE = "reference"
ENDINGS = (".restored", ".mastered", ".denoised")  # of names that belong to the same recording
PAGE = files("babe2.evaluation") / "listening" / "page.html"


@dataclass(frozen=True)
class Trial:
    """What is heard together: files of one recording, by condition."""

    name: str
    places: Mapping[str, Path]


def trials_of(conditions: Mapping[str, Path]) -> list[Trial]:
    """The recordings that every condition has, by name; a condition is a file or a folder of files.

    `old.restored.wav` of one condition belongs to `old.wav` of another.
    """
    if len(conditions) < 2:
        raise RestorationError("A listening test compares at least two conditions. Give --condition NAME=PLACE twice.")
    if len(conditions) > MOST_CONDITIONS:
        raise RestorationError(
            f"Nobody can keep {len(conditions)} sounds apart. Give at most {MOST_CONDITIONS} conditions."
        )
    found = {name: _by_name(name, place) for name, place in conditions.items()}
    shared = set.intersection(*(set(each) for each in found.values()))
    if all(place.is_file() for place in conditions.values()):
        return [Trial(Path(next(iter(conditions.values()))).stem, conditions)]
    if not shared:
        raise RestorationError("No recording is there in every condition. Give folders with files of the same names.")
    return [Trial(name, {condition: each[name] for condition, each in found.items()}) for name in sorted(shared)]


def _by_name(condition: str, place: Path) -> dict[str, Path]:
    """The recordings of a condition by the name that they share with others."""
    found: dict[str, Path] = {}
    for path in find_recordings([place]):
        name = path.stem
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        if name in found:
            raise RestorationError(f"{condition} has {found[name].name} and {path.name}. Leave one of each recording.")
        found[name] = path
    return found


@dataclass(frozen=True)
class ListeningTest:
    """What is asked, and how it is made."""

    kind: Kind
    title: str
    seconds: float = 10.0  # of each recording
    start: float = 0.0  # seconds, where they begin
    seed: int = 0
    anchors: bool = True

    def write(self, trials: Sequence[Trial], folder: Path) -> Path:
        """Writes what listeners get into the folder `listen`, and the key beside it; returns the page."""
        if self.kind == "mushra" and any(REFERENCE not in trial.places for trial in trials):
            raise RestorationError("MUSHRA needs the original beside the others. Give --reference PLACE, or --kind ab.")
        draw, away = random.Random(self.seed), folder / "listen"
        try:
            (away / "sounds").mkdir(parents=True, exist_ok=True)
            asked, key = [], []
            for trial in trials:
                sounds = self._sounds(trial)
                opened = self._named(draw, sounds.pop(REFERENCE), away) if self.kind == "mushra" else None
                hidden = {name: self._named(draw, sound, away) for name, sound in sounds.items()}
                key += [{"trial": trial.name, "sound": file, "condition": name} for name, file in hidden.items()]
                asked += self._questions(draw, trial.name, opened, list(hidden.values()))
            draw.shuffle(asked)
            questions = {"title": self.title, "kind": self.kind, "seed": self.seed, "trials": asked}
            page = PAGE.read_text("utf-8").replace("{{house}}", house_file("house.css"))
            page = page.replace("{{title}}", html.escape(self.title)).replace("{{questions}}", in_script(questions))
            write_text(away / "index.html", page)
            write_text(folder / "key.json", json.dumps({"kind": self.kind, "sounds": key}, indent=2) + "\n")
            if self.kind == "mushra":
                write_text(away / "webmushra.yaml", self._webmushra(asked))
        except OSError as error:
            raise RestorationError(f"{folder} cannot be written to ({error.strerror}). Choose another place.") from None
        return away / "index.html"

    def _sounds(self, trial: Trial) -> dict[str, tuple[Tensor, int]]:
        """The excerpts of a trial (C, T), equally long and loud."""
        cut = {name: self._excerpt(path) for name, path in trial.places.items()}
        if self.kind == "mushra":
            sound, rate = cut[REFERENCE]
            cut["hidden reference"] = sound, rate
            if self.anchors:
                cut |= {f"anchor {hertz / 1000:g} kHz": (low_passed(sound, rate, hertz), rate) for hertz in ANCHORS_HZ}
        shortest = min(sound.shape[1] / rate for sound, rate in cut.values())
        cut = {name: (faded(sound[:, : round(shortest * rate)], rate), rate) for name, (sound, rate) in cut.items()}
        louder = {name: LOUDNESS - integrated_loudness(sound, rate) for name, (sound, rate) in cut.items()}
        if not all(map(math.isfinite, louder.values())):
            silent = next(name for name, gain in louder.items() if not math.isfinite(gain))
            raise RestorationError(f"{trial.places.get(silent, trial.name)} is silent there. Choose another --start.")
        peak = max(true_peak(MemoryTape(sound)) * 10 ** (louder[name] / 20) for name, (sound, _) in cut.items())
        softer = min(1.0, PEAK / peak)  # all of a trial together: they stay equally loud
        return {name: (sound * 10 ** (louder[name] / 20) * softer, rate) for name, (sound, rate) in cut.items()}

    def _excerpt(self, path: Path) -> tuple[Tensor, int]:
        recording = audio.read(path, start=self.start, duration=self.seconds)
        return torch.as_tensor(recording.audio).float()[:2], recording.sample_rate

    def _named(self, draw: random.Random, sound: tuple[Tensor, int], folder: Path) -> str:
        """Writes a sound under a name that tells nothing of it."""
        file = f"{draw.getrandbits(40):010x}.wav"
        audio.write(folder / "sounds" / file, sound[0].numpy(), sound[1], subtype="PCM_24", overwrite=True)
        return file

    def _questions(
        self, draw: random.Random, name: str, reference: str | None, sounds: list[str]
    ) -> list[dict[str, Any]]:
        """What is asked about a recording: all sounds at once, or every pair of them."""
        if self.kind == "mushra":
            draw.shuffle(sounds)
            return [{"name": name, "reference": reference, "sounds": sounds}]
        pairs = [list(pair) for pair in itertools.combinations(sounds, 2)]
        for pair in pairs:
            draw.shuffle(pair)
        return [{"name": name, "reference": None, "sounds": pair} for pair in pairs]

    def _webmushra(self, asked: Sequence[Mapping[str, Any]]) -> str:
        """The same test for webMUSHRA, whose own hidden reference and anchors are off: ours are among the stimuli."""
        pages = [
            {
                "type": "mushra",
                "id": f"trial{number}",
                "name": trial["name"],
                "content": "",
                "showWaveform": True,
                "enableLooping": True,
                "reference": f"sounds/{trial['reference']}",
                "createAnchor35": False,
                "createAnchor70": False,
                "stimuli": {f"C{i}": f"sounds/{sound}" for i, sound in enumerate(trial["sounds"], 1)},
            }
            for number, trial in enumerate(asked, 1)
        ]
        last = {"type": "finish", "name": "Thank you", "content": "", "showResults": False, "writeResults": True}
        whole = {
            "testname": self.title,
            "testId": f"babe2-{self.seed}",
            "bufferSize": 2048,
            "stopOnErrors": True,
            "showButtonPreviousPage": True,
            "remoteService": "service/write.php",
            "pages": [*pages, last],
        }
        import yaml  # which a machine that trains need not have

        return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)


def low_passed(sound: Tensor, sample_rate: int, hertz: float) -> Tensor:
    """Sound (C, T) without what lies above: brought down to twice that rate and up again, 0.1 dB flat to 0.9 of it."""
    if 2 * hertz >= sample_rate:
        return sound
    lowered = resample(sound, sample_rate, round(2 * hertz / 0.95))
    return resample(lowered, round(2 * hertz / 0.95), sample_rate)[:, : sound.shape[1]]


def faded(sound: Tensor, sample_rate: int) -> Tensor:
    """Sound (C, T) that begins and ends softly."""
    length = min(round(FADE_SECONDS * sample_rate), sound.shape[1] // 2)
    ramp = torch.sin(torch.linspace(0, math.pi / 2, length)) ** 2
    middle = torch.ones(sound.shape[1] - 2 * length)
    return sound * torch.cat([ramp, middle, ramp.flip(0)])
