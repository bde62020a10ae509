"""How good a restoration is beside the truth: short functions of signals (T,) or (C, T)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from babe2.dsp.curves import Curve
from babe2.dsp.distance import Band, at_level, band_power, inside
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, at_unit_level, decibels, ltas, smooth_octaves

SCORING_RATE = 22050  # Hz
TRUTH_LEVEL = 0.08  # std to which the truth is brought, and every output with it

RECORDED_HZ = (100.0, 3000.0)  # what the old machines recorded
CORE_HZ = (120.0, 2500.0)  # where none of them is near an edge of its band
RESPONSE_HZ = (120.0, 6000.0)
LOST_HZ = (3000.0, SCORING_RATE / 2)
BRILLIANCE_HZ = (5000.0, 8000.0)
TONAL_HZ = (3500.0, 8000.0)
WHOLE_HZ = (RECORDED_HZ[0], LOST_HZ[1])
PRESENCE_HZ = (2000.0, 5500.0)  # where an old machine's band ends, and the ear is keenest
LEVELS_HZ = ((125.0, 500.0), (500.0, 2000.0), PRESENCE_HZ, BRILLIANCE_HZ)  # in which levels are told with their sign

_DITHER = 1e-10  # far below 16 bits; keeps digital silence from having no level at all


# Signals


def matched(x: Tensor, truth: Tensor) -> Tensor:
    """x at the root mean square of the truth."""
    return at_level(x, float(truth.square().mean().sqrt()))


def band_passed(x: Tensor, sample_rate: int, band: Band) -> Tensor:
    """x (..., T) without anything outside a band: a brick wall in the FFT of the whole clip."""
    length = x.shape[-1]
    hertz = torch.fft.rfftfreq(length, 1 / sample_rate, dtype=torch.float64, device=x.device)
    return torch.fft.irfft(torch.fft.rfft(x) * inside(hertz, band), length)


def _coarse(x: Tensor, sample_rate: int, band: Band) -> Tensor:
    """The power (..., bins, N) on which level, envelope and flatness are measured: 46 ms every 12, at 22.05 kHz."""
    return band_power(x, sample_rate, band, fft=1024, hop=256)


# Measures


def si_sdr(x: Tensor, truth: Tensor) -> float:
    """Scale-invariant ratio of signal to distortion, dB (Le Roux et al. 2019)."""
    x, truth = x.double().flatten(), truth.double().flatten()
    signal = truth * (x @ truth / (truth @ truth))
    return float(decibels(signal.square().sum()) - decibels((x - signal).square().sum()))


def band_si_sdr(x: Tensor, truth: Tensor, sample_rate: int, band: Band = CORE_HZ) -> float:
    """SI-SDR of what lies in a band, dB."""
    return si_sdr(*(band_passed(y.double(), sample_rate, band) for y in (x, truth)))


def response_difference(found: Curve, true: Curve, band: Band = RESPONSE_HZ) -> Tensor:
    """By how much one response lies above another, dB, at frequencies evenly spaced over the octaves of a band.

    The median is taken off, as a recording does not tell how loud it was made.
    """
    low, high = (math.log2(hertz) for hertz in band)
    hertz = 2 ** torch.linspace(low, high, 1000, dtype=torch.float64)
    difference = found.gain_db(hertz) - true.gain_db(hertz)
    return difference - difference.median()


def response_error(found: Curve, true: Curve, band: Band = RESPONSE_HZ) -> float:
    """Mean absolute difference of two responses over the octaves of a band, whatever their levels, dB."""
    return float(response_difference(found, true, band).abs().mean())


def level_error(x: Tensor, truth: Tensor, sample_rate: int, band: Band = BRILLIANCE_HZ) -> float:
    """By how much a band's mean power lies above the truth's, dB; below zero where too little is there."""
    powers = [_coarse(y, sample_rate, band).mean() + _DITHER for y in (x, truth)]
    return float(decibels(powers[0]) - decibels(powers[1]))


def envelope_correlation(x: Tensor, truth: Tensor, sample_rate: int, band: Band = BRILLIANCE_HZ) -> float:
    """How a band's level in dB, frame by frame, goes with the truth's: 1 in step, 0 not at all."""
    levels = [decibels(_coarse(y, sample_rate, band).mean(dim=-2) + _DITHER).double().flatten() for y in (x, truth)]
    ours, theirs = (level - level.mean() for level in levels)
    return float(ours @ theirs / (ours.norm() * theirs.norm()).clamp(min=1e-12))


def spectral_flatness(x: Tensor, sample_rate: int, band: Band = TONAL_HZ) -> float:
    """Geometric over arithmetic mean of a band's power, per frame, in dB: -2.5 for white noise, less for tones."""
    power = _coarse(x, sample_rate, band) + _DITHER
    return float((decibels(power).mean(dim=-2) - decibels(power.mean(dim=-2))).mean())


def flatness_excess(x: Tensor, truth: Tensor, sample_rate: int, band: Band = TONAL_HZ) -> float:
    """By how much flatter than the truth's a band's spectrum is, dB: haze where there should be harmonics."""
    return spectral_flatness(x, sample_rate, band) - spectral_flatness(truth, sample_rate, band)


def ltas_distance(x: Tensor, sample_rate: int, reference: ReferenceLtas) -> float:
    """How far the average colour is from that of a reference, dB (Eq. 14), both at unit level and in third octaves.

    DC is left out: neither ear nor prior knows it, and a reference without any would make it all that counts.
    """
    fft, rate = 2 * (len(reference.power) - 1), reference.sample_rate
    x = resample(torch.atleast_2d(x).float(), sample_rate, rate)
    heard = ltas(x / x.std().clamp(min=1e-12), fft, fft // 2, fft // 4)  # in the frames of `ltas_response`
    return colour_distance(heard, ReferenceLtas(at_unit_level(reference.power.to(heard)), rate))


def colour_distance(power: Tensor, reference: ReferenceLtas) -> float:
    """The same of two average spectra (F,) as they are; the first has the reference's frequencies."""
    pair = (smooth_octaves(part.double(), reference.sample_rate)[1:] for part in (power, reference.power))
    found, known = pair
    return float(decibels(((found - known).abs() / known.clamp(min=1e-30)).mean()))
