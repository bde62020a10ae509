"""The packages that only parts of babe2 need: which extra of the installation brings them."""

from __future__ import annotations

import importlib.util

from babe2.errors import RestorationError

EXTRAS = {  # by extra: what it is for, and the modules it brings
    "hub": ("Fetching and publishing checkpoints", ("huggingface_hub", "httpx2")),
    "plots": ("Drawing", ("matplotlib",)),
    "page": ("The page", ("gradio",)),
}


def require(extra: str) -> None:
    """Raises a RestorationError with the install line where a package of this extra is missing."""
    purpose, modules = EXTRAS[extra]
    if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
        raise RestorationError(
            f'{purpose} needs {" and ".join(missing)}, which a plain install leaves out: pip install "babe2[{extra}]"'
        )
