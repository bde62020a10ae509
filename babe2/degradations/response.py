"""Colouring: a recording through the response of a machine."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.curves import Curve
from babe2.dsp.spectra import amplitude, bin_frequencies


def coloured_by(audio: Tensor, sample_rate: int, response: Curve) -> Tensor:
    """audio (..., T) through a response, zero-phase: one FFT of the whole clip; nothing passes at DC."""
    length = audio.shape[-1]
    padded = (
        length + sample_rate + (length + sample_rate) % 2
    )  # a second of silence: the end must not ring into the start
    gain_db = response.gain_db(bin_frequencies(sample_rate, padded)[1:].double())
    gain = F.pad(amplitude(gain_db), (1, 0)).to(audio)
    return torch.fft.irfft(torch.fft.rfft(audio, padded) * gain, padded)[..., :length]
