"""Noise of real discs behind music, with and without an old machine: denoised, restored, and both at once.

    python benchmarks/joint.py HELD_OUT ... NOISE --output benchmarks/results

HELD_OUT holds pieces that nothing was trained on, as `babe2 evaluate synthetic` takes them; NOISE the two recordings
of which the denoiser has learned nothing (recipes/denoiser_small/train.py): a run-out groove and dust. Prints the
tables of docs/gramophone_joint.md; every figure is kept as soon as it is there, and a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from babe2 import Restorer, audio
from babe2.degradations.families import family_of
from babe2.degradations.noise_bank import looped, whole_turns
from babe2.degradations.response import coloured_by
from babe2.dsp.curves import Curve
from babe2.dsp.distance import log_spectral_distance
from babe2.dsp.resampling import resample
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.measures import CORE_HZ, RECORDED_HZ, TRUTH_LEVEL, band_si_sdr, matched, response_error, si_sdr
from babe2.evaluation.table import confidence
from babe2.stages import declick, denoise

RATE = 22050
BAND_HZ = (100.0, 8000.0)
SNR_DB = (0, 5, 15, 30)
SAMPLED = 8  # steps, where music is sampled
SHOWN = {  # the ways of each table in their order, as they are told
    "denoising": {
        "before": "before",
        "noisereduce": "`noisereduce`",
        "denoiser-small": "`denoiser-small` (`two-stage`)",
        "prior": "`--method prior`",
        "gramophone, level found": "`--method gramophone`, level found",
        "gramophone, ratio told": "the same, ratio told",
        "gramophone, ratio told, a sample": f"the same, a sample ({SAMPLED} steps)",
    },
    "restoring": {
        "restored": "restored, steady noise",
        "denoised, then restored": "`declick`, `denoise`, then restored",
        "denoised by the prior, then restored": "the same, denoised by the prior",
        "joint": "joint",
    },
}
TITLES = {"si_sdr": "SI-SDR", "lsd": "LSD", "response_error": "response error"}
AGAINST = (
    ("denoising", "prior", "denoiser-small"),
    ("restoring", "joint", "denoised, then restored"),
    ("restoring", "joint", "denoised by the prior, then restored"),
)
RECORDS = ("tumult_vinyl1_Runoff_139_BPM.ogg", "tumult_vinyl3_Vinyl_Dust2.ogg")
Denoising = Callable[[Tensor], Tensor]
Restoring = Callable[[Tensor], tuple[Tensor, Curve]]


@dataclass(frozen=True, eq=False)
class Clip:
    """Music, a machine, and noise of unit level."""

    name: str
    music: Tensor  # (T,)
    response: Curve
    noise: Tensor  # (T,)

    def noisy(self, music: Tensor, snr_db: float) -> Tensor:
        return music + self.noise * music.square().mean().sqrt() * 10 ** (-snr_db / 20)


def clips(held_out: Sequence[Path], records: Path, seconds: float, pieces: int) -> Iterator[Clip]:
    """Pieces in turn with one record's noise and the other's."""
    bank = [noise_of(records / name) for name in RECORDS]
    for number, path in enumerate(find_recordings(held_out)[:pieces]):
        generator = torch.Generator().manual_seed(number)
        ((name, sound, rate),) = clips_of(path, seconds=seconds, count=1, model_rate=RATE)
        music = matched(resample(sound[None].float(), rate, RATE)[0], torch.full((1,), TRUTH_LEVEL))
        record = bank[number % len(bank)]
        first = int(torch.randint(len(record), (), generator=generator))
        noise = looped(record, RATE, first + len(music))[first:]
        machine = family_of("published").draw(generator)
        yield Clip(name, music, machine.response, noise / noise.square().mean().sqrt())


def noise_of(path: Path) -> Tensor:
    """A record's noise (T,), without its offset, such that it can be looped."""
    read = audio.read(path)
    noise = resample(torch.as_tensor(read.audio).float().mean(dim=0, keepdim=True), read.sample_rate, RATE)[0]
    return whole_turns(noise - noise.mean(), RATE)


def by_denoising() -> dict[str, Denoising]:
    """What takes noise away."""

    def staged(**settings: str) -> Denoising:
        return lambda noisy: torch.as_tensor(denoise(noisy, RATE, **settings)[0])[0]

    found: dict[str, Denoising] = {"before": lambda noisy: noisy}
    try:
        import noisereduce

        found["noisereduce"] = lambda noisy: torch.from_numpy(noisereduce.reduce_noise(noisy.numpy(), RATE)).float()
    except ImportError:
        pass
    return found | {"denoiser-small": staged(), "prior": staged(method="prior")}


def by_gramophone(bank: Path, snr_db: int) -> dict[str, Denoising]:
    """The 78-rpm denoiser with a bank of other records, where nobody says how loud the noise is, and where one does."""

    def staged(**settings: Any) -> Denoising:
        given = {"method": "gramophone", "noise_bank": str(bank)} | settings
        return lambda noisy: torch.as_tensor(denoise(noisy, RATE, **given)[0])[0]

    told = f"snr={snr_db}"
    return {
        "gramophone, level found": staged(),
        "gramophone, ratio told": staged(noise_level=told),
        "gramophone, ratio told, a sample": staged(noise_level=told, pull=f"snr={snr_db}", steps=SAMPLED),
    }


def bank_without(records: Path, folder: Path) -> Path:
    """A folder with all records but those whose noise is added."""
    folder.mkdir()
    for path in sorted(records.glob("*.ogg")):
        if path.name not in RECORDS:
            shutil.copy(path, folder)
    return folder


def by_restoring(steps: int) -> dict[str, Restoring]:
    """What takes noise and machine away."""
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")

    def restored(recording: Tensor, **settings: Any) -> tuple[Tensor, Curve]:
        made = restorer.restore(recording, RATE, steps=steps, **settings)
        return torch.as_tensor(made.audio).flatten(), made.equalizer

    def denoised(recording: Tensor, **settings: str) -> tuple[Tensor, Curve]:
        clean = torch.as_tensor(declick(recording, RATE)[0])
        return restored(torch.as_tensor(denoise(clean, RATE, **settings)[0])[0])

    return {
        "restored": restored,
        "denoised, then restored": denoised,
        "denoised by the prior, then restored": partial(denoised, method="prior"),
        "joint": lambda recording: restored(recording, surface_noise="changing"),
    }


class Kept:
    """Figures by what was done, to what and how noisy; they lie in a file as soon as they are there."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        there = path is not None and path.exists()
        self.rows: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8")) if path and there else {}

    def add(self, name: str, measure: Callable[[], dict[str, float]]) -> None:
        if name in self.rows:
            return
        self.rows[name] = measure()
        print(name, {what: round(value, 2) for what, value in self.rows[name].items()}, flush=True)
        if self._path:
            self._path.write_text(json.dumps(self.rows, indent=1) + "\n", "utf-8")


def timed(way: Callable[[Tensor], Any], noisy: Tensor) -> tuple[Any, float]:
    """What comes out, and the seconds of processor time that each second of sound took."""
    began = time.process_time()
    made = way(noisy)
    return made, (time.process_time() - began) / (len(noisy) / RATE)


def denoising(kept: Kept, clip: Clip, snr: int, name: str, way: Denoising) -> None:
    def measure() -> dict[str, float]:
        made, seconds = timed(way, clip.noisy(clip.music, snr))
        lsd = log_spectral_distance(matched(made, clip.music), clip.music, RATE, BAND_HZ)
        return {"si_sdr": si_sdr(made, clip.music), "lsd": lsd, "seconds": seconds}

    kept.add(f"denoising/{name}/{snr}/{clip.name}", measure)


def restoring(kept: Kept, clip: Clip, snr: int, name: str, way: Restoring) -> None:
    def measure() -> dict[str, float]:
        (made, response), seconds = timed(way, clip.noisy(coloured_by(clip.music, RATE, clip.response), snr))
        return {
            "si_sdr": band_si_sdr(made, clip.music, RATE, CORE_HZ),
            "lsd": log_spectral_distance(matched(made, clip.music), clip.music, RATE, RECORDED_HZ),
            "response_error": response_error(response, clip.response, RECORDED_HZ),
            "seconds": seconds,
        }

    kept.add(f"restoring/{name}/{snr}/{clip.name}", measure)


def table(rows: dict[str, dict[str, float]], what: str) -> str:
    """One of the tables, as Markdown: means over the clips."""
    cells: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for place, figures in rows.items():
        kind, name, snr, _ = place.split("/", 3)
        if kind == what:
            cells[name][int(snr)].append(figures)
    shown = measures(what)
    titles = " / ".join(TITLES[one] for one in shown)
    lines = [f"| {titles}, dB | {' | '.join(f'{snr} dB' for snr in SNR_DB)} | seconds |"]
    lines.append("| --- " * (len(SNR_DB) + 2) + "|")
    for name, said in SHOWN[what].items():
        if levels := cells.get(name):
            row = [" / ".join(f"{mean(one[each] for one in levels[snr]):.1f}" for each in shown) for snr in SNR_DB]
            cost = mean(one["seconds"] for found in levels.values() for one in found)
            lines.append(f"| {said} | {' | '.join(row)} | {f'{cost:.2f}' if name != 'before' else '-'} |")
    return "\n".join(lines)


def differences(rows: dict[str, dict[str, float]], what: str, ours: str, other: str) -> str:
    """How much more one way measures than another, clip by clip: means with 95 % intervals, as Markdown."""
    heads = [f"{snr} dB" for snr in SNR_DB]
    lines = [f"| {ours} above {other}, dB | {' | '.join(heads)} |", "| --- " * (len(SNR_DB) + 1) + "|"]
    for measure in measures(what):
        cells = []
        for snr in SNR_DB:
            ends = [place.split("/", 3)[3] for place in rows if place.startswith(f"{what}/{ours}/{snr}/")]
            mine, theirs = ([rows[f"{what}/{way}/{snr}/{end}"][measure] for end in ends] for way in (ours, other))
            one = confidence([a - b for a, b in zip(mine, theirs, strict=True)])
            cells.append(f"{one.mean:+.1f} [{one.low:+.1f}, {one.high:+.1f}]")
        lines.append(f"| {TITLES[measure]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measures(what: str) -> tuple[str, ...]:
    """What is measured of denoising, or of restoring."""
    return tuple(TITLES)[: 2 if what == "denoising" else 3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path, nargs="+")
    parser.add_argument("noise", type=Path)
    parser.add_argument("--pieces", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=16, help="of restoring")
    parser.add_argument("--output", type=Path, help="folder for the figures, as joint.json")
    given = parser.parse_args()
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
    kept = Kept(given.output / "joint.json" if given.output else None)
    taking, undoing = by_denoising(), by_restoring(given.steps)
    found = list(clips(given.held_out, given.noise, given.seconds, given.pieces))
    with tempfile.TemporaryDirectory() as folder:
        bank = bank_without(given.noise, Path(folder) / "bank")
        for clip, snr in product(found, sorted(SNR_DB, reverse=True)):
            for name, denoiser in (taking | by_gramophone(bank, snr)).items():
                denoising(kept, clip, snr, name, denoiser)
            for name, restorer in undoing.items():
                restoring(kept, clip, snr, name, restorer)
    for what in SHOWN:
        print(table(kept.rows, what), end="\n\n")
    for what, ours, other in AGAINST:
        print(differences(kept.rows, what, ours, other), end="\n\n")


if __name__ == "__main__":
    main()
