"""The listening desk's tracks: files to play, how loud each sounds, and the gains at which they sound equally loud.

The desk itself is in desk/: markup, style and script, which play what `tracks_on_desk` returns. On the page it is a
component, `gr.HTML(**desk_parts(), apply_default_css=False)`, whose value is what `desk_tracks` returns: files named
in it are copied by Gradio to its own cache and served from there, so the folder may be a private one under the
system's temporary folder and needs no `allowed_paths`. A report holds its sounds itself (html_page.py).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from babe2 import audio
from babe2.certainty import KINDS, CertaintyMap
from babe2.certainty.cells import LOWEST_HZ, PER_OCTAVE
from babe2.dsp.loudness import integrated_loudness
from babe2.dsp.waveform import as_channels
from babe2.wording import clock

RECORDING, CLEANED, TAKEN, LTAS_EQ = "recording", "cleaned", "taken", "ltas_eq"
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
OLDER, EARLIER, RESTORED, ADDED = "older", "earlier", "restored", "added"
WORDS = {
    RECORDING: ("Recording", "What you put in."),
    CLEANED: ("Cleaned", "What the cleaning stages have left of the recording; it is what was restored."),
    TAKEN: (
        "What was taken away",
        "Recording minus cleaned, sample by sample, at the recording's gain. There should be no music in it.",
    ),
    LTAS_EQ: ("LTAS-EQ", "The recording through a filter that corrects its average spectrum. Nothing is imagined."),
    VOCALS: ("Vocals", "The singer alone, as the chain has restored the voice."),
    ACCOMPANIMENT: ("Accompaniment", "All that is not the voice, as the chain adds it to the voice again."),
    OLDER: ("Before that", "What an earlier run had made of the same excerpt."),
    EARLIER: ("The one before", "What the run before this one had made of the same excerpt."),
    RESTORED: ("Restored", "The restoration. What the recording had lost is imagined from what remains."),
    ADDED: (
        "What was added",
        "Restored minus what it was made from, sample by sample, at Restored's gain: as loud as it is within Restored.",
    ),
}
MOST_TRACKS = 6  # which the number keys reach
PEAK_DB = -1.0  # dBFS; the loudest peak to be played, with room for what rises between samples
LONGEST_VALUES = 100_000_000  # samples of all channels and tracks: 400 MB in the listener's browser

Kept = dict[str, Any]  # where a track is kept: what the desk finds as the track's `file`
Keep = Callable[[str, npt.NDArray[np.float32], int], Kept]  # keeps a track, by key, of a sample rate


def desk_tracks(
    sounds: Mapping[str, npt.ArrayLike | Tensor], sample_rate: int, folder: str | os.PathLike[str], **said: Any
) -> dict[str, Any]:
    """What the desk plays, as `tracks_on_desk` says, from files in a folder.

    Files of a sound that has not changed keep their names in `folder`, which lets the desk go on playing while a
    restoration grows.
    """
    return tracks_on_desk(sounds, sample_rate, partial(_written, Path(folder)), **said)


def tracks_on_desk(
    sounds: Mapping[str, npt.ArrayLike | Tensor],
    sample_rate: int,
    keep: Keep,
    *,
    start: float = 0.0,
    unfinished: bool = False,
    amount: float = 1.0,
    select: str | None = None,
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    certainty: CertaintyMap | None = None,
) -> dict[str, Any]:
    """What the desk plays, ready for JSON: `sounds` (channels, samples) named RECORDING, CLEANED, LTAS_EQ, VOCALS,
    ACCOMPANIMENT, OLDER, EARLIER and RESTORED. `words` are titles and hints of some that are not the usual ones.

    They begin `start` seconds into the recording, from where the desk counts. Of an `unfinished` restoration nothing
    is said to have been added; `amount` is the restoration's share where it was mixed. A desk that is not playing turns
    to the track `select`. The desk lays `certainty` over its spectrograms where a listener wishes it.

    The recording is among them, or the restoration stands alone; all have one sample rate and its channels. A sound
    that is not finished yet may be shorter: it is filled up with silence, and compared with as much of the recording as
    there is of it. What was taken away by cleaning and what was added by restoring are tracks of their own. `keep` puts
    each where the desk finds it.

    Gains bring every track to the loudness of the recording, and all of them down together where one would peak above
    -1 dBFS. What was taken away or added is not matched: it has the gain of what it is a part of.
    """
    tracks = {key: as_channels(sounds[key], sample_rate).numpy() for key in WORDS if key in sounds}
    channels, whole = next(iter(tracks.values())).shape
    count = len(tracks) + (RESTORED in tracks) + (CLEANED in tracks)
    length = min(whole, LONGEST_VALUES // (count * channels))
    tracks = {key: track[:, :length] for key, track in tracks.items()}
    assert all(len(track) == channels for track in tracks.values())
    loudness = {key: integrated_loudness(track, sample_rate) for key, track in tracks.items()}
    gains = _matching_gains(tracks, loudness, sample_rate)
    if CLEANED in tracks:
        tracks[TAKEN] = tracks[RECORDING] - tracks[CLEANED]
        gains[TAKEN], loudness[TAKEN] = gains[RECORDING], integrated_loudness(tracks[TAKEN], sample_rate)
    if RESTORED in tracks and len(tracks) > 1 and not unfinished:
        restored = tracks[RESTORED]
        tracks[ADDED] = restored - tracks.get(CLEANED, tracks[RECORDING])[:, : restored.shape[1]]
        gains[ADDED], loudness[ADDED] = gains[RESTORED], integrated_loudness(tracks[ADDED], sample_rate)
    tracks = {key: tracks[key] for key in WORDS if key in tracks}
    reached = tracks[RESTORED].shape[1] / sample_rate if unfinished and RESTORED in tracks else None
    peaks = {key: _peak_db(track) for key, track in tracks.items()}
    headroom = min(0.0, *(PEAK_DB - peaks[key] - gains[key] for key in tracks))
    said, note = {**WORDS, **words}, None
    if length < whole:
        note = f"The desk plays the first {clock(length / sample_rate)} of {clock(whole / sample_rate)}."
    return {
        "sample_rate": sample_rate,
        "plain_gain_db": round(min(0.0, PEAK_DB - max(peaks.values())), 3),  # for all, when they are not matched
        "note": note,
        "start": start,  # seconds
        "select": select,
        "reached": reached,  # seconds of an unfinished restoration
        "certainty": None if certainty is None else cells_on_desk(certainty),
        "tracks": [
            {
                "key": key,
                "title": _title(key, said[key][0], unfinished, amount),
                "hint": said[key][1],
                "matched": key not in (TAKEN, ADDED),
                "loudness": _finite(loudness[key]),
                "peak_db": _finite(peaks[key]),
                "gain_db": round(gains[key] + headroom, 3),
                "file": keep(key, _filled(track, length), sample_rate),
            }
            for key, track in tracks.items()
        ],
    }


def desk_parts() -> dict[str, Any]:
    """The desk's markup, style and script, under the names by which `gr.HTML` takes them."""
    desk = files("babe2") / "report" / "desk"
    names = {"html_template": ["desk.html"], "css_template": ["desk.css"], "js_on_load": ["spectrum.js", "desk.js"]}
    return {parameter: "".join((desk / name).read_text("utf-8") for name in some) for parameter, some in names.items()}


def cells_on_desk(known: CertaintyMap) -> dict[str, Any]:
    """A certainty map as the desk draws it: a figure for each cell's kind, a dash where nothing sounds, cell by cell
    from the lowest band up."""
    kinds = np.where(known.sounding.numpy(), known.kind.numpy(), len(KINDS)).astype(np.uint8)
    return {
        "seconds": known.grid.length / known.grid.sample_rate,  # of a cell
        "low_hz": LOWEST_HZ,  # the middle of the lowest band
        "per_octave": PER_OCTAVE,
        "bands": kinds.shape[1],
        "cells": np.frombuffer(b"012-", np.uint8)[kinds].tobytes().decode(),
        "percent": known.percent(),
    }


def _title(key: str, title: str, unfinished: bool, amount: float) -> str:
    if key == RESTORED and unfinished:
        return f"{title} so far"
    return f"{title}, {amount:.0%}" if key == RESTORED and amount < 1 else title


def _matching_gains(
    tracks: Mapping[str, npt.NDArray[np.float32]], loudness: Mapping[str, float], sample_rate: int
) -> dict[str, float]:
    """By how many dB each track is softer than as much of the first one, the recording, as there is of the track."""
    first, recording = next(iter(tracks.items()))
    gains = {}
    for key, track in tracks.items():
        as_long = track.shape[1] == recording.shape[1]
        target = loudness[first] if as_long else integrated_loudness(recording[:, : track.shape[1]], sample_rate)
        gain = target - loudness[key]
        gains[key] = gain if math.isfinite(gain) else 0.0  # silence cannot be made louder
    return gains


def _peak_db(track: npt.NDArray[np.float32]) -> float:
    peak = float(np.abs(track).max())
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None  # JSON has no infinity


def _filled(track: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    return np.pad(track, ((0, 0), (0, length - track.shape[1])))


def _written(folder: Path, key: str, track: npt.NDArray[np.float32], sample_rate: int) -> Kept:
    """The track in a file that is named after its content, as Gradio describes files."""
    digest = hashlib.sha256(f"{sample_rate} {track.shape}".encode() + track.tobytes()).hexdigest()[:16]
    path = folder / f"{key}-{digest}.wav"
    if not path.exists():
        audio.write(path, track, sample_rate, overwrite=True)
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}
