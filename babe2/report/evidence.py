"""What to keep beside a restoration: how it was made, from what, and what in it is no recording."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babe2 import audio
from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import RestorationError
from babe2.replacing import replacing
from babe2.report import figures
from babe2.report.numbers import breakpoints, gains, levels, table
from babe2.report.recipe import fingerprint, plain_name, portable, recipe
from babe2.report.verdict import FEWEST_SECONDS, Verdict, format_hertz, verdict
from babe2.restoration import Restoration

_TIMELESS = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP knows: same contents, same file


def pack(path: str | os.PathLike[str], papers: Mapping[str, bytes], title: str, restored: Path | None) -> Path:
    """Writes a ZIP with the `restored` file, called `title`, and the `papers` that tell how it came about. It appears
    under its name only when it is complete.
    """
    path = Path(path)
    try:
        with replacing(path) as new, zipfile.ZipFile(new, "x") as archive:
            for name, content in papers.items():
                archive.writestr(_member(name), content, zipfile.ZIP_DEFLATED)
            if restored is not None:
                with open(restored, "rb") as source, archive.open(_member(title), "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target)
    except OSError as error:
        raise RestorationError(f"{path.name} cannot be written: {error.strerror}. Choose another place.") from error
    return path


def papers(
    *,
    recording: Path,
    name: str,
    title: str,
    restoration: Restoration,
    command: Sequence[str],
    reference: ReferenceLtas | None = None,
    start: float = 0.0,
    duration: float | None = None,
    licence: str = "",
    credit: str = "",
) -> dict[str, bytes]:
    """All that tells how a restoration, a file called `title`, came about, as files by name; nothing in them names
    this machine.

    `recording` is the untouched file, called `name` by its owner, of which `duration` seconds from `start` on were
    restored; `command` is what `command_line` says. `licence` and `credit` are the checkpoint's.
    """
    name = plain_name(name)
    before = audio.read(recording, start=start, duration=duration)
    seconds = restoration.samples / restoration.sample_rate  # of a run that was stopped: fewer
    original = before.audio[:, : max(1, round(seconds * before.sample_rate))], before.sample_rate
    restored = (restoration.audio, restoration.sample_rate)
    report = portable(restoration.report) | {
        "input": {"name": name, **fingerprint(recording)},
        "excerpt": {"start": start, "seconds": round(seconds, 6)},
    }
    done = verdict(original, restored, reference, report.get("band")) if seconds >= FEWEST_SECONDS else None
    limit_hz = reference.sample_rate / 2 if reference and reference.sample_rate < before.sample_rate else None
    texts = {
        "README.txt": read_me(title, name, report, done, limit_hz, licence, credit),
        "report.json": json.dumps(report, indent=2, ensure_ascii=False) + "\n",
        "reproduce.txt": recipe(command, report, restoration.seconds),
        "equalizer.csv": table(("frequency_hz", "gain_db"), gains(restoration)),
        "breakpoints.csv": table(
            ("segment", "frequency_hz", "slope_below_db_per_octave", "slope_above_db_per_octave"),
            breakpoints(restoration),
        ),
        "ltas.csv": table(
            ("frequency_hz", "original_db", "restored_db", "reference_db"), levels([original, restored], reference)
        ),
    }
    if texts["breakpoints.csv"].count("\n") == 1:  # a response that is known at every frequency has none
        del texts["breakpoints.csv"]
    found = {what: text.encode() for what, text in texts.items()}
    for what, picture in figures.of_restoration(original, restored, restoration, reference).items():
        figure = picture()
        found |= {f"{what}.{kind}": figures.encoded(figure, kind) for kind in ("png", "svg")}
    return found


def _member(name: str) -> zipfile.ZipInfo:
    """An entry of the ZIP, stored as it is unless told otherwise."""
    info = zipfile.ZipInfo(name, _TIMELESS)
    info.external_attr = 0o644 << 16
    return info


def read_me(
    title: str,
    name: str,
    report: Mapping[str, Any],
    done: Verdict | None,
    limit_hz: float | None,
    licence: str,
    credit: str,
) -> str:
    """Sentences on what is a recording here and what is not.

    `done` is what was found to have changed, None where the sound is too short to tell. The recording above `limit_hz`
    was left as it was.
    """
    checkpoint = report["checkpoint"]
    lines = [f"{title} was made from {name} by babe2 {report['versions']['babe2']} with the checkpoint {checkpoint}."]
    lines.append(_what_was_done(report["method"], done))
    if limit_hz is not None and report["method"] != "ltas-eq":
        lines.append(
            f"Above {format_hertz(limit_hz)}, where the checkpoint knows no music, the recording was left as it was."
        )
    amount = report.get("amount", 1)
    if amount < 1:
        lines.append(f"This file is a mixture: {1 - amount:.0%} is the recording as it was, {amount:.0%} is the above.")
    if gain := report.get("gain_db"):
        lines.append(
            f"It was made {abs(gain):.1f} dB {'louder' if gain > 0 else 'softer'}, to be as loud as the recording."
        )
    if licence or credit:
        said = " ".join(f"{what}: {text}." for what, text in (("licence", licence), ("credit", credit)) if text)
        lines.append(f"The checkpoint's {said}")
    return "\n".join(lines) + "\n"


def _what_was_done(method: str, done: Verdict | None) -> str:
    if method == "ltas-eq":
        return "Its sound was equalised; nothing in it was generated."
    elsewhere = "the recording was equalised, and where noise had covered it, what sounds is generated, too"
    if done is not None and done.unchanged:
        return f"{done.words} Hardly anything in it is generated."
    if done is None or done.band_end_hz is None:
        return (
            f"No end of the recorded band was found: {elsewhere}. What is generated comes from a model that has "
            "learned how such music sounds. It is not a recording, and what was played may have sounded otherwise."
        )
    return (
        f"Above {done.band_end_hz:.0f} Hz, where the recorded band ends, what sounds is generated by a model that has "
        "learned how such music sounds. It is not a recording, and what was played may have sounded otherwise. "
        f"Below, {elsewhere}."
    )
