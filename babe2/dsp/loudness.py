"""How loud a recording sounds as a whole: integrated loudness after ITU-R BS.1770-4, the measure of EBU R 128."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.dsp.spectra import at_least, squared

BLOCK_SECONDS, STEP_SECONDS = 0.4, 0.1  # blocks overlap by three quarters
ABSOLUTE_GATE = -70.0  # LUFS; quieter blocks are pauses
RELATIVE_GATE = -10.0  # LU below the blocks that passed the absolute gate
OFFSET = -0.691  # dB; makes a 997 Hz sine read its own level

# The two published filters, given there as coefficients for 48 kHz, as the analogue filters behind them (Annex 1,
# Tables 1 and 2): a shelf for the head, a high-pass for the ear.
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773
_LIFT = 1.0049949  # of the published high-pass
_STANDARD_RATE, _LOWEST_RATE = 48_000, 20_000  # Hz; below the latter the end of the band would bend the shelf


def integrated_loudness(audio: npt.ArrayLike | Tensor, sample_rate: int) -> float:
    """The loudness of `audio` (channels, samples), full scale 1, in LUFS; of silence -inf.

    All channels count alike, as left and right do; there are no surround channels among recordings of this kind.
    """
    return gated(block_powers(audio, sample_rate))


def block_powers(audio: npt.ArrayLike | Tensor, sample_rate: int) -> npt.NDArray[np.float64]:
    """The K-weighted power of each block of 400 ms, summed over the channels; a shorter recording is one block."""
    channels = np.atleast_2d(np.asarray(audio))
    if sample_rate < _LOWEST_RATE:
        channels, sample_rate = _resampled(channels, sample_rate, _STANDARD_RATE), _STANDARD_RATE
    length = channels.shape[1]
    block = min(length, round(BLOCK_SECONDS * sample_rate))
    count = 1 + math.floor((length - block) / (STEP_SECONDS * sample_rate) + 1e-9)
    starts = np.round(STEP_SECONDS * sample_rate * np.arange(count)).astype(int)
    starts = np.minimum(starts, length - block)  # where a tenth of a second is no whole number of samples
    powers = np.zeros(count)
    for channel in channels:  # one by one, as the weighted sound takes twice the memory
        energy = np.concatenate([[0.0], np.cumsum(np.square(k_weighted(channel, sample_rate)))])
        powers += (energy[starts + block] - energy[starts]) / block
    return powers


def gated(powers: npt.NDArray[np.float64]) -> float:
    """The loudness (LUFS) of those blocks that are part of the music: pauses and the quietest passages do not count."""
    powers = powers[powers > _power(ABSOLUTE_GATE)]
    if not len(powers):
        return -math.inf
    # The louder ones among them are never empty: a mean has its like or more above it.
    return _loudness(powers[powers > powers.mean() * 10 ** (RELATIVE_GATE / 10)].mean())


def k_weighted(channel: npt.NDArray[Any], sample_rate: int) -> npt.NDArray[np.float64]:
    """A channel (samples,) as the ear weighs it, at any sample rate from 20 kHz on."""
    from scipy.signal import sosfilt  # here, so that nothing waits for it where no loudness is wanted

    weighted: npt.NDArray[np.float64] = sosfilt(k_weighting(sample_rate), channel.astype(np.float64))
    return weighted


def k_weighting(sample_rate: int) -> npt.NDArray[np.float64]:
    """Shelf and high-pass as second-order sections (2, 6): bilinear transforms that are exact at 48 kHz."""
    tangent = math.tan(math.pi * _SHELF_HZ / sample_rate)
    high = 10 ** (_SHELF_DB / 20)
    band = high**0.4996667741545416
    shelf = (
        high + band * tangent / _SHELF_Q + tangent**2,
        2 * (tangent**2 - high),
        high - band * tangent / _SHELF_Q + tangent**2,
        *_poles(tangent, _SHELF_Q),
    )
    tangent = math.tan(math.pi * _HIGH_PASS_HZ / sample_rate)
    # Table 2 leaves its numerator undivided, which lifts everything by 0.04 dB: at 48 kHz, and so at every rate.
    high_pass = (_LIFT, -2 * _LIFT, _LIFT, *_poles(tangent, _HIGH_PASS_Q))
    sections = np.array([shelf, high_pass])
    return sections / sections[:, 3:4]


def k_gain(hertz: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The power gain of the standard's filters at some frequencies (F,)."""
    delay = np.exp(-2j * np.pi * np.minimum(hertz, _STANDARD_RATE / 2) / _STANDARD_RATE)
    powers = np.stack([np.ones_like(delay), delay, delay**2])
    sections = k_weighting(_STANDARD_RATE)
    gain: npt.NDArray[np.float64] = np.abs(np.prod(sections[:, :3] @ powers / (sections[:, 3:] @ powers), axis=0)) ** 2
    return gain


def _poles(tangent: float, q: float) -> tuple[float, float, float]:
    return 1 + tangent / q + tangent**2, 2 * (tangent**2 - 1), 1 - tangent / q + tangent**2


def _resampled(channels: npt.NDArray[Any], sample_rate: int, new_rate: int) -> npt.NDArray[np.float64]:
    from scipy.signal import resample_poly

    common = math.gcd(sample_rate, new_rate)
    resampled: npt.NDArray[np.float64] = resample_poly(
        channels.astype(np.float64), new_rate // common, sample_rate // common, axis=1
    )
    return resampled


def _power(loudness: float) -> float:
    return 10 ** ((loudness - OFFSET) / 10)


def _loudness(power: float) -> float:
    return 10 * math.log10(power) + OFFSET


# Loudness, silence, clipping


def loudness(x: Tensor, sample_rate: int) -> float:
    """Integrated loudness of (channels, excerpts, samples), LUFS.

    Each tenth of a second is weighted by its spectrum, which on music is within 0.05 dB of the standard's filters and
    takes a fifth of their time.
    """
    step = round(0.1 * sample_rate)
    hertz = torch.fft.rfftfreq(step, 1 / sample_rate, dtype=torch.float64)
    weights = torch.from_numpy(k_gain(hertz.numpy())).float() * 2 / step**2
    tenths = at_least(x, 4 * step).unfold(2, step, step)
    powers = [squared(torch.fft.rfft(some)) @ weights for some in torch.split(tenths, max(1, 2**18 // step), 2)]
    blocks = torch.cat(powers, dim=2).double().sum(dim=0).unfold(1, 4, 1).mean(dim=2).flatten()  # of 400 ms
    return gated(blocks.numpy())
