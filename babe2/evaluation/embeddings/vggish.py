"""VGGish (Hershey et al. 2017), the embedding of the published Frechet audio distance, with weights that are given.

They are those of torchvggish, converted from Google's: `vggish-10086976.pth`. As in fadtk (Gui et al. 2024) neither the
last rectifier nor the principal components follow.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from babe2.dsp.spectra import frames
from babe2.errors import RestorationError
from babe2.evaluation.embeddings.base import digest
from babe2.evaluation.embeddings.mel import htk_bands

CONVOLUTIONS = (0, 3, 6, 8, 11, 13)  # in the published list of layers, each behind the last with a rectifier
POOLED = (0, 3, 8, 13)  # behind these everything is halved
DENSE = (0, 2, 4)
FRAMES, BANDS = 96, 64
FRAME, STEP, FFT = 400, 160, 512  # samples at 16 kHz
OFFSET = 0.01


class VGGish:
    """One row for each 0.96 s."""

    name: ClassVar[str] = "vggish"
    sample_rate: ClassVar[int] = 16000
    window: ClassVar[int] = (FRAMES - 1) * STEP + FRAME
    hop: ClassVar[int] = FRAMES * STEP

    def __init__(self, weights: dict[str, Tensor], identity: str, device: str = "cpu") -> None:
        self.identity = identity
        self._network = _network(weights).to(device).eval()
        self._device = device
        self._bands = htk_bands(self.sample_rate, FFT, BANDS, 125, 7500)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> VGGish:
        """From a file of torchvggish's; nothing in it is executed. A name like theirs tells its checksum, too."""
        try:
            checksum = digest(path)
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except OSError as error:
            raise RestorationError(f"{path} cannot be read ({error.strerror}). Give the file of VGGish.") from None
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError):
            raise RestorationError(f"{path.name} holds no weights. Give vggish-10086976.pth of torchvggish.") from None
        promised = re.fullmatch(r"vggish-([0-9a-f]{8})\.pth", path.name)
        if promised and not checksum.startswith(promised[1]):
            raise RestorationError(f"{path.name} is damaged: it is not the file that its name promises. Fetch it anew.")
        try:
            return cls(weights, f"vggish {checksum}", device)
        except (KeyError, IndexError, TypeError, AttributeError, RuntimeError):
            raise RestorationError(f"{path.name} is no VGGish. Give vggish-10086976.pth of torchvggish.") from None

    def __call__(self, windows: Tensor) -> Tensor:
        hann = torch.hann_window(FRAME)
        # torch lays a short window amid its frame, the published program at its beginning: the size is the same.
        spread = frames(torch.nn.functional.pad(windows.cpu(), ((FFT - FRAME) // 2,) * 2), FFT, STEP, hann)
        heard = torch.log(spread.abs().mT @ self._bands + OFFSET)  # (B, 96, 64)
        return self._network(heard[:, None].to(self._device))


class _LastChannels(nn.Module):
    """(B, C, N, bands) -> (B, N * bands * C), as the weights have it from TensorFlow."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def _network(weights: dict[str, Tensor]) -> nn.Sequential:
    """The network in the sizes that its weights have."""
    layers: list[nn.Module] = []
    for i in CONVOLUTIONS:
        kernel = weights[f"features.{i}.weight"]
        layer: nn.Module = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        layer.load_state_dict({"weight": kernel, "bias": weights[f"features.{i}.bias"]})
        layers += [layer, nn.ReLU(), *([nn.MaxPool2d(2)] if i in POOLED else [])]
    layers.append(_LastChannels())
    for i in DENSE:
        kernel = weights[f"embeddings.{i}.weight"]
        layer = nn.Linear(kernel.shape[1], kernel.shape[0])
        layer.load_state_dict({"weight": kernel, "bias": weights[f"embeddings.{i}.bias"]})
        layers += [layer, *([] if i == DENSE[-1] else [nn.ReLU()])]
    return nn.Sequential(*layers)
