"""`babe2 master`: music in, a file that is ready to be heard out; the chain `master`, for files and folders."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from babe2 import RestorationError, audio
from babe2.chains import Chain
from babe2.commands.chain import format_chain, restore_by_chain
from babe2.commands.folders import MASTERED, recordings_and_targets
from babe2.commands.options import add_threads_option, new_command
from babe2.commands.restore import (
    PICTURED,
    Report,
    add_excerpt_options,
    one_by_one,
    pass_over,
    sum_up,
    write_reports,
)
from babe2.commands.stage import Work
from babe2.commands.targets import check_distinct, check_file, check_recording, make_folder
from babe2.commands.terminal import INTERRUPTED, interruptible
from babe2.extras import require
from babe2.process import set_threads
from babe2.report.figures_table import Table
from babe2.stages import MASTERING

PRESETS = {"default": "master", "as-published": "master-as-published"}  # chains
ALSO = {"denoise": "gate"}  # what the original calls a stage
STAGES = tuple(stage.name for stage in MASTERING if stage.name != "convert")
SUBTYPE = "PCM_24"


def add_command(subparsers: Any) -> None:
    """Adds `babe2 master`."""
    command = new_command(subparsers, "master", run_master, "Make music ready to be heard: 24 bits at 44.1 kHz.")
    command.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="recordings, and folders of recordings")
    where = f"default: NAME{MASTERED} beside INPUT"
    command.add_argument("-o", "--output", metavar="FILE|DIR", type=Path, help=where)
    command.add_argument("--preset", choices=PRESETS, default="default", help="see docs/mastering.md")
    command.add_argument(
        "--stages", metavar="STAGE,...", help=f"only these of {','.join(STAGES)} (denoise is gate); default: all"
    )
    command.add_argument("--lufs", type=float, metavar="L", help="loudness of the whole (default: as the peaks allow)")
    command.add_argument("--true-peak", type=float, metavar="DB", help="no peak is higher, dBTP (default: -1)")
    command.add_argument("--seed", type=int, metavar="N", help="of the dither: same seed, same bits (default: 0)")
    add_excerpt_options(command)
    command.add_argument("--plots", metavar="DIR", type=Path, help="write spectrograms before and after there")
    command.add_argument("--report", metavar="FILE", type=Path, help="write there what --json prints")
    command.add_argument("--resume", action="store_true", help="go on where it was stopped; pass over what is there")
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    add_threads_option(command)


def chain_of(given: argparse.Namespace) -> Chain:
    """The chain that was asked for."""
    chain = Chain.load(PRESETS[given.preset])
    if given.stages is not None:
        wanted = {ALSO.get(name.strip(), name.strip()) for name in given.stages.split(",")}
        if unknown := sorted(wanted - set(STAGES)):
            raise RestorationError(f"There is no stage {', '.join(unknown):.80}. Choose from {', '.join(STAGES)}.")
        chain = chain.without([name for name in STAGES if name not in wanted])
    wishes = {"lufs": given.lufs, "true_peak_db": given.true_peak, "seed": given.seed}
    wishes = {name: value for name, value in wishes.items() if value is not None}
    if wishes and not any(link.stage.name == "finalise" for link in chain.active):
        raise RestorationError("--lufs, --true-peak and --seed are for the stage finalise. Add it to --stages.")
    if given.preset == "as-published" and wishes.keys() - {"seed"}:
        raise RestorationError("The preset as-published has its own level. Leave --lufs and --true-peak out.")
    links = (
        replace(link, stage=link.stage.changed(**wishes)) if link.stage.name == "finalise" else link
        for link in chain.links
    )
    return replace(chain, links=tuple(links))


def run_master(given: argparse.Namespace) -> int:
    chain = chain_of(given)
    set_threads(given.threads)
    whole_folders = any(path.is_dir() for path in given.inputs)
    inputs, targets = recordings_and_targets(given.inputs, given.output, MASTERED)
    resume = given.resume or whole_folders
    check_targets(given, inputs, targets, resume)
    table = Table(given.output) if whole_folders else None
    with interruptible() as interrupted:
        work = Work.of(given, interrupted, subtype=SUBTYPE, resume=resume)

        def master_each(path: Path, target: Path) -> Report:
            if resume and target.exists() and not given.overwrite:
                return pass_over(path, target, given.report)
            report = restore_by_chain(chain, path, target, work, None)
            if given.plots:
                report["plots"] = [str(draw(path, target, given))]
            if not given.json:
                print(format_chain(report))
            return report

        reports = one_by_one(inputs, targets, master_each, interrupted, [] if table is None else [table.note])
    if table is not None:
        sum_up(reports, table.path)
    write_reports(reports, len(inputs), given.report, as_json=given.json)
    if interrupted():
        return INTERRUPTED
    return 1 if any("error" in report for report in reports) else 0


def check_targets(given: argparse.Namespace, inputs: list[Path], targets: list[Path], resume: bool) -> None:
    """Says before the work what would stop its results from being written, or cost another file."""
    papers = [given.report] if given.report else []
    if given.plots:
        require("plots")
        papers += [plot_of(target, given.plots) for target in targets]
    check_distinct(inputs, [*targets, *papers])
    for target in targets:
        if not (resume and target.exists()):
            check_recording(target, subtype=SUBTYPE, overwrite=given.overwrite)
    if given.plots:
        make_folder(given.plots)
    for paper in papers:
        check_file(paper, overwrite=given.overwrite or resume)


def plot_of(target: Path, folder: Path) -> Path:
    return folder / f"{target.stem}.spectrogram.png"


def draw(path: Path, target: Path, given: argparse.Namespace) -> Path:
    """Draws a recording above what was made of it, and returns where."""
    from babe2.report import figures

    before = audio.read(path, start=given.start, duration=min(given.duration or PICTURED, PICTURED))
    after = audio.read(target, duration=PICTURED)
    sounds = (before.audio, before.sample_rate), (after.audio, after.sample_rate)
    return figures.save(figures.spectrograms(*sounds, ("Recording", "Master")), plot_of(target, given.plots))
