"""What to keep beside a restoration: how it was made, from what, and what in it is no recording."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shlex
import shutil
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from babe2 import audio, figures
from babe2.analysis import ReferenceLtas, analyse
from babe2.config import Settings
from babe2.equalizer import Array, Equalizer
from babe2.errors import RestorationError
from babe2.pipeline import Restoration, Restorer
from babe2.replacing import replacing

LOWEST_HZ, PER_OCTAVE = 20.0, 12
LONGEST_NAME = 200  # bytes; most file systems take 255
_TIMELESS = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP knows: same contents, same file

Rows = Iterable[Sequence[object]]


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
    original, restored = (before.audio, before.sample_rate), (restoration.audio, restoration.sample_rate)
    band_end_hz = analyse(*original)["bandwidth_high_hz"]
    report = portable(restoration.report) | {"input": {"name": name, **fingerprint(recording)}}
    texts = {
        "README.txt": read_me(title, name, report, band_end_hz, licence, credit),
        "report.json": json.dumps(report, indent=2, ensure_ascii=False) + "\n",
        "reproduce.txt": recipe(command, report),
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


# Names


def plain_name(name: str) -> str:
    """A file name as a person gave it, fit for any folder: no path, nothing that cannot be seen."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join("_" if letter in '<>:"|?*' else letter for letter in name if letter.isprintable())
    name = name.strip(" .") or "recording"
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, suffix = name, ""
    room = LONGEST_NAME - len(f"{dot}{suffix}".encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    return f"{stem}.{suffix}" if suffix else stem


def portable(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without the place where this machine keeps its checkpoint."""
    checkpoint = str(report["checkpoint"])
    if PurePosixPath(checkpoint).is_absolute() or PureWindowsPath(checkpoint).is_absolute():
        checkpoint = plain_name(checkpoint)
    return {**report, "checkpoint": checkpoint}


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells a file from all others."""
    try:
        with open(path, "rb") as file:
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise RestorationError(f"The recording cannot be read any more ({error.strerror}). Open it again.") from None


# How to do it again


def command_line(
    report: Mapping[str, Any],
    restorer: Restorer,
    *,
    recording: str,
    start: float = 0.0,
    duration: float | None = None,
    rate: int | None = None,
    subtype: str | None = None,
    output: str | None = None,
) -> list[str]:
    """The `babe2` command, word for word, that makes the restoration of a report again from a file `recording`."""
    if report["seed"] is None:
        raise RestorationError("This restoration's noise was given, so no seed makes it again. Restore with a seed.")
    report, name = portable(report), plain_name(recording)
    words = ["babe2", "restore", f"./{name}" if name.startswith("-") else name]
    options = {
        "--output": output,
        "--checkpoint": report["checkpoint"],
        "--method": report["method"],
        "--preset": report["preset"],
        "--seed": report["seed"],
        "--start": start or None,
        "--duration": duration,
        "--rate": rate,
        "--subtype": subtype,
        "--amount": report.get("amount"),
    }
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    for name, value in chosen_settings(report, restorer).items():
        words += ["--set", f"{name}={as_text(value)}"]
    return words


def chosen_settings(report: Mapping[str, Any], restorer: Restorer) -> dict[str, Any]:
    """The settings of a report that its preset alone would not give."""
    wanted = {field.name: report["settings"][field.name] for field in fields(Settings)}
    chosen: dict[str, Any] = {}
    while True:  # in a preset one setting may follow from another, so that a choice changes what else must be said
        given = restorer.settings(report["preset"], **chosen)
        missing = {name for name, value in wanted.items() if as_text(value) != as_text(getattr(given, name))}
        if not missing:
            return {name: chosen[name] for name in wanted if name in chosen}
        chosen |= {name: wanted[name] for name in missing}


def as_text(value: Any) -> str:
    """A setting's value as --set takes it, to the last digit."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(repr, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def recipe(command: Sequence[str], report: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return (
        f"{shlex.join(command)}\n\n"
        "makes the same file again, to the bit on the same kind of machine with the same versions.\n\n"
        f"made with: {versions}\n"
        f"seed: {report['seed']}\n"
        f"checkpoint: {report['checkpoint']}, sha256 {report['sha256'] or 'unknown'}\n"
        f"recording: {report['input']['name']}, sha256 {report['input']['sha256']}\n"
    )


def read_me(
    title: str, name: str, report: Mapping[str, Any], band_end_hz: float | None, licence: str, credit: str
) -> str:
    """What is a recording here and what is not."""
    checkpoint = report["checkpoint"]
    lines = [f"{title} was made from {name} by babe2 {report['versions']['babe2']} with the checkpoint {checkpoint}."]
    if report["method"] == "ltas-eq":
        lines.append("Its sound was equalised; nothing in it was generated.")
    else:
        end = "the recorded band" if band_end_hz is None else f"{band_end_hz:.0f} Hz, where the recorded band ends"
        lines.append(
            f"Above {end}, what sounds is generated by a model that has learned how such music sounds. It is not a "
            "recording, and what was played may have sounded otherwise. Below, the recording was equalised, and where "
            "noise had covered it, it is generated too."
        )
    if licence or credit:
        lines.append(" ".join(f"{what}: {text}." for what, text in (("Licence", licence), ("Credit", credit)) if text))
    return "\n".join(lines) + "\n"


# Numbers


def table(head: Sequence[str], rows: Rows) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def twelfths(lowest_hz: float, highest_hz: float) -> Array:
    """Twelfths of octaves, Hz; one is 20 Hz and three are a minor third."""
    octaves = np.arange(PER_OCTAVE * np.log2(highest_hz / LOWEST_HZ) + 1e-9) / PER_OCTAVE
    hertz: Array = LOWEST_HZ * 2.0**octaves
    return hertz[hertz >= lowest_hz]


def gains(restoration: Restoration) -> Rows:
    hertz = twelfths(LOWEST_HZ, restoration.sample_rate / 2)
    return [(f"{f:.2f}", f"{gain:.2f}") for f, gain in zip(hertz, restoration.response.gain_db(hertz), strict=True)]


def breakpoints(restoration: Restoration) -> Iterator[Sequence[object]]:
    """Where the lines of each segment's equalizer meet, if it is made of lines; segments count from 1."""
    for segment, curve in enumerate(restoration.equalizers, start=1):
        if isinstance(curve, Equalizer):
            slopes = [*curve.below.slopes.flip(0).tolist(), *curve.above.slopes.tolist()]
            for hertz, left, right in zip(curve.edges.tolist(), slopes, slopes[1:], strict=False):
                yield segment, f"{hertz:.2f}", f"{left:.2f}", f"{right:.2f}"


def levels(sounds: Sequence[figures.Sound], reference: ReferenceLtas | None) -> Rows:
    """Average spectra as they are drawn, up to where each of them reaches."""
    spectra = [(figures.average_power(sound), sound[1]) for sound in sounds]
    if reference is not None:
        spectra.append((reference.power, reference.sample_rate))
    hertz = twelfths(figures.LOWEST_HZ, max(rate for _, rate in spectra) / 2)
    columns = []
    for power, rate in spectra:
        _, level = figures.third_octaves(power, rate, hertz[hertz <= rate / 2])
        columns.append([f"{db:.2f}" for db in level] + [""] * (len(hertz) - len(level)))
    if reference is None:
        columns.append([""] * len(hertz))
    return zip((f"{f:.2f}" for f in hertz), *columns, strict=True)
