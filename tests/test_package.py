"""The house itself: what an import pulls in, which way the arrows point, what modules are called, and who may print."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import draw_architecture
import pytest

import babe2

SOURCE = Path(babe2.__file__).parent
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text("utf-8")
    )
    for path in SOURCE.rglob("*.py")
}

# Which rooms a room may import from, top floor first. All may import from `ground`. Who adds an arrow adds it here, and
# says in the commit why the room cannot do without; docs/draw_architecture.py says which modules are which room.
ALLOWED: dict[str, str] = {
    "app": "page report stages methods checkpoints",
    "commands": "evaluation generation babe2 chains stages report training front methods certainty audio checkpoints "
    "degradations analysis networks dsp network",
    "evaluation": "report training front audio degradations analysis dsp",
    "generation": "dsp",
    "page": "report chains stages training front methods certainty audio checkpoints analysis recordings dsp",
    "babe2": "chains front analysis",
    "chains": "stages front audio checkpoints analysis recordings dsp",
    "report": "front methods certainty audio degradations analysis equalizer dsp",
    "stages": "front methods paper audio checkpoints degradations analysis networks recordings dsp network",
    "training": "front paper audio checkpoints degradations networks dsp network",
    "front": "methods paper certainty audio checkpoints degradations analysis equalizer networks recordings dsp "
    "network",
    "methods": "paper degradations analysis equalizer networks recordings dsp",
    "paper": "degradations networks dsp network",
    "audio": "recordings dsp",
    "checkpoints": "networks dsp network",
    "degradations": "audio equalizer dsp",
    "certainty": "analysis dsp",
    "analysis": "dsp",
    "equalizer": "dsp",
    "networks": "network",
    "recordings": "dsp",
    "dsp": "",
    "network": "",
    "ground": "",
}
MOST_MODULES = 20  # side by side


def test_import_is_light() -> None:
    heavy = "gradio matplotlib librosa huggingface_hub torchaudio soundfile scipy"
    script = f"import sys, babe2; print(*(name for name in {heavy.split()!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_the_command_line_draws_nothing_before_it_is_asked() -> None:
    """Drawing is an extra: a plain installation has none, and every command would begin a second later."""
    script = "import sys, babe2.commands.main, babe2.commands.restore; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"


def test_rooms_import_from_those_rooms_only_that_they_may() -> None:
    for one in draw_architecture.imports():
        above, below = draw_architecture.room_of(one.importer), draw_architecture.room_of(one.imported)
        where = f"{one.path.relative_to(SOURCE.parent)}:{one.line}"
        assert above in ALLOWED, f"{where}: the room {above} is new. Add it to ALLOWED in this test."
        assert below in {above, "ground", *ALLOWED[above].split()}, (
            f"{where}: {above} imports {one.imported} of {below}, which it may not. Move what is shared to a room "
            "below both, or add the arrow to ALLOWED in this test and say why."
        )


def test_the_table_of_arrows_allows_no_circle_and_no_arrow_that_is_gone() -> None:
    allowed = {room: set(below.split()) | ({"ground"} - {room}) for room, below in ALLOWED.items()}
    draw_architecture.floors(allowed)
    arrows = draw_architecture.arrows()
    unused = {(a, b) for a, rooms in allowed.items() for b in rooms - arrows[a] - {"ground"}}
    assert unused == set(), "Take arrows that nobody needs any more out of ALLOWED."


def test_modules_import_each_other_in_no_circle() -> None:
    arrows: dict[str, set[str]] = {name: set() for name in draw_architecture.modules()}
    for one in draw_architecture.imports():
        arrows[one.importer].add(one.imported)
    draw_architecture.floors(arrows)


def test_the_drawing_and_the_table_are_those_of_the_code() -> None:
    out_of_date = "Draw it again: python docs/draw_architecture.py"
    assert draw_architecture.PICTURE.read_text("utf-8") == draw_architecture.picture(), out_of_date
    text = draw_architecture.PAGE.read_text("utf-8")
    assert text == draw_architecture.page(text), out_of_date


def test_a_circle_is_told() -> None:
    assert draw_architecture.floors({"a": {"b"}, "b": set()}) == {"b": 0, "a": 1}
    with pytest.raises(ValueError, match="in a circle"):
        draw_architecture.floors({"a": {"b"}, "b": {"a"}, "c": set()})


def test_modules_have_names_of_their_own_and_rooms_stay_small() -> None:
    assert not [name for name in MODULES if name.rsplit(".", 1)[-1] in ("utils", "util", "helpers", "common", "misc")]
    beside = Counter(path.parent for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
    crowded = {str(folder.relative_to(SOURCE.parent)): n for folder, n in beside.items() if n > MOST_MODULES}
    assert not crowded, f"More than {MOST_MODULES} modules lie side by side: {crowded}. Make a room of some."


def test_nothing_below_the_command_line_prints_or_touches_global_randomness() -> None:
    forbidden = {"print", "manual_seed", "set_default_dtype", "set_default_device"}
    for name, tree in MODULES.items():
        if name.startswith("babe2.commands."):  # only there anything is printed
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
