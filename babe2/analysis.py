"""What a recording is like, heard without restoring it: level, band, noise, faults, and what to do about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.errors import RestorationError
from babe2.transforms import bin_frequencies, decibels
from babe2.waveform import as_channels, as_sample_rate, clock

LONGEST_SECONDS = 300  # of a longer recording, excerpts are looked at
EXCERPT_SECONDS = 10
BANDS_PER_OCTAVE = 6
MATCHED_HZ = (200.0, 2000.0)  # where spectra are brought to equal level before they are compared

_LOWEST_HZ = 25.0
_INAUDIBLE_DB = -60.0  # a band this far below the loudest one adds nothing
_NOTHING_DB = -200.0  # below any recording's noise
_SILENT_DBFS = -90.0  # below the noise of 16 bits
_CLIPPED_RUN = 3  # samples; music seldom rests at its highest value so long


@dataclass(frozen=True)
class ReferenceLtas:
    """How music of a checkpoint's kind sounds on average."""

    power: Tensor  # (F,) one-sided, from DC to Nyquist, at any level
    sample_rate: int  # Hz


def analyse(
    audio: npt.ArrayLike | Tensor, sample_rate: float, reference: ReferenceLtas | Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a recording (samples,) or (channels, samples) is like, in plain numbers, lists and sentences.

    Levels are in dB of full scale, where a full-scale sine has -3 dB RMS; spectra are given in bands of a sixth of an
    octave. What cannot be told is None. Of more than five minutes, evenly spaced excerpts are looked at. `advice` is
    meant for the person who is about to restore the recording.
    """
    rate = as_sample_rate(sample_rate)
    channels = as_channels(audio, rate)
    reference = None if reference is None else as_reference(reference)
    x, starts = excerpts(channels, rate)
    peak = float(x.abs().max())
    x = x / (peak or 1.0)  # the powers of huge and of tiny values would leave float32
    full_scale_db = 20 * math.log10(peak) if peak > 0 else -math.inf

    def dbfs(db: float) -> float | None:
        return round(db + full_scale_db, 2) if db > _NOTHING_DB < db + full_scale_db else None

    offsets = x.mean(dim=(1, 2), dtype=torch.float64)
    moving = x - offsets[:, None, None].float()
    music = _Music.of(moving, rate)
    low_hz, high_hz = music.band()
    found: dict[str, Any] = {
        "duration_seconds": round(channels.shape[1] / rate, 3),
        "looked_at_seconds": round(x[0].numel() / rate, 3),
        "sample_rate": rate,
        "channels": len(channels),
        "rms_dbfs": dbfs(_decibels(x.double().square().mean())),
        "peak_dbfs": dbfs(0.0),
        "loudness_lufs": dbfs(loudness(x, rate)),
        "dc_offset": round(float(offsets.abs().max()) * peak, 6),
        "silent_share": _silent_share(moving, rate, full_scale_db),
        "clipping": _clipping(x, starts, rate),
        "bandwidth_low_hz": low_hz,
        "bandwidth_high_hz": high_hz,
        "noise_floor_dbfs": dbfs(music.quietest_db),
        "hum": music.hum,
        "ltas": {
            "frequencies_hz": [round(hertz, 1) for hertz in music.centres.tolist()],
            "level_db": [dbfs(db) for db in decibels(music.level).tolist()],
            "noise_floor_db": [dbfs(db) for db in decibels(music.floor).tolist()],
        },
        "ratio_to_reference_db": None if reference is None else _ratio(music, reference),
    }
    return found | {"advice": _advice(found, music, moving, reference)}


def excerpts(channels: Tensor, sample_rate: int) -> tuple[Tensor, list[float]]:
    """What is looked at of (channels, samples): (channels, excerpts, samples), and where in it they start, seconds."""
    samples, length = channels.shape[1], EXCERPT_SECONDS * sample_rate
    if samples <= LONGEST_SECONDS * sample_rate:
        return channels[:, None], [0.0]
    count = LONGEST_SECONDS // EXCERPT_SECONDS
    places = [(samples - length) * i // (count - 1) for i in range(count)]
    cuts = torch.stack([channels[:, place : place + length] for place in places], dim=1)
    return cuts, [place / sample_rate for place in places]


def as_reference(reference: ReferenceLtas | Mapping[str, Any]) -> ReferenceLtas:
    """A reference from anything that has `power` (F,) and `sample_rate`, as fields or as keys."""
    fields = reference if isinstance(reference, Mapping) else vars(reference)
    try:
        power, rate = torch.as_tensor(fields["power"]).detach().cpu().double(), as_sample_rate(fields["sample_rate"])
    except (KeyError, TypeError, ValueError):
        raise RestorationError("A reference has a power (F,) and a sample_rate. Take a checkpoint's.") from None
    if power.ndim != 1 or len(power) < 2 or not power.isfinite().all() or power.min() < 0 or power.max() == 0:
        raise RestorationError(
            "A reference's power is one row of finite values from DC to Nyquist, none negative. Take a checkpoint's."
        )
    return ReferenceLtas(power, rate)


# Bands


def band_centres(sample_rate: int) -> Tensor:
    """Centres of all bands between 25 Hz and Nyquist, Hz; one lies at 1 kHz."""
    first = math.ceil(BANDS_PER_OCTAVE * math.log2(_LOWEST_HZ / 1000))
    last = math.floor(BANDS_PER_OCTAVE * math.log2(sample_rate / 2000) - 0.5)
    return 1000 * 2 ** (torch.arange(first, last + 1, dtype=torch.float64) / BANDS_PER_OCTAVE)


def band_weights(sample_rate: int, bins: int, centres: Tensor) -> Tensor:
    """How much of each bin of a one-sided spectrum lies in each band (bins, bands)."""
    spacing, half = sample_rate / 2 / (bins - 1), 2 ** (0.5 / BANDS_PER_OCTAVE)
    bin_hz = (spacing * torch.arange(bins, dtype=torch.float64))[:, None]
    inside = torch.minimum(bin_hz + spacing / 2, centres * half) - torch.maximum(bin_hz - spacing / 2, centres / half)
    return (inside / spacing).clamp(min=0)


def level_matched(power: Tensor, frequencies: Tensor) -> Tensor:
    """A spectrum in dB, 0 dB being its mean power between 200 Hz and 2 kHz."""
    matched = (frequencies >= MATCHED_HZ[0]) & (frequencies <= MATCHED_HZ[1])
    return decibels(power) - decibels(power[matched].mean())


@dataclass(frozen=True)
class _Music:
    """The music in a recording and the noise around it, told apart by what moves and what does not."""

    centres: Tensor  # (bands,) Hz
    level: Tensor  # (bands,) mean power
    spells: Tensor  # (spells, bands) power in half-second spells that are not silent
    steady: Tensor  # (F,) power that is there at least half of the time, in fine resolution
    sample_rate: int

    @staticmethod
    def of(x: Tensor, sample_rate: int) -> _Music:
        """From the excerpts (channels, excerpts, samples) without their DC."""
        centres, fft = band_centres(sample_rate), _power_of_two(0.19 * sample_rate)
        weights = band_weights(sample_rate, fft // 2 + 1, centres).float()
        bands = [
            torch.cat([power @ weights for power in _powers(excerpt, fft, sample_rate // 10)])
            for excerpt in x.unbind(dim=1)
        ]
        spells = torch.cat([_spells(frames) for frames in bands])
        loudness = spells.sum(dim=1)
        # Digital silence between the pieces would make steady noise look as if it came and went with the music.
        awake = loudness > 1e-6 * loudness.quantile(0.95)
        fine = _power_of_two(min(1.5 * sample_rate, x.shape[-1] / 4))
        frames = [power for excerpt in x.unbind(dim=1) for power in _powers(excerpt, fine, fine)]
        steady = torch.cat(frames).median(dim=0).values
        return _Music(centres, torch.cat(bands).mean(dim=0), spells[awake], steady, sample_rate)

    @property
    def silent(self) -> bool:
        return len(self.spells) == 0

    @property
    def floor(self) -> Tensor:
        """The power (bands,) that each band keeps for nine tenths of the time."""
        return torch.zeros_like(self.level) if self.silent else self.spells.quantile(0.1, dim=0)

    @property
    def quietest_db(self) -> float:
        """The level of the quietest tenth of all spells."""
        loudness = self.spells.sum(dim=1).sort().values
        return -math.inf if self.silent else _decibels(loudness[: math.ceil(len(loudness) / 10)].mean())

    def band(self) -> tuple[float | None, float | None]:
        """The lowest and the highest frequency at which music stands out from the noise, Hz."""
        if self.silent:
            return None, None
        loud, quiet = decibels(self.spells.quantile(0.9, dim=0)), decibels(self.floor)
        # Noise in a narrow band comes and goes, too; the slack was measured on white noise, with some to spare.
        slack = 6 + 6 / (0.035 * self.centres).sqrt()
        heard = ((loud - quiet > slack) | self._holds_tones()) & (loud > loud.max() + _INAUDIBLE_DB)
        if not heard.any():
            return None, None
        first = last = int(torch.where(heard, loud, -math.inf).argmax())
        for place in heard.nonzero().flatten().tolist():  # a gap of up to an octave is the music's own
            last = place if last < place <= last + BANDS_PER_OCTAVE else last
        for place in heard.nonzero().flatten().flip(0).tolist():
            first = place if first > place >= first - BANDS_PER_OCTAVE else first
        half = 2 ** (0.5 / BANDS_PER_OCTAVE)
        return round(float(self.centres[first]) / half, 1), round(float(self.centres[last]) * half, 1)

    def _holds_tones(self) -> Tensor:
        """Where music is steady, as an organ's, it is told from noise by its tones (bands,)."""
        tones = bin_frequencies(self.sample_rate, 2 * (len(self.steady) - 1))[_prominence_db(self.steady) > 15]
        octaves = (torch.log2(tones[:, None] / self.centres) * BANDS_PER_OCTAVE).abs()
        held = (octaves <= 0.5).any(dim=0)
        return held if self.hum is None else held & (self.centres > 400)

    @property
    def hum(self) -> dict[str, float] | None:
        """Of the mains, when its tone or two of the next three stand out all the time."""
        prominence = _prominence_db(self.steady)
        bin_hz = self.sample_rate / 2 / (len(self.steady) - 1)
        for mains in (50.0, 60.0):
            harmonics = [k * mains for k in range(1, 5) if k * mains < self.sample_rate / 2 - 16 * bin_hz]
            # A turntable or tape off speed by a percent takes the hum along.
            tones = [
                float(prominence[int(0.99 * hertz / bin_hz) : math.ceil(1.01 * hertz / bin_hz) + 1].max())
                for hertz in harmonics
            ]
            if tones[0] > 10 or sum(tone > 10 for tone in tones) >= 2:
                return {"frequency_hz": mains, "prominence_db": round(max(tones), 1)}
        return None


def _powers(x: Tensor, fft: int, hop: int) -> Iterator[Tensor]:
    """Short-time power spectra of x (channels, samples), averaged over channels, as (frames, bins), a few at a time.

    Their bins add up to the mean square of the signal.
    """
    window = torch.hann_window(fft)
    frames = F.pad(x, (0, max(0, fft - x.shape[1]))).unfold(1, fft, hop)
    for some in frames.split(max(1, 2**20 // fft), dim=1):
        yield torch.fft.rfft(some * window).abs().square().mean(dim=0) * 2 / (fft * window.square().sum())


def _spells(frames: Tensor) -> Tensor:
    """Medians over half a second, which a click does not move: (frames, bands) -> (spells, bands)."""
    whole = len(frames) // 5 * 5
    return frames[:whole].unflatten(0, (-1, 5)).median(dim=1).values if whole else frames.median(dim=0).values[None]


def _prominence_db(power: Tensor) -> Tensor:
    """By how much each bin of a fine spectrum (F,) rises above its surroundings on both sides."""
    tiny = 1e-12 * float(power.mean()) + 1e-30
    around = F.avg_pool1d(power[None], 8, stride=1)[0]  # around[k] covers the bins k to k + 7
    sides = torch.maximum(around[:-17], around[17:])  # of the bin k + 12, at a distance of 5 to 12
    return F.pad(decibels((power[12:-12] + tiny) / (sides + tiny)), (12, 12))


# Level


def loudness(x: Tensor, sample_rate: int) -> float:
    """Integrated loudness of (channels, excerpts, samples) after ITU-R BS.1770-4, LUFS; all channels count alike."""
    step = round(0.1 * sample_rate)
    if x.shape[-1] < 4 * step:
        return -math.inf
    steps = _k_weighted(x, sample_rate).square().unfold(2, step, step).mean(dim=3, dtype=torch.float64).sum(dim=0)
    blocks = steps.unfold(1, 4, 1).mean(dim=2).flatten()  # of 400 ms, every 100 ms
    blocks = blocks[decibels(blocks) - 0.691 > -70]
    if len(blocks):
        blocks = blocks[decibels(blocks) > decibels(blocks.mean()) - 10]
    return _decibels(blocks.mean()) - 0.691 if len(blocks) else -math.inf


def _k_weighted(x: Tensor, sample_rate: int) -> Tensor:
    """Through the two filters of BS.1770, whose analogue originals give the published numbers at 48 kHz."""
    length = x.shape[-1] + sample_rate // 2  # the tail decays within half a second
    fft = -(-length // 2**12) * 2**12
    z = torch.exp(-2j * math.pi * torch.fft.rfftfreq(fft, dtype=torch.float64))
    response = torch.ones_like(z)
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    if 0 < k < 4:  # at lower rates the shelf begins beyond Nyquist
        high = 10 ** (3.999843853973347 / 20)
        band = high**0.4996667741545416
        numerator = high + band * k / q + k**2, 2 * (k**2 - high), high - band * k / q + k**2
        response = response * _biquad(z, numerator, k, q)
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    scale = 1 + k / q + k**2
    response = response * _biquad(z, (scale, -2 * scale, scale), k, q)
    return torch.fft.irfft(torch.fft.rfft(x, fft) * response.to(torch.complex64), fft)[..., : x.shape[-1]]


def _biquad(z: Tensor, numerator: tuple[float, float, float], k: float, q: float) -> Tensor:
    b0, b1, b2 = numerator
    return (b0 + b1 * z + b2 * z**2) / (1 + k / q + k**2 + 2 * (k**2 - 1) * z + (1 - k / q + k**2) * z**2)


def _decibels(power: Tensor) -> float:
    return float(decibels(power))


def _silent_share(moving: Tensor, sample_rate: int, full_scale_db: float) -> float:
    """The share of tenths of a second in which no channel holds more than the noise of 16 bits."""
    step = min(sample_rate // 10, moving.shape[-1])
    power = moving.unfold(2, step, step).square().mean(dim=3).amax(dim=0)
    return round(float((decibels(power) + full_scale_db < _SILENT_DBFS).double().mean()), 4)


def _clipping(x: Tensor, starts: list[float], sample_rate: int) -> dict[str, Any]:
    """Runs of at least three samples at a channel's highest or lowest value."""
    samples, times = 0, []
    for channel in x:
        top, bottom = float(channel.max()), float(channel.min())
        for excerpt, start in zip(channel.numpy(), starts, strict=True):
            pinned = np.flatnonzero(((excerpt == top) & (top > 0)) | ((excerpt == bottom) & (bottom < 0)))
            runs = np.split(pinned, np.flatnonzero(np.diff(pinned) > 1) + 1)
            runs = [run for run in runs if len(run) >= _CLIPPED_RUN and top > bottom]
            samples += sum(len(run) for run in runs)
            times += [round(start + float(run[0]) / sample_rate, 3) for run in runs]
    return {"share": samples / x.numel(), "runs": len(times), "first_times_seconds": sorted(times)[:10]}


# Comparison and advice


def _ratio(music: _Music, reference: ReferenceLtas) -> list[float | None]:
    """The recording's spectrum over the reference's in dB, where both have one, level with it from 200 Hz to 2 kHz."""
    weights = band_weights(reference.sample_rate, len(reference.power), music.centres)
    expected = reference.power @ weights
    known = (weights.sum(dim=0) > 0) & (expected > 0) & (music.level > 0)
    ...
