"""The liveliest place of a recording: a good excerpt to begin with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.band_powers import power_of_two
from babe2.analysis.clipping import clipped_moments
from babe2.dsp.bands import Bands
from babe2.dsp.spectra import QUIETEST, power_spectra
from babe2.dsp.waveform import as_channels, as_sample_rate

LIVELY_HZ = (200.0, 3000.0)  # where every instrument and every old machine has something to say
LIVELY_FRAMES = 16_000  # in a longer recording there are gaps between them


def liveliest(audio: npt.ArrayLike | Tensor, sample_rate: float, seconds: float) -> float:
    """Where the liveliest excerpt of a recording (samples,) or (channels, samples) begins, in seconds.

    Lively is where much sounds and much sets in. Neither clicks nor what is clipped count.
    """
    rate = as_sample_rate(sample_rate)
    array = np.atleast_2d(audio.detach().cpu().float().numpy() if isinstance(audio, Tensor) else np.asarray(audio))
    as_channels(array[..., :1], rate)
    samples, length = array.shape[1], power_of_two(0.025 * rate)
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
    """How much happens (moments,) in short parts (channels, moments, samples) that begin every `hop` samples."""
    length = moments.shape[2]
    weights = Bands.below_nyquist(sample_rate).between(*LIVELY_HZ).shares(sample_rate, length // 2 + 1).float()
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
    return activity.index_fill(0, clipped_moments(moments), 0.0)


def _without_peaks(moments: Tensor) -> Tensor:
    """Moments (..., samples) cut off where clicks, but hardly ever music, rise above the rest."""
    limit = 4 * moments.abs().mean(dim=-1, keepdim=True)
    return moments.clamp(-limit, limit)


def _middle_of_three(x: Tensor) -> Tensor:
    """The median of each row of (rows, columns) and its two neighbours."""
    around = torch.cat([x[:1], x, x[-1:]])
    before, here, after = around[:-2], around[1:-1], around[2:]
    return torch.maximum(torch.minimum(before, here), torch.minimum(torch.maximum(before, here), after))
