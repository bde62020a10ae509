"""All embeddings by name, and how each is had."""

from __future__ import annotations

from pathlib import Path

from babe2.errors import RestorationError
from babe2.evaluation.embeddings.base import Embedding, found_beside
from babe2.evaluation.embeddings.basic_pitch import PLACE, BasicPitch
from babe2.evaluation.embeddings.hub import Clap, Encodec
from babe2.evaluation.embeddings.mel import LogMel
from babe2.evaluation.embeddings.musicnn import MODEL, Musicnn
from babe2.evaluation.embeddings.vggish import VGGish
from babe2.extras import has

PUBLISHED = ("vggish", "clap", "encodec")  # in the paper's Table 1
NAMES = (*PUBLISHED, "musicnn", "basic-pitch", "log-mel")


def load(spec: str, device: str = "cpu", offline: bool = False) -> Embedding:
    """The embedding of a name, or of NAME=SOURCE: a file of weights, a folder, or a repository on the Hub."""
    name, given, source = spec.partition("=")
    if name not in NAMES or (given and not source):
        raise RestorationError(f"There is no embedding {spec!r:.80}. Choose {', '.join(NAMES)}, or NAME=SOURCE.")
    if name == VGGish.name:
        if not source:
            raise RestorationError(
                "VGGish needs its weights: vggish=FILE, where FILE is vggish-10086976.pth of "
                "https://github.com/harritaylor/torchvggish/releases/tag/v0.1"
            )
        return VGGish.load(Path(source), device)
    if name == Clap.name:
        return Clap.load(source or Clap.source, device, offline)
    if name == Encodec.name:
        return Encodec.load(source or Encodec.source, device, offline)
    if name == Musicnn.name:
        return Musicnn.load(Path(source) if source else None, device)
    if name == BasicPitch.name:
        return BasicPitch(Path(source) if source else None)
    if source:
        raise RestorationError("The embedding log-mel has no weights. Leave the = out.")
    return LogMel()


def at_hand() -> list[str]:
    """The embeddings that need no network and nothing more to be installed."""
    found = [LogMel.name]
    if found_beside("musicnn", MODEL):
        found.append(Musicnn.name)
    if has("notes") and found_beside("basic_pitch", *PLACE):
        found.append(BasicPitch.name)
    return found
