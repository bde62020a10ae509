"""Short-time spectra and average spectra of sound, and decibels: tensors in, tensors out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.tape import MemoryTape, Tape
from babe2.dsp.waveform import as_sample_rate
from babe2.errors import RestorationError

QUIETEST = 1e-30  # power below which there is no signal to speak of
FRAMES = 1024  # that are looked at together
CACHED = 2**18  # samples of frames, per channel, that a processor's cache can hold


def decibels(power: Tensor) -> Tensor:
    """The level of a power, dB; of silence -300.

    >>> decibels(torch.tensor([1.0, 100.0]))
    tensor([ 0., 20.])
    """
    return 10 * torch.log10(power.clamp(min=QUIETEST))


def amplitude(gain_db: Tensor) -> Tensor:
    """The factor that changes a signal by a gain in dB.

    >>> amplitude(torch.tensor([0.0, 20.0]))
    tensor([ 1., 10.])
    """
    return 10 ** (gain_db / 20)


def bin_frequencies(sample_rate: float, fft: int) -> Tensor:
    """The frequencies (fft / 2 + 1,) of a real FFT's bins, Hz.

    >>> bin_frequencies(8000, 4)
    tensor([   0., 2000., 4000.])
    """
    return torch.fft.rfftfreq(fft, 1 / sample_rate)


# Short-time spectra


def frames(x: Tensor, fft: int, hop: int, window: Tensor | None = None) -> Tensor:
    """The complex short-time spectrum (..., F, N) of x (..., T), by default under periodic Hann windows.

    No frame reaches beyond x: to see the very beginning and end, pad it. A shorter window lies amid its frame.

    >>> frames(torch.zeros(2, 1000), fft=256, hop=128).shape
    torch.Size([2, 129, 6])
    """
    if window is None:
        window = torch.hann_window(fft, device=x.device, dtype=x.dtype)
    return torch.stft(x, fft, hop, len(window), window, center=False, return_complex=True)


def power_spectrogram(x: Tensor, fft: int, hop: int) -> Tensor:
    """The power |X|^2 (..., F, N) of x (..., T) in frames that do not reach beyond it."""
    return frames(x, fft, hop).abs().square_()


def pieces(x: Tensor, fft: int, hop: int, count: int = FRAMES) -> Iterator[Tensor]:
    """x (..., T) cut so that each piece holds `count` frames, or less at the end: all of x's frames, once."""
    total = (x.shape[-1] - fft) // hop + 1
    for first in range(0, total, count):
        last = min(first + count, total)
        yield x[..., first * hop : (last - 1) * hop + fft]


def power_spectra(x: Tensor, fft: int, hop: int) -> Iterator[Tensor]:
    """Power spectra (N, F) of x (channels, samples), averaged over channels, some frames at a time.

    A spectrum's bins add up to the signal's mean square. A short x is taken with zeros behind it.

    >>> (spectra,) = power_spectra(torch.ones(1, 8), fft=4, hop=2)
    >>> spectra.shape
    torch.Size([3, 3])
    """
    x, window = at_least(x, fft), torch.hann_window(fft)
    for piece in pieces(x, fft, hop, max(1, CACHED // fft)):
        # What `frames` gives, frame by frame: a third faster, as nothing is turned round.
        powers = squared(torch.fft.rfft(piece.unfold(-1, fft, hop) * window)).sum(dim=0)
        yield powers.mul_(2 / (len(x) * float(fft * window.square().sum())))


def average_power(x: Tensor, fft: int, hop: int) -> Tensor:
    """The average power spectrum (F,) of excerpts (channels, excerpts, samples); its bins add up to the mean square."""
    return torch.cat([power for cut in x.unbind(dim=1) for power in power_spectra(cut, fft, hop)]).mean(dim=0)


def power_at(x: Tensor, starts: Tensor, fft: int) -> Tensor:
    """Power spectra (N, F) of x (channels, samples), averaged over channels, in frames that begin at `starts` (N,).

    Beyond its ends x goes on as its mirror image, as an edge would look like a click.
    """
    if not len(starts):
        return x.new_zeros(0, fft // 2 + 1)
    window, last, first = torch.hann_window(fft), x.shape[1] - 1, int(starts.min())
    places = torch.arange(first, int(starts.max()) + fft).abs()
    mirrored = (last - (last - places).abs()).clamp(min=0)
    frames = x[:, mirrored].unfold(1, fft, 1)[:, starts - first]
    return squared(torch.fft.rfft(frames * window)).mean(dim=0) / window.sum() ** 2


def at_least(x: Tensor, length: int) -> Tensor:
    """x (..., T), with zeros behind it where it is shorter than that.

    >>> at_least(torch.ones(2), 3)
    tensor([1., 1., 0.])
    """
    # F.pad copies even where there is nothing to add.
    return x if x.shape[-1] >= length else F.pad(x, (0, length - x.shape[-1]))


def quick_length(samples: int) -> int:
    """A length, at least that long, whose transform takes no longer than need be: a small number times a power of two.

    >>> quick_length(85_465)
    86016
    """
    unit = 2 ** max(0, samples.bit_length() - 5)
    return -(-samples // unit) * unit


def squared(spectrum: Tensor) -> Tensor:
    """The power |X|^2 of a spectrum, which is overwritten; half as long as `.abs().square()`, and rounded otherwise."""
    parts = torch.view_as_real(spectrum).square_()
    return parts[..., 0] + parts[..., 1]


def quantiles(rows: Tensor, shares: Tensor) -> Tensor:
    """What `rows.quantile(shares, dim=1)` gives (shares, rows), to the bit; on a processor in a quarter of the time.

    torch sorts each row whole; here it is only parted at the places that are asked for.

    >>> quantiles(torch.arange(11.0)[None], torch.tensor([0.0, 0.25]))
    tensor([[0.0000],
            [2.5000]])
    """
    if rows.device.type != "cpu":  # a graphics card sorts fast
        return rows.quantile(shares, dim=1)
    ranks = shares * (rows.shape[1] - 1)
    below, above = ranks.floor().long(), ranks.ceil().long()
    parted = torch.from_numpy(np.partition(rows.numpy(), [*below.tolist(), *above.tolist()], axis=1))
    return torch.lerp(parted[:, below], parted[:, above], ranks - below).T


def framed_spectrum(x: Tensor, fft: int) -> Tensor:
    """x (B, T) -> the complex frames (B, F, N) in which the equalizer works: half-overlapping periodic Hamming windows.

    The end is padded by one window, so that every sample but the first few lies under two of them.
    """
    window = torch.hamming_window(fft, device=x.device, dtype=x.dtype)
    return frames(F.pad(x, (0, fft)), fft, fft // 2, window)


def unframed(spectrum: Tensor, fft: int, length: int) -> Tensor:
    """Back from `framed_spectrum`, least-squares: (B, F, N) -> (B, length)."""
    window = torch.hamming_window(fft, device=spectrum.device, dtype=spectrum.real.dtype)
    return torch.istft(spectrum, fft, fft // 2, window=window, center=False)[..., :length]


# Average spectra


@dataclass(frozen=True, eq=False)
class ReferenceLtas:
    """The average spectrum of the music that a checkpoint knows."""

    power: Tensor  # (F,) one-sided, from DC to Nyquist, at any level
    sample_rate: int  # Hz


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


def ltas(x: Tensor | Tape, fft: int, window: int, hop: int) -> Tensor:
    """Long-term average spectrum (fft / 2 + 1,) of x (B, T): power, per sum of the periodic Hann window."""
    tape = _mirrorable(x, fft)
    count, scale = tape.samples // hop + 1, torch.hann_window(window).sum().sqrt()
    starts = range(0, count, FRAMES)
    # What outlasts a round, be it small, would lie between the large tensors of the next, and keep what is freed there
    # from being used again: an hour would take a gigabyte.
    sums = torch.empty(len(starts), fft // 2 + 1, dtype=torch.float64)
    for row, first in zip(sums, starts, strict=True):
        row.copy_(_summed_power(tape, first, min(first + FRAMES, count), fft, window, hop, scale))
    return (sums.sum(dim=0) / (count * tape.channels)).float().to(tape.read(0, 1).device)


def _summed_power(tape: Tape, first: int, last: int, fft: int, window: int, hop: int, scale: Tensor) -> Tensor:
    """The power (F,) of some centred frames together, each divided by a scale."""
    some = _centred_frames(tape, first, last, fft, window, hop)
    some /= scale.to(some.device)
    return some.abs().square_().sum(dim=(0, 2))


def smooth_octaves(power: Tensor, sample_rate: float, fraction: float = 3) -> Tensor:
    """A one-sided power spectrum (F,) smoothed over 1/`fraction` octave around each bin by a Gaussian; DC is kept."""
    frequencies = torch.linspace(0, sample_rate / 2, len(power), dtype=torch.float64)
    smoothed = _octave_weights(frequencies, frequencies[1:], fraction) @ power.cpu().double()
    return torch.cat([power[:1], smoothed.to(power)])


def octave_smoothed(power: Tensor, sample_rate: float, hertz: Tensor, fraction: float = 3) -> Tensor:
    """What `smooth_octaves` gives, at any frequencies (K,): for charts and tables."""
    bins = bin_frequencies(sample_rate, 2 * (len(power) - 1)).double()
    return _octave_weights(bins, hertz, fraction) @ power.double()


def _octave_weights(frequencies: Tensor, hertz: Tensor, fraction: float) -> Tensor:
    """(K, F): around each of `hertz` (K,) a Gaussian that is 1/`fraction` octave wide, with a sum of one."""
    centres = hertz[:, None]
    weights = torch.exp(-((frequencies - centres) ** 2) / (2 * (centres / fraction / math.pi) ** 2))
    return weights / weights.sum(dim=1, keepdim=True)


WHITE = 0.75  # what unit white noise reads in a Hann window divided by the root of its sum


def at_unit_level(power: Tensor) -> Tensor:
    """A one-sided long-term average spectrum (F,) at the level that music of unit variance has.

    The recording is measured at unit level, so a reference at another one shifts the floor below which no band is
    raised: by 24 dB for the published piano checkpoint, whose music has a standard deviation of 0.063.
    """
    mean = (power[1:-1].sum() + power[[0, -1]].sum() / 2) / (len(power) - 1)
    return power * (WHITE / mean.clamp(min=torch.finfo(power.dtype).tiny))


TRUSTED = 0.9  # of the band: above, a spectrum shows how its music was resampled


def at_rate(power: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """A one-sided average spectrum (F,) as far as another sample rate's Nyquist, at about the same frequencies.

    Where it was not measured it goes on as it fell, or rose, over the last two octaves.
    """
    if wanted == sample_rate:
        return power
    top = TRUSTED * sample_rate / 2
    hertz = np.linspace(0, sample_rate / 2, len(power))
    bins = 2 * round((len(power) - 1) * wanted / sample_rate / 2) + 1
    new = np.linspace(0, wanted / 2, bins)
    measured_db = decibels(power).cpu().double().numpy()
    last = (hertz > top / 4) & (hertz <= top)
    slope, level = np.polyfit(np.log2(hertz[last] / top), measured_db[last], 1)
    beyond = level + slope * np.log2(np.maximum(new, 1.0) / top)
    found = np.where(new <= top, np.interp(new, hertz, measured_db), beyond)
    return torch.from_numpy(10 ** (found / 10)).to(power)


# Equalising


def equalise(x: Tensor, gain: Tensor, fft: int, window: int, hop: int) -> Tensor:
    """x (B, T) with each bin of its short-time spectrum multiplied by `gain` (fft / 2 + 1,).

    >>> equalise(torch.ones(1, 100), torch.full((9,), 2.0), fft=16, window=16, hop=4)[0, 50:52]
    tensor([2., 2.])
    """
    return Equalised(MemoryTape(x), gain, fft, window, hop).read(0, x.shape[-1])


class Equalised(Tape):
    """A tape with each bin of its short-time spectrum multiplied by `gain` (fft / 2 + 1,)."""

    def __init__(self, tape: Tape, gain: Tensor, fft: int, window: int, hop: int, beyond: int = 0) -> None:
        """So many frames `beyond` the last whose centre lies on the tape: without any, a window that ends with the tape
        is all that there is of its last samples, and they are divided by next to nothing."""
        self.channels, self.samples = tape.channels, tape.samples
        self.gain, self._beyond = gain, beyond
        self._tape, self._size = _mirrorable(tape, fft), (fft, window, hop)

    def gains(self, first: int, last: int) -> Tensor:
        """The gain of some frames, (fft / 2 + 1, 1) for all of them or (fft / 2 + 1, last - first)."""
        return self.gain[:, None]

    def _read(self, start: int, stop: int) -> Tensor:
        fft, window, hop = self._size
        first = max(0, (start - fft // 2) // hop)
        last = min(self._tape.samples // hop + self._beyond, -(-(stop + fft // 2) // hop)) + 1
        spectrum = _centred_frames(self._tape, first, last, fft, window, hop)
        spectrum = spectrum * self.gains(first, last).to(spectrum.device)
        hann = F.pad(torch.hann_window(window, device=spectrum.device), ((fft - window) // 2, (fft - window + 1) // 2))
        pieces = torch.fft.irfft(spectrum, fft, dim=1) * hann[:, None]
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


def _centred_frames(tape: Tape, first: int, last: int, fft: int, window: int, hop: int) -> Tensor:
    """The centred frames (B, F, N) from number `first` up to `last`."""
    x = tape.mirrored(first * hop - fft // 2, (last - 1) * hop + fft // 2)
    return frames(x, fft, hop, torch.hann_window(window, device=x.device))


def fades(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The rising and the falling half of a periodic Hann window, each (length,): a cross-fade; they add up to one.

    >>> rising, falling = fades(2, like=torch.zeros(1))
    >>> rising, falling
    (tensor([0.0000, 0.5000]), tensor([1.0000, 0.5000]))
    """
    window = torch.hann_window(2 * length, device=like.device, dtype=like.dtype)
    return window[:length], window[length:]
