"""Singing as arrays for the estimator: one array for each singer, 16-bit, mono, 22 050 Hz, at one level."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE, LEVEL, PEAK = 22050, 0.08, 0.95
SHORTEST = 5.0  # seconds
SINGLE = ("csd/*.ogg", "vocadito_*.*", "dcs_*.ogg")  # a file is a singer or a group
TOGETHER = ("olpc_berklee_voices/*.ogg", "iona_utau_MIT/*")  # many short files of the same voices
HELD_OUT = ("vocadito_10", "dcs_quartetA_take04_STM")
MOST = 60  # files of one voice


def singer(paths: list[Path]) -> np.ndarray:
    """All that a singer has recorded, each file at one level."""
    parts = []
    for path in paths:
        sound, rate = soundfile.read(path, always_2d=True, dtype="float32")
        mono = soxr.resample(sound.mean(axis=1), rate, RATE)
        parts.append(mono / max(float(mono.std()), 1e-6))
    x = np.concatenate(parts)
    return x * min(LEVEL / x.std(), PEAK / np.abs(x).max())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, required=True, help="folder of the singing")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    groups = {path.stem: [path] for pattern in SINGLE for path in sorted(args.audio.glob(pattern))}
    groups |= {pattern.split("/")[0]: sorted(args.audio.glob(pattern))[:MOST] for pattern in TOGETHER}
    for name, paths in groups.items():
        x = singer(paths)
        if len(x) >= SHORTEST * RATE:
            folder = args.output / ("validation" if name in HELD_OUT else "train")
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", (x * 32767).astype(np.int16))


if __name__ == "__main__":
    main()
