"""Cleaning on synthetic shellac: what each stage and the whole chain make of clicks, crackle, hiss and hum.

    python benchmarks/shellac.py HELD_OUT --denoiser denoiser-small --output benchmarks/results

HELD_OUT holds pieces that nothing was trained on, as `babe2 evaluate synthetic` takes them. Prints the table of
docs/workshop.md; `noisereduce` is measured where it is installed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from babe2.degradations.surface import Hum, Surface, measured, surface_noise
from babe2.dsp.distance import log_spectral_distance
from babe2.dsp.resampling import resample
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.evaluation.measures import si_sdr
from babe2.stages import declick, dehum, denoise, rumble

RATE, SECONDS = 22050, 8.0
BAND_HZ = (100.0, 8000.0)
SNR_DB = (0, 10, 20, 30)
SHELLAC = Surface(
    0.0,
    measured("run-out"),
    swell_db=3.0,
    turns_hz=1.3,
    clicks=4.0,
    click_db=15.0,
    hum=Hum(50.0, -10.0, 8.0),
    rumble_db=-6.0,
)
SAID = {"before": "before", "chain": "all four"}  # other ways by their names, which are those of stages
Way = Callable[[Tensor], Tensor]


def shellac(music: Tensor, snr_db: float, generator: torch.Generator) -> Tensor:
    """The noise (T,) of a shellac disc, all of it together so many dB below the music."""
    noise = surface_noise(music, RATE, SHELLAC, generator)
    return noise * (music.square().mean() / noise.square().mean()).sqrt() * 10 ** (-snr_db / 20)


def ways(denoiser: str) -> dict[str, Way]:
    """What is compared: nothing, each stage alone, all of them in turn, and others."""

    def staged(*stages: Callable[[Tensor], Tensor]) -> Way:
        def work(noisy: Tensor) -> Tensor:
            for stage in stages:
                noisy = stage(noisy)
            return noisy

        return work

    def by(stage: Callable[..., tuple[object, object]], **settings: str) -> Way:
        return lambda noisy: torch.as_tensor(stage(noisy, RATE, **settings)[0])[0]

    single: dict[str, Way] = {
        "declick": by(declick),
        "dehum": by(dehum),
        "rumble": by(rumble),
        "denoise": by(denoise, checkpoint=denoiser),
    }
    found: dict[str, Way] = {"before": lambda noisy: noisy, **single, "chain": staged(*single.values())}
    try:
        import noisereduce

        found["noisereduce"] = lambda noisy: torch.from_numpy(noisereduce.reduce_noise(noisy.numpy(), RATE)).float()
    except ImportError:
        pass
    return found


def changed_db(clean: Tensor, made: Tensor) -> float:
    """The level of what was done to music with which nothing is wrong, dB relative to it."""
    changed = clean - made
    return float(10 * torch.log10((changed.square().sum() / clean.square().sum()).clamp(min=1e-15)))


def measure(clips: Sequence[Tensor], compared: Mapping[str, Way]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over the clips: by way and level SI-SDR and LSD, by way the change of clean music and what it costs."""
    sums: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    for number, music in enumerate(clips):
        for snr in SNR_DB:
            noisy = music + shellac(music, snr, torch.Generator().manual_seed(number))
            for name, way in compared.items():
                began = time.process_time()
                made = way(noisy)
                row = sums[name][f"{snr} dB"]
                row["seconds_each_second"] += (time.process_time() - began) / SECONDS / len(clips)
                row["si_sdr"] += si_sdr(made[None], music[None]) / len(clips)
                row["lsd"] += log_spectral_distance(made[None], music[None], RATE, BAND_HZ) / len(clips)
        for name, way in compared.items():
            sums[name]["clean"]["change_db"] += changed_db(music, way(music)) / len(clips)
    return {name: {level: dict(row) for level, row in rows.items()} for name, rows in sums.items()}


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """As Markdown."""
    heads = [f"{snr} dB" for snr in SNR_DB]
    lines = [f"| SI-SDR / LSD, dB | {' | '.join(heads)} | change of clean music | seconds for a second |"]
    lines.append("| --- " * (len(heads) + 3) + "|")
    for name, rows in found.items():
        cells = [f"{rows[head]['si_sdr']:.1f} / {rows[head]['lsd']:.1f}" for head in heads]
        cost = sum(rows[head]["seconds_each_second"] for head in heads) / len(heads)
        change = rows["clean"]["change_db"]
        told = ["none" if change <= -140 else f"{change:.0f} dB", f"{cost:.2f}"] if name != "before" else ["-", "-"]
        lines.append(f"| {SAID.get(name, f'`{name}`')} | {' | '.join([*cells, *told])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--denoiser", default="denoiser-small")
    parser.add_argument("--pieces", type=int, default=6)
    parser.add_argument("--output", type=Path, help="folder for the figures, as shellac.json")
    given = parser.parse_args()
    clips = []
    for path in find_recordings([given.held_out])[: given.pieces]:
        for _, sound, rate in clips_of(path, seconds=SECONDS, count=1, model_rate=RATE):
            clips.append(resample(sound[None].float(), rate, RATE)[0])
    found = measure(clips, ways(given.denoiser))
    if given.output:
        (given.output / "shellac.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
