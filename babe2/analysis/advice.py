"""Advice for the person who is about to restore a recording: sentences, each the fact and the way out."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.band import band_by_movement
from babe2.analysis.band_powers import BandPowers
from babe2.analysis.comparison import MATCHED_HZ
from babe2.dsp.bands import BANDS_PER_OCTAVE
from babe2.dsp.spectra import ReferenceLtas, decibels
from babe2.wording import clock

# RMS over third octaves between a recording's spectrum and the reference, from 200 Hz up. Piano recordings, old ones
# and artificially aged ones among them, stay below 11 dB in any five seconds; a flute has 14, a whistle 42. A voice
# may have 9, so what stays below is not said to be the right instrument.
FOREIGN_DB = 12.0


def advice_on(
    found: dict[str, Any], powers: BandPowers, products: Tensor, reference: ReferenceLtas | None
) -> list[str]:
    """The advice that follows from what was `found`. `products` is what `mean_products` makes of the channels."""
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
            f"The waveform is off centre by {100 * found['dc_offset']:.2g} % of full scale. Remove the DC offset first."
        )
    advice += _advice_on_channels(products) + _advice_on_noise(found, powers, reference)
    return advice + _advice_on_instrument(found, band_by_movement(powers).high_hz)


def _advice_on_channels(products: Tensor) -> list[str]:
    power = products.diagonal()
    quiet = (power < 1e-6 * power.max()).tolist()
    if any(quiet):
        numbers = [str(number) for number, there in enumerate(quiet, start=1) if there]
        if len(numbers) == 1:
            return [f"Channel {numbers[0]} is silent and will stay so."]
        return [f"The channels {', '.join(numbers[:-1])} and {numbers[-1]} are silent and will stay so."]
    if len(power) == 2 and power.sum() - 2 * products[0, 1] < 0.01 * (power.sum() + 2 * products[0, 1]):
        return ["The two channels are nearly the same. Average them first: that halves the work and lowers the noise."]
    return []


def _advice_on_noise(found: dict[str, Any], powers: BandPowers, reference: ReferenceLtas | None) -> list[str]:
    high, advice = found["bandwidth_high_hz"], []
    if high is None and found["duration_seconds"] >= 5:
        advice.append("No music stands out from the noise. Denoise the recording first or choose another excerpt.")
    if high and high > _enough_hz(found, reference):
        advice.append(f"There is music up to {high / 1000:.0f} kHz: there is little for a restoration to add.")
    if hum := found["hum"]:
        advice.append(f"There is mains hum of {hum['frequency_hz']:.0f} Hz. Remove it first.")
    hiss = decibels(powers.level[powers.bands.centres > (high or math.inf)].sum() / powers.level.sum())
    if hiss > -40:
        advice.append(f"The noise above the music is only {-float(hiss):.0f} dB weaker than it. Denoise it first.")
    return advice


def _advice_on_instrument(found: dict[str, Any], high: float | None) -> list[str]:
    """`high` is up to where music is heard with ease, Hz: further up, noise would be compared with music."""
    ratio = found["ratio_to_reference_db"]
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
