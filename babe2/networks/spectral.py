"""The two-stage U-Net denoiser (Moliner and Välimäki 2022), and BEHM-GAN's generator, which is its first stage.

Both turn a complex spectrogram into another one. Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from babe2.config import SpectralArchitecture
from babe2.network import Modules, Poll

ENCODING = 10  # cosines that tell a row of the spectrogram which frequency it is
PARTS = 2  # real and imaginary
SHORTEST = 34  # frames: fewer cannot be mirrored at the bottom
POWER = 0.3  # to which magnitudes are raised for a network that masks: loud and quiet come nearer to each other
QUIETEST = 1e-12  # squared magnitude; what is weaker counts as nothing


class SpectralUNet(nn.Module):
    """Spectrograms are (B, 2, frames, bins), real and imaginary part."""

    def __init__(self, size: SpectralArchitecture) -> None:
        super().__init__()
        self.size, self.dtype = size, torch.float32
        widths, first = size.channels, size.channels[0]
        inside = PARTS
        if size.encoding:
            self.freq_encoding = FrequencyEncoding(size.bins)
            inside += ENCODING
        self.conv2d_1 = nn.Sequential(_conv(inside, first, 7), nn.ELU())
        self.encoder_s1 = Encoder(first, widths, size.layers)
        self.decoder_s1 = Decoder(widths, size.layers)
        if size.stages == 2:
            if size.attention:
                self.sam_1 = SupervisedAttention(first)
            self.conv2d_2 = nn.Sequential(_conv(inside, first, 7), nn.ELU())
            self.encoder_s2 = Encoder(2 * first, widths, size.layers)
            self.decoder_s2 = Decoder(widths, size.layers)
        self.finalblock = FinalBlock(first)
        if size.weight_norm:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    weight_norm(module, dim=0)

    def set_dtype(self, dtype: torch.dtype) -> SpectralUNet:
        """Sets the type the network is to multiply in; its weights stay as they are. Returns the network itself."""
        self.dtype = dtype
        return self

    def multiply_out(self) -> SpectralUNet:
        """Keeps each kernel instead of its length and direction, once training is over. Returns the network itself."""
        for module in self.modules():
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight").requires_grad_(False)
        return self

    def forward(self, spectrogram: Tensor, poll: Poll | None = None) -> Tensor:
        """The clean spectrogram."""
        if self.size.masks:
            return expanded(self.stages(compressed(spectrogram), poll)[0])
        return self.stages(spectrogram, poll)[0]

    def stages(self, spectrogram: Tensor, poll: Poll | None = None) -> tuple[Tensor, Tensor | None]:
        """The clean spectrogram, and the first stage's idea of it where there is one; compressed where it masks."""
        features = self.decoder_s1(*self.encoder_s1(self._entrance(self.conv2d_1, spectrogram), poll), poll)
        if self.size.stages == 1:
            return self._exit(self.finalblock.conv2(features), spectrogram), None
        first = None
        if self.size.attention:
            estimate = self.sam_1.conv2(features)
            first = _masked(spectrogram, estimate) if self.size.masks else estimate + spectrogram
            features = self.sam_1(features, first)
        second = torch.cat([self._entrance(self.conv2d_2, spectrogram), features], dim=1)
        features = self.decoder_s2(*self.encoder_s2(second, poll), poll)
        return self._exit(self.finalblock.conv2(features), spectrogram), first

    def _entrance(self, layer: nn.Sequential, spectrogram: Tensor) -> Tensor:
        """Features of the spectrogram beside its encoding, which is the same in all frames: convolved in one only."""
        conv = layer[0]
        assert isinstance(conv, nn.Conv2d)
        made = F.conv2d(_mirrored(spectrogram, 3), conv.weight[:, :PARTS], conv.bias)
        if self.size.encoding:
            over_time = conv.weight[:, PARTS:].sum(dim=2)
            encoding = F.pad(self.freq_encoding.fembeddings.T[None], (3, 3), mode="reflect")
            made = made + F.conv1d(encoding, over_time)[:, :, None]
        return F.elu(made, inplace=True)

    def _exit(self, made: Tensor, spectrogram: Tensor) -> Tensor:
        return _masked(spectrogram, made) if self.size.masks else made


class FrequencyEncoding(nn.Module):
    """Tells every bin its frequency, beside the spectrogram."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        # By numpy, as torch would import its compiler for this on the meta device, which takes seconds.
        place = np.arange(bins, dtype=np.float32)[:, None] / np.float32(bins - 1)
        octaves = np.cos(np.float32(np.pi) * 2 ** np.arange(ENCODING, dtype=np.float32) * place)
        self.fembeddings = nn.Parameter(torch.from_numpy(octaves))  # (bins, 10), trained with the rest


class DenseBlock(nn.Module):
    """Convolutions, each of which sees what all before it have made; the last one's is the result."""

    def __init__(self, inside: int, outside: int, layers: int) -> None:
        super().__init__()
        self.H: Modules[nn.Sequential] = Modules(
            nn.Sequential(_conv(inside + layer * outside, outside, 3), nn.ELU()) for layer in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """What each layer's result gives to all later ones is convolved at once, and added up: nothing is joined."""
        convs = [conv for layer in self.H for conv in layer if isinstance(conv, nn.Conv2d)]
        width, bias = convs[0].out_channels, torch.cat([conv.bias for conv in convs if conv.bias is not None])
        kernels = torch.cat([conv.weight[:, -x.shape[1] :] for conv in convs])
        sums = F.conv2d(_mirrored(x, 1), kernels, bias)
        made = F.elu(sums[:, :width])
        for layer in range(1, len(convs)):
            # A layer's kernels stand in the order newest first.
            kernels = torch.cat(
                [conv.weight[:, width * age : width * (age + 1)] for age, conv in enumerate(convs[layer:])]
            )
            sums = sums[:, width:] + F.conv2d(_mirrored(made, 1), kernels)
            made = F.elu(sums[:, :width])
        return made


class IntermediateBlock(nn.Module):
    """A dense block beside a plain way through."""

    def __init__(self, inside: int, outside: int, layers: int) -> None:
        super().__init__()
        self.tfc = DenseBlock(inside, outside, layers)
        self.conv2d_res = nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.tfc(x) + self.conv2d_res(x)


class Encoder(nn.Module):
    """Halves frames and bins level by level."""

    def __init__(self, inside: int, widths: tuple[int, ...], layers: int) -> None:
        super().__init__()
        inputs = (inside, *widths[1:-1])
        self.eblocks: Modules[EncoderBlock] = Modules(
            EncoderBlock(each, width, below, layers)
            for each, width, below in zip(inputs, widths[:-1], widths[1:], strict=True)
        )
        self.i_block = IntermediateBlock(widths[-1], widths[-1], layers)

    def forward(self, x: Tensor, poll: Poll | None) -> tuple[Tensor, list[Tensor]]:
        """What is at the bottom, and what each level has kept on the way down."""
        kept = []
        for block in self.eblocks:
            if poll is not None:
                poll()
            x, skipped = block(x)
            kept.append(skipped)
        return self.i_block(x), kept


class EncoderBlock(nn.Module):
    def __init__(self, inside: int, width: int, below: int, layers: int) -> None:
        super().__init__()
        self.i_block = IntermediateBlock(inside, width, layers)
        self.conv2d_2 = nn.Sequential(nn.Conv2d(width, below, 4, stride=2, padding=2, padding_mode="reflect"), nn.ELU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.i_block(x)
        return self.conv2d_2(x), x


class Decoder(nn.Module):
    """Doubles frames and bins level by level, beside what the encoder has kept."""

    def __init__(self, widths: tuple[int, ...], layers: int) -> None:
        super().__init__()
        self.dblocks: Modules[DecoderBlock] = Modules(
            DecoderBlock(below, width, layers) for width, below in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor, kept: list[Tensor], poll: Poll | None) -> Tensor:
        for block in reversed(self.dblocks):
            if poll is not None:
                poll()
            x = block(x, kept.pop())  # nothing is held longer than it is needed
        return x


class DecoderBlock(nn.Module):
    def __init__(self, below: int, width: int, layers: int) -> None:
        super().__init__()
        self.tconv_1 = nn.Sequential(nn.ConvTranspose2d(below, width, 4, stride=2), nn.ELU())
        self.projection = nn.Conv2d(below, width, 1)
        self.i_block = IntermediateBlock(2 * width, width, layers)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        grown = self.tconv_1(x)
        plain = F.interpolate(self.projection(x), scale_factor=2, mode="nearest")  # which commutes with a 1 x 1 kernel
        x = _middle(grown, plain) + plain
        return self.i_block(torch.cat([_middle(x, kept), kept], dim=1))


class SupervisedAttention(nn.Module):
    """The first stage's estimate, and its features weighed by it for the second stage."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, width, 3)
        self.conv2 = _conv(width, PARTS, 3)
        self.conv3 = _conv(PARTS, width, 3)

    def forward(self, features: Tensor, estimate: Tensor) -> Tensor:
        return self.conv1(features) * torch.sigmoid(self.conv3(estimate)) + features


class FinalBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv2 = _conv(width, PARTS, 3)


def _conv(inside: int, outside: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, padding=kernel // 2, padding_mode="reflect")


def _mirrored(x: Tensor, width: int) -> Tensor:
    return F.pad(x, (width, width, width, width), mode="reflect")


def _masked(spectrogram: Tensor, change: Tensor) -> Tensor:
    """A spectrogram (B, 2, frames, bins), each place times a complex number; where the change is nothing, it stays."""
    real, imaginary = spectrogram.unbind(1)
    by, turned = change.unbind(1)
    by = 1 + by
    return torch.stack([real * by - imaginary * turned, real * turned + imaginary * by], dim=1)


def compressed(spectrogram: Tensor) -> Tensor:
    """A spectrogram (B, 2, frames, bins) whose magnitudes are raised to `POWER`."""
    return spectrogram * (spectrogram.square().sum(dim=1, keepdim=True) + QUIETEST) ** ((POWER - 1) / 2)


def expanded(spectrogram: Tensor) -> Tensor:
    """The inverse of `compressed`."""
    return spectrogram * spectrogram.square().sum(dim=1, keepdim=True) ** ((1 / POWER - 1) / 2)


def _middle(x: Tensor, like: Tensor) -> Tensor:
    """The middle of x (..., frames, bins), as large as another."""
    offsets = [(large - small) // 2 for large, small in zip(x.shape[2:], like.shape[2:], strict=True)]
    return x[:, :, offsets[0] : offsets[0] + like.shape[2], offsets[1] : offsets[1] + like.shape[3]]


# The spectrogram

WINDOW, HOP = 1024, 256  # samples


def spectrogram(x: Tensor) -> Tensor:
    """x (B, T) as a spectrogram (B, 2, T // 256 + 1, 513)."""
    padded = F.pad(x, (0, WINDOW))
    complex_ = torch.stft(padded, WINDOW, HOP, window=_hamming(x), center=False, return_complex=True)
    return torch.view_as_real(complex_).permute(0, 3, 2, 1)


def sound(spectrogram: Tensor) -> Tensor:
    """The sound (B, 1024 + 256 (frames - 1)) of a spectrogram (B, 2, frames, 513): the inverse, and longer."""
    complex_ = torch.view_as_complex(spectrogram.permute(0, 3, 2, 1).contiguous())
    window = _hamming(spectrogram)
    frames = torch.fft.irfft(complex_, WINDOW, dim=1) * window[:, None]  # (B, 1024, frames)
    samples = WINDOW + HOP * (frames.shape[2] - 1)
    weights = (window**2)[:, None].expand(-1, frames.shape[2])[None]
    added, norm = (F.fold(part, (1, samples), (1, WINDOW), stride=(1, HOP)).flatten(1) for part in (frames, weights))
    return added / norm


def _hamming(like: Tensor) -> Tensor:
    return torch.hamming_window(WINDOW, dtype=like.dtype, device=like.device)


def shortest_samples() -> int:
    """Samples that are needed at least; shorter sound is padded."""
    return HOP * (SHORTEST - 1)
