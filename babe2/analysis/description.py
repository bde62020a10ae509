"""What a recording is like, without restoring it: level, band, noise, faults, and what to do about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from babe2.analysis.advice import advice_on
from babe2.analysis.band import RecordedBand, band_by_movement
from babe2.analysis.band_powers import BandPowers
from babe2.analysis.clipping import clipping
from babe2.analysis.comparison import ratio_to_reference
from babe2.analysis.hum import mains_hum
from babe2.analysis.machine import find_machine_of_channels
from babe2.analysis.singing import followed_notes
from babe2.dsp.excerpts import excerpts
from babe2.dsp.loudness import loudness_of_excerpts
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, as_reference, decibels
from babe2.dsp.waveform import as_channels, as_sample_rate

_NOTHING_DB = -200.0  # below any recording's noise
_SILENT_DBFS = -90.0  # below the noise of 16 bits
SILENT_CHANNEL = 1e-4  # of the loudest one's deviation: a restorer leaves such a channel as it is


def analyse(
    audio: npt.ArrayLike | Tensor, sample_rate: float, reference: ReferenceLtas | Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a recording (samples,) or (channels, samples) is like, in plain numbers, lists and sentences.

    Levels are in dB of full scale, where a full-scale sine has -3 dB RMS; spectra are given in bands of a sixth of an
    octave. What cannot be told is None. Of more than five minutes, evenly spaced excerpts are looked at. `advice` is
    meant for the person who is about to restore the recording.

    `bandwidth_low_hz` and `bandwidth_high_hz` tell where music is heard. With a reference they and the noise floor are
    those that a restoration goes by, and `restorer` tells besides whether the band `ends` there or goes on as far as
    the music does. Without one music is what comes and goes, and the band a little narrower.
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
    powers = BandPowers.of(moving, rate)
    band = band_by_movement(powers)
    found: dict[str, Any] = {
        "duration_seconds": round(channels.shape[1] / rate, 3),
        "looked_at_seconds": round(x[0].numel() / rate, 3),
        "sample_rate": rate,
        "channels": len(channels),
        "rms_dbfs": dbfs(float(decibels((products.diagonal() + offsets.square()).mean()))),
        "peak_dbfs": dbfs(0.0),
        "loudness_lufs": dbfs(loudness_of_excerpts(moving.unbind(dim=1), rate)),
        "silent_share": _silent_share(moving, rate, _SILENT_DBFS - peak_db),
        "dc_offset": round(float(offsets.abs().max()) * peak, 6),
        "clipping": clipping(x, starts, rate),
        "bandwidth_low_hz": _rounded(band.low_hz),
        "bandwidth_high_hz": _rounded(band.high_hz),
        "noise_floor_dbfs": dbfs(band.floor_db),
        "hum": mains_hum(powers.fine_hertz, powers.steady),
        "sung": (notes := followed_notes(moving, rate)) is not None and notes.sung,
        "ltas": {
            "frequencies_hz": [round(hertz, 1) for hertz in powers.bands.centres.tolist()],
            "level_db": [dbfs(db) for db in decibels(powers.level).tolist()],
            "noise_floor_db": [dbfs(db) for db in decibels(powers.floor).tolist()],
        },
        "ratio_to_reference_db": None,
        "restorer": None,
    }
    if reference is not None:
        found["ratio_to_reference_db"] = ratio_to_reference(powers.bands, powers.level, reference)
        if (seen := restorers_band(moving, rate, reference)) is not None:
            low_hz, high_hz = _rounded(seen.low_hz), _rounded(seen.high_hz)
            if band.high_hz is not None:  # else nothing comes and goes, so nothing there is music
                found |= {"bandwidth_low_hz": low_hz, "bandwidth_high_hz": high_hz}
                found["noise_floor_dbfs"] = dbfs(seen.floor_db)
            found["restorer"] = {"low_hz": low_hz, "high_hz": high_hz, "ends": seen.ends}
    return found | {"advice": advice_on(found, powers, products, reference)}


def restorers_band(x: Tensor, sample_rate: int, reference: ReferenceLtas) -> RecordedBand | None:
    """The band that a restorer with this reference finds in excerpts (channels, excerpts, samples); None in silence."""
    at_rate = [resample(channel, sample_rate, reference.sample_rate) for channel in x]
    spreads = torch.stack([channel.std(correction=0) for channel in at_rate])
    sounding = (spreads > SILENT_CHANNEL * spreads.max()).nonzero().flatten().tolist()
    if not sounding:
        return None
    unit = [at_rate[i] / spreads[i] for i in sounding]
    band = find_machine_of_channels(unit, reference.sample_rate, reference).band
    level_db = float(decibels(spreads[sounding].square().mean()))
    return replace(band, floor_db=band.floor_db + level_db)


def mean_products(x: Tensor) -> Tensor:
    """Every two channels of (channels, excerpts, samples), multiplied and averaged (channels, channels).

    In blocks: no product as long as the recording is written down, and no sum runs for long in float32.
    """
    blocks = x.flatten(1).split(2**16, dim=1)
    return torch.stack([(block @ block.T).double() for block in blocks]).sum(dim=0) / x[0].numel()


def _silent_share(x: Tensor, sample_rate: int, threshold_db: float) -> float:
    """The share of tenths of a second in which no channel is louder than a threshold."""
    step = min(sample_rate // 10, x.shape[-1])
    loudest = torch.linalg.vector_norm(x.unfold(2, step, step), dim=3).amax(dim=0) / math.sqrt(step)
    return round(float((decibels(loudest.square()) <= threshold_db).double().mean()), 4)


def _rounded(hertz: float | None) -> float | None:
    return None if hertz is None else round(hertz, 1)
