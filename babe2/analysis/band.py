"""Where the band of a recording begins and ends, and how loud the noise beneath its music is.

What a restorer goes by, and with a checkpoint at hand everybody, is found in machine.py. Here is what needs no trained
network. `band_by_movement` is what `analyse` tells without a reference: music comes and goes. It passes over hum,
whistles and clicks, and says where music can be heard with ease. `band_by_level` is the baseline's (response.py): music
is what is louder than the noise, however little. `wall_hz` finds where a coder or a lower sample rate left nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from babe2.analysis.band_powers import BandPowers
from babe2.analysis.hum import mains_hum, prominence_db
from babe2.analysis.spectrum import Spectrum
from babe2.dsp.bands import BANDS_PER_OCTAVE, run_around
from babe2.dsp.curves import SampledCurve
from babe2.dsp.spectra import decibels

INAUDIBLE_DB = -60.0  # a band this far below the loudest one adds little
TONE_DB = 15.0  # a tone that stands out by so much and stays is music, if it is no hum
HEARD = 2.5  # times the power of the noise: a band is music
LOWEST_WALL_HZ, STEPS_PER_OCTAVE = 1000.0, 24  # at which a wall is looked for
WALL_DB = 30.0  # by which it falls within a step; behind 105 machines without a wall, the steepest among them, 26
BEFORE = 4  # steps whose mean it falls from
RESAMPLED = 0.95  # of the highest frequency, above which resampling may have left nothing


@dataclass(frozen=True)
class RecordedBand:
    """The band of frequencies in which a recording holds music, and the level of the noise beneath."""

    low_hz: float | None  # None: no music stands out from the noise
    high_hz: float | None
    floor_db: float  # RMS of the noise, dB; -inf: there is none
    ends: bool | None = None  # whether the recording chain cut it off at `high_hz`; None: nobody has compared

    def as_dict(self) -> dict[str, float | bool | None]:
        """Its frequencies for a report, Hz, and whether it was cut off."""
        return {"low_hz": self.low_hz, "high_hz": self.high_hz, "ends": self.ends}

    @property
    def end_hz(self) -> float | None:
        """Where the recorded band ends, above which all must be generated; None where the music itself ends it."""
        return self.high_hz if self.ends else None


# What a person is told who has no checkpoint


def band_by_movement(powers: BandPowers) -> RecordedBand:
    """The band in which music comes and goes more than noise does, or holds steady tones that are no hum."""
    floor_db, moments = powers.quietest_db, powers.moments
    if not len(moments):
        return RecordedBand(None, None, floor_db)
    loud, quiet = decibels(moments.quantile(0.9, dim=0)), decibels(powers.floor)
    # In a narrow band noise comes and goes, too: on white noise by 9 dB at 28 Hz, 5 at 100, 2 at 1000.
    moves = loud - quiet > 6 + 8 / (0.035 * powers.bands.centres).sqrt()
    carries = (moves | _holds_tones(powers)) & (loud > loud.max() + INAUDIBLE_DB)
    if not carries.any():
        return RecordedBand(None, None, floor_db)
    places = carries.nonzero().flatten().numpy()
    # A gap of up to an octave is the music's own; what lies beyond a wider one is a whistle or a rumble.
    groups = np.split(places, np.flatnonzero(np.diff(places) > BANDS_PER_OCTAVE) + 1)
    loudest = int(torch.where(carries, loud, -math.inf).argmax())
    (group,) = (group for group in groups if loudest in group)
    return RecordedBand(float(powers.bands.low[group[0]]), float(powers.bands.high[group[-1]]), floor_db)


def _holds_tones(powers: BandPowers) -> Tensor:
    """Which bands (K,) hold a steady tone: music that does not move, an organ's, say."""
    tones = powers.fine_hertz[prominence_db(powers.steady) > TONE_DB]
    if hum := mains_hum(powers.fine_hertz, powers.steady):
        order = tones / hum["frequency_hz"]
        tones = tones[((order - order.round()).abs() > 0.05) | (order > 10)]
    return powers.bands.holding(tones).any(dim=0)


# What the baseline goes by


def band_by_level(spectrum: Spectrum) -> RecordedBand:
    """The band around 1 kHz in which more is heard than noise; the whole of it where nothing is."""
    first, last = heard_knots(spectrum)
    low_hz = float(spectrum.hertz[first])
    return RecordedBand(low_hz, max(_end_hz(spectrum, last), low_hz), noise_level_db(spectrum.noise_curve))


def heard_knots(spectrum: Spectrum) -> tuple[int, int]:
    """The first and the last band of music, going outward from the one next to 1 kHz; all where there is none."""
    clear = spectrum.beyond(0.0) > HEARD * spectrum.noise  # without clicks
    if not clear.any():
        return 0, len(clear) - 1
    away = (spectrum.hertz.log2() - math.log2(1000)).abs()
    return run_around(clear, int(away.masked_fill(~clear, math.inf).argmin()))


def _end_hz(spectrum: Spectrum, last: int) -> float:
    """To where the music of the `last` band heard reaches; bands are wide, and see an end from beyond it."""
    hertz, fine_hertz = spectrum.hertz, spectrum.fine_hertz
    place = torch.searchsorted(hertz, fine_hertz)  # of the band at or above each bin
    noise = spectrum.noise[place.clamp(max=len(hertz) - 1)]
    clear = ((place <= last + 1) & (spectrum.fine_power > HEARD * noise)).nonzero()
    return float(fine_hertz[clear.max()]) if len(clear) else float(hertz[last])


def noise_level_db(noise: SampledCurve) -> float:
    """The RMS level, dB, of noise given as power per sample (dB) over frequency."""
    hertz = torch.linspace(1.0, float(noise.frequencies[-1]), 1000, dtype=torch.float64)
    return float(decibels((10 ** (noise.gain_db(hertz) / 10)).mean()))


# What both go by


def wall_hz(power: Tensor, sample_rate: int) -> float:
    """Where all sound stops at once and for good, Hz; inf where it fades as with machines and music.

    `power` (F,) is the average spectrum from DC to half the sample rate.
    """
    highest = RESAMPLED * sample_rate / 2
    count = int(STEPS_PER_OCTAVE * math.log2(highest / LOWEST_WALL_HZ))
    edges = LOWEST_WALL_HZ * 2.0 ** (torch.arange(count + 1, dtype=torch.float64) / STEPS_PER_OCTAVE)
    places = (edges / (sample_rate / 2) * (len(power) - 1)).round().long()
    steps = torch.stack([power[low:high].double().mean() for low, high in pairwise(places.tolist())])
    before = steps.unfold(0, BEFORE, 1).mean(dim=1)[:-2]
    after = steps.flip(0).cummax(0).values.flip(0)[BEFORE + 1 :]  # beyond the step in which it falls
    walls = (decibels(before) - decibels(after) > WALL_DB).nonzero().flatten()
    return float(edges[BEFORE + walls[0]]) if len(walls) else math.inf
