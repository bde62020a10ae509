"""A recording's average spectrum beside that of the music a checkpoint knows."""

from __future__ import annotations

from torch import Tensor

from babe2.dsp.bands import Bands
from babe2.dsp.spectra import ReferenceLtas, decibels

MATCHED_HZ = (200.0, 2000.0)  # spectra are brought to equal level here before they are compared


def ratio_to_reference(bands: Bands, level: Tensor, reference: ReferenceLtas) -> list[float | None]:
    """The level (K,) over the reference's in each band, dB, the two being equal from 200 Hz to 2 kHz on average."""
    rate = reference.sample_rate
    expected = reference.power @ bands.shares(rate, len(reference.power))
    known = (bands.high < rate / 2) & (expected > 0) & (level > 0)
    matched = known & (bands.centres > MATCHED_HZ[0]) & (bands.centres < MATCHED_HZ[1])
    if not matched.any():
        return [None] * len(level)
    ratio = decibels(level / level[matched].sum()) - decibels(expected / expected[matched].sum())
    return [round(db, 2) if there else None for db, there in zip(ratio.tolist(), known.tolist(), strict=True)]
