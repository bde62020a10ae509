"""Which chain suits a recording, and why: each cleaning stage listens to its liveliest part and tells what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

from babe2 import checkpoints
from babe2.analysis import analyse
from babe2.analysis.liveliest import liveliest
from babe2.chains.chain import Chain
from babe2.chains.link import Link
from babe2.config import DEFAULT_CHECKPOINT
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.tape import MemoryTape
from babe2.errors import RestorationError
from babe2.recordings.recorded import Samples
from babe2.stages import Bench, Report, Stage, make
from babe2.stages.align import Align
from babe2.stages.declick import Declick
from babe2.stages.dehum import Dehum
from babe2.stages.denoise import Denoise
from babe2.stages.fill import Fill
from babe2.stages.remix import Remix
from babe2.stages.restore import Restore
from babe2.stages.rumble import Rumble
from babe2.stages.separate import VOCALS, Separate

HEARD_SECONDS = 30.0  # of a recording, where it is liveliest
CLICKS_A_MINUTE = 20.0  # fewer are no worry
NOISE_DB = 50.0  # a floor that lies further below the loudness is not heard
LOUD_DB = 20.0  # a floor that is no further below: music hides in it that only a prior knows of
VOICE = "voice-small"  # the prior of singing that is included


class Reason(NamedTuple):
    """Why a stage is in a chain, or is not."""

    stage: str
    wanted: bool
    words: str


@dataclass(frozen=True)
class Suggestion:
    """A chain, and for every stage that was thought of why it is in it or not."""

    chain: Chain
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, Any]:
        """In plain words and lists, for machines."""
        return {"chain": self.chain.text(), "reasons": [reason._asdict() for reason in self.reasons]}


def suggest(
    audio: npt.ArrayLike | Tensor, sample_rate: int, reference: ReferenceLtas, *, bench: Bench | None = None
) -> Suggestion:
    """The chain for a recording (samples,) or (channels, samples); `reference` is the default prior's music.

    Only its liveliest half minute is listened to.
    """
    sound = Samples.of(audio, sample_rate)
    start = round(liveliest(sound.held, sound.sample_rate, HEARD_SECONDS) * sound.sample_rate)
    part = sound.held[:, start : start + round(HEARD_SECONDS * sound.sample_rate)]
    about = analyse(part, sound.sample_rate, reference)
    if about["loudness_lufs"] is None and about["rms_dbfs"] is None:
        raise RestorationError("The recording is silent, so there is nothing to clean or to restore in it.")
    listener = _Listener(part, sound.sample_rate, bench or Bench())
    links, reasons = list[Link](), list[Reason]()

    def weigh(stage: Stage, wanted: bool, words: str, track: str = "") -> None:
        reasons.append(Reason(stage.name, wanted, words))
        if wanted:
            links.append(Link(stage, track) if track else Link(stage))

    weigh(Align(), *listener.walls())
    weigh(Declick(), *listener.clicks())
    weigh(Fill(), *listener.dropouts())
    weigh(Dehum(), *listener.hum())
    weigh(Rumble(), *listener.rumble())
    below = _below_music(about)
    loud = below is not None and below < LOUD_DB and not about["sung"]  # the prior knows no voices
    weigh(Denoise.of(method="prior") if loud else Denoise(), *_noise(below, loud))
    if about["sung"]:
        words = "the strongest partial moves and swells as a voice does, and the default prior knows pianos only"
        weigh(Separate(), True, words)
        weigh(Restore.of(checkpoint=VOICE), True, "the voice alone is restored, by the prior of singing", VOCALS)
        weigh(Remix(), True, "the accompaniment comes back as it was")
    else:
        weigh(Restore(), *_end(about))
    if not links:
        links.append(Link(Restore.of(method="none")))
    title = "Suggested: " + " → ".join(link.name for link in links)
    why = " ".join(f"{reason.stage}: {reason.words}." for reason in reasons if reason.wanted)
    return Suggestion(Chain(title, tuple(links), why or "Nothing is wrong with this recording."), tuple(reasons))


class _Listener:
    """Lets stages listen to a part of a recording; what one has cleaned is what the next one hears."""

    def __init__(self, part: Tensor, sample_rate: int, bench: Bench) -> None:
        self._tape, self._rate, self._bench = MemoryTape(part), sample_rate, bench
        self._minutes = part.shape[1] / sample_rate / 60
        self._left = 0  # drop-outs that the declicker has left

    def _report(self, stage: Stage) -> Report:
        made = make(stage, self._tape, self._rate, self._bench)
        self._tape = MemoryTape(made.tape.read(0, made.tape.samples))
        return made.report

    def walls(self) -> tuple[bool, str]:
        """Whether both channels are one mono disc that was played askew."""
        if self._tape.channels != 2:
            return False, "there are no two channels to bring into line"
        report = self._report(Align())
        if not report["found"].get("mono_disc"):
            return False, "the channels differ as those of a stereo recording do"
        if report["removed_db"] is None:
            return False, "both channels are in line already"
        return True, "both channels hold one mono disc, not quite in line"

    def clicks(self) -> tuple[bool, str]:
        """Whether clicks are to be heard."""
        report = self._report(Declick())
        self._left = len(report["found"].get("left_seconds", []))
        rate = report["counts"].get("clicks", 0) / self._minutes
        return rate >= CLICKS_A_MINUTE, f"about {rate:.0f} clicks a minute"

    def dropouts(self) -> tuple[bool, str]:
        """Whether the sound is gone for moments too long for the declicker."""
        return self._left > 0, f"{self._left} drop-outs of more than 5 ms" if self._left else "nothing has dropped out"

    def hum(self) -> tuple[bool, str]:
        """Whether the mains are to be heard."""
        found = self._report(Dehum())
        mains = found["found"].get("mains_hz")
        if mains is None or found["removed_db"] is None:
            return False, "no line of the mains is there all the time"
        return True, f"the mains hum at {mains:.1f} Hz, {found['removed_db']:.0f} dB relative to all"

    def rumble(self) -> tuple[bool, str]:
        """Whether something shakes below the music."""
        found = self._report(Rumble())
        if found["removed_db"] is None:
            return False, "below the music there is nothing"
        return True, f"below {found['found']['corner_hz']:.0f} Hz there is no music, only rumble"


def _below_music(about: dict[str, Any]) -> float | None:
    """By how many dB the noise lies below the music; None where no noise is found."""
    floor, loudness = about["noise_floor_dbfs"], about["loudness_lufs"]
    return None if floor is None or loudness is None else loudness - floor


def _noise(below: float | None, loud: bool) -> tuple[bool, str]:
    if below is None:
        return False, "no noise floor is found"
    words = f"the noise lies {below:.0f} dB below the music"
    return below < NOISE_DB, words + (", so loud that the prior of the music does best" if loud else "")


def _end(about: dict[str, Any]) -> tuple[bool, str]:
    band = about["restorer"]
    if band is None or not band["high_hz"]:
        return True, "where its band ends cannot be told beforehand"
    if band["ends"]:
        return True, f"its band ends at {band['high_hz'] / 1000:.1f} kHz"
    return False, f"music reaches up to {band['high_hz'] / 1000:.1f} kHz, as far as it goes: nothing above was lost"


def reference_of_default() -> ReferenceLtas:
    """The average spectrum of the music that the included prior knows."""
    checkpoint = checkpoints.load(DEFAULT_CHECKPOINT)
    assert isinstance(checkpoint.ltas, torch.Tensor)
    return ReferenceLtas(checkpoint.ltas, checkpoint.model.sample_rate)
