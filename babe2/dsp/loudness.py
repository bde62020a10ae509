"""How loud a recording sounds as a whole: integrated loudness after ITU-R BS.1770-4, the measure of EBU R 128."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.dsp.resampled_tape import ResampledTape
from babe2.dsp.resampling import resample
from babe2.dsp.tape import MemoryTape, Tape

BLOCK_STEPS, STEP_SECONDS = 4, 0.1  # blocks of 0.4 s overlap by three quarters
ABSOLUTE_GATE = -70.0  # LUFS; quieter blocks are pauses
RELATIVE_GATE = -10.0  # LU below the blocks that passed the absolute gate
OFFSET = -0.691  # dB; makes a 997 Hz sine read its own level

# The two published filters, given there as coefficients for 48 kHz, as the analogue filters behind them (Annex 1,
# Tables 1 and 2): a shelf for the head, a high-pass for the ear.
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773
_LIFT = 1.0049949  # of the published high-pass
_STANDARD_RATE, _LOWEST_RATE = 48_000, 20_000  # Hz; below the latter the end of the band would bend the shelf
_RINGING_SECONDS = 0.1  # after which what the filters still give is 200 dB down
_TOGETHER = 8  # spectra; one by one they would take several times as long


def integrated_loudness(audio: npt.ArrayLike | Tensor, sample_rate: int) -> float:
    """The loudness of `audio` (channels, samples), full scale 1, in LUFS; of silence -inf.

    All channels count alike, as left and right do; there are no surround channels among recordings of this kind.
    """
    return gated(block_powers(audio, sample_rate))


def loudness_of_excerpts(excerpts: Iterable[Tensor], sample_rate: int) -> float:
    """The loudness (LUFS) of several excerpts (channels, samples) of one recording together."""
    return gated(np.concatenate([block_powers(excerpt, sample_rate) for excerpt in excerpts]))


def loudness_of_tape(tape: Tape, sample_rate: int) -> float:
    """The integrated loudness (LUFS) of a tape, which is read once."""
    if sample_rate < _LOWEST_RATE:
        return gated(_block_powers(ResampledTape(tape, sample_rate, _STANDARD_RATE), _STANDARD_RATE))
    return gated(_block_powers(tape, sample_rate))


def block_powers(audio: npt.ArrayLike | Tensor, sample_rate: int) -> npt.NDArray[np.float64]:
    """The K-weighted power of each block of 400 ms, summed over the channels; a shorter recording is one block."""
    x = torch.atleast_2d(torch.as_tensor(audio).float())
    if sample_rate < _LOWEST_RATE:
        x, sample_rate = resample(x, sample_rate, _STANDARD_RATE), _STANDARD_RATE
    return _block_powers(MemoryTape(x), sample_rate)


def _block_powers(x: Tape, sample_rate: int) -> npt.NDArray[np.float64]:
    step, length = STEP_SECONDS * sample_rate, x.samples
    steps = math.floor(length / step + 1e-9)
    if steps < BLOCK_STEPS:
        return np.array([sum(energies(x, sample_rate, [0, length])) / max(length, 1)])
    # A tenth of a second may be no whole number of samples.
    bounds = [min(round(i * step), length) for i in range(steps + 1)]
    sums = np.cumsum([0.0, *energies(x, sample_rate, bounds)])
    return (sums[BLOCK_STEPS:] - sums[:-BLOCK_STEPS]) / (np.array(bounds[BLOCK_STEPS:]) - bounds[:-BLOCK_STEPS])


def gated(powers: npt.NDArray[np.float64]) -> float:
    """The loudness (LUFS) of those blocks that are part of the music: pauses and the quietest passages do not count."""
    powers = powers[powers > 10 ** ((ABSOLUTE_GATE - OFFSET) / 10)]
    if not len(powers):
        return -math.inf
    # The louder ones among them are never empty: a mean has its like or more above it.
    return 10 * math.log10(powers[powers > powers.mean() * 10 ** (RELATIVE_GATE / 10)].mean()) + OFFSET


# The filters


def energies(tape: Tape, sample_rate: int, bounds: list[int]) -> Iterator[float]:
    """The energy of a tape (channels, samples), as the ear weighs it, between each of `bounds` and the next,
    which may be 0.4 s apart.

    The filters ring for so short a time that a product of spectra does what they do, to the last bit that counts.
    """
    ringing = round(_RINGING_SECONDS * sample_rate)
    fft = 2 ** math.ceil(math.log2(5 * (ringing + 1)))
    at_once = (fft - ringing) // max(1, *np.diff(bounds))
    groups = [bounds[i : i + at_once + 1] for i in range(0, len(bounds) - 1, at_once)]
    response = k_response(sample_rate, fft)
    for i in range(0, len(groups), _TOGETHER):
        some = groups[i : i + _TOGETHER]
        pieces = torch.stack([tape.read(group[0] - ringing, group[0] - ringing + fft) for group in some])
        weighted = torch.fft.irfft(torch.fft.rfft(pieces) * response, fft)[..., ringing:]
        for group, power in zip(some, weighted.square_().sum(dim=1), strict=True):
            for first, last in pairwise(group):
                yield float(power[first - group[0] : last - group[0]].sum(dtype=torch.float64))


@lru_cache(maxsize=8)
def k_response(sample_rate: int, fft: int) -> Tensor:
    """What both filters do to each bin of a real FFT (fft / 2 + 1,), complex."""
    delay = np.exp(-2j * np.pi * np.arange(fft // 2 + 1) / fft)
    powers = np.stack([np.ones_like(delay), delay, delay**2])
    sections = k_weighting(sample_rate)
    return torch.from_numpy(np.prod(sections[:, :3] @ powers / (sections[:, 3:] @ powers), axis=0)).to(torch.complex64)


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


def _poles(tangent: float, q: float) -> tuple[float, float, float]:
    return 1 + tangent / q + tangent**2, 2 * (tangent**2 - 1), 1 - tangent / q + tangent**2
