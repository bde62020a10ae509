"""Imports Gradio in little more than half the time.

Whenever it is imported, Gradio writes anew, for editors, a file beside each of its components that says what events
the component has. Nothing that runs reads those files.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys


def import_gradio() -> None:
    """Does what `import gradio` does, but for those files; nothing without Gradio, or where it is imported already."""
    spec = None if "gradio" in sys.modules else importlib.util.find_spec("gradio")
    if spec is None or spec.loader is None:
        return
    package = importlib.util.module_from_spec(spec)
    sys.modules["gradio"] = package  # not run yet: the part that writes comes first, and learns not to
    try:
        importlib.import_module("gradio.component_meta").__dict__["create_or_modify_pyi"] = lambda *_: None
        spec.loader.exec_module(package)
    except BaseException:
        sys.modules.pop("gradio", None)
        raise
