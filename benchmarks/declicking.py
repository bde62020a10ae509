"""`declick` beside grooveclean, a declicker with a network of its own: clicks at known places, and none at all.

    pip install --no-deps --target FOLDER grooveclean
    PYTHONPATH=FOLDER python benchmarks/declicking.py PLACE ... --dust FILE --json FILE

PLACEs hold recordings that nothing was trained on; each is heard at its own rate, arrays at 22.05 kHz. Both are given
the same samples, on the grid of 24 bits, at their default strength and at another one. What is in the file already is
not measured again.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from harm import round_and_round
from measuring import Figures, machine
from shellac import RATE, changed_db
from torch import Tensor

from babe2 import audio
from babe2.degradations.surface import Surface, measured, surface_noise
from babe2.dsp.distance import at_level
from babe2.dsp.resampling import resample
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.measures import si_sdr
from babe2.evaluation.table import confidence
from babe2.stages import declick

SECONDS = 5.0
LEVEL = 0.03  # RMS of the music, so that hardly a click passes full scale
GRID = 2.0**23  # samples of 24 bits are whole multiples of one part in so many
BARELY = 0.02  # of the music's RMS: where a click is less, there is none
NEAR_SECONDS = 0.001  # from a click, what was changed is not counted as false
OURS, THEIRS = "declick", "grooveclean"
Way = Callable[[Tensor, int], Tensor]  # (sound (T,), sample_rate) -> the sound without clicks (T,)


class Damage(NamedTuple):
    """What is added to music: a surface that is meant to stay, and clicks that are not."""

    surface_db: float | None = None  # below the music
    clicks: float = 0.0  # per second
    click_db: float = 0.0  # peak of a middling click over the music's RMS


DAMAGES = {
    "none": Damage(),
    "hiss at -30 dB": Damage(-30),
    "5 clicks a second, 12 dB over the music": Damage(-45, 5, 12),
    "5 a second, at its level": Damage(-45, 5, 0),
    "40 a second, 6 dB over, hiss at -30 dB": Damage(-30, 40, 6),
}
DUST, DUST_DB = "dust of a record, -15 dB", -15.0


def ways() -> dict[str, Way]:
    """What is compared, at the default strength and at another; grooveclean where it is installed."""
    found: dict[str, Way] = {OURS: ours(0.5), f"{OURS}, strength 0.8": ours(0.8)}
    try:
        import grooveclean  # noqa: F401
    except ImportError:
        return found
    return found | {THEIRS: theirs(0.5), f"{THEIRS}, sensitivity 1": theirs(1.0)}


def ours(strength: float) -> Way:
    return lambda sound, rate: torch.as_tensor(declick(sound, rate, strength=strength)[0])[0]


def theirs(sensitivity: float) -> Way:
    """grooveclean's command line, in this process, so that it is loaded once."""
    from grooveclean.cli import main as command_line

    def work(sound: Tensor, rate: int) -> Tensor:
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
            clicked, cleaned = Path(folder) / "clicked.wav", Path(folder) / "cleaned.wav"
            audio.write(clicked, sound.numpy(), rate, subtype="PCM_24")
            options = ["--device", "cpu", "--sensitivity", str(sensitivity)]
            command_line(["clean", str(clicked), "-o", str(cleaned), *options], standalone_mode=False)
            return torch.as_tensor(audio.read(cleaned).audio)[0]

    return work


def spoiled(music: Tensor, rate: int, damage: Damage, seed: int) -> tuple[Tensor, Tensor]:
    """What lies below the clicks, and the clicks (T,)."""
    generator = torch.Generator().manual_seed(seed)
    surface, clicks = torch.zeros_like(music), torch.zeros_like(music)
    if damage.surface_db is not None:
        surface = surface_noise(music, rate, Surface(damage.surface_db, measured("run-out")), generator)
    if damage.clicks:
        clicks = surface_noise(music, rate, Surface(None, clicks=damage.clicks, click_db=damage.click_db), generator)
    return music + surface, clicks


def on_grid(sound: Tensor) -> Tensor:
    return (sound * GRID).round().clamp(-GRID, GRID - 1) / GRID


def runs(true: Tensor) -> list[tuple[int, int]]:
    """The first sample and the one behind the last of all that holds in one go."""
    edges = torch.diff(torch.nn.functional.pad(true.int(), (1, 1))).nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def scored(way: Way, below: Tensor, clicks: Tensor, rate: int, known: bool) -> dict[str, Any]:
    """What a declicker made of clicks (T,) over a sound; their places are `known`, or the dust's own are not."""
    heard, below = on_grid(below + clicks), on_grid(below)
    began = time.process_time()
    made = way(heard, rate)
    taken = time.process_time() - began
    minutes, changed = len(heard) / rate / 60, made != heard
    row: dict[str, Any] = {
        "seconds_each_second": round(taken / (60 * minutes), 3),
        "changed_a_minute": len(runs(changed)) / minutes,
        "samples_changed": int(changed.sum()),
    }
    if not clicks.any():
        return row | {"change_db": changed_db(heard, made)}
    row["si_sdr_gain"] = si_sdr(made, below) - si_sdr(heard, below)
    if known:
        clicked = clicks.abs() > BARELY * LEVEL
        near = torch.zeros_like(clicked)
        reach = round(NEAR_SECONDS * rate)
        for start, stop in runs(clicked):
            near[max(0, start - reach) : stop + reach] = True
        row["found"] = float(np.mean([bool(changed[start:stop].any()) for start, stop in runs(clicked)]))
        row["false_a_minute"] = sum(not near[start:stop].any() for start, stop in runs(changed)) / minutes
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """What each made of the clips, as Markdown: means over clips.

    Of clicks it says the SI-SDR gained, how many were found and how many places a minute changed where there was none;
    of music without clicks how many places a minute were changed.
    """
    damages, found = dict.fromkeys(row["damage"] for row in rows), sorted({row["way"] for row in rows})
    lines = [f"| | {' | '.join(damages)} | seconds |", "|" + " --- |" * (len(damages) + 2)]
    for way in found:
        own = [row for row in rows if row["way"] == way]
        cells = [_cell([row for row in own if row["damage"] == damage]) for damage in damages]
        cost = np.mean([row["seconds_each_second"] for row in own])
        lines.append(f"| {_named(way)} | {' | '.join(cells)} | {cost:.2f} |")
    for way in [way for way in found if way != OURS]:
        cells = [_gained(rows, damage, way) for damage in damages]
        lines.append(f"| `{OURS}` over {_named(way)}, dB | {' | '.join(cells)} | |")
    return "\n".join(lines)


def _named(way: str) -> str:
    return f"`{OURS}`{way.removeprefix(OURS)}" if way.startswith(OURS) else way


def _cell(own: Sequence[dict[str, Any]]) -> str:
    def mean(key: str) -> float:
        return float(np.mean([row[key] for row in own]))

    if not own:
        return "-"
    if "change_db" in own[0]:
        return f"{mean('changed_a_minute'):.0f}"
    gain = f"{mean('si_sdr_gain'):.1f} dB"
    return f"{gain}, {100 * mean('found'):.0f} %, {mean('false_a_minute'):.0f}" if "found" in own[0] else gain


def _gained(rows: Sequence[dict[str, Any]], damage: str, way: str) -> str:
    """By how much more we gain, clip by clip, with a 95 % interval over clips."""
    ours, other = (
        {
            row["clip"]: row["si_sdr_gain"]
            for row in rows
            if (row["damage"], row["way"]) == (damage, name) and "si_sdr_gain" in row
        }
        for name in (OURS, way)
    )
    shared = ours.keys() & other.keys()
    if not shared:
        return ""
    mean, low, high = confidence([ours[clip] - other[clip] for clip in sorted(shared)])
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--dust", type=Path, help="a recording of a record's clicks, for those whose places none knows")
    parser.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    parser.add_argument("--ways", nargs="+", help="only these of what is compared")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = Figures.at(given.json, machine())
    compared = {name: way for name, way in ways().items() if not given.ways or name in given.ways}
    for work in compared.values():
        work(torch.randn(RATE, generator=torch.Generator().manual_seed(0)) * LEVEL, RATE)  # what is loaded once
    for number, path in enumerate(find_recordings(given.places)):
        ((name, sound, rate),) = clips_of(path, seconds=SECONDS, count=1, model_rate=RATE)
        music = at_level(sound.float(), LEVEL)
        material = {damage: (*spoiled(music, rate, about, number), True) for damage, about in DAMAGES.items()}
        if given.dust:
            record = audio.read(given.dust)
            dust = resample(torch.as_tensor(record.audio).float(), record.sample_rate, rate).mean(dim=0)
            dust = round_and_round(dust, len(music), number * rate)
            material[DUST] = music, at_level(dust, LEVEL * 10 ** (DUST_DB / 20)), False
        for damage, (below, clicks, known) in material.items():
            for way, work in compared.items():
                case = {"clip": name, "rate_khz": rate / 1000, "damage": damage, "way": way}
                figures.once(case, partial(scored, work, below, clicks, rate, known))
    for rate_khz in sorted({row["rate_khz"] for row in figures.rows}):
        own = [row for row in figures.rows if row["rate_khz"] == rate_khz]
        print(f"{rate_khz:g} kHz, {len({row['clip'] for row in own})} clips of {SECONDS:g} s\n\n{table(own)}\n")


if __name__ == "__main__":
    main()
