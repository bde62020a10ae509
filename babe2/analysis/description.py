"""What a recording is like, heard without restoring it: level, band, noise, faults, and what to do about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.heard import BandPowers, _decibels, hear, mean_products
from babe2.dsp.loudness import loudness
from babe2.dsp.spectra import (
    _EDGE,
    BANDS_PER_OCTAVE,
    ReferenceLtas,
    as_reference,
    band_weights,
    decibels,
    excerpts,
)
from babe2.dsp.waveform import as_channels, as_sample_rate
from babe2.wording import clock

MATCHED_HZ = (200.0, 2000.0)  # spectra are brought to equal level here before they are compared
# RMS over third octaves between a recording's spectrum and the reference, from 200 Hz up. Piano recordings, old ones
# and artificially aged ones among them, stay below 11 dB in any five seconds; a flute has 14, a whistle 42. A voice
# may have 9, so what stays below is not said to be the right instrument.
FOREIGN_DB = 12.0
_NOTHING_DB = -200.0  # below any recording's noise
_SILENT_DBFS = -90.0  # below the noise of 16 bits
_CLIPPED_RUN = 3  # samples; music seldom rests so long at its highest value


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


def _ratio(heard: BandPowers, reference: ReferenceLtas) -> list[float | None]:
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


def _advice(found: dict[str, Any], heard: BandPowers, products: Tensor, reference: ReferenceLtas | None) -> list[str]:
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


def _advice_on_noise(found: dict[str, Any], heard: BandPowers, reference: ReferenceLtas | None) -> list[str]:
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
