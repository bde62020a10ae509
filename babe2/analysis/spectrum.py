"""What a restorer measures of a recording: how strong it is at each frequency, and how strong its noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.dsp.bands import octave_means
from babe2.dsp.curves import SampledCurve
from babe2.dsp.excerpts import excerpts, excerpts_and_deviation
from babe2.dsp.spectra import FRAMES, at_least, decibels, pieces, power_spectrogram, quantiles
from babe2.dsp.tape import Tape

PER_OCTAVE = 6  # knots of the response
LOWEST_HZ = 45.0
QUIET_SHARE, QUIET_OF_NOISE = 0.1, 0.105  # a tenth of all frames of noise have a tenth of its mean power or less
LOUD_SHARE, LOUD_OF_NOISE = 0.9, 2.3  # a tenth have more than so many times it; clicks are rarer and louder
FEWEST_FRAMES = 16  # of fewer it cannot be said what is noise
FEW_BINS = 128  # that are sorted at once
SILENCE = 1e-7  # of the mean power: frames below it are no part of the recording
FAINTEST = 1e-9  # of the mean power: what is weaker comes from rounding and resampling, and is nothing


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The average spectrum of a recording and of its noise: power per sample, in bands (K,) and in bins (F,)."""

    hertz: Tensor  # (K,)
    power: Tensor  # (K,)
    noise: Tensor  # (K,) never more than what is heard in the quietest moments
    fine_hertz: Tensor  # (F,)
    fine_power: Tensor  # (F,) without clicks: from what is exceeded a tenth of the time
    faintest: Tensor  # () what is weaker is nothing

    @staticmethod
    def of(x: Tensor | Tape, sample_rate: int, fft: int = 4096) -> Spectrum:
        """The spectrum of x (C, T); of more than five minutes, evenly spaced excerpts are looked at."""
        return Spectrum.of_channels(excerpts(x, sample_rate).audio, sample_rate, fft)

    @staticmethod
    def at_unit_level(tape: Tape, sample_rate: int, fft: int = 4096) -> tuple[Spectrum, Tensor]:
        """The spectrum of a tape, each channel brought to a standard deviation of one; and those it had (C,).

        The tape is read once. No channel may be silent.
        """
        found, deviation = excerpts_and_deviation(tape, sample_rate)
        unit = (channel * gain for channel, gain in zip(found.audio, (1 / deviation).to(found.audio), strict=True))
        return Spectrum.of_channels(unit, sample_rate, fft), deviation

    @staticmethod
    def of_channels(channels: Iterable[Tensor], sample_rate: int, fft: int = 4096) -> Spectrum:
        """The spectrum of channels (excerpts, T) together."""
        power, often, quiet = torch.stack([_powers(channel, fft) for channel in channels]).mean(dim=0)
        faintest = FAINTEST * power.mean().clamp(min=1e-20)
        # Where the recorded band has ended there is only noise, and most machines' noise is nearly white. Above the
        # band of a file of a low rate there is not even that.
        end = int((power > faintest).nonzero().max()) if (power > faintest).any() else len(power) - 1
        white = quiet[end // 2 : end + 1].median()
        hertz = knots(sample_rate)
        weights = octave_means(hertz, sample_rate, fft)
        noise = (weights @ quiet).minimum(white).maximum(faintest)
        fine_hertz = torch.fft.rfftfreq(fft, 1 / sample_rate, dtype=torch.float64)
        return Spectrum(hertz, weights @ power, noise, fine_hertz, often, faintest)

    @property
    def noise_curve(self) -> SampledCurve:
        """The noise over frequency: dB, as power per sample."""
        return SampledCurve(self.hertz, decibels(self.noise))

    @property
    def music(self) -> Tensor:
        """The power of what is not noise in each band (K,)."""
        return (self.power - self.noise).clamp(min=1e-20)

    def beyond(self, hertz: float) -> Tensor:
        """The power in each band (K,), had it looked only at what lies beyond so many Hz; without clicks."""
        weights = octave_means(self.hertz, 2 * float(self.fine_hertz[-1]), 2 * (len(self.fine_hertz) - 1))
        weights = weights * (self.fine_hertz > hertz)
        return (weights @ self.fine_power / weights.sum(dim=1).clamp(min=1e-30)).maximum(self.faintest)


def knots(sample_rate: int) -> Tensor:
    """The frequencies (K,) at which a response is estimated, Hz: a sixth of an octave apart, up to Nyquist."""
    octaves = math.log2(sample_rate / 2 / LOWEST_HZ)
    return LOWEST_HZ * 2.0 ** (torch.arange(int(octaves * PER_OCTAVE) + 1, dtype=torch.float64) / PER_OCTAVE)


def _powers(x: Tensor, fft: int) -> Tensor:
    """Of one channel (excerpts, T), per sample and in each bin, on the host: the mean power, what it would be of noise
    that is exceeded as often as the channel's loud moments are, and the same of its quiet moments (3, F)."""
    hop, x = fft // 4, at_least(x, fft)
    # Bins first, as each of them is sorted; the complex spectra of five minutes would be large.
    powers = x.new_empty(fft // 2 + 1, len(x) * ((x.shape[-1] - fft) // hop + 1))
    place = 0
    for excerpt in x:
        for piece in pieces(excerpt, fft, hop, FRAMES):
            some = power_spectrogram(piece, fft, hop)
            powers[:, place : place + some.shape[1]] = some
            place += some.shape[1]
    powers.div_(torch.hann_window(fft, device=x.device).square().sum())
    loudness = powers.mean(dim=0)
    if not (sounds := loudness > SILENCE * loudness.mean()).all():
        powers = powers[:, sounds]
    if powers.shape[1] == 0:
        return torch.zeros(3, fft // 2 + 1, dtype=torch.float64)
    mean = powers.mean(dim=1)
    if powers.shape[1] < FEWEST_FRAMES:
        return torch.stack([mean, mean, torch.zeros_like(mean)]).cpu().double()
    shares = powers.new_tensor([QUIET_SHARE, LOUD_SHARE])
    quiet, loud = torch.cat([quantiles(bins, shares) for bins in powers.split(FEW_BINS)], dim=1)
    return torch.stack([mean, loud / LOUD_OF_NOISE, quiet / QUIET_OF_NOISE]).cpu().double()
