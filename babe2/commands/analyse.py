"""`babe2 analyse`: what a recording is like."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from babe2 import analyse, audio, checkpoints
from babe2.analysis.comparison import MATCHED_HZ
from babe2.commands.options import add_place_options, new_command, places_of
from babe2.commands.terminal import OCTAVES_HZ, fetch_line
from babe2.dsp.spectra import ReferenceLtas
from babe2.provenance import already_made


def add_command(subparsers: Any) -> None:
    parser = new_command(subparsers, "analyse", run_analyse, "Say what a recording is like, without restoring it.")
    parser.add_argument("input", type=Path, metavar="FILE")
    parser.add_argument("--checkpoint", metavar="SPEC", help="compare with the music this prior knows")
    add_place_options(parser)
    parser.add_argument("--json", action="store_true")


def run_analyse(options: argparse.Namespace) -> int:
    reference = None
    if options.checkpoint:
        with fetch_line(options.checkpoint) as on_transfer:
            checkpoint = checkpoints.load(options.checkpoint, **places_of(options), on_transfer=on_transfer)
        if checkpoint.ltas is not None:
            reference = ReferenceLtas(checkpoint.ltas, checkpoint.model.sample_rate)
    recording = audio.read(options.input)
    found = analyse(recording.audio, recording.sample_rate, reference)
    found["warnings"] = [*recording.warnings, *already_made(recording.tags)]
    print(json.dumps(found, indent=2) if options.json else format_analysis(found))
    return 0


def format_analysis(found: dict[str, Any]) -> str:
    """What `analyse` found, for people."""
    lines = {
        "length": f"{found['duration_seconds']:.2f} s, {_channels(found['channels'])}, {found['sample_rate']} Hz",
        "level": f"{_measured(found['rms_dbfs'], 'dBFS')}, peak {_measured(found['peak_dbfs'], 'dBFS')}, "
        + _measured(found["loudness_lufs"], "LUFS"),
        "band": _band(found["bandwidth_low_hz"], found["bandwidth_high_hz"]),
        "noise floor": _measured(found["noise_floor_dbfs"], "dBFS"),
        "clipping": _clipping(found["clipping"]),
        "hum": _hum(found["hum"]),
    }
    if ratios := found["ratio_to_reference_db"]:
        pairs = zip(found["ltas"]["frequencies_hz"], ratios, strict=True)
        octaves = [(hertz, ratio) for hertz, ratio in pairs if ratio is not None and hertz in OCTAVES_HZ]
        matched = " to ".join(f"{hertz:g}" for hertz in MATCHED_HZ)
        lines["spectrum"] = ", ".join(f"{hertz:g} Hz {ratio:+.0f} dB" for hertz, ratio in octaves)
        lines[""] = f"against the prior's music, both at one level from {matched} Hz"
    sentences = [*found["warnings"], *found["advice"]]
    return "\n".join([f"{name:>12}  {value}" for name, value in lines.items()] + sentences)


def _measured(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.4g} {unit}"


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")


def _band(low_hz: float | None, high_hz: float | None) -> str:
    return f"{low_hz:.0f} Hz to {high_hz:.0f} Hz" if low_hz and high_hz else "unknown"


def _clipping(clipping: dict[str, Any]) -> str:
    return f"{clipping['share']:.2%} of the samples" if clipping["runs"] else "none"


def _hum(hum: dict[str, Any] | None) -> str:
    return f"{hum['frequency_hz']:g} Hz, {hum['prominence_db']:.0f} dB over its surroundings" if hum else "none"
