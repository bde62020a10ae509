"""What recordings are fit to be learned from: each is heard, and kept or left out for a reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from babe2 import audio
from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import RestorationError
from babe2.page.first_look import first_look
from babe2.page.messages import sentence_of
from babe2.report.verdict import format_hertz
from babe2.training.corpus import RECORDINGS, AudioFile, check_source
from babe2.wording import clock, format_length, plain_name

LEARN, HELD = "learn", "held"  # folders: what is learned from, and what is kept apart to be restored on the way

SHORTEST_SECONDS = 3.0  # of a recording
LEAST_SECONDS, FEW_SECONDS = 60.0, 300.0  # of all: below, nothing is begun; below, it is said what to expect
TOO_LITTLE = "{} of good sound is too little to learn from. Give a minute at the least; ten are better."
MOST_SECONDS, MOST_RECORDINGS = 7200.0, 50  # more is not heard through in the minutes that there are
HELD_SECONDS, HELD_SHARE = (8.0, 30.0), 0.1  # kept apart: a tenth of all, within these limits

# Of eight pianos and three singers the treble lies no more than 12 dB below that of the music that piano-small knows,
# and 73 dB and more when they are cut off at 3.4 kHz. Their music is 26 dB and more above their noise.
LOWEST_RATE = 22_050  # Hz
TREBLE_HZ = (6000.0, 9000.0)
DULL_DB = -20.0  # beside the reference: a band that lies lower holds next to nothing
MIDDLE_HZ = 1000.0  # below it no band ends
DULL_BANDS = 3  # of a sixth of an octave: where so many hold nothing, the band has ended
LEAST_ABOVE_NOISE_DB = 20.0


@dataclass(frozen=True)
class Heard:
    """A recording as it was heard."""

    path: Path
    name: str  # as its owner calls it: to be shown, and nothing else
    seconds: float = 0.0
    end_hz: float | None = None  # up to where its band reaches
    sung: bool = False
    fault: str = ""  # why it is left out; "": it is kept


def hear(path: Path, reference: ReferenceLtas | None) -> Heard:
    """Hears one recording beside the average spectrum of good ones, `reference`."""
    name = plain_name(path.name)
    try:
        check_source(AudioFile(path, name), SHORTEST_SECONDS)
        seen = first_look(path, reference)
    except RestorationError as error:
        said = sentence_of(error, path)
        return Heard(path, name, fault=said[:1].lower() + said[1:])
    found = seen.found
    return Heard(path, name, seen.seconds, end_hz(found), bool(found["sung"]), fault_of(found))


def end_hz(found: Mapping[str, Any]) -> float | None:
    """Up to where a recording's band reaches, Hz, by what `analyse` found beside a reference; None where none is."""
    known = _beside_reference(found)
    if not _is_dull(known):
        return found["bandwidth_high_hz"]
    dull = [ratio < DULL_DB and hertz > MIDDLE_HZ for hertz, ratio in known]
    ends = [known[i][0] for i in range(len(known)) if all(dull[i : i + DULL_BANDS])]
    return min([*ends, TREBLE_HZ[0]])


def _is_dull(known: Sequence[tuple[float, float]]) -> bool:
    """Whether next to no treble is there, by each band's frequency and level over the reference's."""
    treble = [ratio for hertz, ratio in known if TREBLE_HZ[0] < hertz < TREBLE_HZ[1]]
    return bool(treble) and median(treble) < DULL_DB


def _beside_reference(found: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Frequency and level over the reference's, dB, of each band in which both are known."""
    ratios = found["ratio_to_reference_db"] or []
    known = zip(found["ltas"]["frequencies_hz"], ratios, strict=False)
    return [(hertz, ratio) for hertz, ratio in known if ratio is not None]


def fault_of(found: Mapping[str, Any]) -> str:
    """Why nothing good can be learned from a recording, by what `analyse` found; "" where something can."""
    end, rate = end_hz(found), found["sample_rate"]
    if found["bandwidth_high_hz"] is None:
        return "nothing in it comes and goes as music does."
    above = found["rms_dbfs"] - found["noise_floor_dbfs"] if found["noise_floor_dbfs"] is not None else None
    if above is not None and above < LEAST_ABOVE_NOISE_DB:
        return f"its music is only {max(above, 0):.0f} dB above its noise, which would be learned, too."
    if rate < LOWEST_RATE:
        return f"with {rate} samples a second it holds nothing above {format_hertz(rate / 2)}."
    if end is not None and _is_dull(_beside_reference(found)):
        return f"above {format_hertz(end)} it holds next to nothing, as a telephone or an old machine would leave it."
    return ""


def hear_all(paths: Sequence[Path], reference: ReferenceLtas | None) -> Iterator[Heard]:
    """Hears one after the other; what was there already, and what is too much, is left out."""
    known: set[str] = set()
    seconds = 0.0
    for n, path in enumerate(paths):
        if n >= MOST_RECORDINGS or seconds >= MOST_SECONDS:
            yield Heard(path, plain_name(path.name), fault="there is enough without it.")
            continue
        heard = hear(path, reference)
        if not heard.fault and (sha256 := audio.SoundFile(path).sha256()) in known:
            heard = Heard(path, heard.name, heard.seconds, heard.end_hz, fault="it was given twice.")
        elif not heard.fault:
            known.add(sha256)
            seconds += heard.seconds
        yield heard


def kept(heard: Sequence[Heard]) -> list[Heard]:
    """Those that are fit."""
    return [one for one in heard if not one.fault]


def seconds_of(heard: Sequence[Heard]) -> float:
    """How long they last together."""
    return sum(one.seconds for one in heard)


def check_enough(heard: Sequence[Heard]) -> None:
    """Refuses what is too little to learn anything from."""
    if (seconds := seconds_of(kept(heard))) < LEAST_SECONDS:
        raise RestorationError(TOO_LITTLE.format(format_length(seconds)))


def verdict(heard: Sequence[Heard]) -> str:
    """What can be expected of all together, in a sentence or two."""
    good = kept(heard)
    seconds = seconds_of(good)
    if seconds < LEAST_SECONDS:
        return TOO_LITTLE.format(format_length(seconds))
    said = f"{clock(seconds)} of good sound in {len(good)} {'recording' if len(good) == 1 else 'recordings'}. "
    if seconds < FEW_SECONDS:
        said += "That is little: these pieces are learned rather than the one who plays them. "
    if len({one.sung for one in good}) > 1:
        said += "Some sound sung and others played: one singer or one instrument is learned best. "
    return f"{said}The last {format_length(held_seconds(good))} of the longest are kept apart, to hear how far it is."


def held_seconds(good: Sequence[Heard]) -> float:
    """How much of the longest recording is kept apart."""
    least, most = HELD_SECONDS
    return min(most, max(least, HELD_SHARE * seconds_of(good)), max(one.seconds for one in good))


def divide(heard: Sequence[Heard], folder: Path) -> None:
    """Puts what is learned from and what is kept apart into two folders, under names of our own."""
    check_enough(heard)
    good = sorted(kept(heard), key=lambda one: -one.seconds)
    for name in (LEARN, HELD):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    longest, *others = good
    apart = held_seconds(good)
    rest = longest.seconds - apart
    if rest >= SHORTEST_SECONDS:
        cut(longest.path, folder / LEARN / "000.wav", 0.0, rest)
    cut(longest.path, folder / HELD / "000.wav", max(0.0, rest), apart)
    for n, one in enumerate(others, 1):
        suffix = one.path.suffix.lower()
        shutil.copyfile(one.path, folder / LEARN / f"{n:03d}{suffix if suffix in RECORDINGS else '.wav'}")


def cut(path: Path, target: Path, start: float, duration: float) -> None:
    """Writes a part of a recording, block by block."""
    part = audio.SoundFile(path, start=start, duration=duration)
    audio.write_blocks(target, part.blocks, part.sample_rate)


def as_table(heard: Sequence[Heard]) -> str:
    """What was kept and why, as HTML."""
    if not heard:
        return ""
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Recording", "Length", "Reaches to", "Verdict"))
    return f'<table class="heard"><thead><tr>{head}</tr></thead><tbody>{"".join(map(_row, heard))}</tbody></table>'


def _row(one: Heard) -> str:
    cells = (
        format_length(one.seconds) if one.seconds else "",
        format_hertz(one.end_hz) if one.end_hz else "",
        f"left out: {one.fault}" if one.fault else "kept",
    )
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row" translate="no">{escape(one.name)}</th>{told}</tr>'
