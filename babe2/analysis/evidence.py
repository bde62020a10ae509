"""What a recording tells about the machine that made it, band by band, beyond its average spectrum.

Music comes and goes, noise stays; a partial stands out of its band, noise fills it; what a gate or a coder did shows in
what is missing. None of these alone decides, so all of them are measured, and a small network weighs them
(`estimator.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.analysis.band import wall_hz
from babe2.analysis.spectrum import FEWEST_FRAMES, SILENCE
from babe2.dsp.bands import octave_means
from babe2.dsp.excerpts import excerpts
from babe2.dsp.spectra import FRAMES, ReferenceLtas, at_least, decibels, pieces, power_spectrogram, quantiles
from babe2.dsp.tape import Tape

LOWEST_HZ, PER_OCTAVE, COUNT = 45.0, 6, 48  # of the bands: up to 10.3 kHz
FRAME_SECONDS = 2048 / 22050
LEVEL_HZ = (300.0, 1500.0)  # against which all levels are measured
WEAKEST_DB = -120.0  # relative to that
SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.995)
LAGS = (1, 4)  # frames between which rises and falls are measured
LOUD, QUIET = 0.7, 0.3  # quantiles of the level: frames above and below are loud and quiet
HOLE_DB = -90.0
FEATURES = len(SHARES) + 2 * len(LAGS) + 9


def band_centres() -> Tensor:
    """The frequencies (K,) of the bands, Hz."""
    return LOWEST_HZ * 2.0 ** (torch.arange(COUNT, dtype=torch.float64) / PER_OCTAVE)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured in each band."""

    features: Tensor  # (K, FEATURES - 2), dB or shares, without what needs a reference
    power: Tensor  # (K,) mean power per sample
    wall_hz: float = math.inf  # above which a coder or a lower sample rate left nothing


def frame_length(sample_rate: int) -> int:
    """How many samples a frame has: about 93 ms, and a power of two."""
    return int(2 ** round(math.log2(FRAME_SECONDS * sample_rate)))


def evidence_of(x: Tensor | Tape, sample_rate: int) -> Evidence | None:
    """What x (C, T) tells, or None where it is too short or silent; of a long recording excerpts are looked at."""
    return evidence_of_channels(excerpts(x, sample_rate).audio, sample_rate)


def evidence_of_channels(channels: Iterable[Tensor], sample_rate: int) -> Evidence | None:
    """The same from channels (excerpts, T) together: their mean power in each frame."""
    spectra = torch.stack([_powers(channel, sample_rate) for channel in channels]).mean(dim=0)
    loudness = spectra.mean(dim=0)
    spectra = spectra[:, loudness > SILENCE * loudness.mean()]
    if spectra.shape[1] < FEWEST_FRAMES:
        return None
    fft = frame_length(sample_rate)
    weights = octave_means(band_centres(), sample_rate, fft).float()
    power = weights @ spectra  # (K, N)
    mean = power.mean(dim=1)
    level = power_in(mean, LEVEL_HZ)
    db = (decibels(power) - decibels(level)).clamp(min=WEAKEST_DB)
    columns = [_quantiles(db), *_changes(db), *_together(db), *_tonality(spectra, weights, db), _holes(db)]
    features = torch.cat([column.reshape(COUNT, -1) for column in columns], dim=1)
    own = (decibels(mean) - decibels(level)).clamp(min=WEAKEST_DB)
    wall = wall_hz(spectra.mean(dim=1), sample_rate)
    return Evidence(torch.cat([own[:, None], features], dim=1), mean.double(), wall)


def power_in(power: Tensor, between: tuple[float, float]) -> Tensor:
    """The mean of power (K, ...) over the bands between two frequencies, never nothing."""
    hertz = band_centres()
    return power[(hertz >= between[0]) & (hertz <= between[1])].mean(dim=0).clamp(min=1e-20)


def reference_levels(reference: ReferenceLtas) -> Tensor:
    """A reference's level in each band (K,), dB over that of `LEVEL_HZ`."""
    weights = octave_means(band_centres(), reference.sample_rate, 2 * (len(reference.power) - 1))
    power = weights @ reference.power.cpu().double()
    return (decibels(power) - decibels(power_in(power, LEVEL_HZ))).clamp(min=WEAKEST_DB)


def beside(evidence: Evidence, reference: Tensor) -> Tensor:
    """All features (K, FEATURES): those of a recording, and how it stands to a reference's levels (K,)."""
    own = evidence.features[:, 0]
    departure = (own - reference.float()).clamp(-80, 80)
    return torch.cat([departure[:, None], reference.float()[:, None], evidence.features], dim=1)


def _powers(x: Tensor, sample_rate: int) -> Tensor:
    """The power spectra (F, N) of one channel (excerpts, T), per sample, on the host."""
    fft = frame_length(sample_rate)
    hop, found = fft // 4, []
    for excerpt in at_least(x, fft):
        for piece in pieces(excerpt, fft, hop, FRAMES):
            found.append(power_spectrogram(piece, fft, hop).cpu())
    return torch.cat(found, dim=1) / float(torch.hann_window(fft).square().sum())


def _quantiles(db: Tensor) -> Tensor:
    """How often a band is how loud, relative to its mean level (K, S)."""
    shares = quantiles(db, db.new_tensor(SHARES)).T
    return shares - decibels((10 ** (db / 10)).mean(dim=1, keepdim=True))


def _changes(db: Tensor) -> list[Tensor]:
    """How much a band rises and falls within moments: attacks are sharp, decays are slow, noise does both alike."""
    found = []
    for lag in LAGS:
        change = (db[:, lag:] - db[:, :-lag]).clamp(-40, 40)
        found += [change.clamp(min=0).square().mean(dim=1).sqrt(), change.clamp(max=0).square().mean(dim=1).sqrt()]
    return found


def _together(db: Tensor) -> list[Tensor]:
    """How far a band moves with the middle of the spectrum: correlation and slope."""
    middle = decibels(power_in(10 ** (db / 10), LEVEL_HZ))
    middle = middle - middle.mean()
    own = db - db.mean(dim=1, keepdim=True)
    product = own @ middle / len(middle)
    spread = middle.square().mean().sqrt().clamp(min=0.1)
    return [10 * product / (spread * own.square().mean(dim=1).sqrt().clamp(min=0.1)), 10 * product / spread**2]


def _tonality(spectra: Tensor, weights: Tensor, db: Tensor) -> list[Tensor]:
    """How much of a band stands out as partials: in loud and in quiet moments, and in the average of quiet ones."""
    level = decibels(spectra.mean(dim=0))
    low, high = quantiles(level[None], level.new_tensor([QUIET, LOUD]))[:, 0]
    found = []
    for moments in (spectra[:, level >= high], spectra[:, level <= low]):
        moments = moments[:, :: max(1, moments.shape[1] // 512)]
        powers = moments.clamp(min=1e-20)
        flat = weights @ decibels(powers) - decibels(weights @ powers)
        found.append(flat.mean(dim=1).clamp(min=-40))
    quiet = spectra[:, level <= low].mean(dim=1).clamp(min=1e-20)
    found.append((weights @ decibels(quiet) - decibels(weights @ quiet)).clamp(min=-40))
    return found


def _holes(db: Tensor) -> Tensor:
    """How often a band holds nothing at all, in tenths."""
    return 10 * (db < HOLE_DB).float().mean(dim=1)
