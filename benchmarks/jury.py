"""Whether a jury without ears can choose the best of several seeds: what it wins against the truth.

    python benchmarks/jury.py HELD_OUT --json benchmarks/results/DATE-jury.json

Each held-out piece is spoiled by a machine of its own and restored with several seeds. Jurors that know no truth (how
well the restoration, spoiled again, is the recording; how probable the prior finds it; how much its level jumps from
one moment to the next) each choose a seed; what their choice scores is compared with the mean of all seeds, which is
what a single one is worth, and with the best, which is the most that a jury could win. What is in the file already is
not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean
from typing import Any

import torch
from measuring import held_out_and_figures
from torch import Tensor

from babe2 import Restorer
from babe2.degradations.response import coloured_by
from babe2.dsp.curves import Curve
from babe2.dsp.distance import log_spectral_distance
from babe2.dsp.spectra import decibels, power_spectrogram
from babe2.evaluation.clips import clips_of
from babe2.evaluation.measures import LOST_HZ, SCORING_RATE, matched, si_sdr
from babe2.evaluation.synthetic import as_truth, spoiled
from babe2.evaluation.table import confidence
from babe2.networks.models import next_length

SECONDS = 4.0
SEEDS = range(4)
SIGMAS = (0.003, 0.01, 0.03, 0.1)  # at which the prior is asked how probable a sound is
BAND_HZ = (100.0, 8000.0)
JURORS = ("misfit", "improbability", "roughness")  # of each, less is better
SCORES = {"lsd": "LSD 0.1-8 kHz, dB", "lsd_lost": "LSD above 3 kHz, dB", "si_sdr": "SI-SDR, dB"}


def misfit(restored: Tensor, observation: Tensor, response: Curve) -> float:
    """How little of the recording the restoration explains once it is coloured again, dB."""
    return -si_sdr(coloured_by(restored, SCORING_RATE, response), observation)


@torch.no_grad()
def improbability(restorer: Restorer, restored: Tensor) -> float:
    """By how much more than its noise the prior takes from a sound to which noise was added, dB, on average."""
    length = next_length(restorer.model, len(restored))
    prior = restorer.prior(length)
    x = torch.nn.functional.pad(restored, (0, length - len(restored)))[None]
    x = x * restorer.model.sigma_data / x.std()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    errors = (
        (prior(x + sigma * noise, torch.tensor(sigma)) - prior.highpass(x)).square().mean() / sigma**2
        for sigma in SIGMAS
    )
    return mean(float(10 * error.log10()) for error in errors)


def roughness(restored: Tensor) -> float:
    """By how much levels change from one moment to the next, above 3 kHz, dB, on average."""
    level = decibels(power_spectrogram(restored, fft=1024, hop=512).clamp(min=1e-9))
    treble = level[round(LOST_HZ[0] / SCORING_RATE * 1024) :]
    return float(treble.diff(dim=1).abs().mean())


def judged(restorer: Restorer, clip: tuple[str, Tensor, int], machine_seed: int, seed: int) -> dict[str, Any]:
    truth = as_truth(clip[1], clip[2])
    degraded = spoiled(clip[0], truth, machine_seed)
    made = restorer.restore(degraded.observation, SCORING_RATE, seed=seed)
    x = matched(torch.as_tensor(made.audio[0]), truth)
    return {
        "lsd": log_spectral_distance(x, truth, SCORING_RATE, BAND_HZ),
        "lsd_lost": log_spectral_distance(x, truth, SCORING_RATE, LOST_HZ),
        "si_sdr": si_sdr(x, truth),
        "misfit": misfit(x, degraded.observation, made.response),
        "improbability": improbability(restorer, x),
        "roughness": roughness(x),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """By how much each juror's choice is above the mean of all seeds, and the best and the worst one, as Markdown."""
    clips = list(dict.fromkeys(row["clip"] for row in rows))
    by_clip = [[row for row in rows if row["clip"] == clip] for clip in clips]
    lines = [f"| chosen by | {' | '.join(SCORES.values())} |", "| --- " * (len(SCORES) + 1) + "|"]
    ways: dict[str, Callable[[list[dict[str, Any]], str], float]] = {
        **{f"least {juror}": partial(_of_the_least, juror) for juror in JURORS},
        "the truth, best": lambda some, score: (max if score == "si_sdr" else min)(row[score] for row in some),
        "the truth, worst": lambda some, score: (min if score == "si_sdr" else max)(row[score] for row in some),
    }
    for name, way in ways.items():
        found = [
            confidence([way(some, score) - mean(row[score] for row in some) for some in by_clip]) for score in SCORES
        ]
        lines.append(f"| {name} | {' | '.join(f'{x.mean:+.2f} [{x.low:+.2f}, {x.high:+.2f}]' for x in found)} |")
    return "\n".join(lines)


def _of_the_least(juror: str, some: list[dict[str, Any]], score: str) -> float:
    return float(min(some, key=lambda row: row[juror])[score])


def main() -> None:
    recordings, figures = held_out_and_figures(__doc__)
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    for number, path in enumerate(recordings):
        (clip,) = clips_of(path, seconds=SECONDS, count=1, model_rate=SCORING_RATE)
        for seed in SEEDS:
            print(
                figures.once({"clip": clip[0], "seed": seed}, partial(judged, restorer, clip, number, seed)), flush=True
            )
    print(table(figures.rows))


if __name__ == "__main__":
    main()
