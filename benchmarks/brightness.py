"""How well the treble that a recording lost can be told at best, from a good one of the same piano in the same room.

    python benchmarks/brightness.py HELD_OUT --json benchmarks/results/DATE-brightness.json

Each clip is taken to be known without any fault up to some frequency, and its reference is all else of the same
recording. From these two the level from 5 to 8 kHz is guessed in three ways: the reference's average spectrum brought
to the level that it has just below the end; the moments of the reference that are most like those of the clip; and the
regression, in the reference, of each moment's treble on its bands below. What no way can tell here, no prior can be
conditioned on. What is in the file already is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from measuring import held_out_and_figures
from torch import Tensor

from babe2.analysis.evidence import band_centres
from babe2.dsp.bands import octave_means
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import decibels, power_spectrogram
from babe2.evaluation.clips import whole_of
from babe2.evaluation.measures import SCORING_RATE
from babe2.evaluation.table import confidence

SECONDS, CLIPS = 10.0, 4
ENDS_HZ = (2500.0, 3500.0, 4500.0)  # up to which the clip is known
KNOWN, JUST_BELOW = (150.0, 0.9), (0.5, 0.85)  # Hz and a share of the end; shares of it
TREBLE_HZ = (5000.0, 8000.0)
FFT, HOP = 2048, 512
FAINT = 1e-4  # of the mean power: fainter moments tell nothing
RIDGE = 0.05  # of a band's variance
NEIGHBOURS = 8


def bands(x: Tensor) -> Tensor:
    """The power (N, K) of a sound (T,) in each moment."""
    power = octave_means(band_centres(), SCORING_RATE, FFT).float() @ power_spectrogram(x, FFT, HOP)
    power = power.T.double()
    return power[power.sum(dim=1) > FAINT * power.sum(dim=1).mean()]


def by_average(clip: Tensor, good: Tensor, known: Tensor, just_below: Tensor, treble: Tensor) -> Tensor:
    """The treble's mean level (K'), dB, by the average spectrum."""
    level = (decibels(clip.mean(dim=0)) - decibels(good.mean(dim=0)))[just_below].mean()
    return decibels(good.mean(dim=0))[treble] + level


def by_likeness(clip: Tensor, good: Tensor, known: Tensor, just_below: Tensor, treble: Tensor) -> Tensor:
    """The same by the moments that are most like each of the clip's, as loud as that is just below the end."""
    own, others, _ = _shapes(clip, good, known)
    nearest = torch.cdist(own, others).topk(NEIGHBOURS, largest=False).indices
    ratio = good[:, treble] / good[:, just_below].mean(dim=1, keepdim=True).clamp(min=1e-20)
    found = clip[:, just_below].mean(dim=1, keepdim=True) * ratio[nearest].mean(dim=1)
    return decibels(found.mean(dim=0))


def by_regression(clip: Tensor, good: Tensor, known: Tensor, just_below: Tensor, treble: Tensor) -> Tensor:
    """The same by regression on the bands below."""
    own, others, louder = _shapes(clip, good, known)
    aim = decibels(good[:, treble])
    centred = aim - aim.mean(dim=0)
    ridge = RIDGE * len(others) * torch.eye(others.shape[1], dtype=others.dtype)
    weights = torch.linalg.solve(others.T @ others + ridge, others.T @ centred)
    left = decibels((10 ** ((centred - others @ weights) / 10)).mean(dim=0))  # what a mean of levels lacks
    return decibels((10 ** ((own @ weights + aim.mean(dim=0)) / 10)).mean(dim=0)) + left + louder


def _shapes(clip: Tensor, good: Tensor, known: Tensor) -> tuple[Tensor, Tensor, float]:
    """The known bands of both in each moment, standardised, as if both were as loud; by how much the clip is louder."""
    louder = float(decibels(clip[:, known].sum(dim=1).mean()) - decibels(good[:, known].sum(dim=1).mean()))
    others = decibels(good[:, known])
    mean, deviation = others.mean(dim=0), others.std(dim=0)
    return (decibels(clip[:, known]) - louder - mean) / deviation, (others - mean) / deviation, louder


WAYS: dict[str, Callable[..., Tensor]] = {
    "average spectrum": by_average,
    "moments like it": by_likeness,
    "regression": by_regression,
}


@lru_cache(maxsize=1)
def clip_and_reference(path: Path, number: int) -> tuple[Tensor, Tensor]:
    """The bands of one of a recording's clips, and of all else of it."""
    length = round(SECONDS * SCORING_RATE)
    sound, rate = whole_of(path, SCORING_RATE)
    whole = resample(sound[None], rate, SCORING_RATE)[0]
    start = (2 * number + 1) * (len(whole) - length) // (2 * CLIPS)
    others = [part for part in (whole[:start], whole[start + length :]) if len(part) > length // 2]
    return bands(whole[start : start + length]), torch.cat([bands(part) for part in others])


def missed(path: Path, number: int, end_hz: float) -> dict[str, Any]:
    """The mean absolute error of each way's levels from 5 to 8 kHz, dB."""
    clip, good = clip_and_reference(path, number)
    hertz = band_centres()
    known = (hertz > KNOWN[0]) & (hertz < KNOWN[1] * end_hz)
    just_below = (hertz > JUST_BELOW[0] * end_hz) & (hertz < JUST_BELOW[1] * end_hz)
    treble = (hertz >= TREBLE_HZ[0]) & (hertz <= TREBLE_HZ[1])
    truth = decibels(clip.mean(dim=0))[treble]
    return {
        name: float((way(clip, good, known, just_below, treble) - truth).abs().mean()) for name, way in WAYS.items()
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means over the clips with intervals, by where the clip's knowledge ends, as Markdown."""
    lines = ["| known up to | " + " | ".join(WAYS) + " |", "| --- " * (len(WAYS) + 1) + "|"]
    for end_hz in ENDS_HZ:
        found = [confidence([row[way] for row in rows if row["end_hz"] == end_hz]) for way in WAYS]
        cells = [f"{x.mean:.1f} [{x.low:.1f}, {x.high:.1f}]" for x in found]
        lines.append(f"| {end_hz / 1000:g} kHz | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    recordings, figures = held_out_and_figures(__doc__)
    for path in recordings:
        for number in range(CLIPS):
            for end_hz in ENDS_HZ:
                case = {"recording": path.stem, "clip": number, "end_hz": end_hz}
                figures.once(case, partial(missed, path, number, end_hz))
    print(table(figures.rows))


if __name__ == "__main__":
    main()
