"""Performances: recorded ones, scores played with some humanity, and pieces made up for variety. All become notes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np

Notes = np.ndarray  # rows of (start s, end s with the pedal counted in, MIDI pitch, velocity)
Score = np.ndarray  # rows of (start, length in quarter notes, MIDI pitch, stress in steps of velocity)

LOWEST, HIGHEST = 21, 108


# ---------------------------------------------------------------- recorded performances


@cache
def read_midi(path: Path) -> Notes:
    """A recorded performance; notes last until the pedal lets them go."""
    time, pedal = 0.0, False
    down: dict[int, list[float]] = {}
    held: list[list[float]] = []
    notes: list[list[float]] = []
    for message in mido.MidiFile(path):
        time += message.time
        if message.type == "control_change" and message.control == 64:
            if pedal and message.value < 64:
                for note in held:
                    note[1] = time
                held = []
            pedal = message.value >= 64
        elif message.type in ("note_on", "note_off"):
            note = down.pop(message.note, None)
            if note is not None:
                note[1] = time
                if pedal:
                    held.append(note)
            if message.type == "note_on" and message.velocity:
                down[message.note] = [time, time, message.note, message.velocity]
                notes.append(down[message.note])
    for note in [*held, *down.values()]:
        note[1] = time + 1
    return restruck(np.array(notes, float))


def restruck(notes: Notes) -> Notes:
    """A key struck again takes over from its earlier, pedalled sound."""
    notes = notes[np.argsort(notes[:, 0], kind="stable")]
    for pitch in np.unique(notes[:, 2]):
        mine = np.flatnonzero(notes[:, 2] == pitch)
        notes[mine[:-1], 1] = np.minimum(notes[mine[:-1], 1], notes[mine[1:], 0])
    notes[:, 1] = np.maximum(notes[:, 1], notes[:, 0] + 0.03)
    return notes


def window(notes: Notes, start: float, seconds: float) -> Notes:
    """The notes that begin within a stretch of time, moved to begin at zero."""
    inside = notes[(notes[:, 0] >= start) & (notes[:, 0] < start + seconds)].copy()
    if len(inside):
        inside[:, :2] -= inside[0, 0]
    return inside


# ---------------------------------------------------------------- scores


@cache
def read_score(name: str) -> Score:
    """A piece of music21's corpus, all parts on one keyboard, tied notes joined."""
    from music21 import corpus

    rows, tied = [], {}
    for element in corpus.parse(name).flatten().notes:
        for note in getattr(element, "notes", [element]):
            if not hasattr(note, "pitch") or element.quarterLength <= 0:
                continue
            start, length, pitch = float(element.offset), float(element.quarterLength), note.pitch.midi
            tie = note.tie.type if note.tie else None
            before = tied.get(pitch)
            if tie in ("continue", "stop") and before and abs(before[0] + before[1] - start) < 0.01:
                before[1] += length
                continue
            rows.append([start, length, pitch, 0.0])
            if tie == "start":
                tied[pitch] = rows[-1]
    score = np.array(rows, float)
    score[:, 2] = np.where(score[:, 2] > HIGHEST - 6, score[:, 2] - 12, score[:, 2])
    _, first = np.unique(np.round(score[:, [0, 2]], 3), axis=0, return_index=True)  # unisons between parts
    return score[np.sort(first)][np.argsort(score[np.sort(first), 0], kind="stable")]


def drift(steps: int, rng: np.random.Generator, period: int, depth: float) -> np.ndarray:
    """A smooth random curve around zero, one value a step."""
    knots = rng.normal(0, depth, steps // period + 3)
    return np.interp(np.arange(steps), np.arange(len(knots)) * period, knots)


def stressed(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Velocities: the top voice sings, the bass is firm, beats carry weight, phrases swell."""
    start, pitch = score[:, 0], score[:, 2]
    velocity = rng.uniform(45, 78) + score[:, 3] + rng.normal(0, 4, len(score))
    beats = int(start.max()) + 2
    velocity += np.interp(start, np.arange(beats), drift(beats, rng, int(rng.integers(4, 12)), 11))
    velocity += 3 * (start % 1 < 0.01) + 4 * (start % rng.choice([2, 3, 4]) < 0.01)
    for onset in np.unique(start):
        now = np.flatnonzero(start == onset)
        velocity[now] -= 7 * (len(now) > 2)
        velocity[now[np.argmax(pitch[now])]] += 10 + 4 * (len(now) > 2)
        velocity[now[np.argmin(pitch[now])]] += 3
    return np.clip(velocity, 12, 124)


def clock(score: Score, rng: np.random.Generator, pace: float) -> Callable[[np.ndarray], np.ndarray]:
    """Seconds as a function of quarter notes: about `pace` onsets a second, breathing, slower at the end."""
    length = int(np.ceil((score[:, 0] + score[:, 1]).max())) + 1
    quarter = len(np.unique(score[:, 0])) / max(score[:, 0].max(), 1) / pace
    grid = np.arange(4 * length + 1) / 4
    local = np.clip(quarter, 0.25, 1.6) * np.exp(drift(len(grid), rng, 12, 0.07) + drift(len(grid), rng, 2, 0.015))
    local *= 1 + 0.5 * np.clip(1 - (length - grid) / 4, 0, 1)
    seconds = np.concatenate([[0], np.cumsum(local[:-1] / 4)])
    return lambda quarters: np.interp(quarters, grid, seconds)


def humanised(score: Score, rng: np.random.Generator, pace: float | None = None) -> Notes:
    """Play a score: tempo that drifts, voices that stand out, chords that spread, a foot on the pedal."""
    score = score.copy()
    score[:, 0] -= score[:, 0].min()
    time = clock(score, rng, pace or rng.uniform(2.2, 7.0))
    touch = rng.choice([0.55, 0.8, 0.95, 1.02], p=[0.1, 0.2, 0.4, 0.3])
    begin, end = time(score[:, 0]), time(score[:, 0] + score[:, 1] * touch)
    spread = rng.uniform(0.005, 0.03)
    for onset in np.unique(score[:, 0]):
        now = np.flatnonzero(score[:, 0] == onset)
        begin[now[np.argsort(score[now, 2])]] += np.linspace(0, spread, len(now)) if len(now) > 1 else 0
    begin = np.maximum(begin + rng.normal(0, 0.006, len(begin)), 0)
    notes = np.stack([begin, np.maximum(end, begin + 0.05), score[:, 2], stressed(score, rng)], 1)
    if rng.random() < 0.65:
        notes = pedalled(notes, time, rng.choice([1, 2, 2, 4]), score)
    return restruck(notes)


def pedalled(notes: Notes, time: Callable[[np.ndarray], np.ndarray], every: int, score: Score) -> Notes:
    """Hold notes to the next change of pedal, which comes a moment after the beat."""
    changes = time(np.arange(0, (score[:, 0] + score[:, 1]).max() + 2 * every, every)) + 0.08
    following = changes[np.minimum(np.searchsorted(changes, notes[:, 1]), len(changes) - 1)]
    notes[:, 1] = np.where(notes[:, 0] < following - 0.2, np.maximum(notes[:, 1], following), notes[:, 1])
    return notes


# ---------------------------------------------------------------- made-up pieces

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)
PROGRESSIONS = (
    (0, 3, 4, 0),
    (0, 5, 3, 4),
    (0, 4, 5, 2, 3, 0, 3, 4),
    (0, 5, 1, 4),
    (0, 3, 6, 2, 5, 1, 4, 0),
    (0, 1, 4, 5),
)


def degree(scale: tuple[int, ...], step: int) -> int:
    """Semitones above the tonic of a step of the scale, octaves counted on."""
    return scale[step % 7] + 12 * (step // 7)


def figure(kind: str, chord: list[int], rng: np.random.Generator) -> list[list[float]]:
    """One bar of four quarters over a chord, as start, length, pitch, stress."""
    if kind == "arpeggio":
        tones = chord + [p + 12 for p in chord]
        order = tones + tones[-2:0:-1] if rng.random() < 0.5 else tones
        step = rng.choice([0.25, 0.5, 1 / 3])
        return [[i * step, step * 1.5, order[i % len(order)], 0] for i in range(round(4 / step))]
    if kind == "chords":
        rhythm = [[0, 4], [0, 2, 4], [0, 1, 2, 3, 4], [0, 1.5, 2, 3.5, 4]][rng.integers(4)]
        return [[a, (b - a) * 0.9, p, 0] for a, b in pairwise(rhythm) for p in chord]
    if kind == "alberti":
        return [[i * 0.5, 0.5, chord[(0, 2, 1, 2)[i % 4]], 0] for i in range(8)]
    if kind == "stride":
        bass = [[b, 0.9, chord[0] - 12, 6] for b in (0, 2)]
        return bass + [[b, 0.6, p, -6] for b in (1, 3) for p in chord]
    if kind == "octaves":
        return [[b, 1.0, chord[0] + shift, 5] for b in range(4) for shift in (-12, 0)]
    if kind == "repeated":
        step = rng.choice([0.25, 0.5])
        return [[i * step, step * 0.8, chord[(int(i * step) + 1) % 3], 0] for i in range(round(4 / step))]
    return [[0, 4, p, 0] for p in chord]  # held


def melody(scale: tuple[int, ...], base: int, bars: int, rng: np.random.Generator) -> list[list[float]]:
    """A line that walks the scale, with leaps and rests."""
    rows, at, step = [], 0.0, int(rng.integers(0, 7))
    fast = rng.random() < 0.35
    while at < 4 * bars:
        length = float(rng.choice([0.25, 0.5, 0.5, 1.0] if fast else [0.5, 1.0, 1.0, 1.5, 2.0]))
        if rng.random() > 0.1:
            rows.append([at, length, base + degree(scale, step), 8])
        leap = rng.random() < 0.2
        step = int(np.clip(step + rng.choice([-4, -3, 3, 4, 5] if leap else [-2, -1, -1, 1, 1, 2, 0]), -5, 14))
        at += length
    return rows


def run(scale: tuple[int, ...], base: int, bars: int, rng: np.random.Generator) -> list[list[float]]:
    """Scales up and down the keyboard, alone or in octaves."""
    step, octaves = rng.choice([0.25, 0.5, 1 / 3]), rng.integers(2, 5)
    count, shifts = round(4 * bars / step), (0, 12) if rng.random() < 0.3 else (0,)
    turn = 7 * octaves
    heights = [turn - abs(i % (2 * turn) - turn) for i in range(count)]
    return [[i * step, step, base + degree(scale, h) + s, 0] for i, h in enumerate(heights) for s in shifts]


FIGURES = ("arpeggio", "arpeggio", "chords", "alberti", "stride", "octaves", "repeated", "held")


def section(tonic: int, scale: tuple[int, ...], bars: int, rng: np.random.Generator) -> list[list[float]]:
    """Some bars in one texture and one register."""
    if rng.random() < 0.15:
        return run(scale, tonic + 12 * int(rng.integers(-2, 2)), bars, rng)
    progression, kind = PROGRESSIONS[rng.integers(len(PROGRESSIONS))], str(rng.choice(FIGURES))
    low = tonic + 12 * int(rng.choice([-2, -1, -1, 0, 1], p=[0.2, 0.25, 0.25, 0.2, 0.1]))
    rows: list[list[float]] = []
    for bar in range(bars):
        root = progression[bar % len(progression)]
        steps = [root, root + 2, root + 4] + [root + 6] * (rng.random() < 0.2)
        chord = [low + degree(scale, s) for s in steps]
        rows += [[4 * bar + a, n, p, s] for a, n, p, s in figure(kind, chord, rng)]
    if rng.random() < 0.65:
        rows += melody(scale, max(low + 12, tonic) + 12 * int(rng.integers(0, 3)), bars, rng)
    return rows


def composed(rng: np.random.Generator) -> Score:
    """A piece of a few sections in one key, rests between some of them."""
    tonic, scale = int(rng.integers(55, 67)), MAJOR if rng.random() < 0.55 else MINOR
    rows, at = [], 0.0
    for _ in range(rng.integers(3, 7)):
        bars = int(rng.choice([2, 4, 4, 8]))
        stress = rng.normal(0, 10)
        rows += [[at + a, n, p, s + stress] for a, n, p, s in section(tonic, scale, bars, rng)]
        at += 4 * bars + float(rng.choice([0, 0, 0, 1, 2]))
    score = np.array(rows, float)
    score = score[(score[:, 2] >= LOWEST) & (score[:, 2] <= HIGHEST)]
    return score[np.argsort(score[:, 0], kind="stable")]
