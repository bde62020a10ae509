"""How good a restoration is, where the truth is known: a good recording, degraded on purpose and restored blind.

Each measure is a short function of signals (T,) or (C, T); `evaluate_synthetic` takes them all on a set of clips, and
`summary` and `table` say what came out, beside what is demanded. Everything is scored at 22.05 kHz and one level.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from babe2.analysis import ReferenceLtas
from babe2.degradation import Degradation, ResponseFamily, degrade
from babe2.equalizer import Curve
from babe2.errors import RestorationError
from babe2.ltas_eq import at_unit_level
from babe2.pipeline import FLAT, Restorer
from babe2.run import OnStep
from babe2.transforms import bin_frequencies, decibels, ltas, resample, smooth_octaves

Clip = tuple[str, Tensor, int]  # its name, its sound (T,), its sample rate in Hz
RestoreKnown = Callable[[Tensor, int, Curve], Tensor]  # (observation (T,), sample_rate, response) -> restored (T,)
Restore = Callable[[Tensor, int], tuple[Tensor, Curve]]  # (observation (T,), seed) -> restored (T,), its response
Band = tuple[float, float]  # Hz

SCORING_RATE = 22050  # Hz
TRUTH_LEVEL = 0.08  # std to which the truth is brought, and every output with it

RECORDED_HZ = (100.0, 3000.0)  # what the old machines recorded
CORE_HZ = (120.0, 2500.0)  # where none of them is near an edge of its band
RESPONSE_HZ = (120.0, 6000.0)
LOST_HZ = (3000.0, SCORING_RATE / 2)
BRILLIANCE_HZ = (5000.0, 8000.0)
TONAL_HZ = (3500.0, 8000.0)
WHOLE_HZ = (RECORDED_HZ[0], LOST_HZ[1])

_HEARD = 2e-5  # power of a bin at TRUTH_LEVEL below which spectra count as equal: just above noise 58 dB down
_DITHER = 1e-10  # far below 16 bits; keeps digital silence from having no level at all


# Signals


def at_level(x: Tensor, level: float) -> Tensor:
    """x at a root mean square of `level`; silence stays as it is."""
    return x * (level / x.square().mean().sqrt().clamp(min=1e-12))


def matched(x: Tensor, truth: Tensor) -> Tensor:
    """x at the root mean square of the truth."""
    return at_level(x, float(truth.square().mean().sqrt()))


def band_passed(x: Tensor, sample_rate: int, band: Band) -> Tensor:
    """x (..., T) without anything outside a band: a brick wall in the FFT of the whole clip."""
    length = x.shape[-1]
    inside = _inside(torch.fft.rfftfreq(length, 1 / sample_rate, dtype=torch.float64, device=x.device), band)
    return torch.fft.irfft(torch.fft.rfft(x) * inside, length)


def _inside(hertz: Tensor, band: Band) -> Tensor:
    return (hertz >= band[0]) & (hertz <= band[1])


def _band_power(x: Tensor, sample_rate: int, band: Band, fft: int, hop: int) -> Tensor:
    """Power |X|^2 (..., bins of the band, N) in frames under a periodic Hann window, none of which leaves the clip."""
    window = torch.hann_window(fft, device=x.device, dtype=x.dtype)
    frames = torch.stft(x, fft, hop, window=window, center=False, return_complex=True)
    return frames[..., _inside(bin_frequencies(sample_rate, fft).to(x.device), band), :].abs().square()


def _coarse(x: Tensor, sample_rate: int, band: Band) -> Tensor:
    """The power (..., bins, N) on which level, envelope and flatness are measured: 46 ms every 12, at 22.05 kHz."""
    return _band_power(x, sample_rate, band, fft=1024, hop=256)


# Measures


def log_spectral_distance(x: Tensor, truth: Tensor, sample_rate: int, band: Band) -> float:
    """RMS difference of the spectra in dB over a band's bins, on average over frames; both at TRUTH_LEVEL or near."""
    levels = (decibels(_band_power(y, sample_rate, band, fft=2048, hop=512) + _HEARD) for y in (x, truth))
    difference = next(levels) - next(levels)
    return float(difference.square().mean(dim=-2).sqrt().mean())


def si_sdr(x: Tensor, truth: Tensor) -> float:
    """Scale-invariant ratio of signal to distortion, dB (Le Roux et al. 2019)."""
    x, truth = x.double().flatten(), truth.double().flatten()
    signal = truth * (x @ truth / (truth @ truth))
    return float(decibels(signal.square().sum()) - decibels((x - signal).square().sum()))


def band_si_sdr(x: Tensor, truth: Tensor, sample_rate: int, band: Band = CORE_HZ) -> float:
    """SI-SDR of what lies in a band, dB."""
    return si_sdr(*(band_passed(y.double(), sample_rate, band) for y in (x, truth)))


def response_difference(found: Curve, true: Curve, band: Band = RESPONSE_HZ) -> Tensor:
    """By how much one response lies above another, dB, at frequencies evenly spaced over the octaves of a band.

    The median is taken off: how loud a recording was made nobody can tell from it.
    """
    low, high = (math.log2(hertz) for hertz in band)
    hertz = 2 ** torch.linspace(low, high, 1000, dtype=torch.float64)
    difference = found.gain_db(hertz) - true.gain_db(hertz)
    return difference - difference.median()


def response_error(found: Curve, true: Curve, band: Band = RESPONSE_HZ) -> float:
    """Mean absolute difference of two responses over the octaves of a band, whatever their levels, dB."""
    return float(response_difference(found, true, band).abs().mean())


def level_error(x: Tensor, truth: Tensor, sample_rate: int, band: Band = BRILLIANCE_HZ) -> float:
    """By how much a band's mean power lies above the truth's, dB; below zero where too little is there."""
    powers = [_coarse(y, sample_rate, band).mean() + _DITHER for y in (x, truth)]
    return float(decibels(powers[0]) - decibels(powers[1]))


def envelope_correlation(x: Tensor, truth: Tensor, sample_rate: int, band: Band = BRILLIANCE_HZ) -> float:
    """How a band's level in dB, frame by frame, goes with the truth's: 1 in step, 0 not at all."""
    levels = [decibels(_coarse(y, sample_rate, band).mean(dim=-2) + _DITHER).double().flatten() for y in (x, truth)]
    ours, theirs = (level - level.mean() for level in levels)
    return float(ours @ theirs / (ours.norm() * theirs.norm()).clamp(min=1e-12))


def spectral_flatness(x: Tensor, sample_rate: int, band: Band = TONAL_HZ) -> float:
    """Geometric over arithmetic mean of a band's power, per frame, in dB: -2.5 for white noise, less for tones."""
    power = _coarse(x, sample_rate, band) + _DITHER
    return float((decibels(power).mean(dim=-2) - decibels(power.mean(dim=-2))).mean())


def flatness_excess(x: Tensor, truth: Tensor, sample_rate: int, band: Band = TONAL_HZ) -> float:
    """By how much flatter than the truth's a band's spectrum is, dB: haze where there should be harmonics."""
    return spectral_flatness(x, sample_rate, band) - spectral_flatness(truth, sample_rate, band)


def ltas_distance(x: Tensor, sample_rate: int, reference: ReferenceLtas) -> float:
    """How far the average colour is from that of a reference, dB (Eq. 14), both at unit level and in third octaves.

    DC is left out: neither ear nor prior knows it, and a reference without any would make it all that counts.
    """
    fft, rate = 2 * (len(reference.power) - 1), reference.sample_rate
    x = resample(torch.atleast_2d(x).float(), sample_rate, rate)
    heard = ltas(x / x.std().clamp(min=1e-12), fft, fft // 2, fft // 4)  # in the frames of `ltas_response`
    pair = (smooth_octaves(power.double(), rate)[1:] for power in (heard, at_unit_level(reference.power.to(heard))))
    found, known = pair
    return float(decibels(((found - known).abs() / known.clamp(min=1e-30)).mean()))


# The scores of one clip


@dataclass(frozen=True)
class Scores:
    """What one sound, at TRUTH_LEVEL, is worth beside the truth."""

    lsd_recorded: float  # dB
    si_sdr_gain: float  # dB over the recording as it came
    response_error: float | None  # dB; the recording as it came claims no response
    level_error: float  # dB, absolute
    envelope_correlation: float
    flatness_excess: float  # dB
    ltas_distance: float  # dB
    lsd_lost: float  # dB


@dataclass(frozen=True, eq=False)
class Degraded:
    """A clip and what an old machine made of it, at SCORING_RATE."""

    name: str
    seed: int
    degradation: Degradation
    truth: Tensor  # (T,) at TRUTH_LEVEL
    observation: Tensor  # (T,)


@dataclass(frozen=True, eq=False)
class Rendition:
    """A sound that stands for the truth, and what response its maker took the machine to have."""

    audio: Tensor  # (T,) at SCORING_RATE and TRUTH_LEVEL
    response: Curve | None
    scores: Scores


@dataclass(frozen=True, eq=False)
class ClipResult:
    """One clip through one machine and back."""

    degraded: Degraded
    input: Rendition
    ltas_eq: Rendition
    ours: Rendition
    seconds: float  # our restoration took per 10 s of sound
    known_si_sdr: float | None  # dB in CORE_HZ, given the true response; None where nobody can be given it


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


def score(audio: Tensor, response: Curve | None, degraded: Degraded, reference: ReferenceLtas) -> Rendition:
    """Any sound (T,) as long as the clip, brought to the truth's level and measured."""
    truth, rate = degraded.truth, SCORING_RATE
    x = matched(audio, truth)
    scores = Scores(
        lsd_recorded=log_spectral_distance(x, truth, rate, RECORDED_HZ),
        si_sdr_gain=band_si_sdr(x, truth, rate) - band_si_sdr(degraded.observation, truth, rate),
        response_error=None if response is None else response_error(response, degraded.degradation.response),
        level_error=abs(level_error(x, truth, rate)),
        envelope_correlation=envelope_correlation(x, truth, rate),
        flatness_excess=flatness_excess(x, truth, rate),
        ltas_distance=ltas_distance(x, rate, reference),
        lsd_lost=log_spectral_distance(x, truth, rate, LOST_HZ),
    )
    return Rendition(x, response, scores)


# Evaluating


def evaluate_synthetic(
    restorer: Restorer,
    clips: Sequence[Clip],
    *,
    seeds: Sequence[int] = (0,),
    preset: str = "standard",
    family: ResponseFamily | None = None,
    restore_known: RestoreKnown | None = None,
    on_step: OnStep | None = None,
    cancelled: Callable[[], bool] | None = None,
    **overrides: Any,
) -> Evaluation:
    """Spoils each clip once per seed, restores it blind, and scores the recording, LTAS-EQ's and our restoration.

    A seed decides on the machine, its noise and the restoration. LTAS distances are those to the restorer's own
    reference. Besides, each clip is restored unspoiled, and one twice. `overrides` are settings by name.
    """
    reference = restorer.reference
    if reference is None:
        raise RestorationError("This checkpoint holds no average spectrum to compare with. Choose one that does.")
    if not clips or not seeds:
        raise RestorationError("There is nothing to evaluate. Give one clip and one seed, or more.")
    options = {"preset": preset, "cancelled": cancelled} | overrides
    blind, ltas_eq = restoring(restorer, on_step=on_step, **options), restoring(restorer, method="ltas-eq", **options)
    truths = [(name, as_truth(audio, sample_rate)) for name, audio, sample_rate in clips]
    results = []
    for name, truth in truths:
        for seed in seeds:
            degraded = spoiled(name, truth, seed, family or ResponseFamily())
            results.append(clip_result(degraded, blind, ltas_eq, restore_known, reference))
    clean = [clean_result(name, truth, *blind(truth, seeds[0])) for name, truth in truths]
    again, _ = blind(results[0].degraded.observation, seeds[0])
    repeatable = torch.equal(matched(again, truths[0][1]), results[0].ours.audio)
    return Evaluation(tuple(results), tuple(clean), repeatable)


def restoring(restorer: Restorer, **options: Any) -> Restore:
    """What a restorer does with these options, to signals at SCORING_RATE."""

    def restore(observation: Tensor, seed: int) -> tuple[Tensor, Curve]:
        restoration = restorer.restore(observation, SCORING_RATE, seed=seed, **options)
        return torch.from_numpy(restoration.audio[0]), restoration.response

    return restore


def as_truth(audio: Tensor, sample_rate: int) -> Tensor:
    """A clip (T,) as everything is scored against it."""
    return at_level(resample(audio.float()[None], sample_rate, SCORING_RATE)[0], TRUTH_LEVEL)


def spoiled(name: str, truth: Tensor, seed: int, family: ResponseFamily) -> Degraded:
    """The truth (T,) through one machine of a family, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    degradation = family.draw(generator)
    return Degraded(name, seed, degradation, truth, degrade(truth, SCORING_RATE, degradation, generator))


def clip_result(
    degraded: Degraded, blind: Restore, ltas_eq: Restore, restore_known: RestoreKnown | None, reference: ReferenceLtas
) -> ClipResult:
    """Each method tried on one recording."""
    observation, seed = degraded.observation, degraded.seed
    began = time.perf_counter()
    restored = blind(observation, seed)
    seconds = (time.perf_counter() - began) * 10 * SCORING_RATE / len(observation)
    known = None
    if restore_known is not None:
        informed = restore_known(observation, SCORING_RATE, degraded.degradation.response)
        known = band_si_sdr(informed, degraded.truth, SCORING_RATE)
    return ClipResult(
        degraded,
        input=score(observation, None, degraded, reference),
        ltas_eq=score(*ltas_eq(observation, seed), degraded, reference),
        ours=score(*restored, degraded, reference),
        seconds=seconds,
        known_si_sdr=known,
    )


def clean_result(name: str, truth: Tensor, audio: Tensor, response: Curve) -> CleanResult:
    """What a restoration (T,) did to the truth itself, and the response it believed in."""
    changed = log_spectral_distance(matched(audio, truth), truth, SCORING_RATE, WHOLE_HZ)
    return CleanResult(name, changed, float(response_difference(response, FLAT).abs().max()))


# Saying it


class Interval(NamedTuple):
    """A mean, and the bounds between which it lies with a confidence of 95 %."""

    mean: float
    low: float
    high: float


def confidence(values: Sequence[float], seed: int = 0, draws: int = 2000) -> Interval:
    """The mean of the clips' scores, and how it would scatter had other clips like these been taken.

    The interval is the percentile bootstrap's; of one clip it is a point, which says nothing.
    """
    sample = np.asarray(values, dtype=float)
    chosen = np.random.default_rng(seed).integers(len(sample), size=(draws, len(sample)))
    low, high = np.quantile(sample[chosen].mean(axis=1), (0.025, 0.975))
    return Interval(float(sample.mean()), float(low), float(high))


class Measure(NamedTuple):
    """A row of the table: what is measured, and what is demanded of our restoration."""

    key: str
    title: str
    floor: str
    wanted: str


MEASURES = (
    Measure("seconds", "seconds for 10 s of sound", "<= 30", "<= 15"),
    Measure("lsd_recorded", "LSD 0.1-3 kHz, dB", "<= 3.7", "<= 3.0"),
    Measure("si_sdr_gain", "SI-SDR 120-2500 Hz, gain, dB", "> 0", ">= 2"),
    Measure("response_error", "response error to 6 kHz, dB", "<= 4", "<= 2.5"),
    Measure("level_error", "level error 5-8 kHz, dB", "<= 4.5", "<= 3.5"),
    Measure("envelope_correlation", "envelope correlation 5-8 kHz", ">= 0.60", ">= 0.75"),
    Measure("flatness_excess", "flatness over truth 3.5-8 kHz, dB", "<= 7", "<= 3"),
    Measure("ltas_distance", "LTAS distance to reference, dB", "<= -2.0", "<= -2.5"),
    Measure("lsd_lost", "LSD above 3 kHz, dB", "<= 7.5", "<= 6.5"),
    Measure("known_si_sdr", "response known: SI-SDR, dB", ">= 35", ">= 35"),
    Measure("clean_lsd", "clean input: LSD change, dB", "<= 1.5", "<= 1.5"),
    Measure("clean_deviation", "clean input: response off flat, dB", "<= 2", "<= 2"),
)
COLUMNS = {"input": "input", "ltas_eq": "LTAS-EQ", "ours": "ours [95 %]"}

Values = list[tuple[str, float | None]]  # by the names of clips, of which several may be the same


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Plain numbers and words, ready for JSON: the table's rows, and what they were made of."""
    return {
        "rows": [measure._asdict() | _columns(evaluation, measure.key) for measure in MEASURES],
        "repeatable": evaluation.repeatable,
        "clips": [_told(result) for result in evaluation.clips],
        "clean": [asdict(result) for result in evaluation.clean],
    }


def _columns(evaluation: Evaluation, key: str) -> dict[str, dict[str, float] | None]:
    """A measure's mean with its interval in each column, None where it says nothing."""
    results = evaluation.clips
    if key in {field.name for field in fields(Scores)}:
        return {
            column: _over_clips([(r.degraded.name, getattr(getattr(r, column).scores, key)) for r in results])
            for column in COLUMNS
        }
    ours: dict[str, Values] = {
        "seconds": [(result.degraded.name, result.seconds) for result in results],
        "known_si_sdr": [(result.degraded.name, result.known_si_sdr) for result in results],
        "clean_lsd": [(result.name, result.lsd) for result in evaluation.clean],
        "clean_deviation": [(result.name, result.deviation) for result in evaluation.clean],
    }
    return {column: _over_clips(ours[key]) if column == "ours" else None for column in COLUMNS}


def _over_clips(values: Values) -> dict[str, float] | None:
    """Several machines' scores of one clip are averaged first, as only clips are independent of each other."""
    by_clip: dict[str, list[float]] = {}
    for name, value in values:
        if value is not None:
            by_clip.setdefault(name, []).append(value)
    if not by_clip:
        return None
    return confidence([sum(scores) / len(scores) for scores in by_clip.values()])._asdict()


def _told(result: ClipResult) -> dict[str, Any]:
    """One clip's numbers."""
    scores = {column: asdict(getattr(result, column).scores) for column in COLUMNS}
    about = {"name": result.degraded.name, "seed": result.degraded.seed}
    return about | scores | {"seconds": result.seconds, "known_si_sdr": result.known_si_sdr}


def table(found: Mapping[str, Any]) -> str:
    """A `summary` as lines of text: measures down, the recording, LTAS-EQ, ours and what is demanded across."""
    lines = [["measure", *COLUMNS.values(), "floor", "wanted"]]
    for row in found["rows"]:
        cells = [_cell(row[column], whole=column == "ours") for column in COLUMNS]
        lines.append([row["title"], *cells, row["floor"], row["wanted"]])
    same = "bit-identical" if found["repeatable"] else "different"
    lines.append(["same seed twice", "-", "-", same, "bit-identical", "bit-identical"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _cell(interval: Mapping[str, float] | None, *, whole: bool) -> str:
    if interval is None:
        return "-"
    mean, low, high = (f"{interval[name]:.2f}" for name in Interval._fields)
    return f"{mean} [{low}, {high}]" if whole else mean
