"""A portrait of a checkpoint: the average spectrum of the music that it knows, as SVG in the page's own colours."""

from __future__ import annotations

import math

import torch

from babe2.dsp.spectra import ReferenceLtas, decibels, octave_smoothed

LOWEST, SOFTEST = 50.0, 70.0  # Hz; dB below the strongest, where the picture ends
WIDTH, HEIGHT, WORDS = 280, 70, 12  # of all of it, and of the line of frequencies at its foot
COMPARED = (5000, 2000, 1000)  # Hz: the first of these that the music reaches is told beside the strongest
MARKS = {100: "100 Hz", 1000: "1 kHz", 10_000: "10 kHz"}


def portrait(known: ReferenceLtas) -> str:
    """A bar for each semitone, and under it what it is; a screen reader is told the shape in words."""
    highest = known.sample_rate / 2
    hertz = LOWEST * 2 ** (torch.arange(math.floor(12 * math.log2(highest / LOWEST)), dtype=torch.float64) / 12)
    level = decibels(octave_smoothed(known.power, known.sample_rate, hertz))
    level -= level.max()
    step, room = WIDTH / len(hertz), HEIGHT - WORDS
    tall = (room * (1 + level / SOFTEST)).clamp(min=1)
    bars = "".join(f"M{step * (i + 0.5):.1f} {room}v-{height:.1f}" for i, height in enumerate(tall.tolist()))
    octaves = math.log2(highest / LOWEST)
    places = {words: WIDTH * math.log2(at / LOWEST) / octaves for at, words in MARKS.items() if at < highest}
    marks = "".join(
        f'<text x="{min(x, WIDTH - 15):.0f}" y="{HEIGHT - 2}">{words}</text>' for words, x in places.items()
    )
    return (
        f'<figure class="portrait"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{_told(hertz, level)}">'
        f'<path d="{bars}" stroke="currentColor" stroke-width="{0.6 * step:.2f}"/>{marks}</svg>'
        "<figcaption>The music it knows, on average: how strong it is from low notes to high</figcaption></figure>"
    )


def _told(hertz: torch.Tensor, level: torch.Tensor) -> str:
    """Levels (K,) in dB below the strongest, at frequencies (K,) that a semitone parts, in a sentence."""
    strongest = _rounded(float(hertz[level.argmax()]))
    compared = next((at for at in COMPARED if at < hertz[-1]), None)
    told = f"Average spectrum of the music it knows: strongest at {strongest} Hz"
    if compared is None:
        return told
    softer = -float(level[(hertz - compared).abs().argmin()])
    return f"{told}, {softer:.0f} dB softer at {compared // 1000} kHz"


def _rounded(hertz: float) -> int:
    """A frequency as one says it, to two digits."""
    unit = 10 ** max(0, math.floor(math.log10(hertz)) - 1)
    return round(hertz / unit) * unit
