"""A recording without its machine, and the segments in which it is worked on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.response import RecordingChain
from babe2.config import Settings
from babe2.dsp.spectra import amplitude, fades
from babe2.dsp.tape import Tape
from babe2.errors import RestorationError
from babe2.networks.folded_cqt import GRAIN, next_length

QUIETEST = 5e-5  # std; the prior has learned no lower noise level
DEEPEST_DB = -100.0  # no band is raised by more
MARGIN = 2 * GRAIN  # samples on either side of a segment that are restored with it, fading, and dropped
SHORTEST = 18 * GRAIN  # samples; with its margins as long as what the network is trained on


@dataclass(frozen=True, eq=False)
class Undone:
    """A recording without its machine: music, at noise levels of its own."""

    observation: Tensor  # (B, T) at the level the prior expects
    magnitude: Tensor  # (T // 2 + 1,) what the machine did to each frequency
    level: Tensor  # (T // 2 + 1,) std of the noise per frequency, once that is undone; infinite where nothing was heard

    @staticmethod
    def of(observation: Tensor, machine: RecordingChain, gain: float, sample_rate: int) -> Undone:
        """`gain` is what brought the recording, whose machine was found, to the observation's level."""
        hertz = torch.fft.rfftfreq(observation.shape[-1], 1 / sample_rate, dtype=torch.float64)[1:]
        response = machine.response.gain_db(hertz)
        level = (amplitude(machine.noise.gain_db(hertz) - response) * gain).clamp(min=QUIETEST)
        level = torch.where(response < DEEPEST_DB, math.inf, level)
        magnitude, level = (F.pad(x, (1, 0), value=1.0).to(observation) for x in (amplitude(response), level))
        return Undone(observation, magnitude, level)

    def above(self, quietest: float) -> Tensor:
        """The music (B, T) of all frequencies whose noise level is no higher than `quietest`."""
        return shaped(self.observation, torch.where(self.level <= quietest, 1 / self.magnitude, 0.0))

    def misfit(self, clean: Tensor) -> float:
        """Distance of what the machine would make of the estimate from the recording, relative to the recording."""
        distance = (shaped(clean, self.magnitude) - self.observation).norm()
        return float(distance / self.observation.norm().clamp(min=1e-12))


def segment_length(samples: int, longest: int) -> int:
    """How much of a recording of so many samples is restored at once, without its margins."""
    if longest % GRAIN:
        raise RestorationError(
            f"The compact network takes segments of multiples of {GRAIN} samples, which {longest} is not. "
            f"Choose segment_length = {next_length(longest)}."
        )
    return min(longest, next_length(max(samples, SHORTEST)))


def inner_length(whole: int) -> int:
    """How much of a segment of a given length is left between its margins."""
    if whole < 3 * MARGIN:
        raise RestorationError(
            f"Segments of {whole} samples are too short for this solver. "
            f"Take {3 * MARGIN} samples or more, or run it with solver = guided."
        )
    return whole - 2 * MARGIN


def with_margins(tape: Tape, start: int, stop: int) -> Tensor:
    """A stretch of a tape (C, stop - start) that goes on beyond the tape's ends for a margin each, and fades there.

    The transform takes a segment's end for its beginning, and undoing the machine makes a click of any step. So the
    tape is mirrored: what goes on is music of the same spectrum. (Turned about its last sample instead, it would have
    no bend there, but a step in the bass, where old machines let least through.)
    """
    x = tape.mirrored(start, stop)
    reach = min(MARGIN, tape.samples - 1)
    rise, fall = fades(reach, x)
    weights = torch.cat([rise, x.new_ones(1), fall, x.new_zeros(1)])  # far before, inside, far behind
    place = torch.arange(start, stop, device=x.device)
    behind = (place - tape.samples + 1).clamp(min=0, max=reach + 1)
    return x * weights[reach + behind + place.clamp(min=-reach, max=0)]


def faded(segment: Tensor) -> Tensor:
    """A segment (C, MARGIN + T + MARGIN) that comes out of silence and goes back to it within its margins."""
    rise, fall = fades(MARGIN, segment)
    inside = segment.new_ones(segment.shape[-1] - 2 * MARGIN)
    return segment * torch.cat([rise, inside, fall])


def noise_levels(settings: Settings) -> Tensor:
    """From `sigma_start` to `sigma_min` in equal ratios, then 0 (steps + 1,)."""
    start, end = math.log(settings.sigma_start), math.log(settings.sigma_min)
    return torch.cat([torch.linspace(start, end, settings.steps).exp(), torch.zeros(1)])


def shaped(x: Tensor, gain: Tensor) -> Tensor:
    """x (B, T) times a gain per frequency."""
    return torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[-1])
