"""Denoising as a stage: hiss, crackle, hum and rumble are taken from a recording of any rate, and all else stays.

A denoiser knows music at its own rate only. So the recording is not replaced by what comes out of it: what it takes
away is brought to the recording's rate and subtracted. Above the denoiser's band, where old records hold hardly
anything but noise and new recordings hold music, sound is lowered by as much as the denoiser lowers the top of its own
band at that moment: where it finds music there, by nothing.

Noise is there before, during and behind a note. So no more is taken away at any place than the noise of that frequency
can be, which the whole recording tells (analysis/machine.py); more would be music. Clicks, which take all frequencies
for an instant, are taken away whole. A recording without noise stays as it is.

Each channel is worked on by itself, brought to the level that the denoiser has learned, in pieces of a few seconds that
are the same wherever reading begins. They overlap, and their cross-fades add up to one. Only the published 78-rpm
denoiser cuts and levels them its own way (stages/gramophone.py), where it is asked for as published.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2 import checkpoints
from babe2.analysis.damage.clicks import Mender, threshold_of
from babe2.analysis.machine import find_machine_of_channels
from babe2.checkpoints.checkpoint import Checkpoint
from babe2.config import DEFAULT_CHECKPOINT, STAGE, BandwiseArchitecture, setting
from babe2.degradations.noise_bank import NoiseBank
from babe2.degradations.response import QUIETEST
from babe2.dsp.curves import SampledCurve
from babe2.dsp.excerpts import excerpts
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, amplitude, bin_frequencies, fades, frames
from babe2.dsp.tape import Tape, deviation
from babe2.errors import RestorationError
from babe2.methods.gramophone import NoiseLevel, Pull
from babe2.methods.heard import as_loud_as, bank_spectrum, noise_level
from babe2.methods.undone import CLICKS
from babe2.network import Poll
from babe2.networks.models import next_length
from babe2.networks.published_segments import in_published_segments
from babe2.networks.spectral import WINDOW, SpectralUNet, shortest_samples, sound, spectrogram
from babe2.prior import BandwisePrior
from babe2.restorer import Restorer, checked_seed
from babe2.stages.base import Bench, Report, Stage, Staged, Untouched, sounds
from babe2.stages.gramophone import AsPublished, Imagined, Preset, Sampling, stand_in

DEFAULT_DENOISER = "denoiser-small"  # which is inside babe2
SECONDS = 5  # of sound that are denoised at once, and whole, so that they are whole samples at every rate
MARGIN_SECONDS = 0.15  # on either side, which the denoiser hears besides
FADE_SECONDS = 0.046  # between two pieces
TOP_BAND = (0.7, 0.93)  # of the band in which there is sound for the denoiser: what happens there happens above, too
TOP_FRAMES = 9  # over so many frames, 0.1 s, the top of the band is looked at
TOP_FFT, TOP_HOP = 1024, 256

TELLING_SECONDS = 1.0  # a shorter recording does not tell its noise
QUIETEST_DB = -45.0  # over the whole recording: fainter noise is none
MOST = 4.0  # times as much as the best filter would take that knows nothing but the noise (Wiener)
LOUD_DB = -20.0  # of noise over the whole recording: as much louder as it is, as much more may a prior take
MOST_TOLD = 2.0  # times as much as a person has said there is, over a whole piece
CLICK_BIN = 186  # 4 kHz
CLICK_FRAMES = 5  # 58 ms: so long after a click it is as quiet as before it, and after a note it is not
CLICK, CLICK_SHARE = 20.0, 0.5  # in most places of a moment: power over that around, and share of what is heard

NO_NOISE = (
    "No noise worth taking away was found: it is more than 45 dB below the music, or the recording is too short to "
    "tell. So nothing was changed."
)

Method = Literal["two-stage", "prior", "gramophone"]
TWO_STAGE: Method = "two-stage"
GRAMOPHONE: Method = "gramophone"
OF_GRAMOPHONE = ("noise_bank", "noise_level", "pull", "emphasis", "steps", "preset", "seed")  # settings of it alone

OF_A_SAMPLE = ("pull", "emphasis", "steps", "seed")  # settings with which music is drawn rather than its mean taken


@dataclass(frozen=True)
class Denoise(Stage):
    """Takes the noise away."""

    name: ClassVar[str] = "denoise"
    does: ClassVar[str] = "Takes away hiss, crackle, hum and rumble, and leaves the music as it is."

    method: Method = setting(  # noqa: RUF009
        TWO_STAGE,
        STAGE,
        "Method",
        "two-stage: a network that has learned noise and music; prior: what the music's prior makes of measured noise; "
        "gramophone: what a prior makes of the noise of a bank; most imagine music under it, which takes much longer",
    )
    checkpoint: str = setting(
        "",
        STAGE,
        "Checkpoint",
        "A denoiser of `babe2 checkpoints list`, or for the other methods a prior; empty: the one that is included",
    )
    strength: float = setting(
        1.0,
        STAGE,
        "Strength",
        "How much of the noise that is found is taken away: 1 all, 0 nothing",
        bounds=lambda strength: 0 <= strength <= 1,
    )
    noise_bank: str = setting(
        "",
        STAGE,
        "Noise bank",
        "For gramophone, a folder of recordings of such noise alone; empty: noise as it sounds in the recording",
    )
    noise_level: str = setting(
        "gain",
        STAGE,
        "Noise level",
        "For gramophone: gain, that of the quietest moment; snr, below the music as it is at every moment; or what is "
        "known: gain=0.01 (1 is full scale), snr=20 or snr=5..30 (dB)",
    )
    pull: str = setting(
        "auto",
        STAGE,
        "Pull towards the recording",
        "For gramophone: auto, by the noise's level; snr=12, by how many dB music lies over noise to your ear; range, "
        "by the least of noise_level snr; or a number: more is truer to the recording, and to its noise",
    )
    emphasis: bool = setting(
        False, STAGE, "Emphasis", "For gramophone: true lets the upper half of the band count more while it works"
    )
    steps: int = setting(
        0,
        STAGE,
        "Steps",
        "For gramophone: more take longer and sound a little finer; 0: as the preset has it. With steps, seed, pull or "
        "emphasis the included prior imagines music, too, instead of taking the mean of all that is possible",
        bounds=lambda steps: steps == 0 or 2 <= steps <= 10_000,
    )
    preset: Preset = setting(  # noqa: RUF009
        "standard",
        STAGE,
        "Preset",
        "For gramophone: standard, or as-published, which takes hours for a second of sound",
    )
    seed: int = setting(
        0, STAGE, "Seed", "For gramophone: same seed, same sound", bounds=lambda seed: 0 <= seed < 2**63
    )

    def idle(self, response_known: bool = False) -> dict[str, str]:
        if self.method != GRAMOPHONE:
            return dict.fromkeys(OF_GRAMOPHONE, f"the method is {self.method}")
        return {"strength": "the preset is as-published"} if self.preset == "as-published" else {}

    def check(self) -> None:
        super().check()
        usual = Denoise()
        self.refuse_idle(name for name in self.names() if getattr(self, name) != getattr(usual, name))
        level, pull = NoiseLevel.of(self.noise_level), Pull.of(self.pull)
        if pull.by == "range" and level.by != "snr":
            raise RestorationError("A pull by range follows from ratios. Give noise_level snr or snr=FROM..TO, too.")

    def places(self) -> dict[str, str]:
        return super().places() | ({"noise_bank": self.noise_bank} if self.noise_bank else {})

    def prepare(self, bench: Bench) -> None:
        super().prepare(bench)
        if self.method == GRAMOPHONE:
            self._sampling(bench)

    def begin(self, recording: Tape, sample_rate: int, bench: Bench) -> Staged:
        if self.strength == 0 or not sounds(recording):
            return Untouched(recording, sample_rate)
        if self.method == GRAMOPHONE and self.preset == "as-published":
            return AsPublished(recording, sample_rate, self._sampling(bench))
        denoiser = self._denoiser(recording, sample_rate, bench)
        heard = [resample(each, sample_rate, denoiser.sample_rate) for each in excerpts(recording, sample_rate).audio]
        noises = [Noise.of(channel, denoiser) for channel in heard]
        if not any(noise.is_there for noise in noises):
            untouched = Untouched(recording, sample_rate)
            untouched.found = denoiser.found | {"noise_db": [noise.told for noise in noises], "warnings": [NO_NOISE]}
            return untouched
        return Denoised(recording, sample_rate, denoiser, noises, self.strength)

    def _denoiser(self, recording: Tape, sample_rate: int, bench: Bench) -> Denoiser:
        if self.method == "prior":
            return PriorDenoiser(bench.restorer(self.checkpoint or DEFAULT_CHECKPOINT))
        if self.method == GRAMOPHONE:
            sampling = self._sampling(bench)
            if self.asks_for_a_sample or not isinstance(sampling.restorer.model.architecture, BandwiseArchitecture):
                return GramophoneDenoiser(sampling, recording, sample_rate)
            return BankDenoiser(sampling, recording)
        return NetworkDenoiser(bench.checkpoint_of(self.checkpoint or DEFAULT_DENOISER), bench.poll)

    @property
    def asks_for_a_sample(self) -> bool:
        """Whether something was set that means nothing where the mean of all possible music is taken at once."""
        usual, level = Denoise(), NoiseLevel.of(self.noise_level)
        drawn = level.by == "snr" and len(set(level.given)) != 1  # a ratio anew for every evaluation
        return drawn or any(getattr(self, name) != getattr(usual, name) for name in OF_A_SAMPLE)

    def _sampling(self, bench: Bench) -> Sampling:
        """How the method gramophone samples; what cannot be had is refused."""
        if self.preset == "as-published" and not self.noise_bank:
            raise RestorationError("As published, noise comes from a bank. Give a folder of it as noise_bank.")
        return Sampling(
            bench.restorer(self.checkpoint or DEFAULT_CHECKPOINT),
            NoiseBank.of_folder(self.noise_bank) if self.noise_bank else None,
            NoiseLevel.of(self.noise_level),
            Pull.of(self.pull),
            self.emphasis,
            self.steps,
            checked_seed(self.seed),
            bench.cancelled,
        )


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of one channel of a recording, as the whole of it tells."""

    curve: SampledCurve | None  # dB, as power per sample, of the channel at unit level; None: it is too short to tell
    floor_db: float  # RMS over that of the channel
    is_there: bool

    @staticmethod
    def of(excerpts: Tensor, denoiser: Denoiser) -> Noise:
        """That in excerpts (N, T) at the denoiser's rate."""
        if excerpts.shape[1] < TELLING_SECONDS * denoiser.sample_rate or not excerpts.std() > 0:
            return Noise(None, math.nan, denoiser.goes_without)
        chain = find_machine_of_channels([excerpts / excerpts.std()], denoiser.sample_rate, denoiser.reference)
        return Noise(chain.noise, chain.band.floor_db, denoiser.believed or chain.band.floor_db > QUIETEST_DB)

    @property
    def told(self) -> float | None:
        """How loud it is, for a report."""
        return round(self.floor_db, 1) if math.isfinite(self.floor_db) else None

    def power(self, frequencies: Tensor) -> Tensor:
        """Its power (F,) per sample, of a channel at unit level, at frequencies above zero; infinite where unknown."""
        if self.curve is None:
            return torch.full_like(frequencies, math.inf)
        return amplitude(self.curve.gain_db(frequencies.double())).square()


class Denoiser(ABC):
    """What takes noise from music at its own rate and level."""

    sample_rate: int  # Hz
    level: float  # standard deviation of the recordings that it knows
    reference: ReferenceLtas  # how music sounds
    goes_without: bool = True  # whether it works where nothing is known of the noise
    believed: bool = False  # whether all that it takes away is noise, as a person has said how loud that is
    seconds: int = SECONDS  # that it hears at once, beside the margins
    found: Report

    @abstractmethod
    def clean(self, noisy: Tensor, noise: Noise, channel: int, piece: int) -> Tensor:
        """The music (1, T) in a piece (1, T) of a channel."""

    def most(self, floor_db: float) -> float:
        """How much of what it takes is believed to be noise, where that is `floor_db`; see `no_more_than_noise`."""
        return MOST


class NetworkDenoiser(Denoiser):
    """A U-Net over spectrograms."""

    def __init__(self, checkpoint: Checkpoint, poll: Poll | None = None) -> None:
        network = checkpoint.denoising_network()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.poll = poll
        self.sample_rate, self.level = checkpoint.model.sample_rate, checkpoint.model.sigma_data
        self.found = {"checkpoint": checkpoint.name, "sha256": checkpoint.sha256, "verified": checkpoint.verified}
        self.reference = known_music()

    def clean(self, noisy: Tensor, noise: Noise, channel: int, piece: int) -> Tensor:
        return denoised(self.network, noisy, self.poll)


class PriorDenoiser(Denoiser):
    """A prior of music that takes a noise level per band: its estimate of the music under the noise that is measured.

    The noise is followed over time, and clicks are filled before. The machine's response is left as it is.
    """

    goes_without = False

    def __init__(self, restorer: Restorer) -> None:
        self.restorer = restorer
        self.sample_rate, self.level = restorer.model.sample_rate, restorer.model.sigma_data
        self.found = {"checkpoint": restorer.name, "sha256": restorer.sha256, "verified": restorer.verified}
        if not isinstance(restorer.model.architecture, BandwiseArchitecture):
            raise RestorationError(
                f"{restorer.name} takes no noise level per band, so it cannot denoise. Choose {DEFAULT_CHECKPOINT}, or "
                f"the method {TWO_STAGE}."
            )
        self.reference = restorer.reference or known_music()
        self.mender = Mender(self.sample_rate, threshold_of(CLICKS))

    @torch.no_grad()
    def clean(self, noisy: Tensor, noise: Noise, channel: int, piece: int) -> Tensor:
        prior = self._prior(noisy.shape[-1])
        assert isinstance(prior, BandwisePrior)
        filled = self.mender.without_clicks(noisy.cpu()).sound.to(noisy)
        padded = F.pad(filled, (0, next_length(self.restorer.model, noisy.shape[-1]) - noisy.shape[-1]))
        level = self._between_bursts(prior, noise, channel).to(noisy)
        clean = prior(padded, noise_level(prior, padded, level))
        below = padded - prior.highpass(padded)  # of which the prior knows nothing
        return (clean + below)[:, : noisy.shape[-1]]

    def most(self, floor_db: float) -> float:
        """More behind loud noise, where it knows music that no filter could tell; a network that has learned to denoise
        did harm with as much.
        """
        return MOST * 10 ** (max(0.0, floor_db - LOUD_DB) / 10)

    def _between_bursts(self, prior: BandwisePrior, noise: Noise, channel: int) -> Tensor:
        """The noise's level (K,) in each of the prior's bands."""
        power = noise.power(bin_frequencies(self.sample_rate, prior.transform.length)[1:])
        return prior.in_bins(F.pad(self.level * power.sqrt(), (1, 0), value=QUIETEST))

    def _prior(self, samples: int) -> object:
        return self.restorer.prior(next_length(self.restorer.model, samples))


class BankDenoiser(PriorDenoiser):
    """The same under noise of a bank's spectrum, as loud as it is found or said to be."""

    def __init__(self, sampling: Sampling, recording: Tape) -> None:
        super().__init__(sampling.restorer)
        self.sampling, self.scale = sampling, self.level / deviation(recording)
        self.believed = self.goes_without = bool(sampling.level.given)
        self.found = self.found | {"noise_bank": sampling.found["noise_bank"]}
        self.spectra: dict[tuple[int, int], Tensor] = {}  # by length and channel: of all pieces but the last one

    def clean(self, noisy: Tensor, noise: Noise, channel: int, piece: int) -> Tensor:
        clean = super().clean(noisy, noise, channel, piece)
        if not self.believed:
            return clean
        taken = (
            noisy - clean
        )  # a bank's spectrum is not the recording's own, and music may look like what it has more of
        most = math.sqrt(MOST_TOLD) * self._told(channel) / float(taken.square().mean().sqrt().clamp(min=1e-12))
        return noisy - min(1.0, most) * taken

    def _told(self, channel: int) -> float:
        """How loud the noise is said to be, root mean square."""
        level = self.sampling.level
        if level.by == "snr":  # the recording's own level is that of music and noise
            return self.level / math.sqrt(1 + 10 ** (level.given[0] / 10))
        return level.gain(0.0, float(self.scale[channel]))

    def _between_bursts(self, prior: BandwisePrior, noise: Noise, channel: int) -> Tensor:
        place = (prior.transform.length, channel)
        if place not in self.spectra:
            self.spectra[place] = bank_spectrum(prior, self._examples(prior.transform.length, noise))
        spectrum = self.spectra[place]
        if self.believed:
            return spectrum * self._told(channel)
        return as_loud_as(spectrum, super()._between_bursts(prior, noise, channel))

    def _examples(self, samples: int, noise: Noise) -> list[Tensor]:
        """Such noise, each (T,)."""
        sampling = self.sampling
        if sampling.bank is not None:
            return [sound for _, sound in sampling.bank.bank(self.sample_rate).excerpts]
        known = None if noise.curve is None else noise.power
        return [stand_in(known, self.sample_rate, sampling.generator(0))(samples)]


class GramophoneDenoiser(Denoiser):
    """A prior that samples music under noise of a bank (stages/gramophone.py)."""

    def __init__(self, sampling: Sampling, recording: Tape, sample_rate: int) -> None:
        restorer = sampling.restorer
        self.sample_rate, self.level = restorer.model.sample_rate, restorer.model.sigma_data
        self.reference = restorer.reference or known_music()
        self.believed = self.goes_without = bool(sampling.level.given)
        if not isinstance(restorer.model.architecture, BandwiseArchitecture):  # which takes any length
            self.seconds = max(1, int(restorer.model.segment / self.sample_rate - 2 * MARGIN_SECONDS))
        self.imagined = Imagined(sampling, recording, sample_rate, self.level / deviation(recording))
        self.found = self.imagined.found

    def clean(self, noisy: Tensor, noise: Noise, channel: int, piece: int) -> Tensor:
        return self.imagined.music(noisy, None if noise.curve is None else noise.power, channel, piece)


def known_music() -> ReferenceLtas:
    """How music sounds, as the included prior knows it."""
    known = checkpoints.load(DEFAULT_CHECKPOINT)
    assert known.ltas is not None
    return ReferenceLtas(known.ltas, known.model.sample_rate)


class Denoised(Staged):
    """A recording less its noise."""

    def __init__(
        self, recording: Tape, sample_rate: int, denoiser: Denoiser, noises: list[Noise], strength: float
    ) -> None:
        super().__init__(recording, sample_rate)
        self.denoiser, self.noises, self.strength = denoiser, noises, strength
        self.found = denoiser.found | {"noise_db": [noise.told for noise in noises]}
        self.gain = denoiser.level / deviation(recording)
        # So many samples, here and at the denoiser's rate, are equally long.
        shared = math.gcd(sample_rate, denoiser.sample_rate)
        self.unit, self.denoisers_unit = sample_rate // shared, denoiser.sample_rate // shared
        self.margin = self.unit * math.ceil(MARGIN_SECONDS * shared)
        self.fade = round(FADE_SECONDS / 2 * sample_rate)  # on either side of a border
        self.length = denoiser.seconds * sample_rate
        self.pieces = max(1, round(self.samples / self.length))
        self._kept: dict[int, Tensor] = {}

    def _read(self, start: int, stop: int) -> Tensor:
        x = self.recording.read(start, stop)
        for piece in range(self.pieces):
            begin, end = self._bounds(piece)
            first, last = max(start, begin - self.fade), min(stop, end + self.fade)
            if first < last:
                noise = self._noise(piece)
                origin = max(0, begin - self.fade)
                x[:, first - start : last - start] -= noise[:, first - origin : last - origin]
        return x

    def _bounds(self, piece: int) -> tuple[int, int]:
        """Where a piece begins and ends; the last one goes on to the end of the recording."""
        return piece * self.length, (self.samples if piece == self.pieces - 1 else (piece + 1) * self.length)

    def _noise(self, piece: int) -> Tensor:
        """The noise (C, T) of a piece and of half a cross-fade on either side."""
        if piece not in self._kept:
            self._kept = {other: kept for other, kept in self._kept.items() if abs(other - piece) == 1}
            self._kept[piece] = self._noise_anew(piece)
        return self._kept[piece]

    def _noise_anew(self, piece: int) -> Tensor:
        begin, end = self._bounds(piece)
        units = math.ceil((end - begin + 2 * self.margin) / self.unit)
        heard = self.recording.mirrored(begin - self.margin, begin - self.margin + units * self.unit)
        noise = torch.zeros_like(heard)
        for channel, x in enumerate(heard):
            if x.any() and self.gain[channel].isfinite() and self.noises[channel].is_there:
                noise[channel] = self.strength * self._noise_in(x[None], units, channel, piece)[0]
        rise, fall = fades(2 * self.fade, noise)
        before, behind = self.margin - min(begin, self.fade), self.margin + min(end + self.fade, self.samples) - begin
        noise = noise[:, before:behind]
        if piece > 0:
            noise[:, : len(rise)] *= rise
        if piece < self.pieces - 1:
            noise[:, -len(fall) :] *= fall
        return noise

    def _noise_in(self, x: Tensor, units: int, channel: int, piece: int) -> Tensor:
        """The noise in part of a channel (1, T), which has its margins."""
        rate, denoisers, gain, known = (
            self.sample_rate,
            self.denoiser.sample_rate,
            self.gain[channel],
            self.noises[channel],
        )
        noisy = resample(x * gain, rate, denoisers)[:, : units * self.denoisers_unit]
        clean = self.denoiser.clean(noisy, known, channel, piece)
        if not self.denoiser.believed:
            power = known.power(bin_frequencies(denoisers, WINDOW)[1:]) * self.denoiser.level**2
            clean = noisy - no_more_than_noise(noisy, noisy - clean, power, self.denoiser.most(known.floor_db))
        noise = resample(noisy - clean, denoisers, rate)[:, : x.shape[1]] / gain
        if rate == denoisers:
            return noise
        above = x - resample(noisy, denoisers, rate)[:, : x.shape[1]] / gain
        kept = top_gain(noisy, clean, min(1.0, rate / denoisers))
        return noise + above * (1 - F.interpolate(kept[None], x.shape[1], mode="linear")[0])


def no_more_than_noise(noisy: Tensor, taken: Tensor, power: Tensor, most: float = MOST) -> Tensor:
    """What may be taken (1, T) of what a denoiser has `taken` from noisy (1, T), where the noise has this power (512,)
    per sample: `most` times as much as the best filter would take that knows nothing else.
    """
    padded = (F.pad(x, (0, max(0, shortest_samples() - x.shape[-1]))) for x in (noisy, taken))
    heard, removed = (spectrogram(x) for x in padded)
    typical = F.pad(power, (1, 0), value=float(power[0])).to(noisy) * torch.hamming_window(WINDOW).square().sum()
    whole, part = (spectrum.square().sum(dim=1).clamp(min=1e-20) for spectrum in (heard, removed))  # (1, frames, bins)
    # A click is much louder than the moments before and behind it in most of the upper band; a note dies away slowly.
    above, share = (part[..., CLICK_BIN:] / all_[..., CLICK_BIN:] for all_ in (typical.expand_as(part), whole))
    loudness = above.median(dim=-1).values  # (1, frames)
    beside = F.pad(loudness, (CLICK_FRAMES, CLICK_FRAMES), mode="replicate")
    quiet = -F.max_pool1d(-beside, 3, 1)  # the quietest of three moments, on either side of each
    around = quiet[:, : loudness.shape[1]].maximum(quiet[:, -loudness.shape[1] :])
    clicks = (loudness > CLICK * around.clamp(min=1)) & (share.median(dim=-1).values > CLICK_SHARE)
    gain = (most * typical / (part * whole).sqrt()).clamp(max=1)
    return sound(removed * torch.where(clicks[..., None], 1.0, gain)[:, None])[:, : taken.shape[-1]]


def top_gain(noisy: Tensor, clean: Tensor, filled: float) -> Tensor:
    """By how much (1, frames) the top of the band, of which a part is `filled`, was lowered: between 0 and 1."""

    def level(x: Tensor) -> Tensor:
        power = frames(F.pad(x, (TOP_FFT // 2, TOP_FFT // 2)), TOP_FFT, TOP_HOP).abs().square()
        first, last = (round(share * filled * TOP_FFT / 2) for share in TOP_BAND)
        mean = power[:, first:last].mean(dim=1, keepdim=True)
        return F.avg_pool1d(mean, TOP_FRAMES, 1, TOP_FRAMES // 2, count_include_pad=False)[:, 0]

    return (level(clean) / level(noisy).clamp(min=1e-20)).clamp(max=1).sqrt()


@torch.no_grad()
def denoised(network: SpectralUNet, noisy: Tensor, poll: Poll | None = None) -> Tensor:
    """The music (B, T) in noisy (B, T) of any length, at the network's rate and level."""
    padded = F.pad(noisy, (0, max(0, shortest_samples() - noisy.shape[-1])))
    heard = spectrogram(padded).contiguous(memory_format=torch.channels_last)
    return sound(network(heard, poll))[:, : noisy.shape[-1]]


def denoised_as_published(network: SpectralUNet, noisy: Tensor) -> Tensor:
    """The music (T,) in noisy (T,) by the published cutting into segments, for comparison with published results."""
    return in_published_segments(lambda part, _: denoised(network, part), noisy)
