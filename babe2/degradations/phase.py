"""Phase retrieval: of a recording only the magnitudes of its short-time spectrum are trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from babe2.degradations.base import Degradation
from babe2.degradations.described import Described, Place, Treats

FFT, HOP = 1024, 256
ROUNDS = 32  # of Griffin and Lim's algorithm, which makes a sound of magnitudes
SMALLEST = 1e-12  # keeps the magnitude of nothing differentiable


class Magnitudes(Degradation):
    """The magnitudes |X| of overlapping frames, one after the other (B, F N)."""

    def __call__(self, clean: Tensor) -> Tensor:
        spectrum = spectrogram(clean)
        return (spectrum.real**2 + spectrum.imag**2 + SMALLEST).sqrt().flatten(1)

    def trusted(self, recording: Tensor) -> Tensor:
        return self(recording)


@dataclass(frozen=True)
class Phase(Described):
    """A sound whose phases were lost, as one is that was made from a picture of its spectrum."""

    name: ClassVar[str] = "phase"
    form: ClassVar[str] = "phase"

    @property
    def treats(self) -> Treats:
        return "sounds"

    @property
    def text(self) -> str:
        return "phase"

    def at(self, place: Place) -> Magnitudes:
        return Magnitudes()

    def applied(self, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        """What Griffin and Lim's algorithm makes of the magnitudes, from phases drawn at random."""
        magnitude = spectrogram(audio).abs()
        drawn = torch.rand(magnitude.shape, generator=generator, device=audio.device)
        phases = torch.polar(torch.ones_like(drawn), 2 * torch.pi * drawn)
        for _ in range(ROUNDS):
            sound = _sound(magnitude * phases, audio.shape[-1])
            spectrum = spectrogram(sound)
            phases = spectrum / spectrum.abs().clamp(min=SMALLEST)
        return _sound(magnitude * phases, audio.shape[-1])


def spectrogram(x: Tensor) -> Tensor:
    """The frames' spectra (B, F, N) of x (B, T), with the energy of x, with silence around it."""
    window = torch.hann_window(FFT, device=x.device, dtype=x.dtype)
    scale = (FFT / (2 * HOP)) ** 0.5
    return torch.stft(x, FFT, HOP, window=window, pad_mode="constant", normalized=True, return_complex=True) / scale


def _sound(spectrum: Tensor, length: int) -> Tensor:
    window = torch.hann_window(FFT, device=spectrum.device, dtype=spectrum.real.dtype)
    scale = (FFT / (2 * HOP)) ** 0.5
    return torch.istft(spectrum * scale, FFT, HOP, window=window, normalized=True, length=length)
