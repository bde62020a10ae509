"""Sampled pianos: notes in, audio out.

The prior needs more hours of piano, in more rooms and registers, than there are free recordings of. This module plays
notes on sampled instruments and puts each excerpt into its own room, so that no microphone colours all of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, oaconvolve, sosfilt

RATE = 22050
LEVEL = 0.08
PEAK = 0.95
PAUSE = 2.0
LONGEST = 9.0
UNDAMPED = 89  # from here up a piano has no dampers

Notes = np.ndarray  # rows of (start s, end s with the pedal counted in, MIDI pitch, velocity)
Source = Callable[[], tuple[np.ndarray, float]]


def levelled(audio: np.ndarray) -> np.ndarray:
    """Without its mean, at the common level unless its peaks forbid it."""
    audio = audio - audio.mean()
    return (audio * min(LEVEL / audio.std(), PEAK / np.abs(audio).max())).astype(np.float32)


def without_pauses(audio: np.ndarray) -> np.ndarray:
    """Shorten silences to PAUSE seconds: a prior learns nothing from them."""
    hop = RATE // 20
    frames = len(audio) // hop
    power = (audio[: frames * hop].reshape(frames, hop) ** 2).mean(1)
    quiet = np.concatenate([[False], power < power.mean() * 1e-5, [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(int))).reshape(-1, 2) * hop
    half = int(PAUSE / 2 * RATE)
    cuts = [(a + half, b - half) for a, b in edges if b - a > 2 * half]
    ends = [a for a, _ in cuts] + [len(audio)]
    return np.concatenate([audio[a:b] for a, b in zip([0] + [b for _, b in cuts], ends, strict=True)])


def read_mono(path: Path) -> tuple[np.ndarray, float]:
    """A sound file as mono audio, with its rate."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return audio.mean(1), float(rate)


# ---------------------------------------------------------------- instruments


class Instrument:
    """Recorded notes by pitch and velocity layer; what lies between them is resampled from the nearest one."""

    def __init__(self, name: str, credit: str, tilt: float, layers: dict[int, dict[int, Source]]) -> None:
        self.name, self.credit, self.layers = name, credit, layers
        self.tilt = tilt  # dB/octave that brings these close microphones to the spectrum of real recordings
        self._tones: dict[tuple[int, int], np.ndarray] = {}

    def tone(self, pitch: int, velocity: float) -> np.ndarray:
        """One undamped note at RATE, at unit loudness (RMS of its first 0.4 s)."""
        layer = min(self.layers, key=lambda v: abs(v - velocity))
        key = (pitch, layer)
        if key not in self._tones:
            self._tones[key] = self._make(pitch, layer)
        return self._tones[key]

    def _make(self, pitch: int, layer: int) -> np.ndarray:
        root = min(self.layers[layer], key=lambda p: abs(p - pitch))
        audio, rate = self.layers[layer][root]()
        tone = soxr.resample(audio, rate * 2 ** ((pitch - root) / 12), RATE, "VHQ")[: int(LONGEST * RATE)]
        rumble = min(0.5 * 440 * 2 ** ((pitch - 69) / 12), 50.0)  # louder than the string in some top notes
        tone = sosfilt(butter(2, rumble, "high", fs=RATE, output="sos"), tone - tone.mean())
        fade_in, fade_out = 12, len(tone) // 6
        tone[:fade_in] *= np.linspace(0, 1, fade_in)
        tone[-fade_out:] *= np.cos(np.linspace(0, np.pi / 2, fade_out)) ** 2
        return (tone / np.sqrt((tone[: int(0.4 * RATE)] ** 2).mean())).astype(np.float32)


SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SHARPS = {"s": 1, "#": 1, "b": -1, "": 0}
NOTE = re.compile(r"([A-G])([s#b]?)(-?\d)")


def pitch_of(name: str) -> int:
    """The MIDI pitch of a file named by number or by note, where middle C is C4: `060_v10`, `Fs3vH`, `piano_Ab4`."""
    if name[:3].isdigit():
        return int(name[:3])
    letter, sign, octave = NOTE.findall(name)[-1]
    return 12 * (int(octave) + 1) + SEMITONES[letter] + SHARPS[sign]


def sampled(
    folder: Path, name: str, credit: str, tilt: float, velocities: dict[str, int], shift: int = 0
) -> Instrument:
    """An instrument from files named by pitch and, where there are several, layer; `shift` corrects names that count
    from elsewhere."""
    layers: dict[int, dict[int, Source]] = {v: {} for v in velocities.values()}
    for path in sorted(folder.glob("*.ogg")):
        layer = next(v for mark, v in velocities.items() if mark in path.stem)
        layers[layer][pitch_of(path.stem) + shift] = lambda path=path: read_mono(path)
    return Instrument(name, credit, tilt, layers)


# Generators of the SoundFont 2 format that a plain piano uses.
SF_KEYS, SF_ROOT, SF_SAMPLE, SF_INSTRUMENT, SF_PAN, SF_DECAY = 43, 58, 53, 41, 17, 36


def soundfont_tables(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Where each chunk of a SoundFont lies: offset and length by name."""
    found, position = {}, 12
    while position < len(data):
        size = struct.unpack_from("<I", data, position + 4)[0]
        inner, stop = position + 12, position + 8 + size
        while inner < stop:
            name, length = struct.unpack_from("<4sI", data, inner)
            found[name] = (inner + 8, length)
            inner += 8 + length + length % 2
        position = stop + size % 2
    return found


def soundfont_zones(data: bytes, program: int) -> Iterator[tuple[dict[int, int], tuple]]:
    """The key zones, with their sample headers, of the loudest layer of a bank-0 program."""
    tables = soundfont_tables(data)

    def rows(name: bytes, form: str) -> list[tuple]:
        start, size = tables[name]
        return list(struct.iter_unpack("<" + form, data[start : start + size]))

    presets, instruments, headers = rows(b"phdr", "20sHHHIII"), rows(b"inst", "20sH"), rows(b"shdr", "20sIIIIIBbHH")
    bags, generators = rows(b"pbag", "HH"), rows(b"pgen", "HH")
    at = next(i for i, p in enumerate(presets) if p[1] == program and p[2] == 0)
    zones = [dict(generators[bags[b][0] : bags[b + 1][0]]) for b in range(presets[at][3], presets[at + 1][3])]
    chosen = max((z for z in zones if SF_INSTRUMENT in z), key=lambda z: z.get(44, 0x7F00) >> 8)[SF_INSTRUMENT]
    bags, generators = rows(b"ibag", "HH"), rows(b"igen", "Hh")
    for b in range(instruments[chosen][1], instruments[chosen + 1][1]):
        zone = dict(generators[bags[b][0] : bags[b + 1][0]])
        if SF_SAMPLE in zone:
            yield zone, headers[zone[SF_SAMPLE]]


def looped(data: bytes, start: int, zone: dict[int, int], header: tuple, slope: float) -> tuple[np.ndarray, float]:
    """One SoundFont sample, its loop carried on and decaying; `slope` (dB/octave above 800 Hz) makes a soft layer."""
    _, first, _, loop, loop_end, rate = header[:6]
    audio = np.frombuffer(data, "<i2", loop_end - first, start + 2 * first).astype(np.float32) / 32768
    length = int(LONGEST * 1.5 * rate)
    audio = np.concatenate([audio, np.resize(audio[loop - first :], max(0, length - len(audio)))])[:length]
    seconds = 2 ** (zone.get(SF_DECAY, 2854) / 1200)  # for 100 dB
    audio = audio * 10 ** (-5 * np.arange(length) / rate / seconds)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1 / rate), 800) / 800)
    return np.fft.irfft(np.fft.rfft(audio) * 10 ** (-slope * octaves / 20), length).astype(np.float32), float(rate)


def soundfont_piano(path: Path, name: str, credit: str, tilt: float, left: bool) -> Instrument:
    """The grand of a General MIDI SoundFont, one of its two microphones (their sum would comb)."""
    data = path.read_bytes()
    start = soundfont_tables(data)[b"smpl"][0]
    layers: dict[int, dict[int, Source]] = {}
    for velocity, slope in ((30, 6.0), (60, 3.5), (90, 1.5), (118, 0.0)):
        layers[velocity] = {
            z[SF_ROOT]: lambda z=z, h=h, slope=slope: looped(data, start, z, h, slope)
            for z, h in soundfont_zones(data, 0)
            if (z.get(SF_PAN, 0) < 0) == left
        }
    return Instrument(name, credit, tilt, layers)


# ---------------------------------------------------------------- playing


@dataclass
class Touch:
    """How an excerpt is played, beyond its notes."""

    dynamics: float  # dB per step of velocity
    gamma: float  # velocity curve
    bass: float  # dB/octave below middle C: how much lighter the left hand is
    release: float  # factor on the damping time
    timing: float  # s
    level: float  # dB


def random_touch(rng: np.random.Generator) -> Touch:
    """Somebody's hands."""
    return Touch(
        dynamics=rng.uniform(0.16, 0.28),
        gamma=rng.uniform(0.7, 1.4),
        bass=rng.uniform(-2.5, 0),
        release=rng.uniform(0.7, 1.4),
        timing=0.002,
        level=rng.uniform(0.3, 1.0),
    )


# How loud the keys of an evenly voiced grand sound against middle C: MIDI pitch, dB.
BALANCE = ([21, 36, 51, 60, 72, 84, 93, 108], [3, 3, 2.5, 0, -1, -2.5, -6, -11])


def play(notes: Notes, instrument: Instrument, touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """All notes of an excerpt, dry."""
    velocity = 127 * (notes[:, 3] / 127) ** touch.gamma
    gains = touch.dynamics * (velocity - 64) + np.interp(notes[:, 2], *BALANCE) + rng.normal(0, touch.level, len(notes))
    gains += touch.bass * np.maximum(60 - notes[:, 2], 0) / 12
    starts = np.maximum(notes[:, 0] + rng.normal(0, touch.timing, len(notes)), 0)
    out = np.zeros(int((notes[:, 1].max() + 3) * RATE), np.float32)
    for start, end, pitch, v, gain in zip(starts, notes[:, 1], notes[:, 2], velocity, gains, strict=True):
        sound = damped(instrument.tone(int(pitch), v), end - start, int(pitch), touch.release)
        at = int(start * RATE)
        sound = sound[: len(out) - at]
        out[at : at + len(sound)] += sound * np.float32(10 ** (gain / 20))
    return out


def damped(tone: np.ndarray, seconds: float, pitch: int, release: float) -> np.ndarray:
    """A tone cut by its damper: quick in the treble, slow on the heavy strings, not at all at the top."""
    constant = release * np.interp(pitch, [21, 45, 60, 88], [0.11, 0.075, 0.05, 0.03])
    hold, tail = int(max(seconds, 0.03) * RATE), int(7 * constant * RATE)
    if pitch >= UNDAMPED or hold >= len(tone):
        return tone
    sound = tone[: hold + tail].copy()
    sound[hold:] *= np.exp(-np.arange(len(sound) - hold, dtype=np.float32) / np.float32(constant * RATE))
    return sound


# ---------------------------------------------------------------- rooms and microphones


@dataclass
class Place:
    """The room, the microphone and the noise of one excerpt."""

    reverberation: float  # RT60 at 500 Hz, s
    wet: float | None  # dB, None is dry
    tilt: float  # dB/octave above the knee
    knee: float  # Hz
    bumps: list[tuple[float, float, float]]  # Hz, dB, width in octaves
    low: float  # roll-off, Hz
    noise: float  # dB below the music
    colour: float  # power law of the noise
    tuning: float  # semitones


def random_place(tilt: float, rng: np.random.Generator) -> Place:
    """Anything from a dry booth to a hall, its tilt around the one given."""
    bumps = [
        (float(np.exp(rng.uniform(np.log(80), np.log(8000)))), rng.uniform(-3, 3), rng.uniform(0.7, 2.0))
        for _ in range(rng.integers(0, 4))
    ]
    return Place(
        reverberation=float(np.exp(rng.uniform(np.log(0.2), np.log(1.8)))),
        wet=None if rng.random() < 0.15 else rng.uniform(-25, -6),
        tilt=float(np.clip(rng.normal(tilt, 2), -10, 1)),
        knee=float(np.exp(rng.uniform(np.log(900), np.log(2600)))),
        bumps=bumps,
        low=rng.uniform(40, 110) if rng.random() < 0.3 else 18.0,
        noise=rng.uniform(-80, -55),
        colour=rng.uniform(0.8, 2.0),
        tuning=float(np.clip(rng.normal(0, 0.12), -0.5, 0.5)),
    )


def equalizer(place: Place, size: int = 8192) -> np.ndarray:
    """Minimum-phase impulse response of tilt, bumps and low roll-off."""
    f = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1.0)
    db = place.tilt * np.log2(1 + (f / place.knee) ** 2) / 2
    for centre, gain, width in place.bumps:
        db += gain * np.exp(-0.5 * (np.log2(f / centre) / (width / 2)) ** 2)
    db -= 10 * np.log10(1 + (place.low / f) ** 4)
    cepstrum = np.fft.irfft(np.maximum(db, -60) / 20 * np.log(10))
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    response = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[: size // 2]
    response[-size // 8 :] *= np.linspace(1, 0, size // 8)
    return response.astype(np.float32)


def room(place: Place, rng: np.random.Generator) -> np.ndarray:
    """Direct sound, a few reflections and a tail of noise that dies sooner the higher it is."""
    if place.wet is None:
        return np.ones(1, np.float32)
    size = int(1.1 * place.reverberation * RATE) + RATE // 10
    spectrum, f = np.fft.rfft(rng.normal(size=size)), np.fft.rfftfreq(size, 1 / RATE)
    time, tail = np.arange(size) / RATE, np.zeros(size)
    edges = [0, 250, 500, 1000, 2000, 4000, RATE]
    for low, high, part in zip(edges, edges[1:], (1.15, 1.1, 1.0, 0.85, 0.65, 0.45), strict=False):
        band = np.fft.irfft(np.where((f >= low) & (f < high), spectrum, 0), size)
        tail += band * 10 ** (-3 * time / (place.reverberation * part))
    delay = int(rng.uniform(0.004, 0.025) * RATE)
    tail = np.concatenate([np.zeros(delay), tail])[:size]
    for at in rng.uniform(0.003, 0.05, 6):
        tail[int(at * RATE)] += rng.choice([-1, 1]) * np.abs(tail).max() * rng.uniform(0.5, 1.5)
    tail *= 10 ** (place.wet / 20) / np.sqrt((tail**2).sum())
    tail[0] += 1
    return tail.astype(np.float32)


def background(size: int, colour: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit RMS whose power falls as frequency to the power of `colour`."""
    spectrum = np.fft.rfft(rng.normal(size=size).astype(np.float32))
    f = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20)
    noise = np.fft.irfft(spectrum * f ** (-colour / 2), size)
    return noise / noise.std()


def record(dry: np.ndarray, place: Place, rng: np.random.Generator) -> np.ndarray:
    """Put a dry excerpt into its place and level it."""
    response = oaconvolve(room(place, rng), equalizer(place))
    sound = oaconvolve(dry, response)[: len(dry) + len(response) // 2]
    if place.tuning:
        sound = soxr.resample(sound.astype(np.float32), RATE * 2 ** (place.tuning / 12), RATE, "HQ")
    seconds = 10
    noise = np.resize(background(seconds * RATE, place.colour, rng), len(sound))
    sound = sound + noise * sound.std() * 10 ** (place.noise / 20)
    edge = RATE // 50
    sound[:edge] *= np.linspace(0, 1, edge)
    sound[-edge:] *= np.linspace(1, 0, edge)
    return levelled(without_pauses(sound))
