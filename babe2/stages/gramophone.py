"""The 78-rpm diffusion denoiser at work on a recording: noise of a bank, and music that a prior imagines under it.

`Imagined` makes the music of one piece of a channel, and leaves it to stages/denoise.py to cut the recording and to
bring the pieces back to its rate and level. `AsPublished` does all of that as the published program does.

What that does otherwise, beside what methods/gramophone.py names: its blocks are those of the network's training, with
silence before the first and behind the last, and overlap by a quarter of a second; noise is heard from an excerpt's
beginning; digital silence counts as the quietest moment. Silent blocks, several channels, other sample rates and
recordings shorter than a moment, where it stops with an error, are treated as in the standard preset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.analysis.quiet_moments import MOMENT, moment, moments
from babe2.config import GuidedSamplerSettings
from babe2.degradations.base import Degradation
from babe2.degradations.noise_bank import Draw, NoiseBank
from babe2.degradations.surface import measured
from babe2.dsp.curves import Curve
from babe2.dsp.emphasis import both_ways
from babe2.dsp.overlap_add import OverlapAdd
from babe2.dsp.resampled_tape import ResampledTape
from babe2.dsp.resampling import resampled
from babe2.dsp.spectra import amplitude, bin_frequencies
from babe2.dsp.tape import MemoryTape, Tape
from babe2.methods.gramophone import PUBLISHED, Halved, NoiseLevel, Pull, as_published, followed
from babe2.networks.models import next_length
from babe2.prior import Prior
from babe2.restorer import Restorer, seeded_generator, seeded_noise
from babe2.sampler import Noise
from babe2.stages.base import Report, Staged
from babe2.stages.pieces import filtered

Preset = Literal["standard", "as-published"]
STANDARD = GuidedSamplerSettings(
    steps=12, order=1, sigma_start=0.3, sigma_min=1e-3, rho=7.0, churn=0.0, observation_noise=0.0
)
STANDARD_LEVEL = 0.08  # std of the music that these noise levels are meant for
PUBLISHED_LEVEL = 0.057  # and of that which the published strengths of pull were found for
OVERLAP_SECONDS = 0.25  # of two published blocks, or a quarter of a shorter block
KEPT = 3  # blocks, as filters and changes of rate hear some of the sound before
STAND_IN = "run-out"  # the surface whose spectrum stands in where nothing is known

Spectrum = Callable[[Tensor], Tensor]  # hertz above zero (F,) -> power per sample (F,)
Solver = Callable[[Prior, Degradation, Tensor, GuidedSamplerSettings, Noise], Tensor]


@dataclass(frozen=True, eq=False)
class Sampling:
    """How the music of a stretch is found: all but the recording itself."""

    restorer: Restorer
    bank: NoiseBank | None  # None: noise of the recording's own spectrum stands in
    level: NoiseLevel
    pull: Pull
    emphasis: bool
    steps: int  # 0: the preset's
    seed: int
    cancelled: Callable[[], bool]

    @property
    def sample_rate(self) -> int:
        return self.restorer.model.sample_rate

    @property
    def found(self) -> Report:
        """For a report: with what it works."""
        restorer = self.restorer
        return {
            "checkpoint": restorer.name,
            "sha256": restorer.sha256,
            "verified": restorer.verified,
            "noise_bank": None if self.bank is None else self.bank.as_folder(),
            "statement": f"What noise had covered is imagined by {restorer.name}.",
        }

    def solved(
        self, solver: Solver, degradation: Degradation, heard: Tensor, settings: GuidedSamplerSettings, piece: int
    ) -> Tensor:
        """The music (1, T) in what is heard (1, T); chance is the piece's own."""
        settings = replace(settings, steps=self.steps or settings.steps)
        samples, device = heard.shape[-1], self.restorer.device
        whole = next_length(self.restorer.model, samples)
        prior = self.restorer.prior(whole, self.cancelled)
        observation = F.pad(heard, (0, whole - samples)).to(device)
        made = solver(prior, degradation, observation, settings, seeded_noise(self.seed, piece, device))
        return made.cpu()[:, :samples]

    def generator(self, piece: int) -> torch.Generator:
        """For what is drawn of the bank: the piece's own, and not that of the sampler's noise."""
        return seeded_generator("cpu", self.seed, piece, 1)


# The standard preset


class Imagined:
    """The music under the noise of a recording, whose channels are brought to the level that the prior knows."""

    def __init__(self, sampling: Sampling, recording: Tape, sample_rate: int, scale: Tensor) -> None:
        """`scale` (C,) is what each channel is multiplied by."""
        self.sampling, self.scale = sampling, scale
        self.window = moment(sampling.sample_rate)
        heard = moments(resampled(recording.blocks(), sample_rate, sampling.sample_rate), self.window)
        self.moments = heard.scaled(scale)
        self.found = sampling.found

    def music(self, noisy: Tensor, spectrum: Spectrum | None, channel: int, piece: int) -> Tensor:
        """The music (1, T) in a piece (1, T) of a channel, whose noise has a `spectrum`, where that is known."""
        sampling = self.sampling
        level, at = sampling.restorer.model.sigma_data, float(self.scale[channel])
        generator = sampling.generator(piece)
        heard = emphasised(noisy) if sampling.emphasis else noisy
        quietest, loudest = self.moments.quietest[channel], self.moments.loudest[channel]
        if spectrum is not None:  # music that never pauses is louder than its noise even in the quietest moment
            quietest = min(quietest, level**2 * float(spectrum(bin_frequencies(sampling.sample_rate, 1024)[1:]).mean()))
        noise = sampling.level.in_stretch(heard, quietest, loudest, self.window, at)
        # As published the recording is half of music as loud as the prior knows it.
        floor = (quietest if noise.gain is None else noise.gain**2) * (PUBLISHED_LEVEL / level / 2) ** 2
        settings = replace(
            STANDARD,
            sigma_start=STANDARD.sigma_start * level / STANDARD_LEVEL,
            sigma_min=STANDARD.sigma_min * level / STANDARD_LEVEL,
            guidance_strength=sampling.pull.in_stretch(noise, floor),
        )
        degradation = noise.added(self._draw(spectrum, generator), generator)
        made = sampling.solved(followed, degradation, heard, settings, piece)
        return emphasised(made, inverse=True) if sampling.emphasis else made

    def _draw(self, spectrum: Spectrum | None, generator: torch.Generator) -> Draw:
        if self.sampling.bank is None:
            return stand_in(spectrum, self.sampling.sample_rate, generator)
        bank = self.sampling.bank.bank(self.sampling.sample_rate)
        return lambda samples: bank.draw(samples, generator)


def stand_in(spectrum: Spectrum | None, sample_rate: int, generator: torch.Generator) -> Draw:
    """Noise of a spectrum, or where none is known of a run-out groove's; whoever adds it gives it a level."""
    surface: Curve = measured(STAND_IN)

    def draw(samples: int) -> Tensor:
        hertz = bin_frequencies(sample_rate, samples)[1:]
        gain = amplitude(surface.gain_db(hertz.double())) if spectrum is None else spectrum(hertz).sqrt()
        white = torch.randn(samples, generator=generator)
        return torch.fft.irfft(torch.fft.rfft(white) * F.pad(gain.to(white), (1, 0)), samples)

    return draw


# As published


class AsPublished(Staged):
    """A recording denoised in the published blocks, at the published level."""

    def __init__(self, recording: Tape, sample_rate: int, sampling: Sampling) -> None:
        super().__init__(recording, sample_rate)
        assert sampling.bank is not None
        self.sampling, self.bank = sampling, sampling.bank.bank(sampling.sample_rate)
        heard: Tape = ResampledTape(recording, sample_rate, sampling.sample_rate)
        heard = Emphasised(heard) if sampling.emphasis else heard
        self.moments = moments(heard.blocks(), MOMENT, silence_counts=True)
        self.found = sampling.found
        if sampling.level.by == "gain":
            self.found["noise_gain"] = [round(sampling.level.gain(power), 7) for power in self.moments.quietest]
        length = sampling.restorer.model.segment
        overlap = min(int(OVERLAP_SECONDS * sampling.sample_rate), length // 4)
        made: Tape = OverlapAdd(heard, length, overlap, self._block, KEPT)
        made = Emphasised(made, inverse=True) if sampling.emphasis else made
        self.made = ResampledTape(made, sampling.sample_rate, sample_rate)

    def _read(self, start: int, stop: int) -> Tensor:
        return self.made.read(start, stop)

    def _block(self, heard: Tensor, number: int) -> Tensor:
        channels = enumerate(heard.split(1))
        return torch.cat([self._music(x, channel, number) if x.any() else x for channel, x in channels])

    def _music(self, heard: Tensor, channel: int, number: int) -> Tensor:
        sampling = self.sampling
        generator = sampling.generator(number)
        quietest, loudest = self.moments.quietest[channel], self.moments.loudest[channel]
        noise = sampling.level.in_stretch(heard, quietest, loudest, MOMENT)
        degradation = noise.added(lambda samples: self.bank.draw_from_beginning(samples, generator), generator)
        strength = sampling.pull.in_stretch(noise, quietest)
        settings = replace(PUBLISHED, guidance_strength=strength)
        return sampling.solved(as_published, Halved(degradation), heard, settings, number)


class Emphasised(Tape):
    """A tape through the published filter that emphasises, or through its `inverse`."""

    def __init__(self, tape: Tape, inverse: bool = False) -> None:
        self._tape, self._kernel = tape, both_ways(inverse)
        self.channels, self.samples = tape.channels, tape.samples

    def _read(self, start: int, stop: int) -> Tensor:
        return filtered(self._tape, self._kernel, start, stop).float()


def emphasised(x: Tensor, inverse: bool = False) -> Tensor:
    """The same of x (C, T)."""
    return Emphasised(MemoryTape(x), inverse).read(0, x.shape[-1])
