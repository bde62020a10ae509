"""What BEHM-GAN's generator is taught by: a loss on its spectrograms, four discriminators, and measures of progress.

There is no trainer for it here: these are the parts that a training loop is made of, as published.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from babe2.network import Modules

RESOLUTIONS = (512, 1024, 2048, 4096)  # samples of a frame; every frame begins a quarter after the one before
LEAST_POWER = 1e-7
FREQUENCY_WEIGHT, ADVERSARIAL_WEIGHT = 0.1, 0.25

SCALES = 4  # each hears half the rate of the one before
SLOPE = 0.1  # of the leaky ReLU

MEASURED_FRAME, MEASURED_HOP = 2048, 512  # samples
LEAST_MEASURED = 1e-8


# The loss on spectrograms


class SpectralLoss(NamedTuple):
    """How far a guess is from the music at each resolution, (resolutions,) each."""

    log_magnitude: Tensor  # mean distance of the logarithms
    convergence: Tensor  # norm of the difference of the magnitudes, relative to the music's

    def total(self) -> Tensor:
        return (self.log_magnitude + self.convergence).mean()


def spectral_loss(guess: Tensor, music: Tensor, resolutions: Sequence[int] = RESOLUTIONS) -> SpectralLoss:
    """Compares magnitudes of guess and music (B, T); phases are left to the discriminators."""
    distances, convergences = [], []
    for frame in resolutions:
        found, wanted = (_magnitude(x, frame, frame // 4) for x in (guess, music))
        distances.append((wanted.log() - found.log()).abs().mean())
        convergences.append((wanted - found).norm() / wanted.norm())
    return SpectralLoss(torch.stack(distances), torch.stack(convergences))


def _magnitude(x: Tensor, frame: int, hop: int) -> Tensor:
    """(B, bins, frames), never so small that its logarithm would be far away."""
    window = torch.hamming_window(frame, dtype=x.dtype, device=x.device)
    spectrum = torch.stft(x, frame, hop, window=window, return_complex=True)
    # Not `abs`, which has no slope where nothing is heard.
    return (spectrum.real**2 + spectrum.imag**2).clamp(min=LEAST_POWER).sqrt()


# The discriminators


class MultiScaleDiscriminator(nn.Module):
    """Four judges, who hear the sound at the full rate, at half, at a quarter and at an eighth of it."""

    def __init__(self, scales: int = SCALES) -> None:
        super().__init__()
        self.discriminators: Modules[ScaleDiscriminator] = Modules(ScaleDiscriminator() for _ in range(scales))

    def forward(self, sound: Tensor) -> list[Tensor]:
        """Each judge's verdicts (B, n) on stretches of sound (B, T): near 1 where it sounds like music."""
        verdicts, heard = [], sound[:, None]
        for judge in self.discriminators:
            verdicts.append(judge(heard))
            heard = F.avg_pool1d(heard, 4, 2)
        return verdicts


class ScaleDiscriminator(nn.Module):
    """MelGAN's discriminator: convolutions that see more and more of the sound, (B, 1, T) -> (B, T / 256)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 64, 256, 1024, 1024)
        shrinking = (
            nn.Conv1d(wide, wider, 41, stride=4, groups=wide // 4, padding=20)
            for wide, wider in itertools.pairwise(widths)
        )
        layers = (nn.Conv1d(1, 16, 15, padding=7), *shrinking, nn.Conv1d(1024, 1024, 5, padding=2))
        self.convs: Modules[nn.Conv1d] = Modules(weight_norm(layer) for layer in layers)
        self.conv_post = weight_norm(nn.Conv1d(1024, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.convs:
            x = F.leaky_relu(layer(x), SLOPE)
        return self.conv_post(x).flatten(1)


def generator_loss(verdicts: Sequence[Tensor]) -> Tensor:
    """How far the judges' verdicts on what was made are from taking it for music (least squares)."""
    return sum(((1 - each) ** 2).mean() for each in verdicts)  # type: ignore[return-value]


def discriminator_loss(on_music: Sequence[Tensor], on_made: Sequence[Tensor]) -> Tensor:
    """How far the judges are from telling music, which is 1, from what was made, which is 0."""
    return generator_loss(on_music) + sum((each**2).mean() for each in on_made)


# Measures


def snr_db(guess: Tensor, music: Tensor) -> Tensor:
    """How much louder music (B, T) is than what is wrong with a guess at it (B,)."""
    least = torch.finfo(torch.float32).eps
    return 10 * torch.log10((music.square().mean(-1) + least) / ((guess - music).square().mean(-1) + least))


def log_spectral_distance(guess: Tensor, music: Tensor) -> Tensor:
    """How far the spectrum of a guess is from that of music (B, T), on average over time (B,).

    As published it compares log10 of powers, and so is a tenth of what others give in dB.
    """
    found, wanted = (_log_power(x) for x in (guess, music))
    return ((wanted - found).square().mean(dim=1) + LEAST_MEASURED).sqrt().mean(dim=-1)


def _log_power(x: Tensor) -> Tensor:
    """(B, bins, frames) of x (B, T), to whose end a frame of silence is added, as published."""
    x = F.pad(x, (0, MEASURED_FRAME))
    window = torch.hamming_window(MEASURED_FRAME, dtype=x.dtype, device=x.device)
    spectrum = torch.stft(x, MEASURED_FRAME, MEASURED_HOP, window=window, center=False, return_complex=True)
    return torch.log10(spectrum.real**2 + spectrum.imag**2 + LEAST_MEASURED)
