"""Assemble the training material of `piano-small`: 16-bit arrays that a training loop reads with numpy alone."""

from __future__ import annotations

import argparse
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import perform
import render
import soxr
from render import RATE, Instrument, Place, Touch

log = logging.getLogger("prepare")

ISHIZAKA = "Kimiko Ishizaka, piano (CC0 1.0)"
LIGORATTI = "Stefano Ligoratti, piano (CC BY 3.0)"
SALVATORI = "Jacopo Salvatori, piano (CC BY 3.0)"
SALAMANDER = "Salamander Grand Piano V3 by Alexander Holm (CC BY 3.0)"
SPLENDID = "Splendid Grand Piano, AKAI (public domain)"
FLUID = "FluidR3 GM by Frank Wen (MIT)"
KAWAI = "FreePats upright piano KW, Gonzalo and Roberto (CC0 1.0)"
YAMAHA = "VCSL upright piano, Versilian Studios (CC0 1.0)"
BERKLEE = "Piano samples of OLPC and Berklee (CC BY 3.0)"
HEADROOM = "Headroom Piano by Bengt Nilsson (CC BY 4.0)"
OLD_UPRIGHT = "FreePats old piano FB by Piotr Barcz (CC0 1.0)"
VIENNA = "Vienna 4x22 Piano Corpus, CPJKU (CC BY 4.0)"
MUSIC21 = "scores of the music21 corpus"

# The splits. Real recordings go in whole, so that no take is on both sides:
# - train: six tracks, most of the minutes;
# - validation: two tracks that say when to stop; the same pianist, other music;
# - test: two tracks by other pianists in other rooms, and one by the training pianist in other music.
REAL = {
    "ishizaka_bach_bwv1008_laboratorio": ("train", ISHIZAKA),
    "ishizaka_bach_contrapunctus_observatory": ("train", ISHIZAKA),
    "ishizaka_gallery_dark_variation": ("train", ISHIZAKA),
    "ishizaka_garden_stelae_variation": ("train", ISHIZAKA),
    "ishizaka_lab_bain_marie_variation": ("train", ISHIZAKA),
    "ishizaka_observatory_dome_variation": ("train", ISHIZAKA),
    "ishizaka_bach_aria_goldberg": ("validation", ISHIZAKA),
    "ishizaka_observatory_calibration_variation": ("validation", ISHIZAKA),
    "ligoratti_debussy_le_petit_negre": ("test", LIGORATTI),
    "ishizaka_bach_bwv846_soglia": ("test", ISHIZAKA),
    "salvatori_debussy_clair_de_lune": ("test", SALVATORI),
}

# Instruments and performances of the renders. Headroom's microphones, the old upright and the pieces of the test are in
# no training render, nor is any other piece that a held-out recording plays.
SHARES = {"salamander": 0.28, "splendid": 0.24, "fluid": 0.18, "kawai": 0.14, "yamaha": 0.10, "berklee": 0.06}
SCORES = (("mozart/",), ("beethoven/",), ("haydn/",), ("bach/",), ("schumann_", "chopin/", "schubert/", "cpebach/"))
HELD_OUT = ("maple_leaf_rag", "k331", "bwv846", "bwv988")
TEST_PIECES = {  # by what they are called: which held-out piano plays which performance or score
    "headroom_mozart_k331": ("headroom", "Mozart_K331_1st-mov_p01.mid"),
    "headroom_maple_leaf_rag": ("headroom", "joplin/maple_leaf_rag"),
    "headroom_composed": ("headroom", "composed"),
    "upright_mozart_k331": ("upright", "Mozart_K331_1st-mov_p05.mid"),
    "upright_bach_bwv846": ("upright", "bach/bwv846"),
}
TEST_PLACE = Place(  # dry-ish, and as dark as a good recording
    reverberation=0.5, wet=-16.0, tilt=-4.0, knee=2000.0, bumps=[], low=18.0, noise=-75.0, colour=1.3, tuning=0.0
)
TEST_TOUCH = Touch(dynamics=0.21, gamma=1.0, bass=-1.0, release=1.0, timing=0.0, level=0.5)

EXCERPTS = 2  # in a shard: about 3 minutes or 8 MB


@dataclass
class Entry:
    """What one array holds, as written to index.json."""

    kind: str
    split: str
    contents: list[str]
    seconds: float
    credit: str


class Folder:
    """The output folder. Every file appears whole or not at all, so that training may read while more is written."""

    def __init__(self, path: Path, budget: float | None) -> None:
        self.path, self.budget = path, budget
        index = path / "index.json"
        known = json.loads(index.read_text()) if index.exists() else {}
        self.index: dict[str, dict] = {name: entry for name, entry in known.items() if (path / name).exists()}

    def __contains__(self, name: str) -> bool:
        return name in self.index

    def fits(self, samples: int) -> bool:
        """Whether so much more audio stays within the budget."""
        used = sum((self.path / name).stat().st_size for name in self.index)
        return self.budget is None or used + 2 * samples + 128 <= self.budget * 1e6

    def write(self, name: str, audio: np.ndarray, entry: Entry) -> None:
        """Store one array as int16, then the index that mentions it."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.part")
        with scratch.open("wb") as stream:
            np.save(stream, np.round(audio * 32767).clip(-32768, 32767).astype(np.int16))
        os.replace(scratch, target)
        self.index[name] = asdict(entry)
        scratch = self.path / ".index.json.part"
        scratch.write_text(json.dumps(dict(sorted(self.index.items())), indent=1) + "\n")
        os.replace(scratch, self.path / "index.json")
        log.info("%s: %.0f s", name, entry.seconds)


def write_real(folder: Folder, audio: Path, splits: tuple[str, ...]) -> None:
    """Every real recording goes to the split its name says; those of training are numbered."""
    number = 0
    for track, (split, credit) in REAL.items():
        name = f"train/real-{number:03d}.npy" if split == "train" else f"{split}/{track}.npy"
        number += split == "train"
        if split not in splits or name in folder:
            continue
        sound, rate = render.read_mono(audio / "real_piano" / f"{track}.ogg")
        sound = render.levelled(render.without_pauses(soxr.resample(sound, rate, RATE, "VHQ")))
        if folder.fits(len(sound)):
            folder.write(name, sound, Entry("real", split, [track], round(len(sound) / RATE, 2), credit))


class Studio:
    """Everything a training render draws from."""

    def __init__(self, audio: Path, soundfont: Path, seconds: tuple[float, float]) -> None:
        self.seconds = seconds  # the shortest and the longest excerpt
        velocities = {"v03": 20, "v07": 52, "v10": 76, "v13": 100, "v16": 124}
        dynamics = {"l1": 30, "l2": 60, "l3": 88, "l4": 116}
        fluid = [("fluid-left", True), ("fluid-right", False)]
        self.instruments = {
            "salamander": [render.sampled(audio / "salamander", "salamander", SALAMANDER, -3.5, velocities)],
            "splendid": [render.sampled(audio / "splendid", "splendid", SPLENDID, -4.5, dynamics, shift=12)],
            "fluid": [render.soundfont_piano(soundfont, name, FLUID, -8.0, left) for name, left in fluid],
            "kawai": [render.sampled(audio / "freepats_upright_KW", "kawai", KAWAI, -4.0, {"vL": 48, "vH": 100})],
            "yamaha": [render.sampled(audio / "vcsl_upright_yamaha", "yamaha", YAMAHA, -6.0, {"vl3": 90})],
            "berklee": [render.sampled(audio / "olpc_berklee_piano", "berklee", BERKLEE, -5.5, {"piano": 80})],
        }
        self.performances = sorted((audio / "midi_vienna4x22").glob("Chopin*.mid"))
        self.scores = corpus_scores()

    def instrument(self, rng: np.random.Generator) -> Instrument:
        """One of the pianos, by their shares."""
        several = self.instruments[str(rng.choice(list(SHARES), p=list(SHARES.values())))]
        return several[rng.integers(len(several))]

    def piece(self, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """A whole performance: recorded, from a score, or made up."""
        kind = rng.choice(["recorded", "score", "composed"], p=[0.3, 0.35, 0.35])
        if kind == "recorded":
            path = self.performances[rng.integers(len(self.performances))]
            return path.stem, perform.read_midi(path)
        if kind == "score":
            several = self.scores[rng.integers(len(self.scores))]
            name = several[rng.integers(len(several))]
            return name, perform.humanised(perform.read_score(name), rng)
        return "composed", perform.humanised(perform.composed(rng), rng)

    def programme(self, rng: np.random.Generator, seconds: float) -> tuple[list[str], np.ndarray]:
        """Pieces, or parts of them, until the time is filled: each transposed and at its own tempo."""
        names, parts, at = [], [], 0.0
        while at < seconds - 8:
            name, notes = self.piece(rng)
            tempo = rng.uniform(0.8, 1.25)
            notes = notes / np.array([tempo, tempo, 1, 1])
            start = rng.uniform(0, max(1e-3, notes[-1, 0] - min(seconds - at, 60)))
            notes = perform.window(notes, start, seconds - at)
            if len(notes) < 8:
                continue
            notes[:, 2] += rng.integers(-5, 6)
            notes = notes[(notes[:, 2] >= perform.LOWEST) & (notes[:, 2] <= perform.HIGHEST)]
            parts.append(notes + np.array([at, at, 0, 0]))
            names.append(name)
            at = parts[-1][:, 0].max() + rng.uniform(1.0, 2.5)
        return names, perform.restruck(np.concatenate(parts))

    def excerpt(self, rng: np.random.Generator) -> tuple[str, list[str], np.ndarray]:
        """Some music on one instrument in one room: what it is, whom to credit, the audio."""
        instrument = self.instrument(rng)
        names, notes = self.programme(rng, rng.uniform(*self.seconds))
        dry = render.play(notes, instrument, render.random_touch(rng), rng)
        sound = render.record(dry, render.random_place(instrument.tilt, rng), rng)
        credits = [instrument.credit] + [VIENNA] * any("_p" in n and "Chopin" in n for n in names)
        credits += [MUSIC21] * any("/" in n for n in names)
        return f"{instrument.name}: {', '.join(names)}", credits, sound


def corpus_scores() -> list[list[str]]:
    """The scores that training may use, in groups, so that 400 chorales do not drown the rest."""
    from music21 import corpus

    paths = [p.as_posix().split("/corpus/")[-1] for p in corpus.getCorePaths()]
    paths = sorted(p for p in paths if p.endswith(("mxl", "xml", "06-2.krn")) and not any(h in p for h in HELD_OUT))
    return [[p for p in paths if p.startswith(group)] for group in SCORES]


def write_renders(folder: Folder, studio: Studio, hours: float, seed: int) -> None:
    """Numbered shards, each from its own seed, until the hours or the budget are full."""
    number, done = 0, 0.0
    while done < hours * 3600:
        name = f"train/render-{number:03d}.npy"
        if name not in folder:
            rng = np.random.default_rng([seed, number])
            parts = [studio.excerpt(rng) for _ in range(EXCERPTS)]
            sound = np.concatenate([p[2] for p in parts])
            if not folder.fits(len(sound)):
                return
            contents, credits = [p[0] for p in parts], sorted({c for p in parts for c in p[1]})
            entry = Entry("render", "train", contents, round(len(sound) / RATE, 2), "; ".join(credits))
            folder.write(name, sound, entry)
        done += folder.index[name]["seconds"]
        number += 1


def write_test_renders(folder: Folder, audio: Path) -> None:
    """The held-out pianos play the held-out pieces, a minute each."""
    levels = {"l1": 20, "l2": 45, "l4": 90, "l5": 115}
    pianos = {
        "headroom": render.sampled(audio / "headroom_close", "headroom", HEADROOM, TEST_PLACE.tilt, levels),
        "upright": render.sampled(audio / "freepats_old_piano_FB", "upright", OLD_UPRIGHT, TEST_PLACE.tilt, {"": 80}),
    }
    rng = np.random.default_rng(331)
    for label, (name, piece) in TEST_PIECES.items():
        notes, credit = test_notes(audio, piece, rng)
        dry = render.play(perform.window(notes, 0, 60), pianos[name], TEST_TOUCH, rng)
        sound = render.record(dry, TEST_PLACE, rng)
        credits = f"{pianos[name].credit}; {credit}".removesuffix("; ")
        entry = Entry("render", "test", [label], round(len(sound) / RATE, 2), credits)
        if f"test/{label}.npy" not in folder:
            folder.write(f"test/{label}.npy", sound, entry)


def test_notes(audio: Path, piece: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """The notes of a held-out piece, and whom to credit."""
    if piece == "composed":
        return perform.humanised(perform.composed(rng), rng), ""
    if piece.endswith(".mid"):
        return perform.read_midi(audio / "midi_vienna4x22" / piece), VIENNA
    return perform.humanised(perform.read_score(piece), rng, pace=6.0), MUSIC21


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, required=True, help="folder of the recordings, samples and performances")
    parser.add_argument("--soundfont", type=Path, required=True, help="FluidR3_GM.sf2")
    parser.add_argument("--output", type=Path, required=True, help="folder for the arrays; those there are kept")
    parser.add_argument("--hours", type=float, default=5.0, help="of training renders")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--excerpt", type=float, nargs=2, default=(60.0, 116.0), help="shortest and longest, seconds")
    parser.add_argument("--budget-mb", type=float, help="stop at so many megabytes, and leave out the test split")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Folder(args.output, args.budget_mb)
    write_real(folder, args.audio, ("train", "validation"))
    write_renders(folder, Studio(args.audio, args.soundfont, tuple(args.excerpt)), args.hours, args.seed)
    if args.budget_mb is None:
        write_real(folder, args.audio, ("test",))
        write_test_renders(folder, args.audio)


if __name__ == "__main__":
    main()
