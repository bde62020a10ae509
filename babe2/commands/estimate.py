"""`babe2 restore --estimate`: what restorations would cost; nothing is restored."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from babe2 import RestorationError, audio, estimate
from babe2.certainty.map import runs
from babe2.commands.options import restorer_of, settings_of
from babe2.wording import format_duration


def run_estimate(options: argparse.Namespace) -> int:
    """Prints time, memory and disk for each input."""
    measured = [measure(path, options.start, options.duration) for path in options.inputs]  # refused before any work
    restorer = restorer_of(options)
    certainty = options.certainty or options.imagined != 1
    method = restorer.method(
        options.method,
        options.preset,
        response_known=options.response is not None,
        degradation=options.degradation,
        certainty=certainty,
        **settings_of(options),
    )
    pace = estimate.calibrate(restorer, method)
    found: list[dict[str, Any]] = []
    for path, (channels, seconds, rate) in zip(options.inputs, measured, strict=True):
        cost = estimate.estimate(
            pace,
            method,
            restorer.model,
            seconds=seconds,
            channels=channels,
            sample_rate=rate,
            batch=restorer.batch_of(options.batch),
            runs=runs(certainty),
        )
        found.append({"input": str(path), **asdict(cost)})
        if not options.json:
            memory = f", {cost.memory / 1e9:.1f} GB of memory" if cost.memory else ""
            print(f"{path}: {format_duration(cost.seconds)}{memory}, {cost.disk / 1e9:.2g} GB of disk meanwhile")
    if options.json:
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    return 0


def measure(path: Path, start: float, duration: float | None) -> tuple[int, float, int]:
    """Channels, seconds and sample rate of what would be restored: a file, or a part of it."""
    if not 0 <= start < math.inf or not (duration is None or duration > 0):
        raise RestorationError("An excerpt needs a start of 0 s or later and a duration above 0 s. Choose such times.")
    channels, samples, rate = audio.measure(path)
    seconds = samples / rate
    if start >= seconds:
        raise RestorationError(f"{path} ends after {seconds:.1f} s, so nothing begins at {start:g} s. Start earlier.")
    return channels, seconds - start if duration is None else min(duration, seconds - start), rate
