"""Embeddings whose weights lie on the Hugging Face Hub: CLAP and EnCodec, through the transformers package (an extra).

The weights are fetched once and used from the Hub's cache after; a folder that holds such a model is as good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from babe2.errors import RestorationError
from babe2.extras import require

EXTRA = "embeddings"


def _transformers() -> Any:
    """The package, or a sentence why it cannot be used."""
    require(EXTRA)
    try:
        import transformers

        transformers.ClapAudioModelWithProjection  # noqa: B018 (it is imported when it is asked for, with what it needs)
    except (ImportError, OSError, RuntimeError) as error:
        raise RestorationError(
            f"The package transformers does not run here ({error!s:.200}). Mend it, or take the embedding musicnn."
        ) from error
    return transformers


def _had(source: str, offline: bool, *loaders: Callable[..., Any]) -> list[Any]:
    """What transformers loads from a Hub repository or a folder; it reads safetensors, or numbers alone."""
    try:
        return [loader(source, local_files_only=offline) for loader in loaders]
    except (OSError, ValueError) as error:
        raise RestorationError(
            f"{source} could not be had: it is not on this computer, and the Hugging Face Hub was not reached. "
            "Connect to the network, or take the embedding musicnn or log-mel, which need none."
        ) from error


def _identity(source: str, model: Any) -> str:
    return f"{source} {getattr(model.config, '_commit_hash', None) or ''}".strip()


class Clap:
    """CLAP (Wu et al. 2023): a row for ten seconds, one each second, as near as words that say the same would be."""

    name: ClassVar[str] = "clap"
    source: ClassVar[str] = "laion/clap-htsat-unfused"

    def __init__(self, model: Any, features: Any, source: str = source, device: str = "cpu") -> None:
        self._model, self._features, self._device = model.to(device).eval(), features, device
        self.identity = _identity(source, model)
        self.sample_rate = int(features.sampling_rate)
        self.window, self.hop = int(features.nb_max_samples), self.sample_rate

    @classmethod
    def load(cls, source: str = source, device: str = "cpu", offline: bool = False) -> Clap:
        """From a Hub repository or a folder."""
        package = _transformers()
        loaders = package.ClapAudioModelWithProjection, package.ClapFeatureExtractor
        model, features = _had(source, offline, *(loader.from_pretrained for loader in loaders))
        return cls(model, features, source, device)

    def __call__(self, windows: Tensor) -> Tensor:
        sounds = list(windows.cpu().numpy())
        heard = self._features(sounds, sampling_rate=self.sample_rate, return_tensors="pt").to(self._device)
        return self._model(**heard).audio_embeds


class Encodec:
    """EnCodec (Defossez et al. 2023): what its encoder says of every 75th of a second, before it is made coarse."""

    name: ClassVar[str] = "encodec"
    source: ClassVar[str] = "facebook/encodec_24khz"

    def __init__(self, model: Any, source: str = source, device: str = "cpu") -> None:
        if model.config.audio_channels != 1:
            raise RestorationError(f"{source!s:.200} hears two channels. Take an EnCodec for one, of 24 kHz.")
        self._model, self._device = model.to(device).eval(), device
        self.identity = _identity(source, model)
        self.sample_rate = int(model.config.sampling_rate)
        self.window = self.hop = self.sample_rate

    @classmethod
    def load(cls, source: str = source, device: str = "cpu", offline: bool = False) -> Encodec:
        """From a Hub repository or a folder."""
        (model,) = _had(source, offline, _transformers().EncodecModel.from_pretrained)
        return cls(model, source, device)

    def __call__(self, windows: Tensor) -> Tensor:
        frames = self._model.encoder(windows[:, None].to(self._device))  # (B, D, N)
        return torch.cat(list(frames.mT))
