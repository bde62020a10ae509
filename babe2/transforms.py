"""Tensor in, tensor out: short-time spectra, decibels, long-term average spectra and sample rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.tape import MemoryTape, Tape

Window = Callable[[int], Tensor]
QUIETEST = 1e-30  # power below which there is no signal to speak of
FRAMES = 1024  # that are looked at together


def decibels(power: Tensor) -> Tensor:
    return 10 * torch.log10(power.clamp(min=QUIETEST))


def amplitude(gain_db: Tensor) -> Tensor:
    return 10 ** (gain_db / 20)


def bin_frequencies(sample_rate: float, fft: int) -> Tensor:
    """The frequencies (fft / 2 + 1,) of a real FFT's bins, Hz."""
    return torch.fft.rfftfreq(fft, 1 / sample_rate)


def framed_spectrum(x: Tensor, fft: int) -> Tensor:
    """x (B, T) -> the complex frames (B, F, N) in which the equalizer works: half-overlapping periodic Hamming windows.

    The end is padded by one window, so that every sample but the first few lies under two of them.
    """
    window = torch.hamming_window(fft, device=x.device, dtype=x.dtype)
    return torch.stft(F.pad(x, (0, fft)), fft, fft // 2, window=window, center=False, return_complex=True)


def unframed(frames: Tensor, fft: int, length: int) -> Tensor:
    """Back from `framed_spectrum`, least-squares: (B, F, N) -> (B, length)."""
    window = torch.hamming_window(fft, device=frames.device, dtype=frames.real.dtype)
    return torch.istft(frames, fft, fft // 2, window=window, center=False)[..., :length]


def ltas(x: Tensor | Tape, fft: int, window: int, hop: int) -> Tensor:
    """Long-term average spectrum (fft / 2 + 1,) of x (B, T): power, per sum of the periodic Hann window."""
    tape = _mirrorable(x, fft)
    count, scale = tape.samples // hop + 1, torch.hann_window(window).sum().sqrt()
    sums = []
    for first in range(0, count, FRAMES):
        frames = _frames(tape, first, min(first + FRAMES, count), fft, window, hop)
        sums.append((frames / scale.to(frames.device)).abs().square().sum(dim=(0, 2)).cpu().double())
    return (torch.stack(sums).sum(dim=0) / (count * tape.channels)).float().to(frames.device)


def smooth_octaves(power: Tensor, sample_rate: float, fraction: float = 3) -> Tensor:
    """A one-sided power spectrum (F,) averaged by a Gaussian as wide as 1/`fraction` octave at each bin; DC is kept."""
    frequencies = torch.linspace(0, sample_rate / 2, len(power), dtype=torch.float64)
    centres = frequencies[1:, None]
    weights = torch.exp(-((frequencies - centres) ** 2) / (2 * (centres / fraction / math.pi) ** 2))
    smoothed = (weights / weights.sum(dim=1, keepdim=True)) @ power.cpu().double()
    return torch.cat([power[:1], smoothed.to(power)])


def equalise(x: Tensor, gain: Tensor, fft: int, window: int, hop: int) -> Tensor:
    """x (B, T) with each bin of its short-time spectrum multiplied by `gain` (fft / 2 + 1,)."""
    return Equalised(MemoryTape(x), gain, fft, window, hop).stretch(0, x.shape[-1])


class Equalised(Tape):
    """A tape with each bin of its short-time spectrum multiplied by `gain` (fft / 2 + 1,)."""

    def __init__(self, tape: Tape, gain: Tensor, fft: int, window: int, hop: int) -> None:
        self.channels, self.samples = tape.channels, tape.samples
        self.gain = gain
        self._tape, self._size = _mirrorable(tape, fft), (fft, window, hop)

    def _read(self, start: int, stop: int) -> Tensor:
        fft, window, hop = self._size
        first = max(0, (start - fft // 2) // hop)
        last = min(self._tape.samples // hop, -(-(stop + fft // 2) // hop)) + 1
        frames = _frames(self._tape, first, last, fft, window, hop) * self.gain[:, None]
        hann = F.pad(torch.hann_window(window, device=frames.device), ((fft - window) // 2, (fft - window + 1) // 2))
        pieces = torch.fft.irfft(frames, fft, dim=1) * hann[:, None]
        weights = hann.square()[None, :, None].expand(1, fft, last - first)
        length = (last - first - 1) * hop + fft
        sums = F.fold(torch.cat([pieces, weights]), (1, length), (1, fft), stride=(1, hop))[:, 0, 0]
        skipped = start - (first * hop - fft // 2)
        x, weight = sums[:, skipped : skipped + stop - start].split([self.channels, 1])
        return x / weight


def _mirrorable(x: Tensor | Tape, fft: int) -> Tape:
    """x, long enough to be mirrored at its ends."""
    tape = MemoryTape(x) if isinstance(x, Tensor) else x
    return tape if tape.samples > fft // 2 else MemoryTape(tape.stretch(0, fft // 2 + 1))


def _frames(tape: Tape, first: int, last: int, fft: int, window: int, hop: int) -> Tensor:
    """The centred frames (B, F, N) from number `first` up to `last`."""
    x = tape.mirrored(first * hop - fft // 2, (last - 1) * hop + fft // 2)
    hann = torch.hann_window(window, device=x.device)
    return torch.stft(x, fft, hop, window, hann, center=False, return_complex=True)


def resample(x: Tensor, rate: int, new_rate: int) -> Tensor:
    """x (B, T) at `rate` -> (B, ceil(T * new_rate / rate)) at `new_rate`, linear phase, alias-free to the last bit."""
    return torch.cat(list(resampled([x], rate, new_rate)), dim=1).to(x.device)


def resampled(blocks: Iterable[Tensor], rate: int, new_rate: int) -> Iterator[Tensor]:
    """The same, of a signal that comes in blocks (B, n); what it gives does not depend on how they are cut."""
    if rate == new_rate:
        yield from blocks
        return
    import soxr

    stream, taken, given, last = None, 0, 0, np.empty((0, 1), np.float32)
    for block in blocks:
        samples = np.ascontiguousarray(block.T.cpu().numpy(), np.float32)
        stream = stream or soxr.ResampleStream(rate, new_rate, samples.shape[1], dtype="float32", quality="VHQ")
        out = stream.resample_chunk(samples)
        taken, given, last = taken + len(samples), given + len(out), samples[:0]
        yield torch.from_numpy(np.ascontiguousarray(out.T))
    if stream is not None:
        out = stream.resample_chunk(last, last=True)
        left = -(-taken * new_rate // rate) - given
        out = np.pad(out, ((0, max(0, left - len(out))), (0, 0)))[:left]
        yield torch.from_numpy(np.ascontiguousarray(out.T))
