"""`babe2 degrade`: a good recording in, an old or damaged one out, and a report of all that was done to it."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from babe2 import audio
from babe2.commands.options import new_command
from babe2.commands.restore import add_excerpt_options
from babe2.commands.targets import check_distinct, check_file, check_recording
from babe2.commands.terminal import say
from babe2.degradations.aging import age
from babe2.degradations.described import Described
from babe2.degradations.families import FAMILIES, family_of
from babe2.degradations.noise_bank import NoiseBank
from babe2.degradations.spec import degradation_of, forms, split
from babe2.dsp.curves import FLAT, Curve, WeightedSum
from babe2.dsp.spectra import decibels
from babe2.errors import RestorationError
from babe2.process import versions
from babe2.replacing import write_text
from babe2.report.recipe import fingerprint
from babe2.restorer import checked_seed

LONGEST = 2**26  # samples, in all channels together: what is filtered at once has to fit into memory
RESPONSE_HZ = 20.0 * 2 ** (torch.arange(241, dtype=torch.float64) / 24)  # half a semitone apart, to 20.5 kHz
QUIETEST_DB = -200.0  # a level that a report can hold where nothing is left

Report = dict[str, Any]


def add_command(subparsers: Any) -> None:
    about = "Degrade a good recording as an old machine would, or otherwise, and say exactly how."
    parser = new_command(subparsers, "degrade", run_degrade, about)
    parser.add_argument("input", type=Path, metavar="INPUT")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True)
    parser.add_argument("--family", choices=list(FAMILIES), help="draw a machine of this kind, with its noise")
    parser.add_argument("--degradation", metavar="SPEC", help="what happens after that, joined by +: " + forms())
    parser.add_argument("--noise-bank", metavar="DIR", help="at last, add noise from the sound files there")
    parser.add_argument("--snr", type=float, metavar="DB", help="of the music to the noise of --noise-bank")
    parser.add_argument("--gain", type=float, metavar="RMS", help="or the level of that noise; 1 is full scale")
    add_excerpt_options(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same machine (default 0)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write there what --json prints")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run_degrade(options: argparse.Namespace) -> int:
    wished = None if options.degradation is None else degradation_of(options.degradation)
    bank = bank_of(options)
    if options.family is None and wished is None and bank is None:
        raise RestorationError("Nothing is to be done. Give a --family of machines, a --degradation or a --noise-bank.")
    papers = [options.report] if options.report else []
    check_distinct([options.input], [options.output, *papers])
    check_recording(options.output, overwrite=options.overwrite)
    for path in papers:
        check_file(path, overwrite=options.overwrite)
    channels, samples, rate = audio.measure(options.input)
    longest = LONGEST / channels / rate
    if min(samples / rate - options.start, options.duration or samples / rate) > longest:
        raise RestorationError(
            f"{options.input} is too long to be degraded at once. Take at most {longest:.0f} s of it with --duration."
        )
    recording = audio.read(options.input, start=options.start, duration=options.duration)
    clean = torch.as_tensor(recording.audio).float()
    degraded, report = degrade(clean, recording.sample_rate, options.family, wished, checked_seed(options.seed), bank)
    audio.write(
        options.output, degraded.numpy(), recording.sample_rate, tags=recording.tags, overwrite=options.overwrite
    )
    for warning in recording.warnings:
        say(f"{options.input.name}: {warning}")
    report = {
        "input": {"name": str(options.input), **fingerprint(options.input)},
        "start": options.start,
        "duration": options.duration,
        "output": {"name": str(options.output), **fingerprint(options.output)},
        "warnings": list(recording.warnings),
        **report,
    }
    text = json.dumps(report, indent=2)
    if options.report:
        try:
            write_text(options.report, text + "\n")
        except OSError as error:
            raise RestorationError(f"The report {options.report} cannot be written ({error.strerror}).") from None
    print(text if options.json else said(report))
    return 0


def bank_of(options: argparse.Namespace) -> NoiseBank | None:
    """The noise that is added at last."""
    if options.noise_bank is not None:
        return NoiseBank.of_folder(options.noise_bank, snr_db=options.snr, gain=options.gain)
    if options.snr is not None or options.gain is not None:
        raise RestorationError("A level of noise needs a noise. Give --noise-bank, too.")
    return None


def degrade(
    clean: Tensor,
    sample_rate: int,
    family: str | None,
    wished: Described | None,
    seed: int,
    bank: NoiseBank | None = None,
) -> tuple[Tensor, Report]:
    """Music (C, T) degraded by a machine of a family, then as wished, then by a bank's noise; and what was done."""
    generator = torch.Generator().manual_seed(seed)
    report: Report = {
        "sample_rate": sample_rate,
        "channels": len(clean),
        "samples": clean.shape[1],
        "seed": seed,
        "family": family,
        "machine": None,
        "degradation": None if wished is None else wished.as_dict(),
        "versions": versions(),
    }
    responses: list[Curve] = []
    music, noise = clean, torch.zeros_like(clean)
    if family is not None:
        aging = family_of(family).draw(generator)
        aged = age(clean, sample_rate, aging, generator)
        music, noise = aged.music, aged.noise
        responses.append(aging.response)
        report["machine"] = numbers(aging)
    degraded = music + noise
    report["noise"] = level_beside(noise, music)
    if wished is not None:
        wished.check(sample_rate, sample_rate)
        own, _ = split(wished, sample_rate)
        responses += [own] if own is not None else []
        degraded = wished.applied(degraded, sample_rate, generator)
    if bank is not None:
        degraded, report["noise_bank"] = with_noise(degraded, sample_rate, bank, generator)
    response = WeightedSum(tuple(responses), (1.0,) * len(responses)) if responses else FLAT
    hertz = RESPONSE_HZ[sample_rate / 2 > RESPONSE_HZ]
    report["response"] = {
        "frequencies_hz": [round(f, 3) for f in hertz.tolist()],
        "gain_db": [round(gain, 4) for gain in response.gain_db(hertz).clamp(min=QUIETEST_DB).tolist()],
    }
    report["peak"] = float(degraded.abs().max())
    # Of all that was done, relative to the music: what a restoration has to be better than.
    report["changed_db"] = level_beside(degraded - clean, clean)["relative_db"]
    return degraded, report


def with_noise(music: Tensor, sample_rate: int, bank: NoiseBank, generator: torch.Generator) -> tuple[Tensor, Report]:
    """Music (C, T) with one excerpt of a bank, looped to its length, and which and how loud it is."""
    excerpts = bank.bank(sample_rate)
    chosen, sound = excerpts.choose(generator)
    added = bank.added(lambda samples: excerpts.anywhere(sound, samples, generator), music.new_ones(len(music), 1))
    noisy = added(music)
    powers = [float(x.double().square().mean()) for x in (noisy - music, music)]
    return noisy, {
        "text": bank.text,
        **bank.as_folder(),
        "excerpt": chosen.name,
        "title": chosen.title,
        "gain": powers[0] ** 0.5,  # root mean square, full scale being 1
        "snr_db": 10 * math.log10(powers[1] / powers[0]) if min(powers) > 0 else None,
    }


def level_beside(part: Tensor, music: Tensor) -> Report:
    """RMS of a sound in dB of full scale, and relative to that of the music; None where one of them is silent."""
    level, beside = (float(x.double().square().mean()) for x in (part, music))
    dbfs = None if level == 0 else round(float(decibels(torch.tensor(level))), 3)
    if level == 0 or beside == 0:
        return {"dbfs": dbfs, "relative_db": None}
    return {"dbfs": dbfs, "relative_db": round(float(decibels(torch.tensor(level / beside))), 3)}


def numbers(drawn: Any) -> Any:
    """All numbers of what was drawn, by the names they have in the code."""
    if is_dataclass(drawn) and not isinstance(drawn, type):
        return {"kind": type(drawn).__name__} | {
            field.name: numbers(getattr(drawn, field.name)) for field in fields(drawn)
        }
    if isinstance(drawn, Tensor):
        return drawn.tolist()
    return [numbers(each) for each in drawn] if isinstance(drawn, tuple | list) else drawn


def said(report: Report) -> str:
    """What was done, in a few lines for people."""
    noise = report["noise"]["relative_db"]
    lines = [f"{report['output']['name']}: {report['samples'] / report['sample_rate']:.2f} s, seed {report['seed']}"]
    if report["family"]:
        level = "no noise" if noise is None else f"noise {noise:+.1f} dB beside the music"
        lines.append(f"  a machine of the family {report['family']}, {level}")
    if report["degradation"]:
        lines.append(f"  {report['degradation']['text']}")
    if bank := report.get("noise_bank"):
        ratio = "" if bank["snr_db"] is None else f", {bank['snr_db']:.1f} dB below the music"
        lines.append(f"  noise of {bank['excerpt']}, {bank['gain']:.5f} of full scale (RMS){ratio}")
    return "\n".join(lines)
