"""What can be measured of a sound alone, without knowing what it should be: level, brightness, noise.

Measures over short frames are those of librosa with its defaults (2048 samples every 512, at whatever rate), so that
other people's numbers can be set beside ours. A recording of any length is read block by block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.analysis.band import band_by_movement
from babe2.analysis.band_powers import BandPowers
from babe2.dsp.excerpts import excerpts
from babe2.dsp.loudness import loudness_of_tape
from babe2.dsp.peaks import true_peak
from babe2.dsp.spectra import bin_frequencies, quantiles
from babe2.dsp.tape import Spread, Streamed

FFT, HOP = 2048, 512
AT_ONCE = 128  # frames
NO_SOUND = 1e-10  # an amplitude, and a power, that is none
NOTHING = 1e-8  # a standard deviation of a sound that never moves
ROLLOFF = 0.85  # of all that sounds lies below
QUIETEST = 0.1  # of the frames
FIRST_BIN, HARMONICS = 10, (2, 3, 4, 5)  # of the strongest tone, which is looked for from that bin on
PER_FRAME = ("centroid", "spread", "rolloff", "flatness", "crossings")
SILENT_CHANNEL = 1e-4  # of the loudest one's deviation: nothing is measured of it
SHORTEST_SECONDS = 0.1  # in which a band can be seen

Blocks = Callable[[], Iterator[npt.NDArray[np.float32]]]  # (channels, n), from the beginning as often as it is called


@dataclass(frozen=True)
class Qualities:
    """What was measured; None where a sound is silent or too short for it."""

    samples: int
    rms: float  # full scale is 1
    loudness: float | None  # LUFS
    true_peak: float | None  # dBTP
    crest: float | None  # dB, peak over root mean square
    above_quiet: float | None  # dB, the mean power over that of the quietest tenth of all frames
    band_end: float | None  # Hz, up to where music comes and goes
    centroid: float | None  # Hz
    spread: float | None  # Hz
    rolloff: float | None  # Hz
    flatness: float | None  # 1 for white noise
    crossings: float | None  # of zero, a second
    harmonics: float | None  # %, of the strongest tone


def qualities(blocks: Blocks, channels: int, sample_rate: int) -> Qualities:
    """Measures a sound of any length.

    What frames and tones tell is averaged over the channels that sound; of more than five minutes, band and tone are
    looked for in evenly spaced excerpts.
    """
    framed, spread = FrameMeasures(channels, sample_rate), Spread(channels)
    peak, squares = 0.0, torch.zeros(channels, dtype=torch.float64)
    for block in map(torch.from_numpy, blocks()):
        framed.add(block)
        spread.add(block)
        peak = max(peak, float(block.abs().max()))
        squares += block.double().square().sum(dim=1)
    framed.end()
    rms = math.sqrt(float(squares.mean()) / spread.samples)
    deviation = spread.deviation() if spread.samples > 1 else torch.zeros(channels)
    if not float(deviation.max()) > NOTHING:
        return Qualities(spread.samples, rms, *[None] * 11)
    tape = Streamed(blocks, channels, spread.samples)
    loudness = loudness_of_tape(tape, sample_rate)
    sounding = deviation > SILENT_CHANNEL * deviation.max()
    parts = excerpts(tape, sample_rate).audio[sounding]
    return Qualities(
        samples=spread.samples,
        rms=rms,
        loudness=loudness if math.isfinite(loudness) else None,
        true_peak=20 * math.log10(true_peak(tape)),
        crest=20 * math.log10(peak / (rms + NO_SOUND)),
        above_quiet=framed.above_quiet(squares / spread.samples, sounding),
        band_end=band_end(parts, sample_rate),
        harmonics=harmonics(parts),
        **framed.means(sounding),
    )


class FrameMeasures:
    """Adds up what frames tell of each channel; the first is centred on the first sample, with silence before it."""

    def __init__(self, channels: int, sample_rate: int) -> None:
        self._rate = sample_rate
        self._held = torch.zeros(channels, FFT // 2)
        self._below = torch.zeros(channels, 0, dtype=torch.bool)  # as long: whether a sample lies below zero
        self._sums = {name: torch.zeros(channels, dtype=torch.float64) for name in PER_FRAME}
        self._powers: list[Tensor] = []  # (C, N) each
        self._window = torch.hann_window(FFT)
        self._hertz = bin_frequencies(sample_rate, FFT)

    def add(self, block: Tensor) -> None:
        """Hears a block (channels, n)."""
        below = block < -NO_SOUND
        if not self._below.shape[1]:  # the edge of a sound is no crossing
            below = torch.cat([below[:, :1].expand(-1, FFT // 2), below], dim=1)
        self._add(block, below)

    def end(self) -> None:
        """Hears that the sound is at its end."""
        self._add(torch.zeros(len(self._held), FFT // 2), self._below[:, -1:].expand(-1, FFT // 2))

    def _add(self, block: Tensor, below: Tensor) -> None:
        self._held = torch.cat([self._held, block], dim=1)
        self._below = torch.cat([self._below, below], dim=1)
        frames = max(0, (self._held.shape[1] - FFT) // HOP + 1)
        for first in range(0, frames, AT_ONCE):
            part = slice(first * HOP, (min(first + AT_ONCE, frames) - 1) * HOP + FFT)
            self._measure(self._held[:, part], self._below[:, part])
        self._held, self._below = self._held[:, frames * HOP :], self._below[:, frames * HOP :]

    def _measure(self, x: Tensor, below: Tensor) -> None:
        frames = x.unfold(1, FFT, HOP)
        self._powers.append(frames.square().mean(dim=2))
        size = torch.fft.rfft(frames * self._window).abs()
        lower = size.cumsum(dim=2)
        total = lower[..., -1:].clamp(min=torch.finfo(torch.float32).tiny)
        centroid = (size @ self._hertz) / total[..., 0]
        spread = ((self._hertz - centroid[..., None]).square_().mul_(size).sum(dim=2) / total[..., 0]).sqrt()
        rolloff = self._hertz[(lower < ROLLOFF * lower[..., -1:]).sum(dim=2)]
        power = size.square_().clamp_(min=NO_SOUND)
        flatness = power.log().mean(dim=2).exp() / power.mean(dim=2)
        changed = (below[:, 1:] != below[:, :-1]).unfold(1, FFT - 1, HOP)
        crossings = changed.sum(dim=2) * (self._rate / FFT)
        for name, found in zip(PER_FRAME, (centroid, spread, rolloff, flatness, crossings), strict=True):
            self._sums[name] += found.sum(dim=1, dtype=torch.float64)

    def means(self, sounding: Tensor) -> dict[str, float]:
        """What each measure is on average over the frames and over those channels."""
        frames = sum(part.shape[1] for part in self._powers)
        return {name: float(total[sounding].mean()) / frames for name, total in self._sums.items()}

    def above_quiet(self, power: Tensor, sounding: Tensor) -> float | None:
        """By how much the power (C,) of all lies above that of the quietest frames, dB, on average over channels."""
        found = []
        for mean, powers in zip(power[sounding].tolist(), torch.cat(self._powers, dim=1)[sounding], strict=True):
            quiet = powers[powers.sqrt() < quantiles(powers.sqrt()[None], torch.tensor([QUIETEST])).item()]
            if len(quiet):
                found.append(10 * math.log10(mean / (float(quiet.mean(dtype=torch.float64)) + NO_SOUND)))
        return sum(found) / len(found) if found else None


# Of excerpts (channels, excerpts, samples)


def band_end(x: Tensor, sample_rate: int) -> float | None:
    """Up to which frequency music is heard, Hz, as `analyse` tells without a reference; None where none is."""
    if x.shape[-1] < SHORTEST_SECONDS * sample_rate:
        return None
    moving = x / x.abs().max()  # the powers of tiny values would leave float32
    moving -= moving.mean(dim=(1, 2), keepdim=True)
    return band_by_movement(BandPowers.of(moving, sample_rate)).high_hz


def harmonics(x: Tensor) -> float | None:
    """How strong the second to the fifth multiple of the strongest tone are beside it, %: the bins alone.

    That is the distortion of a single steady tone; of music it tells how its tones are made and which ones meet.
    """
    found = [one for excerpt in x.flatten(0, 1) if (one := _harmonics(torch.fft.rfft(excerpt).abs())) is not None]
    return sum(found) / len(found) if found else None


def _harmonics(size: Tensor) -> float | None:
    if len(size) <= FIRST_BIN or not float(size.max()) > 0:
        return None
    strongest = FIRST_BIN + int(size[FIRST_BIN:].argmax())
    multiples = [float(size[n * strongest]) ** 2 for n in HARMONICS if n * strongest < len(size)]
    if not multiples:
        return None
    return 100 * math.sqrt(sum(multiples) / (float(size[strongest]) ** 2 + NO_SOUND))
