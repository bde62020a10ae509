"""What restoring costs: each network, preset and precision, long files, joins, and a graphics card where there is one.

Prints tables, whose rows tell the kind of processor, and keeps every figure as it comes: what is in the file already is
not measured again. The full-size networks have untrained weights, which are as fast as any. Each case runs in a process
of its own.

    python benchmarks/restoration.py [--quick] [--parts presets growth seams card] [--hour] [--json FILE]
    python benchmarks/restoration.py --tables FILE ...   # of figures that were kept, from one machine or several
    python benchmarks/restoration.py --draw              # only the picture of quality against evaluations

presets: a recording of one segment. `paper` with a full-size network is measured in a few steps, and what its other
evaluations would take is added ("scaled"). growth: piano-small, draft, through the command line. seams: the joins of a
restoration, done one segment after another and four together; 0.5 is what music is like where nothing was joined.
card: full-size networks, more and more segments together until they no longer fit.
"""

from __future__ import annotations

import argparse
import datetime
import io
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measuring import (
    PUBLISHED,
    RESULTS,
    SIZES,
    Figures,
    Units,
    alone,
    described,
    machine,
    peak_gb,
    untrained,
    use_threads,
)

from babe2 import RestorationError, Restorer, audio
from babe2.commands.main import main as command_line
from babe2.config import PRESETS
from babe2.dsp.spectra import ltas
from babe2.estimate import LONG
from babe2.evaluation.seams import Seams, seams
from babe2.networks.models import build_transform
from babe2.prior import build_prior
from babe2.process import reuse_memory
from babe2.recordings.recorded import Audio
from babe2.restorer import MOST_AT_ONCE

ROOT = Path(__file__).parents[1]
OLD = ROOT / "examples" / "old_variation.flac"
NETWORKS = (*SIZES, "piano-small")
PRECISIONS = ("float32", "bfloat16")
PARTS = ("presets", "growth", "seams", "card")
FEW = 3  # steps, from which a run is scaled
PUBLISHED_EVALUATIONS = 101  # of a segment, with gradient
SWELL_DB, SWELL_SECONDS = 8.0, 41.0  # how the level of long material varies; its period is no multiple of the example's

Case = dict[str, Any]
Row = dict[str, Any]


# One segment, or several at once


class Instant(NamedTuple):
    """A moment on two clocks, seconds."""

    cpu: float
    wall: float

    @staticmethod
    def now() -> Instant:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return Instant(time.process_time(), time.perf_counter())


def extended(taken: float, ends: Sequence[float], evaluations: int, order: int, wanted: int) -> float:
    """Scales what a run took to the `wanted` evaluations, each as long as those after its first step.

    `ends` tells when each of its steps ended; a step has `order` evaluations, but for the last, which has one.
    """
    if evaluations == wanted:
        return taken
    return taken + (ends[-1] - ends[0]) / (evaluations - order) * (wanted - evaluations)


def restorer_of(network: str, precision: Any, device: str) -> Restorer:
    """Returns a restorer with a bundled checkpoint, or with an untrained network of full size."""
    if network not in SIZES:
        return Restorer.from_checkpoint(network, device=device, precision=precision)
    music = torch.from_numpy(audio.read(ROOT / "examples" / "variation.flac").audio)
    model = SIZES[network]
    fft = 4096 if network == "voice" else 2048
    spectrum = ltas(music * (model.sigma_data / music.std()), fft, fft, fft // 4)
    return Restorer(untrained(network, precision), model, spectrum, device=device, name=network)


def restoring(
    network: str, preset: str, precision: str, device: str = "cpu", batch: int = 1, steps: int | None = None
) -> Row:
    """Measures restoring a recording of `batch` segments; `steps` are fewer than the preset's, to scale from."""
    restorer = restorer_of(network, precision, device)
    wanted, rate = restorer.method(preset=preset), restorer.model.sample_rate
    chosen: dict[str, Any] = {} if steps is None else {"steps": steps}
    settings: Any = restorer.method(preset=preset, **chosen).settings
    length = wanted.span(LONG).length
    samples = length + (batch - 1) * (length - int(settings.overlap * length))
    heard = audio.read(OLD).audio  # as if it were at the network's rate
    heard = np.tile(heard, math.ceil(samples / heard.shape[1]))[:, :samples]
    ends: list[Instant] = []
    work = partial(restorer.restore, heard, rate, preset=preset, batch=batch)
    on_card = restorer.device.type == "cuda"
    try:
        if on_card:  # the first evaluation chooses kernels
            work(steps=FEW)
            torch.cuda.reset_peak_memory_stats()
        began = Instant.now()
        restoration = work(on_step=lambda step: ends.append(Instant.now()), **chosen)
    except RestorationError as error:
        return {"error": str(error)}
    taken = Instant.now()
    report, evaluations, order = restoration.report, wanted.evaluations, getattr(settings, "order", 1)
    assert len(report["segments"]) == batch
    cpu, wall = (
        extended(taken[i] - began[i], [end[i] for end in ends], report["evaluations"], order, evaluations)
        for i in range(2)
    )
    return {
        "evaluations": evaluations,
        "scaled_from": None if settings == wanted.settings else report["evaluations"],
        "taken_at_once": report["batch"],
        "sound_seconds": round(samples / rate, 3),
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 3),
        "peak_gb": round(peak_gb(), 2),
        **({"peak_gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)} if on_card else {}),
    }


def presets(networks: Sequence[str], chosen: Sequence[str], precisions: Sequence[str], quick: bool) -> Iterator[Case]:
    """Yields the cases of the table of presets."""
    for network, preset, precision in itertools.product(networks, chosen, precisions):
        few = quick or (preset == "paper" and network in SIZES)
        yield {"network": network, "preset": preset, "precision": precision, "steps": FEW if few else None}


# Long files


def material(seconds: float) -> Iterator[Audio]:
    """Yields the old example over and over, at a varying level; (1, samples) at a time."""
    old = audio.read(OLD)
    rate, left = old.sample_rate, round(seconds * old.sample_rate)
    for turn in itertools.count():
        piece = old.audio[:, :left]
        times = turn * old.audio.shape[1] + np.arange(piece.shape[1])
        gain_db = SWELL_DB * np.sin(2 * np.pi * times / (SWELL_SECONDS * rate)) - SWELL_DB
        yield (piece * 10 ** (gain_db / 20)).astype(np.float32)
        left -= piece.shape[1]
        if left <= 0:
            return


def long_file(minutes: float, steps: int | None) -> Row:
    """Measures restoring a long file on the command line."""
    rate = audio.read(OLD).sample_rate
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as printed:
        path = audio.write_blocks(Path(folder) / "long.wav", lambda: material(60 * minutes), rate, subtype="PCM_16")
        command = ["restore", str(path), "--preset", "draft", "--device", "cpu", "--offline", "--json"]
        began = Instant.now()
        if command_line([*command, *([] if steps is None else ["--set", f"steps={steps}"])]):
            raise SystemExit(f"{path} was not restored.")
        taken = Instant.now()
    report = json.loads(printed.getvalue())
    return {
        "precision": report["precision"],
        "threads": report["threads"],
        "segments": len(report["segments"]),
        "cpu_seconds": round(taken.cpu - began.cpu, 2),
        "wall_seconds": round(taken.wall - began.wall, 2),
        "peak_gb": round(peak_gb(), 3),
    }


def growth(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Returns each row's CPU time per minute and peak memory, relative to the first row of the same machine."""
    first = {machine_of(row): row for row in reversed(rows)}
    found = []
    for row in rows:
        base = first[machine_of(row)]
        pace = base["cpu_seconds"] / base["minutes"]
        found.append((row["cpu_seconds"] / row["minutes"] / pace, row["peak_gb"] / base["peak_gb"]))
    return found


# Joins


def joins(starts: Sequence[float], seconds: float) -> list[tuple[float, float]]:
    """Where segments of so many seconds overlap; without the last, where that is longer than the others, as jumps can
    be compared in stretches of one length only."""
    places = [(later, earlier + seconds) for earlier, later in itertools.pairwise(starts) if later < earlier + seconds]
    shortest = min((end - start for start, end in places), default=0.0)
    return [(start, end) for start, end in places if end - start < 1.01 * shortest]


def rounded(found: Seams) -> dict[str, float]:
    return {name: round(figure, 3) for name, figure in found._asdict().items()}


def joined(recording: str | None, seconds: float, preset: str, batch: int) -> Row:
    """The joins of a restoration, and beside them the recording itself at the same places."""
    if recording is None:
        heard, rate = np.concatenate(list(material(seconds)), axis=1), audio.read(OLD).sample_rate
    else:
        old = audio.read(recording, duration=seconds)
        heard, rate = old.audio.mean(axis=0, keepdims=True), old.sample_rate
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    own = restorer.model.sample_rate
    began = Instant.now()
    restoration = restorer.restore(heard, rate, preset=preset, batch=batch)
    taken = Instant.now()
    length = restorer.method(preset=preset).span(restoration.recorded.observation.samples).length
    starts = [segment["start"] for segment in restoration.report["segments"]]
    places = joins(starts, length / own)
    return {
        "joins": len(places),
        **rounded(seams(torch.from_numpy(restoration.audio), rate, places)),
        "recording_itself": rounded(seams(torch.from_numpy(heard), rate, places)),
        "cpu_seconds": round(taken.cpu - began.cpu, 2),
        "wall_seconds": round(taken.wall - began.wall, 2),
        "peak_gb": round(peak_gb(), 2),
    }


# A graphics card


def published(network: str, device: str) -> Row:
    """The closest there is to the published program: evaluations with gradient, one segment at a time, in float32, in
    torch's own memory layout. Our transform and our fused operations remain, so it is rather too fast. (On cards that
    have TF32, torch's convolutions take it for float32, here as there.)"""
    model, few = SIZES[network], FEW
    prior = build_prior(model, untrained(network).to(device), build_transform(model, model.segment).to(device))
    noisy = torch.randn(1, model.segment, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()

    def evaluate() -> None:
        torch.autograd.grad(prior(noisy, noisy.new_tensor(0.1)).square().sum(), noisy)

    evaluate()
    began = Instant.now()
    for _ in range(few):
        evaluate()
    taken = Instant.now()
    on_card = torch.device(device).type == "cuda"
    return {
        "evaluations": PUBLISHED_EVALUATIONS,
        "scaled_from": few,
        "taken_at_once": 1,
        "sound_seconds": round(model.segment / model.sample_rate, 3),
        "wall_seconds": round((taken.wall - began.wall) / few * PUBLISHED_EVALUATIONS, 3),
        **({"peak_gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)} if on_card else {}),
    }


def fill_card(measured: Callable[[Case], Row], cases: Iterator[Case], device: str, most: int) -> None:
    """Doubles what is restored at once until it no longer fits. `paper` takes one segment after another."""
    for case in cases:
        batch = 1
        while batch <= (1 if case["preset"] == "paper" else most):
            row = measured({"part": "card", **case, "device": device, "batch": batch})
            if not fitted(row):
                break
            batch *= 2


def fitted(row: Row) -> bool:
    return "error" not in row and row["taken_at_once"] == row["batch"]


# Tables


def table(heads: str, lines: Sequence[Sequence[object]]) -> str:
    columns = heads.split(" | ")
    return "\n".join(
        [f"| {heads} |", "|" + " --- |" * len(columns), *("| " + " | ".join(map(str, line)) + " |" for line in lines)]
    )


def preset_lines(rows: Sequence[Row]) -> Iterator[list[object]]:
    for row in rows:
        original = PUBLISHED[row["network"]]["segment"] if row["network"] in SIZES else None
        yield [
            f"`{row['network']}`" if original is None else f"full {row['network']}",
            f"`{row['preset']}`",
            row["precision"],
            machine_of(row),
            scaling(row),
            f"{row['units']:.0f}" if row["units"] >= 10 else f"{row['units']:.1f}",
            f"{original / row['units']:.1f} x" if original else "",
            f"{row['cpu_seconds'] / row['sound_seconds']:.2f}",
            f"{row['wall_seconds'] / row['sound_seconds']:.2f}",
            f"{row['peak_gb']:.1f}",
        ]


def scaling(row: Row) -> str:
    few = row["scaled_from"]
    return f"{row['evaluations']}" + (f", scaled from {few}" if few else "")


def growth_lines(rows: Sequence[Row]) -> Iterator[list[object]]:
    for row, (time_ratio, memory_ratio) in zip(rows, growth(rows), strict=True):
        steps = f"{row['steps']} steps" if row["steps"] else "`draft`"
        yield [
            f"{row['minutes']:g} min",
            steps,
            machine_of(row),
            f"{row['wall_seconds']:.0f}",
            f"{row['cpu_seconds']:.0f}",
            f"{time_ratio:.2f}",
            f"{row['peak_gb']:.2f}",
            f"{memory_ratio:.2f}",
        ]


def seam_lines(rows: Sequence[Row]) -> Iterator[list[object]]:
    for row in rows:
        way = "one after another" if row["batch"] == 1 else f"{row['batch']} together"
        what = f"{row['recording'] or 'examples'}, {row['seconds']:g} s, `{row['preset']}`"
        figures = [f"{row[name]:.2f} ({row['recording_itself'][name]:.2f})" for name in ("level", "spectrum", "phase")]
        yield [what, way, row["joins"], *figures, f"{row['wall_seconds']:.0f}", f"{row['peak_gb']:.1f}"]


def machine_of(row: Row) -> str:
    """The kind of processor that a row was measured on."""
    return row.get("machine", "")


def card_lines(rows: Sequence[Row]) -> Iterator[list[object]]:
    for row in rows:
        about = [row["network"], f"`{row['preset']}`" if row["preset"] in PRESETS else row["preset"], row["precision"]]
        if not fitted(row):
            yield [*about, row["batch"], "", row.get("error", "did not fit"), ""]
            continue
        factor = row["sound_seconds"] / row["wall_seconds"]
        yield [*about, row["batch"], scaling(row), f"{factor:.2g}", row.get("peak_gpu_gb", "")]


TABLES: dict[str, tuple[str, Callable[[Sequence[Row]], Iterator[list[object]]]]] = {
    "presets": (
        "network | preset | precision | processor | evaluations | units per segment | faster | "
        "CPU s per s of sound | waiting s | peak GB",
        preset_lines,
    ),
    "growth": (
        "length | preset | processor | s | CPU s | per minute, of the first | peak GB | of the first",
        growth_lines,
    ),
    "seams": ("recording | segments | joins | level (the recording's) | spectrum | phase | s | peak GB", seam_lines),
    "card": ("network | preset | precision | segments at once | evaluations | times real time | peak GB", card_lines),
}


def table_of(rows: Sequence[Row], part: str) -> str:
    """Returns the table of one part, empty where nothing of it was measured."""
    heads, lines = TABLES[part]
    found = [row for row in rows if row["part"] == part]
    return table(heads, list(lines(found))) if found else ""


def tables(rows: Sequence[Row]) -> str:
    """Returns the tables of what was measured."""
    return "\n\n".join(filter(None, (table_of(rows, part) for part in PARTS)))


# The program

WORK: dict[str, Callable[..., Row]] = {"presets": restoring, "growth": long_file, "seams": joined, "card": restoring}


def work(part: str, **case: Any) -> Row:
    if case.get("preset") == "published":
        return published(case["network"], case["device"])
    return WORK[part](**case)


def rows_of(figures: Sequence[dict[str, Any]]) -> list[Row]:
    """Returns the rows of kept figures, one machine after another, each with the kind of its processor."""
    return [row | {"machine": described(kept["machine"])} for kept in figures for row in kept["rows"]]


def measured_alone(units: Units, case: Case) -> Row:
    """Measures a case in a process of its own."""
    print(", ".join(str(value) for value in case.values() if value is not None), file=sys.stderr, flush=True)
    measure = partial(alone, __file__, "--case", json.dumps(case))
    return units.of(measure) if case["part"] == "presets" else measure()


def measure(chosen: argparse.Namespace, measured: Callable[[Case], Row]) -> None:
    if "presets" in chosen.parts:
        for case in presets(chosen.network, chosen.preset, chosen.precision, chosen.quick):
            measured({"part": "presets", **case})
    if "growth" in chosen.parts:
        for minutes in (1, 4, 16, 60)[: 4 if chosen.hour else 3]:
            measured({"part": "growth", "minutes": minutes, "steps": 2 if chosen.quick else None})
    if "seams" in chosen.parts:
        seconds, preset = (60, "draft") if chosen.quick else (180, "standard")
        for batch in (1, 4):
            measured(
                {"part": "seams", "recording": chosen.recording, "seconds": seconds, "preset": preset, "batch": batch}
            )
    if "card" in chosen.parts:
        full = [network for network in chosen.network if network in SIZES]
        for network in full:
            original = {"network": network, "preset": "published", "precision": "float32"}
            measured({"part": "card", **original, "device": chosen.device, "batch": 1})
        scaled = chosen.quick or chosen.device == "cpu"
        each = presets(full or chosen.network, chosen.preset, chosen.precision, quick=scaled)
        # A card is quick enough for all of `paper`.
        whole = (case if scaled else case | {"steps": None} for case in each)
        fill_card(measured, whole, chosen.device, 2 if chosen.quick else MOST_AT_ONCE)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parts", nargs="+", choices=PARTS, help="default: all, the card where there is one")
    options.add_argument("--network", nargs="+", choices=NETWORKS, default=NETWORKS)
    options.add_argument("--preset", nargs="+", choices=PRESETS, default=PRESETS)
    options.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    options.add_argument("--quick", action="store_true", help="few steps everywhere, scaled; shorter material")
    options.add_argument("--hour", action="store_true", help="a file of an hour, too")
    options.add_argument("--recording", metavar="FILE", help="to look for joins in (default: made of the examples)")
    options.add_argument("--device", default="cuda", help="that the card's part runs on (cpu: to try it)")
    options.add_argument("--json", type=Path, metavar="FILE", help="default: among the results, by date and processor")
    options.add_argument("--tables", type=Path, nargs="+", metavar="FILE", help="only print those of kept figures")
    options.add_argument("--draw", action="store_true", help="draw quality against evaluations, and nothing else")
    options.add_argument("--case", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.draw:
        from quality import draw_newest  # not for the cases: what draws takes memory, which is measured

        print(draw_newest(RESULTS, ROOT / "docs"))
        return
    if chosen.tables:
        print(tables(rows_of([json.loads(path.read_text("utf-8")) for path in chosen.tables])))
        return
    use_threads()
    if chosen.case:
        reuse_memory()
        print(json.dumps(work(**json.loads(chosen.case))))
        return
    if chosen.parts is None:
        chosen.parts = PARTS if torch.cuda.is_available() else PARTS[:-1]
    here, quick = machine(), "-quick" if chosen.quick else ""
    kind = here["kind"].lower().replace(" ", "-")
    name = f"{datetime.date.today().isoformat()}-restoration{quick}-{kind}-{here['cores']}.json"
    figures = Figures.at(chosen.json or RESULTS / name, here)
    units = Units()
    measure(chosen, lambda case: figures.row(case, partial(measured_alone, units)))
    print(tables(rows_of([{"machine": figures.machine, "rows": figures.rows}])))


if __name__ == "__main__":
    main()
