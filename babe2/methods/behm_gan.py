"""BEHM-GAN (Moliner and Välimäki 2022): the band of a recording extended in one go.

A generator hears five seconds and gives them back with what lies above the recorded band. It was trained on music that
was low-passed near 3 kHz, with a little noise on top, so it expects a recording from which the noise has been removed,
and it is given that little noise. It asks no machine, follows no recording and makes the low band anew as well.

What is done otherwise than in the published program: the end of a recording is not lost, cross-fades add up to one,
noise has a seed, each channel is extended by itself, and the recording is brought to the level of the music that the
network was trained on, and back. The preset paper takes the mean of all channels at the level it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from babe2.config import FOLLOWING, Column, CutSettings, Model, SpectralArchitecture, setting
from babe2.dsp.curves import FLAT
from babe2.errors import RestorationError
from babe2.methods.base import Group, Method, SegmentMethod, Session, Span, Work
from babe2.networks.published_segments import OVERLAP, SEGMENT
from babe2.networks.spectral import shortest_samples
from babe2.prior import Prior
from babe2.sampler import Progress, Sampled

KEPT_HZ = 2500.0  # below which nearly every low-pass of its training left the music as it was


@dataclass(frozen=True)
class BehmGanSettings(CutSettings):
    """The published ones, but for the level."""

    added_noise: float = setting(
        0.001,
        FOLLOWING,
        "Noise added",
        "Standard deviation; the network was trained on music with this little on it",
        bounds=lambda spread: 0 <= spread <= 1,
    )


@dataclass(frozen=True)
class PublishedBehmGanSettings(BehmGanSettings):
    """The published ones."""

    def idle(self, response_known: bool = False) -> dict[str, str]:
        return super().idle(response_known) | {"level": "the preset paper takes a recording at the level it has"}


class BehmGan(SegmentMethod):
    """One evaluation of a generator for each segment."""

    name = "behm-gan"
    title = "BEHM-GAN"
    does = "the band in one go"
    settings_class = BehmGanSettings
    takes_response = False
    asks_a_prior = False
    settings: BehmGanSettings

    @classmethod
    def as_in(cls, preset: str) -> type[Method]:
        return PublishedBehmGan if preset == "paper" else cls

    @classmethod
    def preset(cls, column: Column, settings: Any, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        return {"overlap": OVERLAP / SEGMENT}

    def check(self, model: Model) -> None:
        size = model.architecture
        if not isinstance(size, SpectralArchitecture) or not size.extends:
            raise RestorationError(
                "This checkpoint is no generator of BEHM-GAN. Choose behm-gan-piano, behm-gan-strings or "
                "behm-gan-orchestra, or another method."
            )
        if self.settings.segment_length < shortest_samples():
            raise RestorationError(
                f"The generator hears {shortest_samples()} samples or more at once, not "
                f"{self.settings.segment_length}. Choose a longer segment_length."
            )

    def span(self, samples: int) -> Span:
        return Span(self.settings.segment_length)

    def starts(self, samples: int) -> list[int]:
        # The last one hangs over: fitted in, it would be cross-faded with its neighbour for seconds, and where both
        # have imagined something else, that is dull.
        return self._starts(samples, last_fits=False)

    @property
    def steps(self) -> int:
        return 1

    def begin(self, work: Work) -> Session:
        return BehmGanSession(self, work)

    def level_factor(self, work: Work) -> Tensor:
        """The factors (C, 1) that bring each channel to the level that the network expects."""
        return work.level_factor(work.observation, self.settings.level)

    @torch.no_grad()
    def rehearse(self, prior: Prior, noisy: Tensor, sample_rate: int) -> Tensor:
        return prior(noisy, noisy.new_tensor(self.settings.added_noise))


class PublishedBehmGan(BehmGan):
    """The same as the published program does it."""

    settings_class = PublishedBehmGanSettings
    folds = True
    keeps_silence = False

    def level_factor(self, work: Work) -> Tensor:
        return torch.ones(work.observation.channels, 1, device=work.device)


class BehmGanSession(Session):
    """A recording of which nothing has to be known but its level."""

    def __init__(self, method: BehmGan, work: Work) -> None:
        self.method, self.work = method, work
        self.level = method.level_factor(work)

    def group(self, waiting: list[int], batch: int) -> list[int]:
        """One by one: an evaluation keeps a processor or a card busy, and takes gigabytes."""
        return waiting[:1]

    @torch.no_grad()
    def sample(self, group: Group) -> Sampled:
        work, spread = self.work, self.method.settings.added_noise
        heard = torch.cat([work.cut(work.observation, i) * self.level for i in group.segments])
        noisy = heard + spread * group.noise(False)(heard.shape)
        extended = torch.cat([work.denoise(channel[None], noisy.new_tensor(spread)) for channel in noisy])
        misfit = distance_below(KEPT_HZ, extended, heard, work.sample_rate)
        group.on_step(Progress(1, spread, None, extended, lambda: misfit))
        return Sampled(extended, FLAT, misfit)


def distance_below(hertz: float, extended: Tensor, heard: Tensor, sample_rate: int) -> float:
    """How far a result (B, T) is below a frequency from what was heard there, relative to that."""
    bins = round(hertz / sample_rate * heard.shape[-1])
    found, wanted = (torch.fft.rfft(x)[:, :bins] for x in (extended, heard))
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))
