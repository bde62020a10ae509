"""Measure denoisers on pieces and noise that none of them has learned from."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from train import HELD_OUT, HELD_OUT_FILES, RATE, noise_of

from babe2.degradations.families import FAMILIES
from babe2.degradations.surface import measured, surface_noise
from babe2.dsp.curves import SampledCurve
from babe2.dsp.distance import log_spectral_distance
from babe2.evaluation.clips import clips_of
from babe2.evaluation.measures import si_sdr
from babe2.stages import denoise

log = logging.getLogger("measure")

BAND_HZ = (60.0, 10500.0)
SNR_DB = (0, 10, 20, 30)
Method = Callable[[Tensor], Tensor]


def methods(checkpoint: str) -> dict[str, Method]:
    """What is compared; noisereduce where it is installed."""

    def as_stage(**settings: str) -> Method:
        return lambda noisy: torch.from_numpy(denoise(noisy, RATE, **settings)[0][0])

    found: dict[str, Method] = {"none": lambda noisy: noisy}
    try:
        import noisereduce

        found["noisereduce"] = lambda noisy: torch.from_numpy(noisereduce.reduce_noise(noisy.numpy(), RATE)).float()
    except ImportError:
        log.info("noisereduce is not installed, and left out.")
    return found | {"prior": as_stage(method="prior"), "denoiser": as_stage(checkpoint=checkpoint)}


def noise_behind(music: Tensor, number: int, records: list[Tensor], generator: torch.Generator) -> Tensor:
    """Noise of unit level: of a held-out record, or made with the spectrum of one, in turn."""
    if number % 2 == 0:
        record = records[number // 2 % len(records)]
        start = int(torch.randint(len(record) - len(music), (), generator=generator))
        noise = record[start : start + len(music)]
    else:
        surface = FAMILIES["horn"].draw(generator).surface
        if isinstance(surface.spectrum, SampledCurve):
            surface = dataclasses.replace(surface, spectrum=measured(HELD_OUT[number // 2 % len(HELD_OUT)]))
        noise = surface_noise(music, RATE, surface, generator)
    return noise / noise.square().mean().sqrt()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=Path, required=True, help="folder of prepared pieces, held out")
    parser.add_argument("--noise", type=Path, required=True, help="folder of noise recordings")
    parser.add_argument("--checkpoint", default="denoiser-small")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", nargs="*", help="methods to measure")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    generator = torch.Generator().manual_seed(0)
    records = [noise_of(args.noise / name) for name in HELD_OUT_FILES]
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    compared = {name: method for name, method in methods(args.checkpoint).items() if not args.only or name in args.only}
    for number, path in enumerate(sorted(args.pieces.glob("*.npy"))):
        ((_, music, _),) = clips_of(path, seconds=args.seconds, count=1, model_rate=RATE)
        music = 0.1 * music / music.square().mean().sqrt()
        noise = noise_behind(music, number, records, generator)
        for level in (*SNR_DB, None):
            noisy = music if level is None else music + 0.1 * 10 ** (-level / 20) * noise
            for name, method in compared.items():
                clean = method(noisy)
                if level is None:
                    change = 20 * math.log10(max(float((clean - music).norm() / music.norm()), 1e-9))
                    found["clean", name].append((change, 0.0))
                else:
                    score = si_sdr(clean, music), log_spectral_distance(clean, music, RATE, BAND_HZ)
                    found[str(level), name].append(score)
                log.info(
                    "%s %s %s %s",
                    path.stem,
                    level,
                    name,
                    np.round(found[str(level) if level is not None else "clean", name][-1], 2),
                )
    log.info("\n| SNR, dB | " + " | ".join(compared) + " |\n|" + " --- |" * (len(compared) + 1))
    for level in map(str, SNR_DB):
        cells = [np.mean(found[level, name], axis=0) for name in compared]
        log.info("| %s | %s |", level, " | ".join(f"{sdr:.1f} / {lsd:.1f}" for sdr, lsd in cells))
    cells = [[change for change, _ in found["clean", name]] for name in compared]
    log.info(
        "| change of clean music | %s |", " | ".join(f"{np.mean(each):.0f} (worst {max(each):.0f})" for each in cells)
    )


if __name__ == "__main__":
    main()
