"""The packages that only parts of babe2 need: which extra of the installation brings them."""

from __future__ import annotations

import importlib.util

from babe2.errors import RestorationError

EXTRAS = {  # by extra: what it is for, and the modules it brings
    "hub": ("Fetching and publishing checkpoints", ("huggingface_hub", "httpx2")),
    "plots": ("Drawing", ("matplotlib",)),
    "formats": ("Reading M4A, MP4 and other files that FFmpeg knows", ("av",)),
    "page": ("The page", ("gradio",)),
    "generation": ("Generating music with MusicGen", ("transformers",)),
    "separation": ("Parting voices from their accompaniment", ("demucs",)),
    "embeddings": ("Hearing music by CLAP or EnCodec", ("transformers",)),
    "quality": ("Asking ViSQOL", ("visqol",)),
    "notes": ("Hearing notes by basic-pitch", ("onnxruntime",)),
}


def has(extra: str) -> bool:
    """Whether the packages of this extra are installed."""
    return not _missing(extra)


def require(extra: str) -> None:
    """Raises a RestorationError with the install line where a package of this extra is missing."""
    purpose, _ = EXTRAS[extra]
    if missing := _missing(extra):
        raise RestorationError(
            f'{purpose} needs {" and ".join(missing)}, which a plain install leaves out: pip install "babe2[{extra}]"'
        )


def _missing(extra: str) -> list[str]:
    return [module for module in EXTRAS[extra][1] if importlib.util.find_spec(module) is None]
