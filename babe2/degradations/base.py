"""What a degradation is: what happened to the music on its way to the recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from babe2.dsp.curves import FLAT, Curve


class Degradation(ABC):
    """Turns music (B, T) into what would have been recorded of it, differentiably.

    It is an argument of every solver. `guided` asks for nothing but the call; a solver in closed form needs a
    `ClosedForm`; one that is not known yet is fitted along the way.
    """

    @property
    def response(self) -> Curve:
        """How it colours the music, as far as that is known; flat where it does not."""
        return FLAT

    @property
    def linear(self) -> bool:
        """Whether two sounds together are degraded to what they are degraded to one by one."""
        return False

    @abstractmethod
    def __call__(self, clean: Tensor) -> Tensor:
        """The recording (B, T) of `clean` music (B, T)."""

    def trusted(self, recording: Tensor) -> Tensor:
        """What of a recording (B, T) the degraded music is compared with; all of it, unless only a part is true."""
        return recording

    def fit(self, clean: Tensor, observation: Tensor) -> None:  # noqa: B027 (few have to)
        """Learns from an estimate of the music and the recording of it; what is known already learns nothing."""


class ClosedForm(Degradation):
    """A degradation that treats every frequency by itself, and so can be undone frequency by frequency."""

    @property
    def linear(self) -> bool:
        return True

    @abstractmethod
    def undone(self, observation: Tensor) -> Undone:
        """The recording (B, T) as music plus noise of a known level at each frequency."""


class Samplewise(Degradation):
    """A degradation that treats every sample by itself: some stay known, of the others no more than a bound is."""

    @abstractmethod
    def known(self, recording: Tensor) -> Tensor:
        """Where (B, T) the samples of a recording (B, T) are those of the music."""

    def sounds(self, recording: Tensor) -> Tensor:
        """Where (B, T) a recording (B, T) is about as loud as the music; elsewhere nothing of it is heard."""
        return self.known(recording)

    @abstractmethod
    def faithful(self, clean: Tensor, recording: Tensor) -> Tensor:
        """An estimate (B, T), changed no more than it takes to be the music of this recording (B, T)."""


@dataclass(frozen=True, eq=False)
class Undone:
    """A recording whose degradation is undone: the music, under noise of its own level at each frequency."""

    observation: Tensor  # (B, T) as recorded
    magnitude: Tensor  # (T // 2 + 1,) by what each frequency was multiplied
    level: Tensor  # (T // 2 + 1,) std of the noise per frequency, once that is undone; infinite where nothing was heard

    def above(self, quietest: float) -> Tensor:
        """The music (B, T) of all frequencies whose noise level is no higher than `quietest`."""
        return shaped(self.observation, torch.where(self.level <= quietest, 1 / self.magnitude, 0.0))

    def misfit(self, clean: Tensor) -> float:
        """Distance of the degraded estimate from the recording, relative to the recording."""
        distance = (shaped(clean, self.magnitude) - self.observation).norm()
        return float(distance / self.observation.norm().clamp(min=1e-12))


def shaped(x: Tensor, gain: Tensor) -> Tensor:
    """x (B, T) times a gain per frequency (T // 2 + 1,)."""
    return torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[-1])
