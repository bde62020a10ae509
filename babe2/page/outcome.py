"""The result of a visitor's run: its sounds and pictures for the page, and the files to download."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import tempfile
import weakref
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.chains import Chain
from babe2.dsp.loudness import integrated_loudness
from babe2.dsp.spectra import ReferenceLtas
from babe2.page import number_table
from babe2.page.cleaning import Cleaned
from babe2.page.excerpt import Excerpt
from babe2.page.tracks import CLEANED, EARLIER, LTAS_EQ, PEAK_DB, RECORDING, RESTORED
from babe2.provenance import checkpoint_name
from babe2.recordings.chunks import Tags
from babe2.recordings.recorded import Audio
from babe2.report import evidence, figures, recipe
from babe2.report.sounds import Sound
from babe2.report.verdict import Verdict, verdict
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.stages.restore import Restore
from babe2.wording import format_length, plain_name

IMAGINED = "What the recording had lost is imagined by the model: plausible, not recovered."
BEFOREHAND = "This example was restored beforehand. Press **Restore** to watch it being done."
KINDS = {"WAV, 24 bit": ("wav", "PCM_24"), "FLAC, 24 bit": ("flac", "PCM_24"), "WAV, 32-bit float": ("wav", "FLOAT")}


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run. Its sounds lie in a folder of its own, which goes when the outcome goes; memory holds none."""

    recording: Path
    excerpt: Excerpt
    checkpoint: str
    tags: Tags
    seconds: float  # that are finished
    wanted: float  # seconds that were asked for
    report: dict[str, Any]
    found: Verdict
    folder: Path
    beforehand: bool = False  # whether it is an example's, which nobody waited for
    cleaned: bool = False  # whether stages had cleaned the excerpt before it was restored

    @classmethod
    def of(
        cls,
        recording: Path,
        excerpt: Excerpt,
        checkpoint: str,
        sound: audio.Recording,
        restoration: Restoration,
        reference: ReferenceLtas | None,
        beforehand: bool = False,
        cleaned: Cleaned | None = None,
    ) -> Outcome:
        """Keeps a restoration of an excerpt's `sound`, or of what was `cleaned` of it; `reference` is the checkpoint's
        music."""
        folder = Path(tempfile.mkdtemp(prefix="babe2-kept-"))
        with open(folder / "restoration", "wb") as file:
            pickle.dump(replace(restoration), file)  # a new one does not hold the audio that was asked for already
        if cleaned is not None:
            with open(folder / "cleaned", "wb") as file:
                pickle.dump(cleaned, file)
        after = (restoration.audio, restoration.sample_rate)
        outcome = cls(
            recording,
            excerpt,
            checkpoint,
            sound.tags,
            seconds=restoration.samples / restoration.sample_rate,
            wanted=sound.audio.shape[1] / sound.sample_rate,
            report=restoration.report,
            found=verdict(as_long(sound, restoration), after, reference, restoration.report.get("band")),
            folder=folder,
            beforehand=beforehand,
            cleaned=cleaned is not None,
        )
        weakref.finalize(outcome, shutil.rmtree, folder, ignore_errors=True)
        return outcome

    def restoration(self) -> Restoration:
        """The restoration itself, read from the folder."""
        with open(self.folder / "restoration", "rb") as file:
            kept: Restoration = pickle.load(file)  # which this process wrote
        return kept

    def cleaning(self) -> Cleaned | None:
        """The excerpt as it was cleaned, read from the folder."""
        if not self.cleaned:
            return None
        with open(self.folder / "cleaned", "rb") as file:
            kept: Cleaned = pickle.load(file)  # which this process wrote
        return kept

    @property
    def words(self) -> str:
        """How far the run came, in one line."""
        if self.beforehand:
            return ""
        if self.seconds < self.wanted - 0.01:
            return f"Stopped after {format_length(self.seconds)} of {format_length(self.wanted)}."
        return f"Done: {format_length(self.seconds)} of sound in {self.report['seconds']:.1f} s."

    @property
    def verdict(self) -> str:
        """What was done and what to beware of, as Markdown."""
        imagined = "" if self.found.unchanged else f" {IMAGINED}"
        warned = [*self.report["warnings"], *self.found.warnings]
        said = [f"**{self.found.words}**{imagined}", *(f"- {warning}" for warning in warned)]
        return "\n\n".join([BEFOREHAND, *said] if self.beforehand else said)

    def take_home(
        self, folder: Path, restorer: Restorer, amount: float = 1.0, kind: str = "", rate: str = "", loud: bool = False
    ) -> Home:
        """The restored file as a visitor wishes to have it.

        `amount` of the restoration, a `kind` of file (KINDS), at `rate` Hz where that is a number, and as loud as the
        recording where `loud`.
        """
        extension, subtype = KINDS.get(kind, next(iter(KINDS.values())))
        wished = self.restoration()
        other = int(rate) if rate.isdigit() and int(rate) != wished.sample_rate else None
        if other:
            wished = wished.at_rate(other)
        if amount < 1:
            wished = wished.mixed(amount)
        file = folder / f"{plain_name(self.recording.stem)}.restored.{extension}"
        if loud:
            gain_db = self._gain_db(wished, integer=subtype != "FLOAT")
            wished = replace(wished, report=wished.report | {"gain_db": round(gain_db, 3)})
            louder = wished.audio * np.float32(10 ** (wished.report["gain_db"] / 20))
            audio.write(file, louder, wished.sample_rate, subtype=subtype, tags=wished.marked(self.tags))
        else:
            wished.save(file, subtype, self.tags)
        cleaning, chain = self.cleaning(), None
        if cleaning is not None:
            wanted = recipe.wishes(wished.report, restorer, other)
            chain = cleaning.chain(Restore.of(checkpoint=checkpoint_name(wished.report["checkpoint"]), **wanted))
            wished.report["chain_file"] = f"{plain_name(self.recording.stem)}.chain.yaml"
        command = recipe.command_line(
            wished.report,
            restorer,
            recording=self.recording.name,
            start=self.excerpt.start,
            duration=self.excerpt.duration,
            rate=other,
            subtype=subtype,
            output=file.name,
        )
        return Home(self, wished, file, command, restorer.reference, chain)

    def _gain_db(self, restoration: Restoration, integer: bool) -> float:
        """By how many dB a restoration is softer than its recording, no more than a file of integers has room for."""
        before = sound_before(restoration)
        target = integrated_loudness(*before)
        gain = target - integrated_loudness(restoration.audio, restoration.sample_rate)
        if not math.isfinite(gain):
            return 0.0
        peak = float(np.abs(restoration.audio).max())
        room = PEAK_DB - 20 * math.log10(max(peak, 1e-9))
        return min(gain, max(0.0, room)) if integer else gain


def sound_before(restoration: Restoration) -> Sound:
    """The recording, as much of it as was restored."""
    original = restoration.recorded.original
    before = np.concatenate([np.asarray(block) for block in original.blocks()], axis=1)
    seconds = restoration.samples / restoration.sample_rate
    return before[:, : max(1, round(seconds * original.sample_rate))], original.sample_rate


def as_long(sound: audio.Recording, restoration: Restoration) -> Sound:
    """A sound, no longer than what was restored of it."""
    seconds = restoration.samples / restoration.sample_rate
    return sound.audio[:, : max(1, round(seconds * sound.sample_rate))], sound.sample_rate


def sounds_to_compare(
    before: Sound,
    after: Audio,
    equalised: Audio | None,
    *,
    cleaned: Audio | None = None,
    earlier: Audio | None = None,
) -> dict[str, Audio]:
    """The tracks of the listening desk, all of one length; no more than it has room for, with what follows from them.

    `earlier` is what the run before has made of the same.
    """
    sound = np.asarray(before[0])[:, : after.shape[1]]
    if len(after) != len(sound):  # the published program folds channels to one
        return {RECORDING: sound.mean(axis=0, keepdims=True), RESTORED: after}
    others = {CLEANED: cleaned, EARLIER: earlier, LTAS_EQ: equalised if cleaned is None or earlier is None else None}
    fitting = {name: other for name, other in others.items() if other is not None and len(other) == len(sound)}
    return {RECORDING: sound, **{name: other[:, : after.shape[1]] for name, other in fitting.items()}, RESTORED: after}


def numbers(restoration: Restoration) -> dict[str, Any]:
    """The report, and what the restored sound is like."""
    found = analyse(restoration.audio, restoration.sample_rate)
    return restoration.report | {"statement": restoration.provenance.statement, "analysis": found}


def numbers_files(restoration: Restoration, found: Verdict, path: Path) -> tuple[str, Path]:
    """The numbers as a table, and the file `path` with all of them."""
    known = numbers(restoration)
    path.write_text(json.dumps(recipe.portable(known), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return number_table.as_html(number_table.rows(restoration, found, known["analysis"])), path


def pictures(before: Sound, restoration: Restoration, reference: ReferenceLtas | None) -> dict[str, Figure]:
    """The pictures on the page by name: two to lie over each other, the average spectra, the response."""
    after = (restoration.audio, restoration.sample_rate)
    drawn = figures.of_restoration(before, after, restoration, reference)
    left, right = figures.spectrogram_pair(before, after)
    return {"before": left, "after": right, "ltas": drawn["ltas"](), "response": drawn["response"]()}


def drawn(figure: Figure, path: Path, dark: bool) -> str:
    """The path of a figure's picture, made for a page that is dark or light."""
    return str(figures.save(figures.by_night(figure) if dark else figure, path))


@dataclass(frozen=True, eq=False)
class Home:
    """A restored file, and what can be had along with it."""

    outcome: Outcome
    restoration: Restoration
    file: Path
    command: list[str]  # that makes the file again
    reference: ReferenceLtas | None
    chain: Chain | None = None  # that the command takes it through

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return self.file.name.removesuffix(f".restored{self.file.suffix}")

    @property
    def words(self) -> str:
        """What the file says of itself, and by what it can be known again, as HTML."""
        said = escape(self.restoration.provenance.statement)
        known = recipe.fingerprint(self.file)["sha256"]
        return f"<p>The file says of itself: {said}</p><p>Its SHA-256: <code>{known}</code></p>"

    def papers(self, licence: str = "", credit: str = "") -> dict[str, bytes]:
        """Pictures, numbers and words, by file name."""
        chain = {} if self.chain is None else {self.restoration.report["chain_file"]: self.chain.text()}
        return evidence.papers(
            others=chain,
            recording=self.outcome.recording,
            name=self.outcome.recording.name,
            title=self.file.name,
            restored=self.file,
            restoration=self.restoration,
            command=self.command,
            reference=self.reference,
            start=self.outcome.excerpt.start,
            duration=self.outcome.excerpt.duration,
            licence=licence,
            credit=credit,
        )

    def pack(self, papers: dict[str, bytes]) -> Path:
        """File and papers as one ZIP, beside the file."""
        return evidence.pack(self.file.with_name(f"{self.stem}.babe2.zip"), papers, self.file.name, self.file)

    def pictures_and_numbers(self, papers: dict[str, bytes]) -> list[Path]:
        """Those of the papers that are pictures or numbers, as files beside the file."""
        chosen = {name: content for name, content in papers.items() if not name.endswith(".txt")}
        paths = [self.file.with_name(f"{self.stem}.{name.removeprefix(f'{self.stem}.')}") for name in chosen]
        for path, content in zip(paths, chosen.values(), strict=True):
            path.write_bytes(content)
        return paths
