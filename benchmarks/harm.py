"""What cleaning does to the music itself: to music with which nothing is wrong, and to music behind real noise.

    python benchmarks/harm.py HELD_OUT --noise AUDIO/shellac_noise --notes AUDIO/salamander --json FILE

HELD_OUT holds pieces that nothing was trained on; the noise is cut from the two records that `denoiser-small` never
heard, and goes round where a clip is longer. All that is counted is counted against the true music: what a stage takes
of the noise is no harm. Prints the tables of docs/workshop.md. What is in the file already is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measuring import Figures, machine
from shellac import RATE, SAID, Way, changed_db, ways
from torch import Tensor

from babe2 import audio
from babe2.dsp.bands import Bands
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import decibels, power_spectrogram
from babe2.evaluation.clips import clips_of, find_recordings
from babe2.stages import dehum, speed

SECONDS = 12.0
HELD_OUT_NOISE = ("tumult_vinyl1_Runoff_139_BPM.ogg", "tumult_vinyl3_Vinyl_Dust2.ogg")
SNR_DB = (None, 20, 10)  # None: nothing is wrong
STRETCH = RATE // 20  # samples that are looked at together, 50 ms
FAINT_DB, WORSE_DB = -60.0, 1.0  # below the whole clip, what a stretch may be off by; by so much farther off is worse
BAND_HZ = (100.0, 8000.0)
ALIVE_DB, HOLE_DB = 40.0, 10.0  # below a band's mean, where music is still looked for; below the music, a hole
PITCHES_HZ = (49.0, 50.0, 55.0, 98.0, 100.0)  # G1, the mains, A1, G2 and the mains' second line
RHYTHMS = {"struck every 2 s": 2.0, "every 3 s": 3.0, "once": SECONDS}  # seconds from one note to the next


# Against the true music


class Holes(NamedTuple):
    """Places of a third of an octave and 50 ms that came out more than 10 dB below the music, and went in otherwise."""

    all: int
    above_noise: int  # of these, where the music was louder than the noise
    alive: int  # places with music, of which these are some


def touched(heard: Tensor, made: Tensor) -> int:
    """In how many stretches any sample was changed."""
    return int(_stretches(heard != made).any(dim=1).sum())


def worse(music: Tensor, heard: Tensor, made: Tensor) -> int:
    """How many stretches came out farther from the music than they went in."""
    before, after = (decibels(_stretches(x - music).square().mean(dim=1)) for x in (heard, made))
    faint = decibels(music.square().mean()) + FAINT_DB
    return int(((after > before + WORSE_DB) & (after > faint)).sum())


def holes(music: Tensor, heard: Tensor, made: Tensor) -> Holes:
    """Counts places where music went missing, all of them (T,)."""
    true, before, after, noise = (_cells(x) for x in (music, heard, made, heard - music))
    typical = decibels((10 ** (true / 10)).mean(dim=1, keepdim=True))
    alive = true > typical - ALIVE_DB
    new = alive & (after < true - HOLE_DB) & (before >= true - HOLE_DB)
    return Holes(int(new.sum()), int((new & (true > noise)).sum()), int(alive.sum()))


def levels(music: Tensor, made: Tensor) -> list[float]:
    """How much louder the music is in each second of what was made of it, dB; not in seconds that are nearly silent.

    It is the gain at which the music itself (T,) explains most of a second: noise that stays does not count.
    """
    true, found = (x[: len(x) // RATE * RATE].view(-1, RATE).double() for x in (music, made))
    power = true.square().sum(dim=1)
    gain = (true * found).sum(dim=1) / power.clamp(min=1e-20)
    return [float(20 * g.clamp(min=1e-6).log10()) for g in gain[power > 1e-4 * power.max()]]


def _stretches(x: Tensor) -> Tensor:
    return x[: len(x) // STRETCH * STRETCH].view(-1, STRETCH)


def _cells(x: Tensor) -> Tensor:
    """The levels (K, N) of thirds of octaves in stretches of x (T,), dB."""
    sixths = Bands.below_nyquist(RATE).between(*BAND_HZ)
    count = len(sixths.centres) // 2 * 2
    thirds = sixths.shares(RATE, STRETCH + 1)[:, :count].unflatten(1, (-1, 2)).sum(dim=2)
    return decibels(thirds.T @ power_spectrogram(x.double(), 2 * STRETCH, STRETCH))


# Music, noise and notes


def round_and_round(record: Tensor, samples: int, start: int) -> Tensor:
    """Noise of a record (R,) that goes on as long as wanted: its end fades into its beginning."""
    fade = STRETCH
    up = (0.5 * math.pi * (torch.arange(fade) + 0.5) / fade).sin()
    turn = torch.cat([record[:fade] * up + record[-fade:] * up.flip(0), record[fade:-fade]])
    return turn.repeat(samples // len(turn) + 2)[start % len(turn) :][:samples]


def mono(path: Path) -> Tensor:
    """A sound file as (T,)."""
    found = audio.read(path)
    return resample(torch.as_tensor(found.audio).float(), found.sample_rate, RATE).mean(dim=0)


def behind(music: Tensor, record: Tensor, snr_db: float | None, seed: int) -> Tensor:
    """Music with the noise of a record, so many dB below it."""
    if snr_db is None:
        return music
    start = int(torch.randint(len(record), (), generator=torch.Generator().manual_seed(seed)))
    noise = round_and_round(record, len(music), start)
    return music + noise * (music.square().mean() / noise.square().mean()).sqrt() * 10 ** (-snr_db / 20)


def struck(hertz: float) -> Tensor:
    """One note made of numbers: eight partials that die away, the higher the faster."""
    time = torch.arange(round(SECONDS * RATE), dtype=torch.float64) / RATE
    partials = (torch.sin(2 * math.pi * hertz * k * time) / k * torch.exp(-0.4 * (1 + k) * time) for k in range(1, 9))
    return (sum(partials) * (1 - torch.exp(-time / 0.003))).float()


def bowed(hertz: float) -> Tensor:
    """One note made of numbers that is held: eight partials which swell a little and end after nine seconds."""
    time = torch.arange(round(9 * RATE), dtype=torch.float64) / RATE
    partials = (torch.sin(2 * math.pi * hertz * k * time) / k for k in range(1, 9))
    swell = 1 + 0.15 * torch.sin(2 * math.pi * 0.3 * time)
    return (sum(partials) * swell * (time / 0.2).clamp(max=1) * ((9 - time) / 0.1).clamp(max=1)).float()


def sampled(path: Path, hertz: float) -> Tensor:
    """A note from a file whose name begins with its MIDI number, played faster or slower to be at a pitch."""
    found = audio.read(path)
    own = 440 * 2 ** ((int(path.stem[:3]) - 69) / 12)
    at_pitch, _ = speed(found.audio, found.sample_rate, factor=f"{hertz / own:.6f}")
    return resample(torch.as_tensor(at_pitch).float(), found.sample_rate, RATE).mean(dim=0)


def nearest(notes: Sequence[Path], hertz: float) -> list[Path]:
    """The softest and the loudest file of the note that lies nearest to a pitch."""
    midi = 69 + 12 * math.log2(hertz / 440)
    number = min({int(path.stem[:3]) for path in notes}, key=lambda n: abs(n - midi))
    at_it = sorted(path for path in notes if int(path.stem[:3]) == number)
    return [at_it[0], at_it[-1]]


def repeated(note: Tensor, every: float) -> Tensor:
    """A note played over and over through a clip, each time ending the one before within 50 ms."""
    step = round(every * RATE)
    one = torch.nn.functional.pad(note[:step], (0, max(0, step - len(note))))
    one[-STRETCH:] *= torch.linspace(1, 0, STRETCH)
    return one.repeat(math.ceil(SECONDS * RATE / step))[: round(SECONDS * RATE)]


# What is measured


def cleaned(way: Way, music: Tensor, heard: Tensor) -> dict[str, Any]:
    """Everything about one clip and one way of cleaning it; counts are per minute."""
    made = way(heard)
    a_minute = 60 * RATE / len(music)
    found = holes(music, heard, made)
    return {
        "touched": touched(heard, made) * a_minute,
        "worse": worse(music, heard, made) * a_minute,
        "holes": found.all * a_minute,
        "holes_above_noise": found.above_noise * a_minute,
        "alive": found.alive * a_minute,
        "levels_db": [round(level, 3) for level in levels(music, made)],
    }


def unhummed(heard: Tensor) -> dict[str, Any]:
    """Whether a note was taken for hum, and at what level the change of it lies."""
    made, report = dehum(heard, RATE)
    return {
        "mains_hz": report["found"]["mains_hz"],
        "change_db": changed_db(heard, torch.as_tensor(made)[0]) if report["found"]["mains_hz"] else None,
    }


def measure_music(figures: Figures, clips: Iterable[tuple[str, Tensor]], records: Sequence[Tensor], given: Any) -> None:
    compared = {name: way for name, way in ways(given.denoiser).items() if name != "noisereduce"}
    for number, (name, music) in enumerate(clips):
        for snr in SNR_DB:
            heard = behind(music, records[number % len(records)], snr, number)
            for way, work in compared.items():
                case = {"clip": name, "snr_db": snr, "way": way}
                figures.once(case, partial(cleaned, work, music, heard))


def measure_notes(figures: Figures, notes: Sequence[Path], records: Sequence[Tensor]) -> None:
    for hertz, (rhythm, every) in itertools.product(PITCHES_HZ, RHYTHMS.items()):
        played = {"made, struck": struck(hertz), "made, held": bowed(hertz)}
        played |= {f"sampled, {path.stem}": sampled(path, hertz) for path in nearest(notes, hertz)}
        for (name, note), snr in itertools.product(played.items(), SNR_DB[:2]):
            music = 0.1 * repeated(note, every) / repeated(note, every).square().mean().sqrt()
            case = {"note": name, "hertz": hertz, "rhythm": rhythm, "snr_db": snr}
            figures.once(case, partial(unhummed, behind(music, records[0], snr, 0)))


# Tables


def table(rows: Sequence[dict[str, Any]]) -> str:
    """What was done to the music, as Markdown.

    Stretches touched (where nothing is wrong) or made worse, and holes where the music was louder than the noise: both
    a minute, means over clips. Then by how much the level is off in 95 % of all seconds, and at most.
    """
    heads = ["nothing is wrong" if snr is None else f"noise at -{snr} dB" for snr in SNR_DB]
    lines = [f"| | {' | '.join(heads)} |", "|" + " --- |" * (len(heads) + 1)]
    for way in dict.fromkeys(row["way"] for row in rows):
        cells = []
        for snr in SNR_DB:
            own = [row for row in rows if row["way"] == way and row["snr_db"] == snr]
            counted = "touched" if snr is None else "worse"
            off = np.abs([level for row in own for level in row["levels_db"]])
            counts = [f"{np.mean([row[key] for row in own]):.0f}" for key in (counted, "holes_above_noise")]
            if way == "before":  # nothing was done yet
                counts = ["-", "-"]
            level = f"{np.quantile(off, 0.95):.2f} ({off.max():.2f}) dB" if off.max() else "none"
            cells.append(f"{', '.join(counts)}, {level}")
        lines.append(f"| {SAID.get(way, f'`{way}`')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_notes(rows: Sequence[dict[str, Any]]) -> str:
    """How many of the notes were taken for hum, over noise or not."""
    heads = [f"{hertz:g} Hz" for hertz in PITCHES_HZ]
    lines = [f"| notes taken for hum | {' | '.join(heads)} |", "|" + " --- |" * (len(heads) + 1)]
    for rhythm in RHYTHMS:
        found = [
            [row["mains_hz"] for row in rows if (row["rhythm"], row["hertz"]) == (rhythm, hz)] for hz in PITCHES_HZ
        ]
        cells = [f"{sum(mains is not None for mains in each)} of {len(each)}" for each in found]
        lines.append(f"| {rhythm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--noise", type=Path, required=True, help=f"folder that holds {' and '.join(HELD_OUT_NOISE)}")
    parser.add_argument("--notes", type=Path, required=True, help="folder of piano notes, named by MIDI number first")
    parser.add_argument("--denoiser", default="denoiser-small")
    parser.add_argument("--clips", type=int, default=2, help="of each piece")
    parser.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = Figures.at(given.json, machine())
    records = [mono(given.noise / name) for name in HELD_OUT_NOISE]
    clips = (
        (name, resample(sound[None].float(), rate, RATE)[0])
        for path in find_recordings([given.held_out])
        for name, sound, rate in clips_of(path, seconds=SECONDS, count=given.clips, model_rate=RATE)
    )
    measure_notes(figures, sorted(given.notes.glob("*.*")), records)
    measure_music(figures, clips, records, given)
    print(table([row for row in figures.rows if "way" in row]))
    print()
    print(table_of_notes([row for row in figures.rows if "note" in row]))


if __name__ == "__main__":
    main()
