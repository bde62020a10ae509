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
from babe2.loudness import gated, k_gain
from babe2.tape import Tape
from babe2.transforms import QUIETEST, bin_frequencies, decibels
from babe2.waveform import as_channels, as_sample_rate, clock

LONGEST_SECONDS = 300  # of a longer recording, excerpts are looked at
EXCERPT_SECONDS = 10
BANDS_PER_OCTAVE = 6
MATCHED_HZ = (200.0, 2000.0)  # spectra are brought to equal level here before they are compared
# RMS over third octaves between a recording's spectrum and the reference, from 200 Hz up. Piano recordings, old ones
# and artificially aged ones among them, stay below 11 dB in any five seconds; a flute has 14, a whistle 42. A voice
# may have 9, so what stays below is not said to be the right instrument.
FOREIGN_DB = 12.0
LIVELY_HZ = (200.0, 3000.0)  # where every instrument and every old machine has something to say
LIVELY_FRAMES = 16_000  # in a longer recording there are gaps between them

_LOWEST_HZ = 25.0
_EDGE = 2 ** (0.5 / BANDS_PER_OCTAVE)  # from a band's centre to its edges, as a factor
_INAUDIBLE_DB = -60.0  # a band this far below the loudest one adds little
_NOTHING_DB = -200.0  # below any recording's noise
_SILENT_DBFS = -90.0  # below the noise of 16 bits
_CLIPPED_RUN = 3  # samples; music seldom rests so long at its highest value


@dataclass(frozen=True, eq=False)
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
    peak = max(abs(float(limit)) for limit in x.aminmax())
    moving = x / (peak or 1.0)  # the powers of huge and of tiny values would leave float32
    peak_db = 20 * math.log10(peak) if peak > 0 else -math.inf

    def dbfs(db: float) -> float | None:
        return round(db + peak_db, 2) if db > _NOTHING_DB < db + peak_db else None

    offsets = moving.mean(dim=(1, 2))
    moving -= offsets[:, None, None]
    products = mean_products(moving)
    heard = hear(moving, rate)
    low_hz, high_hz = heard.band()
    found = {
        "duration_seconds": round(channels.shape[1] / rate, 3),
        "looked_at_seconds": round(x[0].numel() / rate, 3),
        "sample_rate": rate,
        "channels": len(channels),
        "rms_dbfs": dbfs(_decibels((products.diagonal() + offsets.square()).mean())),
        "peak_dbfs": dbfs(0.0),
        "loudness_lufs": dbfs(loudness(moving, rate)),
        "silent_share": _silent_share(moving, rate, _SILENT_DBFS - peak_db),
        "dc_offset": round(float(offsets.abs().max()) * peak, 6),
        "clipping": _clipping(x, starts, rate),
        "bandwidth_low_hz": low_hz,
        "bandwidth_high_hz": high_hz,
        "noise_floor_dbfs": dbfs(heard.quietest_db),
        "hum": heard.hum(),
        "ltas": {
            "frequencies_hz": [round(hertz, 1) for hertz in heard.centres.tolist()],
            "level_db": [dbfs(db) for db in decibels(heard.level).tolist()],
            "noise_floor_db": [dbfs(db) for db in decibels(heard.floor).tolist()],
        },
        "ratio_to_reference_db": None if reference is None else _ratio(heard, reference),
    }
    return found | {"advice": _advice(found, heard, products, reference)}


def excerpts(x: Tensor | Tape, sample_rate: int) -> tuple[Tensor, list[float]]:
    """What is looked at of (channels, samples): (channels, excerpts, samples), and where they start, in seconds."""
    samples, length = x.shape[1] if isinstance(x, Tensor) else x.samples, EXCERPT_SECONDS * sample_rate

    def cut(start: int, stop: int) -> Tensor:
        return x[:, start:stop] if isinstance(x, Tensor) else x.stretch(start, stop)

    if samples <= LONGEST_SECONDS * sample_rate:
        return cut(0, samples)[:, None], [0.0]
    count = LONGEST_SECONDS // EXCERPT_SECONDS
    places = [(samples - length) * i // (count - 1) for i in range(count)]
    cuts = torch.empty(len(x) if isinstance(x, Tensor) else x.channels, count, length)
    for excerpt, place in enumerate(places):
        cuts[:, excerpt] = cut(place, place + length)
    return cuts, [place / sample_rate for place in places]


def mean_products(x: Tensor) -> Tensor:
    """Every two channels of (channels, excerpts, samples), multiplied and averaged (channels, channels).

    In blocks: no product as long as the recording is written down, and no sum runs for long in float32.
    """
    blocks = x.flatten(1).split(2**16, dim=1)
    return torch.stack([(block @ block.T).double() for block in blocks]).sum(dim=0) / x[0].numel()


# The liveliest place


def liveliest(audio: npt.ArrayLike | Tensor, sample_rate: float, seconds: float) -> float:
    """Where the liveliest excerpt of a recording (samples,) or (channels, samples) begins, in seconds.

    Lively is where much sounds and much sets in. Neither clicks nor what is clipped count.
    """
    rate = as_sample_rate(sample_rate)
    array = np.atleast_2d(audio.detach().cpu().float().numpy() if isinstance(audio, Tensor) else np.asarray(audio))
    as_channels(array[..., :1], rate)
    samples, length = array.shape[1], _power_of_two(0.025 * rate)
    if samples <= seconds * rate or samples < length:
        return 0.0
    hop = max(length, samples * len(array) // LIVELY_FRAMES)
    moments = np.lib.stride_tricks.sliding_window_view(array, length, axis=1)[:, ::hop]
    # Only what is looked at is copied and checked: an hour would take longer than all the rest.
    x = as_channels(moments.reshape(len(array), -1), rate).unflatten(1, (-1, length))
    activity = _activity(x, rate, hop)
    wanted = min(len(activity), max(1, round(seconds * rate / hop)))
    best = int(activity.unfold(0, wanted, 1).sum(dim=1).argmax())
    return round(min(best * hop, samples - seconds * rate) / rate, 3)


def _activity(moments: Tensor, sample_rate: int, hop: int) -> Tensor:
    """How much happens (moments,) in short stretches (channels, moments, samples) that begin every `hop` samples."""
    length, centres = moments.shape[2], band_centres(sample_rate)
    centres = centres[(centres > LIVELY_HZ[0]) & (centres < LIVELY_HZ[1])]
    weights = band_weights(sample_rate, length // 2 + 1, centres).float()
    calm = (_without_peaks(some).flatten(1) for some in moments.split(256, dim=1))  # as many as fit in the cache
    power = torch.cat([power @ weights for some in calm for power in power_spectra(some, length, length)])
    power = _middle_of_three(power)  # what is left of a click is over by the next moment
    loud = (power.sum(dim=1).quantile(0.95) / power.shape[1]).clamp(min=QUIETEST)
    tenth = max(1, round(0.1 * sample_rate / hop))
    smooth = F.pad(power, (0, 0, tenth, tenth - 1)).unfold(0, tenth, 1).mean(dim=2)
    level = (1e3 * smooth / loud).log1p()  # 30 dB below what is loud little is heard
    before, level = level[:-tenth], level[tenth:]
    onsets = (level - before - 0.7).clamp(min=0)  # noise alone rises by up to 3 dB
    activity = torch.stack([x.mean(dim=1) / x.mean().clamp(min=QUIETEST) for x in (level, onsets)]).sum(dim=0)
    return activity.index_fill(0, _clipped(moments), 0.0)


def _without_peaks(moments: Tensor) -> Tensor:
    """Moments (..., samples) cut off where clicks, but hardly ever music, rise above the rest."""
    limit = 4 * moments.abs().mean(dim=-1, keepdim=True)
    return moments.clamp(-limit, limit)


def _clipped(moments: Tensor) -> Tensor:
    """Which of (channels, moments, samples) rest at their channel's highest or lowest value, as places in time."""
    low, high = moments.aminmax(dim=2)
    lowest, highest = low.amin(dim=1, keepdim=True), high.amax(dim=1, keepdim=True)
    channel, place = ((low == lowest) | (high == highest)).nonzero(as_tuple=True)
    there = moments[channel, place]
    pinned = ((there == lowest[channel]) | (there == highest[channel])) & (there != 0)
    return place[pinned.sum(dim=1) >= _CLIPPED_RUN]


def _middle_of_three(x: Tensor) -> Tensor:
    """The median of each row of (rows, columns) and its two neighbours."""
    around = torch.cat([x[:1], x, x[-1:]])
    before, here, after = around[:-2], around[1:-1], around[2:]
    return torch.maximum(torch.minimum(before, here), torch.minimum(torch.maximum(before, here), after))


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


# Music and noise, told apart by what moves and what stays


@dataclass(frozen=True, eq=False)
class Heard:
    """The power of a recording over frequency and time; its excerpts' DC is left out."""

    centres: Tensor  # (bands,) Hz
    level: Tensor  # (bands,) on average
    spells: Tensor  # (spells, bands) in every half second that is not silent
    steady_hz: Tensor  # (F,)
    steady: Tensor  # (F,) in fine resolution, what is there at least half of the time

    @property
    def floor(self) -> Tensor:
        """The power (bands,) that each band holds for nine tenths of the time."""
        return self.spells.quantile(0.1, dim=0) if len(self.spells) else torch.zeros_like(self.level)

    @property
    def quietest_db(self) -> float:
        """The level of the quietest tenth of all spells."""
        powers = self.spells.sum(dim=1).sort().values
        return _decibels(powers[: math.ceil(len(powers) / 10)].mean()) if len(powers) else -math.inf

    def band(self) -> tuple[float | None, float | None]:
        """The lowest and the highest frequency at which music stands out from the noise, Hz."""
        if not len(self.spells):
            return None, None
        loud, quiet = decibels(self.spells.quantile(0.9, dim=0)), decibels(self.floor)
        # In a narrow band noise comes and goes, too: on white noise by 9 dB at 28 Hz, 5 at 100, 2 at 1000.
        moves = loud - quiet > 6 + 8 / (0.035 * self.centres).sqrt()
        carries = (moves | self._holds_tones()) & (loud > loud.max() + _INAUDIBLE_DB)
        if not carries.any():
            return None, None
        places = carries.nonzero().flatten().numpy()
        # A gap of up to an octave is the music's own; what lies beyond a wider one is a whistle or a rumble.
        groups = np.split(places, np.flatnonzero(np.diff(places) > BANDS_PER_OCTAVE) + 1)
        loudest = int(torch.where(carries, loud, -math.inf).argmax())
        (group,) = (group for group in groups if loudest in group)
        low, high = self.centres[group[0]] / _EDGE, self.centres[group[-1]] * _EDGE
        return round(float(low), 1), round(float(high), 1)

    def _holds_tones(self) -> Tensor:
        """Which bands (bands,) hold a steady tone: music that does not move, an organ's, say."""
        tones = self.steady_hz[_prominence_db(self.steady) > 15]
        if hum := self.hum():
            order = tones / hum["frequency_hz"]
            tones = tones[((order - order.round()).abs() > 0.05) | (order > 10)]
        return ((tones[:, None] > self.centres / _EDGE) & (tones[:, None] < self.centres * _EDGE)).any(dim=0)

    def hum(self) -> dict[str, float] | None:
        """Of the mains: where its tone stands out, or two of the next three do, for most of the time."""
        prominence = _prominence_db(self.steady)
        for mains in (50.0, 60.0):
            # A turntable or a tape off speed by a percent takes the hum along.
            near = [(self.steady_hz - k * mains).abs() <= 0.01 * k * mains for k in range(1, 5)]
            heights = [float(prominence[there].max()) if there.any() else 0.0 for there in near]
            if heights[0] > 10 or sum(height > 10 for height in heights) >= 2:
                return {"frequency_hz": mains, "prominence_db": round(max(heights), 1)}
        return None


def hear(x: Tensor, sample_rate: int) -> Heard:
    """From excerpts (channels, excerpts, samples) without DC."""
    centres, cuts = band_centres(sample_rate), x.unbind(dim=1)
    spells = torch.cat([_spells(cut, sample_rate, centres) for cut in cuts])
    # Digital silence between pieces would make steady noise look as if it came and went with the music.
    awake = spells.sum(dim=1) > 1e-6 * spells.sum(dim=1).quantile(0.95)
    fft = _power_of_two(min(1.5 * sample_rate, max(64, x.shape[-1] / 4)))
    powers = torch.cat([power for cut in cuts for power in power_spectra(cut, fft, fft // 2)])
    level = powers.mean(dim=0) @ band_weights(sample_rate, fft // 2 + 1, centres).float()
    steady = powers[::2].median(dim=0).values
    return Heard(centres, level, spells[awake], bin_frequencies(sample_rate, fft), steady)


def _spells(x: Tensor, sample_rate: int, centres: Tensor) -> Tensor:
    """What each half second of x (channels, samples) holds between its clicks, (spells, bands)."""
    parts = []
    # Short frames see between the clicks, but only long ones tell low bands apart.
    for frame_seconds, bands in ((0.2, centres[centres < 2000]), (0.025, centres[centres >= 2000])):
        fft, size = _power_of_two(frame_seconds * sample_rate), round(1 / frame_seconds)
        weights = band_weights(sample_rate, fft // 2 + 1, bands).float()
        frames = torch.cat([power @ weights for power in power_spectra(x, fft, round(frame_seconds / 2 * sample_rate))])
        size = min(size, len(frames))
        parts.append(frames.unfold(0, size, size).kthvalue(math.ceil(0.3 * size), dim=2).values)
    count = min(map(len, parts))
    return torch.cat([part[:count] for part in parts], dim=1)


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


def _prominence_db(power: Tensor) -> Tensor:
    """By how much each bin of a fine spectrum (F,) rises above its surroundings on both sides."""
    tiny = 1e-8 * float(power.sum()) + 1e-30  # what is weaker by 80 dB than the whole stands out for nobody
    around = F.avg_pool1d(power[None], 8, stride=1)[0]  # around[k] covers the bins k to k + 7
    sides = torch.maximum(around[:-17], around[17:])  # of the bin k + 12, at a distance of 5 to 12
    return F.pad(decibels((power[12:-12] + tiny) / (sides + tiny)), (12, 12))


def _power_of_two(length: float) -> int:
    return int(2 ** math.floor(math.log2(length)))


def _decibels(power: Tensor) -> float:
    return float(decibels(power))


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


def _silent_share(x: Tensor, sample_rate: int, threshold_db: float) -> float:
    """The share of tenths of a second in which no channel is louder than a threshold."""
    step = min(sample_rate // 10, x.shape[-1])
    power = x.unfold(2, step, step).square().mean(dim=3).amax(dim=0)
    return round(float((decibels(power) <= threshold_db).double().mean()), 4)


def _clipping(x: Tensor, starts: list[float], sample_rate: int) -> dict[str, Any]:
    """Runs of at least three samples at a channel's highest or lowest value."""
    samples, times = 0, []
    for channel in x.numpy():
        limits = channel.max(), channel.min()
        for excerpt, start in zip(channel, starts, strict=True):
            pinned = np.flatnonzero(((excerpt == limits[0]) | (excerpt == limits[1])) & (excerpt != 0))
            first = np.flatnonzero(np.diff(pinned, prepend=-2) > 1)  # the first of each run, among the pinned
            lengths = np.diff(first, append=len(pinned))
            samples += int(lengths[lengths >= _CLIPPED_RUN].sum())
            times += [start + place / sample_rate for place in pinned[first[lengths >= _CLIPPED_RUN]].tolist()]
    return {
        "share": round(samples / x.numel(), 8),
        "runs": len(times),
        "first_times_seconds": [round(time, 3) for time in sorted(times)[:10]],
    }


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


def _ratio(heard: Heard, reference: ReferenceLtas) -> list[float | None]:
    """The recording's level over the reference's in each band, dB, the two being level from 200 Hz to 2 kHz."""
    centres, rate = heard.centres, reference.sample_rate
    level, expected = heard.level, reference.power @ band_weights(rate, len(reference.power), centres)
    known = (centres * _EDGE < rate / 2) & (expected > 0) & (level > 0)
    matched = known & (centres > MATCHED_HZ[0]) & (centres < MATCHED_HZ[1])
    if not matched.any():
        return [None] * len(centres)
    ratio = decibels(level / level[matched].sum()) - decibels(expected / expected[matched].sum())
    return [round(db, 2) if there else None for db, there in zip(ratio.tolist(), known.tolist(), strict=True)]


# Advice


def _advice(found: dict[str, Any], heard: Heard, products: Tensor, reference: ReferenceLtas | None) -> list[str]:
    """Sentences: the fact and the way out. `products` is what `mean_products` makes of the channels."""
    if found["rms_dbfs"] is None or found["silent_share"] == 1:
        return ["This recording is silent, so there is nothing to restore. Choose another file or excerpt."]
    share, peak, clipping = found["silent_share"], found["peak_dbfs"], found["clipping"]
    advice = []
    if found["duration_seconds"] < 5:
        advice.append(
            f"This recording lasts only {found['duration_seconds']:.1f} s. "
            "How it was coloured is told better from five and more."
        )
    if share > 0.5:
        advice.append(f"{share:.0%} of this recording is silent. Trim the silence.")
    if peak > 20:
        advice.append(
            f"The peaks lie {peak:.0f} dB above full scale, as when integers are stored as floats. "
            "Divide by the integers' full scale."
        )
    if peak < -40:
        advice.append(f"The peaks reach only {peak:.0f} dBFS. Use a louder transfer if there is one.")
    if clipping["runs"] >= 3:
        advice.append(
            f"The recording clips at {clipping['runs']} places, first at {clock(clipping['first_times_seconds'][0])}. "
            "Use another transfer or declip it first."
        )
    if abs(found["dc_offset"]) > 0.1 * 10 ** (found["rms_dbfs"] / 20):
        advice.append(
            f"The waveform is off centre by {found['dc_offset']:.1%} of full scale. Remove the DC offset first."
        )
    advice += _advice_on_channels(products) + _advice_on_noise(found, heard, reference)
    return advice + _advice_on_instrument(found)


def _advice_on_channels(products: Tensor) -> list[str]:
    power = products.diagonal()
    quiet = (power < 1e-6 * power.max()).tolist()
    if any(quiet):
        return [f"Channel {number} is silent. Leave it out." for number, there in enumerate(quiet, start=1) if there]
    if len(power) == 2 and power.sum() - 2 * products[0, 1] < 0.01 * (power.sum() + 2 * products[0, 1]):
        return ["The two channels are nearly the same. Average them first: that halves the work and lowers the noise."]
    return []


def _advice_on_noise(found: dict[str, Any], heard: Heard, reference: ReferenceLtas | None) -> list[str]:
    high, advice = found["bandwidth_high_hz"], []
    if high is None and found["duration_seconds"] >= 5:
        advice.append("No music stands out from the noise. Denoise the recording first or choose another excerpt.")
    if high and high > _enough_hz(found, reference):
        advice.append(f"There is music up to {high / 1000:.0f} kHz: there is little for a restoration to add.")
    if hum := found["hum"]:
        advice.append(f"There is mains hum of {hum['frequency_hz']:.0f} Hz. Remove it first.")
    hiss = decibels(heard.level[heard.centres > (high or math.inf)].sum() / heard.level.sum())
    if hiss > -40:
        advice.append(f"The noise above the music is only {-float(hiss):.0f} dB weaker than it. Denoise it first.")
    return advice


def _advice_on_instrument(found: dict[str, Any]) -> list[str]:
    high, ratio = found["bandwidth_high_hz"], found["ratio_to_reference_db"]
    if found["duration_seconds"] < 5 or high is None or ratio is None:
        return []
    pairs = zip(found["ltas"]["frequencies_hz"], ratio, strict=True)
    heard = torch.tensor([db for hertz, db in pairs if db is not None and MATCHED_HZ[0] <= hertz <= high])
    if len(heard) < BANDS_PER_OCTAVE:
        return []
    thirds = F.avg_pool1d(heard[None], 3, stride=1)[0]  # of a third of an octave and a little more
    departure = float(thirds.std(correction=0))  # around its mean, as the two are level only up to 2 kHz
    if departure < FOREIGN_DB:
        return []
    return [
        f"The sound differs by {departure:.0f} dB from the music this checkpoint knows. Is it another instrument? "
        "Choose a checkpoint that knows it, or expect its sound to be changed."
    ]


def _enough_hz(found: dict[str, Any], reference: ReferenceLtas | None) -> float:
    """Up to where there must be music for a restoration to have little to add."""
    if reference is None:
        return 10_000.0
    enough = min(10_000.0, 0.45 * reference.sample_rate)
    pairs = zip(found["ltas"]["frequencies_hz"], found["ratio_to_reference_db"], strict=True)
    top_octave = [ratio for hertz, ratio in pairs if enough / 2 < hertz < enough and ratio is not None]
    dull = not top_octave or sum(top_octave) / len(top_octave) < -12  # present, but only just
    return math.inf if dull else enough
