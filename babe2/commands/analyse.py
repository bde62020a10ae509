"""`babe2 analyse`: what a recording is like."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from babe2 import analyse, audio, checkpoints
from babe2.analysis.comparison import MATCHED_HZ
from babe2.commands.options import places_of
from babe2.commands.terminal import fetch_line
from babe2.dsp.spectra import ReferenceLtas
from babe2.wording import OCTAVES_HZ

if TYPE_CHECKING:
    pass


# The other commands


def describe(options: argparse.Namespace) -> int:

    reference = None
    if options.checkpoint:
        with fetch_line(options.checkpoint) as on_transfer:
            checkpoint = checkpoints.load(options.checkpoint, **places_of(options), on_transfer=on_transfer)
        if checkpoint.ltas is not None:
            reference = ReferenceLtas(checkpoint.ltas, checkpoint.model.sample_rate)
    recording = audio.read(options.input)
    found = analyse(recording.audio, recording.sample_rate, reference)
    found["warnings"] = list(recording.warnings)
    print(json.dumps(found, indent=2) if options.json else portrait(found))
    return 0


def portrait(found: dict[str, Any]) -> str:
    """What `analyse` found, for people."""

    def measured(value: float | None, unit: str) -> str:
        return "unknown" if value is None else f"{value:.4g} {unit}"

    clipping, hum = found["clipping"], found["hum"]
    channels = {1: "mono", 2: "stereo"}.get(found["channels"], f"{found['channels']} channels")
    low, high = found["bandwidth_low_hz"], found["bandwidth_high_hz"]
    lines = {
        "length": f"{found['duration_seconds']:.2f} s, {channels}, {found['sample_rate']} Hz",
        "level": f"{measured(found['rms_dbfs'], 'dBFS')}, peak {measured(found['peak_dbfs'], 'dBFS')}, "
        + measured(found["loudness_lufs"], "LUFS"),
        "band": f"{low:.0f} Hz to {high:.0f} Hz" if low and high else "unknown",
        "noise floor": measured(found["noise_floor_dbfs"], "dBFS"),
        "clipping": f"{clipping['share']:.2%} of the samples" if clipping["runs"] else "none",
        "hum": f"{hum['frequency_hz']:g} Hz, {hum['prominence_db']:.0f} dB over its surroundings" if hum else "none",
    }
    if ratios := found["ratio_to_reference_db"]:
        pairs = zip(found["ltas"]["frequencies_hz"], ratios, strict=True)
        octaves = [(hertz, ratio) for hertz, ratio in pairs if ratio is not None and hertz in OCTAVES_HZ]
        matched = " to ".join(f"{hertz:g}" for hertz in MATCHED_HZ)
        lines["spectrum"] = ", ".join(f"{hertz:g} Hz {ratio:+.0f} dB" for hertz, ratio in octaves)
        lines[""] = f"against the prior's music, both at one level from {matched} Hz"
    sentences = [*found["warnings"], *found["advice"]]
    return "\n".join([f"{name:>12}  {value}" for name, value in lines.items()] + sentences)
