"""Good recordings, degraded on purpose, restored blind and scored against the truth, at 22.05 kHz and one level."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from babe2.degradations.aging import Aged, Aging, age
from babe2.degradations.families import family_of
from babe2.dsp.bands import octave_means, run_around
from babe2.dsp.curves import FLAT, Curve
from babe2.dsp.distance import Band, at_level, log_spectral_distance
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import ReferenceLtas, power_spectrogram
from babe2.errors import RestorationError
from babe2.evaluation.baselines import third_octave_ratio
from babe2.evaluation.measures import (
    LEVELS_HZ,
    LOST_HZ,
    RECORDED_HZ,
    SCORING_RATE,
    TRUTH_LEVEL,
    WHOLE_HZ,
    band_si_sdr,
    envelope_correlation,
    flatness_excess,
    level_error,
    ltas_distance,
    matched,
    response_difference,
    response_error,
)
from babe2.evaluation.melody import Melody, melody, sings, sung
from babe2.evaluation.visqol import Similarity
from babe2.restorer import Restorer
from babe2.run import OnStep

Clip = tuple[str, Tensor, int]  # its name, its sound (T,), its sample rate in Hz
BAND_STEPS_HZ = 100 * 2.0 ** (torch.arange(39, dtype=torch.float64) / 6)
RestoreKnown = Callable[[Tensor, int, Curve], Tensor]  # (observation (T,), sample_rate, response) -> restored (T,)
Restore = Callable[[Tensor, int], tuple[Tensor, Curve]]  # (observation (T,), seed) -> restored (T,), its response
OURS, EQUALISING, INFORMED = "babe2", "ltas-eq", "informed"  # methods; the last one is told the true response


# The scores of one clip


@dataclass(frozen=True)
class Scores:
    """The scores of one sound, at TRUTH_LEVEL, against the truth."""

    lsd_recorded: float  # dB
    si_sdr_gain: float  # dB over the recording as it came
    response_error: float | None  # dB; the recording as it came claims no response
    level_error: float  # dB, absolute
    envelope_correlation: float
    flatness_excess: float  # dB
    ltas_distance: float  # dB
    lsd_lost: float  # dB
    lsd_whole: float  # dB, over both together
    lsd_band: float  # dB, over the band that this machine recorded
    response_error_band: float | None  # dB, over the same
    levels: tuple[float, ...]  # dB, in LEVELS_HZ, below zero where too little is there
    melody_kept: float | None = None  # %; None unless the truth sounds sung
    melody_off: float | None = None  # cents
    visqol: float | None = None  # 1 to 5; None unless it was asked


@dataclass(frozen=True, eq=False)
class Degraded:
    """A clip and the old recording that was made of it, at SCORING_RATE."""

    name: str
    seed: int
    degradation: Aging
    truth: Tensor  # (T,) at TRUTH_LEVEL
    observation: Tensor  # (T,)
    family: str = "published"
    band: Band = RECORDED_HZ  # Hz, in which its music is stronger than its noise

    @cached_property
    def melody(self) -> Melody | None:
        """That of the truth; None unless it sounds sung."""
        return melody([self.truth]) if sings([self.truth]) else None


@dataclass(frozen=True, eq=False)
class Rendition:
    """A sound that is scored against the truth, and the response that was estimated with it."""

    audio: Tensor  # (T,) at SCORING_RATE and TRUTH_LEVEL
    response: Curve | None
    scores: Scores


class Compared(NamedTuple):
    """What another method made of a recording, and how long it took per 10 s of sound."""

    rendition: Rendition
    seconds: float


@dataclass(frozen=True, eq=False)
class ClipResult:
    """One clip, degraded once, and what each method made of it."""

    degraded: Degraded
    input: Rendition
    ltas_eq: Rendition
    ratio: Rendition
    ours: Rendition
    seconds: float  # our restoration took per 10 s of sound
    known_si_sdr: float | None  # dB in CORE_HZ, given the true response; None where it cannot be given
    others: Mapping[str, Compared] = field(default_factory=dict)  # further methods, by name


@dataclass(frozen=True)
class CleanResult:
    """What is done to a recording with which nothing was wrong."""

    name: str
    lsd: float  # dB over the whole band: by so much it was changed
    deviation: float  # dB: how far the response found is from flat, at most


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that was found out; `summary` says it briefly."""

    clips: tuple[ClipResult, ...]
    clean: tuple[CleanResult, ...]
    repeatable: bool  # the same seed twice gave the same bits


def score(
    audio: Tensor,
    response: Curve | None,
    degraded: Degraded,
    reference: ReferenceLtas,
    similarity: Similarity | None = None,
) -> Rendition:
    """The scores of a sound (T,) as long as the clip, brought to the truth's level; `similarity` is asked if given."""
    truth, rate = degraded.truth, SCORING_RATE
    x = matched(audio, truth)
    voice = None if degraded.melody is None else sung(degraded.melody, melody([x]))
    scores = Scores(
        lsd_recorded=log_spectral_distance(x, truth, rate, RECORDED_HZ),
        si_sdr_gain=band_si_sdr(x, truth, rate) - band_si_sdr(degraded.observation, truth, rate),
        response_error=None if response is None else response_error(response, degraded.degradation.response),
        level_error=abs(level_error(x, truth, rate)),
        envelope_correlation=envelope_correlation(x, truth, rate),
        flatness_excess=flatness_excess(x, truth, rate),
        ltas_distance=ltas_distance(x, rate, reference),
        lsd_lost=log_spectral_distance(x, truth, rate, LOST_HZ),
        lsd_whole=log_spectral_distance(x, truth, rate, WHOLE_HZ),
        lsd_band=log_spectral_distance(x, truth, rate, degraded.band),
        response_error_band=(
            None if response is None else response_error(response, degraded.degradation.response, degraded.band)
        ),
        levels=tuple(level_error(x, truth, rate, band) for band in LEVELS_HZ),
        melody_kept=None if voice is None else 100 * voice.kept,
        melody_off=None if voice is None else voice.off_cents,
        visqol=None if similarity is None else similarity(x, truth, rate),
    )
    return Rendition(x, response, scores)


# Evaluating


def evaluate_synthetic(
    restorer: Restorer,
    clips: Sequence[Clip],
    *,
    seeds: Sequence[int] = (0,),
    preset: str = "standard",
    methods: Sequence[str] = (),
    families: Sequence[str] = ("published",),
    restore_known: RestoreKnown | None = None,
    similarity: Similarity | None = None,
    on_step: OnStep | None = None,
    cancelled: Callable[[], bool] | None = None,
    **overrides: Any,
) -> Evaluation:
    """Spoils each clip once per family and seed, restores it blind, and scores the recording, LTAS-EQ's, a plain
    ratio's and our restoration.

    A seed decides on the recording chain, its noise and the restoration. LTAS distances are those to the restorer's own
    reference. Besides, each clip is restored unspoiled, and one twice. Further `methods` are compared with ours by
    their names; "informed" is told the true response. `overrides` are settings, of which each method takes its own.
    """
    reference = reference_of(restorer)
    if not clips or not seeds:
        raise RestorationError("There is nothing to evaluate. Give one clip and one seed, or more.")
    options = {"preset": preset, "cancelled": cancelled}
    each = settings_of_each(restorer, preset, overrides, methods)
    blind = restoring(restorer, on_step=on_step, **(options | each[OURS]))
    ltas_eq = restoring(restorer, **(options | {"method": EQUALISING} | each[EQUALISING]))

    def other(name: str, degraded: Degraded) -> Compared:
        told = {"response": degraded.degradation.response} if name == INFORMED else {}
        restore = restoring(restorer, on_step=on_step, **(options | {"method": name} | each[name] | told))
        began = time.perf_counter()
        audio, response = restore(degraded.observation, degraded.seed)
        seconds = per_ten_seconds(began, degraded.observation)
        claims = restorer.method(name, preset, response_known=bool(told), **each[name]).changes and not told
        return Compared(score(audio, response if claims else None, degraded, reference, similarity), seconds)

    truths = [(name, as_truth(audio, sample_rate)) for name, audio, sample_rate in clips]
    kinds = {name: family_of(name) for name in families}  # a wrong name is better said before the first clip
    results = []
    for name, truth in truths:
        for family in kinds:
            for seed in seeds:
                degraded = spoiled(name, truth, seed, family)
                others = {name: other(name, degraded) for name in further(methods)}
                result = clip_result(degraded, blind, ltas_eq, restore_known, reference, similarity)
                results.append(replace(result, others=others))
    clean = [clean_result(name, truth, *blind(truth, seeds[0])) for name, truth in truths]
    again, _ = blind(results[0].degraded.observation, seeds[0])
    repeatable = torch.equal(matched(again, truths[0][1]), results[0].ours.audio)
    return Evaluation(tuple(results), tuple(clean), repeatable)


def reference_of(restorer: Restorer) -> ReferenceLtas:
    """The average spectrum that distances are measured to."""
    if restorer.reference is None:
        raise RestorationError("This checkpoint holds no average spectrum to compare with. Choose one that does.")
    return restorer.reference


def further(methods: Sequence[str]) -> list[str]:
    """The methods that are compared beside those that always are."""
    return [name for name in dict.fromkeys(methods) if name not in (OURS, EQUALISING)]


def settings_of_each(
    restorer: Restorer, preset: str, overrides: Mapping[str, Any], methods: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """The settings of our restoration, of LTAS-EQ and of further methods; what none uses is left to ours, which refuses
    it."""
    each = {
        name: restorer.used(name, preset, response_known=name == INFORMED, **overrides)
        for name in (OURS, EQUALISING, *further(methods))
    }
    elsewhere = {setting for name, used in each.items() if name != OURS for setting in used}
    own = {name: value for name, value in overrides.items() if name in each[OURS] or name not in elsewhere}
    return each | {OURS: own}


def restoring(restorer: Restorer, **options: Any) -> Restore:
    """The function that restores signals at SCORING_RATE with these options."""

    def restore(observation: Tensor, seed: int) -> tuple[Tensor, Curve]:
        restoration = restorer.restore(observation, SCORING_RATE, output_rate=SCORING_RATE, seed=seed, **options)
        return torch.from_numpy(restoration.audio[0]), restoration.response

    return restore


def as_truth(audio: Tensor, sample_rate: int) -> Tensor:
    """A clip (T,) as everything is scored against it."""
    return at_level(resample(audio.float()[None], sample_rate, SCORING_RATE)[0], TRUTH_LEVEL)


def spoiled(name: str, truth: Tensor, seed: int, family: str = "published") -> Degraded:
    """The truth (T,) degraded by one recording chain of a family, the same for the same seed and name."""
    degradation, aged = aged_by(name, truth, seed, family)
    band = recorded_band(aged, degradation.wall_hz)
    return Degraded(name, seed, degradation, truth, aged.recording, family, band)


def aged_by(name: str, truth: Tensor, seed: int, family: str = "published") -> tuple[Aging, Aged]:
    """One recording chain of a family, and in parts what it makes of the truth (T,).

    Every clip meets the same published machines, as in all tables; of the other families each meets its own.
    """
    own = seed if family == "published" else zlib.crc32(f"{family} {seed} {name}".encode())
    generator = torch.Generator().manual_seed(own)
    degradation = family_of(family).draw(generator)
    return degradation, age(truth, SCORING_RATE, degradation, generator)


def recorded_band(aged: Aged, wall_hz: float = math.inf) -> Band:
    """Where music is stronger than noise, around 1 kHz and at most from 100 Hz to 8 kHz, in steps of a sixth octave.

    The noise is what half of all moments exceed, as clicks hide nothing of what is between them. Above a coder's wall
    there is neither.
    """
    fft, hertz = 2048, BAND_STEPS_HZ
    weights = octave_means(hertz, SCORING_RATE, fft).float()
    music, noise = (weights @ power_spectrogram(part, fft, fft // 4) for part in (aged.music, aged.noise))
    clear = (music.mean(dim=1) > noise.median(dim=1).values) & (hertz <= wall_hz)
    middle = int((hertz - 1000).abs().argmin())
    first, last = run_around(clear, middle)
    return float(hertz[first]), float(hertz[max(last, middle + 1)])


def clip_result(
    degraded: Degraded,
    blind: Restore,
    ltas_eq: Restore,
    restore_known: RestoreKnown | None,
    reference: ReferenceLtas,
    similarity: Similarity | None = None,
) -> ClipResult:
    """The results of each method on one recording."""
    observation, seed = degraded.observation, degraded.seed
    began = time.perf_counter()
    restored = blind(observation, seed)
    seconds = per_ten_seconds(began, observation)
    known = None
    if restore_known is not None:
        informed = restore_known(observation, SCORING_RATE, degraded.degradation.response)
        known = band_si_sdr(informed, degraded.truth, SCORING_RATE)
    return ClipResult(
        degraded,
        input=score(observation, None, degraded, reference, similarity),
        ltas_eq=score(*ltas_eq(observation, seed), degraded, reference, similarity),
        ratio=score(*third_octave_ratio(observation, SCORING_RATE, reference), degraded, reference, similarity),
        ours=score(*restored, degraded, reference, similarity),
        seconds=seconds,
        known_si_sdr=known,
    )


def per_ten_seconds(began: float, observation: Tensor) -> float:
    """The seconds since `began`, per 10 s of an observation (T,)."""
    return (time.perf_counter() - began) * 10 * SCORING_RATE / len(observation)


def clean_result(name: str, truth: Tensor, audio: Tensor, response: Curve) -> CleanResult:
    """How much a restoration (T,) of the truth itself changed it, and how far from flat its response was."""
    changed = log_spectral_distance(matched(audio, truth), truth, SCORING_RATE, WHOLE_HZ)
    return CleanResult(name, changed, float(response_difference(response, FLAT).abs().max()))
