"""The house itself: what an import pulls in, which way the arrows point, and who may print."""

import ast
import subprocess
import sys
from pathlib import Path

import babe2

SOURCE = Path(babe2.__file__).parent
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text("utf-8")
    )
    for path in SOURCE.rglob("*.py")
}


def test_import_is_light() -> None:
    heavy = "gradio matplotlib librosa huggingface_hub torchaudio soundfile scipy"
    script = f"import sys, babe2; print(*(name for name in {heavy.split()!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def imports(tree: ast.Module) -> set[str]:
    """The modules of the house that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "babe2":
            found |= {
                inner if (inner := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return found


def test_modules_import_each_other_in_no_circle() -> None:
    arrows = {name: imports(tree) for name, tree in MODULES.items()}
    while leaves := {name for name, targets in arrows.items() if not targets & arrows.keys()}:
        for name in leaves:
            del arrows[name]
    assert arrows == {}


def test_nothing_below_the_command_line_prints_or_touches_global_randomness() -> None:
    forbidden = {"print", "manual_seed", "set_default_dtype", "set_default_device"}
    for name, tree in MODULES.items():
        if name.startswith("babe2.commands."):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in forbidden, f"{name}: {node.func.id}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                on_torch = isinstance(owner, ast.Name) and owner.id in ("torch", "random")
                assert not (on_torch and node.func.attr in forbidden | {"seed"}), f"{name}: {node.func.attr}"
                assert not (on_torch and node.func.attr in ("randn", "rand") and not has_generator(node, name)), name


def has_generator(node: ast.Call, module: str) -> bool:
    # Weights are initialised at random before they are loaded; everything else draws from a generator it was given.
    return module == "babe2.network" or any(keyword.arg == "generator" for keyword in node.keywords)


def test_a_restoration_leaves_the_global_generator_alone() -> None:
    import numpy as np
    import torch

    restorer = babe2.Restorer.from_checkpoint(Path(__file__).parent / "reference" / "small_checkpoint", device="cpu")
    before = torch.get_rng_state()
    audio = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    restorer.restore(audio, 8000, steps=2)
    assert torch.equal(before, torch.get_rng_state())
