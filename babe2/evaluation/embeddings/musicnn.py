"""musicnn (Pons and Serra 2019), a tagger of music whose weights come with its package (ISC).

The package asks for an old TensorFlow; only its files are read, and the network is written anew after its description:
filters as tall as timbres and as long as rhythms, three residual layers over time, pooling, a dense layer. A row is
what that dense layer gives, 200 numbers for three seconds. It hears 16 kHz, so it is deaf above 8 kHz.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.dsp.spectra import power_spectrogram
from babe2.errors import RestorationError
from babe2.evaluation.embeddings.base import digest, found_beside
from babe2.evaluation.embeddings.mel import at_sixteen_bits, slaney_bands
from babe2.evaluation.embeddings.tensorflow_files import DATA, tensors

MODEL = "MTT_musicnn"  # trained on MagnaTagATune, which knows pianos, operas and choirs
FRAMES, FFT, HOP, BANDS = 187, 512, 256, 96
LOUDNESS = 10_000
ALMOST_NOTHING = 1e-3  # TensorFlow's, in a batch normalisation
INSTALL = 'pip install --no-deps "musicnn==0.1.0"'


class Musicnn:
    """One row for each three seconds, which overlap by half."""

    name: ClassVar[str] = "musicnn"
    sample_rate: ClassVar[int] = 16000
    window: ClassVar[int] = (FRAMES - 1) * HOP + FFT
    hop: ClassVar[int] = FRAMES // 2 * HOP

    def __init__(self, weights: dict[str, Tensor], identity: str, device: str = "cpu") -> None:
        self.identity = identity
        self._weights = {name: value.to(device) for name, value in weights.items()}
        self._bands, self._device = slaney_bands(self.sample_rate, FFT, BANDS), device

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "cpu") -> Musicnn:
        """From the installed package, or from a folder that holds a model of its."""
        folder = folder or found_beside("musicnn", MODEL)
        if folder is None:
            raise RestorationError(f"The embedding musicnn needs the files of the package musicnn: {INSTALL}")
        try:
            found = tensors(folder)
            needed = [name for name in found if "Adam" not in name and "power" not in name]
            weights = {name: torch.from_numpy(found[name].copy()) for name in needed}
            network = cls(weights, f"musicnn {digest(folder / DATA)}", device)
            network(torch.zeros(1, cls.window))
        except OSError as error:
            raise RestorationError(f"{folder} cannot be read ({error.strerror}). {INSTALL}") from None
        except (ValueError, IndexError, KeyError, struct.error, RuntimeError, AssertionError):
            raise RestorationError(f"{folder} holds no model of musicnn that we can read. {INSTALL}") from None
        return network

    def __call__(self, windows: Tensor) -> Tensor:
        return self.heard(windows)[0]

    def heard(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (B, 200) of windows (B, window), and what each of 50 tags says of them (B, 50), 0 to 1."""
        power = power_spectrogram(windows.cpu(), FFT, HOP).mT @ self._bands
        x = torch.log10(LOUDNESS * at_sixteen_bits(power) + 1)[:, None].to(self._device)  # (B, 1, 187, 96)
        x = self._normalised(x, 0)
        timbres = [self._filtered(F.pad(x, (0, 0, 3, 3)), i).amax(dim=3) for i in (0, 1)]
        rhythms = [self._filtered(F.pad(x, (0, 0, *_both_sides(i))), i).amax(dim=3) for i in (2, 3, 4)]
        front = torch.cat([*timbres, *rhythms], dim=1)  # (B, 561, 187)
        first = self._over_time(front, 5)
        second = first + self._over_time(first, 6)
        third = second + self._over_time(second, 7)
        all_layers = torch.cat([front, first, second, third], dim=1)  # (B, 753, 187)
        # TensorFlow flattens (753, largest and mean): they take turns.
        pooled = torch.stack([all_layers.amax(dim=2), all_layers.mean(dim=2)], dim=2).flatten(1)
        rows = self._normalised(self._dense(self._normalised(pooled, 9), "dense").relu(), 10)
        return rows, self._dense(rows, "dense_1").sigmoid()

    def _filtered(self, x: Tensor, i: int) -> Tensor:
        """Convolution, rectifier and normalisation number i of x (B, C, N, bands)."""
        name = _numbered("conv2d", i)
        kernel = self._weights[f"{name}/kernel"].permute(3, 2, 0, 1)
        return self._normalised(F.conv2d(x, kernel, self._weights[f"{name}/bias"]).relu(), i + 1)

    def _over_time(self, x: Tensor, i: int) -> Tensor:
        """The same for x (B, C, N), of which each filter hears all channels."""
        return self._filtered(F.pad(x.mT[:, None], (0, 0, 3, 3)), i)[..., 0]

    def _normalised(self, x: Tensor, i: int) -> Tensor:
        name = _numbered("batch_normalization", i)
        parts = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, variance, gamma, beta = (self._weights[f"{name}/{part}"] for part in parts)
        return F.batch_norm(x, mean, variance, gamma, beta, eps=ALMOST_NOTHING)

    def _dense(self, x: Tensor, name: str) -> Tensor:
        return x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]


def _numbered(name: str, i: int) -> str:
    return f"{name}_{i}" if i else name


def _both_sides(i: int) -> tuple[int, int]:
    """What TensorFlow puts before and behind for filters of 128, 64 and 32 frames, so that none are lost."""
    length = 2 ** (9 - i)
    return length // 2 - 1, length // 2
