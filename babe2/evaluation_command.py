"""`babe2 evaluate`: held-out clips in, a table out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from babe2.equalizer import Curve
from babe2.errors import Cancelled, RestorationError
from babe2.evaluation import Clip, Evaluation, RestoreKnown, evaluate_synthetic, summary, table
from babe2.pipeline import Restorer

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".npy")


def add_commands(subparsers: Any, with_prior: Callable[[argparse.ArgumentParser], None]) -> None:
    about = "Score restorations of recordings whose truth is known."
    evaluate = subparsers.add_parser("evaluate", help=about, description=about)
    kinds = evaluate.add_subparsers(required=True, metavar="KIND")
    about = "Spoil good recordings as an old machine would, restore them blind, print a table against the truth."
    synthetic = kinds.add_parser("synthetic", help=about, description=about)
    synthetic.set_defaults(run=run_synthetic)
    with_prior(synthetic)
    synthetic.add_argument("clips", nargs="+", metavar="FILE|DIR", type=Path, help="recordings kept from training")
    synthetic.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each clip (default 10)")
    synthetic.add_argument("--per-file", type=int, default=1, metavar="N", help="clips, evenly spaced (default 1)")
    synthetic.add_argument("--seeds", type=int, default=1, metavar="N", help="machines per clip (default 1)")
    synthetic.add_argument("--sheets", type=Path, metavar="DIR", help="write each clip's spectrograms there")
    synthetic.add_argument("--report", type=Path, metavar="FILE", help="write there what --json prints")


def run_synthetic(options: argparse.Namespace) -> int:
    from babe2.__main__ import INTERRUPTED, interruptible, progress_line, restorer_of, say, settings_of

    check_places(options)
    overrides = {"preset": options.preset} | settings_of(options)
    restorer = restorer_of(options)
    restorer.settings(**overrides)  # a wrong setting is better said before the first clip
    clips = [clip for path in files_of(options.clips) for clip in clips_of(path, options, restorer.model.sample_rate)]
    with interruptible() as interrupted, progress_line("evaluate") as on_step:
        try:
            evaluation = evaluate_synthetic(
                restorer,
                clips,
                seeds=range(options.seed, options.seed + options.seeds),
                restore_known=knowing(restorer, seed=options.seed, cancelled=interrupted, **overrides),
                on_step=on_step,
                cancelled=interrupted,
                **overrides,
            )
        except Cancelled:
            say("stopped before everything was scored.")
            return INTERRUPTED
    found = summary(evaluation) | {"checkpoint": restorer.name, "sha256": restorer.sha256}
    text = json.dumps(found, indent=2)
    try:
        if options.report:
            options.report.write_text(text + "\n", "utf-8")
        if options.sheets:
            draw(evaluation, options.sheets)
    except OSError as error:
        raise RestorationError(f"{error.filename} cannot be written ({error.strerror}).") from None
    print(text if options.json else table(found))
    return 0


def check_places(options: argparse.Namespace) -> None:
    """Says before hours of work what would keep their results from being written."""
    from babe2 import audio

    if options.report and options.report.exists() and not options.overwrite:
        raise RestorationError(f"{options.report} exists already. Choose another place or add --overwrite.")
    try:
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            audio.check_target(options.sheets / ".babe2.wav")
        if options.report:
            audio.check_target(options.report.parent / ".babe2.wav")
    except OSError as error:
        raise RestorationError(f"{error.filename} cannot be written ({error.strerror}).") from None


def knowing(restorer: Restorer, **options: Any) -> RestoreKnown:
    """Restores with the true response in place of an estimate."""

    def restore(observation: Tensor, sample_rate: int, response: Curve) -> Tensor:
        return torch.from_numpy(restorer.restore(observation, sample_rate, response=response, **options).audio[0])

    return restore


def files_of(paths: list[Path]) -> list[Path]:
    files = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise RestorationError(f"There are no recordings in {path}.")
        files += inside
    return files


def clips_of(path: Path, options: argparse.Namespace, model_rate: int) -> list[Clip]:
    """Evenly spaced clips of a recording, without its beginning and its end."""
    audio, rate = _read(path, model_rate)
    if options.per_file < 1 or not 1 <= options.seconds * rate <= len(audio):
        raise RestorationError(f"{path} holds no clip of {options.seconds:g} s. Ask for one or more, and shorter ones.")
    length = round(options.seconds * rate)
    places = np.linspace(0, len(audio) - length, options.per_file + 2)[1:-1].round().astype(int)
    return [(f"{path.stem} at {place / rate:.0f} s", audio[place : place + length], rate) for place in places]


def _read(path: Path, model_rate: int) -> tuple[Tensor, int]:
    """(T,); arrays are 16-bit at the model's rate, as they are prepared for training."""
    if path.suffix == ".npy":
        try:
            samples = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RestorationError(f"{path} is no array of samples: {error}.") from None
        if samples.ndim != 1 or samples.dtype != np.int16:
            raise RestorationError(f"{path} is no row of 16-bit samples. Give a sound file.")
        return torch.from_numpy(samples.astype(np.float32) / 32768), model_rate
    from babe2 import audio

    recording = audio.read(path)
    return torch.as_tensor(recording.audio).float().mean(dim=0), recording.sample_rate


def draw(evaluation: Evaluation, folder: Path) -> None:
    from babe2 import figures
    from babe2.evaluation_sheet import sheet

    for number, result in enumerate(evaluation.clips, start=1):
        figures.save(sheet(result), folder / f"{number:02}.png")
