"""Finished runs as they lie on a disk: a report, an evidence pack, a restored file with its report beside it, a folder.

Whoever wrote a report may have written anything into it: what it names is looked for where it says and beside it, and
of an evidence pack beside the pack only; whether a restored file is the one it tells of, its SHA-256 says.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from babe2.errors import RestorationError
from babe2.report.recipe import fingerprint

HEARD_SECONDS, MOST_SECONDS = 40.0, 600.0  # of a recording that can be heard in its page, and that may be asked for
PAGES = ".pages"  # behind the name of an index: the folder with the pages of its runs
LARGEST_REPORT = 2**26  # bytes
PACKED_REPORT, PACKED_RECIPE = "report.json", "reproduce.txt"
CERTAINTY_PICTURE = "certainty.png"
RESTORED = ".restored"  # behind a recording's name in that of its restoration
_NO_REPORT = "holds no report of a restoration. Write one with `babe2 restore ... --report FILE.json`."

Report = Mapping[str, Any]
_NUMBER = (int, float)
# What a page relies on: by name the kinds of what a report, a stage of a chain or what it found says.
_KINDS: Mapping[str, Any] = {
    "input": (str, dict),
    "output": (str, list),
    "result": {"name": str, "bytes": int, "sha256": str},
    "excerpt": {"start": _NUMBER, "seconds": _NUMBER},
    "band": {"high_hz": _NUMBER},
    "settings": {},
    "versions": {},
    "counts": {},
    "segments": list,
    "stages": list,
    "warnings": list,
    "plots": list,
    "amount": _NUMBER,
    "seconds": _NUMBER,
    "removed_db": _NUMBER,
    "threads": _NUMBER,
}


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run as its report tells of it, and as much of its sound as was found."""

    report: Report
    recording: Path | None  # the untouched one
    restored: Path | None
    command: str = ""  # that makes it again
    picture: Path | None = None  # of what in it is certain
    packed: Path | None = None  # the evidence pack that holds it

    @property
    def name(self) -> str:
        """What its recording is called, fit to be shown."""
        return shown(_name(self.report.get("input")) or shown_path(self.recording or self.restored) or "recording")

    @property
    def result(self) -> str:
        """What the restored file is called."""
        named = (self.report.get("result") or {}).get("name") or _name(self.report.get("output"))
        return shown(named or shown_path(self.restored))

    @property
    def error(self) -> str:
        """Why there is no result; "" where there is one."""
        return shown(str(self.report.get("error") or ""))

    @property
    def start(self) -> float:
        """Where in the recording its restoration begins, seconds."""
        return float((self.report.get("excerpt") or {}).get("start") or 0.0)

    @property
    def restoration(self) -> Report:
        """The report; of a chain, with what is in that of its restoration."""
        for stage in self.report.get("stages") or []:
            if stage.get("stage") == "restore":
                return {**stage.get("found", {}), **self.report}
        return self.report


def shown(text: str) -> str:
    """A name or a sentence that any page can hold: names on a disk may be no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shown_path(path: Path | None) -> str:
    return shown(path.name) if path else ""


def finished_runs(place: Path) -> list[FinishedRun]:
    """The runs that lie at a place; the sound in an evidence pack is there once it is `unpacked`."""
    if place.is_dir():
        return _runs_below(place)
    if not place.is_file():
        raise RestorationError(f"{place} is not there. Give a report, an evidence pack, a restored file or a folder.")
    ending = place.suffix.lower()
    if ending == ".zip":
        return [_packed(place)]
    if ending != ".json":
        return [_of_restored(place)]
    if not (reports := _reports(place)):
        raise RestorationError(f"{place} {_NO_REPORT}")
    return [_run(report, place) for report in reports]


def run_of(report: Report) -> FinishedRun:
    """The run of a report that was written just now, whose paths are true here."""
    recording, restored = (Path(str(report[key])) if report.get(key) else None for key in ("input", "output"))
    return FinishedRun(report, recording, restored, _command(report), _picture(report, Path()))


def _runs_below(folder: Path) -> list[FinishedRun]:
    found: dict[object, FinishedRun] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in (".json", ".zip") or any(part.startswith(".") for part in inside.parts):
            continue
        try:
            for run in finished_runs(path):
                result = run.report.get("result") or {}
                found.setdefault(result.get("sha256") or str(run.report.get("output") or path), run)
        except RestorationError:  # a folder may well hold files about something else
            continue
    if not found:
        raise RestorationError(f"{folder} {_NO_REPORT}")
    return list(found.values())


# Reports


def _reports(path: Path) -> list[dict[str, Any]]:
    """The reports in a file: one, or several as a list."""
    try:
        if path.stat().st_size > LARGEST_REPORT:
            raise RestorationError(f"{path} is too large for a report. Choose another file.")
        known = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RestorationError(f"{path} cannot be read ({error.strerror}). Choose another file.") from None
    except (ValueError, RecursionError):
        raise RestorationError(f"{path} {_NO_REPORT}") from None
    return [each for each in (known if isinstance(known, list) else [known]) if _is_report(each)]


def _is_report(known: Any) -> bool:
    if not isinstance(known, dict):
        return False
    made = ("method" in known and "segments" in known) or "stages" in known
    return (made or ("input" in known and ("error" in known or "output" in known))) and _has_shape(known)


def _has_shape(known: Mapping[str, Any]) -> bool:
    """Whether what a report says is of the kinds that reports say; anybody may have changed it."""
    stages = known.get("stages") or []
    inside = [each.get("found") or {} for each in stages if isinstance(each, dict)] if isinstance(stages, list) else []
    return _fits(known, _KINDS) and all(isinstance(each, dict) and _fits(each, _KINDS) for each in [*stages, *inside])


def _fits(known: Mapping[str, Any], kinds: Mapping[str, Any]) -> bool:
    for name, kind in kinds.items():
        said = known.get(name)
        if said is None:
            continue
        if not isinstance(said, type(kind) if isinstance(kind, dict) else kind):
            return False
        if isinstance(kind, dict) and not _fits(said, kind):
            return False
    return True


def _run(report: Report, place: Path) -> FinishedRun:
    """The run of a report that was read at a place."""
    recording = _found(report.get("input"), place.parent)
    restored = _found(report.get("output") or report.get("result"), place.parent, (report.get("result") or {}))
    if "input" not in report and RESTORED in place.name:  # what lies beside an example says no names
        names = (place.with_suffix(""), place.with_name(place.stem.replace(RESTORED, "")))
        restored, recording = (_sound_beside(path) for path in names)
    return FinishedRun(report, recording, restored, _command(report), _picture(report, place.parent))


def _of_restored(path: Path) -> FinishedRun:
    """The run that a restored file came from: its report is one of those beside it."""
    beside = [path.with_suffix(".json"), *sorted(path.parent.glob("*.json"))]
    for place in beside:
        with suppress(RestorationError):
            for run in finished_runs(place):
                if run.restored is not None and os.path.realpath(run.restored) == os.path.realpath(path):
                    return run
    raise RestorationError(
        f"Beside {path} lies no report of it. Restore with --report FILE.json, or give the report itself."
    )


def _found(said: Any, folder: Path, result: Report | None = None) -> Path | None:
    """The file that a report names, where it says or beside it; one as long as it was is preferred to any other."""
    name = said.get("name") if isinstance(said, dict) else said
    if not isinstance(name, str) or not name or "\0" in name:
        return None
    places = [Path(name), folder / name, folder / _name(name)]
    there = [place for place in dict.fromkeys(places) if place.is_file()]
    size = (result or {}).get("bytes")
    return next((place for place in there if place.stat().st_size == size), there[0] if there else None)


def _sound_beside(stem: Path) -> Path | None:
    endings = (".flac", ".wav", ".ogg", ".mp3", ".aiff")
    return next((path for ending in endings if (path := stem.with_name(stem.name + ending)).is_file()), None)


def _name(said: Any) -> str:
    """The last part of what a report calls a file, on whatever system that was."""
    name = said.get("name") if isinstance(said, dict) else said
    return name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""


def _picture(report: Report, folder: Path) -> Path | None:
    """The picture of what is certain, where one was drawn."""
    named = [each for each in report.get("plots") or [] if str(each).endswith(CERTAINTY_PICTURE)]
    return _found(named[0], folder) if named else None


def _command(report: Report) -> str:
    said = report.get("command")
    return shlex.join(map(str, said)) if isinstance(said, list) else ""


# Evidence packs


def _packed(path: Path) -> FinishedRun:
    """The run of an evidence pack, without its sound."""
    with _opened(path) as archive:
        if archive.getinfo(PACKED_REPORT).file_size > LARGEST_REPORT:
            raise ValueError("too large")
        report = json.loads(archive.read(PACKED_REPORT))
        if not _is_report(report):
            raise ValueError("no report")
        recipe = archive.getinfo(PACKED_RECIPE)
        command = archive.read(recipe).decode().partition("\n\n")[0] if recipe.file_size < LARGEST_REPORT else ""
    recording = path.with_name(_name(report.get("input")) or path.name)
    there = recording != path and recording.is_file()
    return FinishedRun(report, recording if there else None, None, command, packed=path)


@contextmanager
def unpacked(run: FinishedRun) -> Iterator[FinishedRun]:
    """The run with the sound that lies in its evidence pack, where it lies in one, for as long as it is looked at."""
    if run.packed is None:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="babe2-") as folder:
        restored = Path(folder) / f"restored{Path(run.result).suffix}"
        there = _taken(run.packed, (run.report.get("result") or {}).get("name"), restored)
        picture = Path(folder) / "certainty.png"
        drawn = _taken(run.packed, picture.name, picture, zipfile.ZIP_DEFLATED)
        yield replace(run, restored=restored if there else None, picture=picture if drawn else None)


def _taken(pack: Path, name: Any, target: Path, how: int = zipfile.ZIP_STORED) -> bool:
    """Whether a pack had such a file, which now lies at `target`. A sound was packed as it is: it takes no more room
    than the pack."""
    with _opened(pack) as archive:
        if not isinstance(name, str) or name not in archive.namelist():
            return False
        member = archive.getinfo(name)
        if member.compress_type != how or (how != zipfile.ZIP_STORED and member.file_size > LARGEST_REPORT):
            return False
        with archive.open(member) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)
    return True


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise RestorationError(f"{path} is no evidence pack of babe2. Choose another file.") from None


def differences(run: FinishedRun) -> list[str]:
    """Sentences on files that are not those of the report any more."""
    found = []
    for path, said in ((run.restored, run.report.get("result")), (run.recording, run.report.get("input"))):
        wanted = said.get("sha256") if isinstance(said, dict) else None
        if path is not None and wanted and fingerprint(path)["sha256"] != wanted:
            found.append(f"{shown_path(path)} is not the file that this report tells of: its SHA-256 is another one.")
    return found
