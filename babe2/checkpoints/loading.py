"""Loading a checkpoint by whatever name a person has for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from babe2.checkpoints.cache import file_hash
from babe2.checkpoints.checkpoint import Checkpoint, load_folder
from babe2.checkpoints.published import load_published
from babe2.checkpoints.shelf import find
from babe2.dsp.spectra import at_rate, at_unit_level
from babe2.errors import RestorationError

if TYPE_CHECKING:
    from babe2.checkpoints.transfer import OnTransfer, Polled


def load(
    spec: str | Path,
    *,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    manifest: str | Path | None = None,
    on_transfer: OnTransfer | None = None,
    cancelled: Polled | None = None,
) -> Checkpoint:
    """Finds a checkpoint, fetches it where needed, verifies and reads it.

    `spec`: a manifest's id, a Hub repository `owner/name[@revision]`, a folder with model.safetensors and config.json,
    that .safetensors file, or a published .pt file.
    """
    try:
        found = find(
            spec,
            cache_dir=cache_dir,
            extra_manifest=manifest,
            offline=offline,
            on_transfer=on_transfer,
            cancelled=cancelled,
        )
    except (OSError, ValueError, TypeError) as error:  # what can be no name: too long, with a null, not text
        reason = getattr(error, "strerror", None) or error
        raise RestorationError(f"{spec!r:.200} cannot be the name of a checkpoint: {reason}.") from None
    try:
        if found.sha256 is not None and file_hash(found.path) != found.sha256:
            raise RestorationError(
                f"{found.path} is not the file it should be: its sha256 is not {found.sha256}. {found.way_out}"
            )
        if found.path.suffix == ".safetensors":
            checkpoint = load_folder(found.path, found.sha256)
        else:
            checkpoint = load_published(found.path, found.sha256, found.stated)
        if checkpoint.ltas is None and found.spectrum is not None:
            checkpoint = with_spectrum_of(load_folder(found.spectrum), checkpoint)
    except OSError as error:
        raise RestorationError(f"The checkpoint {spec} cannot be read: {error.strerror or error}.") from None
    return replace(checkpoint, name=found.name, verified=found.verified)


def with_spectrum_of(other: Checkpoint, checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint without an average spectrum, with that of another one of the same music."""
    if other.ltas is None:
        return checkpoint
    rate = checkpoint.model.sample_rate
    borrowed = at_unit_level(at_rate(other.ltas.double(), other.model.sample_rate, rate))
    return replace(checkpoint, ltas=(borrowed * checkpoint.model.sigma_data**2).float(), ltas_of=other.name)
