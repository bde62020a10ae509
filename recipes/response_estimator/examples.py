"""Made-up old recordings and what is true of them: what the estimator of responses learns from."""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from babe2.analysis import evidence as ev
from babe2.degradations.aging import Aging, age
from babe2.degradations.families import FAMILIES
from babe2.dsp.bands import octave_means
from babe2.dsp.curves import Curve
from babe2.dsp.spectra import ReferenceLtas, average_power, decibels, power_spectrogram

log = logging.getLogger("examples")

RATE = 22050
CHANCES = {
    "published": 0.12,
    "horn": 0.2,
    "cylinder": 0.08,
    "electric": 0.18,
    "radio": 0.12,
    "transfer": 0.18,
    "modern": 0.12,
}
SECONDS = (5.0, 6.0, 7.0, 9.0, 14.0)  # of which transforms are fast, also with a second behind
STEP = 441  # samples
SMOOTH = sorted({2**a * 3**b * 5**c * 7**d for a in range(10) for b in range(6) for c in range(4) for d in range(3)})
FASTER = (0.96, 1.18)  # a piece is played so many times as fast: other pitches, other formants
TILT_DB, TILT_HZ = 1.5, 700.0  # how far music differs that no machine made different, std per octave above
BUMP_DB = 1.2
SAME_ROOM = 0.35  # chance that the reference is of the same instrument and room
PER_SHARD = 400
FFT = 4096


@dataclass(frozen=True)
class Track:
    """One recording to take excerpts from."""

    sound: np.ndarray  # (T,) int16
    chance: float
    reference: ReferenceLtas  # of all music of its kind


def mean_spectrum(sounds: list[np.ndarray]) -> ReferenceLtas:
    """The average spectrum of recordings, each at unit level."""
    total = torch.zeros(FFT // 2 + 1)
    for sound in sounds:
        x = torch.from_numpy(sound.astype(np.float32))
        total += average_power((x / x.std())[None, None], FFT, FFT // 4)
    return ReferenceLtas(total / len(sounds), RATE)


def tracks_of(folders: dict[str, float], kinds: dict[str, str]) -> list[Track]:
    """Arrays whose paths match patterns, each with its chance, beside the mean of their kind."""
    found = {pattern: [np.load(p, mmap_mode="r") for p in sorted(Path("/").glob(pattern[1:]))] for pattern in folders}
    references = {}
    for kind in set(kinds.values()):
        # The statistics of real recordings, as the prior's.
        mine = [sound for pattern, sounds in found.items() for sound in sounds if kinds[pattern] == kind]
        real = [
            sound
            for pattern, sounds in found.items()
            for sound in sounds
            if kinds[pattern] == kind and "real" in pattern
        ]
        references[kind] = mean_spectrum(real or mine)
    return [
        Track(sound, chance / sum(len(s) for s in found[pattern]) * len(sound), references[kinds[pattern]])
        for pattern, chance in folders.items()
        for sound in found[pattern]
    ]


def excerpt(track: Track, rng: np.random.Generator, seconds: float, faster: float, colour: Curve) -> Tensor:
    """Some music (T,), played so many times as fast, with the colour of its instrument and room."""
    longest = len(track.sound) / RATE / faster
    count = round(RATE * max((s for s in SECONDS if s <= min(seconds, longest)), default=min(SECONDS)))
    length = STEP * max(n for n in SMOOTH if STEP * n <= min(count * faster, len(track.sound)))
    for _ in range(20):
        start = int(rng.integers(max(1, len(track.sound) - length)))
        x = np.asarray(track.sound[start : start + length], np.float32)
        if x.std() > 30:
            break
    x = x / max(float(x.std()), 1.0)
    spectrum = torch.fft.rfft(torch.from_numpy(x))[: count // 2 + 1]
    hertz = torch.linspace(0, RATE / 2, count // 2 + 1)[1 : len(spectrum)]
    spectrum[1:] *= 10 ** (colour.gain_db(hertz) / 20)
    return torch.fft.irfft(spectrum, count)


@dataclass(frozen=True)
class Colour(Curve):
    """How this instrument, room and microphone differ from others."""

    tilt: float
    bumps: tuple[tuple[float, float, float], ...]

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        octaves = torch.log2(frequencies)
        gain = self.tilt * (octaves - np.log2(TILT_HZ)).clamp(min=0)
        for centre, height, width in self.bumps:
            gain = gain + height * torch.exp(-0.5 * ((octaves - centre) / width) ** 2)
        return gain


def random_colour(rng: np.random.Generator) -> Colour:
    """Drawn afresh for every example."""
    bumps = tuple((rng.uniform(6.5, 13), rng.normal(0, BUMP_DB), rng.uniform(0.3, 0.8)) for _ in range(2))
    return Colour(rng.normal(0, TILT_DB), bumps)


def in_bands(x: Tensor) -> Tensor:
    """The mean power of sound (T,) in each band (K,)."""
    fft = ev.frame_length(RATE)
    power = average_power(x[None, None], fft, fft // 2).double()
    return octave_means(ev.band_centres(), RATE, fft) @ power


def background_in_bands(x: Tensor) -> Tensor:
    """The power of noise (T,) in each band (K,) between its clicks: what half of all moments exceed, as of hiss."""
    fft = ev.frame_length(RATE)
    powers = octave_means(ev.band_centres(), RATE, fft).float() @ power_spectrogram(x, fft, fft // 4)
    # The median of a band's power is below its mean, the more so the fewer bins it has.
    degrees = 2 * ev.band_centres() * 0.23 / (RATE / fft) + 2
    typical = powers.median(dim=1).values.double() / (1 - 2 / (9 * degrees)) ** 3
    return typical * 2 / (fft * torch.hann_window(fft).square().sum())


def true_response(aging: Aging) -> Tensor:
    """The response at each band (K,), dB, over a sixth of an octave."""
    steps = 2.0 ** (torch.arange(-2, 3, dtype=torch.float64) / 24)
    hertz = ev.band_centres()[:, None] * steps
    return aging.response.gain_db(hertz.flatten()).reshape(hertz.shape).mean(dim=1).clamp(min=-90)


def example(tracks: list[Track], chances: np.ndarray, seed: tuple[int, ...]) -> dict[str, np.ndarray] | None:
    """One recording: its evidence, and the truth."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    track = tracks[rng.choice(len(tracks), p=chances)]
    faster, colour = rng.uniform(*FASTER), random_colour(rng)
    seconds = float(rng.choice(SECONDS))
    clean = excerpt(track, rng, seconds, faster, colour)
    name = str(rng.choice(list(CHANCES), p=np.array(list(CHANCES.values())) / sum(CHANCES.values())))
    aging = FAMILIES[name].draw(generator)
    aged = age(clean, RATE, aging, generator)
    found = ev.evidence_of(aged.recording[None], RATE)
    if found is None or not aged.recording.isfinite().all():
        return None
    same = rng.random() < SAME_ROOM
    reference = track.reference
    if same:
        other = excerpt(track, rng, 9.0, faster, colour)
        reference = mean_spectrum([other.numpy() * 1000])
    music, before = in_bands(aged.music), in_bands(clean)
    noise = background_in_bands(aged.noise)
    return {
        "features": ev.beside(found, ev.reference_levels(reference)).numpy().astype(np.float16),
        "same": np.float16(same),
        "response": true_response(aging).numpy().astype(np.float16),
        "snr": (decibels(music) - decibels(noise)).clamp(-80, 80).numpy().astype(np.float16),
        "clean": (decibels(before) - decibels(ev.power_in(before, ev.LEVEL_HZ)))
        .clamp(-120, 60)
        .numpy()
        .astype(np.float16),
        "background": np.float16(1.0),
        "ends": np.float16(aging.response.high_hz is not None),
        "family": np.int16(list(FAMILIES).index(name)),
    }


def main() -> None:
    """Writes shards of examples until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with piano/ and voice/ as prepared")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--split", default="train", choices=("train", "validation"))
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    root = args.data.resolve()
    if args.split == "train":
        folders = {
            f"{root}/piano/train/real-*.npy": 0.42,
            f"{root}/piano/train/render-*.npy": 0.46,
            f"{root}/voice/train/*.npy": 0.12,
        }
    else:
        folders = {f"{root}/piano/validation/*.npy": 0.8, f"{root}/voice/validation/*.npy": 0.2}
    kinds = {pattern: "voice" if "/voice/" in pattern else "piano" for pattern in folders}
    tracks = tracks_of(folders, kinds)
    if args.split == "validation":
        train = tracks_of(
            {f"{root}/piano/train/real-*.npy": 1.0, f"{root}/voice/train/*.npy": 1.0},
            {f"{root}/piano/train/real-*.npy": "piano", f"{root}/voice/train/*.npy": "voice"},
        )
        known = {"piano": train[0].reference, "voice": train[-1].reference}
        tracks = [Track(t.sound, t.chance, known["piano" if n < 2 else "voice"]) for n, t in enumerate(tracks)]
    chances = np.array([track.chance for track in tracks])
    chances /= chances.sum()
    args.output.mkdir(parents=True, exist_ok=True)
    for shard in range(args.shards):
        target = args.output / f"{args.split}-{args.seed}-{shard:04}.npz"
        if target.exists():
            continue
        rows = [example(tracks, chances, (args.seed, shard, i)) for i in range(PER_SHARD)]
        rows = [row for row in rows if row is not None]
        scratch = target.with_suffix(".part.npz")
        np.savez(scratch, **{key: np.stack([row[key] for row in rows]) for key in rows[0]})
        os.replace(scratch, target)
        log.info("%s: %d", target.name, len(rows))


if __name__ == "__main__":
    main()
