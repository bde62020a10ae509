"""Ten kinds of music, each played anew from a seed, with what a generative model leaves in its sound.

They stand in for what MusicGen makes of the same prompts: 32 kHz and mono, the band ended below half of it, a faint
noise beneath, onsets and treble a little smeared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from babe2.dsp.spectra import fades, framed_spectrum, unframed
from babe2.errors import RestorationError
from babe2.generation import instruments as play
from babe2.generation.instruments import RATE

LONGEST_SECONDS = 600.0  # of a clip, all of which is in memory at once
PEAK = 0.7  # of full scale
BAND_ENDS_HZ = (14_000.0, 15_500.0)
NOISE_DB = (-66.0, -58.0)  # of full scale
SMEARED_HZ, SMEAR_FFT, SMEARED_PHASE = 2500.0, 1024, 0.5  # radians; upwards of that frequency
HALL_SECONDS, HALL_SHARE = 0.9, 0.02

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (5, 3, 0, 4))  # degrees of the scale, a bar each

T = TypeVar("T")
Instrument = Callable[[float, float, torch.Generator], Tensor]


class Score:
    """A clip as it is written: what it holds by now, its key, its beat, and where chance comes from."""

    def __init__(self, seconds: float, generator: torch.Generator) -> None:
        self.sound = torch.zeros(max(1, round(seconds * RATE)))
        self.seconds, self.generator = seconds, generator
        self.root = 43 + int(self.draw(0, 12))  # MIDI number, the G below the bass clef's and eleven above
        self.scale = self.choice((MAJOR, MINOR))
        self.progression = self.choice(PROGRESSIONS)

    def draw(self, low: float, high: float) -> float:
        """A number between two."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def choice(self, these: Sequence[T]) -> T:
        return these[int(self.draw(0, len(these)))]

    def hertz(self, degree: int, octave: int = 0) -> float:
        """The pitch of a degree of the scale, which may lie beyond its seven."""
        octaves, step = divmod(degree, 7)
        return float(440 * 2 ** ((self.root + 12 * (octave + octaves) + self.scale[step] - 69) / 12))

    def steps(self, length: float) -> Iterator[tuple[int, float]]:
        """Numbers and times, `length` seconds apart, to the end of the clip."""
        for number in range(math.ceil(self.seconds / length)):
            yield number, number * length

    def chord(self, bar: int) -> int:
        """The degree on which a bar's chord stands."""
        return self.progression[bar % len(self.progression)]

    def put(self, start: float, sound: Tensor, gain: float = 1.0) -> None:
        """Adds a sound; what would lie beyond the end is cut off."""
        first = round(start * RATE)
        room = self.sound[first : first + len(sound)]
        room += gain * sound[: len(room)]

    def note(self, start: float, instrument: Instrument, hertz: float, seconds: float, gain: float = 1.0) -> None:
        seconds = min(seconds, self.seconds - start)
        if seconds > 0:
            self.put(start, instrument(hertz, seconds, self.generator), gain * self.draw(0.8, 1.0))


def solo_piano(score: Score) -> None:
    beat = score.draw(0.32, 0.42)
    for number, start in score.steps(beat):
        chord = score.chord(number // 8)
        score.note(start, play.piano, score.hertz(chord + (0, 2, 4, 2)[number % 4]), 3 * beat, 0.5)
        if score.draw(0, 1) < 0.6:
            score.note(start, play.piano, score.hertz(chord + score.choice((0, 1, 2, 4, 7)), 2), 4 * beat, 0.6)


def string_orchestra(score: Score) -> None:
    bar = score.draw(2.2, 3.0)
    for number, start in score.steps(bar):
        chord = score.chord(number)
        for degree, octave in ((0, 0), (4, 0), (0, 1), (2, 1), (score.choice((4, 6, 7)), 1)):
            score.note(start, play.strings, score.hertz(chord + degree, octave), bar + 0.3, 0.4)


def drums_and_bass(score: Score) -> None:
    beat = score.draw(0.17, 0.18)
    kit = [drum(score.generator) for drum in (play.kick, play.snare, play.hat)]
    for number, start in score.steps(beat):
        for drum, rhythm in zip(kit, ("x.....x...x.....", "....x..x.x..x..x", "x.x.x.x.x.x.x.xx"), strict=True):
            if rhythm[number % 16] == "x":
                score.put(start, drum, 0.8)
        if number % 4 in (0, 3):
            score.note(start, play.bass, score.hertz(score.chord(number // 16), -1), 2 * beat)


def picked_guitar(score: Score) -> None:
    beat = score.draw(0.2, 0.26)
    for number, start in score.steps(beat):
        degree = score.chord(number // 8) + (0, 4, 7, 9, 7, 4, 9, 7)[number % 8]
        score.note(start, play.plucked, score.hertz(degree), 6 * beat, 0.7)
        if number % 16 == 12:
            score.note(start, play.plucked, score.hertz(degree + 4, 1), 6 * beat, 0.5)


def slow_pads(score: Score) -> None:
    bar = score.draw(3.5, 4.5)
    for number, start in score.steps(bar):
        for degree, octave in ((0, -1), (0, 0), (4, 0), (2, 1)):
            score.note(start, play.pad, score.hertz(score.chord(number) + degree, octave), bar + 0.5, 0.5)
    for number, start in score.steps(bar / 2):
        score.note(start, play.bell, score.hertz(score.chord(number // 2) + score.choice((0, 2, 4)), 2), 2.0, 0.15)


def jazz_trio(score: Score) -> None:
    beat = score.draw(0.4, 0.48)
    cymbal = play.ride(score.generator)
    for number, start in score.steps(beat):
        chord = score.chord(number // 4)
        score.put(start, cymbal, 0.6)
        if number % 2:
            score.put(start + 2 * beat / 3, cymbal, 0.4)
        score.note(start, play.bass, score.hertz(chord + (0, 2, 4, 5)[number % 4], -1), beat)
        if score.draw(0, 1) < 0.4:
            late = score.choice((0.0, 2 * beat / 3))
            for degree in (2, 4, 6):
                score.note(start + late, play.piano, score.hertz(chord + degree, 1), 1.2 * beat, 0.35)


def church_organ(score: Score) -> None:
    bar = score.draw(1.5, 2.0)
    for number, start in score.steps(bar):
        chord = score.chord(number)
        for degree, octave in ((0, -1), (0, 0), (2, 0), (4, 0)):
            score.note(start, play.organ, score.hertz(chord + degree, octave), bar, 0.5)
        for step in range(4):
            score.note(start + step * bar / 4, play.organ, score.hertz(chord + 7 - step, 1), bar / 4, 0.4)


def music_box(score: Score) -> None:
    beat = score.draw(0.24, 0.3)
    for number, start in score.steps(beat):
        degree = score.chord(number // 6) + (0, 2, 4, 7, 4, 2)[number % 6]
        score.note(start, play.bell, score.hertz(degree, 2), 1.2, 0.6)
        if number % 3 == 0:
            score.note(start, play.bell, score.hertz(degree + score.choice((7, 9, 11)), 2), 1.2, 0.5)


def brass_fanfare(score: Score) -> None:
    beat = score.draw(0.26, 0.32)
    drum = play.snare(score.generator)
    for number, start in score.steps(beat):
        if "x.xxx.x.x...x..."[number % 16] == "x":
            length = beat * (3 if number % 16 == 12 else 0.95)
            for degree, octave in ((0, 0), (4, 0), (7, 0), (9, 0)):
                score.note(start, play.brass, score.hertz(score.chord(number // 16) + degree, octave), length, 0.4)
        if number % 4 == 0:
            score.put(start, drum, 0.4)


def dance(score: Score) -> None:
    beat = 60 / score.draw(122, 130)
    kick, hat = play.kick(score.generator), play.hat(score.generator)
    for number, start in score.steps(beat):
        score.put(start, kick, 0.9)
        score.put(start + beat / 2, hat, 0.9)
        chord = score.chord(number // 4)
        score.note(start + beat / 2, play.bass, score.hertz(chord, -1), beat / 2, 0.8)
        for step in range(4):
            degree = chord + score.choice((0, 2, 4, 7))
            score.note(start + step * beat / 4, play.lead, score.hertz(degree, 2), beat / 4, 0.4)


class Kind(NamedTuple):
    """A kind of music: in words for a model, and how it is played here."""

    prompt: str
    compose: Callable[[Score], None]


KINDS = (
    Kind("a calm piece for solo piano with broken chords", solo_piano),
    Kind("a string orchestra that plays slow, warm chords", string_orchestra),
    Kind("fast drums and bass, electronic", drums_and_bass),
    Kind("a folk tune picked on an acoustic guitar", picked_guitar),
    Kind("ambient music with slow synthesizer pads and distant bells", slow_pads),
    Kind("a jazz trio of piano, walking bass and ride cymbal", jazz_trio),
    Kind("a chorale on a church organ", church_organ),
    Kind("a lullaby on a music box", music_box),
    Kind("a festive fanfare for brass and snare drum", brass_fanfare),
    Kind("a dance track, four on the floor, with a bright synthesizer lead", dance),
)


def synthesised(number: int, seconds: float, seed: int) -> Tensor:
    """Clip `number` (T,), counted from 0, of so many seconds at 32 kHz: one kind after the other, then all anew."""
    if not 0 < seconds <= LONGEST_SECONDS:
        raise RestorationError(f"A clip lasts between 0 and {LONGEST_SECONDS:.0f} s. Ask for as much.")
    generator = torch.Generator().manual_seed((1_000_003 * seed + number) % 2**63)
    score = Score(seconds, generator)
    KINDS[number % len(KINDS)].compose(score)
    return _with_defects(_in_a_hall(score.sound, generator), generator)


def _in_a_hall(x: Tensor, generator: torch.Generator) -> Tensor:
    t = play.time(HALL_SECONDS)
    hall = HALL_SHARE * play.noise(len(t), generator) * torch.exp(-6 * t / HALL_SECONDS)
    hall[0] = 1.0
    fft = 2 ** math.ceil(math.log2(len(x) + len(hall)))
    return torch.fft.irfft(torch.fft.rfft(x, fft) * torch.fft.rfft(hall, fft), fft)[: len(x)]


def _with_defects(x: Tensor, generator: torch.Generator) -> Tensor:
    x = _smeared(x, generator)
    low, high = BAND_ENDS_HZ
    x = _band_limited(x, low + (high - low) * float(torch.rand((), generator=generator)))
    x = x * (PEAK / x.abs().max().clamp(min=1e-9))
    low, high = NOISE_DB
    level = 10 ** ((low + (high - low) * float(torch.rand((), generator=generator))) / 20)
    # As the noise comes of the same decoder, it ends where the music does.
    return x + level * _band_limited(play.noise(len(x), generator), BAND_ENDS_HZ[0])


def _smeared(x: Tensor, generator: torch.Generator) -> Tensor:
    """Treble whose levels run into their neighbours in time and whose phases are uncertain."""
    spectrum = framed_spectrum(x[None], SMEAR_FFT)
    first = round(SMEARED_HZ / RATE * SMEAR_FFT)
    treble = spectrum[:, first:]
    size = torch.nn.functional.avg_pool1d(treble.abs(), 3, stride=1, padding=1, count_include_pad=False)
    phase = treble.angle() + SMEARED_PHASE * torch.randn(treble.shape, generator=generator)
    spectrum[:, first:] = torch.polar(size, phase)
    return unframed(spectrum, SMEAR_FFT, len(x))[0]


def _band_limited(x: Tensor, hertz: float) -> Tensor:
    """x without what lies above a frequency, to which it falls within 500 Hz."""
    fft = 2 ** math.ceil(math.log2(2 * len(x)))
    spectrum = torch.fft.rfft(x, fft)
    last, width = round(hertz / RATE * fft), max(1, round(500 / RATE * fft))
    _, falling = fades(width, like=x)
    spectrum[last - width : last] *= falling
    spectrum[last:] = 0
    return torch.fft.irfft(spectrum, fft)[: len(x)]
