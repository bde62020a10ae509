"""What mastering makes of ten made-up clips, and what it costs.

    python benchmarks/mastering.py --json FILE

The clips are those of `babe2 generate-test-clips`: ten kinds of music as MusicGen leaves them, 10 s, 32 kHz, mono.
Prints the table of docs/mastering.md. Times are those of one thread, the least of three. What is in the file already
is not measured again.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from measuring import Figures, machine
from torch import Tensor

from babe2 import Chain
from babe2.chains import Link
from babe2.dsp.loudness import integrated_loudness
from babe2.dsp.peaks import true_peak
from babe2.dsp.spectra import bin_frequencies
from babe2.dsp.tape import MemoryTape
from babe2.generation.instruments import RATE
from babe2.generation.pieces import KINDS, synthesised
from babe2.stages.finalise import Finalise

SECONDS = 10.0
BANDS_HZ = ((12_000.0, 14_000.0), (16_200.0, 20_000.0))  # below the end of the clips, and above half of their rate
NOTHING_DB = -119.0  # of all: a band in which nothing is
WAYS = ("before", "master", "master, -14 LUFS", "master-as-published")


def chain_of(way: str) -> Chain:
    name, _, lufs = way.partition(", ")
    chain = Chain.load(name)
    if not lufs:
        return chain
    return replace(chain, links=(*chain.links[:-1], Link(Finalise.of(lufs=float(lufs.split()[0])))))


def mastered(way: str, clip: Tensor) -> tuple[Tensor, int, float]:
    """What comes out (1, T), its sample rate, and the seconds that it took."""
    if way == "before":
        return clip, RATE, 0.0
    chain = chain_of(way)
    taken = []
    for _ in range(3):
        began = time.process_time()
        done = chain.apply(clip, RATE)
        taken.append(time.process_time() - began)
    return torch.as_tensor(done.audio), done.sample_rate, min(taken)


def band_level(x: Tensor, sample_rate: int, hertz: tuple[float, float]) -> float:
    """The power in a band below that of the whole, dB."""
    power = torch.fft.rfft(x[0].double()).abs().square()
    at = bin_frequencies(sample_rate, x.shape[-1])
    inside = (at >= hertz[0]) & (at < hertz[1])
    return float(10 * (power[inside].sum() / power.sum() + 1e-12).log10())


def measured(way: str, number: int) -> dict[str, float]:
    made, rate, seconds = mastered(way, synthesised(number, SECONDS, 0)[None])
    low, high = (band_level(made, rate, band) for band in BANDS_HZ)
    return {
        "12_to_14_khz": low,
        "16_to_20_khz": high,
        "true_peak": 20 * math.log10(true_peak(MemoryTape(made))),
        "loudness": integrated_loudness(made.numpy(), rate),
        "seconds": seconds,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Least to greatest over the clips, as Markdown."""
    said = {
        "12_to_14_khz": "12 to 14 kHz, of all, dB",
        "16_to_20_khz": "16.2 to 20 kHz, of all, dB",
        "true_peak": "true peak, dBTP",
        "loudness": "loudness, LUFS",
        "seconds": "seconds for 10 s",
    }
    heads = [WAYS[0], *(f"`{way}`" for way in WAYS[1:])]
    lines = [f"| | {' | '.join(heads)} |", "| --- " * (len(WAYS) + 1) + "|"]
    for what, title in said.items():
        digits = 2 if what in ("true_peak", "seconds") else 1
        cells = []
        for way in WAYS:
            found = sorted(row[what] for row in rows if row["way"] == way)
            ends = dict.fromkeys(f"{end:.{digits}f}" for end in (found[0], found[-1]))
            average = f", on average {mean(found):.2f}" if what == "seconds" else ""
            nothing = found[-1] <= NOTHING_DB if what.endswith("khz") else what == "seconds" and not found[-1]
            cells.append("-" if nothing else " to ".join(ends) + average)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where figures are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = Figures.at(given.json, machine())
    for way in WAYS:
        for number, kind in enumerate(KINDS):
            case = {"way": way, "clip": kind.prompt}
            print(figures.once(case, partial(measured, way, number)))
    print(table(figures.rows))


if __name__ == "__main__":
    main()
