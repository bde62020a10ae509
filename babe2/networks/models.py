"""The networks by name and size, and the transforms they stand on."""

from __future__ import annotations

from babe2.config import Architecture, BandwiseArchitecture, MatrixArchitecture, Model, SpectralArchitecture
from babe2.cqt import ConstantQ, next_legal_length
from babe2.network import CQTDiffPlus
from babe2.networks import folded_cqt, matrix_cqt
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.cqtdiff import CQTDiff
from babe2.networks.folded_cqt import FoldedConstantQ
from babe2.networks.matrix_cqt import MatrixConstantQ
from babe2.networks.spectral import SpectralUNet, shortest_samples

Network = CQTDiffPlus | BandwiseUNet | CQTDiff  # of a prior
Transform = ConstantQ | FoldedConstantQ | MatrixConstantQ

CQTDIFF = MatrixArchitecture((32, 64, 64, 128, 128, 128))

# The published networks, and the compact one that `piano-small` is. Nowhere else are these numbers said.
MODELS = {
    "piano": Model(
        Architecture((64, 96, 96, 128, 128, 256, 256), (2, 3, 4, 5, 6, 7, 7), bins_per_octave=64),
        sample_rate=22050,
        segment=184184,
        sigma_data=0.063,
    ),
    "voice": Model(
        Architecture((32, 32, 64, 64, 128, 128, 256, 256), (1, 3, 4, 5, 5, 6, 6, 7), bins_per_octave=32),
        sample_rate=44100,
        segment=262144,
        sigma_data=1.0,
        column="voice",
    ),
    "compact": Model(
        BandwiseArchitecture((128, 192, 256), (2, 2, 2)),
        sample_rate=22050,
        segment=45056,
        sigma_data=0.08,
        column="compact",
    ),
    "cqtdiff-22k": Model(CQTDIFF, sample_rate=22050, segment=65536, sigma_data=0.057),
    "cqtdiff-44k": Model(CQTDIFF, sample_rate=44100, segment=44100, sigma_data=0.057),
}

# The published denoiser; a recording's level is not in its checkpoint, and is that of the music it was trained on.
DENOISER = Model(
    SpectralArchitecture((64, 64, 64, 128, 128, 256, 512)), sample_rate=22050, segment=110250, sigma_data=0.1
)


def build_network(model: Model) -> Network | SpectralUNet:
    """Returns the network of a model; its weights are not yet those of any training."""
    if isinstance(model.architecture, SpectralArchitecture):
        return SpectralUNet(model.architecture)
    if isinstance(model.architecture, BandwiseArchitecture):
        return BandwiseUNet(model.architecture, model.sample_rate)
    if isinstance(model.architecture, MatrixArchitecture):
        return CQTDiff(model.architecture)
    return CQTDiffPlus(model.architecture)


def build_transform(model: Model, length: int) -> Transform:
    """Returns the transform of a model, for segments of `length` samples."""
    size = model.architecture
    if isinstance(size, BandwiseArchitecture):
        return FoldedConstantQ(model.sample_rate, length, size.octaves, size.bins_per_octave)
    if isinstance(size, MatrixArchitecture):
        return MatrixConstantQ(length, size.octaves, size.bins_per_octave, size.halvings)
    assert isinstance(size, Architecture)  # a U-Net over spectrograms has a transform of its own
    return ConstantQ(model.sample_rate, length, size.octaves, size.bins_per_octave, model.window_beta)


def next_length(model: Model, length: int) -> int:
    """Returns the shortest segment of at least `length` samples that the model's transform accepts."""
    size = model.architecture
    if isinstance(size, BandwiseArchitecture):
        return folded_cqt.next_length(length)
    if isinstance(size, MatrixArchitecture):
        return matrix_cqt.next_length(length, size.octaves, size.bins_per_octave, size.halvings)
    if isinstance(size, SpectralArchitecture):
        return max(length, shortest_samples())
    assert isinstance(size, Architecture)
    return next_legal_length(model.sample_rate, length, size.octaves, size.bins_per_octave)
