"""`babe2 checkpoints`: what there is, what is here; fetched, verified, removed, converted and published."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from babe2.checkpoints import publishing
from babe2.checkpoints.listing import entry_as_dict, format_source, format_state, megabytes, table
from babe2.checkpoints.loading import load
from babe2.checkpoints.published import convert
from babe2.checkpoints.publishing import ABOUT
from babe2.checkpoints.shelf import Shelf
from babe2.commands.options import add_place_options
from babe2.commands.terminal import INTERRUPTED, fetch_line, interruptible, say
from babe2.errors import Cancelled, RestorationError


def add_commands(subparsers: Any) -> None:
    about = "Priors: what there is, what is on this machine; fetch, verify, convert and publish them."
    kinds = subparsers.add_parser("checkpoints", help=about, description=about).add_subparsers(
        required=True, metavar="WHAT"
    )

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = kinds.add_parser(name, help=about, description=about)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print JSON")
        return sub

    listing = command("list", run_list, "What checkpoints there are.")
    listing.add_argument("--markdown", action="store_true", help="as a table for a README")
    command("show", run_show, "What is known of one.").add_argument("id", metavar="ID")
    fetch = command("fetch", run_fetch, "Bring one here, to work without a network from then on.")
    fetch.add_argument("specs", nargs="+", metavar="ID", help="or a Hub repository, owner/name[@revision]")
    verify = command("verify", run_verify, "Compare what is here with what it should be.")
    verify.add_argument("ids", nargs="*", metavar="ID", help="default: all that are here")
    remove = command("remove", run_remove, "Take fetched ones off this machine.")
    remove.add_argument("specs", nargs="+", metavar="ID", help="or a Hub repository, owner/name[@revision]")
    for sub in kinds.choices.values():  # all but those below, which take paths alone
        add_place_options(sub)
    convert = command("convert", run_convert, "Write a published .pt file, or any checkpoint, in babe2's own format.")
    convert.add_argument("spec", metavar="FILE")
    convert.add_argument("-o", "--output", metavar="DIR", type=Path, required=True)
    convert.add_argument("--half", action="store_true", help="weights in half precision: half the size, the same sound")
    convert.add_argument(
        "--raw", action="store_true", help="weights as trained, where the file has averages of them, too"
    )
    convert.add_argument("--like", metavar="ID", help="take rate, segment and level from there, if the file has none")
    convert.add_argument("--overwrite", action="store_true", help="replace a checkpoint in DIR")
    publish = command("publish", run_publish, "Share a checkpoint on the Hugging Face Hub.")
    publish.add_argument("folder", metavar="DIR", type=Path)
    publish.add_argument("--repo", required=True, metavar="OWNER/NAME")
    publish.add_argument("--yes", action="store_true", help="really upload; without it the plan is printed")
    publish.add_argument("--private", action="store_true", help="for the owner's eyes only")
    for name, about in ABOUT.items():
        publish.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=about)


def run_list(options: argparse.Namespace) -> int:
    shelf = shelf_of(options)
    if options.markdown:
        print(table(shelf.manifest))
        return 0
    rows = [entry_as_dict(shelf, entry) for entry in shelf.manifest.values()]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    widths = [max(len(row[name]) for row in rows) for name in ("id", "title")]
    for row in rows:
        print(f"{row['id']:{widths[0]}}  {row['title']:{widths[1]}}  {format_state(row)}")
    print(f"In {shelf.cache.hub} and {shelf.cache.own}: {megabytes(shelf.size())}.")
    return 0


def run_show(options: argparse.Namespace) -> int:
    shelf = shelf_of(options)
    row = entry_as_dict(shelf, shelf.entry(options.id))
    if options.json:
        print(json.dumps(row, indent=2))
        return 0
    lines = {
        row["id"]: row["title"],
        "": row["description"],
        "for": row["intended"],
        "state": format_state(row),
        "sound": f"{row['sample_rate']} Hz, segments of {row['segment'] / row['sample_rate']:.2f} s",
        "network": f"{row['parameters'] / 1e6:.1f} million parameters"
        + (f", settings `{row['settings']}`" if row["settings"] else ""),
        "trained on": row["training_data"],
        "licence": row["licence"],
        "credit": row["credit"],
        "sources": ", ".join(format_source(source) for source in row["sources"]),
        "sha256": row["sha256"] or "not known; recorded on first use",
        "file": row["path"] or "-",
    }
    print("\n".join(f"{name:11} {text}" for name, text in lines.items()))
    return 0


def run_fetch(options: argparse.Namespace) -> int:

    shelf = shelf_of(options)
    found: list[dict[str, Any]] = []
    with interruptible() as interrupted:
        for spec in options.specs:
            try:
                with fetch_line(spec) as on_transfer:
                    at = shelf.find(spec, offline=options.offline, on_transfer=on_transfer, cancelled=interrupted)
            except Cancelled:
                say(f"{spec}: stopped; what has arrived of a published file is kept for the next fetch.")
                return INTERRUPTED
            load(spec, cache_dir=options.cache_dir, manifest=options.manifest, offline=True)  # told now
            found.append({"spec": spec, "path": str(at.path), "sha256": at.sha256, "verified": at.verified})
            if not options.json:
                print(f"{spec}: {at.path}{'' if at.verified else ' (unverified source)'}")
    if options.json:
        print(json.dumps(found, indent=2))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    shelf = shelf_of(options)
    entries = [shelf.entry(name) for name in options.ids] or [
        entry for entry in shelf.manifest.values() if shelf.at_hand(entry)
    ]
    rows = [(entry.id, *shelf.verify(entry)) for entry in entries]
    if options.json:
        print(json.dumps([{"id": name, "ok": ok, "finding": finding} for name, ok, finding in rows], indent=2))
    else:
        print("\n".join(f"{name}: {finding}" for name, _, finding in rows))
    if changed := [name for name, ok, _ in rows if not ok]:
        raise RestorationError(
            f"{', '.join(changed)}: not what it should be. Remove it (babe2 checkpoints remove) and fetch it again, or "
            "install babe2 again where it came along."
        )
    return 0


def run_remove(options: argparse.Namespace) -> int:
    shelf = shelf_of(options)
    for spec in options.specs:  # all or none
        if "/" not in spec:
            shelf.entry(spec)
    freed = {spec: shelf.remove(spec) for spec in options.specs}
    if options.json:
        print(json.dumps(freed, indent=2))
        return 0
    for spec, size in freed.items():
        included = spec in shelf.manifest and shelf.manifest[spec].bundled()
        print(f"{spec}: {megabytes(size)} freed{' (it is part of babe2 and stays)' if included else ''}")
    return 0


def run_convert(options: argparse.Namespace) -> int:
    stated = Shelf.at().entry(options.like).stated() if options.like else {}
    made = convert(
        Path(options.spec),
        options.output,
        overwrite=options.overwrite,
        half=options.half,
        raw=options.raw,
        stated=stated,
    )
    if options.json:
        print(json.dumps(asdict(made) | {"folder": str(options.output)}, indent=2, default=str))
        return 0
    print(f"{options.output}: {made.parameters / 1e6:.1f} million parameters, {megabytes(made.bytes)}")
    for kept in made.kept:
        print(f"  kept: {kept}")
    for dropped in made.dropped:
        print(f"  left out: {dropped}")
    return 0


def run_publish(options: argparse.Namespace) -> int:

    about = {name: getattr(options, name) for name in ABOUT if getattr(options, name) is not None}
    publication = publishing.plan(options.folder, options.repo, **about)
    if not options.yes:
        print(json.dumps(publication.as_dict(), indent=2) if options.json else publication.as_text())
        say("nothing was uploaded; add --yes to do it.")
        return 0
    published = publishing.publish(publication, private=options.private)
    if options.json:
        print(json.dumps(published.as_dict(), indent=2))
        return 0
    print(f"{published.url}\n\nFor a manifest:\n\n{published.manifest_lines}")
    return 0


def shelf_of(options: argparse.Namespace) -> Shelf:
    return Shelf.at(options.cache_dir, options.manifest)
