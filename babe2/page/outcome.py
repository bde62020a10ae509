"""What came of a visitor's run: to hear, to see, and to take home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.page.excerpt import Excerpt
from babe2.page.tracks import LTAS_EQ, RECORDING, RESTORED
from babe2.recordings.recorded import Audio
from babe2.report import evidence, figures, recipe
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.wording import format_length

IMAGINED = "What the recording had lost is imagined by the model: plausible, not recovered."
KINDS = {"WAV, 24 bit": ("wav", "PCM_24"), "FLAC, 24 bit": ("flac", "PCM_24"), "WAV, 32-bit float": ("wav", "FLOAT")}


@dataclass(frozen=True, eq=False)
class Outcome:
    """A recording, a part of it, and its restoration."""

    recording: Path
    excerpt: Excerpt
    sound: audio.Recording  # of the excerpt
    restorer: Restorer
    restoration: Restoration

    @property
    def words(self) -> str:
        seconds = self.restoration.samples / self.restoration.sample_rate
        return f"done: {format_length(seconds)} of sound in {self.restoration.report['seconds']:.1f} s. {IMAGINED}"

    @property
    def warnings(self) -> str:
        return "\n".join(f"- {warning}" for warning in self.restoration.report["warnings"])

    def sounds(self) -> dict[str, Audio]:
        """For the listening desk."""
        before, after, rate = self.sound.audio, self.restoration.audio, self.sound.sample_rate
        length = after.shape[1]
        if len(after) != len(before):  # the published program folds channels to one
            return {RECORDING: before[:, :length].mean(axis=0, keepdims=True), RESTORED: after}
        sounds = {RECORDING: before[:, :length], RESTORED: after}
        if self.restorer.ltas is not None:
            sounds[LTAS_EQ] = self.restorer.restore(before, rate, method="ltas-eq").audio[:, :length]
        return sounds

    def numbers(self) -> dict[str, Any]:
        return self.restoration.report | {"analysis": analyse(self.restoration.audio, self.restoration.sample_rate)}

    def pair(self) -> tuple[Figure, Figure]:
        """Before and after, to lie over each other."""
        return figures.spectrogram_pair(self._before, self._after)

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        return figures.of_restoration(self._before, self._after, self.restoration, self.restorer.reference)

    def take_home(self, folder: Path, amount: float, kind: str, rate: str) -> Home:
        """As a visitor wishes to have it: so much of it, as such a file, at so many Hz where `rate` is a number."""
        extension, subtype = KINDS[kind]
        other = int(rate) if rate.isdigit() and int(rate) != self.restoration.sample_rate else None
        wished = self.restoration.at_rate(other) if other else self.restoration
        if amount < 1:
            wished = wished.mixed(amount)
        file = folder / f"{recipe.plain_name(self.recording.stem)}.restored.{extension}"
        wished.save(file, subtype, self.sound.tags)
        command = recipe.command_line(
            wished.report,
            self.restorer,
            recording=self.recording.name,
            start=self.excerpt.start,
            duration=self.excerpt.duration,
            rate=other,
            subtype=subtype,
            output=file.name,
        )
        return Home(self, wished, file, command)

    @property
    def _before(self) -> figures.Sound:
        return self.sound.audio, self.sound.sample_rate

    @property
    def _after(self) -> figures.Sound:
        return self.restoration.audio, self.restoration.sample_rate


@dataclass(frozen=True, eq=False)
class Home:
    """A restored file, and what can be had along with it."""

    outcome: Outcome
    restoration: Restoration
    file: Path
    command: list[str]  # that makes the file again

    @property
    def stem(self) -> str:
        return self.file.name.removesuffix(f".restored{self.file.suffix}")

    def papers(self, licence: str = "", credit: str = "") -> dict[str, bytes]:
        """Pictures, numbers and words, by file name."""
        return evidence.papers(
            recording=self.outcome.recording,
            name=self.outcome.recording.name,
            title=self.file.name,
            restoration=self.restoration,
            command=self.command,
            reference=self.outcome.restorer.reference,
            start=self.outcome.excerpt.start,
            duration=self.outcome.excerpt.duration,
            licence=licence,
            credit=credit,
        )

    def pack(self, papers: dict[str, bytes]) -> Path:
        """File and papers as one ZIP, beside the file."""
        return evidence.pack(self.file.with_name(f"{self.stem}.babe2.zip"), papers, self.file.name, self.file)

    def pictures_and_numbers(self, papers: dict[str, bytes]) -> list[Path]:
        """Those of the papers, as files beside the file."""
        chosen = {name: content for name, content in papers.items() if not name.endswith(".txt")}
        paths = [self.file.with_name(f"{self.stem}.{name}") for name in chosen]
        for path, content in zip(paths, chosen.values(), strict=True):
            path.write_bytes(content)
        return paths
