"""The result of a visitor's run: its sounds and pictures for the page, and the files to download."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.chains import Chain
from babe2.dsp.loudness import integrated_loudness
from babe2.dsp.spectra import ReferenceLtas
from babe2.methods import METHODS, WORDS
from babe2.methods.ltas_eq import LtasEq
from babe2.page import number_table
from babe2.page.cleaning import Cleaned
from babe2.page.excerpt import Excerpt
from babe2.page.glossary import PRESETS
from babe2.provenance import checkpoint_name
from babe2.recordings.chunks import Tags
from babe2.recordings.recorded import Audio
from babe2.report import evidence, figures, recipe
from babe2.report.finished import PACKED_RECIPE, PACKED_REPORT, FinishedRun
from babe2.report.html_pages import write_page
from babe2.report.sounds import Sound
from babe2.report.tracks import CLEANED, EARLIER, LTAS_EQ, MOST_TRACKS, OLDER, PEAK_DB, RECORDING, RESTORED, desk_tracks
from babe2.report.tracks import WORDS as WORDS_OF_TRACKS
from babe2.report.verdict import Verdict, verdict
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.stages.restore import Restore
from babe2.wording import format_length, plain_name

IMAGINED = "What the recording had lost is imagined by the model: plausible, not recovered."
BEFOREHAND = "This example was restored beforehand. Press **Restore** to watch it being done."
KINDS = {"WAV, 24 bit": ("wav", "PCM_24"), "FLAC, 24 bit": ("flac", "PCM_24"), "WAV, 32-bit float": ("wav", "FLOAT")}


class Earlier(NamedTuple):
    """What a run before has made of the same excerpt."""

    title: str  # by which it is told from others
    how: str
    audio: Audio
    sample_rate: int
    keeps_length: bool = True  # whether it runs as fast as the recording


@dataclass(frozen=True, eq=False)
class Outcome(ABC):
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
    beforehand: bool = field(default=False, kw_only=True)  # whether it is an example's, which nobody waited for

    mixable: ClassVar[bool]  # whether amount, loudness and rate are chosen when it is done
    has_response: ClassVar[bool]  # whether it knows how the machine coloured the sound

    @property
    def is_certain(self) -> bool:
        """Whether it is known what of it was measured and what imagined."""
        return self.mixable and "certainty" in self.report

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
        """What came of it, large, and what to beware of, as Markdown."""
        imagined = IMAGINED if self.found.imagines and not self.found.unchanged else ""
        warned = [*self.report["warnings"], *(self.found.warnings if self.found.imagines else [])]
        told = [self.report["certainty"]["words"]] if self.is_certain else []
        said = [f"## {self._done}", imagined, self.made_beforehand if self.beforehand else "", *told]
        return "\n\n".join(filter(None, [*said, *(f"- {warning}" for warning in warned)]))

    @property
    def made_beforehand(self) -> str:
        """That an example's result lay ready."""
        return BEFOREHAND

    @property
    def _done(self) -> str:
        return self.found.words

    @property
    @abstractmethod
    def title(self) -> str:
        """What it was made by, in a word or two."""

    @property
    @abstractmethod
    def how(self) -> str:
        """The same, to the seed."""

    @abstractmethod
    def as_earlier(self) -> Earlier:
        """It, for the desk of a later run."""

    @abstractmethod
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
        """The listening desk with its excerpt's `sound`, the same with its average spectrum matched, and the result."""

    @abstractmethod
    def pictures(self, sound: audio.Recording, reference: ReferenceLtas | None) -> dict[str, Figure]:
        """The pictures on the page by name: two to lie over each other, the average spectra, perhaps the response and
        what of it was measured."""

    @abstractmethod
    def numbers_files(self, path: Path) -> tuple[str, Path]:
        """The numbers as a table, and the file `path` with all of them."""

    @abstractmethod
    def take_home(
        self,
        folder: Path,
        restorer: Restorer,
        amount: float = 1.0,
        kind: str = "",
        rate: str = "",
        loud: bool = False,
        imagined: float = 1.0,
    ) -> Home:
        """The restored file as a visitor wishes to have it.

        `amount` of the restoration, a `kind` of file (KINDS), at `rate` Hz where that is a number, as loud as the
        recording where `loud`, and with so much left of what was `imagined`.
        """


@dataclass(frozen=True, eq=False)
class Restored(Outcome):
    """A restoration, perhaps of what stages had cleaned before."""

    cleaned: bool = False  # whether stages had cleaned the excerpt before it was restored

    mixable: ClassVar[bool] = True
    has_response: ClassVar[bool] = True

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
    ) -> Restored:
        """Keeps a restoration of an excerpt's `sound`, or of what was `cleaned` of it; `reference` is the checkpoint's
        music."""
        folder = kept_folder(restoration=replace(restoration), cleaned=cleaned)  # a new one holds no audio already
        after = (restoration.audio, restoration.sample_rate)
        outcome = cls(
            recording,
            excerpt,
            checkpoint,
            sound.tags,
            seconds=restoration.samples / restoration.sample_rate,
            wanted=sound.audio.shape[1] / sound.sample_rate,
            report=restoration.report,
            found=verdict(
                as_long(sound, restoration),
                after,
                reference,
                restoration.report.get("band"),
                imagines=restoration.report["generates"],
            ),
            folder=folder,
            beforehand=beforehand,
            cleaned=cleaned is not None,
        )
        weakref.finalize(outcome, shutil.rmtree, folder, ignore_errors=True)
        return outcome

    def restoration(self) -> Restoration:
        """The restoration itself, read from the folder."""
        kept: Restoration = unpacked(self.folder, "restoration")
        return kept

    def cleaning(self) -> Cleaned | None:
        """The excerpt as it was cleaned, read from the folder."""
        kept: Cleaned | None = unpacked(self.folder, "cleaned")
        return kept

    @property
    def _done(self) -> str:
        return self.found.words if self.report["changes"] else "Nothing was changed: this is the recording."

    @property
    def _by_name(self) -> bool:
        """Whether its method was asked for by name, and not left to the checkpoint and the preset."""
        return self.report["method"] not in WORDS

    @property
    def title(self) -> str:
        if self._by_name:
            return METHODS[self.report["solver"]].title
        return PRESETS[self.report["preset"]].partition(":")[0].lower()

    @property
    def how(self) -> str:
        cleaned = ", cleaned before" if self.cleaned else ""
        return f"method {self.report['solver']}, preset {self.report['preset']}, seed {self.report['seed']}{cleaned}"

    def as_earlier(self) -> Earlier:
        restoration = self.restoration()
        return Earlier(self.title, self.how, restoration.audio, restoration.sample_rate)

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
        restoration, clean = self.restoration(), self.cleaning()
        restoration = self._as_wished(restoration, amount, imagined)
        method = METHODS[self.report["solver"]]
        before = fitting(earlier, restoration.sample_rate)
        by_filter = LtasEq.title in (method.title, *(each.title for each in before))  # then that is there already
        tracks = sounds_to_compare(
            as_long(sound, restoration),
            restoration.audio,
            None if by_filter else equalised,
            cleaned=None if clean is None else clean.sound.audio,
            earlier=[each.audio for each in before],
        )
        words = {RESTORED: (method.title, f"{method.does[0].upper()}{method.does[1:]}.")} if self._by_name else {}
        if "imagined" in restoration.report:
            title, hint = words.get(RESTORED, WORDS_OF_TRACKS[RESTORED])
            words[RESTORED] = (f"{title}, {imagined:.0%} of what was imagined", hint)
        rate, start = sound.sample_rate, self.excerpt.start
        words |= words_of(before)
        known = restoration.certainty
        return desk_tracks(
            tracks, rate, folder, start=start, amount=amount, select=select, words=words, certainty=known
        )

    def pictures(self, sound: audio.Recording, reference: ReferenceLtas | None) -> dict[str, Figure]:
        restoration = self.restoration()
        return pictures(as_long(sound, restoration), restoration, reference)

    def numbers_files(self, path: Path) -> tuple[str, Path]:
        restoration = self.restoration()
        known = numbers(restoration)
        return number_table.as_html(number_table.rows(restoration, self.found, known["analysis"])), written(path, known)

    def take_home(
        self,
        folder: Path,
        restorer: Restorer,
        amount: float = 1.0,
        kind: str = "",
        rate: str = "",
        loud: bool = False,
        imagined: float = 1.0,
    ) -> RestoredHome:
        extension, subtype = KINDS.get(kind, next(iter(KINDS.values())))
        wished = self.restoration()
        other = int(rate) if rate.isdigit() and int(rate) != wished.sample_rate else None
        if other:
            wished = wished.at_rate(other)
        wished = self._as_wished(wished, amount, imagined)
        file = folder / f"{plain_name(self.recording.stem)}.restored.{extension}"
        if loud:
            gain_db = self._gain_db(wished, integer=subtype != "FLOAT")
            wished = replace(wished, report=wished.report | {"gain_db": round(gain_db, 3)})
            louder = wished.audio * np.float32(10 ** (wished.report["gain_db"] / 20))
            audio.write(file, louder, wished.sample_rate, subtype=subtype, tags=wished.marked(self.tags))
        else:
            wished.save(file, subtype, self.tags)
        cleaning, wanted = self.cleaning(), recipe.wishes(wished.report, restorer, other)
        restore = Restore.of(checkpoint=checkpoint_name(wished.report["checkpoint"]), **wanted)
        chain = Chain.of(restore) if cleaning is None else cleaning.chain(restore)
        if cleaning is not None:
            wished.report["chain_file"] = chain_name(self.recording)
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
        return RestoredHome(self, file, command, chain, wished, restorer.reference)

    def _as_wished(self, restoration: Restoration, amount: float, imagined: float) -> Restoration:
        """A restoration with so much of what was imagined in it, and then mixed with its recording."""
        if imagined < 1 and self.is_certain:
            restoration = restoration.with_imagined(imagined)
        return restoration.mixed(amount) if amount < 1 else restoration

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
    parts: Mapping[str, Audio] = MappingProxyType({}),
    earlier: Sequence[Audio] = (),
) -> dict[str, Audio]:
    """The tracks of the listening desk, all of one length; no more than it has room for, with what follows from them.

    `parts` are what a recording was parted into, by track; `earlier` is what the runs before have made of the same,
    the latest first.
    """
    sound = np.asarray(before[0])[:, : after.shape[1]]
    if len(after) != len(sound):  # the published program folds channels to one
        return {RECORDING: sound.mean(axis=0, keepdims=True), RESTORED: after}
    runs = dict(zip((EARLIER, OLDER), earlier, strict=False))
    others = {CLEANED: cleaned, **parts, EARLIER: runs.get(EARLIER), LTAS_EQ: equalised, OLDER: runs.get(OLDER)}
    shown, room = {RECORDING: sound}, MOST_TRACKS - 3  # recording, restored and what was added are there
    for name, other in others.items():
        tracks = 2 if name == CLEANED else 1  # with what was taken away
        if other is not None and len(other) == len(sound) and tracks <= room:
            shown[name] = other[:, : after.shape[1]]
            room -= tracks
    return {**shown, RESTORED: after}


def fitting(earlier: Sequence[Earlier], sample_rate: int) -> list[Earlier]:
    """What runs before have made, as far as it can be laid beside a recording of this rate."""
    return [each for each in earlier if each.keeps_length and each.sample_rate == sample_rate]


def words_of(earlier: Sequence[Earlier]) -> dict[str, tuple[str, str]]:
    """Titles and hints of what runs before have made."""
    told = {EARLIER: ("Before", "What the run before this one"), OLDER: ("Before that", "What an earlier run")}
    return {
        key: (f"{when}: {each.title}", f"{who} had made of the same excerpt: {each.how}.")
        for (key, (when, who)), each in zip(told.items(), earlier, strict=False)
    }


def kept_folder(**things: Any) -> Path:
    """A new folder in which things are kept by name."""
    folder = Path(tempfile.mkdtemp(prefix="babe2-kept-"))
    for name, thing in things.items():
        with open(folder / name, "wb") as file:
            pickle.dump(thing, file)
    return folder


def unpacked(folder: Path, name: str) -> Any:
    """What is kept in a folder, which this process has filled."""
    with open(folder / name, "rb") as file:
        return pickle.load(file)


def chain_name(recording: Path) -> str:
    """What the file of a chain is called that has made something of a recording."""
    return f"{plain_name(recording.stem)}.chain.yaml"


def numbers(restoration: Restoration) -> dict[str, Any]:
    """The report, and what the restored sound is like."""
    found = analyse(restoration.audio, restoration.sample_rate)
    report = recipe.portable(restoration.report)
    return report | {"statement": restoration.provenance.statement, "analysis": found}


def written(path: Path, known: Mapping[str, Any]) -> Path:
    """The file `path` with all numbers."""
    path.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return path


def pictures(before: Sound, restoration: Restoration, reference: ReferenceLtas | None) -> dict[str, Figure]:
    """The pictures on the page by name: two to lie over each other, the average spectra, the response, and what was
    measured where that is known."""
    after = (restoration.audio, restoration.sample_rate)
    drawn = figures.of_restoration(before, after, restoration, reference)
    left, right = figures.spectrogram_pair(before, after)
    found = {"before": left, "after": right}
    for name in ("ltas", "response", "certainty"):
        if name in drawn:
            found[name] = drawn[name]()
    return found


def drawn(figure: Figure, path: Path, dark: bool) -> str:
    """The path of a figure's picture, made for a page that is dark or light."""
    return str(figures.save(figures.by_night(figure) if dark else figure, path))


@dataclass(frozen=True, eq=False)
class Home(ABC):
    """A restored file, and what can be had along with it."""

    outcome: Outcome
    file: Path
    command: list[str]  # that makes the file again
    chain: Chain  # that makes the same of a recording

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return self.file.name.removesuffix(f".restored{self.file.suffix}")

    @property
    @abstractmethod
    def statement(self) -> str:
        """What the file says of itself."""

    @property
    def words(self) -> str:
        """The same, and by what it can be known again, as HTML."""
        known = recipe.fingerprint(self.file)["sha256"]
        return f"<p>The file says of itself: {escape(self.statement)}</p><p>Its SHA-256: <code>{known}</code></p>"

    @abstractmethod
    def papers(self, licence: str = "", credit: str = "") -> dict[str, bytes]:
        """Pictures, numbers and words, by file name."""

    def pack(self, papers: dict[str, bytes]) -> Path:
        """File and papers as one ZIP, beside the file."""
        return evidence.pack(self.file.with_name(f"{self.stem}.babe2.zip"), papers, self.file.name, self.file)

    def chain_file(self) -> Path:
        """The chain as a file beside the file."""
        path = self.file.with_name(chain_name(self.outcome.recording))
        path.write_text(self.chain.text(), "utf-8")
        return path

    def report_page(self, papers: dict[str, bytes]) -> Path:
        """All of it as one page beside the file: to hear, to see, to read and to print, without a network."""
        command, _, _ = papers[PACKED_RECIPE].decode().partition("\n\n")
        run = FinishedRun(json.loads(papers[PACKED_REPORT]), self.outcome.recording, self.file, command)
        return write_page(run, self.file.with_name(f"{self.stem}.report.html"))

    def pictures_and_numbers(self, papers: dict[str, bytes]) -> list[Path]:
        """Those of the papers that are pictures or numbers, as files beside the file."""
        chosen = {name: content for name, content in papers.items() if not name.endswith(".txt")}
        paths = [self.file.with_name(f"{self.stem}.{name.removeprefix(f'{self.stem}.')}") for name in chosen]
        for path, content in zip(paths, chosen.values(), strict=True):
            path.write_bytes(content)
        return paths


@dataclass(frozen=True, eq=False)
class RestoredHome(Home):
    """The file of a restoration."""

    restoration: Restoration
    reference: ReferenceLtas | None

    @property
    def statement(self) -> str:
        return self.restoration.provenance.statement

    def papers(self, licence: str = "", credit: str = "") -> dict[str, bytes]:
        needed = self.restoration.report.get("chain_file")
        return evidence.papers(
            others={needed: self.chain.text()} if needed else {},
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
