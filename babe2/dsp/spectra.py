"""Tensor in, tensor out: short-time spectra, decibels, long-term average spectra and sample rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.tape import MemoryTape, Tape
from babe2.dsp.waveform import as_sample_rate
from babe2.errors import RestorationError

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
    return Equalised(MemoryTape(x), gain, fft, window, hop).read(0, x.shape[-1])


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
    return tape if tape.samples > fft // 2 else MemoryTape(tape.read(0, fft // 2 + 1))


def _frames(tape: Tape, first: int, last: int, fft: int, window: int, hop: int) -> Tensor:
    """The centred frames (B, F, N) from number `first` up to `last`."""
    x = tape.mirrored(first * hop - fft // 2, (last - 1) * hop + fft // 2)
    hann = torch.hann_window(window, device=x.device)
    return torch.stft(x, fft, hop, window, hann, center=False, return_complex=True)


WHITE = 0.75  # what unit white noise reads in a Hann window divided by the root of its sum


def at_unit_level(power: Tensor) -> Tensor:
    """A one-sided LTAS (F,) as if its music had unit variance.

    The recording is measured at unit level, so a reference at another one shifts the floor below which no band is
    raised: by 24 dB for the published piano checkpoint, whose music has a standard deviation of 0.063.
    """
    mean = (power[1:-1].sum() + power[[0, -1]].sum() / 2) / (len(power) - 1)
    return power * (WHITE / mean.clamp(min=torch.finfo(power.dtype).tiny))


LONGEST_SECONDS = 300  # of a longer recording, excerpts are looked at
EXCERPT_SECONDS = 10
BANDS_PER_OCTAVE = 6

_LOWEST_HZ = 25.0
_EDGE = 2 ** (0.5 / BANDS_PER_OCTAVE)  # from a band's centre to its edges, as a factor


@dataclass(frozen=True, eq=False)
class ReferenceLtas:
    """How music of a checkpoint's kind sounds on average."""

    power: Tensor  # (F,) one-sided, from DC to Nyquist, at any level
    sample_rate: int  # Hz


def excerpts(x: Tensor | Tape, sample_rate: int) -> tuple[Tensor, list[float]]:
    """What is looked at of (channels, samples): (channels, excerpts, samples), and where they start, in seconds."""
    samples, length = x.shape[1] if isinstance(x, Tensor) else x.samples, EXCERPT_SECONDS * sample_rate

    def cut(start: int, stop: int) -> Tensor:
        return x[:, start:stop] if isinstance(x, Tensor) else x.read(start, stop)

    if samples <= LONGEST_SECONDS * sample_rate:
        return cut(0, samples)[:, None], [0.0]
    count = LONGEST_SECONDS // EXCERPT_SECONDS
    places = [(samples - length) * i // (count - 1) for i in range(count)]
    cuts = torch.empty(len(x) if isinstance(x, Tensor) else x.channels, count, length)
    for excerpt, place in enumerate(places):
        cuts[:, excerpt] = cut(place, place + length)
    return cuts, [place / sample_rate for place in places]


# Bands


def band_centres(sample_rate: int) -> Tensor:
    """Centres (bands,) of all bands from 25 Hz to Nyquist; one lies at 1 kHz."""
    first = math.ceil(BANDS_PER_OCTAVE * math.log2(_LOWEST_HZ / 1000))
    last = math.floor(BANDS_PER_OCTAVE * math.log2(sample_rate / 2000 / _EDGE))
    return 1000 * 2 ** (torch.arange(first, last + 1, dtype=torch.float64) / BANDS_PER_OCTAVE)


def band_weights(sample_rate: int, bins: int, centres: Tensor) -> Tensor:
    """How much of each bin of a one-sided spectrum lies in each band (bins, bands)."""
    spacing = sample_rate / 2 / (bins - 1)
    bin_hz = (spacing * torch.arange(bins, dtype=torch.float64))[:, None]
    inside = torch.minimum(bin_hz + spacing / 2, centres * _EDGE) - torch.maximum(bin_hz - spacing / 2, centres / _EDGE)
    return (inside / spacing).clamp(min=0)


def power_spectra(x: Tensor, fft: int, hop: int) -> Iterator[Tensor]:
    """Power spectra (frames, bins) of x (channels, samples), averaged over channels, some frames at a time.

    A spectrum's bins add up to the signal's mean square.
    """
    window = torch.hann_window(fft)
    frames = at_least(x, fft).unfold(1, fft, hop)
    for some in torch.split(frames, max(1, 2**19 // fft), dim=1):  # small enough for the processor's cache
        powers = squared(torch.fft.rfft(some * window)).sum(dim=0)
        yield powers.mul_(2 / (len(x) * float(fft * window.square().sum())))


def at_least(x: Tensor, length: int) -> Tensor:
    """x (..., T), with zeros behind it where it is shorter than that; torch copies even where there is none to add."""
    return x if x.shape[-1] >= length else F.pad(x, (0, length - x.shape[-1]))


def squared(spectrum: Tensor) -> Tensor:
    """|X|^2. The absolute value would draw a root first, and take longer than the transform."""
    parts = torch.view_as_real(spectrum).square_()
    return parts[..., 0] + parts[..., 1]


# The reference


def as_reference(reference: ReferenceLtas | Mapping[str, Any]) -> ReferenceLtas:
    """A reference from anything that has `power` (F,) and `sample_rate`, as fields or as keys."""
    if not isinstance(reference, Mapping):
        reference = {name: getattr(reference, name, None) for name in ("power", "sample_rate")}
    try:
        power, rate = torch.as_tensor(reference["power"]).detach().cpu().double(), reference["sample_rate"]
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise RestorationError("A reference has a power (F,) and a sample_rate. Take a checkpoint's.") from None
    if power.ndim != 1 or len(power) < 2 or not power.isfinite().all() or power.min() < 0 or power.max() == 0:
        raise RestorationError(
            "A reference's power is one row of finite values from DC to Nyquist, none negative. Take a checkpoint's."
        )
    return ReferenceLtas(power, as_sample_rate(rate))


def fades(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The halves of a periodic Hann window: one rises, the other falls, together they are one."""
    window = torch.hann_window(2 * length, device=like.device, dtype=like.dtype)
    return window[:length], window[length:]
