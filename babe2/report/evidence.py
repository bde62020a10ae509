"""What to keep beside a restoration: how it was made, from what, and what in it is no recording."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from babe2 import audio
from babe2.dsp.spectra import ReferenceLtas
from babe2.errors import RestorationError
from babe2.replacing import replacing
from babe2.report import figures
from babe2.report.c2pa import manifest, manifest_name
from babe2.report.numbers import breakpoints, gains, levels, table
from babe2.report.recipe import fingerprint, portable, recipe
from babe2.report.verdict import FEWEST_SECONDS, Verdict, verdict
from babe2.restoration import Restoration
from babe2.wording import plain_name

CHECKSUMS = "sha256sums.txt"
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
    restored: Path,
    restoration: Restoration,
    command: Sequence[str],
    reference: ReferenceLtas | None = None,
    start: float = 0.0,
    duration: float | None = None,
    licence: str = "",
    credit: str = "",
    others: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """All that tells how a restoration, the file `restored` called `title`, came about, as files by name; nothing in
    them names this machine. The last one is a list of the SHA-256 of all others and of the restored file.

    `recording` is the untouched file, called `name` by its owner, of which `duration` seconds from `start` on were
    restored; `command` is what `command_line` says. `licence` and `credit` are the checkpoint's; `others` are
    texts that the command needs, by name.
    """
    name = plain_name(name)
    before = audio.read(recording, start=start, duration=duration)
    seconds = restoration.samples / restoration.sample_rate  # of a run that was stopped: fewer
    original = before.audio[:, : max(1, round(seconds * before.sample_rate))], before.sample_rate
    after = (restoration.audio, restoration.sample_rate)
    provenance = restoration.provenance
    report = portable(restoration.report) | {
        "input": {"name": name, **fingerprint(recording)},
        "excerpt": {"start": start, "seconds": round(seconds, 6)},
        "result": {"name": title, **fingerprint(restored)},
        "statement": provenance.statement,
    }
    done = None
    if seconds >= FEWEST_SECONDS:
        done = verdict(original, after, reference, report.get("band"), imagines=report["generates"])
    texts = {
        "README.txt": read_me(title, name, provenance.statement, provenance.is_generated, done, licence, credit),
        "report.json": json.dumps(report, indent=2, ensure_ascii=False) + "\n",
        manifest_name(title): manifest(title, provenance, report, report["input"], report["result"]),
        "reproduce.txt": recipe(command, report, restoration.seconds),
        **(others or {}),
        "equalizer.csv": table(("frequency_hz", "gain_db"), gains(restoration)),
        "breakpoints.csv": table(
            ("segment", "frequency_hz", "slope_below_db_per_octave", "slope_above_db_per_octave"),
            breakpoints(restoration),
        ),
        "ltas.csv": table(
            ("frequency_hz", "original_db", "restored_db", "reference_db"), levels([original, after], reference)
        ),
    }
    if restoration.certainty is not None:
        texts["certainty.csv"] = restoration.certainty.table()
    if texts["breakpoints.csv"].count("\n") == 1:  # a response that is known at every frequency has none
        del texts["breakpoints.csv"]
    pictures = figures.of_restoration(original, after, restoration, reference)
    return sealed(texts, pictures, {title: report["result"]["sha256"]})


def sealed(
    texts: Mapping[str, str], pictures: Mapping[str, Callable[[], Figure]], known: Mapping[str, str]
) -> dict[str, bytes]:
    """Texts and pictures as files by name, and behind them the SHA-256 of each, beside those that are `known`."""
    found = {what: text.encode() for what, text in texts.items()}
    for what, picture in pictures.items():
        figure = picture()
        found |= {f"{what}.{kind}": figures.encoded(figure, kind) for kind in ("png", "svg")}
    digests = {paper: hashlib.sha256(content).hexdigest() for paper, content in found.items()}
    return found | {CHECKSUMS: checksums({**digests, **known}).encode()}


def _member(name: str) -> zipfile.ZipInfo:
    """An entry of the ZIP, stored as it is unless told otherwise."""
    info = zipfile.ZipInfo(name, _TIMELESS)
    info.external_attr = 0o644 << 16
    return info


def read_me(
    title: str, name: str, statement: str, generates: bool, done: Verdict | None, licence: str = "", credit: str = ""
) -> str:
    """Sentences on what is a recording here and what is not.

    `done` is what was found to have changed, None where the sound is too short to tell.
    """
    lines = [f"{title} was made from {name}.", statement]
    if generates:
        lines.append(
            "What is generated comes from a model that has learned how such music sounds. It is not a recording, and "
            "what was played may have sounded otherwise."
        )
    if done is not None and done.unchanged:
        lines.append(done.words + (" Hardly anything in it is generated." if generates else ""))
    if licence or credit:
        said = " ".join(f"{what}: {text}." for what, text in (("licence", licence), ("credit", credit)) if text)
        lines.append(f"The checkpoint's {said}")
    lines.append("Whether the files here are as they were made: sha256sum -c sha256sums.txt")
    return "\n".join(lines) + "\n"


def checksums(digests: Mapping[str, str]) -> str:
    """The list that `sha256sum -c` takes, of SHA-256 by file name."""
    return "".join(_checksum(name, digest) for name, digest in digests.items())


def _checksum(name: str, digest: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
