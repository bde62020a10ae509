"""How near to the truth any restoration could come in LSD: what oracles reach that know what no recording tells.

    python benchmarks/oracle.py HELD_OUT --json benchmarks/results/DATE-oracle.json

The clips and machines are those of `babe2 evaluate methods --seconds 4 --per-file 3`. An oracle is told the machine's
response, the average spectrum of its noise and, of the music itself, the power around every cell of time and frequency,
averaged over three frames and three bins. What is left to find is what the noise has done to that one cell. Of all
estimates from the recording one is least wrong in power (Wiener's filter) and one in decibels (Ephraim and Malah 1985),
if music and noise are Gaussian in a cell. What is in the file already is not done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from measuring import held_out_and_figures
from scipy.special import exp1
from torch import Tensor

from babe2.degradations.families import OLD
from babe2.dsp.distance import FFT, HOP, band_power, distance_of_powers, inside
from babe2.dsp.spectra import bin_frequencies
from babe2.evaluation.clips import clips_of
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.synthetic import aged_by, as_truth, recorded_band
from babe2.evaluation.table import confidence

SECONDS, PLACES = 4.0, 3  # of a clip, and how many there are of each recording
AROUND = 3  # frames and bins over which an oracle is told the music's power
ESTIMATES = {
    "undone": "its response undone",
    "power": "told, least wrong in power",
    "decibels": "told, least wrong in decibels",
}


def estimates(recording: Tensor, music: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """The music's power in every cell (F, N) as estimated from the recording's, if its usual power and the noise's are
    told; all of them behind the machine."""
    ratio = (music / noise).clamp(1e-9, 1e9)
    gain = ratio / (1 + ratio)
    seen = (gain * recording / noise).double().clamp(1e-12, 600.0)
    lift = torch.from_numpy(exp1(seen.numpy())).exp().float()
    least_in_power = gain**2 * recording
    return {"undone": recording, "power": least_in_power, "decibels": least_in_power * lift}


def around(power: Tensor) -> Tensor:
    """The mean power around every cell (F, N)."""
    padded = F.pad(power[None, None], (AROUND // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, AROUND, stride=1)[0, 0]


def judged(name: str, truth: Tensor, family: str) -> dict[str, Any]:
    """How far each estimate of one recording's music is from the truth in the band that was recorded, dB."""
    degradation, aged = aged_by(name, truth, 0, family)
    band = recorded_band(aged, degradation.wall_hz)
    hertz = bin_frequencies(SCORING_RATE, FFT)
    response = 10 ** (degradation.response.gain_db(hertz[inside(hertz, band)].double()) / 10).float()[:, None]
    power, recording, music, noise = (
        band_power(x, SCORING_RATE, band, FFT, HOP) for x in (truth, aged.recording, aged.music, aged.noise)
    )
    response = response * music.sum() / (response * power).sum()  # at the level of the recording
    usual_noise = noise.mean(dim=1, keepdim=True)
    found = estimates(recording, response * around(power), usual_noise)
    return {way: float(distance_of_powers(x / response, power).mean()) for way, x in found.items()}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means by family of machines, and of all recordings with an interval over clips, as Markdown."""
    lines = [f"| machines | {' | '.join(ESTIMATES.values())} |", "| --- " * (len(ESTIMATES) + 1) + "|"]
    families = list(dict.fromkeys(row["family"] for row in rows))
    for family in families:
        means = [mean(row[way] for row in rows if row["family"] == family) for way in ESTIMATES]
        lines.append(f"| `{family}` | {' | '.join(f'{found:.1f}' for found in means)} |")
    clips = list(dict.fromkeys(row["clip"] for row in rows))
    spans = [confidence([mean(row[way] for row in rows if row["clip"] == clip) for clip in clips]) for way in ESTIMATES]
    lines.append(f"| all | {' | '.join(f'{x.mean:.1f} [{x.low:.1f}, {x.high:.1f}]' for x in spans)} |")
    return "\n".join(lines)


def main() -> None:
    recordings, figures = held_out_and_figures(__doc__)
    for path in recordings:
        for name, sound, rate in clips_of(path, seconds=SECONDS, count=PLACES, model_rate=SCORING_RATE):
            truth = as_truth(sound, rate)
            for family in OLD:
                figures.once({"clip": name, "family": family}, partial(judged, name, truth, family))
    print(table(figures.rows))


if __name__ == "__main__":
    main()
